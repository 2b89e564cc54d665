//! `maxTimeMS`: how long the commands on one cursor may compute, taken together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millstream_value::Code;

use crate::{Error, Result};

/// Documents between two looks at the clock: a look costs as much as a few documents.
pub(crate) const LOOK_EVERY: u64 = 64;

/// A limit on time, or none. Clones share what is left of it.
#[derive(Clone, Default)]
pub struct TimeLimit(Option<Arc<Budget>>);

struct Budget {
    began: Instant,
    /// Nanoseconds after `began` at which the time is over. Between two commands: [`PAUSED`].
    over_ns: AtomicU64,
    /// What is left, between two commands.
    left_ns: AtomicU64,
}

const PAUSED: u64 = u64::MAX;

impl TimeLimit {
    /// So long from now on.
    #[must_use]
    pub fn of(limit: Duration) -> Self {
        let over_ns = AtomicU64::new(nanoseconds(limit));
        Self(Some(Arc::new(Budget { began: Instant::now(), over_ns, left_ns: AtomicU64::new(0) })))
    }

    /// Fails once the time is over.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.0 {
            Some(budget) if budget.now_ns() > budget.over_ns.load(Ordering::Relaxed) => {
                Err(Error::invalid(Code::MaxTimeMSExpired, "operation exceeded time limit"))
            }
            _ => Ok(()),
        }
    }

    /// Time between two commands does not count.
    pub(crate) fn pause(&self) {
        let Some(budget) = &self.0 else { return };
        let over_ns = budget.over_ns.swap(PAUSED, Ordering::Relaxed);
        if over_ns != PAUSED {
            budget.left_ns.store(over_ns.saturating_sub(budget.now_ns()), Ordering::Relaxed);
        }
    }

    /// The next command goes on with what is left.
    pub(crate) fn resume(&self) {
        let Some(budget) = &self.0 else { return };
        if budget.over_ns.load(Ordering::Relaxed) == PAUSED {
            let left_ns = budget.left_ns.load(Ordering::Relaxed);
            budget.over_ns.store(budget.now_ns().saturating_add(left_ns), Ordering::Relaxed);
        }
    }
}

impl Budget {
    fn now_ns(&self) -> u64 {
        nanoseconds(self.began.elapsed())
    }
}

/// Less than [`PAUSED`]: nothing computes for six hundred years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(PAUSED).min(PAUSED - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_of_commands_counts() {
        assert!(TimeLimit::default().check().is_ok());
        let none_left = TimeLimit::of(Duration::ZERO);
        assert!(none_left.check().is_err());
        none_left.pause();
        assert!(none_left.check().is_ok());
        none_left.resume();
        assert!(none_left.check().is_err());
        let plenty = TimeLimit::of(Duration::MAX);
        plenty.pause();
        plenty.resume();
        assert!(plenty.check().is_ok());
    }
}
