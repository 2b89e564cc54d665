//! Tables on disk: an LSM tree.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use fjall::{
    AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode,
    Snapshot,
    config::{BlockSizePolicy, HashRatioPolicy},
};

use super::{Use, journal};
use crate::{Error, Flush, Options, Result};

/// One thread writes and merges files. The tree hands merges back and forth between two threads,
/// which costs a whole core while a merge runs.
const WORKERS: usize = 1;

/// The smallest the tree allows: it bounds what a recovery must replay.
const JOURNALS_BYTES_MAX: u64 = 64 << 20;

/// Waiting longer than this for the last rows to be written as files is not worth a quick opening.
const CLOSE_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Disk {
    db: Database,
    folder: PathBuf,
    persist: PersistMode,
    memtable_bytes: u64,
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
        let db = opened
            .map_err(|_| Error::Corrupt("the files of the tree contradict each other".into()))?
            .map_err(|error| match error {
                fjall::Error::Locked => Error::Locked {
                    path: folder.to_owned(),
                },
                other => Error::disk("open the tree")(other),
            })?;
        let persist = match options.flush {
            Flush::EveryGroup => PersistMode::SyncData,
            Flush::Never => PersistMode::Buffer,
        };
        let memtable_bytes = options.memtable_bytes;
        Ok(Self {
            db,
            folder: folder.to_owned(),
            persist,
            memtable_bytes,
        })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.db
            .list_keyspace_names()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    pub(super) fn table(&self, name: &str, usage: Use) -> Result<Keyspace> {
        let layout = || {
            let layout = KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .max_memtable_size(self.memtable_bytes);
            match usage {
                Use::Rows => layout.data_block_hash_ratio_policy(HashRatioPolicy::all(0.75)),
                Use::Log => layout.data_block_size_policy(BlockSizePolicy::all(16 << 10)),
            }
        };
        self.db
            .keyspace(name, layout)
            .map_err(Error::disk("open a table"))
    }

    pub(super) fn drop_table(&self, keyspace: Keyspace) -> Result<()> {
        self.db
            .delete_keyspace(keyspace)
            .map_err(Error::disk("drop a table"))
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
        self.db
            .persist(PersistMode::SyncAll)
            .map_err(Error::disk("flush the journal"))?;
        let settled = self.settle();
        drop(self.db);
        if settled {
            journal::clear(&self.folder)
        } else {
            Ok(())
        }
    }

    /// Whether every row is in a sorted file now.
    fn settle(&self) -> bool {
        let tables: Vec<Keyspace> = self
            .db
            .list_keyspace_names()
            .iter()
            .filter_map(|name| self.db.keyspace(name, KeyspaceCreateOptions::default).ok())
            .collect();
        if tables.iter().any(|table| table.rotate_memtable().is_err()) {
            return false;
        }
        let deadline = Instant::now() + CLOSE_MAX;
        while tables.iter().any(|table| table.sealed_memtable_count() > 0) {
            if Instant::now() > deadline || self.db.persist(PersistMode::Buffer).is_err() {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        tables
            .iter()
            .all(|table| table.tree.active_memtable().is_empty())
    }
}
