//! How much memory all watchers together may take beyond the tail: what was read ahead for them, and replies that are on
//! their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory that watchers share. It is never waited for: a watcher that finds little left takes little and keeps
/// nothing ahead, so that a slow one costs the others nothing but speed.
#[derive(Debug)]
pub(crate) struct Allowance {
    bytes_max: usize,
    used: AtomicUsize,
}

impl Allowance {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, used: AtomicUsize::new(0) })
    }

    /// How much there is.
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// How much is left.
    pub(crate) fn left(&self) -> usize {
        self.bytes_max.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// Takes a part, whether or not so much is left.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Share {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Share { allowance: Arc::clone(self), bytes }
    }
}

/// A part of the watchers' memory; leaving scope gives it back.
#[derive(Debug)]
pub struct Share {
    allowance: Arc<Allowance>,
    bytes: usize,
}

impl Share {
    /// Changes its size.
    pub(crate) fn resize(&mut self, bytes: usize) {
        self.allowance.used.fetch_add(bytes, Ordering::Relaxed);
        self.allowance.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.allowance.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_there_again() {
        let allowance = Allowance::new(100);
        let mut one = allowance.take(30);
        let two = allowance.take(90);
        assert_eq!(allowance.left(), 0);
        drop(two);
        assert_eq!(allowance.left(), 70);
        one.resize(50);
        assert_eq!(allowance.left(), 50);
        drop(one);
        assert_eq!(allowance.left(), 100);
    }
}
