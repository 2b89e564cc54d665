//! Change events, resume tokens, the shared tail of the log and its routing.
//!
//! What it is: everything between a log entry and the event a client sees, as pure functions and one in-memory
//! structure ([`Tail`]) that wakes watchers. What it is not: a cursor, a command or a socket (see `db` and `server`).
//! It knows no async runtime: waiting is a [`std::task::Waker`] left with a [`Subscription`].
//!
//! - [`token`]: resume tokens in MongoDB's layout
//! - [`entry`]: the documents of the log, written and read
//! - [`event`]: the table of event types
//! - [`Options`], [`Scope`]: the `$changeStream` stage
//! - [`Tail`], [`Subscription`]: the newest entries in memory, and who waits for more
//! - [`ChangeStream`]: the pipeline of a stream, pulled batch by batch
//!
//! Source: `docs/reference/change-streams.md`, whose numbers (CS-…) the comments and tests name.

pub mod entry;
mod error;
pub mod event;
mod options;
mod pipeline;
mod raw;
mod route;
mod scope;
mod stream;
mod tail;
#[cfg(test)]
mod testing;
pub mod token;

pub use error::{Error, Result, TokenError};
pub use options::{Before, FullDocument, Options, Start};
pub use route::Subscription;
pub use scope::Scope;
pub use stream::{
    Batch, BatchLimits, ChangeStream, CollectionName, Contents, EVENT_BYTES_MAX, Lookup, Spec, StoredDocuments,
    large_events_split,
};
pub use tail::{Registration, Share, Tail, TailOptions};
