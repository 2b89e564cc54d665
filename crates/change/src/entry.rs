//! Entries of the log as this server writes and reads them: the documents of `local.oplog.rs` (CS-11.1).

mod build;
mod parse;

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use millstream_storage::{ClusterTime, LogEntry};
use millstream_value::Doc;

pub use self::build::{
    PARTS_MAX, Part, Place, Retry, Stamp, Target, Transaction, apply_ops, apply_ops_bytes, command, delete, insert,
    noop, replace, split, update,
};
use crate::pipeline::Results;
use crate::tail::Share;
use crate::{Error, Result};

/// One entry of the log, read once and shared by all watchers. Cheap to clone.
#[derive(Clone)]
pub struct Entry(Arc<Inner>);

/// An entry, as long as somebody else has it.
pub(crate) struct WeakEntry(Weak<Inner>);

struct Inner {
    time: ClusterTime,
    wall_ms: i64,
    bytes: Bytes,
    /// Session and transaction number, where they are shown in events (CS-2.9.3).
    transaction: Option<(Span, i64)>,
    /// The entry before this one in a large transaction.
    previous: Option<ClusterTime>,
    state: State,
    operations: Operations,
    /// The large transaction that it is a part of, once that is known.
    commit: OnceLock<Commit>,
    /// The part of the watchers' memory that it takes, if it is not in the tail.
    held: OnceLock<Share>,
}

/// What the operations of a part have from the large transaction around it (CS-2.8.4, CS-2.9.2).
pub(crate) struct Commit {
    /// Of the last entry.
    pub(crate) time: ClusterTime,
    /// Of the last entry.
    pub(crate) wall_ms: i64,
    /// How many operations are in the entries before this one.
    pub(crate) before: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Whole,
    /// Part of a large transaction: its operations show at the last entry.
    Partial,
    /// Not an entry of ours; says what is wrong.
    Damaged(&'static str),
}

enum Operations {
    None,
    One([Operation; 1]),
    Many(Vec<Operation>),
}

impl Operations {
    fn as_slice(&self) -> &[Operation] {
        match self {
            Self::None => &[],
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }
}

/// Where in an entry's bytes something is.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let range = usize::try_from(self.start).ok().zip(usize::try_from(self.end).ok());
        range.and_then(|(start, end)| bytes.get(start..end)).unwrap_or_default()
    }
}

/// What an operation does, told by the form of its entry (CS-2.1.2, CS-3.4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `op: "i"`.
    Insert,
    /// `op: "u"` with a delta.
    Update,
    /// `op: "u"` with a whole document.
    Replace,
    /// `op: "d"`.
    Delete,
    /// `op: "c"`.
    Command,
    /// `op: "n"`.
    Noop,
    /// `op: "u"` with neither a delta nor a document: an error for whoever reads it (6741200).
    Unknown,
}

struct Operation {
    form: Form,
    ns: Span,
    /// How many bytes of it are the database's name.
    db_bytes: u32,
    uuid: Option<[u8; 16]>,
    o: Span,
    o2: Option<Span>,
    /// Its position in the entry.
    index: u32,
    /// By the first who needs it.
    made: OnceLock<Box<Made>>,
}

/// What was made of an operation.
#[derive(Default)]
struct Made {
    /// The assembled event without and with the expanded fields.
    events: [OnceLock<Bytes>; 2],
    /// What became of the event in shared pipelines.
    results: Results,
}

impl Entry {
    /// Reads an entry. Never fails: what cannot be read is an error for those who look into it.
    #[must_use]
    pub fn read(entry: LogEntry) -> Self {
        Self(Arc::new(parse::entry(entry)))
    }

    /// Its place in the log.
    #[must_use]
    pub fn time(&self) -> ClusterTime {
        self.0.time
    }

    /// When it was written, in unix milliseconds.
    pub(crate) fn wall_ms(&self) -> i64 {
        self.0.wall_ms
    }

