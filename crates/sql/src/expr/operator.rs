//! Operators on documents and arrays, and `||` (SQL-5.3, SQL-3.6).

use std::collections::HashSet;

use millstream_flow::{Datum, RowError, key};
use millstream_value::{Doc, DocBuf};

use super::calendar::Result;
use super::eval::Side;
use super::{Context, Operator, cast, number, path, print, stored};

/// `a how b`. A literal that meets a document or an array is JSON where it reads so.
pub(crate) fn sides(how: Operator, a: &Side<'_>, b: &Side<'_>, context: &Context) -> Result<Datum> {
    let nested = |value: &Datum| matches!(value, Datum::Document(_) | Datum::Array(_));
    let (a, b) = match (a, b) {
        (Side::Value(a), Side::Untyped(b)) => (&**a, if nested(a) { b.as_json() } else { &b.text }),
        (Side::Untyped(a), Side::Value(b)) => (if nested(b) { a.as_json() } else { &a.text }, &**b),
        (a, b) => a.meet(b),
    };
    values(how, a, b, context)
}

pub(crate) fn values(how: Operator, a: &Datum, b: &Datum, context: &Context) -> Result<Datum> {
    if a.is_null() || b.is_null() {
        return Ok(Datum::Null);
    }
    let zone = &context.time_zone;
    let none = || {
        let message = format!("there is no {} {} {}", cast::name(a), sign(how), cast::name(b));
        RowError::new("42804", message)
    };
    match how {
        Operator::Concat => Ok(concat(a, b, context)),
        Operator::Contains => contains(a, b).map(Datum::Bool).ok_or_else(none),
        Operator::ContainedIn => contains(b, a).map(Datum::Bool).ok_or_else(none),
        Operator::HasKey => match b {
            Datum::Text(name) => has_key(a, name).map(Datum::Bool).ok_or_else(none),
            _ => Err(none()),
        },
        Operator::HasAnyKey | Operator::HasAllKeys => {
            let Datum::Array(names) = b else { return Err(none()) };
            let mut found = names.iter().filter_map(|name| match name {
                Datum::Text(name) => Some(has_key(a, name)),
                _ => None,
            });
            let truth = if how == Operator::HasAnyKey {
                found.try_fold(false, |so_far, next| Some(so_far | next?))
            } else {
                found.try_fold(true, |so_far, next| Some(so_far & next?))
            };
            truth.map(Datum::Bool).ok_or_else(none)
        }
        Operator::Overlaps => {
            let (Datum::Array(a), Datum::Array(b)) = (a, b) else { return Err(none()) };
            let keys = keys(a);
            Ok(Datum::Bool(b.iter().any(|value| !value.is_null() && keys.contains(&key::of(value)))))
        }
        Operator::Without => without(a, b).ok_or_else(none),
        Operator::WithoutPath => match (a, b) {
            (Datum::Document(_) | Datum::Array(_), Datum::Array(steps)) => Ok(changed(a, steps, &Change::Remove, zone)),
            _ => Err(none()),
        },
        Operator::Get => Ok(path::get(a, b, false)),
        Operator::GetText => Ok(as_text(path::get(a, b, false), context)),
        Operator::GetPath | Operator::GetPathText => {
            let Datum::Array(steps) = b else { return Err(none()) };
            let found = steps.iter().fold(a.clone(), |value, step| path::get(&value, step, true));
            Ok(if how == Operator::GetPath { found } else { as_text(found, context) })
        }
    }
}

fn sign(how: Operator) -> &'static str {
    match how {
        Operator::Concat => "||",
        Operator::Contains => "@>",
        Operator::ContainedIn => "<@",
        Operator::HasKey => "?",
        Operator::HasAnyKey => "?|",
        Operator::HasAllKeys => "?&",
        Operator::Without => "-",
        Operator::WithoutPath => "#-",
        Operator::Overlaps => "&&",
        Operator::Get => "->",
        Operator::GetText => "->>",
        Operator::GetPath => "#>",
        Operator::GetPathText => "#>>",
    }
}

fn as_text(value: Datum, context: &Context) -> Datum {
    match value {
        value if value.is_null() => Datum::Null,
        Datum::Text(_) => value,
        other => Datum::text(print::text(&other, &context.time_zone)),
    }
}

fn concat(a: &Datum, b: &Datum, context: &Context) -> Datum {
    let chain = |left: &[Datum], right: &[Datum]| Datum::Array(left.iter().chain(right).cloned().collect());
    match (a, b) {
        (Datum::Array(a), Datum::Array(b)) => chain(a, b),
        (Datum::Array(a), b) => chain(a, std::slice::from_ref(b)),
        (a, Datum::Array(b)) => chain(std::slice::from_ref(a), b),
        (Datum::Document(a), Datum::Document(b)) => merged(Doc::new(a), Doc::new(b)),
        (Datum::Binary(_, a), Datum::Binary(_, b)) => Datum::Binary(0, a.iter().chain(b.iter()).copied().collect()),
        (a, b) => {
            let zone = &context.time_zone;
            Datum::text(format!("{}{}", print::text(a, zone), print::text(b, zone)))
        }
    }
}

/// Fields of both: the right one's value wins, at the left one's place; new fields come at the end.
fn merged(left: Doc<'_>, right: Doc<'_>) -> Datum {
    let mut out = DocBuf::new();
    for element in left.elements() {
        out.push_element(right.element(element.key()).unwrap_or(element));
    }
    for element in right.elements().filter(|element| !left.has(element.key())) {
        out.push_element(element);
    }
    stored::from_buf(out)
}

