//! Where a change is told, and who may make it: the log at once, or a transaction that tells it when it is committed.

use bytes::Bytes;
use millstream_change::entry::{self, Stamp};
use millstream_storage::{Commit, Slice, Space};
use millstream_value::ClusterTime;

use crate::catalog::Catalog;
use crate::transaction::{Locks, Work};
use crate::{Error, Result};

/// Who makes a change.
pub(crate) enum Sink<'s> {
    /// A write inside the commit loop.
    Log(Logged<'s>),
    /// A statement of a transaction.
    Draft(&'s mut Work),
}

/// A write that is logged at once.
#[derive(Default)]
pub(crate) struct Logged<'s> {
    /// What open transactions hold; none for changes that have waited for those before.
    pub(crate) locks: Option<&'s Locks>,
    /// For the log entries of a retryable write.
    pub(crate) retry: Option<&'s mut entry::Retry>,
    /// Of the last change.
    pub(crate) time: Option<ClusterTime>,
}

impl Sink<'_> {
    /// Makes sure that nobody else is changing a row. To be called before the row is changed.
    ///
    /// # Errors
    /// [`Error::Held`] if a transaction is; inside of a transaction [`Error::Moved`] if somebody has, since it began.
    pub(crate) fn claim(&mut self, space: Space, key: &Slice) -> Result<()> {
        match self {
            Self::Log(logged) => match logged.locks.and_then(|locks| locks.holder(space, key)) {
                None => Ok(()),
                Some(ending) => Err(Error::Held(ending)),
            },
            Self::Draft(work) => work.claim(space, key),
        }
    }

    /// Tells of a change; `before` is the document's image, if it is to be kept.
    pub(crate) fn tell(
        &mut self,
        commit: &mut Commit<'_>,
        statement: i32,
        before: Option<Bytes>,
        build: impl FnOnce(Option<Stamp<'_>>) -> Vec<u8>,
    ) {
        match self {
            Self::Log(logged) => {
                let time = commit.tick();
                logged.time = Some(time);
                if let Some(retry) = &mut logged.retry {
                    retry.statement = statement;
                }
                let stamp = Stamp { time, wall_ms: commit.wall_ms(), retry: logged.retry.as_deref() };
                commit.append(time, build(Some(stamp)));
                if let Some(before) = before {
                    commit.keep_image(time, 0, before);
                }
            }
            Self::Draft(work) => work.note(build(None).into(), before),
        }
    }

    /// The time of the last change; a transaction's have none yet.
    pub(crate) fn time(&self) -> Option<ClusterTime> {
        match self {
            Self::Log(logged) => logged.time,
            Self::Draft(_) => None,
        }
    }

    /// A number for a collection or an index that was never used.
    ///
    /// # Errors
    /// [`Error::NeedsNumbers`] inside of a transaction that has none in hand.
    pub(crate) fn next_number(&mut self, catalog: &mut Catalog, commit: &mut Commit<'_>) -> Result<u32> {
        match self {
            Self::Log(_) => {
                let number = catalog.next_number();
                catalog.save_numbers(commit);
                Ok(number)
            }
            Self::Draft(work) => work.next_number(),
        }
    }
}
