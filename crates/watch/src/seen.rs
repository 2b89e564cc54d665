//! What was delivered of each document: after the history was lost, it tells what has changed meanwhile.

mod boxed;
mod collection;
mod comparison;
mod memory;
mod tracker;

use std::future::Future;

use bson::{RawBsonRef, RawDocumentBuf};
use xxhash_rust::xxh3::xxh3_128;

use crate::{Event, Result};

pub(crate) use boxed::BoxedSeen;
pub use collection::{CollectionSeen, SEEN};
pub(crate) use comparison::Comparison;
pub use memory::MemorySeen;
pub(crate) use tracker::Tracker;

/// Which document.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenKey {
    /// `database.collection`.
    pub namespace: String,
    /// `{ _id: … }`.
    pub id: RawDocumentBuf,
}

/// A document as it was delivered: a hash of its bytes, the same in every program.
pub type Fingerprint = [u8; 16];

/// What has become of a document, or of many.
#[derive(Debug, Clone, PartialEq)]
pub enum SeenChange {
    /// It was delivered like this.
    Set(SeenKey, Fingerprint),
    /// Its deletion was delivered.
    Forget(SeenKey),
    /// The end of a collection was delivered.
    ForgetCollection(String),
    /// The end of a database was delivered.
    ForgetDatabase(String),
}

/// How much is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SeenState {
    /// Nothing, or no more than what has been delivered so far of the documents that were there.
    #[default]
    Partial,
    /// The documents that were there are being read, to begin with.
    Learning,
    /// All documents.
    Complete,
}

/// A store for what was delivered of each document to one watcher.
///
/// `change` is called before the position is saved that lies behind those events: the store may be ahead of the position,
/// never behind.
pub trait SeenDocuments: Send + Sync {
    /// How much is known.
    fn state(&self) -> impl Future<Output = Result<SeenState>> + Send;

    /// Notes how much is known.
    fn set_state(&self, state: SeenState) -> impl Future<Output = Result<()>> + Send;

    /// What is known of each of some documents.
    fn find(&self, keys: &[SeenKey]) -> impl Future<Output = Result<Vec<Option<Fingerprint>>>> + Send;

    /// Some of the documents that are known, in an order that stays the same, from behind one of them.
    fn list(&self, after: Option<&SeenKey>, count: usize) -> impl Future<Output = Result<Vec<SeenKey>>> + Send;

    /// Notes changes, in their order.
    fn change(&self, changes: &[SeenChange]) -> impl Future<Output = Result<()>> + Send;
}

impl SeenKey {
    fn new(namespace: String, id: RawBsonRef<'_>) -> Self {
        let mut key = RawDocumentBuf::new();
        key.append(bson::raw::cstr!("_id"), id);
        Self { namespace, id: key }
    }

    /// Whose document an event is about.
    fn of(event: &Event) -> Option<Self> {
        let id = event.document_key()?.get("_id").ok()??;
        Some(Self::new(event.namespace(), id))
    }

    /// The value of `_id`.
    fn value(&self) -> bson::Bson {
        let id = self.id.get("_id").ok().flatten();
        id.and_then(|id| bson::Bson::try_from(id).ok()).unwrap_or(bson::Bson::Null)
    }
}

/// What an event shows of its document. An event without the document leaves it unknown: it will count as changed.
fn fingerprint(event: &Event) -> Fingerprint {
    match event.field("fullDocument") {
        Some(RawBsonRef::Document(document)) => xxh3_128(document.as_bytes()).to_be_bytes(),
        _ => Fingerprint::default(),
    }
}

/// What an event changes in what is known.
fn change(event: &Event) -> Option<SeenChange> {
    match event.operation() {
        "insert" | "update" | "replace" => Some(SeenChange::Set(SeenKey::of(event)?, fingerprint(event))),
        "delete" => SeenKey::of(event).map(SeenChange::Forget),
        "drop" | "rename" => Some(SeenChange::ForgetCollection(event.namespace())),
        "dropDatabase" => Some(SeenChange::ForgetDatabase(event.namespace())),
        _ => None,
    }
}