    /// The entry as it is stored.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The operations that it shows, those of a group one by one (CS-2.9). Those of a large transaction are not shown by
    /// the first of its entries.
    ///
    /// # Errors
    /// `Damaged` if the entry is not one of ours.
    pub fn changes(&self) -> Result<impl ExactSizeIterator<Item = Change<'_>>> {
        let all = self.operations()?;
        let shown = if self.is_partial() { 0 } else { all.len() };
        Ok(all.take(shown))
    }

    /// The operations that are in it.
    ///
    /// # Errors
    /// `Damaged` if the entry is not one of ours.
    pub(crate) fn operations(&self) -> Result<impl ExactSizeIterator<Item = Change<'_>>> {
        if let State::Damaged(what) = self.0.state {
            return Err(Error::Damaged { time: self.time(), what });
        }
        Ok(self.0.operations.as_slice().iter().map(|operation| Change { entry: &self.0, operation }))
    }

    /// The operation at a position.
    pub(crate) fn change(&self, at: usize) -> Option<Change<'_>> {
        let operation = self.0.operations.as_slice().get(at)?;
        Some(Change { entry: &self.0, operation })
    }

    /// The collection whose document has its image kept under an index of this entry.
    #[must_use]
    pub fn owner_of_image(&self, index: u32) -> Option<[u8; 16]> {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        self.0.operations.as_slice().get(at).and_then(|operation| operation.uuid)
    }

    /// The entry before this one in a large transaction.
    pub(crate) fn previous(&self) -> Option<ClusterTime> {
        self.0.previous
    }

    /// Whether it commits a large transaction, whose first operations are in entries before it (CS-2.8.4).
    pub(crate) fn ends_chain(&self) -> bool {
        self.0.previous.is_some() && self.0.state == State::Whole
    }

    /// Whether it is a part of a large transaction that a later entry commits.
    pub(crate) fn is_partial(&self) -> bool {
        self.0.state == State::Partial
    }

    /// The large transaction that it is a part of, once that is known.
    pub(crate) fn commit(&self) -> Option<&Commit> {
        self.0.commit.get()
    }

    /// Says which large transaction it is a part of. Everybody finds the same, so the first to say it is believed.
    pub(crate) fn set_commit(&self, commit: Commit) {
        let _ = self.0.commit.set(commit);
    }

    /// Counts its memory until the last who has it lets it go.
    pub(crate) fn hold(&self, share: Share) {
        let _ = self.0.held.set(share);
    }

    pub(crate) fn downgrade(&self) -> WeakEntry {
        WeakEntry(Arc::downgrade(&self.0))
    }

    /// What it takes of the tail's memory: the entry, and the events that will be made from it.
    pub(crate) fn weight(&self) -> usize {
        const FIXED_BYTES: usize = 512;
        let operations = self.0.operations.as_slice();
        FIXED_BYTES + self.0.bytes.len() * 2 + size_of_val(operations) + operations.len() * size_of::<Made>()
    }
}

impl WeakEntry {
    pub(crate) fn upgrade(&self) -> Option<Entry> {
        self.0.upgrade().map(Entry)
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Doc::new(&self.0.bytes).fmt(f)
    }
}

/// One operation of an entry.
#[derive(Clone, Copy)]
pub struct Change<'a> {
    entry: &'a Inner,
    operation: &'a Operation,
}

impl<'a> Change<'a> {
    /// Its cluster time: that of the entry, or of the entry that committed the transaction.
    #[must_use]
    pub fn time(self) -> ClusterTime {
        self.entry.commit.get().map_or(self.entry.time, |commit| commit.time)
    }

    /// When it was written, in unix milliseconds.
    #[must_use]
    pub fn wall_ms(self) -> i64 {
        self.entry.commit.get().map_or(self.entry.wall_ms, |commit| commit.wall_ms)
    }

    /// Position in the transaction or group: `txnOpIndex`.
    #[must_use]
    pub fn index(self) -> u32 {
        self.operation.index.saturating_add(self.entry.commit.get().map_or(0, |commit| commit.before))
    }

    /// What it does.
    #[must_use]
    pub fn form(self) -> Form {
        self.operation.form
    }

