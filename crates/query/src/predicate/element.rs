//! `$exists $type`: conditions on what kind of value a field has.
//!
//! Shape:  `{ <path>: { $exists: <truth> } }`, `{ <path>: { $type: <name, number, "number" or an array of these> } }`
//! Absent: passes `$exists: false` only.
//! Errors: `BadValue` for an unknown type, `TypeMismatch` for one that is neither text nor number, `FailedToParse` for
//!         an empty list.
//! Source: MongoDB manual 8.0, "Element Query Operators".

use millstream_value::{Value, kind, type_name};

use super::node::{Check, Node};
use super::operators::{Clause, Operator};
use crate::{Error, Result};

pub(super) const EXISTS: Operator = Operator { name: "$exists", parse: exists };
pub(super) const TYPE: Operator = Operator { name: "$type", parse: of_type };

/// A set of types.
pub(super) struct Types([u64; 4]);

impl Types {
    pub(super) fn contains(&self, tag: u8) -> bool {
        self.0.get(usize::from(tag >> 6)).is_some_and(|word| word >> (tag & 63) & 1 == 1)
    }

    fn insert(&mut self, tag: u8) {
        if let Some(word) = self.0.get_mut(usize::from(tag >> 6)) {
            *word |= 1 << (tag & 63);
        }
    }
}

fn exists(clause: &Clause<'_>) -> Result<Node> {
    let node = Node::Field { path: clause.path.clone(), check: Check::Exists };
    Ok(if clause.argument.value().is_truthy() { node } else { node.negated() })
}

fn of_type(clause: &Clause<'_>) -> Result<Node> {
    let mut types = Types([0; 4]);
    match clause.argument.as_array() {
        None => add(&mut types, &clause.argument.value())?,
        Some(array) if array.is_empty() => {
            return Err(Error::failed_to_parse(format!("{} must match at least one type", clause.path.as_str())));
        }
        Some(array) => array.values().try_for_each(|value| add(&mut types, &value))?,
    }
    Ok(Node::Field { path: clause.path.clone(), check: Check::Type(types) })
}

const NUMBERS: [u8; 4] = [kind::DOUBLE, kind::INT32, kind::INT64, kind::DECIMAL];

fn add(types: &mut Types, wanted: &Value<'_>) -> Result<()> {
    let tags = (1..=kind::DECIMAL).chain([kind::MIN_KEY, kind::MAX_KEY]);
    if let Some(name) = wanted.as_str() {
        if name == "number" {
            NUMBERS.into_iter().for_each(|tag| types.insert(tag));
            return Ok(());
        }
        let tag = tags
            .into_iter()
            .find(|tag| type_name(*tag) == name)
            .ok_or_else(|| Error::bad_value(format!("Unknown type name alias: {name}")))?;
        types.insert(tag);
        return Ok(());
    }
    if !wanted.is_number() {
        return Err(Error::type_mismatch("type must be represented as a number or a string"));
    }
    let number = wanted.as_integer();
    let tag = match number {
        Some(-1) => Some(kind::MIN_KEY),
        Some(number) => {
            u8::try_from(number).ok().filter(|tag| *tag != kind::MIN_KEY && tags.clone().any(|t| t == *tag))
        }
        None => None,
    };
    match tag {
        Some(tag) => types.insert(tag),
        None if number == Some(0) => {
            return Err(Error::bad_value("Invalid numerical type code: 0. Instead use {$exists:false}."));
        }
        None => {
            let shown = millstream_value::shell::value(wanted);
            return Err(Error::bad_value(format!("Invalid numerical type code: {shown}")));
        }
    }
    Ok(())
}
