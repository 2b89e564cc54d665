//! Computed deltas: what differs between two documents, where only those are known (CS-2.5).

use std::collections::BTreeSet;

use millstream_value::{Doc, DocBuf, Element, kind};

/// What an empty object costs in the estimate of a delta's size.
const EMPTY_BYTES: usize = 5;
/// What surrounds the delta in its log entry.
const ROOT_BYTES: usize = 15;
/// What the first entry of a section costs.
const SECTION_BYTES: usize = 8;
/// What an empty array delta costs: an object with its marker.
const ARRAY_BYTES: usize = 9;
/// What a new array length costs.
const RESIZE_BYTES: usize = 7;

/// The `diff` of a `$v: 2` entry that turns `before` into `after`; `None` if it would not be smaller than `after`,
/// so that the change is to be logged as a full replacement.
#[must_use]
pub fn diff(before: Doc<'_>, after: Doc<'_>) -> Option<DocBuf> {
    let delta = objects(before, after, ROOT_BYTES)?.delta;
    (delta.size() < after.as_bytes().len()).then_some(delta)
}

/// A delta and the estimate of its size (CS-2.5.4).
struct Estimated {
    delta: DocBuf,
    bytes: usize,
}

/// The delta of an object while it grows.
struct Growing<'a> {
    removed: DocBuf,
    updated: DocBuf,
    inserted: DocBuf,
    nested: DocBuf,
    bytes: usize,
    limit: Doc<'a>,
}

impl Growing<'_> {
    fn add(section: &mut DocBuf, bytes: &mut usize, element: Element<'_>) {
        Self::grow(section, bytes, element.key().len(), element.bytes().len());
        section.push_element(element);
    }

    fn remove(&mut self, name: &str) {
        Self::grow(&self.removed, &mut self.bytes, name.len(), 1);
        self.removed.push(name, false);
    }

    fn grow(section: &DocBuf, bytes: &mut usize, name: usize, value: usize) {
        if section.as_doc().is_empty() {
            *bytes += SECTION_BYTES;
        }
        *bytes += name + 2 + value;
    }

    fn is_too_large(&self) -> bool {
        self.bytes >= self.limit.as_bytes().len()
    }
}

fn objects(before: Doc<'_>, after: Doc<'_>, overhead: usize) -> Option<Estimated> {
    let mut growing = Growing {
        removed: DocBuf::new(),
        updated: DocBuf::new(),
        inserted: DocBuf::new(),
        nested: DocBuf::new(),
        bytes: EMPTY_BYTES + overhead,
        limit: after,
    };
    let (mut old, mut new) = (before.elements().peekable(), after.elements().peekable());
    let mut candidates: BTreeSet<&[u8]> = BTreeSet::new();
    while let (Some(from), Some(to)) = (old.peek().copied(), new.peek().copied()) {
        if from.key_bytes() != to.key_bytes() {
            candidates.insert(from.key_bytes());
            old.next();
            continue;
        }
        if !from.same_value(to) {
            match nested(from, to) {
                Some(inner) => {
                    growing.bytes += to.key().len() + 3 + inner.bytes;
                    growing.nested.push(&format!("s{}", to.key()), inner.delta);
                }
                None => Growing::add(&mut growing.updated, &mut growing.bytes, to),
            }
        }
        if growing.is_too_large() {
            return None;
        }
        old.next();
        new.next();
    }
    for gone in old {
        growing.remove(gone.key());
    }
    for added in new {
        candidates.remove(added.key_bytes());
        Growing::add(&mut growing.inserted, &mut growing.bytes, added);
    }
    for name in candidates {
        growing.remove(std::str::from_utf8(name).unwrap_or_default());
    }
    if growing.is_too_large() {
        return None;
    }
    let mut delta = DocBuf::new();
    for (name, section) in [("d", &growing.removed), ("u", &growing.updated), ("i", &growing.inserted)] {
        if !section.as_doc().is_empty() {
            delta.push(name, section);
        }
    }
    delta.extend(growing.nested.as_doc());
    Some(Estimated { delta, bytes: growing.bytes })
}

fn arrays(before: Doc<'_>, after: Doc<'_>) -> Option<Estimated> {
    let limit = after.as_bytes().len();
    let mut bytes = ARRAY_BYTES;
    let mut changes = DocBuf::new();
    let (mut old, mut new) = (before.elements(), after.elements());
    let mut index = 0_usize;
    let shorter = loop {
        let (from, to) = match (old.next(), new.next()) {
            (None, None) => break false,
            (Some(_), None) => break true,
            (from, Some(to)) => (from, to),
        };
        if from.is_none_or(|from| !from.same_value(to)) {
            let digits = index.to_string();
            match from.and_then(|from| nested(from, to)) {
                Some(inner) => {
                    bytes += digits.len() + 3 + inner.bytes;
                    changes.push(&format!("s{digits}"), inner.delta);
                }
                None => {
                    bytes += digits.len() + 3 + to.bytes().len();
                    changes.push_as(&format!("u{digits}"), to);
                }
            }
            if bytes >= limit {
                return None;
            }
        }
        index += 1;
    };
    let mut delta = DocBuf::new();
    delta.push("a", true);
    if shorter {
        bytes += RESIZE_BYTES;
        delta.push("l", i32::try_from(index).unwrap_or(i32::MAX));
    }
    if bytes >= limit {
        return None;
    }
    delta.extend(changes.as_doc());
    Some(Estimated { delta, bytes })
}

