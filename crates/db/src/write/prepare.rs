//! Checks of what is to be stored, made before a write enters the commit loop.

use bytes::Bytes;
use millstream_value::{Code, Doc, DocBuf, Namespace, Value, kind};

use super::Insert;
use crate::catalog::id_key;
use crate::{Error, Result};

/// Largest document of a user: 16 MiB (CS-15).
pub(crate) const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest `<database>.<collection>`: MongoDB's limit.
const NAMESPACE_BYTES_MAX: usize = 255;

/// Makes a document ready to be stored: `_id` first and made up if absent, zero timestamps filled by `now`.
///
/// # Errors
/// [`Error::InvalidId`], [`Error::DollarField`] or [`Error::TooLarge`].
pub fn insert_document(bytes: &Bytes, now: millstream_value::ClusterTime) -> Result<Insert> {
    let doc = Doc::new(bytes);
    let zero_time = |e: &millstream_value::Element<'_>| e.kind() == kind::TIMESTAMP && e.bytes() == [0; 8];
    let mut elements = doc.elements();
    let settled = elements.next().is_some_and(|e| e.key_bytes() == b"_id") && !elements.any(|e| zero_time(&e));
    let doc_bytes = if settled {
        bytes.clone()
    } else {
        let mut whole = DocBuf::with_capacity(bytes.len() + 32);
        match doc.element("_id") {
            Some(id) => whole.push_element(id),
            None => whole.push("_id", Value::ObjectId(millstream_value::new_object_id())),
        };
        for element in doc.elements() {
            if element.key_bytes() == b"_id" {
                continue;
            }
            if zero_time(&element) {
                whole.push(element.key(), now);
            } else {
                whole.push_element(element);
            }
        }
        Bytes::from(whole.into_bytes())
    };
    let key = checked_id_key(Doc::new(&doc_bytes))?;
    if doc_bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(too_large(doc_bytes.len()));
    }
    Ok(Insert { doc: doc_bytes, id_key: key })
}

/// The key of a document's `_id`, if that may be one.
pub(crate) fn checked_id_key(doc: Doc<'_>) -> Result<Vec<u8>> {
    let id = doc.get("_id").unwrap_or(Value::Null);
    match id.kind() {
        kind::ARRAY | kind::REGEX | kind::UNDEFINED => return Err(Error::InvalidId(id.type_name())),
        kind::DOCUMENT => check_id_fields(id.as_doc().unwrap_or(Doc::empty()))?,
        _ => {}
    }
    let key = id_key(&id);
    if key.len() + 4 > millstream_storage::KEY_BYTES_MAX {
        return Err(Error::TooLarge("the _id is too large to be a key".into()));
    }
    Ok(key)
}

fn check_id_fields(id: Doc<'_>) -> Result<()> {
    match id.elements().find(|e| e.key_bytes().first() == Some(&b'$')) {
        None => Ok(()),
        Some(field) => Err(Error::DollarField(format!(
            "_id fields may not contain '$'-prefixed fields: {} is not valid for storage.",
            field.key()
        ))),
    }
}

pub(crate) fn too_large(size: usize) -> Error {
    Error::TooLarge(format!("object to insert too large. size in bytes: {size}, max size: {DOCUMENT_BYTES_MAX}"))
}

/// Checks the name of a collection that is to be written to.
///
/// # Errors
/// [`Error::InvalidNamespace`].
pub fn check_collection_name(namespace: &Namespace) -> Result<()> {
    let coll = namespace.coll.as_str();
    let invalid = |why: String| Err(Error::InvalidNamespace(why));
    if coll.is_empty() {
        return invalid(format!("Invalid namespace specified '{}.'", namespace.db));
    }
    if coll.contains(['$', '\0']) || coll.starts_with('.') || coll.ends_with('.') {
        return invalid(format!("Invalid collection name: {coll}"));
    }
    if namespace.db.len() + 1 + coll.len() > NAMESPACE_BYTES_MAX {
        return invalid(format!(
            "Fully qualified namespace is too long. Namespace: {namespace} Max: {NAMESPACE_BYTES_MAX}"
        ));
    }
    if namespace.is_system()
        && !matches!(coll, "system.js" | "system.users" | "system.version" | "system.roles" | "system.sessions")
    {
        return invalid(format!("Invalid system namespace: {namespace}"));
    }
    if namespace.db == "local" && coll.starts_with("oplog.") {
        return Err(Error::invalid(Code::InvalidNamespace, format!("cannot write to '{namespace}'")));
    }
    Ok(())
}
