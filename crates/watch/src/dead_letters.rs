//! Events that could not be dealt with, put aside in a collection.
//!
//! Shape: `{ _id, watcher, event: <the whole event>, error, attempts: <int32>, at: <Date> }`. An event that is larger than a
//! document can be is put aside without its documents, and `cut: true` says so.

use bson::raw::cstr;
use bson::{DateTime, Document, RawDocumentBuf, doc, oid::ObjectId, rawdoc};
use mongodb::error::{ErrorKind, WriteFailure};
use mongodb::{Collection, Cursor};

use crate::{Connection, Error, Event, Result};

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
    /// Its number; they go up with the changes.
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

    /// Their collection: its database and name.
    pub(crate) fn place(&self) -> (String, String) {
        let namespace = self.collection.namespace();
        (namespace.db, namespace.coll)
    }

    /// Puts an event aside. One that was put aside before, and came again after a crash, is there once.
    pub async fn put(&self, event: &Event, error: &str, attempts: u32) -> Result<()> {
        let mut letter = rawdoc! {
            "watcher": self.watcher.as_str(),
            "error": error,
            "attempts": i32::try_from(attempts).unwrap_or(i32::MAX),
            "at": DateTime::now(),
        };
        if event.raw().as_bytes().len() <= EVENT_BYTES_MAX {
            letter.append(cstr!("event"), event.raw());
        } else {
            letter.append(cstr!("event"), cut(event));
            letter.append(cstr!("cut"), true);
        }
        let with_id = |id: ObjectId| {
            let mut letter = letter.clone();
            letter.append(cstr!("_id"), id);
            letter
        };
        let id = self.id_of(event);
        let token = event.token().as_raw().to_owned();
        let same = rawdoc! {"_id": id, "event._id": token};
        let same = Document::try_from(&*same).map_err(|error| Error::BadEvent(error.to_string()))?;
        match self.collection.replace_one(same, with_id(id)).upsert(true).await {
            // By a rare chance another event's letter is called so.
            Err(error) if is_there(&error) => self.collection.insert_one(with_id(ObjectId::new())).await.map(drop),
            other => other.map(drop),
        }
        .map_err(|error| self.explain(error))
    }

    /// The same for the same event, and in the order of the changes: the cluster time, and some bytes that tell apart the
    /// events of one transaction.
    fn id_of(&self, event: &Event) -> ObjectId {
        let Some(time) = event.token().time() else { return ObjectId::new() };
        let named = [self.watcher.as_bytes(), event.token().as_raw().as_bytes()].concat();
        // FNV-1a: whichever program comes next must find the same.
        let hash = named.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        let ([a, b, c, d], [e, f, g, h]) = (time.time.to_be_bytes(), time.increment.to_be_bytes());
        let [i, j, k, l] = hash.to_be_bytes();
        ObjectId::from_bytes([a, b, c, d, e, f, g, h, i, j, k, l])
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

fn is_there(error: &mongodb::error::Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Write(WriteFailure::WriteError(error)) if error.code == 11000)
}
