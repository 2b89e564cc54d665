//! What happens together with the place behind it: a transaction whose first write is the object's own document.
//!
//! `millstream.checkpoints` holds one document for each running object: who runs it (`fence`), how many transactions it has
//! made (`step`), and what the object needs to go on. Whoever takes an object over raises `fence`, and whoever had it before
//! can commit nothing from then on. A commit whose outcome is unknown is looked up there. That the checkpoint comes first is
//! how an object's own changes are known among those that it sees (SQL-15.7).

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bson::raw::cstr;
use bson::{Bson, DateTime, Document, RawArrayBuf, RawDocumentBuf, doc};
use millstream_sql::SqlError;
use mongodb::error::{TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{ReadConcern, ReturnDocument, WriteConcern};
use mongodb::{Client, ClientSession, Collection};

use crate::difference::Write;
use crate::error::{Result, bug, class, is_passing, of_driver};

/// The database of everything that a mill keeps for itself.
pub(crate) const DATABASE: &str = "millstream";
/// The collection of places.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// Statements in one command.
const STATEMENTS_MAX: usize = 5_000;
/// Bytes in one command, well below what a message may have.
const BYTES_MAX: usize = 12 << 20;

/// What is done in a transaction. It may be done again.
pub(crate) type Work<'t> = Pin<Box<dyn Future<Output = Result<()>> + Send + 't>>;

/// The checkpoint of an object that this process runs.
pub(crate) struct Checkpoint {
    rows: Collection<Document>,
    id: String,
    /// How often it was taken over.
    pub(crate) fence: i64,
    /// How many transactions were committed.
    pub(crate) step: i64,
    session: ClientSession,
}

/// Why nothing was committed.
#[derive(Debug)]
pub(crate) enum NotCommitted {
    /// Another process runs the object now.
    TakenOver,
    /// The work failed in a way that does not pass.
    Failed(SqlError),
}

enum Tried {
    Done,
    Again(SqlError),
    No(NotCommitted),
}

impl Checkpoint {
    /// Takes an object over; gives its document as it is.
    pub(crate) async fn take_over(client: &Client, id: &str, host: &str) -> Result<(Self, Document)> {
        let rows: Collection<Document> = client.database(DATABASE).collection(CHECKPOINTS);
        let former = rows.find_one(doc! {"_id": id}).await.map_err(|error| of_driver(&error))?;
        if let Some(former) = former.as_ref().and_then(|row| row.get_document("session").ok()) {
            // Whoever had it may have died inside of a transaction, which would be in the way until the server ends it.
            let end = doc! {"killSessions": [former.clone()]};
            if let Err(error) = client.database("admin").run_command(end).await {
                tracing::debug!("the session of the process before could not be ended: {error}");
            }
        }
        let session = client.start_session().await.map_err(|error| of_driver(&error))?;
        let take = doc! {"$inc": {"fence": 1_i64}, "$set": {"session": session.id().clone(), "host": host}};
        let taken =
            rows.find_one_and_update(doc! {"_id": id}, take).upsert(true).return_document(ReturnDocument::After);
        let row = taken.write_concern(WriteConcern::majority()).await.map_err(|error| of_driver(&error))?;
        let row = row.ok_or_else(|| bug("a checkpoint was not made"))?;
        let (fence, step) = (row.get_i64("fence").unwrap_or(0), row.get_i64("step").unwrap_or(0));
        Ok((Self { rows, id: id.to_owned(), fence, step, session }, row))
    }

    /// Does some work and changes the checkpoint: both or neither. What may pass is tried again in here.
    pub(crate) async fn commit<F>(&mut self, set: Document, work: F) -> std::result::Result<(), NotCommitted>
    where
        F: for<'t> Fn(&'t mut ClientSession) -> Work<'t> + Send + Sync,
    {
        let mut attempt = 0_u32;
        loop {
            match self.attempt(&set, &work, attempt == 0).await {
                Tried::Done => {
                    self.step += 1;
                    return Ok(());
                }
                Tried::No(why) => return Err(why),
                Tried::Again(error) => {
                    let pause = Duration::from_millis(4 << attempt.min(9)).mul_f64(1.0 + rand::random::<f64>());
                    tracing::debug!(object = %self.id, attempt, "a transaction is tried again: {error}");
                    tokio::time::sleep(pause).await;
                    attempt = attempt.saturating_add(1);
                }
            }
        }
    }

    /// Changes the checkpoint alone, without a transaction.
    pub(crate) async fn note(&self, set: Document) -> Result<bool> {
        let ours = doc! {"_id": &self.id, "fence": self.fence};
        let noted = self.rows.update_one(ours, doc! {"$set": set}).await;
        noted.map(|noted| noted.matched_count > 0).map_err(|error| of_driver(&error))
    }

    async fn attempt<F>(&mut self, set: &Document, work: &F, first: bool) -> Tried
    where
        F: for<'t> Fn(&'t mut ClientSession) -> Work<'t> + Send + Sync,
    {
        let start = self.session.start_transaction().write_concern(WriteConcern::majority());
        if let Err(error) = start.read_concern(ReadConcern::snapshot()).await {
            return sort(of_driver(&error));
        }
        let mut change = set.clone();
        change.insert("step", self.step + 1);
        change.insert("updated_at", DateTime::now());
        let ours = doc! {"_id": &self.id, "fence": self.fence, "step": expected(self.step)};
        let moved = self.rows.update_one(ours, doc! {"$set": change}).session(&mut self.session).await;
        let outcome = match moved {
            Ok(moved) if moved.matched_count > 0 => match work(&mut self.session).await {
                Ok(()) => return self.finish().await,
                Err(error) => sort(error),
            },
            Ok(_) => {
                abort(&mut self.session).await;
                return self.standing(first).await;
            }
            Err(error) => sort(of_driver(&error)),
        };
        abort(&mut self.session).await;
        outcome
    }

    /// The document is not as it was left: an earlier try was committed, or somebody else has it.
    async fn standing(&self, first: bool) -> Tried {
        match self.rows.find_one(doc! {"_id": &self.id}).await {
            Ok(Some(row)) => {
                let ours = row.get_i64("fence").is_ok_and(|fence| fence == self.fence);
                let done = row.get_i64("step").is_ok_and(|step| step == self.step + 1);
                if ours && done && !first { Tried::Done } else { Tried::No(NotCommitted::TakenOver) }
            }
            Ok(None) => Tried::No(NotCommitted::TakenOver),
            Err(error) => sort(of_driver(&error)),
        }
    }

    /// Asks until the server knows what became of it.
    async fn finish(&mut self) -> Tried {
        for attempt in 0..8_u32 {
            let Err(error) = self.session.commit_transaction().await else { return Tried::Done };
            if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
                return Tried::Again(of_driver(&error));
            }
            let reason = of_driver(&error);
            if !error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) && !is_passing(&reason) {
                return Tried::No(NotCommitted::Failed(reason));
            }
            tokio::time::sleep(Duration::from_millis(20 << attempt)).await;
        }
        // The next try finds out.
        Tried::Again(SqlError::new("08006", "it is not known whether a transaction was committed"))
    }
}

