//! One change stream for all that a mill runs on a deployment (SQL-20.1).
//!
//! Whoever wants changes names collections and a place, and gets commits from there on. When somebody comes, the stream is
//! opened again at the earliest place of all, by its time (SQL-20.4); each skips what it has. Who does not keep up is let
//! go, so that it does not hold up the others; it comes again when it has worked off what it was given.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, doc};
use millstream_watch::{
    Backoff, BeforeMode, Connection, Event, FullDocumentMode, ProblemKind, Scope, Source, StartAt, Step, Watcher,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::commit::{Commit, Gathering, Place};
use crate::error::code;
use crate::read;

/// Commits that wait for one consumer, at most: what it takes at once when it is behind.
const QUEUE: usize = 8_192;

/// And their bytes, about, in KiB. A single commit may be larger.
const QUEUE_KIB: u32 = 16 << 10;

/// How long everybody waits for one whose queue is full. Whoever is let go comes again, and then the stream is read anew from
/// where that one is: so it has to be longer than usual work takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the server waits before it says that nothing happened: how soon watermarks of quiet streams move.
const MAX_AWAIT: Duration = Duration::from_millis(500);

/// A collection by its database and name.
pub(crate) type Name = (String, String);

/// What somebody wants to see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wants {
    /// The collections.
    pub(crate) collections: BTreeSet<Name>,
    /// Whether documents before and after are wanted where images are kept.
    pub(crate) images: bool,
}

/// What comes.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// Something was committed. Events of other collections may be among those of a transaction.
    Commit(Arc<Commit>),
    /// Nothing more will come before this place.
    Quiet(Place),
    /// The deployment no longer has what was behind the place (SQL-12.10).
    Lost(String),
}

/// The way to a hub.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    orders: mpsc::UnboundedSender<Member>,
    _task: Arc<Ending>,
}

#[derive(Debug)]
struct Ending(JoinHandle<()>);

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
    ahead: Option<News>,
}

/// News on their way, and the room that they take up until they are taken.
#[derive(Debug)]
struct Parcel {
    news: News,
    _room: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Member {
    wants: Wants,
    place: Place,
    news: mpsc::Sender<Parcel>,
    /// In KiB.
    room: Arc<Semaphore>,
}

impl Hub {
    /// Begins; nothing is read before somebody wants it.
    pub(crate) fn start(connection: Connection) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let run = Run { connection, inbox, members: Vec::new(), expanded: true };
        Self { orders, _task: Arc::new(Ending(tokio::spawn(run.run()))) }
    }

    /// Changes from a place on.
    pub(crate) fn join(&self, wants: Wants, place: Place) -> Inbox {
        let (news, inbox) = mpsc::channel(QUEUE);
        let inbox = Inbox { hub: self.clone(), wants: wants.clone(), place: place.clone(), news: inbox, ahead: None };
        // Without a hub the inbox is closed, which its owner sees.
        let room = Arc::new(Semaphore::new(usize::try_from(QUEUE_KIB).unwrap_or(Semaphore::MAX_PERMITS)));
        let _ = self.orders.send(Member { wants, place, news, room });
        inbox
    }
}

impl Inbox {
    /// The next thing. The future may be dropped half-way.
    pub(crate) async fn next(&mut self) -> News {
        if let Some(news) = self.ahead.take() {
            return self.note(news);
        }
        loop {
            if let Some(parcel) = self.news.recv().await {
                return self.note(parcel.news);
            }
            // It was too slow, or the hub is gone with its mill.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let again = self.hub.join(self.wants.clone(), self.place.clone());
            self.news = again.news;
        }
    }

    /// What has come already.
    pub(crate) fn ready(&mut self) -> Option<News> {
        let news = self.ahead.take().or_else(|| self.news.try_recv().ok().map(|parcel| parcel.news))?;
        Some(self.note(news))
    }

    /// Puts back what is not yet wanted.
    pub(crate) fn put_back(&mut self, news: News) {
        self.ahead = Some(news);
    }

    fn note(&mut self, news: News) -> News {
        match &news {
            News::Commit(commit) => self.place = commit.place.clone(),
            News::Quiet(place) => self.place = place.clone(),
            News::Lost(_) => {}
        }
        news
    }
}

struct Run {
    connection: Connection,
    inbox: mpsc::UnboundedReceiver<Member>,
    members: Vec<Member>,
    /// Whether the servers know expanded events.
    expanded: bool,
}

impl Run {
    async fn run(mut self) {
        loop {
            while let Ok(member) = self.inbox.try_recv() {
                self.members.push(member);
            }
            self.members.retain(|member| !member.news.is_closed());
            if self.members.is_empty() {
                match self.inbox.recv().await {
                    Some(member) => self.members.push(member),
                    None => return,
                }
                continue;
            }
            if let Some(watcher) = self.open().await {
                self.read(watcher).await;
            }
        }
    }

