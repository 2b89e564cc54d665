//! The right side of a comparison, prepared so that raw bytes decide most cases.

use std::cmp::Ordering;
use std::collections::HashSet;

use millstream_value::{Element, Value, canonical_type, compare_by, key, kind};

use super::pattern::Pattern;
use crate::{Collation, collation};

/// How a value has to stand to an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A value to compare with.
pub(super) struct Operand {
    value: Value<'static>,
    kind: u8,
    rank: u8,
    bytes: Vec<u8>,
    /// Values of this type are equal only if their bytes are.
    bytes_decide: bool,
    is_nan: bool,
    /// How texts compare, if there are any in the value.
    collation: Option<Collation>,
}

impl Operand {
    pub(super) fn new(value: Value<'static>, collation: Option<&Collation>) -> Self {
        let tag = value.kind();
        let collation = collation.filter(|_| collation::applies_to(&value)).cloned();
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        Self {
            kind: tag,
            rank: canonical_type(tag),
            bytes,
            bytes_decide: collation.is_none()
                && matches!(
                    tag,
                    kind::STRING
                        | kind::OBJECT_ID
                        | kind::BOOL
                        | kind::DATE
                        | kind::INT32
                        | kind::INT64
                        | kind::TIMESTAMP
                        | kind::BINARY
                ),
            is_nan: is_nan(&value),
            value,
            collation,
        }
    }

    pub(super) const fn value(&self) -> &Value<'static> {
        &self.value
    }

    /// Whether `element` stands to the operand as asked. Values of other types never do, but that a missing field
    /// equals null and that everything lies between the smallest and the largest key.
    pub(super) fn holds(&self, comparison: Comparison, element: Option<Element<'_>>) -> bool {
        let Some(element) = element else {
            return self.holds_across(comparison, true);
        };
        if element.kind() == self.kind {
            if element.bytes() == self.bytes {
                return match comparison {
                    Comparison::Less | Comparison::Greater => false,
                    Comparison::Equal | Comparison::LessOrEqual | Comparison::GreaterOrEqual => true,
                };
            }
            if comparison == Comparison::Equal && self.bytes_decide {
                return false;
            }
        } else if canonical_type(element.kind()) != self.rank {
            return self.holds_across(comparison, false);
        }
        let value = element.value();
        if self.is_nan || is_nan(&value) {
            return self.is_nan && is_nan(&value) && !matches!(comparison, Comparison::Less | Comparison::Greater);
        }
        let order = compare_by(&value, &self.value, collation::order(self.collation.as_ref()));
        match comparison {
            Comparison::Equal => order == Ordering::Equal,
            Comparison::Less => order == Ordering::Less,
            Comparison::LessOrEqual => order != Ordering::Greater,
            Comparison::Greater => order == Ordering::Greater,
            Comparison::GreaterOrEqual => order != Ordering::Less,
        }
    }

    fn holds_across(&self, comparison: Comparison, missing: bool) -> bool {
        match self.kind {
            kind::NULL => missing && !matches!(comparison, Comparison::Less | Comparison::Greater),
            kind::MAX_KEY => matches!(comparison, Comparison::Less | Comparison::LessOrEqual),
            kind::MIN_KEY => matches!(comparison, Comparison::Greater | Comparison::GreaterOrEqual),
            _ => false,
        }
    }
}

fn is_nan(value: &Value<'_>) -> bool {
    match value {
        Value::Double(v) => v.is_nan(),
        Value::Decimal(v) => v.is_nan(),
        _ => false,
    }
}

/// From this many values on, `$in` looks up keys instead of comparing one by one.
const HASHED_FROM: usize = 9;

/// The right side of `$in`.
pub(super) struct Operands {
    values: Vec<Operand>,
    keys: Option<HashSet<Vec<u8>>>,
    patterns: Vec<Pattern>,
    has_null: bool,
    collation: Option<Collation>,
}

impl Operands {
    pub(super) fn new(values: Vec<Value<'static>>, patterns: Vec<Pattern>, collation: Option<&Collation>) -> Self {
        let has_null = values.contains(&Value::Null);
        let keys = (values.len() >= HASHED_FROM)
            .then(|| values.iter().map(|value| key::of_by(value, collation::order(collation))).collect());
        let values = values.into_iter().map(|value| Operand::new(value, collation)).collect();
        Self { values, keys, patterns, has_null, collation: collation.cloned() }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Value<'static>> {
        self.values.iter().map(Operand::value)
    }

    pub(super) fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    pub(super) fn contains(&self, element: Option<Element<'_>>) -> bool {
        let Some(element) = element else {
            return self.has_null;
        };
        let listed = match &self.keys {
            Some(keys) => keys.contains(&key::of_by(&element.value(), collation::order(self.collation.as_ref()))),
            None => self.values.iter().any(|operand| operand.holds(Comparison::Equal, Some(element))),
        };
        listed || self.patterns.iter().any(|pattern| pattern.matches_element(element))
    }
}
