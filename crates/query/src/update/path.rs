//! The paths that updates name: `a.b`, `a.$.b`, `a.$[].b`, `a.$[id].b`.

use millstream_value::{Code, DEPTH_MAX};

use crate::{Error, Result};

/// One component of an update path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A field name, or an index where it meets an array.
    Name(String),
    /// `$`: the element that the query matched.
    Positional,
    /// `$[id]`: every element that the array filter `id` matches; `$[]`, with an empty name: every element.
    Each(String),
}

/// Splits and checks an update path.
pub(crate) fn parse(path: &str) -> Result<Vec<Part>> {
    if path.is_empty() {
        return Err(Error::new(Code::EmptyFieldName, "An empty update path is not valid."));
    }
    let mut parts = Vec::new();
    for (index, name) in path.split('.').enumerate() {
        if name.is_empty() {
            let message = format!("The update path '{path}' contains an empty field name, which is not allowed.");
            return Err(Error::new(Code::EmptyFieldName, message));
        }
        if index >= DEPTH_MAX {
            let message = format!("An update path may not have more than {DEPTH_MAX} components");
            return Err(Error::new(Code::Overflow, message));
        }
        let part = part(name);
        if index == 0 {
            first_position(&part, path)?;
        }
        if part == Part::Positional && parts.contains(&Part::Positional) {
            let message = format!("Too many positional (i.e. '$') elements found in path '{path}'");
            return Err(Error::bad_value(message));
        }
        parts.push(part);
    }
    Ok(parts)
}

/// Splits a path that must name one field.
pub(crate) fn parse_plain(path: &str) -> Result<Option<Vec<String>>> {
    let names = parse(path)?.into_iter().map(|part| match part {
        Part::Name(name) => Some(name),
        Part::Positional | Part::Each(_) => None,
    });
    Ok(names.collect())
}

fn part(name: &str) -> Part {
    if name == "$" {
        return Part::Positional;
    }
    match name.strip_prefix("$[").and_then(|rest| rest.strip_suffix(']')) {
        Some(id) => Part::Each(id.to_owned()),
        None => Part::Name(name.to_owned()),
    }
}

fn first_position(part: &Part, path: &str) -> Result<()> {
    let what = match part {
        Part::Name(_) => return Ok(()),
        Part::Positional => "positional (i.e. '$')",
        Part::Each(_) => "array filter identifier (i.e. '$[<id>]')",
    };
    Err(Error::bad_value(format!("Cannot have {what} element in the first position in path '{path}'")))
}
