//! From a query to a plan, and from a plan to a circuit.
//!
//! A [`Plan`] says which collections it reads and how their documents become rows ([`Source`]), gives the circuit's nodes, and
//! turns the circuit's rows into documents. The caller reads, steps the circuit and writes: for a batch query once, over a
//! snapshot; for a view and a change query for ever.

use std::sync::Arc;

use millstream_flow::{Datum, Node, NodeId, Row};
use millstream_value::{Doc, DocBuf};
use sqlparser::ast;

use crate::error::Result;
use crate::expr::Context;
use crate::{Notice, SqlError, Type};

/// What names stand for.
pub trait Catalog {
    /// The relation of a name; a collection that does not exist is an empty table (SQL-3.2).
    fn relation(&self, database: &str, name: &str) -> Relation;
    /// A routine by its name, in any case, and its number of arguments.
    fn routine(&self, database: &str, name: &str, arguments: usize) -> Option<Routine>;
    /// The names of relations, for hints.
    fn relations(&self, database: &str) -> Vec<String>;
    /// The names of routines, for hints.
    fn routines(&self, database: &str) -> Vec<String>;
}

/// What a name in FROM stands for.
#[derive(Clone, Debug)]
pub enum Relation {
    /// A collection.
    Collection {
        /// Whether it is there.
        exists: bool,
    },
    /// A view: using it is using its query.
    View {
        /// Its query.
        query: Box<ast::Query>,
        /// Names for its columns, where the definition gives them.
        columns: Vec<String>,
    },
    /// A materialized view: a collection with known columns.
    Materialized {
        /// Its columns, without `_id`.
        columns: Vec<Column>,
        /// Its default order (SQL-14.6): names of columns, and whether descending.
        order: Vec<(String, bool)>,
    },
}

/// A routine as expressions see it.
#[derive(Clone, Debug)]
pub struct Routine {
    /// Its arguments' names and types; no type: `any`.
    pub arguments: Vec<(String, Option<Type>)>,
    /// What it answers.
    pub returns: Option<Type>,
    /// What it does.
    pub body: RoutineBody,
    /// Its volatility.
    pub volatility: Volatility,
    /// NULL if an argument is NULL.
    pub strict: bool,
}

/// What a routine does.
#[derive(Clone, Debug)]
pub enum RoutineBody {
    /// One query; its first column of its first row is the answer.
    Query(Box<ast::Query>),
    /// The host answers ([`crate::Expr::Routine`]): a webhook or native code.
    Host,
}

/// When equal arguments give equal answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    /// Always.
    Immutable,
    /// Within a statement.
    Stable,
    /// Never.
    Volatile,
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Answered once (also inside trigger bodies and write statements). A change query may be planned for this, too: it is
    /// then a subscription.
    Batch,
    /// Stored and kept right for ever: a materialized view, a subscription to a table query.
    View,
}

/// What planning depends on besides the query.
pub struct Settings {
    /// The database of one-part names.
    pub database: String,
    /// `SET strict_tables`.
    pub strict_tables: bool,
    /// `SET strict_columns`.
    pub strict_columns: bool,
    /// `unbounded_state`.
    pub unbounded_state: bool,
    /// `lateness`, in milliseconds for times; `None`: the default of times, and none for numbers.
    pub lateness: Option<i64>,
    /// `idle_timeout`, in milliseconds.
    pub idle_timeout_ms: i64,
    /// The session's time zone.
    pub time_zone: jiff::tz::TimeZone,
    /// `CURRENT_TIMESTAMP` of a batch statement: milliseconds since 1970.
    pub now_ms: i64,
}

/// A name that is a constant while a plan runs: an argument, a variable, `NEW`, `OLD`, `TRIGGER_ACTION`, `$1`. The functions
/// of the change are variables named `CHANGE_TYPE()`, `CHANGE_TIMESTAMP()`, …; where `CHANGE_TIMESTAMP()` is one,
/// `CURRENT_TIMESTAMP` means it. Its value is the entry of the same place in [`Context::variables`].
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name; names are compared as SQL-16.3 says.
    pub name: String,
    /// Its type, if known.
    pub kind: Option<Type>,
}

/// A planned query.
pub struct Plan {
    /// Whether it is a change query: its circuit is over changes, and its outputs are appended.
    pub changes: bool,
    /// What it reads; a circuit's `SourceId` is the place here.
    pub sources: Vec<Source>,
    /// The columns of its rows, in order. Rows may have more, which are for sorting only.
    pub columns: Vec<Column>,
    /// The names of the key's components (SQL-14.3); one: stored bare.
    pub key: Vec<String>,
    /// `ORDER BY`, over the columns of its rows.
    pub order: Vec<Order>,
    /// How many outputs a change query stops after, and skips first.
    pub limit: (u64, Option<u64>),
    /// What its author should know.
    pub notices: Vec<Notice>,
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, if known.
    pub kind: Option<Type>,
    /// Whether it stands for all fields of its document, as `*` over a collection does.
    pub spread: bool,
}

/// One key of `ORDER BY`: a column by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The place in the row.
    pub column: usize,
    /// `DESC`.
    pub descending: bool,
    /// `NULLS FIRST`.
    pub nulls_first: bool,
}

