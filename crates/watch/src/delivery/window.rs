//! Which events came lately, so that none is delivered twice.

use std::collections::hash_map::RandomState;
use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use crate::Token;

/// How far back events are known again by their tokens. What is older than either limit is forgotten.
///
/// It is kept in memory: a program that begins again knows nothing of what came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// So many events; each takes some 60 bytes.
    pub events: usize,
    /// For so long.
    pub time: Duration,
}

impl Default for Window {
    /// 100,000 events, ten minutes.
    fn default() -> Self {
        Self { events: 100_000, time: Duration::from_secs(600) }
    }
}

/// The tokens that came lately, as hashes of 128 bits: two that are equal by chance will not be seen.
#[derive(Debug)]
pub(super) struct Lately {
    window: Window,
    hashers: [RandomState; 2],
    known: HashSet<u128>,
    in_order: VecDeque<(u128, Instant)>,
}

impl Lately {
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            hashers: [RandomState::new(), RandomState::new()],
            known: HashSet::new(),
            in_order: VecDeque::new(),
        }
    }

    /// Notes a token. False: it came before.
    pub(super) fn is_new(&mut self, token: &Token, now: Instant) -> bool {
        let time = self.window.time;
        self.forget_while(|_, at| now.duration_since(at) > time);
        let [high, low] = self.hashers.each_ref().map(|hasher| hasher.hash_one(token.as_raw().as_bytes()));
        let hash = (u128::from(high) << 64) | u128::from(low);
        let is_new = self.known.insert(hash);
        if is_new {
            self.in_order.push_back((hash, now));
            let events = self.window.events.max(1);
            self.forget_while(|known, _| known > events);
        }
        is_new
    }

    fn forget_while(&mut self, is_old: impl Fn(usize, Instant) -> bool) {
        while let Some((oldest, at)) = self.in_order.front()
            && is_old(self.in_order.len(), *at)
        {
            self.known.remove(oldest);
            self.in_order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_tokens_are_known_within_both_limits() {
        let token = |n: u32| Token::parse(&format!("82{n:04}")).unwrap();
        let began = Instant::now();
        let mut lately = Lately::new(Window { events: 3, time: Duration::from_secs(10) });
        assert!(lately.is_new(&token(1), began));
        assert!(lately.is_new(&token(2), began));
        assert!(!lately.is_new(&token(1), began));
        assert!(lately.is_new(&token(3), began + Duration::from_secs(1)));
        // The first is forgotten for the fourth, the second because of its age.
        assert!(lately.is_new(&token(4), began + Duration::from_secs(1)));
        assert!(lately.is_new(&token(1), began + Duration::from_secs(2)));
        assert!(!lately.is_new(&token(3), began + Duration::from_secs(11)));
        assert!(lately.is_new(&token(3), began + Duration::from_secs(12)));
    }
}
