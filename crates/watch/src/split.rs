//! Events that are larger than a reply, which a server sends in fragments, made whole again.
//!
//! Shape: each fragment is `{ _id, splitEvent: { fragment: <int32 from 1>, of: <int32> }, <some of the event's fields> }`.
//! Result: one event with all fields and the token of the last fragment, so that resuming from it loses nothing.
//! Errors: a fragment that is not the next one; more bytes than the limit.

use bson::{Document, RawDocument, RawDocumentBuf, doc};

use crate::{Error, Event, Result};

/// The stage by which a server makes fragments; it has to be the last one.
pub(crate) fn stage() -> Document {
    doc! {"$changeStreamSplitLargeEvent": {}}
}

/// What one event may have: a document before and after its change, and the change, each of 16 MiB, and room besides.
const EVENT_BYTES_MAX: usize = 128 << 20;

/// The fragments of one event.
#[derive(Debug)]
pub(crate) struct Joiner {
    fragments: Vec<Event>,
    bytes: usize,
    bytes_max: usize,
}

impl Default for Joiner {
    fn default() -> Self {
        Self::with_limit(EVENT_BYTES_MAX)
    }
}

impl Joiner {
    fn with_limit(bytes_max: usize) -> Self {
        Self { fragments: Vec::new(), bytes: 0, bytes_max }
    }

    /// Whether an event has begun and not ended: a position here is in the middle of it.
    pub(crate) fn is_open(&self) -> bool {
        !self.fragments.is_empty()
    }

    /// Takes what came; gives an event when it is whole.
    pub(crate) fn add(&mut self, event: Event) -> Result<Option<Event>> {
        let Some((fragment, of)) = place(event.raw()) else {
            return if self.is_open() { Err(bad("an event in the middle of another")) } else { Ok(Some(event)) };
        };
        if fragment == 1 {
            self.fragments.clear();
            self.bytes = 0;
        }
        if usize::try_from(fragment).ok() != Some(self.fragments.len() + 1) {
            return Err(bad(format!("fragment {fragment} of {of} after {}", self.fragments.len())));
        }
        self.bytes += event.raw().as_bytes().len();
        if self.bytes > self.bytes_max {
            return Err(bad(format!("an event of more than {} bytes", self.bytes_max)));
        }
        self.fragments.push(event);
        if fragment < of {
            return Ok(None);
        }
        let fragments = std::mem::take(&mut self.fragments);
        self.bytes = 0;
        joined(&fragments).map(Some)
    }
}

fn place(event: &RawDocument) -> Option<(i32, i32)> {
    let split = event.get_document("splitEvent").ok()?;
    Some((split.get_i32("fragment").ok()?, split.get_i32("of").ok()?))
}

fn joined(fragments: &[Event]) -> Result<Event> {
    let mut whole = RawDocumentBuf::new();
    if let Some(last) = fragments.last() {
        whole.append(bson::raw::cstr!("_id"), last.token().as_raw());
    }
    for fragment in fragments {
        for field in fragment.raw() {
            let (name, value) = field.map_err(|error| bad(error.to_string()))?;
            if !matches!(name.as_str(), "_id" | "splitEvent") {
                whole.append(name, value);
            }
        }
    }
    Event::new(whole)
}

fn bad(reason: impl Into<String>) -> Error {
    Error::BadEvent(reason.into())
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn fragment(data: &str, fragment: i32, of: i32, field: RawDocumentBuf) -> Event {
        let mut raw = rawdoc! {"_id": {"_data": data}, "splitEvent": {"fragment": fragment, "of": of}};
        for field in &field {
            let (name, value) = field.unwrap();
            raw.append(name, value);
        }
        Event::new(raw).unwrap()
    }

    #[test]
    fn fragments_become_one_event_with_the_last_token() {
        let mut joiner = Joiner::default();
        let first = rawdoc! {"operationType": "update", "ns": {"db": "shop", "coll": "orders"}};
        assert_eq!(joiner.add(fragment("82AA", 1, 3, first)).unwrap(), None);
        assert!(joiner.is_open());
        assert_eq!(joiner.add(fragment("82AB", 2, 3, rawdoc! {"fullDocument": {"n": 1}})).unwrap(), None);
        let whole = joiner.add(fragment("82AC", 3, 3, rawdoc! {"documentKey": {"_id": 7}})).unwrap().unwrap();
        assert!(!joiner.is_open());
        assert_eq!(
            whole.raw(),
            rawdoc! {
                "_id": {"_data": "82AC"},
                "operationType": "update",
                "ns": {"db": "shop", "coll": "orders"},
                "fullDocument": {"n": 1},
                "documentKey": {"_id": 7},
            }
            .as_ref()
        );
        let small = Event::new(rawdoc! {"_id": {"_data": "82AD"}, "operationType": "insert"}).unwrap();
        assert_eq!(joiner.add(small.clone()).unwrap(), Some(small));
    }

    #[test]
    fn a_missing_fragment_and_too_many_bytes_are_errors() {
        let mut joiner = Joiner::with_limit(200);
        let part = |n| fragment("82AA", n, 3, rawdoc! {"fullDocument": {"n": 1}});
        assert!(joiner.add(part(2)).unwrap_err().to_string().contains("fragment 2 of 3 after 0"));
        joiner.add(part(1)).unwrap();
        let small = Event::new(rawdoc! {"_id": {"_data": "82AD"}}).unwrap();
        assert!(joiner.add(small).is_err());
        // It begins again with a first one, as after resuming before it.
        joiner.add(part(1)).unwrap();
        joiner.add(part(2)).unwrap();
        assert!(joiner.add(part(3)).unwrap_err().to_string().contains("more than 200 bytes"));
    }
}
