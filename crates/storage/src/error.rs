//! What can go wrong, one variant per thing a caller could treat differently.

use std::{io, path::PathBuf};

use crate::ClusterTime;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in storage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system or the LSM tree refused; `doing` says what was attempted.
    #[error("could not {doing}")]
    Io {
        /// What was attempted: "open the folder".
        doing: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another process has the folder open.
    #[error("the data folder {} is in use by another process", .path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder was written by another version of the format.
    #[error("the data folder has format {found}, this program reads format {supported}")]
    Format {
        /// The number in the folder's `FORMAT` file.
        found: u32,
        /// The number this program writes.
        supported: u32,
    },
    /// The folder holds files, but none of ours: opening it could only do harm.
    #[error("the folder {} is not empty and is not a data folder", .path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// Part of the log that was asked for has been dropped by retention.
    #[error("the log starts at {oldest}, what was before is gone")]
    HistoryLost {
        /// Where the log starts now.
        oldest: ClusterTime,
    },
    /// An earlier flush failed: nothing is written until the store is reopened.
    #[error("an earlier write to disk failed, the store takes no writes until it is reopened")]
    Failed,
    /// The queue of writes is full: try again.
    #[error("too many writes are waiting")]
    Busy,
    /// An invariant of this program is broken; the text names it.
    #[error("internal error: {0}")]
    Bug(String),
    /// Stored bytes are not what was written; the text names what was being read.
    #[error("the stored data is damaged: {0}")]
    Corrupt(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A key is longer than the LSM tree can hold ([`crate::KEY_BYTES_MAX`]).
    #[error("a key of {bytes} bytes is too long")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A write discarded itself: nothing of it was stored.
    #[error("the write was refused")]
    Refused,
}

impl Error {
    /// Gives an I/O error its context: `.map_err(Error::io("read the log"))`.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// The same for the LSM tree's own errors.
    pub(crate) fn disk(doing: &'static str) -> impl FnOnce(fjall::Error) -> Self {
        move |error| match error {
            fjall::Error::Io(source) => Self::Io { doing, source },
            fjall::Error::Poisoned => Self::Failed,
            fjall::Error::Storage(fjall::LsmError::Io(source)) => Self::Io { doing, source },
            other => Self::Corrupt(format!("could not {doing}: {other}")),
        }
    }
}
