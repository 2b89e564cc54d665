//! What has to be done from time to time: the caller has the clock and the threads.

use std::time::Duration;

use millstream_storage::{Commit, Write};
use millstream_value::ClusterTime;

use crate::write::forget_old;
use crate::{Db, Result, ddl};

/// How often [`Db::periodic_noop`], [`Db::sweep`] and [`Db::warn_of_late_streams`] want to be called.
pub struct Upkeep;

impl Upkeep {
    /// The pause between two looks at transactions that are too old.
    pub const EXPIRY_MS: u64 = 500;
    /// The pause between two looks at the streams that may fall out of the log.
    pub const LATE_MS: u64 = 2_000;
    /// The pause between two entries of a log in which nothing happens (CS-11.1.4). What has expired is removed after
    /// a write, so at least this often (CS-9.5.1).
    pub const NOOP_MS: u64 = 10_000;
    /// The pause between two sweeps of idle cursors and old sessions.
    pub const SWEEP_MS: u64 = 60_000;
}

impl Db {
    /// Writes a noop if nothing was written for [`Upkeep::NOOP_MS`], so that idle streams stay resumable.
    pub fn periodic_noop(&self) {
        let newest = self.window().newest_wall_ms;
        if !self.is_closed() && self.now_ms().saturating_sub(newest) >= Upkeep::NOOP_MS {
            self.store().submit(Box::new(Noop));
        }
    }

    /// Brings the log up to a time that is at most a moment ahead of the clock.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn advance_to(&self, time: ClusterTime) -> Result<()> {
        while self.committed() < time {
            ddl::in_loop(self, |commit, _| {
                note(commit);
                Ok(())
            })?;
            if self.committed() < time {
                std::thread::sleep(ADVANCE_PAUSE);
            }
        }
        Ok(())
    }

    /// Ends idle cursors and forgets old retryable writes.
    pub fn sweep(&self, session_alive: impl Fn(&[u8; 16]) -> bool) {
        self.cursors().end_idle(&session_alive);
        self.cursors().end_older(self.history().oldest(self.now_ms()));
        self.forget_transactions(session_alive);
        if !self.is_closed() {
            forget_old(self.store(), i64::try_from(self.now_ms()).unwrap_or(i64::MAX));
        }
    }
}

/// Between two looks at the clock while it catches up.
const ADVANCE_PAUSE: Duration = Duration::from_millis(50);

fn note(commit: &mut Commit<'_>) {
    let time = commit.tick();
    let stamp = millstream_change::entry::Stamp { time, wall_ms: commit.wall_ms(), retry: None };
    commit.append(time, millstream_change::entry::noop(stamp, "periodic noop"));
}

struct Noop;

impl Write for Noop {
    fn apply(&mut self, commit: &mut Commit<'_>) -> millstream_storage::Result<()> {
        note(commit);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: millstream_storage::Result<()>) {
        if let Err(error) = outcome {
            tracing::debug!(%error, "could not write the periodic noop");
        }
    }
}
