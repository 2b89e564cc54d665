//! Changes of what exists: collections, their options and their indexes, and views.

mod collections;
mod indexes;
mod modify;
mod options;
mod views;

use std::sync::Arc;

use millstream_change::entry;
use millstream_storage::{Commit, Write};
use millstream_value::{ClusterTime, Doc};

use crate::catalog::Catalog;
use crate::pending::{Promise, pair};
use crate::shared::LoopCatalog;
use crate::write::Sink;
use crate::{Db, Error, Result};

pub(crate) use collections::create_in_loop;
pub use collections::{Dropped, Renamed};
pub use indexes::IndexesCreated;
pub(crate) use indexes::{add_index_row, create_in_draft as create_indexes_in_draft, drop_unfinished, note_multikey};
pub use modify::{HideIndex, Modification};
pub use options::parse_images;

/// Runs one change in the commit loop and waits for it. `change` sees and changes the loop's catalog; an error
/// leaves everything as it was.
pub(crate) fn in_loop<T: Send + 'static>(
    db: &Db,
    change: impl FnMut(&mut Commit<'_>, &mut Catalog) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (promise, pending) = pair();
    let write = Change { catalog: db.loop_catalog(), change, result: None, promise };
    db.store().submit(Box::new(write));
    pending.wait()
}

/// What exists before and behind a change of it can be read, but nothing in between: what others write is not to be there.
pub(crate) fn end_group_if_changed(commit: &mut Commit<'_>, before: &Catalog, after: &Catalog) {
    if !before.is_same(after) {
        commit.end_group();
    }
}

struct Change<T, F> {
    catalog: Arc<LoopCatalog>,
    change: F,
    result: Option<Result<T>>,
    promise: Promise<Result<T>>,
}

impl<T, F> Write for Change<T, F>
where
    T: Send,
    F: FnMut(&mut Commit<'_>, &mut Catalog) -> Result<T> + Send,
{
    fn apply(&mut self, commit: &mut Commit<'_>) -> millstream_storage::Result<()> {
        let mut pending = self.catalog.lock();
        let mut catalog = pending.clone();
        let result = (self.change)(commit, &mut catalog);
        let applied = if result.is_ok() { Ok(()) } else { Err(millstream_storage::Error::Refused) };
        if applied.is_ok() {
            end_group_if_changed(commit, &pending, &catalog);
            *pending = catalog;
        }
        self.result = Some(result);
        applied
    }

    fn finish(self: Box<Self>, outcome: millstream_storage::Result<()>) {
        let result = match (outcome, self.result) {
            (Ok(()), Some(result)) | (Err(millstream_storage::Error::Refused), Some(result @ Err(_))) => result,
            (Err(error), _) => Err(error.into()),
            (Ok(()), None) => Err(Error::from(millstream_storage::Error::Bug("a change without a result".into()))),
        };
        self.promise.give(result);
    }
}

/// Numbers that a transaction gives to what it creates.
const RESERVED_AT_ONCE: u32 = 8;

impl Db {
    /// Takes numbers that were never used, and never will be again.
    pub(crate) fn reserve_numbers(&self) -> Result<impl Iterator<Item = u32> + use<>> {
        in_loop(self, |commit, catalog| {
            let first = catalog.next_number();
            let last = (1..RESERVED_AT_ONCE).fold(first, |_, _| catalog.next_number());
            catalog.save_numbers(commit);
            Ok(first..=last)
        })
    }
}

/// Tells of a command, in the log or in a transaction.
fn tell(
    commit: &mut Commit<'_>,
    sink: &mut Sink<'_>,
    db: &str,
    uuid: Option<[u8; 16]>,
    command: Doc<'_>,
    before: Option<Doc<'_>>,
) {
    let target = entry::Target { ns: &format!("{db}.$cmd"), uuid };
    sink.tell(commit, 0, None, |stamp| entry::command(stamp, target, command, before));
}

/// Logs a command.
pub(crate) fn log(
    commit: &mut Commit<'_>,
    db: &str,
    uuid: Option<[u8; 16]>,
    command: Doc<'_>,
    before: Option<Doc<'_>>,
) -> ClusterTime {
    let time = commit.tick();
    let stamp = entry::Stamp { time, wall_ms: commit.wall_ms(), retry: None };
    let target = entry::Target { ns: &format!("{db}.$cmd"), uuid };
    let bytes = entry::command(Some(stamp), target, command, before);
    commit.append(time, bytes);
    time
}
