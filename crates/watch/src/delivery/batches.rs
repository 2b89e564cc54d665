//! Batches: events that a callback deals with together.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::future::Future;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::handle::Wish;
use super::worker::{Done, Trying, Work};
use crate::{Error, Event};

/// When a batch is full, and what may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// So many events. Default: 100.
    pub count: usize,
    /// So many bytes, or the first event that has more. Default: 4 MiB.
    pub bytes: usize,
    /// So long after its first event, full or not. Default: 100 ms.
    pub time: Duration,
    /// Which events are together.
    pub group: Grouping,
}

/// Which events are together in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grouping {
    /// All, in the order of the stream.
    #[default]
    Nothing,
    /// Those of one operation on one collection. An event never overtakes an earlier one of its document: the earlier
    /// one's batch goes first, full or not. What concerns no document is alone in its batch.
    OperationAndCollection,
}

impl Default for Batching {
    fn default() -> Self {
        Self { count: 100, bytes: 4 << 20, time: Duration::from_millis(100), group: Grouping::default() }
    }
}

/// Collects events and hands them over, one batch at a time.
pub(super) struct BatchWorker<F> {
    pub(super) callback: Arc<F>,
    pub(super) trying: Trying,
    pub(super) batching: Batching,
    /// True: somebody waits until all events are dealt with, so no batch waits for more.
    pub(super) hurry: watch::Receiver<bool>,
}

/// A batch that is being collected.
struct Batch {
    group: Group,
    works: Vec<Work>,
    bytes: usize,
    due: Instant,
    documents: HashSet<u64>,
}

/// Operation and collection; the same for all where nothing is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Group(String, String);

/// The batches that are being collected, in the order of their first events.
#[derive(Default)]
struct Open {
    batches: Vec<Batch>,
    /// The batch of each document that has events in one.
    of_document: HashMap<u64, Group>,
    hasher: RandomState,
}

