//! The commit loop: one thread that gives all changes their order and makes them durable.
//!
//! Per group: apply every write, one atomic batch, one flush, publish the snapshot, tell the
//! observer, acknowledge. Nothing else lies on that path, no timer either; the log's housekeeping
//! and the removal of dropped prefixes come after it.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
};

use crate::{
    Clock, ClusterTime, Commit, Error, LogEntry, Observer, Options, Result, Slice, Snapshot, Space, Write,
    commit::Group,
    engine::{Batch, Engine, Table, Use},
    folder::Folder,
    heads::Heads,
    log::{block, images as image, segments::Log},
    meta::{self, Meta},
    queue::{Next, WhenEmpty},
    space::PerSpace,
    store::Shared,
    sweep::Sweeper,
    touched::{Age, Touched},
};

/// Everything that belongs to the commit thread alone.
pub(crate) struct CommitLoop {
    engine: Engine,
    tables: Arc<PerSpace<Table>>,
    meta: Table,
    log: Log,
    sweeper: Sweeper,
    heads: Heads,
    /// How many groups there were, and what they changed.
    groups: u64,
    touched: Arc<Touched>,
    /// The last cluster time that was handed out for good.
    last: ClusterTime,
    wall_ms: u64,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    options: Options,
    /// Holds the lock of the folder.
    folder: Option<Folder>,
}

impl CommitLoop {
    pub(crate) fn open(
        mut engine: Engine,
        folder: Option<Folder>,
        clock: Arc<dyn Clock>,
        options: Options,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let tables = PerSpace::try_new(|space| engine.table(space.name(), Use::Rows))?;
        let meta = tables.at(Space::Catalog).clone();
        let rows = Meta::read(&engine.view(), &meta)?;
        let log = Log::open(&mut engine, rows.lost_before, &options)?;
        Ok(Self {
            last: rows.clock.max(log.newest()),
            tables: Arc::new(tables),
            sweeper: Sweeper::new(rows.sweeps),
            heads: Heads::default(),
            groups: 0,
            touched: Arc::default(),
            wall_ms: 0,
            engine,
            meta,
            log,
            clock,
            observer,
            options,
            folder,
        })
    }

