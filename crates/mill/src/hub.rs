//! One change stream for all that a mill runs on a deployment (SQL-20.1).
//!
//! Whoever wants changes names collections and a place, and gets commits from there on. When somebody comes, the stream is
//! opened again at the earliest place of all, by its time (SQL-20.4); each skips what it has. Who does not keep up is let
//! go, so that it does not hold up the others; it comes again when it has worked off what it was given.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bson::RawDocument;
use millstream_watch::{
    Backoff, BeforeMode, Connection, Event, FullDocumentMode, ProblemKind, Scope, Source, StartAt, Step, Watcher,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::commit::{Commit, Gathering, Place};
use crate::error::code;
use crate::read;
use crate::wants::{Asked, Wants};

/// Parcels that wait for one consumer, at most.
const QUEUE: usize = 1_024;

/// And their bytes, about, in KiB. A single parcel may be larger.
const QUEUE_KIB: u32 = 16 << 10;

/// From so many bytes of a document on that nobody uses, servers are asked to leave them out.
const UNUSED_BYTES_MIN: usize = 512;

/// How long everybody waits for one whose queue is full. Whoever is let go comes again, and then the stream is read anew from
/// where that one is: so it has to be longer than usual work takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the server waits before it says that nothing happened: how soon watermarks of quiet streams move.
const MAX_AWAIT: Duration = Duration::from_millis(500);

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
        let (orders, inbox) = mpsc::unbounded_channel();
        let run = Run { connection, inbox, members: Vec::new(), expanded: true, asked: Asked::Changes };
        Self { orders, _task: Arc::new(Ending(tokio::spawn(run.run()))) }
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
        // Without a hub the inbox is closed, which its owner sees.
        let room = Arc::new(Semaphore::new(usize::try_from(QUEUE_KIB).unwrap_or(Semaphore::MAX_PERMITS)));
        let told = Instant::now();
        let _ = self.orders.send(Member { wants, place, news, room, looked_up: Default::default(), told });
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
            // It was too slow, or the hub is gone with its mill.
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

struct Run {
    connection: Connection,
    inbox: mpsc::UnboundedReceiver<Member>,
    members: Vec<Member>,
    /// Whether the servers know expanded events, and large ones that are split.
    expanded: bool,
    /// Fields only when documents turn out to have more, as it costs more to leave little out than to send it.
    asked: Asked,
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
        if self.asked != Asked::Collections && is_refused(error) {
            tracing::warn!("the servers do not take what is asked of changes, they are asked for all: {error}");
            self.asked = Asked::Collections;
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
                let _ = member.news.send(Parcel::Lost(error.to_string())).await;
            }
        } else {
            tracing::warn!("changes cannot be read, trying again: {error}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// All that the members want.
    fn wants(&self) -> Wants {
        let mut wants = Wants::default();
        self.members.iter().for_each(|member| wants.extend(&member.wants));
        wants
    }

    /// That as one stream.
    fn source(&self) -> Source {
        let wants = self.wants();
        let mut source = Source::new(Scope::Cluster);
        source.pipeline = wants.pipeline(self.asked);
        source.options.max_await = MAX_AWAIT;
        // Only with these a path of names with points or digits can be told from another.
        source.options.expanded_events = self.expanded;
        if wants.images {
            source.options.full_document = FullDocumentMode::WhenAvailable;
            source.options.before = BeforeMode::WhenAvailable;
            // With its images an event may be larger than a document can be (SQL-12.6).
            source.options.split_large = self.expanded;
        }
        source
    }

    /// Reads until somebody comes, or documents turn out to be wide.
    async fn read(&mut self, mut watcher: Watcher) {
        let wants = self.wants();
        let used = wants.fields();
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
                    // One of many is enough.
                    let is_wide = self.asked == Asked::Changes && unused(&event, used.as_ref()) >= UNUSED_BYTES_MIN;
                    let mut commits = Vec::new();
                    gathering.add(event, &mut commits);
                    while let Some(event) = watcher.ready() {
                        gathering.add(event, &mut commits);
                    }
                    let is_drained = watcher.is_drained();
                    if is_drained {
                        commits.extend(gathering.finish());
                    }
                    self.tell(&commits).await;
                    if is_drained {
                        self.tell_quiet(&watcher);
                    }
                    if is_wide {
                        self.asked = Asked::Fields;
                        return;
                    }
                }
                Ok(Step::Idle) => {
                    self.tell(gathering.finish().as_slice()).await;
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

    /// Tells everybody what is for them. Commits are in the order of their places.
    async fn tell(&mut self, commits: &[Commit]) {
        let Some(last) = commits.last() else { return };
        let mut late = Vec::new();
        for (number, member) in self.members.iter_mut().enumerate() {
            let is_known = |commit: &Commit| !commit.events().last().is_some_and(|event| member.place.is_before(event));
            let new = commits.get(commits.partition_point(is_known)..).unwrap_or_default();
            let Some((first, others)) = new.split_first() else { continue };
            // A place may be in the middle of a commit: of one that somebody else wanted more of, or of one whose changes were
            // dealt with one after the other.
            let first = first.behind(&member.place);
            let new = first.iter().chain(others);
            let wanted: Vec<Commit> = new.filter(|commit| member.wants(commit)).cloned().collect();
            member.place = last.place();
            if wanted.is_empty() {
                // Time goes on for it, too, however busy others are.
                let is_due = member.told.elapsed() >= MAX_AWAIT;
                if is_due && member.news.try_send(Parcel::Quiet(member.place.clone())).is_ok() {
                    member.told = Instant::now();
                }
            } else if tokio::time::timeout(PATIENCE, member.send(wanted)).await.is_err() {
                late.push(number);
            } else {
                member.told = Instant::now();
            }
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
            if behind && member.news.try_send(Parcel::Quiet(place.clone())).is_ok() {
                member.place = place.clone();
            }
        }
    }
}

impl Member {
    /// Waits until there is room, and sends it.
    async fn send(&self, commits: Vec<Commit>) {
        let events = commits.iter().flat_map(Commit::events);
        let bytes: usize = events.map(|event| event.raw().as_bytes().len()).sum();
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, QUEUE_KIB);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.ok();
        // Whoever is gone needs no news.
        let _ = self.news.send(Parcel::Commits(commits, room)).await;
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

/// Whether an event is about a collection, or about another that takes its name.
pub(crate) fn is_about(event: &Event, name: &Name) -> bool {
    event.ns().is_some_and(|ns| is_named(ns, name)) || event.to().is_some_and(|to| is_named(to, name))
}

/// Whether a namespace is that of a collection.
pub(crate) fn is_named(ns: &RawDocument, (database, collection): &Name) -> bool {
    let ns = read::doc(ns);
    ns.str("db") == Some(database) && ns.str("coll") == Some(collection)
}

/// Whether servers do not know an option of the stream or its stages, as those before version 6 do not know
/// `showExpandedEvents`.
fn is_unknown_option(error: &millstream_watch::Error) -> bool {
    // IDLUnknownField, what it was before, and a stage of another name than is known.
    matches!(error, millstream_watch::Error::Server { source, .. } if matches!(code(source), Some(9 | 40_324 | 40_415)))
}

/// How many bytes of an event's documents are of fields that are not used.
fn unused(event: &Event, used: Option<&BTreeSet<&str>>) -> usize {
    let Some(used) = used else { return 0 };
    let documents = [event.full_document(), event.before()];
    let fields = documents.into_iter().flatten().flat_map(|document| read::doc(document).elements());
    fields.filter(|field| !used.contains(field.key())).map(|field| field.bytes().len()).sum()
}

/// Whether servers refuse what they are asked, and would take less.
fn is_refused(error: &millstream_watch::Error) -> bool {
    let of_a_server = matches!(error, millstream_watch::Error::Server { problem, .. } if problem.code.is_some());
    let kind = error.problem_kind();
    of_a_server && matches!(kind, Some(ProblemKind::BadPipeline | ProblemKind::NotOffered | ProblemKind::Other))
}

/// The database and the collection that an event is about.
pub(crate) fn namespace(event: &Event) -> Option<(&str, &str)> {
    let ns = read::doc(event.ns()?);
    Some((ns.str("db")?, ns.str("coll")?))
}
