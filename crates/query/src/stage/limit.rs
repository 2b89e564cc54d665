//! `$limit`: the first documents.
//!
//! Shape:  `{ $limit: <positive integer> }`
//! Errors: 15958 for 0, 5107201 for anything else that is no positive integer.
//! Source: MongoDB manual 8.0, "$limit (aggregation)".

use millstream_value::{Element, Value};

use super::{Documents, Parsing, Row, Stage, shown};
use crate::{Error, Result};

pub(super) const LIMIT: Row = Row::new("$limit", parse);

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let count = count(spec, 5_107_201)?;
    if count == 0 {
        return Err(Error::location(15958, "the limit must be positive"));
    }
    parsing.push(Stage::Limit(count));
    Ok(())
}

/// The argument as a count.
pub(super) fn count(spec: Element<'_>, code: i32) -> Result<u64> {
    let value = spec.value();
    let problem = match (&value, value.as_integer()) {
        (_, Some(count)) => match u64::try_from(count) {
            Ok(count) => return Ok(count),
            Err(_) => "Expected a positive number in",
        },
        (Value::Double(_) | Value::Decimal(_), None) => "Expected an integer",
        _ => "Expected a number in",
    };
    let (name, shown) = (spec.key(), shown(spec));
    Err(Error::location(code, format!("invalid argument to {name} stage: {problem}: {shown}")))
}

/// The first `count` documents.
pub(super) fn run(count: u64, input: Documents<'_>) -> Documents<'_> {
    Box::new(input.take(usize::try_from(count).unwrap_or(usize::MAX)))
}
