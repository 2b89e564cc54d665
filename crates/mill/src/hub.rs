//! One change stream for all that a mill runs on a deployment (SQL-20.1).
//!
//! Whoever wants changes names collections and a place, and gets commits from there on. When somebody comes, the stream is
//! opened again at the earliest place of all, by its time (SQL-20.4); each skips what it has. Whoever comes from far behind,
//! or does not keep up, reads by a stream of its own until it is where the others are, so that nobody waits for it.

mod stream;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use bson::RawDocument;
use millstream_watch::{Connection, Event};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use self::streams::Streams;
use crate::commit::{Commit, Place};
use crate::read;
use crate::wants::Wants;

/// Parcels that wait for one consumer, at most.
const QUEUE: usize = 1_024;

/// And their bytes, about, in KiB. A single parcel may be larger.
const QUEUE_KIB: u32 = 16 << 10;

/// A collection by its database and name.
pub(crate) type Name = (String, String);

/// What comes.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// Something was committed. Among its events may be more than was asked for, since others ask, too.
    Commit(Commit),
    /// Nothing more will come before this place.
    Quiet(Place),
    /// The deployment no longer has what was behind the place (SQL-12.10).
    Lost(String),
}

/// The way to a hub.
#[derive(Clone, Debug)]
pub(crate) struct Hub(Arc<Ending>);

/// Its streams end with it.
#[derive(Debug)]
struct Ending(Arc<Streams>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The changes that one consumer gets.
#[derive(Debug)]
pub(crate) struct Inbox {
    hub: Hub,
    wants: Wants,
    place: Place,
    news: mpsc::Receiver<Parcel>,
    /// What is left of the parcel that was opened.
    opened: std::vec::IntoIter<Commit>,
    room: Option<OwnedSemaphorePermit>,
    ahead: Option<News>,
    /// The last commit that was taken since `place`.
    last: Option<Commit>,
}

/// News on their way.
#[derive(Debug)]
enum Parcel {
    /// Commits, and the room that they take up until they are taken.
    Commits(Vec<Commit>, Option<OwnedSemaphorePermit>),
    Quiet(Place),
    Lost(String),
}

#[derive(Debug)]
struct Member {
    wants: Wants,
    place: Place,
    news: mpsc::Sender<Parcel>,
    /// In KiB.
    room: Arc<Semaphore>,
    /// The last namespace that was looked up, and whether it is wanted.
    looked_up: (Vec<u8>, bool),
    /// When there was something for it.
    told: Instant,
}

impl Hub {
    /// Begins; nothing is read before somebody wants it.
    pub(crate) fn start(connection: Connection) -> Self {
        Self(Arc::new(Ending(Arc::new(Streams::new(connection)))))
    }

    /// Changes from a place on.
    pub(crate) fn join(&self, wants: Wants, place: Place) -> Inbox {
        let (news, inbox) = mpsc::channel(QUEUE);
        let inbox = Inbox {
            hub: self.clone(),
            wants: wants.clone(),
            place: place.clone(),
            news: inbox,
            opened: Vec::new().into_iter(),
            room: None,
            ahead: None,
            last: None,
        };
        let room = Arc::new(Semaphore::new(usize::try_from(QUEUE_KIB).unwrap_or(Semaphore::MAX_PERMITS)));
        let told = Instant::now();
        self.0.0.take(Member { wants, place, news, room, looked_up: Default::default(), told });
        inbox
    }
}

impl Inbox {
    /// The next thing. The future may be dropped half-way.
    pub(crate) async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.ready() {
                return news;
            }
            if let Some(parcel) = self.news.recv().await {
                self.open(parcel);
                continue;
            }
            // Its stream is gone.
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Some(last) = self.last.take() {
                self.place = last.place();
            }
            let again = self.hub.join(self.wants.clone(), self.place.clone());
            self.news = again.news;
        }
    }

    /// What has come already.
    pub(crate) fn ready(&mut self) -> Option<News> {
        loop {
            if let Some(news) = self.ahead.take() {
                return Some(news);
            }
            if let Some(commit) = self.opened.next() {
                self.last = Some(commit.clone());
                return Some(News::Commit(commit));
            }
            self.room = None;
            let parcel = self.news.try_recv().ok()?;
            self.open(parcel);
        }
    }

    /// Puts back what is not yet wanted.
    pub(crate) fn put_back(&mut self, news: News) {
        self.ahead = Some(news);
    }

    fn open(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Commits(commits, room) => (self.opened, self.room) = (commits.into_iter(), room),
            Parcel::Quiet(place) => {
                (self.place, self.last) = (place.clone(), None);
                self.ahead = Some(News::Quiet(place));
            }
            Parcel::Lost(why) => self.ahead = Some(News::Lost(why)),
        }
    }
}

impl Member {
    /// Waits until there is room for so many KiB; `None`: it is gone, and needs no news.
    async fn room_for(&self, kib: u32) -> Option<(OwnedSemaphorePermit, mpsc::Permit<'_, Parcel>)> {
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.ok()?;
        Some((room, self.news.reserve().await.ok()?))
    }

    /// Whether it has worked off all that it was given.
    fn is_idle(&self) -> bool {
        self.news.capacity() == self.news.max_capacity()
    }

    fn wants(&mut self, commit: &Commit) -> bool {
        commit.events().iter().any(|event| {
            let (Some(ns), None) = (event.ns(), event.to()) else {
                return self.wants.collections.keys().any(|name| is_about(event, name));
            };
            // Events come in runs of one collection.
            if self.looked_up.0 != ns.as_bytes() {
                let is_wanted = self.wants.collections.keys().any(|name| is_named(ns, name));
                self.looked_up = (ns.as_bytes().to_vec(), is_wanted);
            }
            self.looked_up.1
        })
    }
}

/// What some commits take up in a queue, in KiB.
fn kib(commits: &[Commit]) -> u32 {
    let events = commits.iter().flat_map(Commit::events);
    let bytes: usize = events.map(|event| event.raw().as_bytes().len()).sum();
    u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, QUEUE_KIB)
}

/// Whether an event is about a collection, or about another that takes its name.
pub(crate) fn is_about(event: &Event, name: &Name) -> bool {
    event.ns().is_some_and(|ns| is_named(ns, name)) || event.to().is_some_and(|to| is_named(to, name))
}

/// Whether a namespace is that of a collection.
pub(crate) fn is_named(ns: &RawDocument, (database, collection): &Name) -> bool {
    let ns = read::doc(ns);
    ns.str("db") == Some(database) && ns.str("coll") == Some(collection)
}

/// The database and the collection that an event is about.
pub(crate) fn namespace(event: &Event) -> Option<(&str, &str)> {
    let ns = read::doc(event.ns()?);
    Some((ns.str("db")?, ns.str("coll")?))
}
