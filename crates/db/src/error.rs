//! What can go wrong, one variant per thing a caller could treat differently.

use millstream_value::{DocBuf, Namespace};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in the database.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A filter, update, pipeline or other piece of a query language.
    #[error("{0}")]
    Query(#[from] millstream_query::Error),
    /// A change stream: its options, its token, its history.
    #[error(transparent)]
    Change(std::sync::Arc<millstream_change::Error>),
    /// The disk, the queue, or a store that is closed.
    #[error(transparent)]
    Storage(std::sync::Arc<millstream_storage::Error>),
    /// The collection does not exist.
    #[error("ns does not exist: {0}")]
    NoCollection(Namespace),
    /// A collection of that name exists.
    #[error("Collection already exists. NS: {0}")]
    NamespaceExists(Namespace),
    /// A collection is needed, and the name is that of a view.
    #[error("Namespace {0} is a view, not a collection")]
    IsView(Namespace),
    /// The name cannot be one of a collection.
    #[error("{0}")]
    InvalidNamespace(String),
    /// The `_id` cannot be stored.
    #[error("The '_id' value cannot be of type {0}")]
    InvalidId(&'static str),
    /// A field name starts with `$` where that is not allowed.
    #[error("{0}")]
    DollarField(String),
    /// A document is larger than 16 MiB.
    #[error("{0}")]
    TooLarge(String),
    /// A unique index has the key already.
    #[error("{0}")]
    DuplicateKey(Box<DuplicateKey>),
    /// Two arrays under one compound index.
    #[error("cannot index parallel arrays [{0}] [{1}]")]
    ParallelArrays(String, String),
    /// An index of that name or key does not exist.
    #[error("{0}")]
    IndexNotFound(String),
    /// An index specification that cannot be built.
    #[error("{0}")]
    CannotCreateIndex(String),
    /// An index of the same name with another key, or the reverse.
    #[error("{0}")]
    IndexConflict(String),
    /// An index of the same key and name with other options.
    #[error("{0}")]
    IndexOptionsConflict(String),
    /// The `_id` index may not go.
    #[error("cannot drop _id index")]
    DropIdIndex,
    /// The hint names no index.
    #[error("planner returned error :: caused by :: hint provided does not correspond to an existing index")]
    BadHint,
    /// No cursor of that number.
    #[error("cursor id {0} not found")]
    CursorNotFound(i64),
    /// The cursor is being read by another command.
    #[error("cursor id {0} is already in use")]
    CursorInUse(i64),
    /// The cursor was killed while it was read.
    #[error("operation was interrupted")]
    CursorKilled,
    /// The cursor belongs to another namespace.
    #[error("Requested getMore on namespace '{requested}', but cursor belongs to a different namespace {actual}")]
    CursorNamespace {
        /// What the command says.
        requested: String,
        /// Where it was opened.
        actual: String,
    },
    /// The cursor belongs to a session and the command to none.
    #[error("Cannot run getMore on cursor {0}, which was created in session, without an lsid")]
    CursorNeedsSession(i64),
    /// The cursor belongs to no session and the command to one.
    #[error("Cannot run getMore on cursor {0}, which was not created in a session, in a session")]
    CursorHasNoSession(i64),
    /// The cursor belongs to another session.
    #[error("Cannot run getMore on cursor {0}, which was created in another session")]
    CursorOtherSession(i64),
    /// The cursor belongs to another transaction than the command, or one of them to none.
    #[error("Cannot run getMore on cursor {cursor}, {}", other_transaction(.opened, .given))]
    CursorOtherTransaction {
        /// Its id.
        cursor: i64,
        /// `txnNumber` of the transaction that opened it.
        opened: Option<i64>,
        /// `txnNumber` of the command's transaction.
        given: Option<i64>,
    },
    /// The cursor was opened under another declaration of the API.
    #[error("Cannot run getMore on cursor {0}, which was created with other API parameters")]
    CursorOtherApi(i64),
    /// Too many cursors are open.
    #[error("too many open cursors (limit {0})")]
    TooManyCursors(usize),
    /// A retryable write or a transaction with a number lower than one seen.
    #[error(
        "Retryable write or transaction with txnNumber {given} is prohibited on session because a newer one with txnNumber {seen} has already started on this session"
    )]
    TransactionTooOld {
        /// The command's number.
        given: i64,
        /// The session's number.
        seen: i64,
    },
    /// An open transaction is changing a row that this write wants to change: wait for its end and try again.
    #[error("an open transaction holds a document that this write changes")]
    Held(std::sync::Arc<crate::Ending>),
    /// What a transaction wants to change was changed by somebody else since it began to read.
    #[error("a document was changed since the transaction began")]
    Moved,
    /// A transaction creates something and has no number for it in hand.
    #[error("a number for a new collection or index is needed")]
    NeedsNumbers,
    /// The documents kept changing under a write; nothing was done.
    #[error("Write conflict during plan execution and yielding is disabled. Please retry your operation.")]
    Conflict,
    /// Options that do not go together or are not offered, with the code that says so.
    #[error("{message}")]
    Invalid {
        /// The protocol's number.
        code: millstream_value::Code,
        /// What is wrong.
        message: String,
    },
}

/// The key that a unique index has already.
#[derive(Clone, Debug, thiserror::Error)]
#[error("E11000 duplicate key error collection: {namespace} index: {index} dup key: {}", millstream_value::shell::document(.key_value.as_doc()))]
pub struct DuplicateKey {
    /// The collection.
    pub namespace: Namespace,
    /// The index's name.
    pub index: String,
    /// The index's fields.
    pub key_pattern: DocBuf,
    /// The values that are there already.
    pub key_value: DocBuf,
}

fn other_transaction(opened: &Option<i64>, given: &Option<i64>) -> String {
    match (opened, given) {
        (Some(_), None) => "which was created in a transaction, without a txnNumber".to_owned(),
        (Some(opened), Some(given)) => format!("which was created in transaction {opened}, in transaction {given}"),
        (None, _) => "which was not created in a transaction, in a transaction".to_owned(),
    }
}

impl Error {
    /// [`Error::Invalid`] with its parts.
    pub fn invalid(code: millstream_value::Code, message: impl Into<String>) -> Self {
        Self::Invalid { code, message: message.into() }
    }
}

impl From<millstream_storage::Error> for Error {
    fn from(error: millstream_storage::Error) -> Self {
        Self::Storage(std::sync::Arc::new(error))
    }
}

impl From<millstream_change::Error> for Error {
    fn from(error: millstream_change::Error) -> Self {
        Self::Change(std::sync::Arc::new(error))
    }
}