/// A collection that a plan reads.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its database.
    pub database: String,
    /// Its name.
    pub collection: String,
    /// The top-level fields that are used; `None`: all. `_id` is always used.
    pub fields: Option<Vec<String>>,
    /// Whether its changes are the rows (the driving table of a change query), and what they have to bring.
    pub driven: Option<Driven>,
}

/// What the changes of a driving table have to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Driven {
    /// Whether INSERTs, UPDATEs, DELETEs can pass at all.
    pub operations: [bool; 3],
    /// Whether the old document is used.
    pub old: bool,
    /// Whether the new document is used for updates.
    pub new: bool,
}

/// One change of a driving table.
pub struct DrivenChange<'a> {
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub operation: &'static str,
    /// The document before.
    pub old: Option<Doc<'a>>,
    /// The document after.
    pub new: Option<Doc<'a>>,
    /// `CHANGE_TIMESTAMP()` in milliseconds.
    pub time_ms: i64,
    /// `CHANGE_TOKEN()`.
    pub token: &'a str,
    /// `CHANGE_KEY()`.
    pub key: Doc<'a>,
    /// `CHANGE_FIELDS()`.
    pub fields: &'a [String],
    /// `CHANGE_EVENT()`.
    pub event: Doc<'a>,
}

impl Source {
    /// The row of a document.
    #[must_use]
    pub fn row(&self, document: Doc<'_>) -> Row {
        let id = document.get("_id").map_or(Datum::Missing, |id| Datum::from_value(&id));
        let values: Vec<Datum> = match &self.fields {
            None => vec![Datum::Document(Arc::from(document.to_buf().into_bytes()))],
            Some(fields) => fields
                .iter()
                .map(|field| document.get(field).map_or(Datum::Missing, |value| Datum::from_value(&value)))
                .collect(),
        };
        Row::new(vec![id], values)
    }

    /// The row of a change, for a driven source.
    #[must_use]
    pub fn change_row(&self, _change: &DrivenChange<'_>) -> Row {
        Row::new(vec![], vec![])
    }

    /// A filter in the language of `find` that lets through every document whose row can matter (SQL-20.2); `None`: all.
    #[must_use]
    pub fn filter(&self, _context: &Context) -> Option<DocBuf> {
        None
    }
}

impl Plan {
    /// Plans a query.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn query(
        _query: &ast::Query,
        _purpose: Purpose,
        _variables: &[Variable],
        _catalog: &dyn Catalog,
        _settings: &Settings,
    ) -> Result<Self> {
        Err(SqlError::new("0A000", "queries are not offered yet"))
    }

    /// The circuit: its nodes and which of them is the answer.
    #[must_use]
    pub fn circuit(&self, _context: &Arc<Context>) -> (Vec<Node>, NodeId) {
        (Vec::new(), 0)
    }

    /// The row as a result: the columns in order.
    #[must_use]
    pub fn result(&self, _row: &Row, _context: &Context) -> DocBuf {
        DocBuf::new()
    }

    /// The row as it is stored: `{ _id: <key>, <columns in order> }` (SQL-14.4).
    #[must_use]
    pub fn document(&self, _row: &Row, _context: &Context) -> DocBuf {
        DocBuf::new()
    }

    /// Puts rows into the order of `ORDER BY`, ties by row key; without one by row key.
    pub fn sort(&self, _rows: &mut [Row]) {}
}

/// A planned `INSERT`, `UPDATE` or `DELETE`: a query for what to write, and what to do with its rows.
pub struct Write {
    /// The query. Its rows' values are what `action` says.
    pub plan: Plan,
    /// The database of the collection that is written.
    pub database: String,
    /// The collection that is written.
    pub collection: String,
    /// What to do with each row.
    pub action: WriteAction,
    /// `RETURNING`: columns over the written document (the removed one for a DELETE): names and expressions, whose
    /// `Column(0)` is the whole document, `Column(1)` the row of the plan as it was.
    pub returning: Option<Vec<(String, crate::Expr)>>,
}

/// A path that is written: `a.b`, `a[0].b`.
pub type Target = Vec<crate::expr::Step>;

/// What a write does with a row of its query.
pub enum WriteAction {
    /// Column n goes to target n of a new document.
    Insert {
        /// The targets; `None`: column 0 is the document.
        targets: Option<Vec<Target>>,
        /// `ON CONFLICT`.
        conflict: Option<Conflict>,
    },
    /// Column 0 is the document as it was, column 1 how many rows of FROM matched it, column n + 2 goes to target n. Where
    /// `assigned` is false the target is removed (`DEFAULT`), and its column is NULL.
    Update {
        /// The targets, and whether each has a value.
        targets: Vec<(Target, bool)>,
    },
    /// Column 0 is the document, column 1 how many rows of USING matched it.
    Delete,
}

/// `ON CONFLICT`.
pub struct Conflict {
    /// The fields that must be unique together; empty: any.
    pub targets: Vec<Target>,
    /// `DO UPDATE SET …`: targets and expressions over `Column(0)`, the document that is there, and `Column(1)`, the new one
    /// (`EXCLUDED`); none: `DO NOTHING`.
    pub update: Option<Vec<(Target, Option<crate::Expr>)>>,
    /// `WHERE …` of the update, over the same columns.
    pub condition: Option<crate::Expr>,
}
