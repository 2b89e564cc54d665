//! A session whose writes may wait for those behind them: several statements become one command.
//!
//! Whoever reads gets the session from here, and so sees what was written before. Writes keep their order, also those of
//! different collections, since whoever watches them sees it.

use bson::{RawArrayBuf, RawDocument};
use mongodb::{Client, ClientSession};

use crate::checkpoint::{Kind, send};
use crate::error::Result;

/// Statements in one command.
const STATEMENTS_MAX: usize = 1_000;
/// Bytes in one command.
const BYTES_MAX: usize = 12 << 20;

/// A session and what it has not yet been told.
pub(crate) struct Buffer<'s> {
    session: &'s mut ClientSession,
    /// Whether writes wait beyond their SQL statement. What is wrong with one is then found later, so that only who can do all of
    /// it again, one by one, may ask for this.
    waits: bool,
    held: Option<Held>,
}

/// Statements of one command.
struct Held {
    kind: Kind,
    database: String,
    collection: String,
    statements: RawArrayBuf,
    count: usize,
    bytes: usize,
}

impl<'s> Buffer<'s> {
    /// Everything is sent at the end of its SQL statement.
    pub(crate) fn new(session: &'s mut ClientSession) -> Self {
        Self { session, waits: false, held: None }
    }

    /// Writes wait until something reads, and for [`Self::flush`] in the end.
    pub(crate) fn waiting(session: &'s mut ClientSession) -> Self {
        Self { waits: true, ..Self::new(session) }
    }

    /// The client of the session.
    pub(crate) fn client(&self) -> Client {
        self.session.client()
    }

    /// The session, behind everything that was written so far.
    pub(crate) async fn session(&mut self) -> Result<&mut ClientSession> {
        self.flush().await?;
        Ok(self.session)
    }

    /// The session as it is before what waits.
    pub(crate) fn session_before(&mut self) -> &mut ClientSession {
        self.session
    }

    /// Takes a statement of a command.
    pub(crate) async fn push(
        &mut self,
        kind: Kind,
        (database, collection): (&str, &str),
        statement: &RawDocument,
    ) -> Result<()> {
        let goes_with = |held: &Held| held.kind == kind && held.collection == collection && held.database == database;
        if !self.held.as_ref().is_some_and(goes_with) {
            self.flush().await?;
        }
        let held = self.held.get_or_insert_with(|| Held {
            kind,
            database: database.to_owned(),
            collection: collection.to_owned(),
            statements: RawArrayBuf::new(),
            count: 0,
            bytes: 0,
        });
        held.statements.push(statement);
        held.count += 1;
        held.bytes += statement.as_bytes().len();
        if held.count >= STATEMENTS_MAX || held.bytes >= BYTES_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    /// An SQL statement is over.
    pub(crate) async fn end(&mut self) -> Result<()> {
        if self.waits { Ok(()) } else { self.flush().await }
    }

    /// Sends what waits.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        let Some(held) = self.held.take() else { return Ok(()) };
        send(self.session, held.kind, (&held.database, &held.collection), held.statements).await
    }
}
