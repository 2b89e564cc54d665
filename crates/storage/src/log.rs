//! The change log: entries in the order of their cluster times, kept in segments.
//!
//! A *segment* is one table, so that old history is dropped whole and never key by key. Entries of a
//! group lie together in *blocks*, so that the tree's cost is paid per block and not per entry.

pub(crate) mod block;
mod extent;
pub(crate) mod images;
pub(crate) mod read;
pub(crate) mod segments;

use bytes::Bytes;

use crate::ClusterTime;

/// One change as it was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place in the order of all changes.
    pub time: ClusterTime,
    /// One BSON document. Shares its block's buffer (at most 256 KiB, or one entry if that is
    /// larger), which stays in memory as long as any of its entries.
    pub bytes: Bytes,
}

/// A piece of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogBatch {
    /// The entries, oldest first.
    pub entries: Vec<LogEntry>,
    /// From where to read on.
    pub next: ClusterTime,
    /// Whether the end of the log was reached, as it was when the read began.
    pub complete: bool,
}

/// The end of the log from the segment on that holds some time: what stays at least as long as that time does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRest {
    /// Bytes of entries and pre-images. The segment goes when these are more than the log may have.
    pub bytes: u64,
    /// When the segment's last entry was written, in unix milliseconds.
    pub last_wall_ms: u64,
}

/// What the log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogWindow {
    /// The oldest entry that can be read; of an empty log, where its next entry may be.
    pub oldest: ClusterTime,
    /// The newest durable entry; [`ClusterTime::ZERO`] if there never was one.
    pub newest: ClusterTime,
    /// Bytes of entries and pre-images.
    pub bytes: u64,
    /// Those of them that are pre-images.
    pub image_bytes: u64,
    /// Entries before this time were dropped. Nothing: none ever was.
    pub lost_before: Option<ClusterTime>,
    /// When the oldest entry was written, in unix milliseconds; 0 if there is none.
    pub oldest_wall_ms: u64,
    /// The same of the newest.
    pub newest_wall_ms: u64,
}
