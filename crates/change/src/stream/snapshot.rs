//! Streams that begin with the documents that are there (`millstream: {snapshot: true}`): each as an `insert`, then the
//! changes from that very moment on.
//!
//! The place of such a stream is two things: a time in the log, and a position among the documents, which are in the
//! order of their collections' UUIDs and, within one, of the keys of `_id`. Unlike names, neither ever changes.
//!
//! Invariant: whoever has folded all events up to a place `(time, position)` has exactly the documents at or before the
//! position, as they were right after `time`, and no others.
//!
//! - Documents come from one state of the store. Its time stays the same while the position moves over them.
//! - Behind the last of them the place is a time alone: the stream goes on as any other does from there.
//! - A stream that is resumed in between finds another, newer state. First it *catches up*: it delivers what the log has
//!   up to the time of that state, but of documents only those at or before its position. Time moves, the position stays.
//!   Then it goes on with the documents behind its position from the new state, which contains what was left out.
//!   So it can be interrupted anywhere, any number of times, also while it catches up.
//!
//! Commands are delivered whatever the position: a collection that was dropped or renamed meanwhile has its remaining
//! documents, if it has any, where the new state has them. One that ends the stream ends the snapshot with it, and from
//! there on tokens are those of all streams: nothing is left to be read.
//!
//! Every token in between holds the whole place (`token/place.rs`), and the layout makes it sort as the stream goes.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use millstream_storage::ClusterTime;
use millstream_value::{Doc, DocBuf, Value, key};

use crate::Result;
use crate::entry::{Change, Form};
use crate::event::INSERT_NAME;
use crate::raw::Raw;
use crate::token::place::{self, Position, WHOLE};
use crate::token::{Parts, Token};

/// All documents as they were at one time.
pub trait Contents: Send {
    /// The newest change that they contain.
    fn time(&self) -> ClusterTime;

    /// The wall time of that change, in unix milliseconds.
    fn wall_ms(&self) -> i64;

    /// The collections, in the order of their UUIDs.
    fn collections(&self) -> Vec<CollectionName>;

    /// The key of a document, by which the documents of its collection are ordered; nothing if there is no such
    /// collection any more.
    fn key(&self, uuid: &[u8; 16], id: &Value<'_>) -> Option<Vec<u8>>;

    /// The documents of one of them from a key of `_id` on, in the order of those keys.
    fn documents(&self, uuid: &[u8; 16], from: Bound<&[u8]>) -> StoredDocuments;
}

/// Documents with the keys of their `_id`.
pub type StoredDocuments = Box<dyn Iterator<Item = Result<(Bytes, Bytes)>> + Send>;

/// What a collection was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionName {
    /// What stays when it is renamed.
    pub uuid: [u8; 16],
    /// Its database.
    pub db: String,
    /// Its name there.
    pub coll: String,
    /// Whether the keys of its documents go by a collation.
    pub collated: bool,
}

pub(super) struct Snapshot {
    contents: Box<dyn Contents>,
    time: ClusterTime,
    position: Arc<Position>,
    /// The last operation that the client has seen, and of its event the fragment.
    seen: Option<(ClusterTime, u32, Option<u32>)>,
    /// None while it catches up.
    rows: Option<Rows>,
    /// Whether the last document came in fragments.
    in_fragments: bool,
    /// Bytes of documents that may still be looked at in this call.
    budget: usize,
}

struct Rows {
    left: std::vec::IntoIter<CollectionName>,
    current: Option<(CollectionName, StoredDocuments)>,
}

/// A document of the snapshot.
pub(super) struct Row {
    pub(super) position: Arc<Position>,
    db: String,
    coll: String,
    document: Bytes,
}

/// What a snapshot has next.
pub(super) enum Next {
    Row(Row),
    /// It was enough for one call.
    Pause,
    End,
}

impl Snapshot {
    /// From the first document on.
    pub(super) fn new(contents: Box<dyn Contents>) -> Self {
        Self::at(contents, Position::start(), None)
    }

    /// After a token, which is at `position`.
    pub(super) fn resume(contents: Box<dyn Contents>, parts: &Parts, position: Position) -> Self {
        let seen = (parts.index != WHOLE).then_some((parts.time, parts.index, parts.fragment));
        Self::at(contents, position, seen)
    }

    fn at(contents: Box<dyn Contents>, position: Position, seen: Option<(ClusterTime, u32, Option<u32>)>) -> Self {
        let (time, position) = (contents.time(), Arc::new(position));
        Self { contents, time, position, seen, rows: None, in_fragments: false, budget: 0 }
    }

    /// The newest change that the documents contain.
    pub(super) fn time(&self) -> ClusterTime {
        self.time
    }

    /// The place before the first document.
    pub(super) fn start(&self) -> Token {
        self.position.name(self.time, WHOLE).token()
    }

    pub(super) fn position(&self) -> Arc<Position> {
        Arc::clone(&self.position)
    }

    pub(super) fn is_catching_up(&self) -> bool {
        self.rows.is_none()
    }

