//! What statements are made of.

#![expect(
    clippy::large_enum_variant,
    reason = "trees are few and live for a moment; boxes would be in the way of reading"
)]

mod body;
mod define;
mod lifecycle;
mod options;
mod write;

pub use body::{Block, BodyStatement, Call, Declaration, RaiseLevel};
pub use define::{
    Argument, Chart, Column, CreateConnection, CreateDashboard, CreateIndex, CreateRoutine, CreateSink, CreateSync,
    CreateTable, CreateTrigger, CreateView, IndexField, Panel, RoutineBody, RoutineKind, SinkInto, SinkSource,
    SyncSource, TriggerAction, TriggerEvent, Volatility,
};
pub use lifecycle::{
    Alteration, DeadLetters, Explain, ExplainFormat, Explained, From, Listing, Show, Subscribe, Subscribed, Which,
};
pub use options::{Literal, Options};
pub use write::{Assignment, Conflict, ConflictAction, Delete, Insert, Source, Update, Value};

use sqlparser::ast;

use crate::expr::Step;

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `ALTER kind name …`.
    Alter {
        /// What.
        object: Object,
        /// How.
        alteration: Alteration,
    },
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `CALL p(…)`.
    Call(Call),
    /// `CANCEL SUBSCRIPTION 'id'`.
    CancelSubscription(String),
    /// `CLOSE c`; `None`: all cursors.
    Close(Option<String>),
    /// `COMMIT`.
    Commit,
    /// `CREATE CONNECTION`.
    CreateConnection(CreateConnection),
    /// `CREATE DASHBOARD`.
    CreateDashboard(CreateDashboard),
    /// `CREATE INDEX`.
    CreateIndex(CreateIndex),
    /// `CREATE FUNCTION`, `CREATE PROCEDURE`.
    CreateRoutine(Box<CreateRoutine>),
    /// `CREATE SINK`.
    CreateSink(CreateSink),
    /// `CREATE SYNC`.
    CreateSync(CreateSync),
    /// `CREATE TABLE`.
    CreateTable(CreateTable),
    /// `CREATE TRIGGER`.
    CreateTrigger(Box<CreateTrigger>),
    /// `CREATE [MATERIALIZED] VIEW`.
    CreateView(Box<CreateView>),
    /// `DEALLOCATE s`; `None`: all prepared statements.
    Deallocate(Option<String>),
    /// `DECLARE c CURSOR FOR …`.
    Declare {
        /// What it is called.
        name: String,
        /// Whether it outlives its transaction.
        hold: bool,
        /// A query or a subscription.
        query: Box<Statement>,
    },
    /// `DELETE FROM`.
    Delete(Box<Delete>),
    /// `DELETE DEAD LETTERS`.
    DeleteDeadLetters(DeadLetters),
    /// `DESCRIBE t`.
    Describe(Name),
    /// `DISCARD ALL`.
    Discard,
    /// `DROP kind name`.
    Drop {
        /// What.
        object: Object,
        /// Whether its absence is no error.
        if_exists: bool,
        /// Of a trigger: `ON table`.
        on: Option<Name>,
        /// Whether what depends on it goes too.
        cascade: bool,
    },
    /// `DROP INDEX`.
    DropIndex {
        /// Whether its absence is no error.
        if_exists: bool,
        /// Which.
        name: Name,
        /// `ON t`.
        on: Option<Name>,
    },
    /// `DROP TABLE`.
    DropTable {
        /// Whether its absence is no error.
        if_exists: bool,
        /// Which.
        name: Name,
        /// Whether what depends on it goes too.
        cascade: bool,
    },
    /// `EXPLAIN`.
    Explain(Box<Explain>),
    /// `FETCH n FROM c`.
    Fetch {
        /// The cursor.
        name: String,
        /// How many rows.
        rows: Rows,
        /// `MOVE`: they are only counted.
        skip: bool,
    },
    /// `INSERT INTO`.
    Insert(Box<Insert>),
    /// `PAUSE`.
    Pause(Which),
    /// A batch or change query.
    Query(Box<ast::Query>),
    /// `REFRESH MATERIALIZED VIEW v`.
    Refresh(Name),
    /// `ALTER TABLE t RENAME TO u`.
    RenameTable {
        /// What it is called.
        from: Name,
        /// What it shall be called.
        to: Name,
    },
    /// `RESUME`.
    Resume {
        /// What.
        which: Which,
        /// From where, if not from its own place.
        from: Option<From>,
    },
    /// `RETRY DEAD LETTERS`.
    RetryDeadLetters(DeadLetters),
    /// `ROLLBACK`.
    Rollback,
    /// `SET x = v`; without a value the setting's default.
    Set {
        /// The setting, in lower case.
        name: String,
        /// Its value; `on` and other bare words are texts.
        value: Option<Literal>,
    },
    /// `SHOW`.
    Show(Show),
    /// `SUBSCRIBE`.
    Subscribe(Subscribe),
    /// `TRUNCATE t`.
    Truncate(Name),
    /// `UPDATE`.
    Update(Box<Update>),
    /// `WAIT FOR`.
    WaitFor {
        /// For what; `None`: for all.
        object: Option<Object>,
        /// The text of an interval.
        timeout: Option<String>,
    },
}

/// How many rows of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// All that are left.
    All,
    /// So many.
    Some(u64),
}

/// The name of a collection or an object: up to three parts (SQL-3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// Of another deployment.
    pub connection: Option<String>,
    /// Its database, if it is not the statement's.
    pub database: Option<String>,
    /// Its own name.
    pub name: String,
}

/// An object and its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// The types of a routine's arguments, where they are said: they tell it from others of its name (SQL-16.3).
    pub arguments: Option<Vec<ast::DataType>>,
}

/// The kinds of defined objects (SQL-18.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Connection,
    Dashboard,
    Function,
    MaterializedView,
    Procedure,
    Sink,
    Sync,
    Trigger,
    View,
}

/// A path in a document: what is written, indexed or watched (SQL-3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The top-level field.
    pub column: String,
    /// The way on from there; indexes are not negative.
    pub steps: Vec<Step>,
}