/// The first time there is no number.
fn expected(step: i64) -> Bson {
    if step == 0 { doc! {"$in": [0_i64, Bson::Null]}.into() } else { step.into() }
}

fn sort(error: SqlError) -> Tried {
    if is_passing(&error) { Tried::Again(error) } else { Tried::No(NotCommitted::Failed(error)) }
}

/// If it cannot be told, the server ends it in its time, or with the next one of the session.
pub(crate) async fn abort(session: &mut ClientSession) {
    if let Err(error) = session.abort_transaction().await {
        tracing::debug!("a transaction could not be aborted: {error}");
    }
}

/// Writes rows of a collection.
pub(crate) async fn write(
    session: &mut ClientSession,
    database: &str,
    collection: &str,
    writes: &[Write],
    appending: Appending,
) -> Result<()> {
    let mut some = Statements::default();
    for write in writes {
        // What is deleted behind an addition may be what was added.
        let is_behind = matches!(write, Write::Delete(_)) && some.adds();
        if some.count >= STATEMENTS_MAX || some.bytes >= BYTES_MAX || is_behind {
            std::mem::take(&mut some).run(session, database, collection).await?;
        }
        some.add(write, appending);
    }
    some.run(session, database, collection).await
}

/// How rows of changes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appending {
    /// As what is new: an error if one is there already.
    Insert,
    /// Where none is there, which costs more.
    Upsert,
}

