//! What statements answer.

use std::task::Poll;

use bson::RawDocumentBuf;
use millstream_sql::plan::Column;
use millstream_sql::{Notice, SqlError};

use crate::error::Result;
use crate::queue::Receiver;

/// The answer to one statement.
#[derive(Debug)]
pub struct Answer {
    /// What came of it.
    pub outcome: Outcome,
    /// What its author should know.
    pub notices: Vec<Notice>,
}

/// What came of a statement.
#[derive(Debug)]
pub enum Outcome {
    /// It answers with rows, and they end.
    Rows(Rows),
    /// It did something.
    Done {
        /// What, as PostgreSQL says it: `UPDATE 3`, `CREATE TRIGGER`.
        tag: String,
        /// How many rows were written, where it writes rows.
        count: Option<u64>,
        /// `RETURNING`.
        returning: Option<Rows>,
    },
    /// It answers with rows for as long as somebody takes them (SQL-13.12).
    Subscription(Rows),
}

/// Rows, one after the other. Dropping this cancels what makes them.
#[derive(Debug)]
pub struct Rows {
    /// The columns in their order.
    pub columns: Vec<Column>,
    come: Come,
}

#[derive(Debug)]
enum Come {
    There(std::vec::IntoIter<RawDocumentBuf>),
    Later(Receiver),
}

impl Rows {
    /// Rows that are there.
    pub(crate) fn there(columns: Vec<Column>, rows: Vec<RawDocumentBuf>) -> Self {
        Self { columns, come: Come::There(rows.into_iter()) }
    }

    /// Rows that come; whoever sends them ends when this is dropped.
    pub(crate) fn later(columns: Vec<Column>, rows: Receiver) -> Self {
        Self { columns, come: Come::Later(rows) }
    }

    /// The next row: a document whose fields are the columns. The future may be dropped half-way.
    ///
    /// # Errors
    /// What ended a subscription.
    pub async fn next(&mut self) -> Result<Option<RawDocumentBuf>> {
        match &mut self.come {
            Come::There(rows) => Ok(rows.next()),
            Come::Later(rows) => rows.next().await,
        }
    }

    /// The next row, if it has come; if not, the waker is woken when it has.
    pub fn poll_next(&mut self, context: &mut std::task::Context<'_>) -> Poll<Result<Option<RawDocumentBuf>>> {
        match &mut self.come {
            Come::There(rows) => Poll::Ready(Ok(rows.next())),
            Come::Later(rows) => rows.poll_next(context),
        }
    }

    /// All rows that are left.
    ///
    /// # Errors
    /// As of [`Rows::next`].
    pub async fn all(mut self) -> Result<Vec<RawDocumentBuf>> {
        let mut all = Vec::new();
        while let Some(row) = self.next().await? {
            all.push(row);
        }
        Ok(all)
    }
}

impl Answer {
    /// Rows that are there.
    pub(crate) fn rows(columns: Vec<Column>, rows: Vec<RawDocumentBuf>, notices: Vec<Notice>) -> Self {
        Self { outcome: Outcome::Rows(Rows::there(columns, rows)), notices }
    }

    /// Something that was done.
    pub(crate) fn done(tag: impl Into<String>, notices: Vec<Notice>) -> Self {
        Self { outcome: Outcome::Done { tag: tag.into(), count: None, returning: None }, notices }
    }

    /// Rows that were written.
    pub(crate) fn written(tag: String, count: u64, returning: Option<Rows>, notices: Vec<Notice>) -> Self {
        Self { outcome: Outcome::Done { tag, count: Some(count), returning }, notices }
    }
}

/// A statement that is understood, and not offered.
pub(crate) fn not_offered(what: &str) -> SqlError {
    SqlError::new("0A000", format!("{what} is not offered yet"))
}
