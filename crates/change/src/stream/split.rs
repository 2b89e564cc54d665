//! `$changeStreamSplitLargeEvent`: a large event as several documents, each small enough for a reply.
//!
//! Shape:  `{ $changeStreamSplitLargeEvent: {} }`, the last stage
//! Result: small events as they are; of large ones fragments with `_id` (the token and the fragment's number),
//!         `splitEvent: {fragment, of}` and whole top-level fields, small ones first
//! Errors: `FieldTooLarge` (7182500), `NothingToSplit` (7182502), 280 if a client resumes from a fragment that the event
//!         no longer has
//! Source: CS-6.8.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use millstream_value::{Doc, Element};

use crate::raw::Raw;
use crate::token::Encoded;
use crate::{Error, Result};

/// The size up to which an event passes unchanged, and of a fragment (CS-6.8.2).
const FRAGMENT_BYTES_MAX: usize = 16_785_408;

/// What `splitEvent` and the document around the fields take.
const FRAME_BYTES: usize = 64;

/// How many events were split since the process began.
static LARGE_EVENTS_SPLIT: AtomicU64 = AtomicU64::new(0);

/// How many events were split since the process began, in all streams.
#[must_use]
pub fn large_events_split() -> u64 {
    LARGE_EVENTS_SPLIT.load(Ordering::Relaxed)
}

/// The fragments of an event from number `first` on, or the event itself.
pub(super) fn fragments(event: Bytes, id: impl Fn(u32) -> Encoded, first: usize) -> Result<Vec<Bytes>> {
    if event.len() <= FRAGMENT_BYTES_MAX {
        if first > 0 {
            return Err(Error::FragmentNotFound("the event is not large enough to be split"));
        }
        return Ok(vec![event]);
    }
    let groups = pack(Doc::new(&event), FRAGMENT_BYTES_MAX.saturating_sub(id(u32::MAX).size_hint() + FRAME_BYTES))?;
    if first > groups.len() {
        return Err(Error::FragmentNotFound("the event has fewer fragments"));
    }
    LARGE_EVENTS_SPLIT.fetch_add(1, Ordering::Relaxed);
    let count = i32::try_from(groups.len()).unwrap_or(i32::MAX);
    let numbered = (0_i32..).zip(&groups).skip(first);
    Ok(numbered.map(|(number, fields)| fragment(number, count, fields, &id)).collect())
}

/// Fields in ascending order of size, by name where equal, as many in a group as fit (CS-6.8.3).
fn pack(event: Doc<'_>, room: usize) -> Result<Vec<Vec<Element<'_>>>> {
    let mut fields: Vec<_> = event.elements().filter(|field| field.key_bytes() != b"_id").collect();
    if fields.is_empty() {
        return Err(Error::NothingToSplit);
    }
    fields.sort_by(|a, b| size(*a).cmp(&size(*b)).then_with(|| a.key_bytes().cmp(b.key_bytes())));
    let mut groups: Vec<Vec<Element<'_>>> = Vec::new();
    let mut left = 0;
    for field in fields {
        let bytes = size(field);
        if bytes > room {
            return Err(Error::FieldTooLarge { field: field.key().to_owned(), bytes });
        }
        match groups.last_mut() {
            Some(group) if bytes <= left => group.push(field),
            _ => {
                groups.push(vec![field]);
                left = room;
            }
        }
        left -= bytes;
    }
    Ok(groups)
}

fn size(field: Element<'_>) -> usize {
    field.key_bytes().len() + field.bytes().len() + 2
}

fn fragment(number: i32, of: i32, fields: &[Element<'_>], id: &impl Fn(u32) -> Encoded) -> Bytes {
    let bytes: usize = fields.iter().map(|field| size(*field)).sum();
    let mut out = Raw::with_capacity(bytes + 512);
    let open = out.open();
    id(u32::try_from(number).unwrap_or_default()).write(&mut out);
    let split = out.open_doc("splitEvent");
    // Numbers count from 1 here and from 0 in tokens.
    out.int("fragment", number.saturating_add(1));
    out.int("of", of);
    out.close(split);
    for field in fields {
        out.element(*field);
    }
    out.close(open);
    out.into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::EventName;
    use millstream_value::{ClusterTime, DocBuf};

    fn split(fields: &[(&str, usize)]) -> Result<Vec<Bytes>> {
        let mut event = DocBuf::new();
        event.push("_id", 1);
        for (name, size) in fields {
            event.push(name, "x".repeat(*size).as_str());
        }
        let id = |fragment| {
            let (time, detail) = (ClusterTime::new(5, 1), crate::token::Detail::None);
            let fragment = Some(fragment);
            EventName {
                time,
                version: 2,
                index: 0,
                from_invalidate: false,
                uuid: None,
                operation: "x",
                detail,
                fragment,
            }
            .encode()
        };
        fragments(event.into_bytes().into(), id, 0)
    }

    /// What a document of `_id` and one text takes besides the text.
    const OVERHEAD: usize = 4 + 9 + 1 + 2 + 4 + 1 + 1;

    /// CS-6.8.2: to the byte.
    #[test]
    fn an_event_is_split_only_above_the_limit() {
        let largest = FRAGMENT_BYTES_MAX - OVERHEAD;
        let whole = split(&[("a", largest)]).unwrap();
        assert!(whole.len() == 1 && whole[0].len() == FRAGMENT_BYTES_MAX);
        assert!(!Doc::new(&whole[0]).has("splitEvent"));
        let code = |fields: &[(&str, usize)]| split(fields).unwrap_err().code().number();
        // CS-6.8.3: a field is never cut, and there must be one.
        assert_eq!(code(&[("a", largest + 1)]), 7_182_500);
        assert_eq!(split(&[("a", largest), ("b", 1)]).unwrap_err().code().number(), 7_182_500);
        assert_eq!(split(&[("a", largest / 2), ("b", largest / 2), ("c", 9)]).unwrap().len(), 2);
    }

    /// CS-6.8.3: by size, then by name, as many as fit.
    #[test]
    fn fields_are_packed_from_the_small_to_the_large() {
        let third = FRAGMENT_BYTES_MAX / 3;
        let parts = split(&[("z", third), ("m", third), ("a", third), ("small", 5)]).unwrap();
        let names = |part: &Bytes| Doc::new(part).elements().map(|e| e.key().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&parts[0]), ["_id", "splitEvent", "small", "a", "m"]);
        assert_eq!(names(&parts[1]), ["_id", "splitEvent", "z"]);
        let mut nothing = DocBuf::new();
        nothing.push("_id", 1);
        assert!(matches!(pack(nothing.as_doc(), 100), Err(Error::NothingToSplit)));
    }
}
