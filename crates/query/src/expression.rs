//! Aggregation expressions: values computed from a document.
//!
//! An expression is compiled once, with constant parts already computed, and then evaluated against raw documents.
//! Numbers, dates, null and missing behave as MongoDB's to the type. Every operator is a row of
//! [`operator_names`]'s table.
//!
//! Errors: those of constant parts come from [`Expression::parse`], the others from [`Expression::eval`].
//! Source: MongoDB manual 8.0, "Aggregation Operations: expression operators".

pub mod accumulator;
mod arithmetic;
mod array;
mod bitwise;
mod boolean;
mod comparison;
mod compile;
mod conditional;
mod convert;
mod date;
mod limit;
mod misc;
mod node;
mod number;
mod object;
mod operator;
mod pattern;
mod set;
mod sort_array;
mod string;
mod substring;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod trigonometry;
mod variable;
mod zip;

use millstream_value::{ClusterTime, Doc, Value};

use crate::{Collation, Result};
use node::{Env, Node};

/// What surrounds a query when it is compiled: the caller's variables and the time.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The caller's `let`: names without `$$`, constant values.
    pub variables: Vec<(String, Value<'static>)>,
    /// `$$NOW` in milliseconds since the epoch.
    pub now_ms: i64,
    /// `$$CLUSTER_TIME`, where there is one.
    pub cluster_time: Option<ClusterTime>,
    /// Where `$rand` starts; none: somewhere else each time.
    pub seed: Option<u64>,
    /// How texts compare; none: by their bytes.
    pub collation: Option<Collation>,
}

impl Scope {
    /// A scope whose clock shows `now_ms`.
    #[must_use]
    pub fn at(now_ms: i64) -> Self {
        Self { now_ms, ..Self::default() }
    }

    /// The value of a caller's variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&Value<'static>> {
        self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expression {
    node: Node,
    collation: Option<Collation>,
}

impl Expression {
    /// Compiles `value`: a field path (`"$a.b"`), a variable (`"$$name"`), an operator (`{$add: …}`), an object or
    /// array of expressions, or a constant.
    ///
    /// # Errors
    /// What is wrong with its shape, and what its constant parts run into when they are computed.
    pub fn parse(value: &Value<'_>, scope: &Scope) -> Result<Self> {
        Ok(Self { node: compile::compile(value, scope)?, collation: scope.collation.clone() })
    }

    /// Always `value`.
    #[must_use]
    pub fn literal(value: Value<'static>) -> Self {
        Self { node: Node::Literal(Some(value)), collation: None }
    }

    /// The field at a dotted path, without a leading `$`. Arrays on the way give the array of what is inside.
    #[must_use]
    pub fn field(path: &str) -> Self {
        Self { node: Node::field(path), collation: None }
    }

    /// The constant that it is, if it is one; `Some(None)` is always missing.
    #[must_use]
    pub fn constant(&self) -> Option<Option<&Value<'static>>> {
        match &self.node {
            Node::Literal(value) => Some(value.as_ref()),
            _ => None,
        }
    }

    /// The dotted path that it is, if it is a plain field of the document.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        match &self.node {
            Node::Path { slot: None, names } if !names.is_empty() => Some(names.join(".")),
            _ => None,
        }
    }

    /// The value for one document; `None` is missing.
    ///
    /// # Errors
    /// What an operator cannot do with the values it meets.
    pub fn eval<'a>(&'a self, root: Doc<'a>) -> Result<Option<Value<'a>>> {
        let value = self.node.eval(&mut Env::new(root, self.collation.as_ref()))?;
        if let Some(value) = &value {
            limit::depth(value)?;
        }
        Ok(value)
    }

    /// The truth of the value for one document: everything but false, 0, null, undefined and missing.
    ///
    /// # Errors
    /// As [`Expression::eval`].
    pub fn is_true(&self, root: Doc<'_>) -> Result<bool> {
        Ok(self.eval(root)?.is_some_and(|value| value.is_truthy()))
    }
}

/// Whether an operator of this name (with its `$`) can be used.
#[must_use]
pub fn is_operator(name: &str) -> bool {
    operator::find(name).is_some()
}

/// The names of all operators, sorted.
pub fn operator_names() -> impl Iterator<Item = &'static str> {
    table::OPERATORS.iter().map(|operator| operator.name)
}

/// The error of operators that run JavaScript on the server.
fn no_javascript(name: &str) -> crate::Error {
    crate::Error::location(
        31264,
        format!("{name}: Cannot run server-side javascript without the javascript engine enabled"),
    )
}
