//! Options of collections as `create` and `collMod` are given them.

use millstream_value::{Code, Value, kind};

use crate::{Error, Result};

/// Reads `changeStreamPreAndPostImages: {enabled: <bool>}` of a `create` or `collMod`.
///
/// # Errors
/// 40414 without `enabled`, 40415 for other fields, 14 for another type.
pub fn parse_images(command: &str, value: &Value<'_>) -> Result<bool> {
    let path = format!("{command}.changeStreamPreAndPostImages");
    let wrong = |path: &str, found: &Value<'_>, expected: &str| {
        let found = found.type_name();
        Error::invalid(
            Code::TypeMismatch,
            format!("BSON field '{path}' is the wrong type '{found}', expected type '{expected}'"),
        )
    };
    let doc = value.as_doc().ok_or_else(|| wrong(&path, value, "object"))?;
    let mut enabled = None;
    for element in doc.elements() {
        if element.key() != "enabled" {
            let message = format!("BSON field '{path}.{}' is an unknown field.", element.key());
            return Err(Error::invalid(Code::IDLUnknownField, message));
        }
        if element.kind() != kind::BOOL {
            return Err(wrong(&format!("{path}.enabled"), &element.value(), "bool"));
        }
        enabled = Some(element.value().is_truthy());
    }
    enabled.ok_or_else(|| {
        let message = format!("BSON field '{path}.enabled' is missing but a required field");
        Error::invalid(Code::IDLFailedToParse, message)
    })
}