impl<F, Fut, E> BatchWorker<F>
where
    F: Fn(Vec<Event>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = std::result::Result<(), E>> + Send,
    E: Display + Send + 'static,
{
    pub(super) async fn run(mut self, mut work: mpsc::Receiver<Work>, done: mpsc::UnboundedSender<Done>) {
        let mut open = Open::default();
        let mut wishes = self.trying.wishes.clone();
        loop {
            let due = open.batches.iter().map(|batch| batch.due).min();
            let ready = tokio::select! {
                biased;
                // Those that are not handed over stay undone, so that they come again.
                () = stopped(&mut wishes) => return,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => open.due(Instant::now()),
                next = work.recv() => match next {
                    Some(next) => {
                        let mut ready = open.add(next, &self.batching);
                        if *self.hurry.borrow() && work.is_empty() {
                            ready.extend(open.all());
                        }
                        ready
                    }
                    None => {
                        for batch in open.all() {
                            if !self.hand_over(batch, &done).await {
                                break;
                            }
                        }
                        return;
                    }
                },
                Ok(()) = self.hurry.changed() => {
                    if *self.hurry.borrow() && work.is_empty() { open.all() } else { Vec::new() }
                }
            };
            for batch in ready {
                if !self.hand_over(batch, &done).await {
                    return;
                }
            }
        }
    }

    /// False: the delivery is over.
    async fn hand_over(&self, batch: Batch, done: &mpsc::UnboundedSender<Done>) -> bool {
        let (numbers, events): (Vec<u64>, Vec<Event>) =
            batch.works.into_iter().map(|work| (work.number, work.event)).unzip();
        events.iter().for_each(|_| self.trying.counters.taken());
        let callback = || (self.callback)(events.clone());
        let Some(outcome) = self.trying.deal_with(&events, callback).await else { return false };
        let failed = outcome.is_err();
        let mut error = outcome.err();
        for number in numbers {
            let outcome = match error.take() {
                Some(error) => Err(error),
                None if failed => Err(Error::Delivery { reason: "its batch failed".to_owned() }),
                None => Ok(()),
            };
            // Nobody listens any more once the delivery is over.
            if done.send(Done { number, outcome }).is_err() || failed {
                return false;
            }
        }
        true
    }
}

async fn stopped(wishes: &mut watch::Receiver<Wish>) {
    // Without anybody who could ask for a stop, it never comes.
    if wishes.wait_for(|wish| *wish == Wish::Stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl Open {
    /// Puts an event into its batch; gives those that have to go now, in this order.
    fn add(&mut self, work: Work, batching: &Batching) -> Vec<Batch> {
        let mut ready = Vec::new();
        let (group, document, alone) = match batching.group {
            Grouping::Nothing => (Group::default(), None, false),
            Grouping::OperationAndCollection => {
                let namespace = work.event.namespace();
                let key = work.event.document_key();
                let document = key.map(|key| self.hasher.hash_one((&namespace, key.as_bytes())));
                (Group(work.event.operation().to_owned(), namespace), document, document.is_none())
            }
        };
        if alone {
            ready.extend(self.all());
        }
        if let Some(earlier) = document.and_then(|document| self.of_document.get(&document)).cloned()
            && earlier != group
        {
            ready.extend(self.take(&earlier));
        }
        let size = work.event.raw().as_bytes().len();
        let at = self.batches.iter().position(|batch| batch.group == group).unwrap_or_else(|| {
            self.batches.push(Batch {
                group: group.clone(),
                works: Vec::new(),
                bytes: 0,
                due: Instant::now() + batching.time,
                documents: HashSet::new(),
            });
            self.batches.len() - 1
        });
        if let Some(batch) = self.batches.get_mut(at) {
            batch.works.push(work);
            batch.bytes += size;
            if let Some(document) = document {
                batch.documents.insert(document);
                self.of_document.insert(document, group.clone());
            }
            if alone || batch.works.len() >= batching.count.max(1) || batch.bytes >= batching.bytes {
                ready.extend(self.take(&group));
            }
        }
        ready
    }

    fn take(&mut self, group: &Group) -> Option<Batch> {
        let at = self.batches.iter().position(|batch| batch.group == *group)?;
        let batch = self.batches.remove(at);
        for document in &batch.documents {
            self.of_document.remove(document);
        }
        Some(batch)
    }

    fn all(&mut self) -> Vec<Batch> {
        self.of_document.clear();
        std::mem::take(&mut self.batches)
    }

    fn due(&mut self, now: Instant) -> Vec<Batch> {
        let due: Vec<Group> =
            self.batches.iter().filter(|batch| batch.due <= now).map(|batch| batch.group.clone()).collect();
        due.iter().filter_map(|group| self.take(group)).collect()
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn work(number: u64, operation: &str, collection: &str, key: i32) -> Work {
        let raw = rawdoc! {
            "_id": {"_data": format!("82{number:04}")},
            "operationType": operation,
            "ns": {"db": "shop", "coll": collection},
            "documentKey": {"_id": key},
        };
        Work { number, event: Event::new(raw).unwrap() }
    }

    fn numbers(batches: &[Batch]) -> Vec<Vec<u64>> {
        batches.iter().map(|batch| batch.works.iter().map(|work| work.number).collect()).collect()
    }

    #[tokio::test]
    async fn a_batch_goes_when_it_is_full() {
        let batching = Batching { count: 3, bytes: usize::MAX, ..Batching::default() };
        let mut open = Open::default();
        assert!(open.add(work(0, "insert", "a", 1), &batching).is_empty());
        assert!(open.add(work(1, "update", "b", 1), &batching).is_empty());
        assert_eq!(numbers(&open.add(work(2, "insert", "a", 1), &batching)), [[0, 1, 2]]);
        let small = Batching { bytes: 1, ..batching };
        assert_eq!(numbers(&open.add(work(3, "insert", "a", 1), &small)), [[3]]);
        assert!(open.add(work(4, "insert", "a", 1), &batching).is_empty());
        assert!(open.due(Instant::now()).is_empty());
        assert_eq!(numbers(&open.due(Instant::now() + batching.time)), [[4]]);
    }

    #[tokio::test]
    async fn a_group_is_never_overtaken_by_a_later_event_of_its_documents() {
        let batching = Batching { group: Grouping::OperationAndCollection, ..Batching::default() };
        let mut open = Open::default();
        for (number, collection, key) in [(0, "a", 1), (1, "b", 1), (2, "a", 2)] {
            assert!(open.add(work(number, "insert", collection, key), &batching).is_empty());
        }
        // The update of a/2 has to come after its insert, which takes a/1 along.
        assert_eq!(numbers(&open.add(work(3, "update", "a", 2), &batching)), [[0, 2]]);
        assert!(open.add(work(4, "update", "a", 1), &batching).is_empty());
        assert_eq!(numbers(&open.add(work(5, "insert", "a", 1), &batching)), [[3, 4]]);
        let drop = rawdoc! {"_id": {"_data": "8299"}, "operationType": "drop", "ns": {"db": "shop", "coll": "a"}};
        let drop = Work { number: 6, event: Event::new(drop).unwrap() };
        assert_eq!(numbers(&open.add(drop, &batching)), [vec![1], vec![5], vec![6]]);
        assert!(open.all().is_empty() && open.of_document.is_empty());
    }
}