fn keys(values: &[Datum]) -> HashSet<Vec<u8>> {
    values.iter().filter(|value| !value.is_null()).map(key::of).collect()
}

/// `None`: there is no such operator.
fn contains(a: &Datum, b: &Datum) -> Option<bool> {
    Some(match (a, b) {
        (Datum::Document(a), Datum::Document(b)) => {
            let outer = Doc::new(a);
            Doc::new(b).elements().all(|element| {
                let inner = Datum::from_value(&element.value());
                outer.get(element.key()).is_some_and(|value| within(&Datum::from_value(&value), &inner))
            })
        }
        (Datum::Array(a), Datum::Array(b)) => {
            let keys: HashSet<Vec<u8>> = a.iter().map(key::of).collect();
            b.iter().all(|value| keys.contains(&key::of(value)))
        }
        (Datum::Array(a), b) => a.iter().any(|value| key::equal(value, b)),
        (Datum::Document(_), Datum::Array(_)) => false,
        _ => return None,
    })
}

/// What a field holds: documents and arrays contain, anything else is equal.
fn within(outer: &Datum, inner: &Datum) -> bool {
    match (outer, inner) {
        (Datum::Document(_), Datum::Document(_)) | (Datum::Array(_), Datum::Array(_)) => {
            contains(outer, inner).unwrap_or(false)
        }
        _ => key::equal(outer, inner),
    }
}

fn has_key(value: &Datum, name: &str) -> Option<bool> {
    match value {
        Datum::Document(bytes) => Some(Doc::new(bytes).has(name)),
        Datum::Array(values) => Some(values.iter().any(|value| matches!(value, Datum::Text(text) if &**text == name))),
        Datum::Text(text) => Some(&**text == name),
        _ => None,
    }
}

/// `document - name(s)`, `array - place`, `array - text(s)`.
fn without(a: &Datum, b: &Datum) -> Option<Datum> {
    let named = |value: &Datum, name: &str| matches!(value, Datum::Text(text) if &**text == name);
    match (a, b) {
        (Datum::Document(bytes), Datum::Text(name)) => Some(keep(Doc::new(bytes), |field| field != &**name)),
        (Datum::Document(bytes), Datum::Array(names)) => {
            Some(keep(Doc::new(bytes), |field| !names.iter().any(|name| named(name, field))))
        }
        (Datum::Array(values), Datum::Text(name)) => {
            Some(Datum::Array(values.iter().filter(|value| !named(value, name)).cloned().collect()))
        }
        (Datum::Array(values), Datum::Array(others)) => {
            let keys = keys(others);
            Some(Datum::Array(values.iter().filter(|value| !keys.contains(&key::of(value))).cloned().collect()))
        }
        (Datum::Array(values), place) => {
            let place = path::place(number::to_i64(place)?, values.len());
            let left = values.iter().enumerate().filter(|(at, _)| Some(*at) != place);
            Some(Datum::Array(left.map(|(_, value)| value.clone()).collect()))
        }
        _ => None,
    }
}

fn keep(doc: Doc<'_>, wanted: impl Fn(&str) -> bool) -> Datum {
    let mut out = DocBuf::new();
    for element in doc.elements().filter(|element| wanted(element.key())) {
        out.push_element(element);
    }
    stored::from_buf(out)
}

/// What is done at the end of a path.
pub(crate) enum Change<'a> {
    Remove,
    /// The new value, and whether it is put there if nothing is.
    Set(&'a Datum, bool),
}

/// The value with something done at a path; unchanged where there is no such path.
pub(crate) fn changed(value: &Datum, steps: &[Datum], change: &Change<'_>, zone: &jiff::tz::TimeZone) -> Datum {
    let Some((step, rest)) = steps.split_first() else { return value.clone() };
    match (value, step) {
        (Datum::Document(bytes), Datum::Text(name)) => {
            let doc = Doc::new(bytes);
            let mut out = DocBuf::new();
            for element in doc.elements() {
                if element.key() != &**name {
                    out.push_element(element);
                    continue;
                }
                let inner = match (rest.is_empty(), change) {
                    (true, Change::Remove) => continue,
                    (true, Change::Set(new, _)) => (*new).clone(),
                    (false, _) => changed(&Datum::from_value(&element.value()), rest, change, zone),
                };
                out.push(element.key(), stored::to_value(&inner, zone));
            }
            if let (true, Change::Set(new, true), false) = (rest.is_empty(), change, doc.has(name)) {
                out.push(name, stored::to_value(new, zone));
            }
            stored::from_buf(out)
        }
        (Datum::Array(values), step) => {
            let index = match step {
                Datum::Text(text) => text.trim().parse().ok(),
                other => number::to_i64(other),
            };
            let Some(index) = index else { return value.clone() };
            let mut values = values.to_vec();
            match (path::place(index, values.len()), rest.is_empty(), change) {
                (Some(at), true, Change::Remove) => {
                    values.remove(at);
                }
                (Some(at), last, change) => {
                    if let Some(slot) = values.get_mut(at) {
                        *slot = match (last, change) {
                            (true, Change::Set(new, _)) => (*new).clone(),
                            _ => changed(slot, rest, change, zone),
                        };
                    }
                }
                (None, true, Change::Set(new, true)) if index < 0 => values.insert(0, (*new).clone()),
                (None, true, Change::Set(new, true)) => values.push((*new).clone()),
                _ => {}
            }
            Datum::Array(values.into())
        }
        _ => value.clone(),
    }
}
