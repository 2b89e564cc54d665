//! Writes of a session (SQL-10.1): in a transaction of their own, or in that of `BEGIN`.

use std::sync::Arc;
use std::time::Duration;

use bson::{Document, doc};
use futures::TryStreamExt;
use millstream_sql::Notice;
use millstream_sql::plan::Write;
use millstream_sql::statement::{Delete, Insert, Name, Update};
use mongodb::ClientSession;
use mongodb::error::{TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{ReadConcern, WriteConcern};

use super::Session;
use crate::answer::{Answer, Rows};
use crate::checkpoint::abort;
use crate::error::{Result, of_driver};
use crate::write::{self, Buffer, Ids, Unique, Written, returning_columns};

/// How often a statement is tried whose transaction is its own.
const TRIES: u32 = 6;

/// What is written.
#[derive(Clone, Copy)]
pub(super) enum Source<'s> {
    Delete(&'s Delete),
    Insert(&'s Insert),
    Update(&'s Update),
}

impl Source<'_> {
    fn table(&self) -> &Name {
        match self {
            Self::Delete(delete) => &delete.table,
            Self::Insert(insert) => &insert.table,
            Self::Update(update) => &update.table,
        }
    }
}

impl Session {
    /// Does a write.
    pub(super) async fn write(&mut self, source: Source<'_>) -> Result<Answer> {
        let (variables, values) = self.variables();
        let mut planning = self.planning().await?;
        let (database, collection) = self.resolve(source.table())?;
        let planned = planning.plan(&self.deployment, |catalog, settings| match source {
            Source::Delete(delete) => Write::delete(delete, &variables, catalog, settings),
            Source::Insert(insert) => Write::insert(insert, &variables, catalog, settings),
            Source::Update(update) => Write::update(update, &variables, catalog, settings),
        });
        let planned = planned.await?;
        let context = self.surroundings()?.context(values);
        let unique = match source {
            Source::Insert(insert) if insert.conflict.is_some() => self.unique(&database, &collection).await?,
            _ => Unique::new(),
        };
        let written = match &mut self.transaction {
            Some(transaction) => one(&mut transaction.session, &planned, &context, &unique).await?,
            None => {
                let mut session = self.deployment.client().start_session().await.map_err(|error| of_driver(&error))?;
                if self.settings.atomic {
                    own(&mut session, &planned, &context, &unique).await?
                } else {
                    one(&mut session, &planned, &context, &unique).await?
                }
            }
        };
        let tag = match source {
            Source::Delete(_) => format!("DELETE {}", written.count),
            Source::Insert(_) => format!("INSERT 0 {}", written.count),
            Source::Update(_) => format!("UPDATE {}", written.count),
        };
        let notices: Vec<Notice> = planned.plan.notices.iter().cloned().chain(written.notices).collect();
        let returning = returning_columns(&planned).map(|columns| Rows::there(columns, written.returning));
        Ok(Answer::written(tag, written.count, returning, notices))
    }

    /// The unique indexes of a collection: their fields.
    async fn unique(&self, database: &str, collection: &str) -> Result<Unique> {
        let mut unique = vec![vec!["_id".to_owned()]];
        let rows = self.deployment.client().database(database).collection::<Document>(collection);
        let mut indexes = match rows.list_indexes().await {
            Ok(indexes) => indexes,
            // A collection that is not there.
            Err(error) if crate::error::code(&error) == Some(26) => return Ok(unique),
            Err(error) => return Err(of_driver(&error)),
        };
        while let Some(index) = indexes.try_next().await.map_err(|error| of_driver(&error))? {
            if index.options.as_ref().and_then(|options| options.unique) == Some(true) {
                unique.push(index.keys.keys().cloned().collect());
            }
        }
        Ok(unique)
    }
}

/// Begins a transaction.
pub(super) async fn start(session: &mut ClientSession) -> Result<()> {
    let start = session.start_transaction().write_concern(WriteConcern::majority());
    start.read_concern(ReadConcern::snapshot()).await.map_err(|error| of_driver(&error))
}

/// Commits one.
pub(super) async fn finish(session: &mut ClientSession) -> Result<()> {
    let mut attempt = 0_u32;
    loop {
        let Err(error) = session.commit_transaction().await else { return Ok(()) };
        let unknown = error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT);
        if error.contains_label(TRANSIENT_TRANSACTION_ERROR) || !unknown || attempt >= TRIES {
            return Err(of_driver(&error));
        }
        tokio::time::sleep(Duration::from_millis(20 << attempt)).await;
        attempt += 1;
    }
}

/// A write in the session's transaction, if it has one.
async fn one(
    session: &mut ClientSession,
    planned: &Write,
    context: &Arc<millstream_sql::expr::Context>,
    unique: &Unique,
) -> Result<Written> {
    write::write(&mut Buffer::new(session), planned, context, unique, &Ids::New).await
}

/// A write in a transaction of its own.
async fn own(
    session: &mut ClientSession,
    planned: &Write,
    context: &Arc<millstream_sql::expr::Context>,
    unique: &Unique,
) -> Result<Written> {
    let mut attempt = 0;
    loop {
        start(session).await?;
        let done = match one(session, planned, context, unique).await {
            Ok(written) => finish(session).await.map(|()| written),
            Err(error) => {
                abort(session).await;
                Err(error)
            }
        };
        attempt += 1;
        match done {
            Err(error) if error.state.0 == "40001" && attempt < TRIES => pause(attempt).await,
            done => return done,
        }
    }
}

/// Between two tries.
pub(super) async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(3 << attempt).mul_f64(1.0 + rand::random::<f64>())).await;
}

/// A command outside of transactions.
pub(super) async fn command(session: &Session, database: &str, command: Document) -> Result<Document> {
    let database = session.deployment.client().database(database);
    database.run_command(command).await.map_err(|error| of_driver(&error))
}

/// Truncates a collection (SQL-10.7).
impl Session {
    pub(super) async fn truncate(&mut self, name: &Name) -> Result<Answer> {
        self.not_in_transaction("TRUNCATE")?;
        let (database, collection) = self.resolve(name)?;
        self.planning().await?;
        self.is_table(&database, &collection)?;
        let delete = doc! {"delete": &collection, "deletes": [{"q": {}, "limit": 0}]};
        let reply = command(self, &database, delete).await?;
        if let Some(error) = crate::checkpoint::refused(&reply) {
            return Err(error);
        }
        Ok(Answer::done("TRUNCATE TABLE", Vec::new()))
    }
}
