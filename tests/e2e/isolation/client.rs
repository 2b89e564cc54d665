//! One client of the random histories: transactions over lists and groups, and single statements on the same.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::{Document, Timestamp};
use mongodb::error::Error;
use mongodb::options::ReadConcern;
use mongodb::{ClientSession, Collection};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};

use super::caller::{Caller, End, is_transient};
use super::history::{Action, Key, Outcome, ReadsAt, Step, Transaction};
use super::statement::{How, Statement};
use crate::soak::{code, number_of};

pub(super) const DATABASE: &str = "isolation";
pub(super) const LISTS: &str = "lists";
pub(super) const GROUPS: &str = "groups";
/// How many lists and groups there are at a time. Few, so that clients meet.
const LISTS_AT_ONCE: usize = 6;
const GROUPS_AT_ONCE: usize = 3;
/// After so many writes a list or a group is left and a new one begun: reads stay short, however long the test.
const LIST_LENGTH: usize = 40;
const GROUP_LENGTH: usize = 24;
/// How long a client waits between the statements of a transaction, at most: so that others get in between.
const PAUSE_MS_MAX: u64 = 4;
/// How often it sleeps instead, so that its transaction may be aborted meanwhile, and for how long.
const SLEEPS: f64 = 0.001;
const SLEEP_MS: std::ops::Range<u64> = 800..3000;
/// How often a client goes away in the middle of a statement or a commit, and after how many milliseconds.
const LEAVES_STATEMENT: f64 = 0.015;
const LEAVES_COMMIT: f64 = 0.04;
const LEAVES_MS: std::ops::Range<u64> = 0..10;

/// What the clients share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) stop: AtomicBool,
    looks_back: bool,
    /// Values and members are numbers that are used once.
    next: AtomicI64,
    lists: [AtomicUsize; LISTS_AT_ONCE],
    groups: [AtomicUsize; GROUPS_AT_ONCE],
    /// Times of the last commits.
    commits: Mutex<VecDeque<u64>>,
}

impl Shared {
    pub(super) fn new(looks_back: bool) -> Self {
        Self { looks_back, ..Self::default() }
    }

    fn note(&self, commit: Option<u64>) {
        let mut commits = self.commits.lock().expect("the commits");
        commits.extend(commit);
        if commits.len() > COMMITS_KEPT {
            commits.pop_front();
        }
    }

    /// Sometimes a time that is not long ago, or just before or after it.
    fn lately(&self, random: &mut StdRng) -> Option<u64> {
        let commits = self.commits.lock().expect("the commits");
        let commit = commits.iter().choose(random).filter(|_| random.random_bool(0.6));
        // Before it there may be the other entries of its chain.
        commit.map(|commit| commit - 1 + random.random_range(0..5) / 2)
    }
}

/// Of how many commits the times are known to those that look back.
const COMMITS_KEPT: usize = 100;
/// CursorNotFound and SnapshotTooOld: a server that was started since then has neither its cursors nor its past.
/// SnapshotUnavailable: what exists was being changed at that time.
pub(super) const GONE: [i32; 3] = [43, 239, 246];

/// Why a statement has no answer.
enum Failed {
    Answer(Error),
    /// The client has gone away.
    Left,
}

pub(super) struct Client {
    number: usize,
    caller: Caller,
    random: StdRng,
    shared: Arc<Shared>,
    lists: Collection<Document>,
    groups: Collection<Document>,
    /// A list for itself, which says of each of its transactions whether it was committed.
    diary: usize,
    /// Members that it saw last.
    seen: Vec<(Key, i64)>,
}

impl Client {
    pub(super) fn new(number: usize, caller: Caller, random: StdRng, shared: Arc<Shared>) -> Self {
        let database = caller.client.database(DATABASE);
        let (lists, groups) = (database.collection(LISTS), database.collection(GROUPS));
        Self { number, caller, random, shared, lists, groups, diary: 0, seen: Vec::new() }
    }

