//! The replies of one change stream, read ahead by one.
//!
//! A task asks for the next reply and takes it apart while the events of the last one are being dealt with, so that the
//! server and this program do not take turns. It reads whole replies and copies each event out of them once.

use std::collections::VecDeque;

use bson::{Document, RawDocument};
use futures::StreamExt as _;
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::{Connection, Error, Event, Result, Scope, Source, StartAt, Token};

/// Events in one reply unless the options say otherwise. A server's own limit is 16 MiB, which is a lot of memory for a
/// watcher that only needs the next few.
const BATCH_SIZE: u32 = 1_000;

/// A reply of so many bytes is taken for a full one. A server ends one before the event for which 16 MiB are too few, so this
/// one may be any; those that are larger come in fragments, or not at all.
const FULL_BYTES: usize = 8 << 20;

/// Replies that wait beside the one that is being taken apart.
const AHEAD: usize = 1;

/// One reply.
#[derive(Default)]
struct Batch {
    events: VecDeque<Event>,
    /// What comes after the events cannot be read.
    broken: Option<Error>,
    /// The server's word for how far nothing more will come (CS-5.6).
    token: Option<Token>,
    /// The server has closed the stream.
    last: bool,
    /// There may have been more for which it had no room.
    full: bool,
}

/// What a feed has next.
pub(crate) enum Fed {
    Event(Event),
    /// A reply without an event, and how far the server has looked.
    Nothing(Option<Token>),
    /// The server has closed the stream.
    End,
}

/// Why there is nothing more.
pub(crate) enum Broken {
    /// The driver's error: opening the stream again may help.
    Driver(mongodb::error::Error),
    /// An event that makes no sense.
    Event(Error),
}

/// An open change stream.
pub(crate) struct Feed {
    now: Batch,
    next: mpsc::Receiver<mongodb::error::Result<Batch>>,
    task: JoinHandle<()>,
}

impl Feed {
    /// Opens a stream; gives it, and the position at which it begins if the server tells.
    pub(crate) async fn open(
        connection: &Connection,
        source: &Source,
        start: &StartAt,
    ) -> mongodb::error::Result<(Self, Option<Token>)> {
        let batch_size = source.options.batch_size.unwrap_or(BATCH_SIZE);
        let mut cursor = open_cursor(connection, source, start, batch_size).await?;
        // The reply to the opening is there already.
        let first = cursor.next().await.transpose()?.as_ref().map(|reply| Batch::of(reply, batch_size));
        let now = first.unwrap_or(Batch { last: true, ..Batch::default() });
        let at = if now.events.is_empty() { now.token.clone() } else { None };
        let (replies, next) = mpsc::channel(AHEAD);
        let last = now.last;
        let task = tokio::spawn(async move {
            if !last {
                read(cursor, replies, batch_size).await;
            }
        });
        Ok((Self { now, next, task }, at))
    }

    /// Whether the last event was the last that the server had.
    pub(crate) fn is_drained(&self) -> bool {
        self.now.events.is_empty() && !self.now.full
    }

    /// The next event of the last reply.
    pub(crate) fn ready(&mut self) -> Option<Event> {
        self.now.events.pop_front()
    }

    /// The next thing. Nothing is lost if the future is dropped half-way.
    pub(crate) async fn next(&mut self) -> std::result::Result<Fed, Broken> {
        if let Some(event) = self.now.events.pop_front() {
            return Ok(Fed::Event(event));
        }
        if let Some(broken) = self.now.broken.take() {
            return Err(Broken::Event(broken));
        }
        if self.now.last {
            return Ok(Fed::End);
        }
        self.now = match self.next.recv().await {
            Some(reply) => reply.map_err(Broken::Driver)?,
            // The error before this was told, and nobody has opened the stream again.
            None => return Err(Broken::Driver(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())),
        };
        match self.now.events.pop_front() {
            Some(event) => Ok(Fed::Event(event)),
            None if self.now.last && self.now.broken.is_none() => Ok(Fed::End),
            None => Ok(Fed::Nothing(self.now.token.take())),
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // The driver closes the cursor when the task lets go of it.
        self.task.abort();
    }
}

async fn read(mut cursor: RawBatchCursor, replies: mpsc::Sender<mongodb::error::Result<Batch>>, batch_size: u32) {
    while let Some(reply) = cursor.next().await {
        let batch = reply.as_ref().map(|reply| Batch::of(reply, batch_size)).map_err(Clone::clone);
        let last = batch.as_ref().map_or(true, |batch| batch.last || batch.broken.is_some());
        if replies.send(batch).await.is_err() || last {
            return;
        }
    }
}

impl Batch {
    fn of(reply: &RawBatch, batch_size: u32) -> Self {
        let mut batch = Self::default();
        if let Err(error) = batch.fill(reply) {
            batch.broken = Some(error);
        }
        let events_max = usize::try_from(batch_size).unwrap_or(usize::MAX);
        batch.full = batch.events.len() >= events_max || reply.as_raw_document().as_bytes().len() >= FULL_BYTES;
        batch
    }

    fn fill(&mut self, reply: &RawBatch) -> Result<()> {
        let unreadable = |error: &dyn std::fmt::Display| Error::BadEvent(error.to_string());
        let cursor = reply.as_raw_document().get_document("cursor").map_err(|error| unreadable(&error))?;
        self.last = cursor.get_i64("id").is_ok_and(|id| id == 0);
        self.token = cursor.get_document("postBatchResumeToken").ok().map(Token::from_raw);
        for event in reply.doc_slices().map_err(|error| unreadable(&error))? {
            let event = event.map_err(|error| unreadable(&error))?;
            let event: &RawDocument = event.as_document().ok_or(Error::NoToken)?;
            self.events.push_back(Event::new(event.to_owned())?);
        }
        Ok(())
    }
}

async fn open_cursor(
    connection: &Connection,
    source: &Source,
    start: &StartAt,
    batch_size: u32,
) -> mongodb::error::Result<RawBatchCursor> {
    let stage = source.first_stage(start).map_err(mongodb::error::Error::custom)?;
    let pipeline: Vec<Document> = std::iter::once(stage).chain(source.sent_pipeline()).collect();
    let client = connection.client();
    let max_await = source.options.max_await;
    match &source.scope {
        Scope::Collection { database, collection } => {
            let collection = client.database(database).collection::<Document>(collection);
            collection.aggregate(pipeline).batch_size(batch_size).max_await_time(max_await).batch().await
        }
        Scope::Database(name) => {
            client.database(name).aggregate(pipeline).batch_size(batch_size).max_await_time(max_await).batch().await
        }
        Scope::Cluster => {
            let admin = client.database("admin");
            admin.aggregate(pipeline).batch_size(batch_size).max_await_time(max_await).batch().await
        }
    }
}
