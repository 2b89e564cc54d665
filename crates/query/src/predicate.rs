//! Predicates: the filters of `find`, `update`, `delete` and `$match`.
//!
//! A filter is compiled once into a tree ([`Predicate::parse`]) and then asked about documents as raw bytes. What
//! every match must satisfy can be read off it ([`Predicate::conditions`]) by planners and by the routing of change
//! streams.

mod array;
mod bits;
mod comparison;
mod conditions;
mod element;
mod evaluation;
mod logical;
mod node;
mod operand;
mod operators;
mod parse;
pub(crate) mod pattern;
mod refused;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use millstream_value::{Doc, DocBuf, Element, Value};

pub use conditions::{Condition, Test};

use crate::expression::Scope;
use crate::{Collation, Result};
use node::Node;

/// A compiled filter. Cheap to clone.
#[derive(Clone)]
pub struct Predicate {
    root: Arc<Node>,
    /// It was parsed as a condition on one value, which stands under the empty name.
    on_value: bool,
    collation: Option<Collation>,
}

/// Where a document matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The place in the array that the match went through, for the positional `$`; `None` if there was no array.
    pub index: Option<usize>,
}

impl Predicate {
    /// Compiles a filter.
    ///
    /// # Errors
    /// `BadValue` and the operators' own codes, as MongoDB words them.
    pub fn parse(filter: Doc<'_>, scope: &Scope) -> Result<Self> {
        Ok(Self { root: Arc::new(parse::filter(filter, scope)?), on_value: false, collation: scope.collation.clone() })
    }

    /// Compiles a condition on one value, as `$pull` takes it: a value that it has to equal (or a regex), or a
    /// document of operators such as `{$gte: 5}`. Ask it with [`Predicate::matches_value`].
    ///
    /// # Errors
    /// As [`Predicate::parse`].
    pub fn parse_condition(condition: &Value<'_>, scope: &Scope) -> Result<Self> {
        let mut filter = DocBuf::new();
        filter.push("", condition.borrowed());
        let root = Arc::new(parse::filter(filter.as_doc(), scope)?);
        Ok(Self { root, on_value: true, collation: scope.collation.clone() })
    }

    /// The filter that every document passes.
    #[must_use]
    pub fn always_true() -> Self {
        Self { root: Arc::new(Node::Always(true)), on_value: false, collation: None }
    }

    /// Whether every document passes for certain.
    #[must_use]
    pub fn is_always_true(&self) -> bool {
        matches!(*self.root, Node::Always(true))
    }

    /// Whether no document passes for certain (`{a: {$in: []}}`).
    #[must_use]
    pub fn is_always_false(&self) -> bool {
        matches!(*self.root, Node::Always(false))
    }

    /// Whether `doc` passes.
    ///
    /// # Errors
    /// Those of `$expr`; everything else only fails to match.
    pub fn matches(&self, doc: Doc<'_>) -> Result<bool> {
        self.root.matches(doc, &mut None)
    }

    /// Whether `doc` passes, and where in an array.
    ///
    /// # Errors
    /// As [`Predicate::matches`].
    pub fn matches_at(&self, doc: Doc<'_>) -> Result<Option<Position>> {
        let mut index = None;
        let found = self.root.matches(doc, &mut index)?;
        Ok(found.then_some(Position { index }))
    }

    /// Whether a single value passes: the value itself for a condition from [`Predicate::parse_condition`], else its
    /// fields, so that only documents can pass.
    ///
    /// # Errors
    /// As [`Predicate::matches`].
    pub fn matches_value(&self, value: &Value<'_>) -> Result<bool> {
        match (self.on_value, value) {
            (true, _) => self.matches_as("", value),
            (false, Value::Document(bytes)) => self.matches(Doc::new(bytes)),
            (false, _) => Ok(false),
        }
    }

    /// [`Predicate::matches_value`] of an undecoded element.
    ///
    /// # Errors
    /// As [`Predicate::matches`].
    pub fn matches_element(&self, element: Element<'_>) -> Result<bool> {
        match (self.on_value, element.as_doc()) {
            (true, _) => {
                let mut doc = DocBuf::new();
                doc.push_as("", element);
                self.matches(doc.as_doc())
            }
            (false, Some(doc)) => self.matches(doc),
            (false, None) => Ok(false),
        }
    }

    /// Whether a document with the only field `name: value` passes: how an array filter sees an element.
    ///
    /// # Errors
    /// As [`Predicate::matches`].
    pub fn matches_as(&self, name: &str, value: &Value<'_>) -> Result<bool> {
        let mut doc = DocBuf::new();
        doc.push(name, value.borrowed());
        self.matches(doc.as_doc())
    }

    /// How texts compare; none: by their bytes.
    #[must_use]
    pub const fn collation(&self) -> Option<&Collation> {
        self.collation.as_ref()
    }

    /// What every matching document satisfies, from the conjunction at the top. Not everything that the filter asks
    /// for: a match of all conditions still has to be checked.
    #[must_use]
    pub fn conditions(&self) -> Vec<Condition> {
        conditions::of(&self.root)
    }

    /// The ways to match, at most `max`: every matching document satisfies all conditions of at least one of these lists.
    /// As with [`Predicate::conditions`], it may still fail the filter.
    #[must_use]
    pub fn ways(&self, max: usize) -> Vec<Vec<Condition>> {
        conditions::ways(&self.root, max)
    }

    /// The fields that an upsert's new document starts with, ordered by path.
    ///
    /// # Errors
    /// `NotSingleValueField` (54) if a path, or a path and a part of it, is given twice; `QueryFeatureNotAllowed`
    /// (224) if the filter has an `$expr`.
    pub fn equalities(&self) -> Result<Vec<(String, Value<'static>)>> {
        conditions::equalities(&self.root)
    }

    /// The paths that the filter reads; `None` if an expression in it may read anything.
    #[must_use]
    pub fn paths(&self) -> Option<Vec<String>> {
        conditions::paths(&self.root)
    }
}

/// The names of every query operator that is known, sorted; those that are refused with an error of their own as well.
#[must_use]
pub fn operator_names() -> Vec<&'static str> {
    let fields = operators::OPERATORS.iter().map(|row| row.name);
    let mut names: Vec<_> = fields.chain(operators::TOP_OPERATORS.iter().map(|row| row.name)).collect();
    names.sort_unstable();
    names
}

impl std::fmt::Debug for Predicate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Predicate").field("conditions", &self.conditions()).finish_non_exhaustive()
    }
}