fn nested(from: Element<'_>, to: Element<'_>) -> Option<Estimated> {
    match (from.kind(), to.kind()) {
        (kind::DOCUMENT, kind::DOCUMENT) => objects(Doc::new(from.bytes()), Doc::new(to.bytes()), 0),
        (kind::ARRAY, kind::ARRAY) => arrays(Doc::new(from.bytes()), Doc::new(to.bytes())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    fn of(before: bson::Document, after: bson::Document) -> Option<bson::Document> {
        let (before, after) =
            (millstream_value::from_bson_document(&before), millstream_value::from_bson_document(&after));
        let delta = diff(before.as_doc(), after.as_doc())?;
        assert_eq!(super::super::delta::apply_delta(before.as_doc(), delta.as_doc()), after, "the delta leads there");
        Some(millstream_value::to_bson_document(delta.as_doc()))
    }

    #[test]
    fn a_delta_must_be_smaller_than_the_document() {
        // CS-2.5.4: 35 bytes of estimate against a document of 21.
        assert_eq!(of(doc! {"_id": 1, "a": 1}, doc! {"_id": 1, "a": 2}), None);
        // `pad` adds 10 bytes and its text: 36 bytes need 5 characters.
        assert_eq!(of(doc! {"_id": 1, "a": 1, "pad": "xxxx"}, doc! {"_id": 1, "a": 2, "pad": "xxxx"}), None);
        let found = of(doc! {"_id": 1, "a": 1, "pad": "xxxxx"}, doc! {"_id": 1, "a": 2, "pad": "xxxxx"});
        assert_eq!(found, Some(doc! {"u": {"a": 2}}));
    }

    #[test]
    fn a_field_in_the_middle_repeats_what_follows() {
        // CS-2.5.1.
        let pad = "x".repeat(100);
        let before = doc! {"_id": 1, "pad": &pad, "a": 1, "b": 2};
        let after = doc! {"_id": 1, "pad": &pad, "new": 0, "a": 1, "b": 2};
        assert_eq!(of(before, after), Some(doc! {"i": {"new": 0, "a": 1, "b": 2}}));
    }

    #[test]
    fn removals_come_in_order() {
        // CS-2.5.6: left over ones first, in document order, then the others by name.
        let pad = "x".repeat(100);
        let before = doc! {"z": 1, "y": 1, "pad": &pad, "n": 1, "m": 1};
        assert_eq!(of(before, doc! {"pad": &pad}), Some(doc! {"d": {"n": false, "m": false, "y": false, "z": false}}));
    }

    #[test]
    fn arrays_compare_by_index() {
        // CS-2.5.2.
        let pad = "x".repeat(100);
        let before = doc! {"pad": &pad, "arr": [1, 2, 3, 4, 5, 6, 7, 8]};
        let shorter = doc! {"pad": &pad, "arr": [1, 2, 3, 4, 5]};
        assert_eq!(of(before.clone(), shorter), Some(doc! {"sarr": {"a": true, "l": 5}}));
        let longer = doc! {"pad": &pad, "arr": [1, 2, 0, 4, 5, 6, 7, 8, 9]};
        assert_eq!(of(before, longer), Some(doc! {"sarr": {"a": true, "u2": 0, "u8": 9}}));
    }

    /// A small document of few names, so that pairs of them share much.
    fn random(state: &mut u64, depth: usize) -> bson::Document {
        let mut out = doc! {"_id": 1, "pad": "x".repeat(if depth == 0 { 80 } else { 6 })};
        for _ in 0..next(state) % 6 {
            let name = ["a", "b", "c", "0", "1"][usize::try_from(next(state) % 5).unwrap()];
            let value: bson::Bson = match next(state) % 5 {
                0 | 1 if depth < 3 => random(state, depth + 1).into(),
                2 => (0..next(state) % 5).map(|_| small(state)).collect::<Vec<_>>().into(),
                3 if depth < 3 => vec![random(state, depth + 1), random(state, depth + 1)].into(),
                _ => small(state),
            };
            out.insert(name, value);
        }
        out
    }

    fn small(state: &mut u64) -> bson::Bson {
        i32::try_from(next(state) % 3).unwrap().into()
    }

    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state >> 33
    }

    #[test]
    fn every_delta_leads_from_before_to_after() {
        let mut state = 88_172_645_463_325_252;
        let mut deltas = 0;
        for _ in 0..5_000 {
            // `of` checks the law itself.
            deltas += usize::from(of(random(&mut state, 0), random(&mut state, 0)).is_some());
        }
        assert!(deltas > 500, "only {deltas} deltas were tried");
    }
}
