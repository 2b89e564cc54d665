//! Changes that are kept apart from everybody else's until they are committed together.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use crate::{
    ClusterTime, Commit, Error, Savepoint, Slice, Snapshot, Space,
    commit::{Group, Undo},
    heads::Heads,
    space::PerSpace,
};

/// Rows that are not in the store; no value stands for one that is to go.
pub(crate) type Staged = PerSpace<BTreeMap<Slice, Option<Slice>>>;

/// With fewer records than this a look for another one costs less than knowing where the last one is.
const RECORDS_MANY: usize = 16;

/// So much room is kept for what the next change does.
const LAST_MAX: usize = 256;

/// Changes over one state of the store. Nobody sees them but who reads [`Draft::view`]; dropping it drops them.
///
/// A draft says nothing about what others do meanwhile: whoever commits one checks first that what it changes is still
/// as it was in [`Draft::base`].
pub struct Draft {
    base: Arc<Snapshot>,
    /// Shared with the views that are being read, and copied at the next change while there are any.
    rows: Arc<Staged>,
    bytes: usize,
    /// Of the records of the base and of the draft.
    heads: Heads,
    /// What the last change has changed.
    last: Vec<Undo>,
}

impl Draft {
    /// Nothing changed yet.
    #[must_use]
    pub fn new(base: Arc<Snapshot>) -> Self {
        Self { base, rows: Arc::default(), bytes: 0, heads: Heads::default(), last: Vec::new() }
    }

    /// The state without the changes.
    #[must_use]
    pub fn base(&self) -> &Arc<Snapshot> {
        &self.base
    }

    /// Puts the changes over another state.
    pub fn rebase(&mut self, base: Arc<Snapshot>) {
        self.base = base;
        self.heads = Heads::default();
    }

    /// The state with the changes made so far. Later ones do not show in it.
    #[must_use]
    pub fn view(&self) -> Arc<Snapshot> {
        if self.is_empty() { Arc::clone(&self.base) } else { Arc::new(self.base.under(Arc::clone(&self.rows))) }
    }

    /// Changes something, or nothing if that fails. The log, images, ticks and [`Commit::delete_prefix`] belong to the
    /// commit loop and are an error here.
    ///
    /// # Errors
    /// Those of `write`; `KeyTooLong`.
    pub fn stage<T, E: From<Error>>(
        &mut self,
        wall_ms: u64,
        write: impl FnOnce(&mut Commit<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut staging = Staging::begin(self, wall_ms);
        let Staging { draft: Self { base, heads, .. }, group, .. } = &mut staging;
        let heads = Some(heads).filter(|_| group.rows.at(Space::Records).len() >= RECORDS_MANY);
        let mut written = write(&mut Commit::new(group, heads, base));
        let foreign = group.last > ClusterTime::ZERO || !group.images.is_empty() || !group.prefixes.is_empty();
        if foreign && written.is_ok() {
            written = Err(Error::Bug("a draft that writes to the log".into()).into());
        }
        let ended = staging.end(if written.is_ok() { Ok(()) } else { Err(Error::Refused) });
        match (written, ended) {
            (Ok(_), Err(error)) => Err(error.into()),
            (written, _) => written,
        }
    }

    /// The changes in one space, in key order.
    pub fn rows(&self, space: Space) -> impl Iterator<Item = (&Slice, Option<&Slice>)> {
        self.rows.at(space).iter().map(|(key, value)| (key, value.as_ref()))
    }

    /// The change of one row, if there is one.
    #[must_use]
    pub fn row(&self, space: Space, key: &[u8]) -> Option<Option<&Slice>> {
        self.rows.at(space).get(key).map(Option::as_ref)
    }

    /// Whether the last change has changed a row, or one before it.
    #[must_use]
    pub fn has_changed(&self, space: Space, key: &[u8]) -> bool {
        const NEAR: usize = 8;
        let is_it = |undo: &Undo| matches!(undo, Undo::Row(of, row, _) if *of == space && row == key);
        self.last.iter().rev().take(NEAR).any(is_it) || self.row(space, key).is_some()
    }

    /// Takes the changes in one space out of the draft.
    pub fn take(&mut self, space: Space) -> BTreeMap<Slice, Option<Slice>> {
        std::mem::take(Arc::make_mut(&mut self.rows).at_mut(space))
    }

    /// Whether there is a change of a row that starts with `prefix`.
    #[must_use]
    pub fn touches(&self, space: Space, prefix: &[u8]) -> bool {
        let mut from = self.rows.at(space).range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        from.next().is_some_and(|(key, _)| key.starts_with(prefix))
    }

    /// What all changes took so far, also those that later ones have replaced.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing was changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        Space::ALL.iter().all(|space| self.rows.at(*space).is_empty())
    }
}

/// A draft's rows while they are being changed. The draft has them back in any case, as they were before if the change
/// did not come to its end.
struct Staging<'d> {
    draft: &'d mut Draft,
    group: Group,
    start: Option<Savepoint>,
}

impl<'d> Staging<'d> {
    fn begin(draft: &'d mut Draft, wall_ms: u64) -> Self {
        let mut group = Group::new(ClusterTime::ZERO, ClusterTime::ZERO, wall_ms);
        group.rows = std::mem::take(Arc::make_mut(&mut draft.rows));
        group.undo = std::mem::take(&mut draft.last);
        let start = Some(group.begin());
        Self { draft, group, start }
    }

    /// Keeps what was staged, or undoes it.
    fn end(&mut self, outcome: crate::Result<()>) -> crate::Result<()> {
        self.start.take().map_or(Ok(()), |start| self.group.end(start, outcome))
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        let _ = self.end(Err(Error::Refused));
        self.draft.bytes += self.group.bytes;
        self.draft.last = std::mem::take(&mut self.group.undo);
        if self.draft.last.capacity() > LAST_MAX {
            self.draft.last = Vec::new();
        }
        *Arc::make_mut(&mut self.draft.rows) = std::mem::take(&mut self.group.rows);
    }
}
