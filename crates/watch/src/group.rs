//! Consumer groups: several processes share one change stream, on any MongoDB.
//!
//! The documents of what is watched are divided into partitions (`group/partition.rs`), and each partition has one owner
//! at a time. Members agree on that by documents in a collection of the same servers (`group/coordination.rs`); none of
//! them leads. A member renews a lease (`group/lease.rs`, `group/session.rs`) and works only while it surely holds. Each
//! computes for itself who should have what (`group/assignment.rs`), gives up what is too much and takes what is free.
//! It reads one stream for all of its partitions (`group/member.rs`, `group/reader.rs`), and keeps a position for each
//! (`group/slot.rs`).
//!
//! What is promised: every event at least once; those of one document in their order; never two members on one document
//! at a time, as far as a process can know of itself. What a process may do after it was stopped in the middle of a
//! callback, only a [`Fence`] keeps away from other systems.

mod assignment;
mod coordination;
mod lease;
mod member;
mod partition;
mod reader;
mod session;
mod slot;
mod status;

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;

use self::coordination::{Coordination, Founding};
use self::member::{Crew, Member, State};
use self::partition::Orders;
use self::session::Session;
use crate::delivery::Shared;
use crate::delivery::worker::{Trying, Worker};
use crate::intake::Opening;
use crate::stream::just_after;
use crate::{Event, Handle, OnHistoryLost, Result, Scope, SourceId, StartAt, Watch, Watcher};

pub use self::status::{GroupStatus, MemberStatus, PartitionStatus};

/// The collection that groups are kept in unless another one is named.
pub const GROUPS: &str = "change_stream_groups";

/// So many partitions, unless the group's founder says otherwise: enough for sixteen members to have four each.
const PARTITIONS: u32 = 64;

/// More are refused: every look at a group reads a document for each.
const PARTITIONS_MAX: u32 = 1024;

/// Shorter leases are lost by any hiccup of a network.
const LEASE_MIN: Duration = Duration::from_millis(500);

/// A group of processes that share one stream, as one of them joins it.
///
/// Run this in as many processes as you like. Each event is dealt with by one of them:
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use millstream_watch::{ChangeStreams, Event, Group, GroupStatus, Settings};
///
/// let streams = ChangeStreams::connect("mongodb://127.0.0.1:27017/?replicaSet=rs0").await?;
/// let handle = streams
///     .watch_collection("shop", "orders")
///     .settings(Settings { concurrency: 8, ..Settings::default() })
///     .group(Group::new("billing", "millstream"))
///     .for_each(|event: Event| async move {
///         println!("{} {}", event.operation(), event.namespace());
///         Ok::<_, std::io::Error>(())
///     })
///     .await?;
///
/// // How the group is doing, for anybody who can read the collection:
/// if let Some(status) = GroupStatus::read(streams.connection(), "millstream", "billing").await? {
///     for member in &status.members {
///         println!("{} has {} partitions, {:?} behind", member.name, member.partitions.len(), member.lag);
///     }
/// }
///
/// // Gives its partitions to the others at once.
/// handle.stop();
/// handle.join().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Group {
    name: String,
    database: String,
    collection: String,
    partitions: Option<u32>,
    lease: Duration,
    hand_over: Duration,
    member: Option<String>,
}

impl Group {
    /// Of this name, in the collection [`GROUPS`] of a database on the servers that are watched.
    #[must_use]
    pub fn new(name: &str, database: &str) -> Self {
        Self {
            name: name.to_owned(),
            database: database.to_owned(),
            collection: GROUPS.to_owned(),
            partitions: None,
            lease: Duration::from_secs(3),
            hand_over: Duration::from_secs(3),
            member: None,
        }
    }

    /// In another collection.
    #[must_use]
    pub fn collection(mut self, name: &str) -> Self {
        self.collection = name.to_owned();
        self
    }

