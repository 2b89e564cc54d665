//! Durable records, indexes and the change log, committed together; snapshots.
//!
//! One thread, the *commit loop*, gives every change its place: it takes the writes that wait,
//! applies them one after the other, stores their rows and log entries in one atomic batch, flushes
//! once for all of them, and then lets everyone know. Readers take the latest durable state and
//! never wait.
//!
//! This crate knows nothing of documents but that a log entry starts with its length, nothing of
//! collections but that keys start with their numbers, and nothing of an async runtime.
//!
//! - [`Store`]: open, submit, read, close
//! - [`Write`], [`Commit`]: what a change may do inside the commit loop
//! - [`Snapshot`]: one durable state
//! - [`Draft`]: changes kept apart over one, until they are committed together
//! - [`LogEntry`], [`LogBatch`], [`LogFrom`], [`LogWindow`], [`Image`], [`Observer`]: the change log

mod clock;
mod commit;
mod commit_loop;
mod draft;
mod engine;
mod error;
mod folder;
mod heads;
mod log;
mod meta;
mod options;
mod queue;
mod snapshot;
mod space;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod touched;

pub use self::{
    clock::{Clock, SystemClock},
    commit::{Commit, Savepoint, Write},
    draft::Draft,
    engine::Range,
    error::{Error, Result},
    log::{LogBatch, LogEntry, LogRest, LogWindow, images::Image, read::LogFrom},
    options::{Flush, Location, Options, Retain},
    snapshot::{Mark, Snapshot},
    space::Space,
    store::{Observer, Store},
};
pub use millstream_value::ClusterTime;

/// A shared piece of a buffer: keys and values.
pub type Slice = bytes::Bytes;

/// The longest key that can be stored.
pub const KEY_BYTES_MAX: usize = 65_535;
