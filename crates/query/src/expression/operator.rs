//! What an operator is: its name, the arguments it takes and what it does with them.

use std::fmt;

use millstream_value::{TextOrder, Value};

use super::compile::Compiler;
use super::node::{Env, Node};
use crate::{Collation, Error, Result, collation};

/// An operator that sees its arguments' values; null and missing are its own business.
pub(super) type Eager = for<'v> fn(&mut Args<'_, 'v>) -> Result<Option<Value<'v>>>;

/// An operator that evaluates its arguments itself.
pub(super) type Lazy = for<'v> fn(&'static str, &'v [Node], &mut Env<'v>) -> Result<Option<Value<'v>>>;

/// An operator with a shape of its own.
pub(super) type Parse = fn(&'static str, &Value<'_>, &mut Compiler<'_>) -> Result<Node>;

/// One row of the table.
#[derive(Debug)]
pub(super) struct Operator {
    /// With its `$`.
    pub(super) name: &'static str,
    /// How its arguments are written.
    pub(super) shape: Shape,
    /// What it does.
    pub(super) run: Run,
    /// Whether it is computed when it is compiled if all its arguments are constant.
    pub(super) folds: bool,
}

/// How arguments are written.
#[derive(Debug)]
pub(super) enum Shape {
    /// `[a, b, …]`, or a single value in place of a list of one.
    List { min: usize, max: usize },
    /// `{name: a, …}`; absent ones are missing.
    Named(&'static [Name], Unknown),
    /// Read by the operator itself.
    Own,
}

/// The code for a named argument that does not exist, and for an argument that is not a document.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) unknown: i32,
    pub(super) not_object: i32,
}

/// A named argument.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) name: &'static str,
    /// The code of the error that it is not there; 0 where it need not be.
    pub(super) required: i32,
}

/// How an operator is run.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// On values.
    Eager(Eager),
    /// On nodes.
    Lazy(Lazy),
    /// It makes its own node.
    Parse(Parse),
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eager(_) => "Eager",
            Self::Lazy(_) => "Lazy",
            Self::Parse(_) => "Parse",
        })
    }
}

impl Operator {
    /// An operator on values of exactly `count` arguments.
    pub(super) const fn exactly(name: &'static str, count: usize, run: Eager) -> Self {
        Self::list(name, count, count, run)
    }

    /// An operator on the values of a list.
    pub(super) const fn list(name: &'static str, min: usize, max: usize, run: Eager) -> Self {
        Self { name, shape: Shape::List { min, max }, run: Run::Eager(run), folds: true }
    }

    /// An operator on the values of any number of arguments.
    pub(super) const fn any(name: &'static str, run: Eager) -> Self {
        Self::list(name, 0, usize::MAX, run)
    }

    /// An operator on the values of named arguments.
    pub(super) const fn named(
        name: &'static str,
        names: &'static [Name],
        unknown: i32,
        not_object: i32,
        run: Eager,
    ) -> Self {
        Self { name, shape: Shape::Named(names, Unknown { unknown, not_object }), run: Run::Eager(run), folds: true }
    }

    /// An operator that evaluates the arguments of a list itself.
    pub(super) const fn lazy(name: &'static str, min: usize, max: usize, run: Lazy) -> Self {
        Self { name, shape: Shape::List { min, max }, run: Run::Lazy(run), folds: true }
    }

    /// An operator with a shape of its own.
    pub(super) const fn own(name: &'static str, parse: Parse) -> Self {
        Self { name, shape: Shape::Own, run: Run::Parse(parse), folds: false }
    }

    /// The same, left to be computed when it is evaluated.
    pub(super) const fn unfolded(mut self) -> Self {
        self.folds = false;
        self
    }
}

/// A named argument that may be absent.
pub(super) const fn optional(name: &'static str) -> Name {
    Name { name, required: 0 }
}

/// A named argument whose absence is the error `code`.
pub(super) const fn required(name: &'static str, code: i32) -> Name {
    Name { name, required: code }
}

/// The row of an operator.
pub(super) fn find(name: &str) -> Option<&'static Operator> {
    let rows = super::table::OPERATORS;
    rows.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|at| rows.get(at)).copied()
}

/// The values of an operator's arguments.
pub(super) struct Args<'s, 'v> {
    /// The operator's name, for messages.
    pub(super) name: &'static str,
    given: u32,
    values: &'s mut [Option<Value<'v>>],
    collation: Option<&'s Collation>,
}

impl<'s, 'v> Args<'s, 'v> {
    /// Arguments of `name`; the bits of `given` tell which were written.
    pub(super) const fn new(
        name: &'static str,
        given: u32,
        values: &'s mut [Option<Value<'v>>],
        collation: Option<&'s Collation>,
    ) -> Self {
        Self { name, given, values, collation }
    }

    /// How texts compare.
    pub(super) fn order(&self) -> Option<&'s dyn TextOrder> {
        collation::order(self.collation)
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.values.len()
    }

    /// All of them.
    pub(super) const fn all(&self) -> &[Option<Value<'v>>] {
        self.values
    }

    /// One of them.
    pub(super) fn get(&self, at: usize) -> Option<&Value<'v>> {
        self.values.get(at).and_then(Option::as_ref)
    }

    /// One of them, to keep.
    pub(super) fn take(&mut self, at: usize) -> Option<Value<'v>> {
        self.values.get_mut(at).and_then(Option::take)
    }

    /// Whether one of them is null, undefined or missing.
    pub(super) fn nullish(&self, at: usize) -> bool {
        self.get(at).is_none_or(Value::is_nullish)
    }

    /// Whether a named argument was written.
    pub(super) const fn given(&self, at: u32) -> bool {
        self.given & (1 << at) != 0
    }

    /// The type's name for messages.
    pub(super) fn type_name(&self, at: usize) -> &'static str {
        type_name(self.get(at))
    }

    /// An error of this operator.
    pub(super) fn fail<T>(&self, code: i32, message: impl fmt::Display) -> Result<T> {
        Err(Error::location(code, format!("{} {message}", self.name)))
    }
}

/// The type's name for messages, also of what is missing.
pub(super) fn type_name(value: Option<&Value<'_>>) -> &'static str {
    value.map_or("missing", Value::type_name)
}

/// The value as messages show it.
pub(super) fn shown(value: Option<&Value<'_>>) -> String {
    match value {
        None => "MISSING".to_owned(),
        Some(Value::Double(number)) => super::number::print_short(*number),
        Some(value) => millstream_value::shell::value(value),
    }
}

/// Whether a value is null, undefined or missing.
pub(super) fn is_nullish(value: Option<&Value<'_>>) -> bool {
    value.is_none_or(Value::is_nullish)
}
