//! What an update event says that it did, done again to a copy of the document.
//!
//! Shape:  `updateDescription: { updatedFields: { <path>: <value> }, removedFields: [<path>], truncatedArrays: [{ field,
//!         newSize }], disambiguatedPaths: { <path>: [<name or place>, ...] } }`
//! Paths:  names and places with points between them; where that is not clear, `disambiguatedPaths` has the steps.
//! Result: the copy is as the document was just after the update, in the fields that the copy has.

use bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf};

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// A field, or an element where an array is met.
    Either(String),
    /// A field.
    Field(String),
    /// An element.
    Place(usize),
}

/// Applies an `updateDescription`. `wanted` says which top-level fields the copy has.
pub(crate) fn apply(copy: &mut Document, description: &Document, wanted: impl Fn(&str) -> bool) {
    let clear = description.get_document("disambiguatedPaths").ok();
    let steps = |path: &str| {
        let steps = steps(path, clear);
        let first = match steps.first() {
            Some(Step::Either(name) | Step::Field(name)) => wanted(name),
            _ => false,
        };
        first.then_some(steps)
    };
    for truncated in description.get_array("truncatedArrays").into_iter().flatten().filter_map(Bson::as_document) {
        let size = truncated.get("newSize").and_then(whole).unwrap_or(usize::MAX);
        if let Some(Bson::Array(array)) =
            truncated.get_str("field").ok().and_then(steps).and_then(|steps| get_mut(copy, &steps))
        {
            array.truncate(size);
        }
    }
    for path in description.get_array("removedFields").into_iter().flatten().filter_map(Bson::as_str) {
        if let Some(steps) = steps(path) {
            remove(copy, &steps);
        }
    }
    for (path, value) in description.get_document("updatedFields").into_iter().flatten() {
        if let Some(steps) = steps(path) {
            set(copy, &steps, value.clone());
        }
    }
}

/// The copy after an update that sets and removes whole fields, as most do; `None`: it does more.
pub(crate) fn shallow(
    copy: &RawDocument,
    description: &RawDocument,
    wanted: impl Fn(&str) -> bool,
) -> Option<RawDocumentBuf> {
    let is_empty = |name: &str| match description.get(name) {
        Ok(Some(RawBsonRef::Array(array))) => array.is_empty(),
        Ok(Some(RawBsonRef::Document(document))) => document.is_empty(),
        Ok(found) => found.is_none(),
        Err(_) => false,
    };
    if !is_empty("truncatedArrays") || !is_empty("disambiguatedPaths") {
        return None;
    }
    let updated = description.get_document("updatedFields").ok()?;
    if updated.iter().any(|field| field.map_or(true, |(name, _)| name.as_str().contains('.'))) {
        return None;
    }
    let removed = if is_empty("removedFields") { None } else { Some(description.get_array("removedFields").ok()?) };
    let removed: Vec<&str> = match removed {
        None => Vec::new(),
        Some(names) => {
            let names = names.into_iter().map(|name| name.ok()?.as_str().filter(|name| !name.contains('.')));
            names.collect::<Option<_>>()?
        }
    };
    let mut after = RawDocumentBuf::new();
    for field in copy {
        let (name, value) = field.ok()?;
        if !removed.contains(&name.as_str()) {
            after.append(name, updated.get(name.as_str()).ok()?.unwrap_or(value));
        }
    }
    for field in updated {
        let (name, value) = field.ok()?;
        if wanted(name.as_str()) && copy.get(name.as_str()).ok()?.is_none() {
            after.append(name, value);
        }
    }
    Some(after)
}

/// The paths that an update changed, as text, sorted (`CHANGE_FIELDS()`).
pub(crate) fn paths(description: &Document) -> Vec<String> {
    let updated = description.get_document("updatedFields").into_iter().flatten().map(|(path, _)| path.clone());
    let removed = description.get_array("removedFields").into_iter().flatten().filter_map(Bson::as_str);
    let truncated = description.get_array("truncatedArrays").into_iter().flatten().filter_map(Bson::as_document);
    let truncated = truncated.filter_map(|truncated| truncated.get_str("field").ok());
    let mut paths: Vec<String> = updated.chain(removed.chain(truncated).map(str::to_owned)).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

fn whole(number: &Bson) -> Option<usize> {
    match number {
        Bson::Int32(number) => usize::try_from(*number).ok(),
        Bson::Int64(number) => usize::try_from(*number).ok(),
        _ => None,
    }
}

fn steps(path: &str, clear: Option<&Document>) -> Vec<Step> {
    if let Some(steps) = clear.and_then(|clear| clear.get_array(path).ok()) {
        return steps
            .iter()
            .map(|step| match step {
                Bson::String(name) => Step::Field(name.clone()),
                other => Step::Place(whole(other).unwrap_or(usize::MAX)),
            })
            .collect();
    }
    path.split('.').map(|step| Step::Either(step.to_owned())).collect()
}

fn place(step: &Step) -> Option<usize> {
    match step {
        Step::Place(place) => Some(*place),
        Step::Either(text) => text.parse().ok(),
        Step::Field(_) => None,
    }
}

fn name(step: &Step) -> String {
    match step {
        Step::Either(name) | Step::Field(name) => name.clone(),
        Step::Place(place) => place.to_string(),
    }
}

fn child<'v>(value: &'v mut Bson, step: &Step) -> Option<&'v mut Bson> {
    match value {
        Bson::Array(array) => array.get_mut(place(step)?),
        Bson::Document(document) => document.get_mut(name(step)),
        _ => None,
    }
}

