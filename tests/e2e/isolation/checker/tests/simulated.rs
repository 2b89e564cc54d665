//! Long histories of an engine that is simulated: of a right one nothing is said, of each wrong one what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::isolation::checker::{Name, check};
use crate::isolation::history::{Action, History, Outcome, Step, Transaction};

const CLIENTS: usize = 16;
const LISTS: [&str; 6] = ["u", "v", "w", "x", "y", "z"];
const GROUPS: [&str; 3] = ["f", "g", "h"];
const KILL: f64 = 0.0005;

#[derive(Clone, Copy, PartialEq)]
enum Engine {
    Right,
    /// Lets both of two writers commit, one after the other.
    NoConflictCheck,
    /// The same, and the later puts the whole list back as it knew it.
    WritesOver,
    /// Each read has a snapshot of its own.
    ReadsCommitted,
    /// Snapshots may be those of a while ago.
    OldSnapshots,
    /// A kill may keep the first half of a commit.
    TearsCommits,
    /// An abort leaves what was written.
    KeepsAborted,
}

/// A transaction that is under way.
struct Open {
    number: usize,
    snapshot: Option<u64>,
    left: usize,
    commit: Phase,
}

#[derive(PartialEq)]
enum Phase {
    Running,
    Sent,
    /// In the log at this time; the answer is on its way.
    Applied(u64),
}

/// When a document came and went, as commits.
#[derive(Clone)]
struct Life {
    group: &'static str,
    came: u64,
    went: Option<u64>,
}

struct Simulation {
    engine: Engine,
    random: StdRng,
    clock: u64,
    commits: u64,
    next: i64,
    /// Values with the commit that brought them.
    lists: BTreeMap<&'static str, Vec<(i64, u64)>>,
    members: BTreeMap<i64, Life>,
    history: History,
}

impl Simulation {
    fn run(engine: Engine, seed: u64, rounds: usize) -> History {
        let mut simulation = Self {
            engine,
            random: StdRng::seed_from_u64(seed),
            clock: 0,
            commits: 0,
            next: 0,
            lists: LISTS.iter().map(|list| (*list, Vec::new())).collect(),
            members: BTreeMap::new(),
            history: History::default(),
        };
        let mut clients: Vec<Option<Open>> = (0..CLIENTS).map(|_| None).collect();
        for _ in 0..rounds {
            if simulation.random.random_bool(KILL) {
                for client in &mut clients {
                    simulation.killed(client.take());
                }
            }
            let client = simulation.random.random_range(0..CLIENTS);
            clients[client] = simulation.step(client, clients[client].take());
        }
        for client in &mut clients {
            simulation.killed(client.take());
        }
        simulation.ended()
    }

    fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn step(&mut self, client: usize, open: Option<Open>) -> Option<Open> {
        let Some(mut open) = open else {
            self.history.transactions.push(Transaction {
                client,
                number: self.history.transactions.len(),
                steps: Vec::new(),
                commit_sent: None,
                ended: 0,
                outcome: Outcome::Unknown,
                log_time: None,
                reads_at: None,
            });
            let number = self.history.transactions.len() - 1;
            return Some(Open { number, snapshot: None, left: self.random.random_range(1..6), commit: Phase::Running });
        };
        let now = self.now();
        match open.commit {
            Phase::Running if open.left > 0 => {
                open.left -= 1;
                self.act(&mut open);
            }
            Phase::Running if self.random.random_bool(0.1) => {
                if self.engine == Engine::KeepsAborted && self.random.random_bool(0.05) {
                    self.apply(&open, usize::MAX);
                }
                return self.end(&open, Outcome::Aborted);
            }
            Phase::Running => {
                self.history.transactions[open.number].commit_sent = Some(now);
                open.commit = Phase::Sent;
            }
            Phase::Sent if !self.may_commit(&open) => return self.end(&open, Outcome::Aborted),
            Phase::Sent => {
                self.apply(&open, usize::MAX);
                open.commit = Phase::Applied(self.commits);
            }
            Phase::Applied(time) => {
                self.history.transactions[open.number].log_time = Some(time);
                return self.end(&open, Outcome::Committed);
            }
        }
        Some(open)
    }

    fn act(&mut self, open: &mut Open) {
        let sent = self.now();
        let old = if self.engine == Engine::OldSnapshots { self.random.random_range(0..2) } else { 0 };
        let mut snapshot = *open.snapshot.get_or_insert(self.commits.saturating_sub(old));
        if self.engine == Engine::ReadsCommitted {
            snapshot = self.commits;
        }
        let list = *LISTS.choose(&mut self.random).expect("a list");
        let group = *GROUPS.choose(&mut self.random).expect("a group");
        let members = self.members_of(open.number, group, snapshot);
        self.next += 1;
        let action = match self.random.random_range(0..10) {
            0..=2 => Action::Append { list: list.to_owned(), value: self.next },
            3..=5 => Action::Read { list: list.to_owned(), values: self.read(open.number, list, snapshot) },
            6 => Action::Insert { group: group.to_owned(), member: self.next },
            7 if !members.is_empty() => {
                let member = *members.choose(&mut self.random).expect("a document");
                Action::Delete { group: group.to_owned(), member, found: true }
            }
            _ => Action::Members { group: group.to_owned(), members },
        };
        let answered = Some(self.now());
        self.history.transactions[open.number].steps.push(Step { sent, answered, action });
    }

