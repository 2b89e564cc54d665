//! Values as text, where an operator takes more than strings.

use std::borrow::Cow;

use millstream_value::{Value, shell};

use super::date;
use super::number::print_double;
use crate::{Error, Result};

/// A value as `$toUpper`, `$substr` and `$strcasecmp` read it: null and missing are the empty text.
pub(super) fn coerce<'s>(value: Option<&'s Value<'_>>) -> Result<Cow<'s, str>> {
    match value {
        None | Some(Value::Null | Value::Undefined) => Ok(Cow::Borrowed("")),
        Some(Value::String(text) | Value::Symbol(text) | Value::Code(text)) => Ok(Cow::Borrowed(text)),
        Some(value) => match print(value) {
            Some(text) => Ok(Cow::Owned(text)),
            None => {
                Err(Error::location(16007, format!("can't convert from BSON type {} to String", value.type_name())))
            }
        },
    }
}

/// Numbers and dates as `$toString` writes them.
pub(super) fn print(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Int32(v) => v.to_string(),
        Value::Int64(v) => v.to_string(),
        Value::Double(v) => print_double(*v),
        Value::Decimal(v) => v.to_string(),
        Value::Date(ms) => date::iso(*ms),
        Value::Timestamp(_) => shell::value(value),
        _ => return None,
    })
}