/// Statements for one command of each kind.
#[derive(Default)]
struct Statements {
    deletes: RawArrayBuf,
    updates: RawArrayBuf,
    inserts: RawArrayBuf,
    count: usize,
    bytes: usize,
}

impl Statements {
    /// Whether there may be new rows in it.
    fn adds(&self) -> bool {
        !self.inserts.is_empty() || !self.updates.is_empty()
    }

    fn add(&mut self, write: &Write, appending: Appending) {
        self.count += 1;
        self.bytes += write.raw().as_bytes().len();
        match (write, appending) {
            (Write::Delete(statement), _) => self.deletes.push(statement.as_ref()),
            (Write::Update(statement), _) => self.updates.push(statement.as_ref()),
            (Write::Append(row), Appending::Upsert) => self.updates.push(Write::upsert(row)),
            (Write::Append(row) | Write::Insert(row), _) => self.inserts.push(row.as_ref()),
        }
    }

    async fn run(self, session: &mut ClientSession, database: &str, collection: &str) -> Result<()> {
        let commands = [(Kind::Delete, self.deletes), (Kind::Update, self.updates), (Kind::Insert, self.inserts)];
        for (kind, statements) in commands.into_iter().filter(|(_, statements)| !statements.is_empty()) {
            send(session, kind, (database, collection), statements).await?;
        }
        Ok(())
    }
}

/// The commands that write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Delete,
    Insert,
    Update,
}

/// Runs one command with statements on a collection, in their order.
pub(crate) async fn send(
    session: &mut ClientSession,
    kind: Kind,
    (database, collection): (&str, &str),
    statements: RawArrayBuf,
) -> Result<()> {
    let (name, field) = match kind {
        Kind::Delete => (cstr!("delete"), cstr!("deletes")),
        Kind::Insert => (cstr!("insert"), cstr!("documents")),
        Kind::Update => (cstr!("update"), cstr!("updates")),
    };
    let mut command = RawDocumentBuf::new();
    command.append(name, collection);
    command.append(field, statements);
    command.append(cstr!("ordered"), true);
    let database = session.client().database(database);
    let reply = database.run_raw_command(command).session(session).await;
    refused(&reply.map_err(|error| of_driver(&error))?).map_or(Ok(()), Err)
}

/// Runs a write command in a transaction; gives its reply.
pub(crate) async fn run(session: &mut ClientSession, database: &str, command: Document) -> Result<Document> {
    let database = session.client().database(database);
    let reply = database.run_command(command).session(session).await.map_err(|error| of_driver(&error))?;
    refused(&reply).map_or(Ok(reply), Err)
}

/// The first error of a write command's reply.
pub(crate) fn refused(reply: &Document) -> Option<SqlError> {
    let error = reply.get_array("writeErrors").ok()?.first()?.as_document()?;
    let message = error.get_str("errmsg").unwrap_or("the write was refused");
    let code = error.get_i32("code").unwrap_or(0);
    Some(match class(code) {
        Some(state) => SqlError::new(state, message),
        None => SqlError::new("XX000", format!("{message} (code {code})")),
    })
}
