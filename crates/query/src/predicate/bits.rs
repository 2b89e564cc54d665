//! `$bitsAllClear $bitsAllSet $bitsAnyClear $bitsAnySet`: conditions on single bits.
//!
//! Shape:  `{ <path>: { $bitsAllSet: <mask number, binary mask or array of positions> } }`
//! Absent: never passes; nor do values that are neither whole numbers nor binary.
//! Units:  position 0 is the lowest bit of a number, or of the first byte of binary data. Beyond its 64 bits a number
//!         goes on with its sign, binary data with zeros.
//! Errors: `FailedToParse` for a mask that is no natural number, `BadValue` otherwise.
//! Source: MongoDB manual 8.0, "Bitwise Query Operators".

use millstream_value::{Element, Value, number, shell};

use super::node::{Check, Node};
use super::operators::{Clause, Operator};
use crate::{Error, Result};

pub(super) const ALL_CLEAR: Operator =
    Operator { name: "$bitsAllClear", parse: |clause| parse(clause, Wanted::AllClear) };
pub(super) const ALL_SET: Operator = Operator { name: "$bitsAllSet", parse: |clause| parse(clause, Wanted::AllSet) };
pub(super) const ANY_CLEAR: Operator =
    Operator { name: "$bitsAnyClear", parse: |clause| parse(clause, Wanted::AnyClear) };
pub(super) const ANY_SET: Operator = Operator { name: "$bitsAnySet", parse: |clause| parse(clause, Wanted::AnySet) };

/// Bit positions and what they have to be.
pub(super) struct Bits {
    positions: Vec<usize>,
    wanted: Wanted,
}

#[derive(Clone, Copy)]
enum Wanted {
    AllClear,
    AllSet,
    AnyClear,
    AnySet,
}

impl Bits {
    pub(super) fn hold(&self, value: &Value<'_>) -> bool {
        if let Value::Binary(_, bytes) = value {
            return self.decide(|at| bytes.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1));
        }
        let whole = match value {
            Value::Double(v) => number::exact_i64(*v),
            // A decimal is rounded, and one that does not fit reads as the smallest integer: MongoDB's own conversion.
            Value::Decimal(v) => Some(v.to_i64_rounded().unwrap_or(i64::MIN)),
            other => other.as_integer(),
        };
        whole.is_some_and(|whole| self.decide(|at| whole >> at.min(63) & 1 == 1))
    }

    fn decide(&self, is_set: impl Fn(usize) -> bool) -> bool {
        let mut positions = self.positions.iter().copied();
        match self.wanted {
            Wanted::AllClear => !positions.any(is_set),
            Wanted::AllSet => positions.all(is_set),
            Wanted::AnyClear => !positions.all(is_set),
            Wanted::AnySet => positions.any(is_set),
        }
    }
}

fn parse(clause: &Clause<'_>, wanted: Wanted) -> Result<Node> {
    let positions = match clause.argument.value() {
        Value::Binary(_, bytes) => set_bits(&bytes),
        Value::Array(array) => {
            millstream_value::Doc::new(&array).elements().map(position).collect::<Result<Vec<_>>>()?
        }
        value if value.is_number() => set_bits(&mask(clause, &value)?.to_le_bytes()),
        _ => {
            return Err(Error::bad_value(format!(
                "{} takes an Array, a number, or a BinData but received: {}",
                clause.path.as_str(),
                clause.argument.value().type_name()
            )));
        }
    };
    Ok(Node::Field { path: clause.path.clone(), check: Check::Bits(Bits { positions, wanted }) })
}

fn mask(clause: &Clause<'_>, value: &Value<'_>) -> Result<i64> {
    let shown = || format!("{}: {}", clause.argument.key(), shell::value(value));
    let whole =
        value.as_integer().ok_or_else(|| Error::failed_to_parse(format!("Expected an integer: {}", shown())))?;
    if whole < 0 {
        return Err(Error::failed_to_parse(format!("Expected a non-negative number in: {}", shown())));
    }
    Ok(whole)
}

fn position(element: Element<'_>) -> Result<usize> {
    let value = element.value();
    let shown = shell::value(&value);
    if !value.is_number() {
        return Err(Error::bad_value(format!("bit positions must be an integer but got: {shown}")));
    }
    let whole = value.as_integer().and_then(|whole| i32::try_from(whole).ok()).ok_or_else(|| {
        Error::bad_value(format!("bit positions cannot be represented as a 32-bit signed integer: {shown}"))
    })?;
    usize::try_from(whole).map_err(|_| Error::bad_value(format!("bit positions must be >= 0 but got: {shown}")))
}

fn set_bits(bytes: &[u8]) -> Vec<usize> {
    let bits = bytes.iter().enumerate().flat_map(|(at, byte)| (0..8).map(move |bit| (at * 8 + bit, byte >> bit & 1)));
    bits.filter(|(_, bit)| *bit == 1).map(|(position, _)| position).collect()
}
