//! What the tests of this crate share: a store in memory with a tail, and writers of entries.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};

use bson::doc;
use bytes::Bytes;
use millstream_query::expression::Scope as Variables;
use millstream_storage::{ClusterTime, Commit, Location, Options as StoreOptions, Store, SystemClock, Write};
use millstream_value::{Doc, DocBuf, Namespace, Value, from_bson, from_bson_document, to_bson_document};
use parking_lot::Mutex;

use crate::entry::{self, Stamp, Target, Transaction};
use crate::{Batch, BatchLimits, ChangeStream, Contents, Lookup, Options, Result, Scope, Spec, Tail, TailOptions};

pub(crate) const UUID: [u8; 16] = [7; 16];

/// 2025-08-17T10:45:20.412Z.
pub(crate) const WALL_MS: u64 = 1_755_427_520_412;

/// Entries get their time when they are committed.
pub(crate) const STAMP: Stamp<'static> = Stamp { time: ClusterTime::ZERO, wall_ms: WALL_MS, retry: None };

/// A reply without limits.
pub(crate) const ALL: BatchLimits = BatchLimits { documents: usize::MAX, bytes: usize::MAX };

/// A store, its tail, and the present documents.
pub(crate) struct World {
    pub(crate) tail: Arc<Tail>,
    pub(crate) store: Store,
    pub(crate) documents: Arc<Documents>,
}

/// The present documents.
#[derive(Default)]
pub(crate) struct Documents(pub(crate) Mutex<HashMap<Place, Vec<u8>>>);

/// Namespace and `{_id}`.
type Place = (String, Vec<u8>);

impl Lookup for Documents {
    fn contents(&self) -> Result<Box<dyn Contents>> {
        // Snapshots are tested where there are collections.
        Err(crate::Error::Damaged { time: ClusterTime::ZERO, what: "no collections" })
    }

    fn find(&self, db: &str, coll: &str, _: Option<[u8; 16]>, key: Doc<'_>) -> Result<Option<Vec<u8>>> {
        Ok(self.0.lock().get(&(format!("{db}.{coll}"), key.as_bytes().to_vec())).cloned())
    }
}

pub(crate) fn buffer(doc: &bson::Document) -> DocBuf {
    from_bson_document(doc)
}

pub(crate) fn tree(bytes: &[u8]) -> bson::Document {
    assert_eq!(millstream_value::validate(bytes), Ok(()));
    to_bson_document(Doc::new(bytes))
}

pub(crate) fn names(bytes: &[u8]) -> String {
    Doc::new(bytes).elements().map(|element| element.key().to_owned()).collect::<Vec<_>>().join(" ")
}

fn id_of(doc: &bson::Document) -> DocBuf {
    buffer(&doc! {"_id": doc.get("_id").cloned().unwrap()})
}

fn target(ns: &str) -> Target<'_> {
    Target { ns, uuid: Some(UUID) }
}

pub(crate) fn insert(ns: &str, document: bson::Document) -> Vec<u8> {
    entry::insert(Some(STAMP), target(ns), buffer(&document).as_doc(), id_of(&document).as_doc())
}

pub(crate) fn replace(ns: &str, document: bson::Document) -> Vec<u8> {
    entry::replace(Some(STAMP), target(ns), buffer(&document).as_doc(), id_of(&document).as_doc())
}

pub(crate) fn update(ns: &str, id: impl Into<bson::Bson>, diff: bson::Document) -> Vec<u8> {
    entry::update(Some(STAMP), target(ns), buffer(&diff).as_doc(), id_of(&doc! {"_id": id.into()}).as_doc())
}

pub(crate) fn delete(ns: &str, id: impl Into<bson::Bson>) -> Vec<u8> {
    entry::delete(Some(STAMP), target(ns), id_of(&doc! {"_id": id.into()}).as_doc())
}

pub(crate) fn command(db: &str, o: bson::Document, o2: Option<bson::Document>) -> Vec<u8> {
    let ns = format!("{db}.$cmd");
    let uuid = (!o.contains_key("dropDatabase")).then_some(UUID);
    let o2 = o2.as_ref().map(buffer);
    entry::command(Some(STAMP), Target { ns: &ns, uuid }, buffer(&o).as_doc(), o2.as_ref().map(DocBuf::as_doc))
}