    /// With so many partitions, 64 by default and 1,024 at most. They are fixed when the group is founded: no more members
    /// than that can work at a time, and a member that says another number later is refused.
    #[must_use]
    pub fn partitions(mut self, count: u32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// How long after a member's last sign of life others take its partitions over. It gives three such signs in that
    /// time, and stops working when none was confirmed. Default: 3 s.
    #[must_use]
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time;
        self
    }

    /// How long a callback may go on when its partition is to move to another member; then it is cancelled, and the event
    /// comes again there. Default: 3 s.
    #[must_use]
    pub fn hand_over(mut self, time: Duration) -> Self {
        self.hand_over = time;
        self
    }

    /// What to call this member in [`GroupStatus`], instead of its machine and process.
    #[must_use]
    pub fn member(mut self, name: &str) -> Self {
        self.member = Some(name.to_owned());
        self
    }

    fn member_name(&self) -> String {
        self.member.clone().unwrap_or_else(|| format!("{}:{}", coordination::host(), std::process::id()))
    }

    fn problem(&self) -> Option<String> {
        if self.name.is_empty() || self.name.contains('/') {
            return Some("its name must not be empty nor contain a slash".to_owned());
        }
        if self.partitions.is_some_and(|count| !(1..=PARTITIONS_MAX).contains(&count)) {
            return Some(format!("it can have 1 to {PARTITIONS_MAX} partitions"));
        }
        (self.lease < LEASE_MIN).then(|| format!("its lease must be {} ms at least", LEASE_MIN.as_millis()))
    }
}

/// A partition of a group in the hands of its present owner.
///
/// A process that was stopped in the middle of a callback, or a machine that slept, cannot know at once that others have
/// taken over. Where an effect in another system must not come from such a one, write the epoch beside it, and refuse
/// those that are lower than what was written for the partition before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fence {
    /// The partition's number.
    pub partition: u32,
    /// Grows whenever the partition gets an owner.
    pub epoch: i64,
}

/// A member that is about to join its group.
pub struct GroupWatch {
    watch: Watch,
    group: Group,
}

impl Watch {
    /// Shares the stream with other processes that watch the same in the same group. Positions are then kept by the
    /// group, one for each partition; where the watch starts matters only to the one that founds the group.
    ///
    /// [`Settings::concurrency`](crate::Settings::concurrency) is then how many partitions have an event under way at a
    /// time: those of one partition are dealt with one after the other.
    #[must_use]
    pub fn group(self, group: Group) -> GroupWatch {
        GroupWatch { watch: self, group }
    }
}

