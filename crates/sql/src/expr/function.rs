//! The functions of SQL-6, as tables: one file a family.

mod arguments;
mod array;
mod bson;
mod document;
pub(crate) mod encoding;
mod number;
mod system;
mod text;
mod time;

use std::fmt;

use millstream_flow::{Datum, RowError};

use super::{Context, cast, number as numbers};
use crate::{Class, Type};

/// One function of SQL-6, a row of its family's table.
pub struct Function {
    /// Its name in upper case.
    pub name: &'static str,
    /// The least and the greatest number of arguments.
    pub arguments: (usize, usize),
    /// What it takes, the last one for all further arguments too. An untyped literal becomes a value of that type.
    pub takes: &'static [Takes],
    /// Whether equal arguments may give unequal results (SQL-6.1).
    pub volatile: bool,
    /// Whether it wants to see NULLs; else one NULL gives NULL.
    pub nulls: bool,
    /// What it answers, where that is always the same type.
    pub result: Option<Type>,
    /// Its value.
    pub eval: fn(&[Datum], &Context) -> Result<Datum, RowError>,
}

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Takes {
    /// Values of which one is taken: a literal is of the others' type.
    Alike,
    Any,
    Array,
    Bytes,
    Document,
    Integer,
    Interval,
    Number,
    Text,
    TextOrBytes,
    /// A time: `timestamptz`, `timestamp`, `date`.
    Time,
    /// A time, an interval or a time of day.
    TimeOrSpan,
}

impl Takes {
    /// Whether a value of the class may be given.
    #[must_use]
    pub fn accepts_class(self, class: Class) -> bool {
        match self {
            Self::Alike | Self::Any => true,
            Self::Array => class == Class::Array,
            Self::Bytes => class == Class::Binary,
            Self::TextOrBytes => matches!(class, Class::Text | Class::Binary),
            // JSON may be either.
            Self::Document => matches!(class, Class::Document | Class::Array),
            Self::Integer | Self::Number => class == Class::Number,
            Self::Interval => class == Class::Interval,
            Self::Text => class == Class::Text,
            Self::Time => class == Class::Time,
            Self::TimeOrSpan => matches!(class, Class::Time | Class::Interval | Class::TimeOfDay),
        }
    }

    fn accepts(self, value: &Datum) -> bool {
        value.is_null()
            || match self {
                Self::Alike | Self::Any => true,
                Self::Integer => numbers::to_i64(value).is_some(),
                other => Type::of(value).is_some_and(|kind| other.accepts_class(kind.class())),
            }
    }
}

impl Function {
    /// A function of its arguments alone, NULL where one of them is NULL.
    const fn new(
        name: &'static str,
        arguments: (usize, usize),
        takes: &'static [Takes],
        result: Option<Type>,
        eval: fn(&[Datum], &Context) -> Result<Datum, RowError>,
    ) -> Self {
        Self { name, arguments, takes, volatile: false, nulls: false, result, eval }
    }

    /// One that sees NULLs.
    const fn nulls(mut self) -> Self {
        self.nulls = true;
        self
    }

    /// One whose value is another one each time.
    const fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// What each argument may be.
    pub(crate) fn taken(&self) -> impl Iterator<Item = Takes> {
        let last = self.takes.last().copied().unwrap_or(Takes::Any);
        self.takes.iter().copied().chain(std::iter::repeat(last))
    }

    /// Its value for arguments, as many as it takes.
    pub(crate) fn call(&self, arguments: &[Datum], context: &Context) -> Result<Datum, RowError> {
        if !self.nulls && arguments.iter().any(Datum::is_null) {
            return Ok(Datum::Null);
        }
        for (argument, takes) in arguments.iter().zip(self.taken()) {
            if !takes.accepts(argument) {
                let message = format!("{} does not take {}", self.name, cast::name(argument));
                return Err(RowError::new("42804", message));
            }
        }
        (self.eval)(arguments, context)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The families' tables.
static FAMILIES: &[&[Function]] =
    &[array::ARRAYS, bson::BSON, document::DOCUMENTS, number::NUMBERS, system::SYSTEM, text::TEXTS, time::TIMES];

/// Names with a syntax of their own, for hints.
static SPECIAL: &[&str] = &["COALESCE", "NULLIF"];

/// The function of a name, in any case.
#[must_use]
pub fn function(name: &str) -> Option<&'static Function> {
    let upper = name.to_ascii_uppercase();
    FAMILIES.iter().find_map(|family| {
        let at = family.binary_search_by(|function| function.name.cmp(&upper)).ok()?;
        family.get(at)
    })
}

/// The types that columns have: PostgreSQL's numbers, its short names, and how it writes them.
#[must_use]
pub fn system_types() -> &'static [(i64, &'static str, &'static str)] {
    system::TYPES
}

/// The name of a function that somebody may have meant, if one is near enough.
#[must_use]
pub fn nearest_function(name: &str) -> Option<&'static str> {
    let names = FAMILIES.iter().copied().flatten().map(|function| function.name).chain(SPECIAL.iter().copied());
    crate::near::nearest(name, names)
}