    fn read(&self, number: usize, list: &str, snapshot: u64) -> Vec<i64> {
        let others = self.lists[list].iter().filter(|(_, commit)| *commit <= snapshot).map(|(value, _)| *value);
        let own = self.history.transactions[number].steps.iter().filter_map(|step| match &step.action {
            Action::Append { list: of, value } if of == list => Some(*value),
            _ => None,
        });
        others.chain(own).collect()
    }

    fn members_of(&self, number: usize, group: &str, snapshot: u64) -> Vec<i64> {
        let here = |life: &Life| life.came <= snapshot && life.went.is_none_or(|went| went > snapshot);
        let others = self.members.iter().filter(|(_, life)| life.group == group && here(life)).map(|(id, _)| *id);
        let mut members: BTreeSet<i64> = others.collect();
        for step in &self.history.transactions[number].steps {
            match &step.action {
                Action::Insert { group: of, member } if of == group => {
                    members.insert(*member);
                }
                Action::Delete { member, .. } => {
                    members.remove(member);
                }
                _ => {}
            }
        }
        members.into_iter().collect()
    }

    fn may_commit(&self, open: &Open) -> bool {
        let snapshot = open.snapshot.unwrap_or(self.commits);
        let unchecked = matches!(self.engine, Engine::NoConflictCheck | Engine::WritesOver);
        let mut steps = self.history.transactions[open.number].steps.iter();
        unchecked
            || steps.all(|step| match &step.action {
                Action::Append { list, .. } => {
                    self.lists[list.as_str()].last().is_none_or(|(_, commit)| *commit <= snapshot)
                }
                Action::Delete { member, .. } => self.members.get(member).is_none_or(|life| life.went.is_none()),
                _ => true,
            })
    }

    /// Makes the first writes of a transaction visible.
    fn apply(&mut self, open: &Open, writes: usize) {
        self.commits += 1;
        let commit = self.commits;
        let snapshot = open.snapshot.unwrap_or(commit);
        let is_write = |action: &Action| !matches!(action, Action::Read { .. } | Action::Members { .. });
        let steps = self.history.transactions[open.number].steps.iter().map(|step| step.action.clone());
        for action in steps.filter(is_write).take(writes).collect::<Vec<_>>() {
            match action {
                Action::Append { list, value } => {
                    let values = self.lists.get_mut(list.as_str()).expect("a list");
                    if self.engine == Engine::WritesOver {
                        values.retain(|(_, known)| *known <= snapshot || *known == commit);
                    }
                    values.push((value, commit));
                }
                Action::Insert { group, member } => {
                    let group = GROUPS.iter().find(|known| **known == group).expect("a group");
                    self.members.insert(member, Life { group, came: commit, went: None });
                }
                Action::Delete { member, .. } => {
                    self.members.get_mut(&member).expect("a document").went = Some(commit);
                }
                Action::Read { .. } | Action::Members { .. } | Action::Touch { .. } => {}
            }
        }
    }

    fn end(&mut self, open: &Open, outcome: Outcome) -> Option<Open> {
        let now = self.now();
        let transaction = &mut self.history.transactions[open.number];
        transaction.outcome = outcome;
        transaction.ended = now;
        None
    }

    /// What was sent gets no answer, what was not is aborted.
    fn killed(&mut self, open: Option<Open>) {
        let Some(open) = open else { return };
        if open.commit == Phase::Sent && self.engine == Engine::TearsCommits {
            self.apply(&open, 1);
        }
        let outcome = if open.commit == Phase::Running { Outcome::Aborted } else { Outcome::Unknown };
        self.end(&open, outcome);
    }

    fn ended(mut self) -> History {
        let values = |values: &Vec<(i64, u64)>| values.iter().map(|(value, _)| *value).collect();
        self.history.lists = self.lists.iter().map(|(list, found)| ((*list).to_owned(), values(found))).collect();
        for (id, life) in self.members.iter().filter(|(_, life)| life.went.is_none()) {
            self.history.groups.entry(life.group.to_owned()).or_default().push(*id);
        }
        self.history
    }
}

fn names(engine: Engine) -> BTreeSet<Name> {
    let mut names = BTreeSet::new();
    for seed in 0..6 {
        let history = Simulation::run(engine, seed, 2500);
        let report = check(&history);
        assert!(report.committed > 50 && report.unanswered > 0, "too little happened");
        if engine == Engine::Right {
            assert!(report.anomalies.is_empty(), "seed {seed}: {}", report.text(&history));
            assert!(!report.write_skews.is_empty(), "seed {seed}: no write skew");
        }
        names.extend(report.anomalies.iter().map(|anomaly| anomaly.name));
    }
    names
}

#[test]
fn of_a_right_engine_nothing_is_said() {
    names(Engine::Right);
}

#[test]
fn of_wrong_engines_it_is_said_what_is_wrong() {
    for (engine, expected) in [
        (Engine::NoConflictCheck, Name::LostUpdate),
        (Engine::WritesOver, Name::LostUpdate),
        (Engine::ReadsCommitted, Name::ReadSkew),
        (Engine::ReadsCommitted, Name::NonRepeatableRead),
        (Engine::ReadsCommitted, Name::Phantom),
        (Engine::OldSnapshots, Name::StaleRead),
        (Engine::TearsCommits, Name::TornTransaction),
        (Engine::KeepsAborted, Name::AbortedWriteKept),
    ] {
        let found = names(engine);
        assert!(found.contains(&expected), "{expected}: {found:?}");
    }
}
