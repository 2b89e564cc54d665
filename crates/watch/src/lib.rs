//! The client library of change streams, over the official driver.
//!
//! One [`Source`] is a scope, a pipeline and options on a [`Connection`]; a [`Watcher`] reads it.
//! The loop that reconnects, resumes and keeps its place is written once, here.
//!
//! What it promises: an event is handed out as the bytes that the server sent, in order, and a
//! position (a [`Token`]) never runs ahead of what was handed out. Saving the position after the
//! event was dealt with is the caller's part, with a [`CheckpointStore`]; or that of a [`Watch`], which hands events to a
//! callback or into a queue, tries again, puts aside what fails, and keeps the position.
//!
//! What it is not: it knows nothing of any particular server. Every MongoDB from 4.2 on will do, except that a [`Watcher`]
//! can begin with [`StartAt::Snapshot`] only where the server knows how; a [`Watch`] can do that anywhere.

mod backoff;
mod change_streams;
mod checkpoint;
mod connection;
mod dead_letters;
mod delivery;
mod error;
mod event;
mod extended_json;
mod feed;
mod filter;
mod group;
mod history;
mod intake;
mod problem;
mod pulse;
mod reading;
mod seen;
mod snapshot;
mod source;
mod split;
mod stream;
mod token;
mod typed;
mod watchers;
#[cfg(feature = "webhook")]
pub mod webhook;

pub use backoff::Backoff;
pub use change_streams::ChangeStreams;
#[cfg(feature = "postgres")]
pub use checkpoint::PostgresCheckpoint;
#[cfg(feature = "redis")]
pub use checkpoint::RedisCheckpoint;
pub use checkpoint::{CheckpointStore, CollectionCheckpoint, FileCheckpoint, MemoryCheckpoint, SourceId, TOKENS};
pub use connection::Connection;
pub use dead_letters::{DeadLetter, DeadLetters};
#[cfg(feature = "postgres")]
pub use delivery::PostgresTransactions;
pub use delivery::{
    Batching, BoxError, CollectionTransactions, Control, EventStream, Failure, Grouping, Handle, Hooks, InTransaction,
    METRICS, Metric, MetricKind, NotCommitted, OnFailure, OnHistoryLost, OnInvalidate, Queue, Settings, Stats, Status,
    Taken, Taking, TransactionStore, Watch, Window,
};
pub use error::{Error, Result};
pub use event::Event;
pub use extended_json::{JsonMode, document_from_json, pretty_json, to_json, value_to_json};
pub use filter::{Condition, eq, exists, gt, gte, lt, lte, ne, one_of};
pub use group::{Fence, GROUPS, Group, GroupStatus, GroupWatch, MemberStatus, PartitionStatus};
pub use history::{LogEnd, LogRate, LogWindow, Standing};
pub use problem::{Problem, ProblemKind};
pub use seen::{CollectionSeen, Fingerprint, MemorySeen, SEEN, SeenChange, SeenDocuments, SeenKey, SeenState};
pub use source::{BeforeMode, FullDocumentMode, OPERATIONS, Operation, Options, Scope, Source, StartAt};
pub use stream::{Step, Watcher};
pub use token::Token;
pub use typed::{OperationType, TruncatedArray, TypedEvent, TypedQueue, TypedStream, TypedWatch, UpdateDescription};
pub use watchers::{Restarts, WatcherInfo, WatcherState, Watchers};
