//! From a query to a plan, and from a plan to a circuit.
//!
//! A [`Plan`] says which collections it reads and how their documents become rows ([`Source`]), gives the circuit's nodes, and
//! turns the circuit's rows into documents. The caller reads, steps the circuit and writes: for a batch query once, over a
//! snapshot; for a view and a change query for ever.

mod aggregation;
mod binder;
mod block;
mod builtin;
mod calculated;
mod calls;
mod changes;
mod clock;
mod explain;
mod filter;
mod first;
mod from;
mod group;
mod join;
mod lower;
mod pushed;
mod query;
mod recursive;
mod rel;
mod scope;
mod select;
mod source;
mod stored;
mod streamed;
mod subquery;
mod sure;
mod syntax;
mod system;
mod walk;
mod write;

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_flow::{Datum, Lateness, Node, NodeId, Row, key};
use millstream_value::{Doc, DocBuf};
use sqlparser::ast;

use crate::error::Result;
use crate::expr::{Context, to_value};
use crate::{Expr, Notice, Type};

use binder::{Binder, Scan};
use builtin::builtin;
pub use explain::{Held, Operator};
pub use first::First;
pub use pushed::{Answered, Pushed};
pub(crate) use source::SourceColumn;
pub use streamed::{Watched, in_order};

/// What names stand for.
pub trait Catalog {
    /// The relation of a name; a collection that does not exist is an empty table (SQL-3.2).
    fn relation(&self, database: &str, name: &str) -> Relation;
    /// Whether statements may write into a database (SQL-18.1).
    fn is_writable(&self, _database: &str) -> bool {
        true
    }
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
    /// What the catalogue says of itself: rows that are known now.
    Rows {
        /// Its columns.
        columns: Vec<(&'static str, Type)>,
        /// Its rows, each as long as the columns are.
        rows: Vec<Vec<Datum>>,
    },
}

/// A routine as expressions see it.
#[derive(Clone, Debug)]
pub struct Routine {
    /// Its arguments' names and types; no type: `any`.
    pub arguments: Vec<(String, Option<Type>)>,
    /// What the last of them are if they are not given.
    pub defaults: Vec<ast::Expr>,
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
    /// The host answers ([`Expr::Routine`]): native code.
    Host,
    /// The host asks somebody else, who may answer otherwise each time: a webhook.
    Remote,
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
    /// Of the document before an update only the key is known (`images = 'lookup'`): `CHANGED` goes by the changed paths.
    pub by_paths: bool,
    /// The session's time zone.
    pub time_zone: jiff::tz::TimeZone,
    /// The values of `$1`, `$2`…, where they are known.
    pub parameters: Vec<Expr>,
    /// The session's settings as PostgreSQL shows them, by their names in lower case: for `CURRENT_SETTING`, `CURRENT_USER`.
    pub shown: std::collections::BTreeMap<String, String>,
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
    /// Of a parameter that is a text: that. It takes the type of what it meets, as a literal does (SQL-4.10).
    pub text: Option<String>,
}

impl Variable {
    /// One that is no parameter.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Option<Type>) -> Self {
        Self { name: name.into(), kind, text: None }
    }
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
    /// What the first documents of an order decide, when it is answered once.
    pub first: Option<First>,
    /// How many outputs a change query skips first, and stops after.
    pub limit: (u64, Option<u64>),
    /// What its author should know.
    pub notices: Vec<Notice>,
    /// Over changes: the column that holds the time of the change that a row comes from.
    pub time: Option<usize>,
    /// What its names stand for.
    pub uses: Uses,
    rel: rel::Rel,
    scans: Vec<Scan>,
    /// The columns of the relation that the answer's rows are made of.
    output: Vec<rel::ColumnId>,
    lateness: Lateness,
    /// The column that stands for `_id` because it is the key.
    id: Option<usize>,
}

