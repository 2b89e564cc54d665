//! A folder with the states of many circuits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fjall::config::HashRatioPolicy;
use fjall::{AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Slice};

use super::Store;
use super::sealed::Rows;
use crate::{Error, Result};

/// One thread writes and merges files.
const WORKERS: usize = 1;

/// The smallest the tree allows: it bounds what a recovery must replay.
const JOURNALS_BYTES_MAX: u64 = 64 << 20;

/// So many bytes of new rows of one circuit are kept in memory before they are written as a file, at most: the fewer files,
/// the less has to be merged.
const MEMTABLE_BYTES_MAX: u64 = 32 << 20;
/// And at least, however many circuits there are.
const MEMTABLE_BYTES_MIN: u64 = 4 << 20;
/// So many bytes the circuits share.
const MEMTABLES_BYTES: u64 = 256 << 20;

/// Batches of rows that may be on their way to files before the writer waits.
const FLUSHING_MAX: usize = 2;

/// A folder in which circuits keep their state, each under a name of its own.
#[derive(Clone)]
pub struct Stores {
    db: Database,
    /// Held by each circuit that has its state here.
    users: Arc<()>,
}

/// How one circuit keeps its state.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// What tells the circuit from others: state that was written under another fingerprint is refused.
    pub fingerprint: Vec<u8>,
    /// More state than this ends the run ([`Error::StateLimit`]).
    pub limit_bytes: u64,
    /// Memory for what was read and written lately.
    pub cache_bytes: usize,
    /// Whether a commit is to survive a loss of power, and not only the end of the process.
    pub flush: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { fingerprint: Vec::new(), limit_bytes: 10 << 30, cache_bytes: 64 << 20, flush: true }
    }
}

impl Stores {
    /// Opens a folder, creating it if absent, with so much memory for blocks of its files.
    ///
    /// # Errors
    /// Another process has it open; it cannot be read; what is in it contradicts itself.
    pub fn open(folder: &Path, cache_bytes: u64) -> Result<Self> {
        // The tree asserts on files it finds inconsistent; a damaged folder must not end the process.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            Database::builder(folder)
                .cache_size(cache_bytes)
                .worker_threads(WORKERS)
                .max_journaling_size(JOURNALS_BYTES_MAX)
                .manual_journal_persist(true)
                .open()
        }));
        Ok(Self {
            users: Arc::default(),
            db: opened.map_err(|_| Error::Damaged("the files of the tree contradict each other"))??,
        })
    }

    /// The state of a circuit, new if there is none of this name. Two at once of one name undo each other's work.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn store(&self, name: &str, options: StoreOptions) -> Result<Store> {
        let layout = || {
            // `keep_small` does what the tree would do at this size: the tree asks its worker once per batch, and when a
            // thousand such requests wait, the worker stops for good.
            KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .max_memtable_size(u64::MAX)
                .data_block_hash_ratio_policy(HashRatioPolicy::all(0.75))
        };
        let keyspace = self.db.keyspace(name, layout)?;
        Store::on_disk(
            Disk { db: self.db.clone(), keyspace, flush: options.flush, users: Arc::clone(&self.users) },
            options,
        )
    }

    /// The names of all states.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.db.list_keyspace_names().iter().map(ToString::to_string).collect()
    }

    /// Removes the state of a circuit that no longer runs.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        if self.db.keyspace_exists(name) {
            self.db.delete_keyspace(self.db.keyspace(name, KeyspaceCreateOptions::default)?)?;
        }
        Ok(())
    }
}

/// The rows of one circuit.
#[derive(Clone)]
pub(super) struct Disk {
    db: Database,
    keyspace: Keyspace,
    flush: bool,
    users: Arc<()>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Disk").finish_non_exhaustive()
    }
}

impl Disk {
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Slice>> {
        Ok(self.keyspace.get(key)?)
    }

    pub(super) fn range(&self, from: std::ops::Bound<&[u8]>, to: std::ops::Bound<&[u8]>) -> fjall::Iter {
        self.keyspace.range::<&[u8], _>((from, to))
    }

    /// Writes all or nothing; one more row beside the others.
    pub(super) fn write(&self, rows: &Rows, (key, value): (&[u8], &[u8])) -> Result<()> {
        let persist = if self.flush { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = OwnedWriteBatch::with_capacity(self.db.clone(), rows.len() + 1).durability(Some(persist));
        batch.insert(&self.keyspace, key, value);
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(&self.keyspace, key.clone(), value.clone()),
                None => batch.remove(&self.keyspace, key.clone()),
            }
        }
        batch.commit()?;
        self.keep_small()
    }

    /// Has many new rows written as files, and waits if that does not keep up.
    fn keep_small(&self) -> Result<()> {
        let size = self.keyspace.tree.active_memtable().size();
        let users = u64::try_from(Arc::strong_count(&self.users)).unwrap_or(u64::MAX);
        if size < (MEMTABLES_BYTES / users).clamp(MEMTABLE_BYTES_MIN, MEMTABLE_BYTES_MAX) {
            return Ok(());
        }
        while self.keyspace.sealed_memtable_count() >= FLUSHING_MAX {
            // Fails if the worker did.
            self.db.persist(PersistMode::Buffer)?;
            thread::sleep(Duration::from_millis(1));
        }
        self.keyspace.rotate_memtable()?;
        Ok(())
    }
}
