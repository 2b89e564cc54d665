//! Writes (SQL-10).

use sqlparser::ast;

use super::{Name, Path};

/// `INSERT INTO t [AS a] [(target, …)] source [ON CONFLICT …] [RETURNING …]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// The collection.
    pub table: Name,
    /// Its alias, for `ON CONFLICT` and `RETURNING`.
    pub alias: Option<String>,
    /// The targets; none: the source is the document.
    pub targets: Vec<Path>,
    /// The rows.
    pub source: Source,
    /// What happens to rows that are there.
    pub conflict: Option<Conflict>,
    /// What is answered.
    pub returning: Vec<ast::SelectItem>,
}

/// Where inserted rows come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// `DEFAULT VALUES`.
    Default,
    /// A query.
    Query(Box<ast::Query>),
    /// `VALUES (…), …`.
    Values(Vec<Vec<Value>>),
}

/// What is written into a target.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `DEFAULT`: the field is left out or removed.
    Default,
    /// A value.
    Expr(ast::Expr),
}

/// `ON CONFLICT [(target, …)] …`.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The columns of the unique index.
    pub targets: Vec<Path>,
    /// What to do.
    pub action: ConflictAction,
}

/// What to do about a conflict.
#[derive(Clone, Debug, PartialEq)]
pub enum ConflictAction {
    /// `DO NOTHING`.
    Nothing,
    /// `DO UPDATE SET … [WHERE …]`.
    Update {
        /// The new values.
        set: Vec<Assignment>,
        /// Which rows.
        filter: Option<ast::Expr>,
    },
}

/// `target = value`. Tuples, `(x, y) = (e, f)`, have been taken apart: all right-hand sides see the old row.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// What is written.
    pub target: Path,
    /// What it becomes.
    pub value: Value,
}

/// `UPDATE t [AS a] SET … [FROM …] [WHERE …] [RETURNING …]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The collection.
    pub table: Name,
    /// Its alias.
    pub alias: Option<String>,
    /// The new values.
    pub set: Vec<Assignment>,
    /// What it is joined with.
    pub from: Vec<ast::TableWithJoins>,
    /// Which rows.
    pub filter: Option<ast::Expr>,
    /// What is answered.
    pub returning: Vec<ast::SelectItem>,
}

/// `DELETE FROM t [AS a] [USING …] [WHERE …] [RETURNING …]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// The collection.
    pub table: Name,
    /// Its alias.
    pub alias: Option<String>,
    /// What it is joined with.
    pub using: Vec<ast::TableWithJoins>,
    /// Which rows.
    pub filter: Option<ast::Expr>,
    /// What is answered.
    pub returning: Vec<ast::SelectItem>,
}