fn get_mut<'d>(document: &'d mut Document, steps: &[Step]) -> Option<&'d mut Bson> {
    let (first, rest) = steps.split_first()?;
    rest.iter().try_fold(document.get_mut(name(first))?, child)
}

fn remove(document: &mut Document, steps: &[Step]) {
    let Some((last, parents)) = steps.split_last() else { return };
    if parents.is_empty() {
        document.remove(name(last));
    } else if let Some(Bson::Document(parent)) = get_mut(document, parents) {
        parent.remove(name(last));
    }
}

/// More elements than this are not made up to reach a place.
const PLACES_MAX: usize = 1_500_000;

fn set(document: &mut Document, steps: &[Step], value: Bson) {
    let Some((first, rest)) = steps.split_first() else { return };
    if rest.is_empty() {
        document.insert(name(first), value);
        return;
    }
    let mut at = document.entry(name(first)).or_insert_with(|| Document::new().into());
    let last = rest.len() - 1;
    for (depth, step) in rest.iter().enumerate() {
        let next = match at {
            Bson::Array(array) => {
                let Some(place) = place(step).filter(|place| *place < PLACES_MAX) else { return };
                while array.len() <= place {
                    array.push(Bson::Null);
                }
                array.get_mut(place)
            }
            Bson::Document(document) => Some(document.entry(name(step)).or_insert(Bson::Null)),
            _ => None,
        };
        let Some(next) = next else { return };
        if depth == last {
            *next = value;
            return;
        }
        if !matches!(next, Bson::Array(_) | Bson::Document(_)) {
            *next = Document::new().into();
        }
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    fn patched(mut copy: Document, description: Document) -> Document {
        let raw = |document: &Document| RawDocumentBuf::try_from(document).unwrap();
        let shallow = shallow(&raw(&copy), &raw(&description), |_| true);
        apply(&mut copy, &description, |_| true);
        if let Some(shallow) = shallow {
            assert_eq!(shallow, raw(&copy));
        }
        copy
    }

    #[test]
    fn whole_fields_are_set_and_removed_without_taking_the_copy_apart() {
        let before = doc! {"_id": 1, "a": 1, "gone": 2, "b": {"c": 1}};
        let description = doc! {"updatedFields": {"new": 7, "b": 5, "a": null}, "removedFields": ["gone", "never"]};
        assert_eq!(patched(before.clone(), description.clone()), doc! {"_id": 1, "a": null, "b": 5, "new": 7});
        let raw = |document: &Document| RawDocumentBuf::try_from(document).unwrap();
        let some = shallow(&raw(&before), &raw(&description), |name| name != "new").unwrap();
        assert_eq!(some, raw(&doc! {"_id": 1, "a": null, "b": 5}));
        let deep = doc! {"updatedFields": {"b.c": 7}, "removedFields": []};
        assert_eq!(shallow(&raw(&before), &raw(&deep), |_| true), None);
    }

    #[test]
    fn fields_elements_and_new_parents() {
        let before = doc! {"_id": 1, "a": {"b": 1, "c": 2}, "list": [1, {"x": 1}, 3], "gone": true};
        let description = doc! {
            "updatedFields": {"a.b": 5, "list.1.x": 7, "new": [1], "a.d.e": 1},
            "removedFields": ["gone", "a.c"],
        };
        let after = doc! {"_id": 1, "a": {"b": 5, "d": {"e": 1}}, "list": [1, {"x": 7}, 3], "new": [1]};
        assert_eq!(patched(before, description), after);
    }

    #[test]
    fn arrays_shrink_and_grow() {
        let before = doc! {"_id": 1, "list": [1, 2, 3, 4], "deep": {"list": [1, 2]}};
        let description = doc! {
            "updatedFields": {"list.0": 9, "deep.list.2": 3, "deep.list.4": 5},
            "removedFields": [],
            "truncatedArrays": [{"field": "list", "newSize": 2}],
        };
        let after = doc! {"_id": 1, "list": [9, 2], "deep": {"list": [1, 2, 3, null, 5]}};
        assert_eq!(patched(before, description), after);
    }

    #[test]
    fn names_with_points_and_digits_are_told_apart() {
        let before = doc! {"_id": 1, "a.b": 1, "a": {"0": {"x": 1}, "b": 2}};
        let description = doc! {
            "updatedFields": {"a.b": 5, "a.0.x": 2},
            "removedFields": [],
            "disambiguatedPaths": {"a.b": ["a.b"], "a.0.x": ["a", "0", "x"]},
        };
        assert_eq!(patched(before, description), doc! {"_id": 1, "a.b": 5, "a": {"0": {"x": 2}, "b": 2}});
    }

    #[test]
    fn fields_that_the_copy_has_not_are_left_alone() {
        let mut copy = doc! {"_id": 1, "a": 1};
        apply(&mut copy, &doc! {"updatedFields": {"a": 2, "b.c": 3}, "removedFields": ["d"]}, |name| name == "a");
        assert_eq!(copy, doc! {"_id": 1, "a": 2});
    }

    /// SQL-12.9: `CHANGE_FIELDS()`
    #[test]
    fn changed_paths_are_sorted() {
        let description = doc! {
            "updatedFields": {"z": 1, "a.b": 2},
            "removedFields": ["m"],
            "truncatedArrays": [{"field": "l", "newSize": 2}],
        };
        assert_eq!(paths(&description), ["a.b", "l", "m", "z"]);
    }
}
