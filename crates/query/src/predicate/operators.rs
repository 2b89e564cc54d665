//! The tables of query operators, by the names that clients write.

use millstream_value::{Doc, Element};

use super::node::Node;
use super::{array, bits, comparison, element, evaluation, logical, refused};
use crate::expression::Scope;
use crate::path::Path;
use crate::{Collation, Result};

/// An operator that stands under a field's name: `{a: {$gt: 5}}`.
pub(crate) struct Operator {
    /// The name with its dollar sign.
    pub(crate) name: &'static str,
    /// Compiles it.
    pub(super) parse: fn(&Clause<'_>) -> Result<Node>,
}

/// An operator that stands in a field's place: `{$or: [...]}`.
pub(crate) struct TopOperator {
    /// The name with its dollar sign.
    pub(crate) name: &'static str,
    /// Compiles it.
    pub(super) parse: fn(Element<'_>, Context<'_>) -> Result<Node>,
}

/// One operator under a field's name, with what it may look at.
#[derive(Clone, Copy)]
pub(super) struct Clause<'a> {
    pub(super) path: &'a Path,
    pub(super) argument: Element<'a>,
    /// The document that the operator stands in: `$regex` reads `$options` there.
    pub(super) siblings: Doc<'a>,
    pub(super) context: Context<'a>,
}

/// What holds for a whole filter.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) scope: &'a Scope,
    /// Inside `$elemMatch`, where operators on whole documents are refused.
    pub(super) nested: bool,
    pub(super) depth: usize,
}

impl<'a> Context<'a> {
    /// How texts compare.
    pub(super) const fn collation(self) -> Option<&'a Collation> {
        self.scope.collation.as_ref()
    }
}

/// Every operator under a field's name.
// tidy: sorted by name
pub(crate) static OPERATORS: &[Operator] = &[
    array::ALL,
    bits::ALL_CLEAR,
    bits::ALL_SET,
    bits::ANY_CLEAR,
    bits::ANY_SET,
    array::ELEM_MATCH,
    comparison::EQ,
    element::EXISTS,
    refused::GEO_INTERSECTS,
    refused::GEO_WITHIN,
    comparison::GT,
    comparison::GTE,
    comparison::IN,
    comparison::LT,
    comparison::LTE,
    evaluation::MOD,
    comparison::NE,
    refused::NEAR,
    refused::NEAR_SPHERE,
    comparison::NIN,
    logical::NOT,
    evaluation::OPTIONS,
    evaluation::REGEX,
    array::SIZE,
    element::TYPE,
    refused::WITHIN,
];

/// Every operator in a field's place.
// tidy: sorted by name
pub(crate) static TOP_OPERATORS: &[TopOperator] = &[
    logical::ALWAYS_FALSE,
    logical::ALWAYS_TRUE,
    logical::AND,
    logical::COMMENT,
    logical::EXPR,
    refused::JSON_SCHEMA,
    logical::NOR,
    logical::OR,
    logical::SAMPLE_RATE,
    refused::TEXT,
    refused::WHERE,
];

pub(super) fn find(name: &str) -> Option<&'static Operator> {
    OPERATORS.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|at| OPERATORS.get(at))
}

pub(super) fn find_top(name: &str) -> Option<&'static TopOperator> {
    TOP_OPERATORS.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|at| TOP_OPERATORS.get(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        assert!(OPERATORS.is_sorted_by(|a, b| a.name < b.name));
        assert!(TOP_OPERATORS.is_sorted_by(|a, b| a.name < b.name));
    }
}
