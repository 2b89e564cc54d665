//! Tables on disk: an LSM tree.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use fjall::{
    AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Snapshot,
    config::{BlockSizePolicy, HashRatioPolicy},
};

use super::{Use, journal};
use crate::{Error, Flush, Options, Result};

/// One thread writes and merges files. The tree hands merges back and forth between two threads,
/// which costs a whole core while a merge runs.
const WORKERS: usize = 1;

/// The smallest the tree allows: it bounds what a recovery must replay.
const JOURNALS_BYTES_MAX: u64 = 64 << 20;

/// Rows of one table that wait to be written as files, in units of the size at which that begins:
/// from the first on writers are slowed down, at the second they wait.
const SLOW_AT: u64 = 2;
const STOP_AT: u64 = 4;

/// Batches of rows of one table that may be on their way to files. The tree itself stops for a tenth
/// of a second at four.
const FLUSHING_MAX: usize = 2;

/// Waiting longer than this for the last rows to be written as files is not worth a quick opening.
const CLOSE_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Disk {
    db: Database,
    folder: PathBuf,
    persist: PersistMode,
    memtable_bytes: u64,
    /// The tables that are written to.
    open: Vec<Keyspace>,
}

impl Disk {
    pub(super) fn open(folder: &Path, options: &Options) -> Result<Self> {
        journal::prepare(folder)?;
        // The tree asserts on files it finds inconsistent; a damaged folder must not end the process.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            Database::builder(folder)
                .cache_size(options.cache_bytes)
                .worker_threads(WORKERS)
                .max_journaling_size(JOURNALS_BYTES_MAX)
                .manual_journal_persist(true)
                .open()
        }));
        let db = opened.map_err(|_| Error::Corrupt("the files of the tree contradict each other".into()))?.map_err(
            |error| match error {
                fjall::Error::Locked => Error::Locked { path: folder.to_owned() },
                other => Error::disk("open the tree")(other),
            },
        )?;
        let persist = match options.flush {
            Flush::EveryGroup => PersistMode::SyncData,
            Flush::Never => PersistMode::Buffer,
        };
        Ok(Self { db, folder: folder.to_owned(), persist, memtable_bytes: options.memtable_bytes, open: Vec::new() })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.db.list_keyspace_names().iter().map(ToString::to_string).collect()
    }

    pub(super) fn table(&mut self, name: &str, usage: Use) -> Result<Keyspace> {
        let layout = || {
            // `keep_small` does what the tree would do at this size: the tree asks its worker once
            // per batch, and when a thousand such requests wait, the worker stops for good.
            let layout = KeyspaceCreateOptions::default().manual_journal_persist(true).max_memtable_size(u64::MAX);
            match usage {
                Use::Rows => layout.data_block_hash_ratio_policy(HashRatioPolicy::all(0.75)),
                Use::Log => layout.data_block_size_policy(BlockSizePolicy::all(16 << 10)),
            }
        };
        let keyspace = self.db.keyspace(name, layout).map_err(Error::disk("open a table"))?;
        if !self.open.contains(&keyspace) {
            self.open.push(keyspace.clone());
        }
        Ok(keyspace)
    }

    pub(super) fn drop_table(&mut self, keyspace: Keyspace) -> Result<()> {
        self.open.retain(|open| *open != keyspace);
        self.db.delete_keyspace(keyspace).map_err(Error::disk("drop a table"))
    }

    /// Nothing more is written to this table: its rows need not stay in memory.
    pub(super) fn seal(&mut self, keyspace: &Keyspace) -> Result<()> {
        self.open.retain(|open| open != keyspace);
        write_out(keyspace)
    }

    /// Has tables with many new rows written as files, and slows the caller down if that does not
    /// keep up.
    pub(super) fn keep_small(&self) -> Result<()> {
        for table in &self.open {
            let size = table.tree.active_memtable().size();
            if size < self.memtable_bytes {
                continue;
            }
            let is_behind = || table.sealed_memtable_count() >= FLUSHING_MAX;
            if is_behind() && size >= self.memtable_bytes.saturating_mul(SLOW_AT) {
                thread::sleep(Duration::from_millis(1));
            }
            while is_behind() && size >= self.memtable_bytes.saturating_mul(STOP_AT) {
                // Fails if the worker did.
                self.db.persist(PersistMode::Buffer).map_err(Error::disk("write a table"))?;
                thread::sleep(Duration::from_millis(1));
            }
            if !is_behind() {
                write_out(table)?;
            }
        }
        Ok(())
    }

    pub(super) fn batch(&self) -> OwnedWriteBatch {
        self.db.batch().durability(Some(self.persist))
    }

    pub(super) fn view(&self) -> Snapshot {
        self.db.snapshot()
    }

    /// Writes what is still in memory as sorted files, and then empties the journal: nothing needs
    /// to be replayed at the next opening. If that fails, the journal simply stays.
    pub(super) fn close(self) -> Result<()> {
        self.db.persist(PersistMode::SyncAll).map_err(Error::disk("flush the journal"))?;
        let settled = self.settle();
        drop(self.db);
        if settled { journal::clear(&self.folder) } else { Ok(()) }
    }

    /// Whether every row is in a sorted file now.
    fn settle(&self) -> bool {
        // Sealed tables are on their way already.
        if self.open.iter().any(|table| write_out(table).is_err()) {
            return false;
        }
        let names = self.db.list_keyspace_names();
        let opened = names.iter().map(|name| self.db.keyspace(name, KeyspaceCreateOptions::default));
        let Ok(tables) = opened.collect::<fjall::Result<Vec<Keyspace>>>() else { return false };
        let deadline = Instant::now() + CLOSE_MAX;
        while tables.iter().any(|table| table.sealed_memtable_count() > 0) {
            if Instant::now() > deadline || self.db.persist(PersistMode::Buffer).is_err() {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        tables.iter().all(|table| table.tree.active_memtable().is_empty())
    }
}

/// Starts writing the rows in memory as a sorted file.
fn write_out(table: &Keyspace) -> Result<()> {
    table.rotate_memtable().map(drop).map_err(Error::disk("write a table"))
}
