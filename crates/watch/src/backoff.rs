//! How long to wait before trying again.

use std::time::Duration;

/// Waiting times that double from try to try, with a limit on the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second try. Default 100 ms.
    pub first: Duration,
    /// The longest single wait. Default 5 s.
    pub longest: Duration,
    /// Without any success for so long, the error is handed to the caller. Default 5 minutes:
    /// longer than a server takes to restart or a set to elect.
    pub give_up_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
            give_up_after: Duration::from_secs(300),
        }
    }
}

impl Backoff {
    /// The wait before try number `attempt` (from 0). `jitter` is in `0.0..=1.0` and takes away up
    /// to half, so that many watchers of one server do not come back at the same instant.
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(attempt.min(20)));
        let wait = doubled.min(self.longest);
        wait.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest() {
        let backoff = Backoff::default();
        let waits: Vec<u128> = (0..8).map(|attempt| backoff.delay(attempt, 0.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.delay(u32::MAX, 0.0), backoff.longest);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(0, 1.0).as_millis(), 50);
        assert_eq!(backoff.delay(0, 7.5).as_millis(), 50);
        assert_eq!(backoff.delay(0, -1.0).as_millis(), 100);
    }
}
