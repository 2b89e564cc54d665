//! Fresh identifiers.

/// A new ObjectId: unix seconds, five bytes of this process, a counter.
#[must_use]
pub fn new_object_id() -> [u8; 12] {
    bson::oid::ObjectId::new().bytes()
}

/// A new random (version 4) UUID.
#[must_use]
pub fn new_uuid() -> [u8; 16] {
    bson::Uuid::new().bytes()
}