impl GroupWatch {
    /// Joins the group, and calls `callback` with every event of the partitions that this member gets. Its future is
    /// dropped half-way if this member loses its lease or has to hand the partition over; what blocks its thread cannot be
    /// dropped, and should take less than a lease.
    ///
    /// # Errors
    /// What keeps the stream from being opened or the group's documents from being written, and a group that watches
    /// something else or has another number of partitions.
    pub async fn for_each<F, Fut, E>(self, callback: F) -> Result<Handle>
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::result::Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        self.for_each_fenced(move |event, _| callback(event)).await
    }

    /// The same, and tells the callback in which hands the event's partition is.
    ///
    /// # Errors
    /// As [`GroupWatch::for_each`].
    pub async fn for_each_fenced<F, Fut, E>(mut self, callback: F) -> Result<Handle>
    where
        F: Fn(Event, Fence) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::result::Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        self.watch.name.get_or_insert_with(|| self.group.name.clone());
        let shared = Shared::new(&self.watch);
        let trying = shared.trying.clone();
        let callback = Arc::new(callback);
        let crew: Crew = Box::new(move |orders: Orders| {
            let (callback, fence) = (Arc::clone(&callback), orders.fence);
            let worker = Worker {
                callback: Arc::new(move |event| callback(event, fence)),
                trying: Trying { wishes: orders.wishes.clone(), ..trying.clone() },
            };
            tokio::spawn(partition::work(worker, orders))
        });
        self.begin(crew, &shared).await
    }

    async fn begin(mut self, crew: Crew, shared: &Shared) -> Result<Handle> {
        self.leave_own_documents_out();
        let coordination = Coordination::new(&self.watch.connection, &self.group);
        if let Some(problem) = self.group.problem() {
            return Err(coordination.error(problem));
        }
        if self.watch.checkpoint.is_some() {
            return Err(coordination.error("it keeps the positions itself, so no other place for them can be named"));
        }
        if self.watch.settings.on_history_lost == OnHistoryLost::Resnapshot {
            return Err(coordination.error("after lost history it can stop or start now, but not compare documents"));
        }
        let source_id = SourceId::new(&self.watch.connection, &self.watch.source);
        let founding = self.founding(&coordination, &source_id).await?;
        coordination.make_partitions(founding.partitions).await?;
        let settings = Arc::clone(&shared.trying.settings);
        let state = State::new(&founding.start, settings.concurrency);
        let name = self.group.member_name();
        let session = Session::join(&coordination, &name, self.group.lease, founding.partitions).await?;
        let span = tracing::info_span!("group", group = self.group.name, watcher = self.watch.title());
        let counters = Arc::clone(&shared.trying.counters);
        let opening = Opening {
            connection: self.watch.connection,
            source: self.watch.source,
            backoff: self.watch.backoff,
            pulse: Arc::clone(&counters.pulse),
        };
        let member = Member {
            opening,
            settings,
            group: self.group,
            coordination,
            source_id,
            founding,
            session,
            crew,
            counters: Arc::clone(&counters),
            wishes: shared.wish.subscribe(),
            _wish: shared.wish.clone(),
            state,
        };
        let in_task = Arc::clone(&counters);
        let task = async move {
            let ended = member.run().await;
            in_task.ended(&ended);
            ended
        };
        Ok(Handle::new(shared.wish.clone(), counters, tokio::spawn(task.instrument(span))))
    }

    /// What was agreed on; the first member agrees with itself. It opens the stream once before, so that nothing is agreed
    /// on that does not work. Exclusive, because a store that is shared could not go to another thread while this waits.
    async fn founding(&mut self, coordination: &Coordination, id: &SourceId) -> Result<Founding> {
        let Watch { connection, source, backoff, .. } = &self.watch;
        if let Some(founding) = coordination.founding(id, self.group.partitions).await? {
            return Ok(founding);
        }
        let start = match (&self.watch.start, connection.ping().await?) {
            (StartAt::Now, Some(time)) => StartAt::Time(just_after(time)),
            (start, _) => start.clone(),
        };
        let watcher = Watcher::open(connection.clone(), source.clone(), start.clone(), backoff.clone()).await?;
        let start = watcher.token().cloned().map_or(start, StartAt::StartAfter);
        coordination.found(id, self.group.partitions, &start).await?;
        let founded = coordination.founding(id, self.group.partitions).await?;
        founded.ok_or_else(|| coordination.error("its document was removed just after it was made"))
    }

    /// A group that watched its own documents would keep itself busy for ever.
    fn leave_own_documents_out(&mut self) {
        let Group { database, collection, .. } = &self.group;
        let covers = match &self.watch.source.scope {
            Scope::Collection { .. } => false,
            Scope::Database(name) => name == database,
            Scope::Cluster => true,
        };
        if covers {
            self.watch.source.options.leave_out.push((database.clone(), collection.clone()));
        }
        self.watch.leave_out_traces();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_said_at_once() {
        let problem = |group: Group| group.problem().unwrap_or_default();
        assert_eq!(problem(Group::new("billing", "shop")), "");
        assert!(problem(Group::new("", "shop")).contains("its name"));
        assert!(problem(Group::new("a/b", "shop")).contains("slash"));
        assert!(problem(Group::new("a", "shop").partitions(0)).contains("1 to 1024"));
        assert!(problem(Group::new("a", "shop").lease(Duration::from_millis(20))).contains("500 ms"));
    }
}
