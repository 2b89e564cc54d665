//! Writes waiting for the commit loop.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

use crate::{Error, Write};

/// A bounded queue with one consumer.
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    max: usize,
}

#[derive(Default)]
struct State {
    writes: VecDeque<Box<dyn Write>>,
    closed: bool,
}

/// What the consumer finds.
pub(crate) enum Next {
    /// There are writes.
    Writes,
    /// Nothing is waiting.
    Idle,
    /// Nothing is waiting and nothing will come.
    Closed,
}

/// What the consumer does when the queue is empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenEmpty {
    Wait,
    Return,
}

impl Queue {
    pub(crate) fn new(max: usize) -> Self {
        Self { state: Mutex::default(), filled: Condvar::new(), max }
    }

    /// Queues a write, or hands it back with the reason.
    pub(crate) fn push(&self, write: Box<dyn Write>) -> Result<(), (Box<dyn Write>, Error)> {
        let mut state = self.state.lock();
        if state.closed {
            return Err((write, Error::Closed));
        }
        if state.writes.len() >= self.max {
            return Err((write, Error::Busy));
        }
        state.writes.push_back(write);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Moves what is waiting to the end of `taken`, as far as it then holds `max` writes.
    pub(crate) fn take(&self, taken: &mut VecDeque<Box<dyn Write>>, max: usize, when_empty: WhenEmpty) -> Next {
        let mut state = self.state.lock();
        loop {
            let room = max.saturating_sub(taken.len()).min(state.writes.len());
            if taken.is_empty() && room == state.writes.len() {
                std::mem::swap(taken, &mut state.writes);
            } else {
                taken.extend(state.writes.drain(..room));
            }
            if !taken.is_empty() {
                return Next::Writes;
            }
            if state.closed {
                return Next::Closed;
            }
            if when_empty == WhenEmpty::Return {
                return Next::Idle;
            }
            self.filled.wait(&mut state);
        }
    }

    /// Lets nothing more in; the consumer still gets what is waiting.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
    }
}
