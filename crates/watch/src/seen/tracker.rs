//! Keeping a store up to date while events are delivered.

use std::collections::HashMap;

use super::{BoxedSeen, SeenChange, SeenState, change};
use crate::{Event, Result};

/// What is delivered, on its way to the store.
pub(crate) struct Tracker {
    seen: BoxedSeen,
    state: SeenState,
    /// By the numbers of their events.
    under_way: HashMap<u64, SeenChange>,
    delivered: Vec<SeenChange>,
    /// All events below this number, and everything known before, are all documents.
    complete_at: Option<u64>,
}

impl Tracker {
    pub(crate) fn new(seen: BoxedSeen, state: SeenState) -> Self {
        Self { seen, state, under_way: HashMap::new(), delivered: Vec::new(), complete_at: None }
    }

    pub(crate) fn seen(&self) -> &BoxedSeen {
        &self.seen
    }

    /// Whether all documents have to be read before the stream, because it is not known how they were.
    pub(crate) fn has_to_learn(&self, is_new: bool) -> bool {
        match self.state {
            SeenState::Partial => is_new,
            SeenState::Learning => true,
            SeenState::Complete => false,
        }
    }

    /// The stream, not the documents, gives what comes now; the next event has this number.
    pub(crate) fn documents_are_over(&mut self, next_number: u64) {
        if self.state != SeenState::Complete {
            self.complete_at.get_or_insert(next_number);
        }
    }

    /// An event is delivered under a number.
    pub(crate) fn came(&mut self, number: u64, event: &Event) {
        if let Some(change) = change(event) {
            self.under_way.insert(number, change);
        }
    }

    /// It was dealt with.
    pub(crate) fn done(&mut self, number: u64) {
        self.delivered.extend(self.under_way.remove(&number));
    }

    /// Brings all to the store. Everything below `first` was dealt with.
    pub(crate) async fn flush(&mut self, first: u64) -> Result<()> {
        if !self.delivered.is_empty() {
            self.seen.change(&self.delivered).await?;
            self.delivered.clear();
        }
        if self.complete_at.is_some_and(|at| first >= at) {
            self.seen.set_state(SeenState::Complete).await?;
            self.state = SeenState::Complete;
            self.complete_at = None;
        }
        Ok(())
    }
}
