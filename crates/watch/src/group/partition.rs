//! Which partition an event belongs to, and the task that deals with those of one partition.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use bson::RawDocument;
use tokio::sync::{Semaphore, mpsc, watch};
use xxhash_rust::xxh3::Xxh3;

use super::Fence;
use super::lease::Lease;
use crate::delivery::counters::Counters;
use crate::delivery::handle::Wish;
use crate::delivery::worker::{Work, Worker};
use crate::{Error, Event};

/// The partition of an event: the 64-bit xxh3 hash of `database.collection`, a zero byte, and the BSON document
/// `{_id: …}` with the document's `_id`, modulo the number of partitions. What concerns no document is in partition 0.
///
/// The rest of a sharded collection's document key is left out: it changes when the shard key does.
pub(super) fn partition_of(event: &Event, partitions: u32) -> u32 {
    let Some(key) = event.document_key() else { return 0 };
    let mut hash = Xxh3::new();
    hash.update(event.namespace().as_bytes());
    hash.update(&[0]);
    match only_id(key) {
        Some(id) => hash.update(id.as_bytes()),
        None => hash.update(key.as_bytes()),
    }
    u32::try_from(hash.digest() % u64::from(partitions.max(1))).unwrap_or(0)
}

fn only_id(key: &RawDocument) -> Option<std::borrow::Cow<'_, RawDocument>> {
    let id = key.get("_id").ok().flatten()?;
    if key.iter().nth(1).is_none() {
        return Some(std::borrow::Cow::Borrowed(key));
    }
    let mut only = bson::RawDocumentBuf::new();
    only.append(bson::raw::cstr!("_id"), id);
    Some(std::borrow::Cow::Owned(only))
}

/// What a partition's task tells the member.
pub(super) enum Word {
    /// An event was dealt with.
    Done(Fence, u64),
    /// One could not be, and the member has to stop.
    Failed(Error),
    /// Nothing of this partition is under way any more: the task was asked to end, or the lease was over.
    Ended(Fence),
}

/// Everything that a partition's task is told by.
pub(super) struct Orders {
    pub(super) fence: Fence,
    pub(super) lease: Arc<Lease>,
    /// How many of a member's partitions may have an event under way.
    pub(super) turns: Arc<Semaphore>,
    pub(super) work: mpsc::UnboundedReceiver<Work>,
    /// Those for this partition: to stop is to finish what is under way.
    pub(super) wishes: watch::Receiver<Wish>,
    pub(super) words: mpsc::UnboundedSender<Word>,
}

/// Deals with the events of one partition, one after the other, while the lease holds.
pub(super) async fn work<F, Fut, E>(worker: Worker<F>, orders: Orders)
where
    F: Fn(Event) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send,
    E: Display + Send + 'static,
{
    let Orders { fence, lease, turns, work, mut wishes, words } = orders;
    // The first to be made and so the last to go: when it speaks, the callback's future is gone.
    let mut lane = Lane { fence, words: words.clone(), work, counters: Arc::clone(&worker.trying.counters) };
    while let Some(Work { number, event }) = lane.work.recv().await {
        let turn = tokio::select! {
            biased;
            _ = wishes.wait_for(|wish| *wish == Wish::Stop) => None,
            turn = turns.acquire() => turn.ok(),
        };
        if turn.is_none() {
            lane.counters.taken();
            return;
        }
        let Some(Some(outcome)) = lease.guard(worker.deal_with(&event)).await else { return };
        drop(turn);
        let failed = outcome.is_err();
        let word = outcome.map_or_else(Word::Failed, |()| Word::Done(fence, number));
        if words.send(word).is_err() || failed {
            return;
        }
    }
}

/// The way to a partition's task. However that ends, it is told, and nobody waits for its turn any more.
struct Lane {
    fence: Fence,
    words: mpsc::UnboundedSender<Word>,
    work: mpsc::UnboundedReceiver<Work>,
    counters: Arc<Counters>,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.work.close();
        while self.work.try_recv().is_ok() {
            self.counters.taken();
        }
        // Nobody listens any more once the member has ended.
        let _ = self.words.send(Word::Ended(self.fence));
    }
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, rawdoc};

    use super::*;

    fn event(collection: &str, key: Option<RawDocumentBuf>) -> Event {
        let mut event = rawdoc! {"_id": {"_data": "82"}, "ns": {"db": "shop", "coll": collection}};
        if let Some(key) = key {
            event.append(bson::raw::cstr!("documentKey"), key);
        }
        Event::new(event).unwrap()
    }

    /// These numbers are a promise: members of different versions, and other languages, must agree on them.
    #[test]
    fn the_partition_of_a_document_is_always_the_same() {
        let of = |collection: &str, key| partition_of(&event(collection, Some(key)), 64);
        assert_eq!(of("orders", rawdoc! {"_id": 1}), 7);
        assert_eq!(of("orders", rawdoc! {"_id": 2}), 18);
        assert_eq!(of("orders", rawdoc! {"_id": "anna"}), 17);
        assert_eq!(of("items", rawdoc! {"_id": 1}), 23);
        // With a shard key around it too.
        assert_eq!(of("orders", rawdoc! {"region": "eu", "_id": 1}), of("orders", rawdoc! {"_id": 1}));
        assert_eq!(partition_of(&event("orders", None), 64), 0);
    }

    #[test]
    fn documents_are_spread_evenly() {
        let mut counts = [0; 64];
        for n in 0..6_400 {
            counts[partition_of(&event("orders", Some(rawdoc! {"_id": n})), 64) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (50..150).contains(count)), "{counts:?}");
    }
}
