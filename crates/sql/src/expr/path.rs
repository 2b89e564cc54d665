//! Steps into documents and arrays (SQL-3.5): never an error, NULL where there is nothing.

use std::borrow::Cow;

use millstream_flow::Datum;
use millstream_value::{Doc, Value};

use super::Step;

const MISSING: Cow<'static, Datum> = Cow::Borrowed(&Datum::Missing);

/// Follows the steps. Only what is at the end is made a value of.
pub(crate) fn walk<'a>(root: Cow<'a, Datum>, steps: &[Step]) -> Cow<'a, Datum> {
    let Some((step, rest)) = steps.split_first() else { return root };
    match (root, step) {
        (Cow::Borrowed(Datum::Array(values)), Step::Index(at)) => {
            match place(*at, values.len()).and_then(|at| values.get(at)) {
                Some(value) => walk(Cow::Borrowed(value), rest),
                None => MISSING,
            }
        }
        (Cow::Owned(Datum::Array(values)), Step::Index(at)) => {
            match place(*at, values.len()).and_then(|at| values.get(at)) {
                Some(value) => walk(Cow::Owned(value.clone()), rest),
                None => MISSING,
            }
        }
        (root, Step::Field(name)) => match &*root {
            Datum::Document(bytes) => {
                Doc::new(bytes).get(name).map_or(MISSING, |value| Cow::Owned(stored(&value, rest)))
            }
            _ => MISSING,
        },
        (_, Step::Index(_)) => MISSING,
    }
}

/// Follows the steps within stored bytes.
fn stored(value: &Value<'_>, steps: &[Step]) -> Datum {
    let Some((step, rest)) = steps.split_first() else { return Datum::from_value(value) };
    let next = match step {
        Step::Field(name) => value.as_doc().and_then(|doc| doc.get(name)),
        Step::Index(at) => value.as_array().and_then(|array| {
            let at = if *at < 0 { place(*at, array.len())? } else { usize::try_from(*at).ok()? };
            array.values().nth(at)
        }),
    };
    next.map_or(Datum::Missing, |next| stored(&next, rest))
}

/// The place of an index that counts from the end if it is negative.
pub(crate) fn place(index: i64, length: usize) -> Option<usize> {
    if index >= 0 {
        return usize::try_from(index).ok().filter(|at| *at < length);
    }
    length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
}

/// One step by a value: a name on a document, a place in an array; on an array also a place that is text.
pub(crate) fn get(value: &Datum, key: &Datum, text_is_place: bool) -> Datum {
    let step = match (value, key) {
        (Datum::Document(_), Datum::Text(name)) => Step::Field(name.to_string()),
        (Datum::Array(_), Datum::Text(text)) if text_is_place => match text.trim().parse() {
            Ok(at) => Step::Index(at),
            Err(_) => return Datum::Null,
        },
        (Datum::Array(_), key) => match super::number::to_i64(key) {
            Some(at) => Step::Index(at),
            None => return Datum::Null,
        },
        _ => return Datum::Null,
    };
    walk(Cow::Borrowed(value), &[step]).into_owned()
}
