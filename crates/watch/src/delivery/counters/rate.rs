//! How many in a second, lately.

use std::time::Duration;

/// The window, in seconds.
const SECONDS: usize = 10;

/// Counts by the second.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// The second, and how many came in it; a second has its place by its remainder.
    counts: [(i64, u64); SECONDS],
}

impl Rate {
    pub(super) fn add(&mut self, now_ms: i64) {
        let second = now_ms.div_euclid(1000);
        if let Some(count) = self.counts.get_mut(place(second)) {
            if count.0 != second {
                *count = (second, 0);
            }
            count.1 += 1;
        }
    }

    /// Over the seconds before this one and what has passed of it, or as long as it runs.
    pub(super) fn per_second(&self, now_ms: i64, running_for: Duration) -> f64 {
        let second = now_ms.div_euclid(1000);
        let first = second - i64::try_from(SECONDS).unwrap_or(0) + 1;
        let lately = self.counts.iter().filter(|count| (first..=second).contains(&count.0));
        let sum: u64 = lately.map(|count| count.1).sum();
        let window = Duration::from_millis(u64::try_from(now_ms - first * 1000).unwrap_or(0));
        let window = window.min(running_for).max(Duration::from_millis(1));
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than a float has")]
        let sum = sum as f64;
        sum / window.as_secs_f64()
    }
}

fn place(second: i64) -> usize {
    usize::try_from(second.rem_euclid(i64::try_from(SECONDS).unwrap_or(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_seconds_count() {
        let mut rate = Rate::default();
        let long = Duration::from_secs(1_000);
        for ms in 0..20_000 {
            rate.add(ms);
        }
        assert!((rate.per_second(20_000, long) - 1_000.0).abs() < 1.0);
        assert!((rate.per_second(24_500, long) - 5_000.0 / 9.5).abs() < 1.0);
        assert!(rate.per_second(40_000, long) < 0.1);
    }

    #[test]
    fn a_young_watch_is_measured_by_its_age() {
        let mut rate = Rate::default();
        for _ in 0..100 {
            rate.add(50_100);
        }
        assert!((rate.per_second(50_200, Duration::from_millis(200)) - 500.0).abs() < 1.0);
    }
}
