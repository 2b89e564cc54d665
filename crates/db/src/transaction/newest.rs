//! The newest state that a transaction may go over to: the durable one, or one that is on its way to the disk.
//!
//! What many transactions want to change would otherwise rest while the disk works: the next one begins with what the
//! last has left in the commit loop. It cannot become durable before that does, for there is one order and one journal;
//! and if the disk fails, nothing is committed any more. Its client hears of it only when the last one is durable: else
//! it could see something, and another transaction that begins later could not.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use millstream_value::ClusterTime;

use super::locks::Ending;
use crate::shared::State;

/// A state and its place in the log.
#[derive(Clone)]
pub(crate) struct Timed {
    pub(crate) state: Arc<State>,
    pub(crate) time: ClusterTime,
    /// The transaction with which it becomes durable, if it is not yet.
    pub(super) leader: Option<Arc<Ending>>,
}

/// Where the newest state is found.
pub(crate) struct Newest {
    published: Arc<ArcSwap<State>>,
    ahead: ArcSwapOption<Timed>,
}

impl Timed {
    /// A state that is durable, or older than one.
    pub(crate) fn durable(state: Arc<State>) -> Self {
        let time = state.time();
        Self { state, time, leader: None }
    }
}

impl Newest {
    pub(crate) fn new(published: Arc<ArcSwap<State>>) -> Self {
        Self { published, ahead: ArcSwapOption::empty() }
    }

    pub(crate) fn get(&self) -> Timed {
        let durable = Timed::durable(self.published.load_full());
        match &*self.ahead.load() {
            Some(ahead) if ahead.time > durable.time => Timed::clone(ahead),
            _ => durable,
        }
    }

    /// A state that will be durable with the group that the commit loop is making.
    pub(super) fn lead(&self, ahead: Timed) {
        self.ahead.store(Some(Arc::new(ahead)));
    }

    /// The group is durable, or lost: what led it is not needed any more.
    pub(super) fn settle(&self, time: ClusterTime) {
        if self.ahead.load().as_ref().is_some_and(|ahead| ahead.time <= time) {
            self.ahead.store(None);
        }
    }
}
