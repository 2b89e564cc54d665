//! A trigger that starts with a snapshot (SQL-15.9): the documents that are there come first, as INSERTs in the order of their
//! `_id`s, each once.
//!
//! How far it is stands in the checkpoint: at which time the documents behind which `_id` were read. When a snapshot is no
//! longer to be had, the rest is read at a later time; then a change of a document that was read after it is not one any more.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use millstream_flow::key;
use millstream_watch::Event;

use super::run::{Item, Trigger};
use crate::change::Change;
use crate::commit::Place;
use crate::deployment::before;
use crate::error::{Result, bug};
use crate::read::{self, Find, Moment};
use crate::run::End;

/// The pause before it is read at a later time.
const PAUSE: Duration = Duration::from_secs(1);

/// How far the documents are that were there first.
#[derive(Debug, Default)]
pub(super) struct Existing {
    /// Times and the `_id`s behind which documents were read at that time; without one: from the beginning.
    read: Vec<(Timestamp, Option<Bson>)>,
    /// The last one that was dealt with.
    last: Option<Bson>,
    under_way: bool,
}

impl Existing {
    /// None was read yet.
    pub(super) fn begin() -> Self {
        Self { under_way: true, ..Self::default() }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// As a checkpoint has it when a document was dealt with.
    pub(super) fn behind(&self, item: &Item) -> Bson {
        let last = item.change.event.document_key().and_then(id).filter(|_| self.under_way);
        self.with(if last.is_some() { &last } else { &self.last })
    }

    /// As a checkpoint has it.
    pub(super) fn to_bson(&self) -> Bson {
        self.with(&self.last)
    }

    fn with(&self, last: &Option<Bson>) -> Bson {
        if self.read.is_empty() && !self.under_way {
            return Bson::Null;
        }
        let read = self.read.iter().map(|(time, behind)| Bson::from(doc! {"time": *time, "behind": behind_of(behind)}));
        doc! {"read": read.collect::<Vec<_>>(), "last": behind_of(last), "under_way": self.under_way}.into()
    }

    /// From a checkpoint.
    pub(super) fn from_row(row: &Document) -> Self {
        let Ok(kept) = row.get_document("existing") else { return Self::default() };
        let behind = |kept: &Document, name: &str| kept.get_array(name).ok().and_then(|one| one.first()).cloned();
        let read = kept.get_array("read").into_iter().flatten().filter_map(Bson::as_document);
        Self {
            read: read.filter_map(|read| Some((read.get_timestamp("time").ok()?, behind(read, "behind")))).collect(),
            last: behind(kept, "last"),
            under_way: kept.get_bool("under_way").unwrap_or(false),
        }
    }

    /// Forgets when what was read, once all changes before that are known.
    pub(super) fn forget(&mut self, place: &Place) {
        let last = self.read.iter().map(|(time, _)| *time).max();
        if !self.under_way && last.is_some_and(|last| place.time() > Some(last)) {
            *self = Self::default();
        }
    }

    /// Whether a change is in what was read of its document.
    pub(super) fn has_seen(&self, event: &Event) -> bool {
        if self.read.is_empty() {
            return false;
        }
        let id = event.document_key().and_then(|key| key.get("_id").ok().flatten());
        let (Some(id), Some(time)) = (id.and_then(|id| Bson::try_from(id).ok()), event.cluster_time()) else {
            return false;
        };
        let id = bytes(&id);
        let read = self.read.iter().rfind(|(_, behind)| behind.as_ref().is_none_or(|behind| bytes(behind) < id));
        read.is_some_and(|(read, _)| time <= *read)
    }
}

/// An `_id` that may be null, or none.
fn behind_of(id: &Option<Bson>) -> Vec<Bson> {
    id.iter().cloned().collect()
}

fn bytes(id: &Bson) -> Vec<u8> {
    let mut bytes = Vec::new();
    key::append(&crate::value::from_bson(id), &mut bytes);
    bytes
}

impl Trigger {
    /// Deals with the documents that were there first.
    pub(super) async fn deal_with_existing(&mut self) -> Result<Option<End>> {
        let client = self.object.deployment.client().clone();
        while self.existing.under_way {
            let now = self.object.deployment.time().await?.ok_or_else(|| bug("a deployment without time"))?;
            // Changes are followed from the first of these times on.
            let time = if self.existing.read.is_empty() { self.place.time().map_or(now, before) } else { now };
            self.existing.read.push((time, self.existing.last.clone()));
            let all = Find::all(&self.planned.database, &self.planned.collection);
            let find = all.by_id(self.existing.last.clone());
            let mut moment = Moment::Time(time);
            let mut reading = find.open(&client, &mut moment).await?;
            loop {
                let reply = match reading.next(&mut moment).await {
                    Ok(Some(reply)) => reply,
                    Ok(None) => {
                        self.existing.under_way = false;
                        break;
                    }
                    Err(error) => {
                        tracing::info!("the rest of a snapshot is read at a later time: {error}");
                        tokio::time::sleep(PAUSE).await;
                        break;
                    }
                };
                let mut items = Vec::new();
                let name = (self.planned.database.as_str(), self.planned.collection.as_str());
                read::documents(&reply, &mut |document| {
                    let change = existing(document, time, name)?;
                    if self.is_for(&change) {
                        items.push(Item { change: Arc::new(change), depth: 0, letter: None });
                    }
                    Ok(())
                })?;
                for some in items.chunks(self.options.batch) {
                    if let Some(end) = self.deal_with(some).await? {
                        return Ok(Some(end));
                    }
                    let last = some.last().and_then(|item| item.change.event.document_key());
                    self.existing.last = last.and_then(id);
                }
            }
        }
        Ok(if self.save().await? { None } else { Some(End::TakenOver) })
    }
}

fn id(document: &RawDocument) -> Option<Bson> {
    document.get("_id").ok().flatten().and_then(|id| Bson::try_from(id).ok())
}

/// An existing document as an INSERT at the time of the snapshot.
fn existing(document: &RawDocument, time: Timestamp, (database, collection): (&str, &str)) -> Result<Change> {
    let broken = |error: &dyn std::fmt::Display| bug(&format!("a document cannot be read: {error}"));
    let id = id(document).unwrap_or(Bson::Null);
    let key = doc! {"_id": id};
    let hex: String = bytes_of(&key)?.iter().map(|byte| format!("{byte:02X}")).collect();
    let whole = Document::try_from(document).map_err(|error| broken(&error))?;
    let event = doc! {
        // Before all tokens, as text.
        "_id": {"_data": format!("00{hex}")},
        "operationType": "insert",
        "clusterTime": time,
        "ns": {"db": database, "coll": collection},
        "documentKey": key,
        "fullDocument": whole,
    };
    let event = RawDocumentBuf::try_from(&event).map_err(|error| broken(&error))?;
    let event = Event::new(event).map_err(|error| broken(&error))?;
    Change::of(&event, 0)?.ok_or_else(|| bug("an insert is a change"))
}

fn bytes_of(document: &Document) -> Result<Vec<u8>> {
    RawDocumentBuf::try_from(document).map(RawDocumentBuf::into_bytes).map_err(|error| bug(&error.to_string()))
}
