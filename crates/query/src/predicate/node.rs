//! The compiled tree and its evaluation.

use std::hash::{DefaultHasher, Hasher};

use millstream_value::{Doc, Element, kind};

use super::bits::Bits;
use super::element::Types;
use super::evaluation::Modulo;
use super::operand::{Comparison, Operand, Operands};
use super::pattern::Pattern;
use crate::Result;
use crate::expression::Expression;
use crate::path::{Leaf, Path};

/// A filter or a part of one.
pub(super) enum Node {
    Always(bool),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    /// Some value at the path passes.
    Field {
        path: Path,
        check: Check,
    },
    Expression(Box<Expression>),
    /// Lets through this share of the documents, chosen by a hash of their bytes.
    Sample {
        rate: f64,
        seed: i64,
    },
}

/// What is asked of one value.
pub(super) enum Check {
    Compare(Comparison, Operand),
    In(Operands),
    Regex(Pattern),
    Exists,
    Type(Types),
    Size(usize),
    Modulo(Modulo),
    Bits(Bits),
    /// An array with a document (or array) in it that passes the filter.
    AnyDocument(Box<Node>),
    /// An array with an element that passes the conditions, whose paths are ignored.
    AnyElement(Box<Node>),
}

impl Node {
    /// Joins parts that all have to pass.
    pub(super) fn all(mut parts: Vec<Self>) -> Self {
        parts.retain(|part| !matches!(part, Self::Always(true)));
        if parts.iter().any(|part| matches!(part, Self::Always(false))) {
            return Self::Always(false);
        }
        match parts.len() {
            0 => Self::Always(true),
            1 => parts.pop().unwrap_or(Self::Always(true)),
            _ => Self::And(parts),
        }
    }

    pub(super) fn negated(self) -> Self {
        match self {
            Self::Always(value) => Self::Always(!value),
            other => Self::Not(Box::new(other)),
        }
    }

    /// Whether `doc` passes; notes in `index` the place in an array that the last positive part matched at.
    pub(super) fn matches(&self, doc: Doc<'_>, index: &mut Option<usize>) -> Result<bool> {
        match self {
            Self::Always(value) => Ok(*value),
            Self::And(parts) => {
                for part in parts {
                    if !part.matches(doc, index)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(parts) => {
                for part in parts {
                    if part.matches(doc, index)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(part) => Ok(!part.matches(doc, &mut None)?),
            Self::Field { path, check } => path.visit(doc, check.leaf(), &mut |found| {
                let mut inner = None;
                let passed = check.passes(found.element, &mut inner)?;
                if passed && let Some(place) = found.index.or(inner) {
                    *index = Some(place);
                }
                Ok(passed)
            }),
            Self::Expression(expression) => Ok(expression.eval(doc)?.is_some_and(|value| value.is_truthy())),
            Self::Sample { rate, seed } => Ok(sample(doc, *rate, *seed)),
        }
    }

    /// Whether one value passes, whatever paths the parts name: the inside of `$elemMatch` with operators.
    fn passes(&self, element: Element<'_>) -> Result<bool> {
        match self {
            Self::Always(value) => Ok(*value),
            Self::And(parts) => {
                for part in parts {
                    if !part.passes(element)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(parts) => {
                for part in parts {
                    if part.passes(element)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(part) => Ok(!part.passes(element)?),
            Self::Field { check, .. } => check.passes(Some(element), &mut None),
            Self::Expression(_) | Self::Sample { .. } => Ok(false),
        }
    }
}

impl Check {
    /// What an array at the end of the path stands for.
    const fn leaf(&self) -> Leaf {
        match self {
            Self::Size(_) | Self::AnyDocument(_) | Self::AnyElement(_) => Leaf::Whole,
            _ => Leaf::Elements,
        }
    }

    fn passes(&self, element: Option<Element<'_>>, index: &mut Option<usize>) -> Result<bool> {
        match self {
            Self::Compare(comparison, operand) => return Ok(operand.holds(*comparison, element)),
            Self::In(operands) => return Ok(operands.contains(element)),
            _ => {}
        }
        let Some(element) = element else {
            return Ok(false);
        };
        Ok(match self {
            Self::Compare(..) | Self::In(_) => false,
            Self::Regex(pattern) => pattern.matches_element(element),
            Self::Exists => true,
            Self::Type(types) => types.contains(element.kind()),
            Self::Size(size) => element.as_array().is_some_and(|array| array.len() == *size),
            Self::Modulo(modulo) => modulo.holds(&element.value()),
            Self::Bits(bits) => bits.hold(&element.value()),
            Self::AnyDocument(filter) => {
                return any(element, index, |inner| match inner.kind() {
                    kind::DOCUMENT | kind::ARRAY => filter.matches(Doc::new(inner.bytes()), &mut None),
                    _ => Ok(false),
                });
            }
            Self::AnyElement(conditions) => return any(element, index, |inner| conditions.passes(inner)),
        })
    }
}

fn any(
    element: Element<'_>,
    index: &mut Option<usize>,
    mut passes: impl FnMut(Element<'_>) -> Result<bool>,
) -> Result<bool> {
    let Some(array) = element.as_array() else {
        return Ok(false);
    };
    for (place, inner) in array.elements().enumerate() {
        if passes(inner)? {
            *index = Some(place);
            return Ok(true);
        }
    }
    Ok(false)
}

/// Randomness has to come from somewhere that one seed replays: the document's bytes and the time of the query.
fn sample(doc: Doc<'_>, rate: f64, seed: i64) -> bool {
    let mut hasher = DefaultHasher::new();
    hasher.write_i64(seed);
    hasher.write(doc.as_bytes());
    let top = u32::try_from(hasher.finish() >> 32).unwrap_or(u32::MAX);
    f64::from(top) / (f64::from(u32::MAX) + 1.0) < rate
}
