//! What can go wrong here.

use std::path::PathBuf;

use crate::problem::is_passing;
use crate::{Problem, ProblemKind};

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong while watching. The text is meant for the person who started the watcher.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The driver or the server refused; the problem says why in one sentence.
    #[error("{problem}")]
    Server {
        /// What it comes down to.
        problem: Problem,
        /// The driver's own error.
        #[source]
        source: Box<mongodb::error::Error>,
    },
    /// A text that should be a resume token is none.
    #[error(
        "this is not a resume token: {reason}; give the hexadecimal text of its \"_data\" field, or the whole token as JSON"
    )]
    BadToken {
        /// What is wrong with it.
        reason: String,
    },
    /// A text that should be Extended JSON is none.
    #[error("{reason}")]
    BadJson {
        /// What is wrong with it, and where.
        reason: String,
    },
    /// A change event has no `_id`, so there is no way to resume after it.
    #[error("an event came without its _id, so the stream could not be resumed after it: keep _id in the pipeline")]
    NoToken,
    /// Bytes from the server that are no document.
    #[error("the server sent an event that cannot be read: {0}")]
    BadEvent(String),
    /// The server keeps no log that could be looked at.
    #[error("{servers} {reason}")]
    NoLog {
        /// The servers of the URI.
        servers: String,
        /// Why not, and what to do.
        reason: &'static str,
    },
    /// The checkpoint belongs to something else.
    #[error(
        "the checkpoint {} was made for another {what} ({found}, this is {wanted}): use another file, or delete it to start from now", .file.display()
    )]
    OtherSource {
        /// The checkpoint file.
        file: PathBuf,
        /// `server`, `scope` or `pipeline`.
        what: &'static str,
        /// What the file holds.
        found: String,
        /// What is being watched now.
        wanted: String,
    },
    /// The kept position belongs to another watch.
    #[error(
        "the position of {watcher} was kept for another {what} ({found}, this is {wanted}): give this watcher another name, or remove that position to start from now"
    )]
    OtherWatch {
        /// Its name, and where the position is kept.
        watcher: String,
        /// `server`, `scope` or `pipeline`.
        what: &'static str,
        /// What the position is for.
        found: String,
        /// What is being watched now.
        wanted: String,
    },
    /// Somebody else has begun to watch under the same name.
    #[error(
        "another process goes on as {watcher}, so this one stops: what it had not committed is left to the other; one of them at a time, or give this one another name"
    )]
    TakenOver {
        /// Its name, and where the position is kept.
        watcher: String,
    },
    /// A store of positions refused, or was not reached.
    #[error("{store}: {reason}")]
    Store {
        /// Whose position, and where it is kept.
        store: String,
        /// What is wrong, and what to do about it.
        reason: String,
        /// Whether it may work a little later.
        passing: bool,
        /// The error of the store's own driver.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Events could not be delivered.
    #[error("{reason}")]
    Delivery {
        /// Why.
        reason: String,
    },
    /// A group cannot be used in this way.
    #[error("the group {group}: {reason}")]
    Group {
        /// Its name.
        group: String,
        /// What is wrong.
        reason: String,
    },
    /// The checkpoint cannot be understood.
    #[error(
        "the checkpoint {} cannot be read ({reason}): delete it to start from now", .file.display()
    )]
    DamagedCheckpoint {
        /// The checkpoint file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system refused.
    #[error("could not {doing} the checkpoint {}: {source}", .file.display())]
    CheckpointFile {
        /// `read` or `write`.
        doing: &'static str,
        /// The checkpoint file.
        file: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl Error {
    /// The kind of problem, if the driver or the server refused.
    pub fn problem_kind(&self) -> Option<ProblemKind> {
        match self {
            Self::Server { problem, .. } => Some(problem.kind),
            _ => None,
        }
    }

    /// Whether it may work a little later: a server or a store that was not reached, or is starting.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Server { source, .. } => is_passing(source),
            Self::Store { passing, .. } => *passing,
            _ => false,
        }
    }
}
