//! Reading the collections of a plan, all of them at one moment (SQL-9.2).

use bson::{Bson, Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use futures::StreamExt;
use millstream_sql::SqlError;
use millstream_sql::expr::Context;
use millstream_sql::plan::{Pushed, Source};
use millstream_value::Doc;
use mongodb::action::RunCursorCommand;
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor, SessionRawBatchCursor};
use mongodb::{Client, ClientSession, Database};

use crate::error::{Result, bug, code, of_driver};

/// Documents in one reply. What is read is used as a whole, so that few large replies are best.
const BATCH_SIZE: i32 = 10_000;

/// The class of a moment that a deployment has no longer.
pub(crate) const MOMENT_IS_OVER: &str = "72000";

/// What deployments answer who do not know snapshots outside of transactions: IllegalOperation, InvalidOptions,
/// CommandNotSupported, ReadConcernMajorityNotEnabled.
const NO_SNAPSHOTS: [i32; 4] = [20, 72, 115, 148];

/// Whether a moment cannot be read: it is too long ago, or the deployment knows none.
pub(crate) fn is_moment_over(error: &SqlError) -> bool {
    error.state.0 == MOMENT_IS_OVER || error.state.0 == "0A000"
}

/// That what changes are seen with cannot be read as of them any more (SQL-12.10).
pub(crate) fn too_late(error: &SqlError) -> SqlError {
    let message = format!("what changes are seen with cannot be read any more as it was: {}", error.message);
    SqlError::new("MS001", message).hint("RESUME MATERIALIZED VIEW … FROM NOW or FROM SNAPSHOT begins anew")
}

/// The moment that is read.
pub(crate) enum Moment<'s> {
    /// Whatever is there while it is read: where a deployment knows no snapshots.
    Now,
    /// A cluster time.
    Time(Timestamp),
    /// That of a transaction.
    Transaction(&'s mut ClientSession),
}

/// What is read of a collection.
#[derive(Clone, Debug)]
pub(crate) struct Find {
    pub(crate) database: String,
    pub(crate) collection: String,
    pub(crate) filter: Document,
    /// The top-level fields; `None`: all.
    pub(crate) fields: Option<Vec<String>>,
    /// By a field, and whether from the greatest on.
    pub(crate) sorted: Option<(String, bool)>,
    /// How many the first reply has; `None`: many.
    pub(crate) few: Option<i32>,
    /// Only what comes behind this `_id`.
    pub(crate) after: Option<Bson>,
}

/// An open read.
pub(crate) struct Reading(Cursor);

enum Cursor {
    Free(RawBatchCursor),
    InTransaction(SessionRawBatchCursor),
}

impl Find {
    /// Everything of a collection.
    pub(crate) fn all(database: &str, collection: &str) -> Self {
        let (database, collection) = (database.to_owned(), collection.to_owned());
        Self { database, collection, filter: Document::new(), fields: None, sorted: None, few: None, after: None }
    }

    /// In the order of `_id`, behind one if that is given: a read that can go on where it was cut short.
    pub(crate) fn by_id(self, after: Option<Bson>) -> Self {
        Self { sorted: Some(("_id".to_owned(), false)), after, ..self }
    }

    /// What a plan needs of one of its sources; with a context what its filter lets through.
    pub(crate) fn of(source: &Source, context: Option<&Context>) -> Self {
        let filter = context.and_then(|context| source.filter(context));
        let filter = filter.and_then(|filter| raw(filter.into_bytes())).and_then(|raw| Document::try_from(raw).ok());
        Self {
            filter: filter.unwrap_or_default(),
            fields: source.fields.clone(),
            ..Self::all(&source.database, &source.collection)
        }
    }

    /// Begins to read.
    pub(crate) async fn open(&self, client: &Client, moment: &mut Moment<'_>) -> Result<Reading> {
        open(&client.database(&self.database), self.command(), self.few, moment).await
    }

    /// Reads everything, and hands each document on.
    pub(crate) async fn each(
        &self,
        client: &Client,
        moment: &mut Moment<'_>,
        mut take: impl FnMut(&RawDocument) -> Result<()>,
    ) -> Result<()> {
        let mut reading = self.open(client, moment).await?;
        while let Some(reply) = reading.next(moment).await? {
            documents(&reply, &mut take)?;
        }
        Ok(())
    }

