//! Tokens from inside of a snapshot (see `stream/snapshot.rs`): where in the documents a stream is, beside where in the
//! log.
//!
//! Layout: that of an event's token (CS-5.2) with the UUID of a collection, and the identifier
//!         `{ operationType: "snapshot", [before: null], [collated: null], [documentKey: {_id: <value>}] }`
//! Order:  by time, then by operation, then by collection and document: the order in which a stream meets them. The
//!         place behind a whole entry has the largest index there is, and so stands before all later events.

use millstream_value::{ClusterTime, key};

use super::{Detail, Encoded, EventName, Token, VERSION};

/// What stands where tokens of events have the type of the operation.
pub(crate) const OPERATION: &str = "snapshot";

/// The index of a place that is behind every operation of its time.
pub(crate) const WHOLE: u32 = i32::MAX as u32;

/// The number of the fragment behind all others of a document.
const LAST_FRAGMENT: u32 = i32::MAX as u32;

/// How far the documents were delivered, in the order of collections' UUIDs and of the keys of `_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub(crate) uuid: [u8; 16],
    /// The key of the `_id`; empty before the first document.
    pub(crate) key: Vec<u8>,
    /// Whether the document of that key was delivered too.
    pub(crate) inclusive: bool,
    /// Whether the key is one by the collation of the collection.
    pub(crate) collated: bool,
}

impl Position {
    /// Before all documents.
    pub(crate) fn start() -> Self {
        Self { uuid: [0; 16], key: Vec::new(), inclusive: true, collated: false }
    }

    /// Whether a document is among those that were delivered.
    pub(crate) fn covers(&self, uuid: &[u8; 16], key: &[u8]) -> bool {
        match (uuid, key).cmp(&(&self.uuid, &self.key)) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => self.inclusive,
            std::cmp::Ordering::Greater => false,
        }
    }

    /// The name of the place that is here, and behind an operation of the log.
    pub(crate) fn name(&self, time: ClusterTime, index: u32) -> EventName<'_> {
        EventName {
            time,
            version: VERSION,
            index,
            from_invalidate: false,
            uuid: Some(self.uuid),
            operation: OPERATION,
            detail: Detail::Position(self),
            fragment: None,
        }
    }

    /// The token of the place behind a document that was delivered in fragments.
    pub(crate) fn behind_fragments(&self, time: ClusterTime) -> Token {
        EventName { fragment: Some(LAST_FRAGMENT), ..self.name(time, WHOLE) }.token()
    }

    /// Writes what follows the type of the operation.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if !self.inclusive {
            out.extend_from_slice(b"\x14before\0\x14");
        }
        if self.collated {
            out.extend_from_slice(b"\x14collated\0\x14");
        }
        if let Some(&first) = self.key.first() {
            out.extend_from_slice(b"\x46documentKey\0\x46");
            out.push(key::generic_type_of_key(first));
            out.extend_from_slice(b"_id\0");
            out.extend_from_slice(&self.key);
            out.push(0);
        }
    }

    /// Reads a well-formed identifier; nothing if it is that of an event.
    pub(super) fn read(identifier: &[u8], uuid: [u8; 16], index: u32, fragment: Option<u32>) -> Option<Self> {
        let body = identifier.strip_prefix(b"\x46\x3CoperationType\0\x3Csnapshot\0")?.strip_suffix(b"\0")?;
        let (body, before) = marked(body, b"\x14before\0\x14");
        let (body, collated) = marked(body, b"\x14collated\0\x14");
        let key = match body.strip_prefix(b"\x46documentKey\0\x46") {
            Some(rest) => rest.get(1..)?.strip_prefix(b"_id\0")?.strip_suffix(b"\0")?.to_vec(),
            None => Vec::new(),
        };
        // Some fragments of a document are not the document: it is delivered again as a whole.
        let in_part = index == WHOLE && fragment.is_some_and(|fragment| fragment < LAST_FRAGMENT);
        Some(Self { uuid, key, inclusive: !before && !in_part, collated })
    }
}

fn marked<'a>(body: &'a [u8], mark: &[u8]) -> (&'a [u8], bool) {
    body.strip_prefix(mark).map_or((body, false), |rest| (rest, true))
}

/// The bytes of the token of a document in a snapshot.
pub(crate) fn of_document(position: &Position, time: ClusterTime, fragment: Option<u32>) -> Encoded {
    EventName { fragment, ..position.name(time, WHOLE) }.encode()
}
