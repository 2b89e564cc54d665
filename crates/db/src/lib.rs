//! Collections, plans, cursors and sessions: the engine as an embedded library.
//!
//! What it is: [`Db`], with everything that a command does to data, as plain synchronous calls; waiting is left to
//! the caller ([`Pending`], [`Lease::poll_ready`]). What it is not: a server (see `server`), or the query languages
//! (see `query`).

mod catalog;
mod contents;
mod cursor;
mod db;
mod ddl;
mod error;
mod history;
mod index;
mod late;
mod limit;
mod listing;
mod lookup;
mod mark;
mod oplog;
mod parameters;
mod pending;
mod plan;
mod preimages;
mod query;
mod read;
mod shared;
mod size;
#[cfg(test)]
mod tests;
mod transaction;
mod upkeep;
mod view;
mod watch;
mod write;

pub use cursor::{Api, BATCH_BYTES_MAX, Batch, Cursors, Lease, Owner, ReadAhead, Source, Tail};
pub use db::{Db, Options};
pub use ddl::{Dropped, HideIndex, IndexesCreated, Modification, Renamed, parse_images};
pub use error::{DuplicateKey, Error, Result};
pub use late::{LateStream, Place};
pub use limit::TimeLimit;
pub use listing::{CollectionInfo, DatabaseInfo};
pub use mark::Mark;
pub use oplog::{OPLOG, OplogTail};
pub use parameters::ChangeStreamOptions;
pub use pending::Pending;
pub use preimages::PREIMAGES;
pub use query::{Documents, Find, Reader, distinct_values};
pub use size::Size;
pub use transaction::{
    Attempt, Committing, Ended, Ending, Held, NextTurn, TransactionCounts, TransactionId, TransactionLimits, Tried,
    Turn,
};
pub use upkeep::Upkeep;
pub use view::ResolvedView;
pub use write::{
    Action, Change, Image, Insert, Outcome, Progress, Removal, Retry, Statement, WriteCommand, WriteReply, WriteRun,
    check_collection_name, insert_document,
};
