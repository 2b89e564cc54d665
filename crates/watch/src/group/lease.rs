//! How long a member may work, and how long others have to wait for it. No clock is compared with another.
//!
//! A member counts from the moment *before* it sent the renewal that the servers confirmed. Another counts from a moment
//! *after* it saw that renewal, for at least as long, and ends the member only if there was no newer renewal, which the
//! servers check. So the member has always stopped before. It stops a tenth earlier still, because stopping takes time.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A member's own lease.
#[derive(Debug)]
pub(super) struct Lease {
    began: Instant,
    length: Duration,
    /// In nanoseconds since `began`.
    until: AtomicU64,
}

impl Lease {
    /// One that was asked for at an instant, and granted since.
    pub(super) fn new(sent: Instant, length: Duration) -> Self {
        let lease = Self { began: sent, length, until: AtomicU64::new(0) };
        lease.renewed(sent);
        lease
    }

    /// A renewal that was sent at an instant was confirmed.
    pub(super) fn renewed(&self, sent: Instant) {
        let usable = self.length - self.length / 10;
        let until = (sent + usable).saturating_duration_since(self.began);
        self.until.fetch_max(u64::try_from(until.as_nanos()).unwrap_or(u64::MAX), Ordering::AcqRel);
    }

    /// The servers say that the member is none any more.
    pub(super) fn end(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// Whether work may be done at this instant.
    pub(super) fn holds(&self, now: Instant) -> bool {
        now < self.until()
    }

    pub(super) fn length(&self) -> Duration {
        self.length
    }

    fn until(&self) -> Instant {
        self.began + Duration::from_nanos(self.until.load(Ordering::Acquire))
    }

    /// Does something only while the lease holds; none: it was dropped half-way, because the lease is over.
    ///
    /// The clock is looked at before every step of it: a process that was stopped for a while may find its work ready to
    /// go on before it finds that the time is over.
    pub(super) async fn guard<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut step = pin!(poll_fn(|context| {
            if self.holds(Instant::now()) { work.as_mut().poll(context).map(Some) } else { Poll::Ready(None) }
        }));
        loop {
            tokio::select! {
                biased;
                done = &mut step => return done,
                // Renewed meanwhile, or over, as the next step sees.
                () = sleep_until(self.until()) => {}
            }
        }
    }
}

/// Somebody whose renewals are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) id: String,
    /// The number of its last renewal; none for one that owns partitions and is no member.
    pub(super) beat: Option<i64>,
    pub(super) lease: Duration,
}

/// Since when others have not renewed.
#[derive(Debug)]
pub(super) struct Observed {
    /// Looks that are further apart prove nothing about what was between: it was this process that was away, or the
    /// servers were, and everybody gets the time to come back.
    gap_max: Duration,
    last: Option<Instant>,
    since: HashMap<String, (Watched, Instant)>,
}

impl Observed {
    pub(super) fn new(gap_max: Duration) -> Self {
        Self { gap_max, last: None, since: HashMap::new() }
    }

    /// Takes in who was there, read before `now`; gives those who have not renewed for as long as their lease.
    pub(super) fn look(&mut self, now: Instant, present: Vec<Watched>) -> Vec<Watched> {
        if self.last.is_none_or(|last| now.saturating_duration_since(last) > self.gap_max) {
            self.since.clear();
        }
        self.last = Some(now);
        let mut before = std::mem::take(&mut self.since);
        let mut overdue = Vec::new();
        for watched in present {
            let since = match before.remove(&watched.id) {
                Some((old, since)) if old == watched => since,
                _ => now,
            };
            if now.saturating_duration_since(since) >= watched.lease {
                overdue.push(watched.clone());
            }
            self.since.insert(watched.id.clone(), (watched, since));
        }
        overdue
    }

    /// When the first of them will be overdue, if it does not renew.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.since.values().map(|(watched, since)| *since + watched.lease).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(3);

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_lease_counts_from_before_the_renewal_was_sent_and_ends_a_tenth_early() {
        let sent = Instant::now();
        let lease = Lease::new(sent, LENGTH);
        assert!(lease.holds(sent + seconds(2.69)));
        assert!(!lease.holds(sent + seconds(2.7)));
        lease.renewed(sent + seconds(1.0));
        assert!(lease.holds(sent + seconds(3.69)));
        // An answer that comes late, to an older renewal, takes nothing away.
        lease.renewed(sent + seconds(0.5));
        assert!(lease.holds(sent + seconds(3.69)));
        lease.end();
        assert!(!lease.holds(sent));
    }

    #[tokio::test]
    async fn work_is_dropped_when_the_lease_is_over() {
        let length = Duration::from_millis(50);
        let lease = Lease::new(Instant::now(), length);
        let began = Instant::now();
        assert_eq!(lease.guard(std::future::pending::<()>()).await, None);
        assert!(began.elapsed() >= length.mul_f64(0.8));
        // What is ready is not even begun.
        assert_eq!(lease.guard(async { 7 }).await, None);

        let lease = Lease::new(Instant::now(), seconds(1.0));
        assert_eq!(lease.guard(async { 7 }).await, Some(7));
        let slow = async {
            for _ in 0..12 {
                tokio::time::sleep(seconds(0.1)).await;
                lease.renewed(Instant::now());
            }
            7
        };
        assert_eq!(lease.guard(slow).await, Some(7), "renewed meanwhile");
    }

    fn watched(id: &str, beat: i64) -> Watched {
        Watched { id: id.to_owned(), beat: Some(beat), lease: LENGTH }
    }

    #[test]
    fn who_does_not_renew_for_the_length_of_its_lease_is_overdue() {
        let began = Instant::now();
        let at = |after: f64| began + seconds(after);
        let mut observed = Observed::new(seconds(1.5));
        for n in 0..6 {
            let now = f64::from(n) * 0.5;
            // One renews, the other does not.
            assert_eq!(observed.look(at(now), vec![watched("a", i64::from(n)), watched("b", 7)]), []);
        }
        assert_eq!(observed.next_due(), Some(at(3.0)));
        assert_eq!(observed.look(at(2.99), vec![watched("a", 7), watched("b", 7)]), []);
        assert_eq!(observed.look(at(3.0), vec![watched("a", 8), watched("b", 7)]), [watched("b", 7)]);
        assert_eq!(observed.look(at(3.1), vec![watched("a", 8)]), []);
    }

    #[test]
    fn what_was_between_two_distant_looks_proves_nothing() {
        let began = Instant::now();
        let at = |after: f64| began + seconds(after);
        let mut observed = Observed::new(seconds(1.5));
        assert_eq!(observed.look(at(0.0), vec![watched("a", 1)]), []);
        assert_eq!(observed.look(at(1.0), vec![watched("a", 1)]), []);
        // This process was stopped for ten seconds.
        assert_eq!(observed.look(at(11.0), vec![watched("a", 1)]), []);
        for n in 1..6 {
            assert_eq!(observed.look(at(11.0 + f64::from(n) * 0.5), vec![watched("a", 1)]), []);
        }
        assert_eq!(observed.look(at(14.0), vec![watched("a", 1)]), [watched("a", 1)]);
    }
}