    /// The state after the last commit.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let age = Age { group: self.groups, touched: Arc::clone(&self.touched) };
        Snapshot::new(self.engine.view(), Arc::clone(&self.tables), self.log.state(), age)
    }

    /// Runs until the queue is closed and empty, then leaves the folder tidy.
    pub(crate) fn run(mut self, shared: &Shared) -> Result<()> {
        let mut waiting = VecDeque::new();
        loop {
            let when_empty = if self.sweeper.is_done() { WhenEmpty::Wait } else { WhenEmpty::Return };
            match shared.queue.take(&mut waiting, self.options.group_max, when_empty) {
                Next::Writes => {
                    self.commit_group(&mut waiting, shared);
                    self.guard(shared, "keep the log within its limits", Self::keep_house);
                    if self.sweeper.is_due() {
                        self.guard(shared, "remove a dropped prefix", Self::sweep);
                    }
                }
                Next::Idle => self.guard(shared, "remove a dropped prefix", Self::sweep),
                Next::Closed => break,
            }
        }
        // The published snapshot would keep the tables open.
        let nothing = Arc::new(Snapshot::closed(self.log.state().window));
        shared.snapshot.store(Arc::clone(&nothing));
        quietly("an observer", || self.observer.closed(&nothing));
        let Self { engine, tables, meta, log, folder, .. } = self;
        drop((tables, meta, log));
        let closed = if shared.failed.load(Ordering::Acquire) { Ok(()) } else { engine.close() };
        drop(folder);
        closed
    }

    fn commit_group(&mut self, waiting: &mut VecDeque<Box<dyn Write>>, shared: &Shared) {
        if shared.failed.load(Ordering::Acquire) {
            return waiting.drain(..).for_each(|write| finish(write, Err(Error::Failed)));
        }
        self.wall_ms = self.wall_ms.max(self.clock.now_ms());
        let base = shared.snapshot.load_full();
        let mut group = Group::new(self.last, self.log.newest(), self.wall_ms);
        let mut applied = Vec::with_capacity(waiting.len());
        while !group.is_over
            && group.bytes < self.options.group_bytes_max
            && let Some(mut write) = waiting.pop_front()
        {
            let outcome = apply(&mut *write, &mut group, &mut self.heads, &base);
            applied.push((write, outcome));
        }
        drop(base);
        match self.store(group, shared) {
            Ok(stored) => {
                if let Some((now, entries)) = stored {
                    quietly("an observer", || self.observer.published(&now, &entries));
                }
                applied.into_iter().for_each(|(write, outcome)| finish(write, outcome));
                quietly("an observer", || self.observer.settled());
            }
            Err(error) => {
                tracing::error!(%error, source = ?error, "a flush failed: no more writes until the store is reopened");
                shared.failed.store(true, Ordering::Release);
                let all = applied.into_iter();
                all.for_each(|(write, outcome)| finish(write, outcome.and(Err(Error::Failed))));
            }
        }
    }

    /// Makes a group durable and visible. Returns the state after it and its log entries; nothing if it changes nothing.
    fn store(&mut self, group: Group, shared: &Shared) -> Result<Option<(Arc<Snapshot>, Vec<LogEntry>)>> {
        let Group { mut rows, blocks, images, prefixes, last, appended, wall_ms, .. } = group;
        let mut batch = self.engine.batch();
        let image_times = images.first().zip(images.last()).map(|(first, last)| (first.0, last.0));
        let image_bytes = self.stage_images(&mut batch, images, wall_ms)?;
        for space in Space::ALL {
            let table = self.tables.at(space);
            // Neighbours begin alike.
            let mut noted: Option<[u8; 4]> = None;
            for (key, value) in std::mem::take(rows.at_mut(space)) {
                if noted.is_none_or(|noted| !key.starts_with(&noted)) {
                    self.touched.note(space, &key, self.groups + 1);
                    noted = key.first_chunk().copied();
                }
                match value {
                    Some(value) => batch.put(table, key, value),
                    None => batch.delete(table, key),
                }
            }
        }
        let (entries, log_bytes) = self.stage_log(&mut batch, blocks, wall_ms)?;
        for (space, prefix) in &prefixes {
            batch.put(&self.meta, meta::sweep_key(*space, *prefix), Slice::new());
            self.touched.note(*space, &prefix.to_be_bytes(), self.groups + 1);
        }
        if last > self.last.max(appended) {
            let (key, value) = meta::clock_row(last);
            batch.put(&self.meta, key, value);
        }
        if batch.is_empty() {
            return Ok(None);
        }
        #[cfg(test)]
        if shared.fail_next_flush.swap(false, Ordering::AcqRel) {
            return Err(Error::Failed);
        }
        self.engine.commit(batch)?;

        self.groups += 1;
        self.last = last;
        let times = entries.first().zip(entries.last()).map(|(first, last)| (first.time, last.time));
        self.log.grow(times, log_bytes, wall_ms);
        self.log.grow_images(image_times, image_bytes, wall_ms);
        for (space, prefix) in prefixes {
            self.sweeper.add(space, prefix);
        }
        Ok(Some((self.publish(shared), entries)))
    }

    /// Returns the bytes of the images.
    fn stage_images(&mut self, batch: &mut Batch, images: Vec<(ClusterTime, u32, Slice)>, wall_ms: u64) -> Result<u64> {
        if images.is_empty() {
            return Ok(0);
        }
        let table = self.log.images_table(&mut self.engine)?;
        let above = self.log.images_bytes();
        let mut added = 0;
        for (time, index, before) in images {
            let (key, value, bytes) = image::row(time, index, &before, above + added, wall_ms);
            batch.put(&table, key, value);
            added += bytes;
        }
        Ok(added)
    }

    fn stage_log(&self, batch: &mut Batch, blocks: Vec<block::Builder>, wall_ms: u64) -> Result<(Vec<LogEntry>, u64)> {
        let table = self.log.table().ok_or_else(|| Error::Bug("the log has no segment".into()))?;
        let mut added = 0;
        let mut entries = Vec::new();
        for block in blocks {
            let bytes = block.bytes();
            if let Some((key, value, slices)) = block.finish(self.log.segment_bytes() + added, wall_ms) {
                batch.put(table, key, value);
                entries.extend(slices);
                added += bytes;
            }
        }
        Ok((entries, added))
    }

    fn publish(&self, shared: &Shared) -> Arc<Snapshot> {
        let now = Arc::new(self.snapshot());
        shared.snapshot.store(Arc::clone(&now));
        now
    }

    /// Starts new segments and drops old ones.
    fn keep_house(&mut self, shared: &Shared) -> Result<()> {
        self.engine.keep_small()?;
        if self.log.roll_over(&mut self.engine, self.wall_ms)? {
            self.publish(shared);
        }
        if let Some(life) = shared.image_life() {
            let gone = self.log.expire_images(&mut self.engine, life, self.wall_ms)?;
            if !gone.is_empty() {
                self.publish(shared);
                gone.into_iter().try_for_each(|table| self.engine.drop_table(table))?;
            }
        }
        let Some((count, lost_before)) = self.log.excess(self.wall_ms) else {
            return Ok(());
        };
        // First say durably that the history is lost, then lose it: an interruption in between is
        // finished when the store is opened.
        let mut batch = self.engine.batch();
        let (key, value) = meta::lost_row(lost_before);
        batch.put(&self.meta, key, value);
        self.engine.commit(batch)?;
        let gone = self.log.forget(count, lost_before);
        self.publish(shared);
        gone.into_iter().try_for_each(|table| self.engine.drop_table(table))
    }

    fn sweep(&mut self, shared: &Shared) -> Result<()> {
        if self.sweeper.step(&mut self.engine, &self.tables, &self.meta)? {
            self.publish(shared);
        }
        Ok(())
    }

    /// Runs work beside the path of a write; if it fails, the store takes no more writes.
    fn guard(&mut self, shared: &Shared, doing: &str, work: fn(&mut Self, &Shared) -> Result<()>) {
        if shared.failed.load(Ordering::Acquire) {
            return self.sweeper.stop();
        }
        if let Err(error) = work(self, shared) {
            tracing::error!(%error, source = ?error, "could not {doing}: no more writes until the store is reopened");
            shared.failed.store(true, Ordering::Release);
            self.sweeper.stop();
        }
    }
}

fn apply(write: &mut dyn Write, group: &mut Group, heads: &mut Heads, base: &Arc<Snapshot>) -> Result<()> {
    let start = group.begin();
    let applied = catch_unwind(AssertUnwindSafe(|| write.apply(&mut Commit::new(group, Some(heads), base))));
    let outcome = applied.unwrap_or_else(|_| Err(Error::Bug("a write panicked".into())));
    group.end(start, outcome)
}

fn finish(write: Box<dyn Write>, outcome: Result<()>) {
    quietly("the acknowledgement of a write", || write.finish(outcome));
}

/// A bug in a caller's code must not stop everybody's commit loop.
fn quietly(what: &str, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!("{what} panicked");
    }
}
