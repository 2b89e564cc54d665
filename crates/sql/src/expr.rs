//! Expressions over one row, with names resolved.

mod arithmetic;
mod calendar;
mod cast;
mod check;
mod compare;
mod compile;
mod eval;
mod from_ast;
mod function;
mod interval;
mod json;
pub(crate) mod like;
mod number;
mod operator;
mod path;
mod pattern;
mod plain;
mod print;
mod static_type;
mod stored;
mod table_function;
mod time_text;
mod untyped;

pub use from_ast::{Names, from_ast};
pub use function::system_types;
pub use function::{Function, Takes, function, nearest_function};
pub use plain::{read, restored, step_into, stored_forms, to_json, to_text};
pub use stored::to_value;
pub use table_function::{SetFunction, table_function};

use millstream_flow::{Datum, RowError};

use crate::Type;

/// An expression. Children are evaluated left to right; `And`, `Or`, `Case`, `Coalesce` stop as soon as they know (SQL-6.5).
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A column of the row, by position.
    Column(usize),
    /// A component of the row's key, by position.
    KeyPart(usize),
    /// A variable, an argument, a parameter (`$1`), or a part of `NEW` and `OLD`, by its slot: a constant while a plan runs.
    Variable(usize),
    /// A constant of a known type.
    Constant(Datum),
    /// An untyped string literal, which takes the type of what it meets (SQL-4.10).
    Untyped(String),
    /// `x.a[0]['b']`: steps into a value (SQL-3.5), never an error.
    Path(Box<Expr>, Vec<Step>),
    /// `-x`, `+x`.
    Negate(Box<Expr>),
    /// `+ - * / % ^`, also on times and intervals (SQL-5.1).
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    /// `= <> < <= > >=`, `IS [NOT] DISTINCT FROM` (SQL-4.3 to SQL-4.5, SQL-4.10).
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// Comparison of rows, `(a, b) < (c, d)`; lists are of equal length.
    CompareRows(Comparison, Vec<Expr>, Vec<Expr>),
    /// All are true.
    And(Vec<Expr>),
    /// One is true.
    Or(Vec<Expr>),
    /// Three-valued.
    Not(Box<Expr>),
    /// `IS NULL`, `IS TRUE`, …: two-valued. The flag is for `NOT`.
    Is(Test, bool, Box<Expr>),
    /// `x BETWEEN [SYMMETRIC] a AND b`.
    Between {
        /// The value.
        value: Box<Expr>,
        /// The lower end.
        low: Box<Expr>,
        /// The upper end.
        high: Box<Expr>,
        /// Whether the ends may be in either order.
        symmetric: bool,
    },
    /// `x IN (…)` (SQL-5.2).
    In(Box<Expr>, Vec<Expr>),
    /// `x <op> ANY(array)`.
    Any(Comparison, Box<Expr>, Box<Expr>),
    /// `x <op> ALL(array)`.
    All(Comparison, Box<Expr>, Box<Expr>),
    /// `LIKE`, `ILIKE` (SQL-5.4): value, pattern.
    Like {
        /// The value.
        value: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// The escape character; `None`: a backslash. Empty: none.
        escape: Option<String>,
        /// `ILIKE`.
        ignore_case: bool,
    },
    /// `~ ~*` (SQL-5.5): value, pattern, whether case is ignored.
    Matches(Box<Expr>, Box<Expr>, bool),
    /// `||`, `->`, `@>` and the other operators of SQL-5.3.
    Operator(Operator, Box<Expr>, Box<Expr>),
    /// `CASE [x] WHEN … THEN … ELSE … END`.
    Case {
        /// What branches are compared with; without it they are conditions.
        operand: Option<Box<Expr>>,
        /// Condition or value, and result.
        branches: Vec<(Expr, Expr)>,
        /// `ELSE`; none: NULL.
        otherwise: Option<Box<Expr>>,
    },
    /// `COALESCE`.
    Coalesce(Vec<Expr>),
    /// A cast (SQL-4.11); with `attempt` (`TRY_CAST`) NULL instead of an error.
    Cast {
        /// The value.
        value: Box<Expr>,
        /// The type.
        to: Type,
        /// `TRY_CAST`.
        attempt: bool,
    },
    /// `ARRAY[…]`.
    Array(Vec<Expr>),
    /// A function of the table (SQL-6).
    Call(&'static Function, Vec<Expr>),
    /// A routine of the host: the caller gives its meaning when a plan runs (SQL-16.4, SQL-16.5).
    Routine(String, Vec<Expr>),
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A field of a document.
    Field(String),
    /// An element of an array, from 0; negative from the end.
    Index(i64),
}

/// `+ - * / % ^`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// `IS DISTINCT FROM`: two-valued.
    Distinct,
    /// `IS NOT DISTINCT FROM`: two-valued.
    NotDistinct,
}

impl Comparison {
    /// The one that is true where this one is neither true nor NULL.
    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
            Self::Distinct => Self::NotDistinct,
            Self::NotDistinct => Self::Distinct,
        }
    }
}

/// `IS …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Test {
    Null,
    True,
    False,
    Unknown,
}

/// The operators of SQL-5.3 and SQL-3.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `||`
    Concat,
    /// `@>`
    Contains,
    /// `<@`
    ContainedIn,
    /// `?`
    HasKey,
    /// `?|`
    HasAnyKey,
    /// `?&`
    HasAllKeys,
    /// `-` on documents and arrays, where a static type says so.
    Without,
    /// `#-`
    WithoutPath,
    /// `&&`
    Overlaps,
    /// `->`
    Get,
    /// `->>`
    GetText,
    /// `#>`
    GetPath,
    /// `#>>`
    GetPathText,
}

/// What stays the same while one plan runs.
pub struct Context {
    /// The values of [`Expr::Variable`].
    pub variables: Vec<Datum>,
    /// The session's time zone.
    pub time_zone: jiff::tz::TimeZone,
    /// Answers [`Expr::Routine`]: name and arguments.
    pub routine: Box<RoutineCall>,
    /// `CLOCK_TIMESTAMP()`: milliseconds since 1970.
    pub clock: Box<dyn Fn() -> i64 + Send + Sync>,
}

/// Calls a routine of the host.
pub type RoutineCall = dyn Fn(&str, &[Datum]) -> Result<Datum, RowError> + Send + Sync;
