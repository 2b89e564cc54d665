//! Which events were dealt with, and up to where all of them were.

use std::collections::VecDeque;

use crate::Token;

/// Events under way, in the order of the stream. They may be dealt with in another order; a position may be saved once
/// everything before it was.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    /// The number of the first event under way.
    first: u64,
    under_way: VecDeque<Entry>,
    /// Behind everything that was dealt with without a gap.
    safe: Option<Token>,
}

#[derive(Debug)]
struct Entry {
    token: Token,
    /// When it happened, in milliseconds.
    at_ms: Option<i64>,
    done: bool,
}

impl Acks {
    /// An event came; gives its number.
    pub(crate) fn begin(&mut self, token: Token) -> u64 {
        self.begin_at(token, None)
    }

    /// An event came that happened then; gives its number.
    pub(crate) fn begin_at(&mut self, token: Token, at_ms: Option<i64>) -> u64 {
        let number = self.next_number();
        self.under_way.push_back(Entry { token, at_ms, done: false });
        number
    }

    /// An event was dealt with. Says whether the position has moved on.
    pub(crate) fn done(&mut self, number: u64) -> bool {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(entry) = at.and_then(|at| self.under_way.get_mut(at)) {
            entry.done = true;
        }
        let mut moved = false;
        while self.under_way.front().is_some_and(|entry| entry.done) {
            if let Some(entry) = self.under_way.pop_front() {
                self.safe = Some(entry.token);
                self.first += 1;
                moved = true;
            }
        }
        moved
    }

    /// A position behind all events that came so far, from a stream that had nothing more to tell.
    pub(crate) fn quiet(&mut self, token: Token) -> bool {
        let idle = self.under_way.is_empty();
        if idle {
            self.safe = Some(token);
        }
        idle
    }

    /// When the first event under way happened.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        self.under_way.front().and_then(|entry| entry.at_ms)
    }

    /// All events with lower numbers were dealt with.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the next event.
    pub(crate) fn next_number(&self) -> u64 {
        self.first + u64::try_from(self.under_way.len()).unwrap_or(u64::MAX)
    }

    /// How many events are under way.
    pub(crate) fn count(&self) -> usize {
        self.under_way.len()
    }

    /// The position from which a stream can go on without losing anything.
    pub(crate) fn safe(&self) -> Option<&Token> {
        self.safe.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: u32) -> Token {
        Token::parse(&format!("82{n:04}")).unwrap()
    }

    #[test]
    fn a_position_is_never_ahead_of_what_was_dealt_with() {
        let mut acks = Acks::default();
        let numbers: Vec<u64> = (0..4).map(|n| acks.begin_at(token(n), Some(i64::from(n)))).collect();
        assert!(!acks.done(numbers[2]));
        assert!(!acks.done(numbers[1]));
        assert_eq!((acks.safe(), acks.oldest_ms()), (None, Some(0)));
        assert!(!acks.quiet(token(9)));
        assert!(acks.done(numbers[0]));
        assert_eq!(acks.safe(), Some(&token(2)));
        assert_eq!((acks.count(), acks.oldest_ms()), (1, Some(3)));
        // A second word about the same event changes nothing.
        assert!(!acks.done(numbers[0]));
        assert!(acks.done(numbers[3]));
        assert_eq!(acks.safe(), Some(&token(3)));
        assert!(acks.quiet(token(9)));
        assert_eq!(acks.safe(), Some(&token(9)));
        assert_eq!(acks.begin(token(10)), 4);
    }
}