    /// Opens the stream at the earliest place.
    async fn open(&mut self) -> Option<Watcher> {
        let earliest = self.members.iter().filter_map(|member| member.place.time()).min()?;
        let backoff = Backoff { give_up_after: Duration::MAX, ..Backoff::default() };
        match Watcher::open(self.connection.clone(), self.source(), StartAt::Time(earliest), backoff).await {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                self.failed(&error).await;
                None
            }
        }
    }

    async fn failed(&mut self, error: &millstream_watch::Error) {
        if self.expanded && is_unknown_option(error) {
            tracing::info!("the servers know no expanded events: paths of names with points are read as they are");
            self.expanded = false;
            return;
        }
        if matches!(error.problem_kind(), Some(ProblemKind::HistoryLost | ProblemKind::TokenNotFound)) {
            // The earliest is who lost something. Others may have, too: then their turn comes next.
            let earliest = self.members.iter().filter_map(|member| member.place.time()).min();
            let (lost, kept) = std::mem::take(&mut self.members)
                .into_iter()
                .partition::<Vec<_>, _>(|member| member.place.time() == earliest);
            self.members = kept;
            for member in lost {
                // Whoever is gone needs no news.
                let news = News::Lost(error.to_string());
                let _ = member.news.send(Parcel { news, _room: None }).await;
            }
        } else {
            tracing::warn!("changes cannot be read, trying again: {error}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// All that the members want, as one stream.
    fn source(&self) -> Source {
        let collections: BTreeSet<&Name> = self.members.iter().flat_map(|member| &member.wants.collections).collect();
        let mut wanted: Vec<Document> = Vec::new();
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for (database, name) in collections {
            let ns: Bson = doc! {"db": database, "coll": name}.into();
            from.push(doc! {"ns.db": database, "ns.coll": name});
            to.push(ns);
        }
        wanted.extend(from);
        wanted.push(doc! {"operationType": "rename", "to": {"$in": to}});
        let mut source = Source::new(Scope::Cluster);
        source.pipeline = vec![doc! {"$match": {"$or": wanted}}];
        source.options.max_await = MAX_AWAIT;
        // Only with these a path of names with points or digits can be told from another.
        source.options.expanded_events = self.expanded;
        if self.members.iter().any(|member| member.wants.images) {
            source.options.full_document = FullDocumentMode::WhenAvailable;
            source.options.before = BeforeMode::WhenAvailable;
        }
        source
    }

    /// Reads until somebody comes.
    async fn read(&mut self, mut watcher: Watcher) {
        let mut gathering = Gathering::default();
        loop {
            let step = tokio::select! {
                biased;
                member = self.inbox.recv() => {
                    match member {
                        Some(member) => self.members.push(member),
                        None => self.members.clear(),
                    }
                    return;
                }
                step = watcher.next() => step,
            };
            match step {
                Ok(Step::Event(event)) => {
                    if let Some(commit) = gathering.add(event) {
                        self.tell(commit).await;
                    }
                    if (gathering.is_whole() || watcher.is_drained())
                        && let Some(commit) = gathering.finish()
                    {
                        self.tell(commit).await;
                    }
                    if watcher.is_drained() {
                        self.tell_quiet(&watcher);
                    }
                }
                Ok(Step::Idle) => {
                    if let Some(commit) = gathering.finish() {
                        self.tell(commit).await;
                    }
                    self.tell_quiet(&watcher);
                }
                // A stream of everything does not end; if it does, another one is opened.
                Ok(Step::Ended) => return,
                Err(error) => {
                    self.failed(&error).await;
                    return;
                }
            }
            self.members.retain(|member| !member.news.is_closed());
            if self.members.is_empty() {
                return;
            }
        }
    }

    async fn tell(&mut self, commit: Commit) {
        let commit = Arc::new(commit);
        let mut late = Vec::new();
        for (number, member) in self.members.iter_mut().enumerate() {
            let Some(last) = commit.events.last() else { return };
            if !member.place.is_before(last) {
                continue;
            }
            if commit.events.iter().any(|event| member.wants.collections.iter().any(|name| is_about(event, name))) {
                // A place in the middle of a commit is a snapshot's: what is before it is in the snapshot.
                if tokio::time::timeout(PATIENCE, member.send(&commit)).await.is_err() {
                    late.push(number);
                    continue;
                }
            }
            member.place = commit.place.clone();
        }
        for number in late.into_iter().rev() {
            self.members.swap_remove(number);
        }
    }

    fn tell_quiet(&mut self, watcher: &Watcher) {
        let Some(token) = watcher.token() else { return };
        let place = Place::Token(token.clone());
        for member in &mut self.members {
            let behind = match &member.place {
                Place::Token(kept) => token.data() > kept.data(),
                Place::Time(time) => token.time() >= Some(*time),
            };
            // Who is busy does not need to hear that nothing happens.
            if behind && member.news.try_send(Parcel { news: News::Quiet(place.clone()), _room: None }).is_ok() {
                member.place = place.clone();
            }
        }
    }
}

impl Member {
    /// Waits until there is room, and sends it.
    async fn send(&self, commit: &Arc<Commit>) {
        let bytes: usize = commit.events.iter().map(|event| event.raw().as_bytes().len()).sum();
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, QUEUE_KIB);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.ok();
        // Whoever is gone needs no news.
        let _ = self.news.send(Parcel { news: News::Commit(Arc::clone(commit)), _room: room }).await;
    }
}

/// Whether an event is about a collection, or about another that takes its name.
pub(crate) fn is_about(event: &Event, (database, collection): &Name) -> bool {
    let event = read::doc(event.raw());
    let named = |field: &str| {
        event.doc(field).is_some_and(|ns| ns.str("db") == Some(database) && ns.str("coll") == Some(collection))
    };
    named("ns") || (event.str("operationType") == Some("rename") && named("to"))
}

/// Whether servers do not know an option of the stream, as those before version 6 do not know `showExpandedEvents`.
fn is_unknown_option(error: &millstream_watch::Error) -> bool {
    // IDLUnknownField, and what it was before.
    matches!(error, millstream_watch::Error::Server { source, .. } if matches!(code(source), Some(9 | 40_415)))
}

/// The collections that an event is about.
pub(crate) fn names(event: &Event) -> Vec<Name> {
    let name = |field: &str| {
        let ns = event.raw().get_document(field).ok()?;
        Some((ns.get_str("db").ok()?.to_owned(), ns.get_str("coll").ok()?.to_owned()))
    };
    name("ns").into_iter().chain(name("to")).collect()
}
