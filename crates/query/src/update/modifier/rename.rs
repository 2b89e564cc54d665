//! `$rename`: moves a field.
//!
//! Shape:  `{ $rename: { <path>: <new path>, ... } }`
//! Absent: nothing happens.
//! Result: the new field takes the place of one of that name, or is added at the end.
//! Errors: `BadValue` if either path goes through an array or is dynamic, or both are the same.
//! Source: MongoDB manual 8.0, "$rename".

use millstream_value::{Element, Value};

use super::super::path;
use super::super::target::Target;
use super::super::tree::shown;
use super::{Change, Modifier};
use crate::expression::Scope;
use crate::{Error, Result};

pub(super) const RENAME: Modifier = Modifier { name: NAME, parse };

pub(crate) const NAME: &str = "$rename";

/// Compiles to a change of the *new* path; see [`destination`].
fn parse(operand: Element<'_>, _: &Scope) -> Result<Change> {
    let source = path::parse_plain(operand.key())?.ok_or_else(|| {
        Error::bad_value(format!("The source field for $rename may not be dynamic: {}", operand.key()))
    })?;
    Ok(Box::new(move |target| change(target, &source)))
}

/// The path that a field is renamed to.
pub(crate) fn destination<'a>(operand: Element<'a>) -> Result<&'a str> {
    let shown = || shown(operand.key(), &operand.value()).trim_matches(['{', '}']).to_owned();
    let Some(name) = operand.as_str() else {
        return Err(Error::bad_value(format!("The 'to' field for $rename must be a string: {}", shown())));
    };
    if name.contains('\0') {
        return Err(Error::bad_value("The 'to' field for $rename cannot contain an embedded null byte"));
    }
    if path::parse_plain(name)?.is_none() {
        return Err(Error::bad_value(format!("The destination field for $rename may not be dynamic: {name}")));
    }
    if name == operand.key() {
        return Err(Error::bad_value(format!("The source and target field for $rename must differ: {}", shown())));
    }
    let source = operand.key();
    let inside = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('.'));
    if inside(source, name) || inside(name, source) {
        let message = format!("The source and target field for $rename must not be on the same path: {}", shown());
        return Err(Error::bad_value(message));
    }
    Ok(name)
}

fn change(target: &mut Target<'_, '_>, source: &[String]) -> Result<()> {
    let from = target.elsewhere(source);
    let Some(value) = from.get_viable()?.map(Value::into_owned) else {
        return Ok(());
    };
    if from.is_inside_array() {
        return Err(inside_array("source", &from));
    }
    if target.is_inside_array() {
        return Err(inside_array("destination", target));
    }
    target.elsewhere(source).unset()?;
    target.set(&value)
}

fn inside_array(side: &str, target: &Target<'_, '_>) -> Error {
    Error::bad_value(format!(
        "The {side} field cannot be an array element, '{}' in doc with {} has an array field called '{}'",
        target.path(),
        target.id().trim_matches(['{', '}']),
        target.name(),
    ))
}
