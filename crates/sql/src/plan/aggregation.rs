//! Expressions of aggregation pipelines, as values.

use millstream_value::{DocBuf, Value};

use crate::plan::filter::Path;

/// The types of what is NULL.
// Sorted.
pub(crate) const NULLS: [&str; 3] = ["missing", "null", "undefined"];

/// What is at a path.
pub(crate) fn field(path: &Path) -> Value<'static> {
    text(format!("${}", path.dotted()))
}

/// The name of the type of a value.
pub(crate) fn kind_of(value: Value<'static>) -> Value<'static> {
    operator("$type", value)
}

pub(crate) fn text(text: String) -> Value<'static> {
    Value::String(text.into())
}

pub(crate) fn array(values: impl IntoIterator<Item = Value<'static>>) -> Value<'static> {
    Value::Array(values.into_iter().collect::<millstream_value::ArrayBuf>().into_bytes().into())
}

pub(crate) fn document(fields: impl IntoIterator<Item = (String, Value<'static>)>) -> Value<'static> {
    let mut out = DocBuf::new();
    for (name, value) in fields {
        out.push(&name, value);
    }
    Value::Document(out.into_bytes().into())
}

pub(crate) fn operator(name: &str, argument: Value<'static>) -> Value<'static> {
    document([(name.to_owned(), argument)])
}

pub(crate) fn condition(when: Value<'static>, then: Value<'static>, otherwise: Value<'static>) -> Value<'static> {
    operator("$cond", array([when, then, otherwise]))
}

pub(crate) fn names<'n>(all: impl IntoIterator<Item = &'n &'n str>) -> Value<'static> {
    array(all.into_iter().map(|name| text((*name).to_owned())))
}

pub(crate) fn is_one_of(value: Value<'static>, all: &[&str]) -> Value<'static> {
    operator("$in", array([value, names(all)]))
}
