//! Stored deltas: what an event says about them, and applying them (CS-2.6, CS-2.7).

use millstream_value::{ArrayBuf, Doc, DocBuf, Element, Value, kind};

use super::tree::array_index;

/// How many nulls a delta may add to an array: the size of the largest document over that of a null element.
const PADDING_MAX: usize = 1_500_000;

/// An event's `updateDescription`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateDescription {
    /// New values by dotted path.
    pub updated_fields: DocBuf,
    /// Dotted paths of what is gone.
    pub removed_fields: ArrayBuf,
    /// `{field: <dotted path>, newSize: <int>}` for every array that was cut.
    pub truncated_arrays: ArrayBuf,
    /// The components of every path above that is ambiguous, by that path.
    pub disambiguated_paths: DocBuf,
}

/// Translates a delta; never looks at the document.
#[must_use]
pub fn describe(diff: Doc<'_>) -> UpdateDescription {
    let mut out = UpdateDescription::default();
    object(diff, &mut Trail::default(), &mut out);
    out
}

/// The components that lead to where a delta is read.
#[derive(Default)]
struct Trail {
    path: String,
    parts: Vec<Part>,
}

enum Part {
    Field(String),
    Index(i32),
}

impl Trail {
    /// Runs `visit` one component deeper.
    fn enter(&mut self, part: Part, visit: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if !self.parts.is_empty() {
            self.path.push('.');
        }
        match &part {
            Part::Field(name) => self.path.push_str(name),
            Part::Index(index) => self.path.push_str(&index.to_string()),
        }
        self.parts.push(part);
        visit(self);
        self.parts.pop();
        self.path.truncate(length);
    }

    /// CS-2.7.2: a name with a dot, or one of digits that is not the first component.
    fn is_ambiguous(&self) -> bool {
        self.parts.iter().enumerate().any(|(position, part)| match part {
            Part::Field(name) => {
                name.contains('.') || (position > 0 && !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()))
            }
            Part::Index(_) => false,
        })
    }

    fn note(&self, out: &mut UpdateDescription) {
        if self.is_ambiguous() {
            out.disambiguated_paths.array(&self.path, |parts| {
                for part in &self.parts {
                    match part {
                        Part::Field(name) => parts.push(name),
                        Part::Index(index) => parts.push(*index),
                    };
                }
            });
        }
    }
}

fn object(diff: Doc<'_>, trail: &mut Trail, out: &mut UpdateDescription) {
    for section in ["u", "i"] {
        for element in diff.doc(section).into_iter().flat_map(Doc::elements) {
            trail.enter(Part::Field(element.key().to_owned()), |trail| updated(element, trail, out));
        }
    }
    for element in diff.doc("d").into_iter().flat_map(Doc::elements) {
        trail.enter(Part::Field(element.key().to_owned()), |trail| {
            out.removed_fields.push(trail.path.as_str());
            trail.note(out);
        });
    }
    for (name, inner) in nested(diff) {
        trail.enter(Part::Field(name.to_owned()), |trail| below(inner, trail, out));
    }
}

fn array(diff: Doc<'_>, trail: &mut Trail, out: &mut UpdateDescription) {
    if let Some(length) = diff.get("l") {
        let mut entry = DocBuf::new();
        entry.push("field", trail.path.as_str()).push("newSize", length);
        out.truncated_arrays.push(entry);
        trail.note(out);
    }
    for element in diff.elements() {
        let Some(index) = element.key().strip_prefix('u').and_then(|digits| digits.parse().ok()) else {
            continue;
        };
        trail.enter(Part::Index(index), |trail| updated(element, trail, out));
    }
    for (name, inner) in nested(diff) {
        if let Ok(index) = name.parse() {
            trail.enter(Part::Index(index), |trail| below(inner, trail, out));
        }
    }
}

fn below(diff: Doc<'_>, trail: &mut Trail, out: &mut UpdateDescription) {
    if is_array(diff) { array(diff, trail, out) } else { object(diff, trail, out) }
}

fn updated(element: Element<'_>, trail: &Trail, out: &mut UpdateDescription) {
    out.updated_fields.push_as(&trail.path, element);
    trail.note(out);
}

fn is_array(diff: Doc<'_>) -> bool {
    diff.get("a") == Some(Value::Bool(true))
}

fn nested(diff: Doc<'_>) -> impl Iterator<Item = (&str, Doc<'_>)> {
    diff.elements().filter_map(|e| Some((e.key().strip_prefix('s')?, e.as_doc()?)))
}

