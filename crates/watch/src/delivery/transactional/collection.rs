//! Positions in a collection, committed with what a program writes to the same servers.

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use mongodb::error::{TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{ReadConcern, ReturnDocument, WriteConcern};
use mongodb::{ClientSession, Collection};

use super::{InTransaction, NotCommitted, Standing, TransactionStore, cause, work_of};
use crate::checkpoint::CollectionCheckpoint;
use crate::problem::is_passing;
use crate::{Backoff, Connection, Error, Event, Result, SourceId, TOKENS, Token};

/// Exactly once into MongoDB: the callback writes with a `&mut ClientSession` that is in a transaction, on the servers of
/// a connection. The position is the watcher's document in `change_stream_tokens`.
#[derive(Debug)]
pub struct CollectionTransactions {
    connection: Connection,
    collection: Collection<RawDocumentBuf>,
    watcher: String,
    backoff: Backoff,
    owned: Option<Owned>,
}

/// What a process has that has taken the position over.
#[derive(Debug)]
struct Owned {
    session: ClientSession,
    /// Goes up whenever the position is moved or taken over.
    version: i64,
}

/// Why one try came to nothing.
enum Failed {
    /// It may work a little later.
    Again(mongodb::error::Error),
    No(NotCommitted),
}

impl CollectionTransactions {
    /// Of a watcher, with the position in a database on the same servers as what is written.
    #[must_use]
    pub fn new(connection: &Connection, database: &str, watcher: &str) -> Self {
        let (connection, watcher) = (connection.clone(), watcher.to_owned());
        let collection = connection.client().database(database).collection(TOKENS);
        Self { connection, collection, watcher, backoff: Backoff::default(), owned: None }
    }

    /// With the position in another collection.
    #[must_use]
    pub fn collection(mut self, name: &str) -> Self {
        let database = self.collection.namespace().db;
        self.collection = self.connection.client().database(&database).collection(name);
        self
    }

    /// How to come back after the servers were away.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// The former owner may have died inside of a transaction, which would be in the way until the server ends it.
    async fn end_session(&self, session: &Document) {
        let end = doc! {"killSessions": [session.clone()]};
        if let Err(error) = self.connection.client().database("admin").run_command(end).await {
            tracing::debug!("the session of the process before could not be ended: {error}");
        }
    }

    async fn attempt<F>(
        &self,
        owned: &mut Owned,
        events: &[Event],
        position: &Token,
        work: &F,
        first: bool,
    ) -> std::result::Result<(), Failed>
    where
        F: for<'t> Fn(&'t [Event], &'t mut ClientSession) -> InTransaction<'t> + Send + Sync,
    {
        let Owned { session, version } = owned;
        // What a failover could undo is not there exactly once.
        let start = session.start_transaction().write_concern(WriteConcern::majority());
        start.read_concern(ReadConcern::snapshot()).await.map_err(|error| self.sort(error))?;
        let done = self.in_transaction(session, *version, events, position, work, first).await;
        match done {
            Ok(Standing::Ours) => self.commit(session).await?,
            Ok(Standing::Committed) => abort(session).await,
            Ok(Standing::Theirs) => {
                abort(session).await;
                return Err(self.taken_over());
            }
            Err(failed) => {
                abort(session).await;
                return Err(failed);
            }
        }
        *version = version.saturating_add(1);
        Ok(())
    }

    async fn in_transaction<F>(
        &self,
        session: &mut ClientSession,
        version: i64,
        events: &[Event],
        position: &Token,
        work: &F,
        first: bool,
    ) -> std::result::Result<Standing, Failed>
    where
        F: for<'t> Fn(&'t [Event], &'t mut ClientSession) -> InTransaction<'t> + Send + Sync,
    {
        if !first {
            // The try before may have been committed after all.
            let row = self.collection.find_one(self.own()).session(&mut *session).await;
            let row = row.map_err(|error| self.sort(error))?;
            let token = row.as_ref().and_then(|row| CollectionCheckpoint::token_of(row));
            let found = row.as_ref().map(|row| (version_of(row), token.as_ref()));
            let standing = Standing::of(version, found, position);
            if standing != Standing::Ours {
                return Ok(standing);
            }
        }
        work_of(work, events, &mut *session).await.map_err(|error| match cause::<mongodb::error::Error>(&*error) {
            Some(driver) if driver.contains_label(TRANSIENT_TRANSACTION_ERROR) => Failed::Again(driver.clone()),
            _ => Failed::No(NotCommitted::Work(error)),
        })?;
        let mut ours = self.own();
        ours.insert("version", version);
        let token = position.to_document().map_err(|error| Failed::No(NotCommitted::Store(error)))?;
        let moved = doc! {
            "$set": {"resumeToken": token, "updatedAt": DateTime::now()},
            "$inc": {"version": 1_i64},
        };
        let moved = self.collection.update_one(ours, moved).session(session).await;
        let moved = moved.map_err(|error| self.sort(error))?;
        Ok(if moved.matched_count == 0 { Standing::Theirs } else { Standing::Ours })
    }

    /// Asks until the server knows what became of it.
    async fn commit(&self, session: &mut ClientSession) -> std::result::Result<(), Failed> {
        let mut tries = self.backoff.tries();
        loop {
            let Err(error) = session.commit_transaction().await else { return Ok(()) };
            if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
                return Err(Failed::Again(error));
            }
            let unknown = error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) || is_passing(&error);
            if !unknown || !tries.again("a commit", &error).await {
                return Err(self.refused(error));
            }
        }
    }

    fn sort(&self, error: mongodb::error::Error) -> Failed {
        if error.contains_label(TRANSIENT_TRANSACTION_ERROR) || is_passing(&error) {
            Failed::Again(error)
        } else {
            self.refused(error)
        }
    }

    fn refused(&self, error: mongodb::error::Error) -> Failed {
        Failed::No(NotCommitted::Store(self.explain(error)))
    }

    fn taken_over(&self) -> Failed {
        Failed::No(NotCommitted::Store(Error::TakenOver { watcher: self.name() }))
    }

    fn own(&self) -> Document {
        doc! {"_id": self.watcher.as_str()}
    }

    fn name(&self) -> String {
        format!("{} in {}", self.watcher, self.collection.namespace())
    }

    fn explain(&self, error: mongodb::error::Error) -> Error {
        self.connection.explain(error, &format!("the position of {}", self.name()))
    }
}