/// What a query uses, also through views.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Collections and views by their database and name.
    pub relations: BTreeSet<(String, String)>,
    /// Calls of routines: the name in lower case, and the number of arguments.
    pub routines: BTreeSet<(String, usize)>,
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
    /// Those of the documents that a change brings; `None`: all. Of `NEW` and `OLD` it is what is taken from them.
    pub streamed_fields: Option<Vec<String>>,
    /// Whether its changes are the rows (the driving table of a change query), and what they have to bring.
    pub driven: Option<Driven>,
    /// What the columns of its rows are.
    columns: Vec<SourceColumn>,
    /// What the rows must satisfy, as far as one row tells: over `columns`.
    conditions: Vec<Expr>,
    /// Those of them by which changes may be left out before anything else is done with them: over `columns`.
    streamed: sure::Conditions,
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

impl Plan {
    /// Plans a query.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn query(
        query: &ast::Query,
        purpose: Purpose,
        variables: &[Variable],
        catalog: &dyn Catalog,
        settings: &Settings,
    ) -> Result<Self> {
        let mut binder = Binder::new(catalog, settings, purpose, variables);
        let bound = binder.query(query, None)?;
        Self::of(binder, bound)
    }

    /// The plan of a resolved query.
    fn of(binder: Binder<'_>, bound: binder::Bound) -> Result<Self> {
        if let Some(clock) = binder.clock {
            stored::check_clock(&bound.rel, clock)?;
        }
        if bound.changes.is_some() && recursive::within(&bound.rel) {
            return Err(recursive::refused());
        }
        let mut output: Vec<_> = bound.columns.iter().map(|column| column.column).collect();
        let mut rel = bound.rel;
        let mut made = Vec::new();
        let mut order = Vec::with_capacity(bound.order.len());
        let mut binder = binder;
        for key in bound.order {
            let id = match key.value {
                Expr::Column(id) => id,
                other => {
                    let id = binder.column_for(&other);
                    made.push((id, other));
                    id
                }
            };
            let column = output.iter().position(|known| *known == id).unwrap_or_else(|| {
                output.push(id);
                output.len() - 1
            });
            order.push(Order { column, descending: key.descending, nulls_first: key.nulls_first });
        }
        rel = rel.mapped(made);
        let time = bound.changes.map(|origin| {
            output.iter().position(|known| *known == origin.time).unwrap_or_else(|| {
                output.push(origin.time);
                output.len() - 1
            })
        });
        let id = stored::id_column(&rel, &binder.scans, &bound.columns, &bound.key);
        let columns = bound.columns.into_iter().map(|column| Column {
            kind: binder.types.get(column.column).cloned().flatten(),
            name: column.name,
            spread: column.spread,
        });
        let columns = columns.collect();
        let lateness = Lateness {
            lateness: binder.settings.lateness.unwrap_or(300_000),
            idle_timeout_ms: binder.settings.idle_timeout_ms,
        };
        let sources = source::sources(&binder.scans, &rel, &output);
        let plan = Self {
            changes: bound.changes.is_some(),
            sources,
            columns,
            key: bound.key,
            order,
            first: first::first(&rel, &binder.scans),
            limit: bound.limit,
            // Whoever asks the catalogue alone has not written the query.
            notices: if binder.asks_catalogue && binder.scans.is_empty() { Vec::new() } else { binder.notices },
            time,
            uses: binder.uses,
            rel,
            scans: binder.scans,
            output,
            lateness,
            id,
        };
        Ok(plan)
    }

    /// Whether more rows may come out than documents are read, so that it may take long whatever it reads.
    #[must_use]
    pub fn may_multiply(&self) -> bool {
        fn multiplies(rel: &rel::Rel) -> bool {
            let itself = matches!(rel, rel::Rel::FlatMap { .. } | rel::Rel::Join(_) | rel::Rel::Recursive { .. });
            itself || rel.inputs().into_iter().any(multiplies)
        }
        multiplies(&self.rel)
    }

    /// The circuit: its nodes and which of them is the answer.
    ///
    /// # Errors
    /// Rows of `VALUES` that cannot be computed.
    pub fn circuit(&self, context: &Arc<Context>) -> Result<(Vec<Node>, NodeId)> {
        let mut lowering = lower::Lowering::new(&self.scans, context, self.lateness);
        let output = lowering.output(&self.rel, &self.output)?;
        Ok((lowering.nodes, output))
    }

    /// Of each node of the circuit the operator that it is part of: its place among [`Plan::operators`], the outermost first.
    ///
    /// # Errors
    /// As of [`Plan::circuit`].
    pub fn owners(&self, context: &Arc<Context>) -> Result<Vec<usize>> {
        let mut lowering = lower::Lowering::new(&self.scans, context, self.lateness);
        lowering.output(&self.rel, &self.output)?;
        Ok(lowering.owners)
    }

    /// The row as a result: the columns in order.
    #[must_use]
    pub fn result(&self, row: &Row, context: &Context) -> DocBuf {
        let mut out = DocBuf::new();
        for (at, column) in self.columns.iter().enumerate() {
            self.push(&mut out, column, row.value(at), context, true);
        }
        out
    }

    /// The row as it is stored: `{ _id: <key>, <columns in order> }` (SQL-14.4).
    #[must_use]
    pub fn document(&self, row: &Row, context: &Context) -> DocBuf {
        let mut out = DocBuf::new();
        out.push("_id", stored::id(&row.key, &self.key, &context.time_zone));
        for (at, column) in self.columns.iter().enumerate() {
            if self.id != Some(at) {
                self.push(&mut out, column, row.value(at), context, false);
            }
        }
        out
    }

    fn push(&self, out: &mut DocBuf, column: &Column, value: &Datum, context: &Context, with_id: bool) {
        match value {
            Datum::Document(bytes) if column.spread => {
                for element in Doc::new(bytes).elements() {
                    if (with_id || element.key() != "_id") && !out.as_doc().has(element.key()) {
                        out.push_element(element);
                    }
                }
            }
            _ if column.spread => {}
            value => {
                out.push(&column.name, to_value(value, &context.time_zone));
            }
        }
    }

    /// Puts rows into the order of `ORDER BY`, ties by row key; without one by row key.
    pub fn sort(&self, rows: &mut [Row]) {
        rows.sort_by(|a, b| self.compare(a, b));
    }

    fn compare(&self, a: &Row, b: &Row) -> Ordering {
        for order in &self.order {
            let (a, b) = (a.value(order.column), b.value(order.column));
            let place = match (a.is_null(), b.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) if order.nulls_first => Ordering::Less,
                (true, false) => Ordering::Greater,
                (false, true) if order.nulls_first => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) if order.descending => key::compare(b, a),
                (false, false) => key::compare(a, b),
            };
            if place.is_ne() {
                return place;
            }
        }
        key::compare_all(&a.key, &b.key)
    }

    /// Refuses what a stored definition may not have (SQL-3.11, SQL-14.4).
    ///
    /// # Errors
    /// 42701, 42602, 42P16.
    pub fn check_stored(&self) -> Result<()> {
        stored::check(self)
    }
}