    /// Goes on until it is told to stop, or something happens that must not.
    pub(super) async fn run(mut self) -> Result<Vec<Transaction>, String> {
        let mut done = Vec::new();
        let mut session = None;
        while !self.shared.stop.load(Ordering::SeqCst) {
            let mut one = Transaction {
                reads_at: None,
                client: self.number,
                number: done.len(),
                steps: Vec::new(),
                commit_sent: None,
                ended: 0,
                outcome: Outcome::Unknown,
                log_time: None,
            };
            let what = self.random.random_range(0..100);
            let result = if what < 20 {
                self.alone(&mut one).await
            } else if what < 30 && self.shared.looks_back {
                self.look_back(&mut one).await
            } else {
                match self.session(session.take()).await {
                    Some(mut open) => {
                        let result = self.transaction(&mut one, &mut open).await;
                        session = Some(open);
                        result
                    }
                    None => continue,
                }
            };
            match result {
                Ok(end) => {
                    (one.commit_sent, one.ended) = (end.sent, end.ended);
                    (one.outcome, one.log_time) = (end.outcome, end.log_time.filter(|_| writes(&one)));
                    self.shared.note(one.log_time);
                    done.push(one);
                }
                Err(error) => return Err(format!("client {}: {error}; {one:?}", self.number)),
            }
        }
        Ok(done)
    }

    /// Mostly the session from before; `None` while the server is not there.
    async fn session(&mut self, before: Option<ClientSession>) -> Option<ClientSession> {
        match before {
            Some(session) if self.random.random_bool(0.9) => Some(session),
            _ => self.caller.client.start_session().await.ok(),
        }
    }

    async fn transaction(&mut self, one: &mut Transaction, session: &mut ClientSession) -> Result<End, String> {
        let concern = self.random.random_bool(0.5).then(ReadConcern::snapshot);
        let start = session.start_transaction();
        let start = match concern {
            Some(concern) => start.read_concern(concern),
            None => start,
        };
        start.await.map_err(|error| format!("startTransaction: {error}"))?;
        let mut statements: Vec<Statement> =
            (0..self.random.random_range(1..6)).map(|_| self.statement(true)).collect();
        // What says of a client that got no answer whether its transaction was committed.
        statements.insert(self.random.random_range(0..=statements.len()), self.note());
        for statement in statements {
            if let Err(failed) = self.send(one, &statement, Some(session)).await {
                if let Failed::Answer(error) = failed {
                    is_transient(&error)?;
                }
                return Ok(self.caller.abort(session).await);
            }
            self.pause().await;
        }
        if self.random.random_bool(0.08) {
            return Ok(self.caller.abort(session).await);
        }
        let leaves = self.leaves(LEAVES_COMMIT);
        self.caller.commit(session, leaves).await
    }

    async fn alone(&mut self, one: &mut Transaction) -> Result<End, String> {
        let mut statement = self.statement(false);
        if let Statement::Insert { members, .. } = &mut statement {
            // Several documents are only in a transaction one write.
            members.truncate(1);
        }
        let sent = self.caller.begin();
        let result = self.send(one, &statement, None).await;
        let (ended, log_time) = (self.caller.clock.now(), self.caller.log_time());
        let outcome = match &result {
            Ok(()) => Outcome::Committed,
            Err(Failed::Answer(error)) => self.caller.alone_failed(error)?,
            Err(Failed::Left) => Outcome::Unknown,
        };
        let began = one.steps.first().map_or(sent, |step| step.sent);
        Ok(End { outcome, sent: Some(began), ended, log_time: log_time.filter(|_| result.is_ok()) })
    }

    /// Reads several times at one time of the log: now, or one that was lately.
    async fn look_back(&mut self, one: &mut Transaction) -> Result<End, String> {
        let asked = self.shared.lately(&mut self.random);
        let start = self.caller.client.start_session().snapshot(true);
        let start = match asked {
            Some(time) => start.snapshot_time(timestamp_of(time)),
            None => start,
        };
        let mut session = start.await.map_err(|error| format!("startSession: {error}"))?;
        for _ in 0..self.random.random_range(1..4) {
            let statement = self.reading();
            if let Err(failed) = self.send(one, &statement, Some(&mut session)).await {
                if let Failed::Answer(error) = failed
                    && !code(&error).is_some_and(|code| GONE.contains(&code))
                {
                    is_transient(&error)?;
                }
                break;
            }
            self.pause().await;
        }
        let told = session.snapshot_time().map(|time| ReadsAt::Told(number_of(time)));
        one.reads_at = asked.map(ReadsAt::Asked).or(told);
        Ok(End { outcome: Outcome::Aborted, sent: None, ended: self.caller.clock.now(), log_time: None })
    }

