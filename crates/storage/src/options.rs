//! How a store is opened.

use std::path::PathBuf;

/// Where the data lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In a folder of its own, created if absent.
    Folder(PathBuf),
    /// In memory: gone when the store is dropped.
    Memory,
}

/// When the log is long enough and old enough to be cut, which rule wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retain {
    /// History goes only when it is above the size *and* past the age.
    #[default]
    WhicheverKeepsMore,
    /// History goes as soon as it is above the size *or* past the age.
    WhicheverKeepsLess,
}

/// When a group of writes reaches the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flush {
    /// Before it is acknowledged: it survives a power cut.
    #[default]
    EveryGroup,
    /// When the operating system likes: it survives the process only. For tests.
    Never,
}

/// Sizes and rules of a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The log is cut when it is above this many bytes. Default: 1 GiB.
    pub oplog_bytes: u64,
    /// History younger than this is kept even above the size; 0 means by size only. Default: 0.
    pub oplog_hours: f64,
    /// How the two rules above combine.
    pub retain: Retain,
    /// Bytes of the cache of disk blocks, taken as they are needed. Default: 16 MiB.
    pub cache_bytes: u64,
    /// When writes reach the disk.
    pub flush: Flush,
    /// Writes that may wait for the commit loop; further ones are answered with
    /// [`Error::Busy`](crate::Error::Busy). Default: 100,000, more than any sensible number of
    /// connections.
    pub queue_max: usize,
    /// Writes committed with one flush. Bounds how long the first waits for the last. Default: 4,096.
    pub group_max: usize,
    /// A group takes no further write once it has staged this many bytes. Default: 8 MiB.
    pub group_bytes_max: usize,
    /// Bytes of new rows held in memory, per space, before they are written as a sorted file.
    /// Bounds memory (a space may hold four times this while the disk does not keep up) and the
    /// time of a recovery. Default: 16 MiB.
    pub memtable_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            oplog_bytes: 1 << 30,
            oplog_hours: 0.0,
            retain: Retain::default(),
            cache_bytes: 16 << 20,
            flush: Flush::default(),
            queue_max: 100_000,
            group_max: 4_096,
            group_bytes_max: 8 << 20,
            memtable_bytes: 16 << 20,
        }
    }
}