    pub(super) fn allow(&mut self, bytes: usize) {
        self.budget = bytes;
    }

    /// Whether an operation that the new state contains has to be delivered all the same.
    pub(super) fn admits(&self, change: Change<'_>) -> bool {
        let place = (change.time(), change.index());
        if let Some((time, index, fragment)) = self.seen
            && (place < (time, index) || (place == (time, index) && fragment.is_none()))
        {
            return false;
        }
        match change.form() {
            Form::Command | Form::Noop => true,
            Form::Insert | Form::Update | Form::Replace | Form::Delete | Form::Unknown => {
                let id = change.o2().unwrap_or_else(|| change.o()).get("_id").unwrap_or(Value::Null);
                let uuid = change.uuid().unwrap_or_default();
                match self.contents.key(&uuid, &id) {
                    Some(key) => self.position.covers(&uuid, &key),
                    // Its collation is gone with it, and so is the order of its documents: they are left to the drop.
                    None if uuid == self.position.uuid && self.position.collated => false,
                    None => self.position.covers(&uuid, &key::of(&id)),
                }
            }
        }
    }

    /// The first fragment of an operation's event that the client has not seen.
    pub(super) fn first_fragment(&self, change: Change<'_>) -> usize {
        match self.seen {
            Some((time, index, Some(fragment))) if (time, index) == (change.time(), change.index()) => {
                usize::try_from(fragment).unwrap_or(usize::MAX).saturating_add(1)
            }
            _ => 0,
        }
    }

    /// The log was read up to the time of the documents: they are next.
    pub(super) fn begin(&mut self, wanted: impl Fn(&CollectionName) -> bool) {
        let mut left = self.contents.collections();
        let from = self.position.uuid;
        left.retain(|name| name.uuid >= from && wanted(name));
        self.rows = Some(Rows { left: left.into_iter(), current: None });
    }

    /// The next document.
    pub(super) fn next(&mut self) -> Result<Next> {
        let Some(rows) = &mut self.rows else { return Ok(Next::Pause) };
        if self.budget == 0 {
            return Ok(Next::Pause);
        }
        loop {
            let Some((name, documents)) = &mut rows.current else {
                let Some(name) = rows.left.next() else { return Ok(Next::End) };
                let position = &self.position;
                let from = match () {
                    () if name.uuid != position.uuid => Bound::Unbounded,
                    () if position.inclusive => Bound::Excluded(position.key.as_slice()),
                    () => Bound::Included(position.key.as_slice()),
                };
                let documents = self.contents.documents(&name.uuid, from);
                rows.current = Some((name, documents));
                continue;
            };
            let Some(row) = documents.next() else {
                rows.current = None;
                continue;
            };
            let (key, document) = row?;
            let position =
                Arc::new(Position { uuid: name.uuid, key: key.to_vec(), inclusive: true, collated: name.collated });
            self.position = Arc::clone(&position);
            self.in_fragments = false;
            self.budget = self.budget.saturating_sub(document.len());
            return Ok(Next::Row(Row { position, db: name.db.clone(), coll: name.coll.clone(), document }));
        }
    }

    /// The last document was cut.
    pub(super) fn note_fragments(&mut self) {
        self.in_fragments = true;
    }

    /// The place behind everything that was looked at; the log was read up to `scanned`.
    pub(super) fn reached(&self, scanned: ClusterTime) -> Option<Token> {
        if self.is_catching_up() {
            let behind = self.seen.is_none_or(|(time, ..)| scanned >= time) && scanned != ClusterTime::ZERO;
            return behind.then(|| self.position.name(scanned, WHOLE).token());
        }
        match (self.position.inclusive, self.in_fragments) {
            (true, true) => Some(self.position.behind_fragments(self.time)),
            (true, false) => Some(self.position.name(self.time, WHOLE).token()),
            (false, _) => None,
        }
    }

    /// The event of a document: an `insert` at the time of the snapshot, with `snapshot: true` behind all else.
    pub(super) fn event(&self, row: &Row, expanded: bool) -> Bytes {
        const FIXED_BYTES: usize = 256;
        let id = place::of_document(&row.position, self.time, None);
        let names = row.db.len() + row.coll.len();
        let mut out = Raw::with_capacity(row.document.len() + id.size_hint() * 2 + names + FIXED_BYTES);
        let event = out.open();
        id.write(&mut out);
        out.str("operationType", INSERT_NAME);
        out.time("clusterTime", self.time);
        if expanded {
            out.uuid("collectionUUID", &row.position.uuid);
        }
        out.date("wallTime", self.contents.wall_ms());
        let document = Doc::new(&row.document);
        out.doc("fullDocument", document);
        let ns = out.open_doc("ns");
        out.str("db", &row.db);
        out.str("coll", &row.coll);
        out.close(ns);
        let mut key = DocBuf::new();
        if let Some(id) = document.element("_id") {
            key.push_element(id);
        }
        out.doc("documentKey", key.as_doc());
        out.bool("snapshot", true);
        out.close(event);
        out.into_bytes().into()
    }
}