    async fn pause(&mut self) {
        let ms = match self.random.random_bool(SLEEPS) {
            true => self.random.random_range(SLEEP_MS),
            false => self.random.random_range(0..=PAUSE_MS_MAX),
        };
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// Sends a statement and records what it did or showed.
    async fn send(
        &mut self,
        one: &mut Transaction,
        statement: &Statement,
        session: Option<&mut ClientSession>,
    ) -> Result<(), Failed> {
        let leaves = self.leaves(LEAVES_STATEMENT).unwrap_or(Duration::MAX);
        let sent = self.caller.clock.now();
        let result = tokio::time::timeout(leaves, statement.perform(&self.lists, &self.groups, session)).await;
        let answered = self.caller.clock.now();
        let failed = match result {
            Ok(Ok(actions)) => {
                self.remember(&actions);
                let steps = actions.into_iter().map(|action| Step { sent, answered: Some(answered), action });
                one.steps.extend(steps);
                return Ok(());
            }
            Ok(Err(error)) => Failed::Answer(error),
            Err(_) => Failed::Left,
        };
        one.steps.extend(statement.intended().into_iter().map(|action| Step { sent, answered: None, action }));
        Err(failed)
    }

    /// Whether, and when, the client goes away now.
    fn leaves(&mut self, often: f64) -> Option<Duration> {
        let leaves = self.random.random_bool(often);
        leaves.then(|| Duration::from_millis(self.random.random_range(LEAVES_MS)))
    }
}

impl Client {
    /// The next statement, at random. What is about many documents is one write only in a transaction.
    fn statement(&mut self, in_transaction: bool) -> Statement {
        match self.random.random_range(0..if in_transaction { 108 } else { 100 }) {
            0..20 => Statement::Append { list: self.list(true), value: self.next() },
            20..35 => Statement::AppendAndRead { list: self.list(true), value: self.next() },
            35..45 => {
                let count = self.random.random_range(1..4);
                let members = (0..count).map(|_| self.next()).collect();
                Statement::Insert { group: self.group(count), members }
            }
            45..55 if !self.seen.is_empty() => {
                let (group, member) = self.seen.choose(&mut self.random).expect("a member").clone();
                Statement::Delete { group, member }
            }
            100..104 => Statement::Touch { group: self.group(0) },
            104..108 => Statement::Clear { group: self.group(0) },
            _ => self.reading(),
        }
    }

    fn reading(&mut self) -> Statement {
        match self.random.random_range(0..9) {
            0..3 => Statement::Read { list: self.list(false) },
            3..5 => {
                let lists: BTreeSet<Key> = (0..3).map(|_| self.list(false)).collect();
                Statement::ReadSeveral { lists: lists.into_iter().collect() }
            }
            _ => {
                let how = [How::Find, How::Aggregate, How::Distinct].choose(&mut self.random);
                Statement::Members { group: self.group(0), how: *how.expect("a way") }
            }
        }
    }

    /// An entry of the diary.
    fn note(&mut self) -> Statement {
        self.diary += 1;
        let list = format!("diary{}.{}", self.number, self.diary / LIST_LENGTH);
        Statement::Append { list, value: self.next() }
    }

    fn next(&self) -> i64 {
        self.shared.next.fetch_add(1, Ordering::SeqCst)
    }

    fn list(&mut self, grows: bool) -> Key {
        // The first lists are busier than the last.
        let number = (0..2).map(|_| self.random.random_range(0..LISTS_AT_ONCE)).min().expect("a number");
        let length = self.shared.lists[number].fetch_add(usize::from(grows), Ordering::SeqCst);
        format!("list{number}.{}", self.maybe_before(length / LIST_LENGTH))
    }

    fn group(&mut self, grows: usize) -> Key {
        let number = self.random.random_range(0..GROUPS_AT_ONCE);
        let length = self.shared.groups[number].fetch_add(grows, Ordering::SeqCst);
        format!("group{number}.{}", self.maybe_before(length / GROUP_LENGTH))
    }

    /// Sometimes the one before, which is nearly full.
    fn maybe_before(&mut self, number: usize) -> usize {
        number.saturating_sub(usize::from(self.random.random_bool(0.1)))
    }

    /// What is there to delete.
    fn remember(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Members { group, members } => {
                    self.seen = members.iter().map(|member| (group.clone(), *member)).collect();
                }
                Action::Delete { member, .. } => self.seen.retain(|(_, seen)| seen != member),
                _ => {}
            }
        }
    }
}

fn timestamp_of(time: u64) -> Timestamp {
    let half = |number: u64| u32::try_from(number & 0xffff_ffff).expect("half of it");
    Timestamp { time: half(time >> 32), increment: half(time) }
}

/// Whether something is in the log of it.
fn writes(transaction: &Transaction) -> bool {
    transaction.answered().any(|(action, _)| match action {
        Action::Append { .. } | Action::Insert { .. } => true,
        Action::Delete { found, .. } => *found,
        Action::Read { .. } | Action::Members { .. } | Action::Touch { .. } => false,
    })
}