/// An `applyOps` entry of operations that were written as entries; `more` are further fields of the entry.
pub(crate) fn group(operations: &[Vec<u8>], o: bson::Document, more: bson::Document) -> Vec<u8> {
    let inner: Vec<_> = operations
        .iter()
        .map(|operation| {
            let mut operation = tree(operation);
            for name in ["ts", "t", "v", "wall"] {
                operation.remove(name);
            }
            bson::Bson::from(operation)
        })
        .collect();
    let mut whole = doc! {"applyOps": inner};
    whole.extend(o);
    let mut entry = doc! {"op": "c", "ns": "admin.$cmd", "o": whole, "ts": bson::Timestamp { time: 0, increment: 0 }};
    entry.insert("wall", bson::DateTime::from_millis(WALL_MS.try_into().unwrap()));
    entry.extend(more);
    buffer(&entry).into_bytes()
}

/// The session fields of a transaction's entry.
pub(crate) fn in_transaction(number: i64, previous: ClusterTime) -> bson::Document {
    let ts = bson::Timestamp { time: previous.seconds, increment: previous.increment };
    doc! {"lsid": {"id": 1, "uid": 2}, "txnNumber": number, "prevOpTime": {"ts": ts, "t": 1_i64}}
}

/// The session of all transactions.
pub(crate) fn session() -> bson::Document {
    let id = bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![5; 16] };
    let uid = bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![6; 32] };
    doc! {"id": id, "uid": uid}
}

/// An operation as it lies in a transaction, from one that was written as an entry.
fn inside(entry: &[u8]) -> Bytes {
    let mut out = DocBuf::new();
    for element in Doc::new(entry).elements().filter(|e| !["ts", "t", "v", "wall"].contains(&e.key())) {
        out.push_element(element);
    }
    out.into_bytes().into()
}