impl TransactionStore for CollectionTransactions {
    type Transaction<'t> = &'t mut ClientSession;

    async fn take_over(&mut self, source: &SourceId) -> Result<Option<Token>> {
        let found = self.collection.find_one(self.own()).await.map_err(|error| self.explain(error))?;
        if let Some(row) = &found {
            source.check(&CollectionCheckpoint::source_of(row), &self.name())?;
            if let Ok(session) = row.get_document("session") {
                self.end_session(&Document::try_from(session).unwrap_or_default()).await;
            }
        }
        let session = self.connection.client().start_session().await.map_err(|error| self.explain(error))?;
        let texts = |texts: &[String]| texts.iter().cloned().map(Bson::String).collect::<Vec<_>>();
        let take = doc! {
            "$inc": {"version": 1_i64},
            "$set": {
                "session": session.id().clone(),
                "servers": texts(&source.servers),
                "scope": source.scope.as_str(),
                "pipeline": texts(&source.pipeline),
            },
        };
        let taken = self.collection.find_one_and_update(self.own(), take).upsert(true);
        let taken = taken.return_document(ReturnDocument::After).write_concern(WriteConcern::majority()).await;
        let row = taken.map_err(|error| self.explain(error))?.unwrap_or_default();
        let token = CollectionCheckpoint::token_of(&row);
        self.owned = Some(Owned { session, version: version_of(&row) });
        Ok(token)
    }

    async fn commit<F>(&mut self, events: &[Event], position: &Token, work: &F) -> std::result::Result<(), NotCommitted>
    where
        F: for<'t> Fn(&'t [Event], &'t mut ClientSession) -> InTransaction<'t> + Send + Sync,
    {
        let Some(mut owned) = self.owned.take() else {
            let reason = format!("the position of {} was not taken over", self.name());
            return Err(NotCommitted::Store(Error::Delivery { reason }));
        };
        let mut tries = self.backoff.tries();
        let mut first = true;
        let outcome = loop {
            match self.attempt(&mut owned, events, position, work, first).await {
                Ok(()) => break Ok(()),
                Err(Failed::No(why)) => break Err(why),
                Err(Failed::Again(error)) => {
                    if !tries.again("a transaction", &error).await {
                        break Err(NotCommitted::Store(self.explain(error)));
                    }
                    first = false;
                }
            }
        };
        self.owned = Some(owned);
        outcome
    }
}

/// None: another kind of watch has kept its position there.
fn version_of(row: &RawDocumentBuf) -> i64 {
    row.get_i64("version").unwrap_or(0)
}

/// If it cannot be told, the server ends it in its time, or with the next one of the session.
async fn abort(session: &mut ClientSession) {
    if let Err(error) = session.abort_transaction().await {
        tracing::debug!("a transaction could not be aborted: {error}");
    }
}
