//! What `serverStatus` counts. Relaxed: each number stands alone.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::commands::{Command, Operation, TABLE};

/// Counts since the start.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) connections_created: Count,
    pub(crate) connections_rejected: Count,
    pub(crate) connections_active: Gauge,
    pub(crate) connections_current: Gauge,
    pub(crate) bytes_in: Count,
    pub(crate) bytes_out: Count,
    pub(crate) requests: Count,
    /// Change streams opened, and those of them with `showExpandedEvents`.
    pub(crate) change_streams: Count,
    pub(crate) expanded_streams: Count,
    /// Change streams that ended because an event was too large.
    pub(crate) large_events_failed: Count,
    operations: [Count; Operation::ALL.len()],
    /// By row of the command table: how often run, how often failed.
    commands: Vec<(Count, Count)>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            connections_created: Count::default(),
            connections_rejected: Count::default(),
            connections_active: Gauge::default(),
            connections_current: Gauge::default(),
            bytes_in: Count::default(),
            bytes_out: Count::default(),
            requests: Count::default(),
            change_streams: Count::default(),
            expanded_streams: Count::default(),
            large_events_failed: Count::default(),
            operations: Default::default(),
            commands: TABLE.iter().map(|_| Default::default()).collect(),
        }
    }

    /// Counts a command that ran.
    pub(crate) fn command(&self, row: usize, command: &Command, failed: bool) {
        if let Some(count) = self.operations.get(command.operation.index()) {
            count.add(1);
        }
        if let Some((total, failures)) = self.commands.get(row) {
            total.add(1);
            failures.add(u64::from(failed));
        }
    }

    /// Each `opcounters` field.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (Operation, i64)> + '_ {
        Operation::ALL.into_iter().zip(self.operations.iter().map(Count::get))
    }

    /// Each command that was run: its name, runs and failures.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (&'static str, i64, i64)> + '_ {
        TABLE
            .iter()
            .zip(&self.commands)
            .map(|(command, (total, failed))| (command.name, total.get(), failed.get()))
            .filter(|&(_, total, _)| total > 0)
    }
}

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The number as BSON holds it.
    pub(crate) fn get(&self) -> i64 {
        i64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
    }
}

/// A number that grows and shrinks.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    /// One more, for as long as the guard lives.
    pub(crate) fn enter(&self) -> Entered<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(self)
    }

    pub(crate) fn get(&self) -> i32 {
        i32::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(i32::MAX)
    }
}

/// One of a [`Gauge`].
#[derive(Debug)]
pub(crate) struct Entered<'a>(&'a Gauge);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
