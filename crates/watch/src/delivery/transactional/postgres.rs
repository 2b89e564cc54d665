//! Positions in a table of PostgreSQL, committed with what a program writes there.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use super::{InTransaction, NotCommitted, Standing, TransactionStore, cause, work_of};
use crate::checkpoint::postgres::{Positions, is_passing};
use crate::{Backoff, Error, Event, Result, SourceId, Token};

/// Exactly once into PostgreSQL: the callback writes with a [`tokio_postgres::Transaction`]. The position is the
/// watcher's row of the table `change_stream_tokens`, which is created if it is missing.
#[derive(Debug)]
pub struct PostgresTransactions {
    positions: Positions,
    client: Option<Client>,
    /// Goes up whenever the position is moved or taken over.
    version: i64,
}

/// Why one try came to nothing.
enum Failed {
    /// It may work a little later.
    Again(Error),
    No(NotCommitted),
}

impl PostgresTransactions {
    /// Of a watcher, in the database of a URI such as `postgres://user:password@host/database`.
    ///
    /// # Errors
    /// A URI that cannot be understood. Nothing is connected yet.
    pub fn new(uri: &str, watcher: &str) -> Result<Self> {
        Ok(Self { positions: Positions::new(uri, watcher)?, client: None, version: 0 })
    }

    /// With the position in another table, as `name` or `schema.name`.
    #[must_use]
    pub fn table(mut self, name: &str) -> Self {
        self.positions.table(name);
        self
    }

    /// How to come back after the server was away.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.positions.backoff = backoff;
        self
    }

    async fn attempt<F>(
        &mut self,
        events: &[Event],
        position: &Token,
        work: &F,
        first: bool,
    ) -> std::result::Result<(), Failed>
    where
        F: for<'t> Fn(&'t [Event], &'t Transaction<'t>) -> InTransaction<'t> + Send + Sync,
    {
        let positions = &self.positions;
        let sort = |error| sort(positions, error);
        let sort_after_work =
            |error| if is_of_work(&error) { Failed::No(NotCommitted::Work(error.into())) } else { sort(error) };
        let client = match positions.connected(&mut self.client).await {
            Ok(client) => client,
            Err(error) if error.is_passing() => return Err(Failed::Again(error)),
            Err(error) => return Err(Failed::No(NotCommitted::Store(error))),
        };
        let transaction = client.transaction().await.map_err(sort)?;
        let mut standing = Standing::Ours;
        if !first {
            // The try before may have been committed after all; if that is under way still, this waits for it.
            let found = positions.locked(&transaction).await.map_err(sort)?;
            let found = found.as_ref().map(|(version, token)| (*version, token.as_ref()));
            standing = Standing::of(self.version, found, position);
        }
        if standing == Standing::Ours {
            work_of(work, events, &transaction).await.map_err(|error| {
                match cause::<tokio_postgres::Error>(&*error) {
                    Some(driver) if may_pass(driver) => Failed::Again(positions.explained(driver)),
                    _ => Failed::No(NotCommitted::Work(error)),
                }
            })?;
            if !positions.moved(&transaction, self.version, position).await.map_err(sort_after_work)? {
                standing = Standing::Theirs;
            }
        }
        match standing {
            Standing::Ours => transaction.commit().await.map_err(sort_after_work)?,
            // A transaction that is dropped is rolled back.
            Standing::Committed => {}
            Standing::Theirs => {
                let watcher = positions.name();
                return Err(Failed::No(NotCommitted::Store(Error::TakenOver { watcher })));
            }
        }
        self.version = self.version.saturating_add(1);
        Ok(())
    }
}

impl TransactionStore for PostgresTransactions {
    type Transaction<'t> = &'t Transaction<'t>;

    async fn take_over(&mut self, source: &SourceId) -> Result<Option<Token>> {
        let positions = &self.positions;
        let client = positions.connected(&mut self.client).await?;
        if let Some(row) = positions.row(client).await? {
            positions.check(&row, source)?;
        }
        let (version, token) = positions.taken(client, source).await?;
        self.version = version;
        Ok(token)
    }

    async fn commit<F>(&mut self, events: &[Event], position: &Token, work: &F) -> std::result::Result<(), NotCommitted>
    where
        F: for<'t> Fn(&'t [Event], &'t Transaction<'t>) -> InTransaction<'t> + Send + Sync,
    {
        let mut tries = self.positions.backoff.tries();
        let mut first = true;
        loop {
            match self.attempt(events, position, work, first).await {
                Ok(()) => return Ok(()),
                Err(Failed::No(why)) => return Err(why),
                Err(Failed::Again(error)) => {
                    if !tries.again("a transaction", &error).await {
                        return Err(NotCommitted::Store(error));
                    }
                    first = false;
                }
            }
        }
    }
}

fn sort(positions: &Positions, error: tokio_postgres::Error) -> Failed {
    let again = may_pass(&error);
    let error = positions.explain(error);
    if again { Failed::Again(error) } else { Failed::No(NotCommitted::Store(error)) }
}

/// What the work has done shows only later: a constraint that is looked at in the end, an error that it kept to itself.
fn is_of_work(error: &tokio_postgres::Error) -> bool {
    let ended = error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION);
    ended || error.code().is_some_and(|code| code.code().starts_with("23"))
}

/// Also a conflict with somebody else's transaction: in another try there may be none.
fn may_pass(error: &tokio_postgres::Error) -> bool {
    let conflict = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    is_passing(error) || error.code().is_some_and(|code| conflict.contains(code))
}
