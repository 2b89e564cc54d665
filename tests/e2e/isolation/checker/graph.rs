//! What came before what, and the cycles in it.

mod cycles;

use std::collections::{BTreeSet, HashMap, HashSet};

use super::facts::Facts;
use super::{Anomaly, Name};
use crate::isolation::history::{Key, Outcome, ReadsAt};

/// Why one node is before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A snapshot is before its commit.
    Own,
    /// Both wrote to this list, or deleted in this group.
    Wrote(Key),
    /// The snapshot has what the commit wrote.
    Saw(Key, How),
    /// The snapshot does not have what the commit wrote.
    Missed(Key, How),
    /// One was answered before the other was sent.
    Clock,
    /// The log has them in this order, or one reads at a time of it.
    Log,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Item,
    Predicate,
}

struct Edge {
    from: usize,
    to: usize,
    cause: Cause,
}

/// Nodes are `2 * transaction` for its snapshot, one more for its commit, and behind them the moments by which times
/// are compared.
pub(super) struct Graph {
    transactions: usize,
    nodes: usize,
    edges: Vec<Edge>,
}

/// A time, and what comes first at that time.
type Place = (u64, u8);

/// On which side of a moment a node stands.
enum Side {
    Before,
    After,
}

fn snapshot(transaction: usize) -> usize {
    2 * transaction
}

fn commit(transaction: usize) -> usize {
    2 * transaction + 1
}

