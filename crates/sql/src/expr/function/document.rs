//! Functions of documents (SQL-6.6). Each has two names: JSON_… and JSONB_….

use millstream_flow::{Datum, RowError};
use millstream_value::{Doc, DocBuf, Value};

use super::arguments::{array, elements, value};
use super::{Context, Function, Takes, bson};
use crate::Type;
use crate::expr::operator::{self, Change};
use crate::expr::{print, stored};

type Result = std::result::Result<Datum, RowError>;

const ARRAY: Option<Type> = Some(Type::Array(None));
const DOCUMENT: Option<Type> = Some(Type::Document);
const INTEGER: Option<Type> = Some(Type::Integer);
const TEXT: Option<Type> = Some(Type::Text(None));
const ANY: &[Takes] = &[Takes::Any];
const SET: &[Takes] = &[Takes::Document, Takes::Array, Takes::Any, Takes::Any];
const MANY: (usize, usize) = (0, usize::MAX);

// tidy: sorted by name
pub(super) static DOCUMENTS: &[Function] = &[
    Function::new("JSONB_ARRAY_LENGTH", (1, 1), &[Takes::Document], INTEGER, array_length),
    Function::new("JSONB_BUILD_ARRAY", MANY, ANY, ARRAY, |a, _| Ok(array(a.to_vec()))).nulls(),
    Function::new("JSONB_BUILD_OBJECT", MANY, ANY, DOCUMENT, build_object).nulls(),
    Function::new("JSONB_SET", (3, 4), SET, None, set),
    Function::new("JSONB_STRIP_NULLS", (1, 1), &[Takes::Document], None, strip_nulls),
    Function::new("JSONB_TYPEOF", (1, 1), ANY, TEXT, type_of).nulls(),
    Function::new("JSON_ARRAY_LENGTH", (1, 1), &[Takes::Document], INTEGER, array_length),
    Function::new("JSON_BUILD_ARRAY", MANY, ANY, ARRAY, |a, _| Ok(array(a.to_vec()))).nulls(),
    Function::new("JSON_BUILD_OBJECT", MANY, ANY, DOCUMENT, build_object).nulls(),
    Function::new("JSON_SET", (3, 4), SET, None, set),
    Function::new("JSON_STRIP_NULLS", (1, 1), &[Takes::Document], None, strip_nulls),
    Function::new("JSON_TYPEOF", (1, 1), ANY, TEXT, type_of).nulls(),
    Function::new("ROW_TO_JSON", (1, 1), &[Takes::Document], DOCUMENT, |a, _| Ok(value(a, 0).clone())),
    Function::new("TO_JSON", (1, 1), ANY, None, |a, _| Ok(value(a, 0).clone())),
    Function::new("TO_JSONB", (1, 1), ANY, None, |a, _| Ok(value(a, 0).clone())),
];

fn array_length(a: &[Datum], _: &Context) -> Result {
    match value(a, 0) {
        Datum::Array(values) => Ok(i32::try_from(values.len()).map_or(Datum::Null, Datum::Int)),
        _ => Err(RowError::new("22023", "JSONB_ARRAY_LENGTH takes an array")),
    }
}

/// Names and values in turn. Of a repeated name the last value counts, at the first one's place.
fn build_object(a: &[Datum], context: &Context) -> Result {
    if !a.len().is_multiple_of(2) {
        return Err(RowError::new("22023", "JSONB_BUILD_OBJECT takes pairs of a name and a value"));
    }
    let zone = &context.time_zone;
    let mut fields: Vec<(String, Value<'static>)> = Vec::with_capacity(a.len() / 2);
    for pair in a.chunks_exact(2) {
        if value(pair, 0).is_null() {
            return Err(RowError::new("22004", "a name can not be NULL"));
        }
        let name = print::text(value(pair, 0), zone);
        if name.contains('\0') {
            return Err(RowError::new("22P05", "a name can not contain a zero byte"));
        }
        let new = stored::to_value(value(pair, 1), zone);
        match fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = new,
            None => fields.push((name, new)),
        }
    }
    let mut doc = DocBuf::new();
    for (name, new) in fields {
        doc.push(&name, new);
    }
    Ok(stored::from_buf(doc))
}

fn set(a: &[Datum], context: &Context) -> Result {
    let create = !matches!(a.get(3), Some(Datum::Bool(false)));
    Ok(operator::changed(value(a, 0), elements(a, 1)?, &Change::Set(value(a, 2), create), &context.time_zone))
}

/// Leaves out fields that are null, also those of documents within.
fn strip_nulls(a: &[Datum], context: &Context) -> Result {
    Ok(stripped(value(a, 0), context))
}

fn stripped(from: &Datum, context: &Context) -> Datum {
    match from {
        Datum::Document(bytes) => {
            let mut out = DocBuf::new();
            for element in Doc::new(bytes).elements() {
                match stripped(&Datum::from_value(&element.value()), context) {
                    kept if kept.is_null() => {}
                    kept => {
                        out.push(element.key(), stored::to_value(&kept, &context.time_zone));
                    }
                }
            }
            stored::from_buf(out)
        }
        Datum::Array(values) => array(values.iter().map(|value| stripped(value, context)).collect()),
        other => other.clone(),
    }
}

fn type_of(a: &[Datum], context: &Context) -> Result {
    Ok(Datum::text(match value(a, 0) {
        // What is missing has no type; what is there and null has one.
        Datum::Missing => return Ok(Datum::Null),
        Datum::Document(_) => "object",
        Datum::Array(_) => "array",
        Datum::Text(_) => "string",
        Datum::Int(_) | Datum::Long(_) | Datum::Double(_) | Datum::Decimal(_) => "number",
        Datum::Bool(_) => "boolean",
        _ => return bson::bson_type(a, context),
    }))
}
