//! `$mod $regex $options`: conditions that compute.
//!
//! Shape:  `{ <path>: { $mod: [ <divisor>, <remainder> ] } }`,
//!         `{ <path>: { $regex: <text or regex>, $options: <text> } }`
//! Absent: never passes.
//! Units:  `$mod` cuts fractions towards zero, on both sides.
//! Errors: `BadValue`; 51074 and 51075 for options given twice, 51091 for an invalid regex, 51108 for an unknown option.
//! Source: MongoDB manual 8.0, "Evaluation Query Operators".

use millstream_value::{Value, number};

use super::node::{Check, Node};
use super::operators::{Clause, Operator};
use super::pattern::Pattern;
use crate::{Error, Result};

pub(super) const MOD: Operator = Operator { name: "$mod", parse: modulo };
pub(super) const OPTIONS: Operator = Operator { name: "$options", parse: options };
pub(super) const REGEX: Operator = Operator { name: "$regex", parse: regex };

/// The numbers that leave `remainder` when divided by `divisor`.
pub(super) struct Modulo {
    divisor: i64,
    remainder: i64,
}

impl Modulo {
    pub(super) fn holds(&self, value: &Value<'_>) -> bool {
        // The smallest integer divided by -1 overflows; its remainder is zero.
        truncated(value).is_some_and(|number| number.checked_rem(self.divisor).unwrap_or(0) == self.remainder)
    }
}

fn modulo(clause: &Clause<'_>) -> Result<Node> {
    let array = clause.argument.as_array().ok_or_else(|| Error::bad_value("malformed mod, needs to be an array"))?;
    let mut values = array.values();
    let (Some(divisor), Some(remainder)) = (values.next(), values.next()) else {
        return Err(Error::bad_value("malformed mod, not enough elements"));
    };
    if values.next().is_some() {
        return Err(Error::bad_value("malformed mod, too many elements"));
    }
    let divisor = part(&divisor, "divisor")?;
    let remainder = part(&remainder, "remainder")?;
    if divisor == 0 {
        return Err(Error::bad_value("divisor cannot be 0"));
    }
    Ok(Node::Field { path: clause.path.clone(), check: Check::Modulo(Modulo { divisor, remainder }) })
}

fn part(value: &Value<'_>, name: &str) -> Result<i64> {
    if !value.is_number() {
        return Err(Error::bad_value(format!("malformed mod, {name} not a number")));
    }
    truncated(value).ok_or_else(|| {
        let shown = millstream_value::shell::value(value);
        Error::bad_value(format!("malformed mod, {name} value is invalid :: caused by :: Unable to coerce {shown}"))
    })
}

fn truncated(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Double(v) => number::truncated_i64(*v),
        Value::Decimal(v) => v.to_i64_truncated(),
        other => other.as_integer(),
    }
}

fn regex(clause: &Clause<'_>) -> Result<Node> {
    let given = match clause.siblings.element("$options").map(millstream_value::Element::value) {
        None => None,
        Some(Value::String(text)) => Some(text.into_owned()),
        Some(_) => return Err(Error::bad_value("$options has to be a string")),
    };
    let pattern = match (clause.argument.value(), given) {
        (Value::String(pattern), given) => Pattern::new(&pattern, given.as_deref().unwrap_or_default())?,
        (Value::Regex(pattern, own), None) => Pattern::new(&pattern, &own)?,
        (Value::Regex(pattern, own), Some(given)) if own.is_empty() => Pattern::new(&pattern, &given)?,
        (Value::Regex(..), Some(_)) => {
            let first = clause.siblings.elements().next().map(millstream_value::Element::key);
            // MongoDB numbers the two orders of the same mistake differently.
            let number = if first == Some("$options") { 51074 } else { 51075 };
            return Err(Error::location(number, "options set in both $regex and $options"));
        }
        _ => return Err(Error::bad_value("$regex has to be a string")),
    };
    Ok(Node::Field { path: clause.path.clone(), check: Check::Regex(pattern) })
}

/// Read by its `$regex`; alone it means nothing.
fn options(clause: &Clause<'_>) -> Result<Node> {
    if clause.siblings.has("$regex") {
        return Ok(Node::Always(true));
    }
    Err(Error::bad_value("$options needs a $regex"))
}