impl Graph {
    /// With what times alone say.
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let all = &facts.history.transactions;
        let mut graph = Self { transactions: all.len(), nodes: 2 * all.len(), edges: Vec::new() };
        let (mut clock, mut log) = (Vec::new(), Vec::new());
        for (number, one) in all.iter().enumerate() {
            if let Some(ReadsAt::Asked(time) | ReadsAt::Told(time)) = one.reads_at {
                // After what was committed at that time, before what was later.
                log.push(((time, 2), Side::After, snapshot(number)));
                log.push(((time, 2), Side::Before, snapshot(number)));
            }
            if !matches!(one.reads_at, Some(ReadsAt::Asked(_))) {
                clock.push(((one.began(), 0), Side::After, snapshot(number)));
                if let Some(answered) = one.has_snapshot() {
                    clock.push(((answered, 0), Side::Before, snapshot(number)));
                }
            }
            if !facts.is_committed(number) {
                continue;
            }
            graph.edge(snapshot(number), commit(number), Cause::Own);
            clock.extend(one.commit_sent.map(|sent| ((sent, 0), Side::After, commit(number))));
            if one.outcome == Outcome::Committed {
                clock.push(((one.ended, 0), Side::Before, commit(number)));
            }
            if let Some(time) = one.log_time {
                // Those of one time are not before each other.
                log.push(((time, 0), Side::After, commit(number)));
                log.push(((time, 1), Side::Before, commit(number)));
            }
        }
        graph.in_order(clock, &Cause::Clock);
        graph.in_order(log, &Cause::Log);
        graph
    }

    /// `writer` wrote before `next`, to the same thing.
    pub(super) fn wrote(&mut self, writer: usize, next: usize, key: &Key) {
        self.edge(commit(writer), snapshot(next), Cause::Wrote(key.clone()));
    }

    /// `reader` saw what `writer` wrote.
    pub(super) fn saw(&mut self, reader: usize, writer: usize, key: &Key, how: How) {
        self.edge(commit(writer), snapshot(reader), Cause::Saw(key.clone(), how));
    }

    /// `reader` did not see what `writer` wrote.
    pub(super) fn missed(&mut self, reader: usize, writer: usize, key: &Key, how: How) {
        self.edge(snapshot(reader), commit(writer), Cause::Missed(key.clone(), how));
    }

    fn edge(&mut self, from: usize, to: usize, cause: Cause) {
        self.edges.push(Edge { from, to, cause });
    }

    /// Puts a moment behind each node that is before something, and every moment before the next one: a number of edges
    /// in proportion to the nodes, and the same paths as between all pairs.
    fn in_order(&mut self, mut places: Vec<(Place, Side, usize)>, cause: &Cause) {
        // At one time those that were sent come first: what was answered then is not before them.
        places.sort_by_key(|(time, side, _)| (*time, matches!(side, Side::Before)));
        let mut last = None;
        for (_, side, node) in places {
            match side {
                Side::After => {
                    if let Some(moment) = last {
                        self.edge(moment, node, cause.clone());
                    }
                }
                Side::Before => {
                    let moment = self.nodes;
                    self.nodes += 1;
                    self.edge(node, moment, cause.clone());
                    if let Some(earlier) = last {
                        self.edge(earlier, moment, cause.clone());
                    }
                    last = Some(moment);
                }
            }
        }
    }

    /// What is wrong besides what is `known`, and the pairs that show write skew.
    pub(super) fn cycles(&self, facts: &Facts<'_>, known: &[Anomaly]) -> (Vec<Anomaly>, Vec<Anomaly>) {
        let (mut anomalies, write_skews) = self.pairs(facts);
        // What is wrong with a value mostly makes cycles too, which say nothing new.
        let mut by_transaction: HashMap<usize, Vec<&Anomaly>> = HashMap::new();
        for one in known {
            for of in &one.transactions {
                by_transaction.entry(*of).or_default().push(one);
            }
        }
        anomalies.retain(|pair| {
            let beside = by_transaction.get(&pair.transactions[0]);
            !beside.into_iter().flatten().any(|one| one.transactions.contains(&pair.transactions[1]))
        });
        let known = known.iter().chain(&anomalies).flat_map(|one| one.transactions.iter().copied());
        let known: HashSet<usize> = known.collect();
        let outgoing = self.outgoing();
        let tangles = self.tangles(&outgoing);
        let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
        for (node, tangle) in tangles.iter().enumerate() {
            members.entry(*tangle).or_default().push(node);
        }
        let mut large: Vec<Vec<usize>> = members.into_values().filter(|nodes| nodes.len() > 1).collect();
        large.sort();
        for nodes in large {
            if nodes.iter().any(|node| self.is_of(*node).is_some_and(|one| known.contains(&one))) {
                continue;
            }
            anomalies.extend(self.shortest(&nodes, &tangles, &outgoing).map(|cycle| self.told(&cycle, facts)));
        }
        (anomalies, write_skews)
    }

    /// The transaction of a node that is not a moment.
    fn is_of(&self, node: usize) -> Option<usize> {
        (node < 2 * self.transactions).then_some(node / 2)
    }

    /// Cycles of two transactions, which are most of those that there are, and have the best names.
    fn pairs(&self, facts: &Facts<'_>) -> (Vec<Anomaly>, Vec<Anomaly>) {
        // By reader and writer.
        let mut missed: HashMap<(usize, usize), Vec<usize>> = HashMap::new();
        let mut before: HashMap<(usize, usize), Vec<usize>> = HashMap::new();
        for (number, edge) in self.edges.iter().enumerate() {
            match edge.cause {
                Cause::Missed(..) => missed.entry((edge.from / 2, edge.to / 2)).or_default().push(number),
                Cause::Wrote(_) | Cause::Saw(..) => {
                    before.entry((edge.to / 2, edge.from / 2)).or_default().push(number);
                }
                Cause::Own | Cause::Clock | Cause::Log => {}
            }
        }
        let (mut anomalies, mut write_skews) = (Vec::new(), Vec::new());
        let mut pairs: Vec<_> = missed.iter().collect();
        pairs.sort();
        for ((reader, writer), missed_edges) in pairs {
            if let Some(before_edges) = before.get(&(*reader, *writer)) {
                let (name, edges) = self.pair(missed_edges, before_edges);
                anomalies.push(self.anomaly(name, &edges, facts));
            } else if reader < writer
                && let Some(other) = missed.get(&(*writer, *reader))
                && facts.is_committed(*reader)
            {
                let edges = [missed_edges[0], other[0]];
                write_skews.push(self.anomaly(Name::WriteSkew, &edges, facts));
            }
        }
        (anomalies, write_skews)
    }

    /// The best name for two that are before each other, and the two edges that show it.
    fn pair(&self, missed: &[usize], before: &[usize]) -> (Name, [usize; 2]) {
        let mut best = None;
        for later in missed {
            for earlier in before {
                let name = match (&self.edges[*later].cause, &self.edges[*earlier].cause) {
                    (Cause::Missed(read, How::Item), Cause::Wrote(written)) if read == written => Name::LostUpdate,
                    (Cause::Missed(read, How::Item), Cause::Saw(again, How::Item)) if read == again => {
                        Name::NonRepeatableRead
                    }
                    (Cause::Missed(read, How::Predicate), Cause::Saw(again, How::Predicate)) if read == again => {
                        Name::Phantom
                    }
                    (_, Cause::Wrote(_)) => Name::MissedConflict,
                    _ => Name::ReadSkew,
                };
                let edges = [*later, *earlier];
                if best.as_ref().is_none_or(|(known, _)| rank(name) < rank(*known)) {
                    best = Some((name, edges));
                }
            }
        }
        best.expect("at least one edge each way")
    }

    /// A cycle of more than that, or of what times say.
    fn told(&self, cycle: &[usize], facts: &Facts<'_>) -> Anomaly {
        let causes: Vec<&Cause> = cycle.iter().map(|edge| &self.edges[*edge].cause).collect();
        let has = |test: fn(&Cause) -> bool| causes.iter().any(|cause| test(cause));
        let missed = causes.iter().filter(|cause| matches!(cause, Cause::Missed(..))).count();
        let wrote = has(|cause| matches!(cause, Cause::Wrote(_)));
        let saw = has(|cause| matches!(cause, Cause::Saw(..)));
        // A way that leads from a snapshot over the clock ends at a commit that the snapshot must not have.
        let late = cycle.iter().any(|edge| {
            let edge = &self.edges[*edge];
            edge.cause == Cause::Clock && self.is_of(edge.from).is_some() && edge.from.is_multiple_of(2)
        });
        let name = if has(|cause| *cause == Cause::Log) {
            Name::LogOrder
        } else if late {
            Name::LateSnapshot
        } else if has(|cause| *cause == Cause::Clock) {
            Name::StaleRead
        } else {
            match (missed, wrote, saw) {
                (0, true, false) => Name::DirtyWrite,
                (0, _, _) => Name::CircularFlow,
                (_, true, _) => Name::MissedConflict,
                (1, _, _) => Name::ReadSkew,
                _ => Name::LongFork,
            }
        };
        self.anomaly(name, cycle, facts)
    }

    fn anomaly(&self, name: Name, edges: &[usize], facts: &Facts<'_>) -> Anomaly {
        let mut transactions: Vec<usize> = Vec::new();
        let mut keys = BTreeSet::new();
        let mut why = Vec::new();
        // The transaction from which a way over moments came.
        let mut since = None;
        for number in edges {
            let edge = &self.edges[*number];
            for one in [edge.from, edge.to].into_iter().filter_map(|node| self.is_of(node)) {
                if !transactions.contains(&one) {
                    transactions.push(one);
                }
            }
            let label = |node: usize| self.is_of(node).map(|one| facts.label(one));
            let (from, to) = (label(edge.from), label(edge.to));
            since = from.clone().or(since);
            let named = |name: &Option<String>| name.clone().unwrap_or_default();
            let (from, to) = (named(&from), to.clone());
            match (&edge.cause, to) {
                (Cause::Wrote(key), Some(to)) => {
                    why.push(format!(
                        "{to} wrote to {key} over what {from} had written, so it began after {from} was committed"
                    ));
                    keys.insert(key.clone());
                }
                (Cause::Saw(key, _), Some(to)) => {
                    why.push(format!("{to} saw what {from} did to {key}, so it began after {from} was committed"));
                    keys.insert(key.clone());
                }
                (Cause::Missed(key, _), Some(to)) => {
                    why.push(format!(
                        "{from} did not see what {to} did to {key}, so it began before {to} was committed"
                    ));
                    keys.insert(key.clone());
                }
                (Cause::Clock, Some(to)) => why.push(match edge.to % 2 {
                    0 => format!("{to} began when {} had been answered", named(&since)),
                    _ => format!("the commit of {to} was sent when {} had been answered", named(&since)),
                }),
                (Cause::Log, Some(to)) => why.push(match edge.to % 2 {
                    0 => format!("{to} reads at a time of the log that is not before {}", named(&since)),
                    _ => format!("the commit of {to} is behind {} in the log", named(&since)),
                }),
                (Cause::Own | Cause::Clock | Cause::Log, _) | (_, None) => {}
            }
        }
        Anomaly { name, transactions, keys, why }
    }
}

/// Which name says most about a pair.
fn rank(name: Name) -> usize {
    match name {
        Name::LostUpdate => 0,
        Name::NonRepeatableRead | Name::Phantom => 1,
        Name::MissedConflict => 2,
        _ => 3,
    }
}
