//! What has changed since it was delivered: the documents that are there, against what is known of them.

use std::collections::{BTreeMap, VecDeque};

use bson::{Bson, DateTime, RawDocumentBuf, rawdoc};

use super::{BoxedSeen, SeenChange, SeenKey, SeenState, fingerprint};
use crate::pulse::Pulse;
use crate::reading::{Namespace, Part, Place, Reading};
use crate::{Error, Event, Result, Source};

/// How many documents are compared at a time, and how many bytes of them.
const DOCUMENTS_MAX: usize = 500;
const BYTES_MAX: usize = 16 << 20;

/// Goes through all that is known and all that is there. First come the documents that are gone, so that what they were
/// unique for is free again; then those that are new or changed.
pub(crate) struct Comparison {
    reading: Reading,
    seen: BoxedSeen,
    source: Source,
    task: Task,
    chunk: Vec<Event>,
    ready: VecDeque<Event>,
}

enum Task {
    /// Finding what is gone, from behind a document.
    Gone(Option<SeenKey>),
    /// Finding what is new or changed.
    Present,
    /// Only noting what is there.
    Learn,
}

impl Comparison {
    /// Delivers the differences.
    pub(crate) fn new(reading: Reading, seen: BoxedSeen, source: &Source) -> Self {
        Self::with(reading, seen, source, Task::Gone(None))
    }

    /// Delivers nothing, but notes what is there.
    pub(crate) fn learning(reading: Reading, seen: BoxedSeen, source: &Source) -> Self {
        Self::with(reading, seen, source, Task::Learn)
    }

    fn with(reading: Reading, seen: BoxedSeen, source: &Source, task: Task) -> Self {
        Self { reading, seen, source: source.clone(), task, chunk: Vec::new(), ready: VecDeque::new() }
    }

    pub(crate) fn is_learning(&self) -> bool {
        matches!(self.task, Task::Learn)
    }

    /// To be called after the future of [`Comparison::next`] was dropped.
    pub(crate) fn restart(&mut self) {
        self.reading.restart();
    }

    /// The next difference; None when there are no more.
    pub(crate) async fn next(&mut self, pulse: &Pulse) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            pulse.heard();
            if let Task::Gone(after) = &self.task {
                let known = self.seen.list(after.as_ref(), DOCUMENTS_MAX).await?;
                let Some(last) = known.last().cloned() else {
                    self.task = Task::Present;
                    continue;
                };
                let gone = self.gone(known, pulse).await?;
                self.ready.extend(gone);
                self.task = Task::Gone(Some(last));
                continue;
            }
            self.fill(pulse).await?;
            if self.chunk.is_empty() {
                if self.is_learning() {
                    self.seen.set_state(SeenState::Complete).await?;
                }
                return Ok(None);
            }
            let keys: Vec<Option<SeenKey>> = self.chunk.iter().map(SeenKey::of).collect();
            let known: Vec<SeenKey> = keys.iter().flatten().cloned().collect();
            if self.is_learning() {
                let of = |(event, key): (&Event, Option<SeenKey>)| Some(SeenChange::Set(key?, fingerprint(event)));
                let changes: Vec<SeenChange> = self.chunk.iter().zip(keys).filter_map(of).collect();
                self.seen.change(&changes).await?;
                self.chunk.clear();
                continue;
            }
            let mut found = self.seen.find(&known).await?.into_iter();
            for (event, key) in self.chunk.drain(..).zip(keys) {
                // What has no key is not known, and counts as new.
                match key.and_then(|_| found.next()).flatten() {
                    None if self.source.wants(&["insert"]) => self.ready.push_back(event),
                    Some(before) if before != fingerprint(&event) && self.source.wants(&["replace", "update"]) => {
                        self.ready.push_back(as_replace(&event)?);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Reads the next documents. What was read stays if the future is dropped.
    async fn fill(&mut self, pulse: &Pulse) -> Result<()> {
        let mut bytes: usize = self.chunk.iter().map(|event| event.raw().as_bytes().len()).sum();
        while self.chunk.len() < DOCUMENTS_MAX && bytes < BYTES_MAX {
            let Some(event) = self.reading.next(pulse).await? else { break };
            bytes += event.raw().as_bytes().len();
            self.chunk.push(event);
        }
        Ok(())
    }

    /// Deletions of those documents that are not there any more, or that the watch's stages let through no longer.
    async fn gone(&mut self, known: Vec<SeenKey>, pulse: &Pulse) -> Result<Vec<Event>> {
        let mut of_collection: BTreeMap<Namespace, Vec<SeenKey>> = BTreeMap::new();
        for key in known {
            let Some((database, collection)) = key.namespace.split_once('.') else { continue };
            let namespace = Namespace { database: database.to_owned(), collection: collection.to_owned() };
            of_collection.entry(namespace).or_default().push(key);
        }
        let mut gone = Vec::new();
        for (namespace, keys) in of_collection {
            let present = loop {
                match self.present(&namespace, &keys).await {
                    Ok(present) => break present?,
                    Err(error) => self.reading.wait(error, pulse).await?,
                }
            };
            for key in keys {
                let is_there = present.iter().any(|id| id.as_bytes() == key.id.as_bytes());
                if !is_there && self.source.wants(&["delete"]) {
                    gone.push(self.deletion(&namespace, &key)?);
                }
            }
        }
        Ok(gone)
    }

    /// Which of some documents are there.
    async fn present(
        &mut self,
        namespace: &Namespace,
        keys: &[SeenKey],
    ) -> mongodb::error::Result<Result<Vec<RawDocumentBuf>>> {
        let ids: Vec<Bson> = keys.iter().map(SeenKey::value).collect();
        let mut cursor = self.reading.open(namespace, Part::Only(ids)).await?;
        let mut present = Vec::new();
        while cursor.advance().await? {
            let id = match Place::id_of(cursor.current()) {
                Ok(id) => id,
                Err(error) => return Ok(Err(error)),
            };
            present.push(id);
        }
        Ok(Ok(present))
    }

    fn deletion(&self, namespace: &Namespace, key: &SeenKey) -> Result<Event> {
        let token = self.reading.token_of(namespace, key.value())?;
        let mut raw = RawDocumentBuf::new();
        raw.append(bson::raw::cstr!("_id"), token.as_raw());
        raw.append(bson::raw::cstr!("operationType"), "delete");
        raw.append(bson::raw::cstr!("clusterTime"), self.reading.time());
        raw.append(bson::raw::cstr!("wallTime"), DateTime::now());
        let names = rawdoc! {"db": namespace.database.as_str(), "coll": namespace.collection.as_str()};
        raw.append(bson::raw::cstr!("ns"), names);
        raw.append(bson::raw::cstr!("documentKey"), key.id.clone());
        raw.append(bson::raw::cstr!("snapshot"), true);
        Event::new(raw)
    }
}

fn as_replace(event: &Event) -> Result<Event> {
    let mut raw = RawDocumentBuf::new();
    for field in event.raw() {
        let (name, value) = field.map_err(|error| Error::BadEvent(error.to_string()))?;
        if name.as_str() == "operationType" {
            raw.append(name, "replace");
        } else {
            raw.append(name, value);
        }
    }
    Event::new(raw)
}