    fn command(&self) -> Document {
        let mut command = doc! {"find": &self.collection, "batchSize": self.few.unwrap_or(BATCH_SIZE)};
        let mut filter = self.filter.clone();
        if let Some(after) = &self.after {
            // The order of all types, which a plain `$gt` does not leave its own.
            filter.insert("$expr", doc! {"$gt": ["$_id", {"$literal": after}]});
        }
        if !filter.is_empty() {
            command.insert("filter", filter);
        }
        if let Some((field, descending)) = &self.sorted {
            command.insert("sort", doc! {field: if *descending { -1 } else { 1 }});
        }
        // A projection would take such names for paths.
        let plain = |name: &String| !name.is_empty() && !name.contains('.') && !name.starts_with('$');
        if let Some(fields) = self.fields.as_ref().filter(|fields| fields.iter().all(plain)) {
            let mut projection = doc! {"_id": 1};
            projection.extend(fields.iter().map(|field| (field.clone(), 1.into())));
            command.insert("projection", projection);
        }
        // Reading by `_id` may go by the collection's own order, whose index there is.
        if !self.filter.is_empty() || self.few.is_some() {
            command.insert("collation", binary());
        }
        command
    }
}

/// What is computed of a collection.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    database: String,
    collection: String,
    pub(crate) stages: Vec<Document>,
}

impl Pipeline {
    /// Of one of a plan's sources.
    pub(crate) fn of(source: &Source, pushed: &Pushed) -> Self {
        let stages = pushed.pipeline.iter().filter_map(|stage| raw(stage.as_bytes().to_vec()));
        let stages = stages.filter_map(|stage| Document::try_from(stage).ok()).collect();
        Self { database: source.database.clone(), collection: source.collection.clone(), stages }
    }

    /// Begins to compute.
    pub(crate) async fn open(&self, client: &Client, moment: &mut Moment<'_>) -> Result<Reading> {
        let command = doc! {
            "aggregate": &self.collection,
            "pipeline": self.stages.clone(),
            "cursor": {"batchSize": BATCH_SIZE},
            "allowDiskUse": true,
            "collation": binary(),
        };
        open(&client.database(&self.database), command, None, moment).await
    }
}

/// Texts are compared by their bytes (SQL-5.4), also where a collection has another order of its own.
fn binary() -> Document {
    doc! {"locale": "simple"}
}

/// Begins to read what a command answers.
async fn open(
    database: &Database,
    mut command: Document,
    few: Option<i32>,
    moment: &mut Moment<'_>,
) -> Result<Reading> {
    let cursor = match moment {
        Moment::Transaction(session) => {
            let cursor = begun(database, command, few).session(&mut **session).batch().await;
            cursor.map(Cursor::InTransaction)
        }
        Moment::Time(time) => {
            command.insert("readConcern", doc! {"level": "snapshot", "atClusterTime": *time});
            let cursor = begun(database, command, few).batch().await;
            if let Err(error) = &cursor
                && code(error).is_some_and(|code| NO_SNAPSHOTS.contains(&code))
            {
                return Err(SqlError::new("0A000", format!("the deployment reads no snapshots: {error}")));
            }
            cursor.map(Cursor::Free)
        }
        Moment::Now => begun(database, command, few).batch().await.map(Cursor::Free),
    };
    cursor.map(Reading).map_err(|error| of_driver(&error))
}

/// A read whose later replies have as many documents as its first, where that was to be few.
fn begun(database: &Database, command: Document, few: Option<i32>) -> RunCursorCommand<'_> {
    let begun = database.run_cursor_command(command);
    match few.and_then(|few| u32::try_from(few).ok()) {
        Some(few) => begun.batch_size(few),
        None => begun,
    }
}

impl Reading {
    /// The next reply, in the moment that it was opened in.
    pub(crate) async fn next(&mut self, moment: &mut Moment<'_>) -> Result<Option<RawBatch>> {
        let reply = match (&mut self.0, moment) {
            (Cursor::Free(cursor), _) => cursor.next().await,
            (Cursor::InTransaction(cursor), Moment::Transaction(session)) => cursor.stream(session).next().await,
            (Cursor::InTransaction(_), _) => return Err(bug("a cursor outside of its transaction")),
        };
        reply.transpose().map_err(|error| of_driver(&error))
    }
}

/// The documents of a reply.
pub(crate) fn documents(reply: &RawBatch, take: &mut impl FnMut(&RawDocument) -> Result<()>) -> Result<()> {
    let unreadable = |error: &dyn std::fmt::Display| bug(&format!("a reply cannot be read: {error}"));
    for document in reply.doc_slices().map_err(|error| unreadable(&error))? {
        let document = document.map_err(|error| unreadable(&error))?;
        take(document.as_document().ok_or_else(|| bug("a reply holds something else than documents"))?)?;
    }
    Ok(())
}

/// Bytes of a document as the driver has them.
pub(crate) fn raw(bytes: Vec<u8>) -> Option<RawDocumentBuf> {
    RawDocumentBuf::from_bytes(bytes).ok()
}

/// A document of the driver as the rest of the program has it.
pub(crate) fn doc(raw: &RawDocument) -> Doc<'_> {
    Doc::new(raw.as_bytes())
}