/// A context for constants.
pub(crate) fn bare_context(settings: &Settings) -> Arc<Context> {
    let now = settings.now_ms;
    Arc::new(Context {
        variables: Vec::new(),
        time_zone: settings.time_zone.clone(),
        routine: Box::new(|name, _| {
            Err(millstream_flow::RowError::new("0A000", format!("{name} may not be called here")))
        }),
        clock: Box::new(move || now),
    })
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
    /// `RETURNING`: columns, and expressions whose `Column(0)` is the written document (for a DELETE the removed one).
    pub returning: Option<Vec<(Column, Expr)>>,
}

/// An expression on its own.
pub enum Computed {
    /// It needs nothing but variables.
    Plain(Expr),
    /// It has subqueries: the one column of the one row of this.
    Query(Box<Plan>),
}

/// A path that is written: `a.b`, `a[0].b`.
pub type Target = Vec<crate::expr::Step>;

/// What a write does with a row of its query.
pub enum WriteAction {
    /// Column n goes to target n of a new document.
    Insert {
        /// The targets; `None`: column 0 is the document, or there is no column (`DEFAULT VALUES`). A target whose value is
        /// `Datum::Missing` is left out of the document; NULL is written as null.
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
    pub update: Option<Vec<(Target, Option<Expr>)>>,
    /// `WHERE …` of the update, over the same columns.
    pub condition: Option<Expr>,
}
