//! What a write does to one document (SQL-10.4): values at paths.

use bson::{Bson, Document};
use millstream_sql::SqlError;
use millstream_sql::expr::Step;

use crate::error::Result;

/// Puts a value at a path; `None` takes away what is there. Missing parents become documents.
pub(crate) fn set(document: &mut Document, path: &[Step], value: Option<Bson>) -> Result<()> {
    let Some((Step::Field(first), rest)) = path.split_first() else {
        return Err(wrong(path, "a document's own fields have names"));
    };
    let Some((last, parents)) = rest.split_last() else {
        match value {
            Some(value) => drop(document.insert(first.clone(), value)),
            None => drop(document.remove(first)),
        }
        return Ok(());
    };
    if value.is_none() && !document.contains_key(first) {
        return Ok(());
    }
    let mut at = document.entry(first.clone()).or_insert(Bson::Null);
    for step in parents {
        make(at, step);
        at = child(at, step, path)?;
    }
    make(at, last);
    match (at, last) {
        (Bson::Document(parent), Step::Field(name)) => match value {
            Some(value) => drop(parent.insert(name.clone(), value)),
            None => drop(parent.remove(name)),
        },
        (Bson::Array(parent), Step::Index(place)) => {
            let slot = usize::try_from(*place).ok().and_then(|place| parent.get_mut(place));
            let slot = slot.ok_or_else(|| wrong(path, "the array has no such element"))?;
            *slot = value.unwrap_or(Bson::Null);
        }
        _ => return Err(wrong(path, "its parent is neither a document nor an array")),
    }
    Ok(())
}

/// Where there is nothing, a name makes a document.
fn make(value: &mut Bson, step: &Step) {
    if matches!(value, Bson::Null | Bson::Undefined) && matches!(step, Step::Field(_)) {
        *value = Document::new().into();
    }
}

fn child<'v>(value: &'v mut Bson, step: &Step, path: &[Step]) -> Result<&'v mut Bson> {
    match (value, step) {
        (Bson::Document(parent), Step::Field(name)) => Ok(parent.entry(name.clone()).or_insert(Bson::Null)),
        (Bson::Array(parent), Step::Index(place)) => {
            let slot = usize::try_from(*place).ok().and_then(|place| parent.get_mut(place));
            slot.ok_or_else(|| wrong(path, "the array has no such element"))
        }
        _ => Err(wrong(path, "its parent is neither a document nor an array")),
    }
}

/// The value at a path.
pub(crate) fn get<'d>(document: &'d Document, path: &[Step]) -> Option<&'d Bson> {
    let (Step::Field(first), rest) = path.split_first()? else { return None };
    rest.iter().try_fold(document.get(first)?, |value, step| match (value, step) {
        (Bson::Document(parent), Step::Field(name)) => parent.get(name),
        (Bson::Array(parent), Step::Index(place)) => usize::try_from(*place).ok().and_then(|place| parent.get(place)),
        _ => None,
    })
}

/// The path as an update has it, if it can be said so.
pub(crate) fn dotted(path: &[Step]) -> Option<String> {
    let mut text = String::new();
    for step in path {
        if !text.is_empty() {
            text.push('.');
        }
        match step {
            // Digits would be a place where an array is met.
            Step::Field(name) if name.is_empty() || name.contains('.') || name.starts_with('$') => return None,
            Step::Field(name) => text.push_str(name),
            Step::Index(place) => text.push_str(&place.to_string()),
        }
    }
    Some(text)
}

fn wrong(path: &[Step], why: &str) -> SqlError {
    SqlError::new("42804", format!("{} cannot be written: {why}", dotted(path).unwrap_or_else(|| "the path".into())))
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    fn path(text: &str) -> Vec<Step> {
        text.split('.').map(|step| step.parse().map_or_else(|_| Step::Field(step.to_owned()), Step::Index)).collect()
    }

    /// SQL-10.4, E-23
    #[test]
    fn paths_are_written() {
        let mut document =
            doc! {"_id": 1, "items": [{"sku": "a"}, {"sku": "b", "price": 4.0}], "address": {"city": "Rome"}};
        set(&mut document, &path("items.1.price"), Some(5.into())).unwrap();
        set(&mut document, &path("address.zip"), Some("00100".into())).unwrap();
        set(&mut document, &path("new.a.b"), Some(1.into())).unwrap();
        set(&mut document, &path("items.0.sku"), None).unwrap();
        set(&mut document, &path("nothing.here"), None).unwrap();
        let expected = doc! {
            "_id": 1,
            "items": [{}, {"sku": "b", "price": 5}],
            "address": {"city": "Rome", "zip": "00100"},
            "new": {"a": {"b": 1}},
        };
        assert_eq!(document, expected);
        assert_eq!(get(&document, &path("items.1.price")), Some(&Bson::Int32(5)));
    }

    /// SQL-10.4, E-23
    #[test]
    fn what_is_no_parent_is_refused() {
        let mut document = doc! {"_id": 2, "items": [], "address": "none"};
        for bad in ["items.1.price", "address.zip", "items.0", "address.0"] {
            assert_eq!(set(&mut document, &path(bad), Some(1.into())).unwrap_err().state.0, "42804", "{bad}");
        }
    }
}
