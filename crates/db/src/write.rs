//! Writes: statements that run in the commit loop, in the order given, each as a whole or not at all.

mod apply;
mod job;
mod prepare;
mod run;
mod session;
mod sink;

use std::sync::Arc;

use bytes::Bytes;
use millstream_query::predicate::Predicate;
use millstream_query::sort::Sort;
use millstream_query::update::Update;
use millstream_value::{Namespace, Value};

use crate::Error;

pub(crate) use apply::{Applied, Scene, Targets};
pub(crate) use prepare::{DOCUMENT_BYTES_MAX, too_large};
pub use prepare::{check_collection_name, insert_document};
pub use run::{Progress, WriteRun};
pub(crate) use run::{needs_search, search};
pub(crate) use session::{committed_row, forget_old, logged, read_row, taken_by_transaction};
pub(crate) use sink::{Logged, Sink};

/// Several statements that make one command.
pub struct WriteCommand {
    /// The statements, in order.
    pub statements: Vec<Statement>,
    /// Stop at the first error.
    pub ordered: bool,
    /// Present on a retryable write: executed once, however often it is sent.
    pub retry: Option<Retry>,
}

impl WriteCommand {
    /// Whether one of its statements does not say by `_id` what it is about.
    #[must_use]
    pub fn searches(&self) -> bool {
        self.statements.iter().any(needs_search)
    }
}

/// Who sends a retryable write, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The session's id.
    pub session: [u8; 16],
    /// The session's counter of writes.
    pub number: i64,
}

/// One insert, update or delete.
pub struct Statement {
    /// Where.
    pub namespace: Arc<Namespace>,
    /// Its number within a retryable write.
    pub id: i32,
    /// What to do; an error is reported in its turn.
    pub action: Result<Action, Error>,
}

/// What a statement does.
pub enum Action {
    /// Stores a document made by [`insert_document`].
    Insert(Insert),
    /// Changes documents, or inserts one.
    Update(Box<Change>),
    /// Removes documents.
    Delete(Box<Removal>),
}

/// A checked document, ready to be stored.
pub struct Insert {
    pub(crate) doc: Bytes,
    pub(crate) id_key: Vec<u8>,
}

/// An update of one document or many.
pub struct Change {
    /// Which documents.
    pub filter: Arc<Predicate>,
    /// The `_id` that the filter asks for, if it asks for one value of it.
    pub id: Option<Value<'static>>,
    /// What to do with them.
    pub update: Update,
    /// All that match, not just the first.
    pub multi: bool,
    /// Insert if nothing matches.
    pub upsert: bool,
    /// Which comes first, if only one is changed.
    pub sort: Option<Sort>,
    /// The index to use.
    pub hint: Option<Value<'static>>,
    /// Which state of the document to hand back.
    pub image: Image,
}

/// A deletion of one document or many.
pub struct Removal {
    /// Which documents.
    pub filter: Arc<Predicate>,
    /// The `_id` that the filter asks for, if it asks for one value of it.
    pub id: Option<Value<'static>>,
    /// All that match, not just the first.
    pub multi: bool,
    /// Which comes first, if only one is removed.
    pub sort: Option<Sort>,
    /// The index to use.
    pub hint: Option<Value<'static>>,
    /// Hand back what was removed.
    pub image: Image,
}

/// Which state of a changed document a command wants back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Image {
    /// None.
    #[default]
    None,
    /// As it was.
    Before,
    /// As it is now.
    After,
}

/// What became of a statement.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Documents inserted, matched or removed.
    pub n: u64,
    /// Documents that an update really changed.
    pub modified: u64,
    /// The `_id` of a document that an upsert inserted.
    pub upserted: Option<Value<'static>>,
    /// The document that was asked for with [`Image`].
    pub image: Option<Bytes>,
    /// Why it was not done.
    pub error: Option<Error>,
}

/// What became of a command's statements: as many as were tried.
#[derive(Clone, Debug, Default)]
pub struct WriteReply {
    /// By position; shorter than the statements if an ordered command stopped early.
    pub outcomes: Vec<Outcome>,
    /// The time of the last change, or of the end of the log if there was none.
    pub time: millstream_value::ClusterTime,
}