/// Writes entries and returns their times.
type Writing = Box<dyn FnMut(&mut Commit<'_>) -> Vec<ClusterTime> + Send>;

struct Job {
    write: Writing,
    done: mpsc::Sender<Vec<ClusterTime>>,
    times: Vec<ClusterTime>,
}

impl Write for Job {
    fn apply(&mut self, commit: &mut Commit<'_>) -> millstream_storage::Result<()> {
        self.times = (self.write)(commit);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: millstream_storage::Result<()>) {
        outcome.unwrap();
        let _ = self.done.send(self.times);
    }
}

fn stamped(entry: &[u8], time: ClusterTime) -> Vec<u8> {
    let mut out = DocBuf::new();
    for element in Doc::new(entry).elements() {
        match element.key() {
            "ts" => out.push("ts", time),
            _ => out.push_element(element),
        };
    }
    out.into_bytes()
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(TailOptions::default(), StoreOptions::default())
    }

    pub(crate) fn with(tail: TailOptions, options: StoreOptions) -> Self {
        let tail = Tail::new(tail);
        let store = Store::open(Location::Memory, Arc::new(SystemClock), options, tail.clone()).unwrap();
        tail.start_from(store.window().newest);
        Self { tail, store, documents: Arc::default() }
    }

    /// Commits an entry and waits for it.
    pub(crate) fn log(&self, entry: Vec<u8>) -> ClusterTime {
        self.log_all(vec![(entry, vec![])])
    }

    /// Commits an entry with its pre-image.
    pub(crate) fn log_with_image(&self, entry: Vec<u8>, image: bson::Document) -> ClusterTime {
        self.log_all(vec![(entry, vec![image])])
    }

    /// Commits entries as one write; returns the time of the last.
    pub(crate) fn log_all(&self, entries: Vec<(Vec<u8>, Vec<bson::Document>)>) -> ClusterTime {
        let times = self.write(move |commit| {
            let mut times = Vec::new();
            for (entry, images) in &entries {
                let time = commit.tick();
                commit.append(time, stamped(entry, time));
                for (image, index) in images.iter().zip(0..) {
                    commit.keep_image(time, index, buffer(image).into_bytes());
                }
                times.push(time);
            }
            times
        });
        times.last().copied().unwrap()
    }

    /// Commits a transaction of operations that were written as entries, some with a pre-image: so many of them in each
    /// entry, or with 0 as many as fit. Returns the times of its entries.
    pub(crate) fn transact(
        &self,
        number: i64,
        operations: Vec<(Vec<u8>, Option<bson::Document>)>,
        per_entry: usize,
    ) -> Vec<ClusterTime> {
        let (operations, images): (Vec<_>, Vec<_>) = operations.into_iter().unzip();
        let operations: Vec<Bytes> = operations.iter().map(|operation| inside(operation)).collect();
        let transaction = Transaction { lsid: buffer(&session()), number };
        self.write(move |commit| {
            let ranges = entry::split(&operations, if per_entry == 0 { usize::MAX } else { per_entry });
            let mut times = Vec::new();
            for (range, at) in ranges.iter().cloned().zip(1..) {
                let place = match () {
                    () if ranges.len() == 1 => entry::Place::Whole,
                    () if at < ranges.len() => entry::Place::More,
                    () => entry::Place::Last { count: operations.len().try_into().unwrap() },
                };
                let part = entry::Part { previous: times.last().copied().unwrap_or_default(), place };
                let time = commit.tick();
                commit.append(
                    time,
                    entry::apply_ops(Vec::new(), time, WALL_MS, &transaction, &operations[range.clone()], part),
                );
                for (image, index) in images[range].iter().zip(0..) {
                    if let Some(image) = image {
                        commit.keep_image(time, index, buffer(image).into_bytes());
                    }
                }
                times.push(time);
            }
            times
        })
    }

    fn write(&self, write: impl FnMut(&mut Commit<'_>) -> Vec<ClusterTime> + Send + 'static) -> Vec<ClusterTime> {
        let (done, times) = mpsc::channel();
        self.store.submit(Box::new(Job { write: Box::new(write), done, times: Vec::new() }));
        times.recv().unwrap()
    }

    /// Opens a stream: `.` in the name means a database, none of it everything.
    pub(crate) fn try_watch(
        &self,
        ns: &str,
        options: bson::Document,
        stages: Vec<bson::Document>,
    ) -> Result<ChangeStream> {
        let options = Options::parse(&Value::from(&buffer(&options)))?;
        let scope = match ns.split_once('.') {
            None => Scope::Cluster,
            Some((db, "")) => Scope::Database(db.to_owned()),
            Some((db, coll)) => Scope::Collection(Namespace::new(db, coll)),
        };
        let stages: Vec<Value<'static>> = stages.iter().map(|stage| from_bson(&stage.clone().into())).collect();
        let variables = Variables::default();
        let spec = Spec { scope, options, stages: &stages, variables: &variables };
        let now = self.store.window().newest;
        ChangeStream::open(&self.tail, self.store.clone(), self.documents.clone(), spec, now)
    }

    /// The same for streams that are known to open.
    pub(crate) fn watch(&self, ns: &str, options: bson::Document, stages: Vec<bson::Document>) -> ChangeStream {
        self.try_watch(ns, options, stages).unwrap()
    }
}

/// Everything that a stream has now, as trees.
pub(crate) fn next(stream: &mut ChangeStream) -> Vec<bson::Document> {
    let mut events = Vec::new();
    loop {
        let batch = stream.next_batch(ALL).unwrap();
        events.extend(trees(&batch));
        if batch.at_end {
            return events;
        }
    }
}

pub(crate) fn trees(batch: &Batch) -> Vec<bson::Document> {
    batch.events.iter().map(|event| tree(event)).collect()
}

/// The operation types of events, in a line.
pub(crate) fn types(events: &[bson::Document]) -> String {
    events.iter().map(|event| event.get_str("operationType").unwrap()).collect::<Vec<_>>().join(" ")
}

/// The token of an event.
pub(crate) fn token(event: &bson::Document) -> bson::Document {
    event.get_document("_id").unwrap().clone()
}