    /// The namespace in the entry: of commands `<db>.$cmd`.
    #[must_use]
    pub fn ns(self) -> &'a str {
        std::str::from_utf8(self.slice(self.operation.ns)).unwrap_or_default()
    }

    /// Database and collection as bytes, for comparing without decoding.
    pub(crate) fn names(self) -> (&'a [u8], &'a [u8]) {
        let ns = self.slice(self.operation.ns);
        let db_bytes = self.db_bytes();
        (ns.get(..db_bytes).unwrap_or_default(), ns.get(db_bytes.saturating_add(1)..).unwrap_or_default())
    }

    /// The part of the namespace before the first dot.
    #[must_use]
    pub fn db(self) -> &'a str {
        self.ns().get(..self.db_bytes()).unwrap_or_default()
    }

    /// The part of the namespace after the first dot.
    #[must_use]
    pub fn coll(self) -> &'a str {
        self.ns().get(self.db_bytes().saturating_add(1)..).unwrap_or_default()
    }

    /// Of the collection.
    #[must_use]
    pub fn uuid(self) -> Option<[u8; 16]> {
        self.operation.uuid
    }

    /// The document, the change or the command.
    #[must_use]
    pub fn o(self) -> Doc<'a> {
        Doc::new(self.slice(self.operation.o))
    }

    /// What the change applies to, or what a command did away with.
    #[must_use]
    pub fn o2(self) -> Option<Doc<'a>> {
        self.operation.o2.map(|span| Doc::new(self.slice(span)))
    }

    /// The name of a command: the first field of `o`.
    #[must_use]
    pub fn command(self) -> &'a str {
        match self.operation.form {
            Form::Command => self.o().elements().next().map_or("", |first| first.key()),
            Form::Insert | Form::Update | Form::Replace | Form::Delete | Form::Noop | Form::Unknown => "",
        }
    }

    /// The collection that a command names in its first field.
    #[must_use]
    pub fn named(self) -> Option<&'a str> {
        self.o().elements().next().and_then(|first| first.as_str())
    }

    /// Whether it defines, redefines or drops a view: those are documents of `<db>.system.views` (CS-1.7.2).
    #[must_use]
    pub fn is_definition(self) -> bool {
        self.names().1 == b"system.views" && matches!(self.operation.form, Form::Insert | Form::Replace | Form::Delete)
    }

    /// The view that a definition is of, as database and name.
    #[must_use]
    pub fn view(self) -> Option<(&'a str, &'a str)> {
        self.o().str("_id")?.split_once('.')
    }

    /// The namespaces `[from, to]` of a rename, as database and collection.
    #[must_use]
    pub fn renamed(self) -> Option<[(&'a str, &'a str); 2]> {
        let to = self.o().str("to").filter(|_| self.command() == "renameCollection")?;
        Some([self.named()?.split_once('.')?, to.split_once('.')?])
    }

    /// Session and number of the transaction it was part of.
    #[must_use]
    pub fn transaction(self) -> Option<(Doc<'a>, i64)> {
        self.entry.transaction.map(|(span, number)| (Doc::new(self.slice(span)), number))
    }

    /// Where its pre-image is: the time of the entry that it is in, and its position there (CS-9.2.3).
    #[must_use]
    pub fn image(self) -> (ClusterTime, u32) {
        (self.entry.time, self.operation.index)
    }

    /// The place for the assembled event of a shape.
    pub(crate) fn cached(self, expanded: bool) -> &'a OnceLock<Bytes> {
        let [classic, with_more] = &self.made().events;
        if expanded { with_more } else { classic }
    }

    /// What became of the event in shared pipelines.
    pub(crate) fn results(self) -> &'a Results {
        &self.made().results
    }

    fn made(self) -> &'a Made {
        self.operation.made.get_or_init(Box::default)
    }

    fn db_bytes(self) -> usize {
        usize::try_from(self.operation.db_bytes).unwrap_or(usize::MAX)
    }

    fn slice(self, span: Span) -> &'a [u8] {
        span.of(&self.entry.bytes)
    }
}