/// Applies a delta. What it expects and does not find is skipped (CS-2.6.4).
#[must_use]
pub fn apply_delta(before: Doc<'_>, diff: Doc<'_>) -> DocBuf {
    let empty = Doc::empty();
    let (removed, changed) = (diff.doc("d").unwrap_or(empty), diff.doc("u").unwrap_or(empty));
    let inserted = diff.doc("i").unwrap_or(empty);
    let mut out = DocBuf::with_capacity(before.as_bytes().len() + diff.as_bytes().len());
    for element in before.elements() {
        let name = element.key();
        if removed.has(name) || inserted.has(name) {
            continue;
        }
        if let Some(new) = changed.element(name) {
            out.push_element(new);
        } else if let Some((_, inner)) = nested(diff).find(|(known, _)| *known == name) {
            apply_nested(&mut out, name, element, inner);
        } else {
            out.push_element(element);
        }
    }
    for element in changed.elements().filter(|e| !before.has(e.key())) {
        out.push_element(element);
    }
    out.extend(inserted);
    out
}

fn apply_nested(out: &mut DocBuf, name: &str, old: Element<'_>, diff: Doc<'_>) {
    match (old.kind(), is_array(diff)) {
        (kind::DOCUMENT, false) => out.push(name, apply_delta(Doc::new(old.bytes()), diff)),
        (kind::ARRAY, true) => out.push(name, apply_array(Doc::new(old.bytes()), diff)),
        _ => out.push_as(name, old),
    };
}

fn apply_array(before: Doc<'_>, diff: Doc<'_>) -> ArrayBuf {
    let limit = diff.get("l").and_then(|l| l.as_integer()).and_then(|l| usize::try_from(l).ok());
    let mut changes = diff.elements().filter_map(array_change).peekable();
    let mut out = ArrayBuf::new();
    for old in before.elements().take(limit.unwrap_or(usize::MAX)) {
        let change = changes.next_if(|(_, index, _)| *index == out.len());
        match change {
            None => out.push_element(old),
            Some((false, _, new)) => out.push_element(new),
            Some((true, _, diff)) => {
                let mut holder = DocBuf::new();
                apply_nested(&mut holder, "v", old, diff.as_doc().unwrap_or(Doc::empty()));
                out.push(holder.as_doc().get("v").unwrap_or(Value::Null))
            }
        };
    }
    for (within, index, new) in changes {
        if within || index < out.len() || index - out.len() > PADDING_MAX {
            continue;
        }
        while out.len() < index {
            out.push(Value::Null);
        }
        out.push_element(new);
    }
    out
}

/// Whether an entry of an array's delta goes into its element, which one that is, and the entry.
fn array_change(element: Element<'_>) -> Option<(bool, usize, Element<'_>)> {
    let (kind, digits) = element.key().split_at_checked(1)?;
    match kind {
        "u" => Some((false, array_index(digits)?, element)),
        "s" => Some((true, array_index(digits)?, element)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    fn buffer(doc: bson::Document) -> DocBuf {
        millstream_value::from_bson_document(&doc)
    }

    #[test]
    fn order_is_u_i_d_then_nested() {
        // CS-2.6.3 and CS-2.6.6.
        let diff = doc! {
            "d": {"note": false}, "u": {"qty": 3}, "i": {"new": 1},
            "sship": {"u": {"city": "Oslo"}}, "stags": {"a": true, "l": 4, "u1": "new", "s2": {"d": {"x": false}}},
        };
        let found = describe(buffer(diff).as_doc());
        let updated = doc! {"qty": 3, "new": 1, "ship.city": "Oslo", "tags.1": "new"};
        assert_eq!(found.updated_fields, buffer(updated));
        assert_eq!(found.removed_fields, ["note", "tags.2.x"].into_iter().collect());
        let cut = buffer(doc! {"field": "tags", "newSize": 4});
        assert_eq!(found.truncated_arrays, [cut].into_iter().collect());
        assert!(found.disambiguated_paths.as_doc().is_empty());
    }

    #[test]
    fn ambiguous_paths_are_listed() {
        // CS-2.7.3.
        let paths =
            |diff| millstream_value::to_bson_document(describe(buffer(diff).as_doc()).disambiguated_paths.as_doc());
        assert_eq!(paths(doc! {"sa": {"u": {"0": 2}}}), doc! {"a.0": ["a", "0"]});
        let deep = doc! {"sarr": {"a": true, "s0": {"u": {"1": 6}}}};
        assert_eq!(paths(deep), doc! {"arr.0.1": ["arr", 0, "1"]});
        assert_eq!(paths(doc! {"u": {"0": 2}}), doc! {});
        assert_eq!(paths(doc! {"i": {"x.y": 1}}), doc! {"x.y": ["x.y"]});
        assert_eq!(paths(doc! {"sa": {"a": true, "u0": 1}}), doc! {});
    }

    #[test]
    fn missing_parents_are_skipped() {
        // CS-2.6.4.
        let before = buffer(doc! {"a": 1, "arr": [1]});
        let diff = buffer(doc! {"sx": {"u": {"y": 1}}, "sa": {"u": {"b": 1}}, "sarr": {"a": true, "u3": 4}});
        let after = buffer(doc! {"a": 1, "arr": [1, null, null, 4]});
        assert_eq!(apply_delta(before.as_doc(), diff.as_doc()), after);
    }
}
