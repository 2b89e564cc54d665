//! Events that could not be dealt with, put aside in a collection.
//!
//! Shape: `{ _id, watcher, event: <the whole event>, error, attempts: <int32>, at: <Date> }`. An event that is larger than a
//! document can be is put aside without its documents, and `cut: true` says so.

use bson::{DateTime, Document, RawDocumentBuf, doc, oid::ObjectId, rawdoc};
use mongodb::{Collection, Cursor};

use crate::{Connection, Event, Result};

/// What a document of 16 MiB has room for beside the other fields.
const EVENT_BYTES_MAX: usize = (16 << 20) - (64 << 10);

/// The fields that say which change it was.
const FIELDS_KEPT: &[&str] = &["_id", "clusterTime", "documentKey", "ns", "operationType", "wallTime"];

/// Dead letters of one watcher.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    connection: Connection,
    collection: Collection<RawDocumentBuf>,
    watcher: String,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Its number.
    pub id: ObjectId,
    /// The event as it came.
    pub event: Event,
    /// Why it could not be dealt with.
    pub error: String,
    /// How often that was tried.
    pub attempts: i32,
}

impl DeadLetters {
    /// Those of a watcher, in a collection that is made with the first one.
    #[must_use]
    pub fn new(connection: &Connection, database: &str, collection: &str, watcher: &str) -> Self {
        let collection = connection.client().database(database).collection(collection);
        Self { connection: connection.clone(), collection, watcher: watcher.to_owned() }
    }

    /// Puts an event aside.
    pub async fn put(&self, event: &Event, error: &str, attempts: u32) -> Result<()> {
        let mut letter = rawdoc! {
            "_id": ObjectId::new(),
            "watcher": self.watcher.as_str(),
            "error": error,
            "attempts": i32::try_from(attempts).unwrap_or(i32::MAX),
            "at": DateTime::now(),
        };
        if event.raw().as_bytes().len() <= EVENT_BYTES_MAX {
            letter.append(bson::raw::cstr!("event"), event.raw());
        } else {
            letter.append(bson::raw::cstr!("event"), cut(event));
            letter.append(bson::raw::cstr!("cut"), true);
        }
        self.collection.insert_one(letter).await.map(drop).map_err(|error| self.explain(error))
    }

    /// All of them, oldest first.
    pub async fn list(&self) -> Result<Vec<DeadLetter>> {
        let found = self.collection.find(self.own()).sort(doc! {"_id": 1}).await;
        let mut cursor: Cursor<RawDocumentBuf> = found.map_err(|error| self.explain(error))?;
        let mut letters = Vec::new();
        while cursor.advance().await.map_err(|error| self.explain(error))? {
            let raw = cursor.current();
            let (Ok(id), Ok(event)) = (raw.get_object_id("_id"), raw.get_document("event")) else { continue };
            letters.push(DeadLetter {
                id,
                event: Event::new(event.to_owned())?,
                error: raw.get_str("error").unwrap_or_default().to_owned(),
                attempts: raw.get_i32("attempts").unwrap_or(0),
            });
        }
        Ok(letters)
    }

    /// Removes one; says whether it was there.
    pub async fn remove(&self, id: ObjectId) -> Result<bool> {
        let mut which = self.own();
        which.insert("_id", id);
        let removed = self.collection.delete_one(which).await.map_err(|error| self.explain(error))?;
        Ok(removed.deleted_count > 0)
    }

    /// Tries all of them again, oldest first, and removes those that are dealt with; says how many were and how many are left.
    pub async fn replay<F, Fut, E>(&self, callback: F) -> Result<(usize, usize)>
    where
        F: Fn(Event) -> Fut,
        Fut: Future<Output = std::result::Result<(), E>>,
        E: std::fmt::Display,
    {
        let (mut done, mut left) = (0, 0);
        for letter in self.list().await? {
            match callback(letter.event).await {
                Ok(()) => {
                    self.remove(letter.id).await?;
                    done += 1;
                }
                Err(error) => {
                    tracing::warn!(id = %letter.id, "a dead letter could not be dealt with again: {error}");
                    left += 1;
                }
            }
        }
        Ok((done, left))
    }

    fn own(&self) -> Document {
        doc! {"watcher": self.watcher.as_str()}
    }

    fn explain(&self, error: mongodb::error::Error) -> crate::Error {
        self.connection.explain(error, &format!("the dead letters in {}", self.collection.namespace()))
    }
}

fn cut(event: &Event) -> RawDocumentBuf {
    let mut kept = RawDocumentBuf::new();
    for (name, value) in event.raw().iter().flatten() {
        if FIELDS_KEPT.contains(&name.as_str()) {
            kept.append(name, value);
        }
    }
    kept
}
