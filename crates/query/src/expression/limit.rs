//! What keeps a small expression from building a huge value.

use millstream_value::{ArrayBuf, Code, DEPTH_MAX, Doc, Value};

use crate::{Error, Result};

/// The most bytes that one intermediate value may take; a document on its way out is held to 16 MB elsewhere.
pub(super) const VALUE_BYTES_MAX: usize = 64 << 20;

/// Refuses `bytes` over the limit, before they are allocated.
pub(super) fn size(bytes: usize) -> Result<()> {
    if bytes > VALUE_BYTES_MAX {
        return Err(Error::new(
            Code::ExceededMemoryLimit,
            format!("an expression's value of {bytes} bytes exceeds the limit of {VALUE_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}

/// An array of `values`, with missing ones as null.
pub(super) fn array<'v>(values: impl IntoIterator<Item = Option<Value<'v>>>) -> Result<Value<'static>> {
    let mut array = ArrayBuf::new();
    for value in values {
        push(&mut array, value.unwrap_or(Value::Null))?;
    }
    Ok(array.into())
}

/// Appends to an array that is being built.
pub(super) fn push(array: &mut ArrayBuf, value: Value<'_>) -> Result<()> {
    size(array.size().saturating_add(size_of(&value)))?;
    array.push(value);
    Ok(())
}

/// About how many bytes a value takes.
pub(super) fn size_of(value: &Value<'_>) -> usize {
    match value {
        Value::String(text) | Value::Symbol(text) | Value::Code(text) => text.len(),
        Value::Document(bytes) | Value::Array(bytes) | Value::Binary(_, bytes) => bytes.len(),
        Value::Regex(pattern, options) => pattern.len() + options.len(),
        _ => 16,
    }
}

/// Refuses a computed value that nests deeper than a document may.
pub(super) fn depth(value: &Value<'_>) -> Result<()> {
    use std::borrow::Cow;
    match value {
        // Borrowed bytes come from a document or an expression that was checked.
        Value::Document(Cow::Owned(bytes)) | Value::Array(Cow::Owned(bytes)) => nested(Doc::new(bytes), 1),
        _ => Ok(()),
    }
}

fn nested(doc: Doc<'_>, depth: usize) -> Result<()> {
    if depth >= DEPTH_MAX {
        return Err(Error::new(Code::Overflow, format!("BSON depth exceeds the limit of {DEPTH_MAX} levels")));
    }
    for element in doc.elements() {
        if let Some(inner) = element.as_doc().or_else(|| element.as_array()) {
            nested(inner, depth + 1)?;
        }
    }
    Ok(())
}
