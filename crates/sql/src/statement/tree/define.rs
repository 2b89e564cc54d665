//! Definitions: collections, views, triggers, routines, and what links to other systems (SQL-10.8, SQL-14 to SQL-17).

use sqlparser::ast;

use super::{Block, Call, Name, Options, Path};

/// `CREATE TABLE [IF NOT EXISTS] t [(…)]`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTable {
    /// The collection.
    pub name: Name,
    /// Whether it may be there.
    pub if_not_exists: bool,
    /// What its documents must have.
    pub columns: Vec<Column>,
}

/// One column of `CREATE TABLE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The field.
    pub name: String,
    /// Its type.
    pub data_type: ast::DataType,
    /// `NOT NULL`.
    pub not_null: bool,
    /// `UNIQUE`.
    pub unique: bool,
    /// `PRIMARY KEY`.
    pub primary_key: bool,
}

/// `CREATE [UNIQUE] INDEX [IF NOT EXISTS] [n] ON t (path [ASC|DESC], …) [WHERE …]`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateIndex {
    /// Its name, or the deployment's choice.
    pub name: Option<String>,
    /// Whether it may be there.
    pub if_not_exists: bool,
    /// Whether its values are.
    pub unique: bool,
    /// The collection.
    pub table: Name,
    /// What it is sorted by.
    pub fields: Vec<IndexField>,
    /// Which documents are in it.
    pub filter: Option<ast::Expr>,
}

/// One field of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexField {
    /// Where it is.
    pub path: Path,
    /// `DESC`.
    pub descending: bool,
}

/// `CREATE [OR REPLACE] [MATERIALIZED] VIEW [IF NOT EXISTS] v [(c, …)] [WITH (…)] AS query [WITH [NO] DATA]`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateView {
    /// Its name.
    pub name: Name,
    /// Whether it takes the place of an older one.
    pub or_replace: bool,
    /// Whether its rows are kept.
    pub materialized: bool,
    /// Whether it may be there.
    pub if_not_exists: bool,
    /// The names of its columns.
    pub columns: Vec<String>,
    /// Its options.
    pub options: Options,
    /// What it shows.
    pub query: Box<ast::Query>,
    /// `false` for `WITH NO DATA`.
    pub with_data: bool,
}

/// `CREATE [OR REPLACE] TRIGGER`, in either of its forms.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTrigger {
    /// Its name.
    pub name: Name,
    /// Whether it takes the place of an older one.
    pub or_replace: bool,
    /// What it watches.
    pub table: Name,
    /// For which changes.
    pub events: Vec<TriggerEvent>,
    /// On what condition.
    pub when: Option<ast::Expr>,
    /// Its options.
    pub options: Options,
    /// What it does.
    pub action: TriggerAction,
}

/// A change that a trigger is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerEvent {
    /// `DELETE`.
    Delete,
    /// `INSERT`.
    Insert,
    /// `UPDATE [OF path, …]`.
    Update(Vec<Path>),
}

/// What a trigger does.
#[derive(Clone, Debug, PartialEq)]
pub enum TriggerAction {
    /// `AS … BEGIN … END`.
    Block(Block),
    /// `EXECUTE {FUNCTION|PROCEDURE} p(…)`.
    Execute(Call),
}

/// `CREATE [OR REPLACE] {FUNCTION|PROCEDURE}`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateRoutine {
    /// Which of the two.
    pub kind: RoutineKind,
    /// Its name.
    pub name: Name,
    /// Whether it takes the place of an older one.
    pub or_replace: bool,
    /// What it is given.
    pub arguments: Vec<Argument>,
    /// What a function answers.
    pub returns: Option<ast::DataType>,
    /// What its answer depends on.
    pub volatility: Volatility,
    /// Whether a NULL among its arguments is its answer.
    pub strict: bool,
    /// What it does.
    pub body: RoutineBody,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutineKind {
    /// Answers.
    Function,
    /// Acts.
    Procedure,
}

/// One argument of a routine.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its type; `any` takes all.
    pub data_type: ast::DataType,
    /// Its value where it is left out.
    pub default: Option<ast::Expr>,
}

/// What a function's answer depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Volatility {
    /// On its arguments alone.
    Immutable,
    /// On tables too.
    Stable,
    /// On anything.
    #[default]
    Volatile,
}

/// What a routine does.
#[derive(Clone, Debug, PartialEq)]
pub enum RoutineBody {
    /// `LANGUAGE SQL AS … BEGIN … END`: a procedure.
    Block(Block),
    /// `RETURN e`.
    Expression(ast::Expr),
    /// `LANGUAGE NATIVE AS 'registered name'`.
    Native(String),
    /// `AS 'SELECT …'`: the first column of the first row.
    Query(Box<ast::Query>),
    /// `LANGUAGE WEBHOOK WITH (…)`.
    Webhook(Options),
}

/// `CREATE CONNECTION c TO 'url' [WITH (…)]`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateConnection {
    /// Its name.
    pub name: Name,
    /// Whether it takes the place of an older one.
    pub or_replace: bool,
    /// Where to; `${NAME}` is not filled in.
    pub url: String,
    /// Its options.
    pub options: Options,
}

/// `CREATE [OR REPLACE] SYNC s FROM … TO … [WITH (…)]`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateSync {
    /// Its name.
    pub name: Name,
    /// Whether it takes the place of an older one.
    pub or_replace: bool,
    /// From where.
    pub source: SyncSource,
    /// `connection`, `connection.db` or `connection.db.table`.
    pub target: Vec<String>,
    /// Its options.
    pub options: Options,
}

/// What is copied.
#[derive(Clone, Debug, PartialEq)]
pub enum SyncSource {
    /// `DATABASE db`.
    Database(String),
    /// A query.
    Query(Box<ast::Query>),
    /// `TABLE t, …`.
    Tables(Vec<Name>),
}

/// `CREATE [OR REPLACE] SINK k FROM … INTO … [WITH (…)]`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateSink {
    /// Its name.
    pub name: Name,
    /// Whether it takes the place of an older one.
    pub or_replace: bool,
    /// From where.
    pub source: SinkSource,
    /// To what.
    pub into: SinkInto,
    /// Its URL, brokers or file name.
    pub address: String,
    /// Its options.
    pub options: Options,
}

/// Whose changes are sent.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkSource {
    /// A table or view.
    Name(Name),
    /// A change query.
    Query(Box<ast::Query>),
}

/// What changes are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SinkInto {
    File,
    Kafka,
    Nats,
    Redis,
    Webhook,
}

/// `CREATE [OR REPLACE] DASHBOARD d [WITH (…)] AS PANEL …`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateDashboard {
    /// Its name.
    pub name: Name,
    /// Whether it takes the place of an older one.
    pub or_replace: bool,
    /// Its options.
    pub options: Options,
    /// What is on it.
    pub panels: Vec<Panel>,
}

/// `PANEL 'title' chart (query)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What is above it.
    pub title: String,
    /// How it is drawn.
    pub chart: Chart,
    /// What it shows.
    pub query: Box<ast::Query>,
}

/// How a panel is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Chart {
    Bar,
    Line,
    Number,
    Table,
}
