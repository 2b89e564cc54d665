//! How long to wait before trying again.

use std::fmt::Display;
use std::time::{Duration, Instant};

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

    /// Tries of something that has not failed yet.
    pub(crate) fn tries(&self) -> Tries {
        Tries { backoff: self.clone(), failed: None }
    }
}

/// Tries of one thing, with growing pauses between them.
#[derive(Debug)]
pub(crate) struct Tries {
    backoff: Backoff,
    /// Since when, and how often.
    failed: Option<(Instant, u32)>,
}

impl Tries {
    /// After a failure that may pass: waits, and says whether it is to be tried again.
    pub(crate) async fn again(&mut self, what: &str, error: &(impl Display + Sync)) -> bool {
        let (since, attempt) = *self.failed.get_or_insert_with(|| (Instant::now(), 0));
        if since.elapsed() >= self.backoff.give_up_after {
            return false;
        }
        self.failed = Some((since, attempt.saturating_add(1)));
        let wait = self.backoff.delay(attempt, rand::random());
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(attempt = attempt + 1, wait_ms, "{what} failed, trying again: {error}");
        tokio::time::sleep(wait).await;
        true
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

    #[tokio::test]
    async fn tries_end_when_the_time_is_up() {
        let millis = Duration::from_millis;
        let backoff = Backoff { first: millis(1), longest: millis(2), give_up_after: millis(20) };
        let mut tries = backoff.tries();
        let mut failures = 1;
        while tries.again("this", &"no").await {
            failures += 1;
        }
        assert!(failures > 2, "{failures}");
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(0, 1.0).as_millis(), 50);
        assert_eq!(backoff.delay(0, 7.5).as_millis(), 50);
        assert_eq!(backoff.delay(0, -1.0).as_millis(), 100);
    }
}
