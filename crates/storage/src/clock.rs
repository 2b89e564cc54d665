//! Wall time as an argument, and the hybrid clock made from it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::ClusterTime;

/// Tells the wall time.
pub trait Clock: Send + Sync {
    /// Unix milliseconds. May go back: cluster times do not follow it there.
    fn now_ms(&self) -> u64;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The cluster time that follows `last` when the wall shows `wall_ms`: the seconds of the wall but
/// never less than the last ones, the increment counting from 1 within a second.
pub(crate) fn after(last: ClusterTime, wall_ms: u64) -> ClusterTime {
    let wall_seconds = u32::try_from(wall_ms / 1000).unwrap_or(u32::MAX);
    if wall_seconds > last.seconds {
        return ClusterTime::new(wall_seconds, 1);
    }
    match last.increment.checked_add(1) {
        Some(increment) => ClusterTime::new(last.seconds, increment),
        None => ClusterTime::new(last.seconds.saturating_add(1), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hybrid_clock_never_goes_back() {
        let at = ClusterTime::new;
        assert_eq!(after(at(0, 0), 5_999), at(5, 1));
        assert_eq!(after(at(5, 1), 5_999), at(5, 2));
        assert_eq!(after(at(5, 2), 6_000), at(6, 1));
        assert_eq!(after(at(6, 1), 1_000), at(6, 2));
        assert_eq!(after(at(6, u32::MAX), 1_000), at(7, 1));
    }
}
