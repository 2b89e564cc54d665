//! SQL as a command of this protocol (SQL-1.4). The engine knows no SQL: whoever assembles the process brings what runs it.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use millstream_db::Tail;
use millstream_value::DocBuf;

/// An answer in the making. Dropping it cancels the statement.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<SqlAnswer, SqlFailure>> + Send + 'a>>;

/// Runs SQL for the server's clients.
pub trait SqlRunner: fmt::Debug + Send + Sync {
    /// Runs a text; its last statement's answer is the answer.
    fn run(&self, request: SqlRequest) -> Pending<'_>;
}

/// What a client asks.
#[derive(Debug)]
pub struct SqlRequest {
    /// The database of names without one.
    pub database: String,
    /// One or more statements.
    pub text: String,
    /// The values of `$1`, `$2` and so on, as an array.
    pub parameters: DocBuf,
}

/// What came of it.
pub struct SqlAnswer {
    /// The rows; none: it was no query.
    pub rows: Option<SqlRows>,
    /// The reply's further fields.
    pub fields: DocBuf,
}

/// Rows, as documents.
pub enum SqlRows {
    /// They are there.
    There(Vec<Bytes>),
    /// They come for as long as somebody takes them.
    Coming(Box<dyn Tail>),
}

/// Why nothing came of it.
#[derive(Debug)]
pub struct SqlFailure {
    /// The protocol's code.
    pub code: i32,
    /// What is wrong.
    pub message: String,
    /// The class, the place in the text, and so on, as further fields of the reply.
    pub details: DocBuf,
    /// Whether the same may work if it is sent again.
    pub is_transient: bool,
}
