//! One change stream, for those who read together.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bson::Timestamp;
use millstream_watch::{
    Backoff, BeforeMode, Event, FullDocumentMode, ProblemKind, Scope, Source, StartAt, Step, Watcher,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::streams::Streams;
use super::{Member, Parcel, kib};
use crate::commit::{Commit, Gathering, Place};
use crate::error::code;
use crate::read;
use crate::wants::{Asked, Wants};

/// From so many bytes of a document on that nobody uses, servers are asked to leave them out.
const UNUSED_BYTES_MIN: usize = 512;

/// How long everybody waits for one whose queue is full, before it goes on alone.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long the server waits before it says that nothing happened: how soon watermarks of quiet streams move.
const MAX_AWAIT: Duration = Duration::from_millis(500);

/// How long who comes to a stream that was just opened waits for it to be read once, at first; then twice as long each time
/// that nothing was read, up to what even a quiet stream on a slow network does not need.
const HOLD_MIN: Duration = Duration::from_millis(20);
const HOLD_MAX: Duration = Duration::from_secs(2);

pub(super) struct Stream {
    streams: Arc<Streams>,
    number: u64,
    inbox: mpsc::UnboundedReceiver<Member>,
    members: Vec<Member>,
    /// How far it is.
    at: Option<Timestamp>,
    /// Fields only when documents turn out to have more, as it costs more to leave little out than to send it.
    asked: Asked,
    /// How long those who come wait next time.
    hold: Duration,
}

impl Stream {
    pub(super) fn new(
        streams: Arc<Streams>,
        number: u64,
        member: Member,
        inbox: mpsc::UnboundedReceiver<Member>,
    ) -> Self {
        let at = member.place.time();
        Self { streams, number, inbox, members: vec![member], at, asked: Asked::Changes, hold: HOLD_MIN }
    }

    /// Reads as long as somebody wants it.
    pub(super) async fn run(mut self) {
        loop {
            while let Ok(member) = self.inbox.try_recv() {
                self.members.push(member);
            }
            self.members.retain(|member| !member.news.is_closed());
            if !self.members.is_empty() {
                if let Some(watcher) = self.open().await {
                    self.read(watcher).await;
                }
            } else if self.streams.end(self.number, &self.inbox) {
                return;
            }
        }
    }

    /// Opens the stream at the earliest place.
    async fn open(&mut self) -> Option<Watcher> {
        let Some(earliest) = self.members.iter().filter_map(|member| member.place.time()).min() else {
            tracing::warn!("places without a time: nothing can be read from there");
            tokio::time::sleep(Duration::from_secs(1)).await;
            return None;
        };
        self.at = Some(earliest);
        self.streams.opened(self.number, earliest);
        let backoff = Backoff { give_up_after: Duration::MAX, ..Backoff::default() };
        match Watcher::open(self.streams.connection.clone(), self.source(), StartAt::Time(earliest), backoff).await {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                self.failed(&error).await;
                None
            }
        }
    }

    async fn failed(&mut self, error: &millstream_watch::Error) {
        if self.streams.expanded.load(Relaxed) && is_unknown_option(error) {
            tracing::info!("the servers know no expanded events: paths of names with points are read as they are");
            self.streams.expanded.store(false, Relaxed);
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
                // Whoever is gone needs no news, and whoever is busy comes again and hears it then.
                let _ = member.news.try_send(Parcel::Lost(error.to_string()));
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
        let expanded = self.streams.expanded.load(Relaxed);
        source.options.expanded_events = expanded;
        if wants.images {
            source.options.full_document = FullDocumentMode::WhenAvailable;
            source.options.before = BeforeMode::WhenAvailable;
            // With its images an event may be larger than a document can be (SQL-12.6).
            source.options.split_large = expanded;
        }
        source
    }

    /// Reads until somebody comes, until documents turn out to be wide, or until it is where an older stream is.
    async fn read(&mut self, mut watcher: Watcher) {
        let wants = self.wants();
        let used = wants.fields();
        let mut gathering = Gathering::default();
        // Who comes has it opened again. If many come, that is not to keep it from being read.
        let mut held = Some(Instant::now() + self.hold);
        loop {
            let step = tokio::select! {
                biased;
                member = next_member(&mut self.inbox, held) => {
                    if held.is_some() {
                        self.hold = (self.hold * 2).min(HOLD_MAX);
                    }
                    self.members.extend(member);
                    return;
                }
                step = watcher.next() => step,
            };
            (held, self.hold) = (None, HOLD_MIN);
            match step {
                Ok(Step::Event(event)) => {
                    let is_idle = self.is_idle();
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
                        if is_idle && self.join_others() {
                            return;
                        }
                    }
                    if is_wide {
                        self.asked = Asked::Fields;
                        return;
                    }
                }
                Ok(Step::Idle) => {
                    let is_idle = self.is_idle();
                    self.tell(gathering.finish().as_slice()).await;
                    self.tell_quiet(&watcher);
                    if is_idle && self.join_others() {
                        return;
                    }
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
        let count = self.members.len();
        for (number, member) in self.members.iter_mut().enumerate() {
            let is_known = |commit: &Commit| !commit.events().last().is_some_and(|event| member.place.is_before(event));
            let new = commits.get(commits.partition_point(is_known)..).unwrap_or_default();
            let Some((first, others)) = new.split_first() else { continue };
            // A place may be in the middle of a commit: of one that somebody else wanted more of, or of one whose changes were
            // dealt with one after the other.
            let first = first.behind(&member.place);
            let new = first.iter().chain(others);
            let wanted: Vec<Commit> = new.filter(|commit| member.wants(commit)).cloned().collect();
            if wanted.is_empty() {
                member.place = last.place();
                // Time goes on for it, too, however busy others are.
                let is_due = member.told.elapsed() >= MAX_AWAIT;
                if is_due && member.news.try_send(Parcel::Quiet(member.place.clone())).is_ok() {
                    member.told = Instant::now();
                }
                continue;
            }
            let is_alone = || count == 1 && self.inbox.is_empty();
            if send(member, wanted, is_alone).await {
                (member.place, member.told) = (last.place(), Instant::now());
            } else {
                late.push(number);
            }
        }
        for number in late.into_iter().rev() {
            let member = self.members.swap_remove(number);
            tracing::debug!(collections = ?member.wants.collections, "who does not keep up reads alone");
            self.streams.begin(member);
        }
        self.moved(last.place().time());
    }

    /// Whether all have worked off what they were given.
    fn is_idle(&self) -> bool {
        self.members.iter().all(Member::is_idle)
    }

    /// Gives its members to an older stream that is as far, if there is one.
    fn join_others(&mut self) -> bool {
        let Some(older) = self.streams.older(self.number) else { return false };
        for member in self.members.drain(..) {
            // A stream that ends in this very moment has its members come again.
            let _ = older.send(member);
        }
        true
    }

    /// It is that far. Seconds are enough.
    fn moved(&mut self, at: Option<Timestamp>) {
        if at.map(|at| at.time) != self.at.map(|at| at.time) {
            self.at = at;
            self.streams.moved(self.number, at);
        }
    }

    fn tell_quiet(&mut self, watcher: &Watcher) {
        let Some(token) = watcher.token() else { return };
        self.moved(token.time());
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

/// Who comes next, not before an instant.
async fn next_member(inbox: &mut mpsc::UnboundedReceiver<Member>, not_before: Option<Instant>) -> Option<Member> {
    if let Some(then) = not_before {
        sleep_until(then).await;
    }
    inbox.recv().await
}

/// Whether servers do not know an option of the stream or its stages, as those before version 6 do not know
/// `showExpandedEvents`.
fn is_unknown_option(error: &millstream_watch::Error) -> bool {
    // IDLUnknownField, what it was before, and a stage of another name than is known.
    matches!(error, millstream_watch::Error::Server { source, .. } if matches!(code(source), Some(9 | 40_324 | 40_415)))
}

/// Gives somebody commits, as soon as there is room. False: that takes longer than others are to wait.
async fn send(member: &Member, commits: Vec<Commit>, is_alone: impl Fn() -> bool) -> bool {
    let mut room = pin!(member.room_for(kib(&commits)));
    loop {
        match tokio::time::timeout(PATIENCE, &mut room).await {
            Ok(Some((room, news))) => news.send(Parcel::Commits(commits, Some(room))),
            // Whoever is gone needs no news.
            Ok(None) => {}
            Err(_) if is_alone() => continue,
            Err(_) => return false,
        }
        return true;
    }
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
