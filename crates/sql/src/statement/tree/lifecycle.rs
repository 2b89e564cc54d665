//! Lifecycle and catalogue (SQL-18).

use sqlparser::ast;

use super::{Kind, Name, Object, Options, Statement};

/// What `ALTER` does.
#[derive(Clone, Debug, PartialEq)]
pub enum Alteration {
    /// `RENAME TO n`.
    Rename(Name),
    /// `SET (option = value, …)`.
    Set(Options),
}

/// `{RETRY | DELETE} DEAD LETTERS [FOR kind name] [WHERE …]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeadLetters {
    /// Of which object.
    pub object: Option<Object>,
    /// Which of them.
    pub filter: Option<ast::Expr>,
}

/// `EXPLAIN [(FORMAT …, ANALYZE)] …`.
#[derive(Clone, Debug, PartialEq)]
pub struct Explain {
    /// How it is answered.
    pub format: ExplainFormat,
    /// Whether the query is run.
    pub analyze: bool,
    /// What is explained.
    pub subject: Explained,
}

/// The format of an explanation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ExplainFormat {
    Json,
    #[default]
    Text,
}

/// What is explained.
#[derive(Clone, Debug, PartialEq)]
pub enum Explained {
    /// A running object.
    Object(Object),
    /// A statement.
    Statement(Statement),
}

/// Where `RESUME` goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// `NOW`.
    Now,
    /// `SNAPSHOT`.
    Snapshot,
    /// A token.
    Token(String),
}

/// What `PAUSE` and `RESUME` are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// `ALL`.
    All,
    /// `kind ALL`.
    Kind(Kind),
    /// `kind name`.
    Object(Object),
}

/// What `SHOW` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Show {
    /// `SHOW CREATE kind name`.
    Create(Object),
    /// `SHOW TABLES [IN db] [LIKE p]` and its like.
    List {
        /// Of what.
        listing: Listing,
        /// Of which database, if not the session's.
        database: Option<String>,
        /// The pattern of names.
        like: Option<String>,
    },
    /// `SHOW name`: a setting.
    Setting(String),
}

/// What there are lists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Listing {
    Connections,
    Dashboards,
    Databases,
    DeadLetters,
    Functions,
    MaterializedViews,
    Procedures,
    Settings,
    Sinks,
    Subscriptions,
    Syncs,
    Tables,
    Triggers,
    Views,
}

/// `SUBSCRIBE [TO] … [WITH (…)]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// To what.
    pub to: Subscribed,
    /// Its options.
    pub options: Options,
}

/// What one subscribes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Subscribed {
    /// A view or a table.
    Name(Name),
    /// A query.
    Query(Box<ast::Query>),
}
