//! What to watch and how, as the document that Python sends.

use std::path::PathBuf;
use std::time::Duration;

use bson::{Bson, Document, Timestamp, doc, rawdoc};
use millstream_watch::{
    Backoff, BeforeMode, CollectionCheckpoint, Connection, DeadLetters, FileCheckpoint, FullDocumentMode, OPERATIONS,
    OnFailure, OnHistoryLost, OnInvalidate, Scope, Settings, Source, SourceId, StartAt, TOKENS, Token, Watch, Window,
};
use pyo3::PyErr;
use pyo3::exceptions::PyValueError;
use serde::Deserialize;

use crate::errors::Trouble;

/// Seconds, as Python counts them.
type Seconds = f64;

/// The document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// None: everything.
    database: Option<String>,
    /// None: the whole database.
    collections: Option<Vec<String>>,
    operations: Vec<String>,
    pipeline: Vec<Document>,
    full_document: Full,
    full_document_before_change: Before,
    show_expanded_events: bool,
    batch_size: Option<u32>,
    resume_after: Option<Bson>,
    start_after: Option<Bson>,
    start_at_operation_time: Option<Timestamp>,
    snapshot: bool,
    checkpoint: Option<PathBuf>,
    watcher: Option<String>,
    /// Where positions and dead letters are kept.
    own_database: String,
    dead_letters: Option<String>,
    /// Over so many events.
    deduplicate: Option<usize>,
    concurrency: usize,
    queue_size: usize,
    retries: u32,
    retry_pause: Seconds,
    on_failure: Failure,
    on_history_lost: HistoryLost,
    on_invalidate: Invalidate,
    save_events: u64,
    save_every: Seconds,
    give_up_after: Seconds,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Full {
    Default,
    UpdateLookup,
    WhenAvailable,
    Required,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Before {
    Off,
    WhenAvailable,
    Required,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Failure {
    Stop,
    GoOn,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HistoryLost {
    Stop,
    StartNow,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Invalidate {
    Stop,
    StartAgain,
}

/// An argument that makes no sense.
pub(crate) fn misuse(error: &bson::error::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

impl Request {
    /// Reads the document.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, PyErr> {
        let request: Self = bson::deserialize_from_slice(bytes).map_err(|error| misuse(&error))?;
        let known = |name: &String| OPERATIONS.iter().any(|operation| operation.name == *name);
        if let Some(unknown) = request.operations.iter().find(|name| !known(name)) {
            let names: Vec<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
            let text = format!("there is no kind of change '{unknown}': there are {}", names.join(", "));
            return Err(PyValueError::new_err(text));
        }
        Ok(request)
    }

    /// The watch that it asks for.
    pub(crate) fn watch(self, connection: &Connection, queue: bool) -> Result<Watch, Trouble> {
        let source = self.source();
        let id = SourceId::new(connection, &source);
        let name = self.watcher.clone().unwrap_or_else(|| source.scope.to_string());
        let mut watch = Watch::new(connection, source)
            .named(&name)
            .start(self.start()?)
            .settings(self.settings(queue))
            .backoff(Backoff { give_up_after: seconds(self.give_up_after), ..Backoff::default() });
        if let Some(events) = self.deduplicate {
            watch = watch.deduplicate(Window { events, ..Window::default() });
        }
        let database = &self.own_database;
        if let Some(file) = self.checkpoint {
            watch = watch.checkpoint(FileCheckpoint::new(file, id));
        } else if self.watcher.is_some() {
            watch = watch.checkpoint(CollectionCheckpoint::new(connection, database, TOKENS, &name, id));
        }
        if let Some(collection) = &self.dead_letters {
            watch = watch.dead_letters(DeadLetters::new(connection, database, collection, &name));
        }
        Ok(watch)
    }

    fn source(&self) -> Source {
        let names = self.collections.as_deref();
        let scope = match (&self.database, names) {
            (None, _) => Scope::Cluster,
            (Some(database), Some([one])) => Scope::Collection { database: database.clone(), collection: one.clone() },
            (Some(database), _) => Scope::Database(database.clone()),
        };
        let mut source = Source::new(scope);
        let own = self.own_collections();
        let reached = match &source.scope {
            Scope::Cluster => true,
            Scope::Database(database) => names.is_none() && *database == self.own_database,
            Scope::Collection { .. } => false,
        };
        // Their changes would only beget more of them.
        if reached && !own.is_empty() {
            let own: Vec<Document> =
                own.iter().map(|name| doc! {"ns.db": &self.own_database, "ns.coll": name}).collect();
            source.pipeline.push(doc! {"$match": {"$nor": own}});
        }
        if let Some([_, _, ..]) = names {
            source.pipeline.push(doc! {"$match": {"ns.coll": {"$in": names.unwrap_or_default()}}});
        }
        source.pipeline.extend(self.pipeline.iter().cloned());
        source.options.operations.clone_from(&self.operations);
        source.options.expanded_events = self.show_expanded_events;
        source.options.batch_size = self.batch_size;
        source.options.full_document = match self.full_document {
            Full::Default => FullDocumentMode::Default,
            Full::UpdateLookup => FullDocumentMode::UpdateLookup,
            Full::WhenAvailable => FullDocumentMode::WhenAvailable,
            Full::Required => FullDocumentMode::Required,
        };
        source.options.before = match self.full_document_before_change {
            Before::Off => BeforeMode::Off,
            Before::WhenAvailable => BeforeMode::WhenAvailable,
            Before::Required => BeforeMode::Required,
        };
        source
    }

    /// The collections that this watch writes to.
    fn own_collections(&self) -> Vec<&str> {
        let tokens = (self.watcher.is_some() && self.checkpoint.is_none()).then_some(TOKENS);
        tokens.into_iter().chain(self.dead_letters.as_deref()).collect()
    }

    fn start(&self) -> Result<StartAt, Trouble> {
        Ok(match (&self.resume_after, &self.start_after, self.start_at_operation_time) {
            (Some(token), _, _) => StartAt::ResumeAfter(read_token(token)?),
            (_, Some(token), _) => StartAt::StartAfter(read_token(token)?),
            (_, _, Some(time)) => StartAt::Time(time),
            _ if self.snapshot => StartAt::Snapshot,
            _ => StartAt::Now,
        })
    }

    fn settings(&self, queue: bool) -> Settings {
        Settings {
            // A queue has one order.
            concurrency: if queue { 1 } else { self.concurrency },
            queue: self.queue_size,
            retries: self.retries,
            pause: Backoff { first: seconds(self.retry_pause), ..Backoff::default() },
            on_failure: match self.on_failure {
                Failure::Stop => OnFailure::Stop,
                Failure::GoOn => OnFailure::GoOn,
            },
            on_history_lost: match self.on_history_lost {
                HistoryLost::Stop => OnHistoryLost::Stop,
                HistoryLost::StartNow => OnHistoryLost::StartNow,
            },
            on_invalidate: match self.on_invalidate {
                Invalidate::Stop => OnInvalidate::Stop,
                Invalidate::StartAgain => OnInvalidate::StartAgain,
            },
            save_events: self.save_events,
            save_every: seconds(self.save_every),
            ..Settings::default()
        }
    }
}

/// A token as a person or a driver gives it: its text, itself, or an event.
fn read_token(token: &Bson) -> Result<Token, Trouble> {
    let read = match token {
        Bson::String(text) => Token::parse(text),
        Bson::Document(document) => {
            let token = if document.contains_key("_data") { token } else { document.get("_id").unwrap_or(token) };
            let holder = bson::RawDocumentBuf::try_from(&doc! {"_id": token.clone()}).unwrap_or_else(|_| rawdoc! {});
            Token::of_event(&holder)
        }
        _ => Token::parse(""),
    };
    read.map_err(Trouble::from)
}

/// What is no length of time is as long as can be.
fn seconds(seconds: Seconds) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::from_secs(u64::from(u32::MAX)))
}
