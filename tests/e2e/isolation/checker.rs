//! Says whether a history is one that snapshot isolation allows, and names what is wrong with it if it is not.
//!
//! Lists only grow and every value is written once, so a list that is read says which writes its reader saw, in
//! which order, and what is in the lists in the end says who came before whom. From that, and from who was answered before
//! whom sent, follow the edges of a graph (`graph.rs`) with two nodes a transaction, its snapshot and its commit. The history
//! is snapshot isolated if the graph has no cycle:
//!
//! - who saw a write took its snapshot after the writer's commit, who did not see it took it before;
//! - of two that wrote to the same list, the later took its snapshot after the earlier's commit: else it would have
//!   been a write conflict;
//! - what began after an answer comes after what was answered, because snapshots are never old ones.
//!
//! Write skew (two that each did not see what the other wrote, elsewhere) is no cycle: snapshot isolation allows it. It is
//! counted, and said. What concerns a single value, such as one that was never committed and yet seen, is found without
//! the graph (`lists.rs`, `groups.rs`). All of it takes time in proportion to what was read.

mod facts;
mod graph;
mod groups;
mod lists;
mod name;
mod story;
mod tests;

use std::collections::BTreeSet;

use super::history::{History, Key, Outcome};
use facts::Facts;
use graph::Graph;
pub(crate) use name::Name;

/// What was found in a history.
pub(crate) struct Report {
    /// What snapshot isolation forbids, in the order of the names, those with the fewest transactions first.
    pub(crate) anomalies: Vec<Anomaly>,
    /// The pairs of transactions that show write skew, which is allowed.
    pub(crate) write_skews: Vec<Anomaly>,
    pub(crate) committed: usize,
    pub(crate) aborted: usize,
    /// How many were never answered and turned out to be committed, or not.
    pub(crate) unanswered: usize,
}

/// Something that a history shows, and the transactions that are enough to show it.
#[derive(Clone, Debug)]
pub(crate) struct Anomaly {
    pub(crate) name: Name,
    pub(crate) transactions: Vec<usize>,
    /// The lists and groups that it is about.
    pub(crate) keys: BTreeSet<Key>,
    /// One sentence a line.
    pub(crate) why: Vec<String>,
}

pub(crate) fn check(history: &History) -> Report {
    let facts = Facts::of(history);
    let mut found = Found { facts: &facts, anomalies: Vec::new(), graph: Graph::of(&facts) };
    lists::look(&mut found);
    groups::look(&mut found);
    let Found { mut anomalies, graph, .. } = found;
    let (cycles, write_skews) = graph.cycles(&facts, &anomalies);
    anomalies.extend(cycles);
    anomalies.sort_by_key(|anomaly| (anomaly.name, anomaly.size(history)));
    let count = |outcome| history.transactions.iter().filter(|one| one.outcome == outcome).count();
    Report {
        anomalies,
        write_skews,
        committed: count(Outcome::Committed),
        aborted: count(Outcome::Aborted),
        unanswered: count(Outcome::Unknown),
    }
}

/// What has been found so far, and where to put more.
struct Found<'a> {
    facts: &'a Facts<'a>,
    anomalies: Vec<Anomaly>,
    graph: Graph,
}

impl Found<'_> {
    fn add(&mut self, name: Name, transactions: &[usize], key: &str, why: String) {
        let mut distinct: Vec<usize> = Vec::new();
        for one in transactions {
            if !distinct.contains(one) {
                distinct.push(*one);
            }
        }
        let keys = BTreeSet::from([key.to_owned()]);
        self.anomalies.push(Anomaly { name, transactions: distinct, keys, why: vec![why] });
    }
}

impl Anomaly {
    /// How much there is to read: transactions, then steps.
    fn size(&self, history: &History) -> (usize, usize) {
        let steps = self.transactions.iter().map(|one| history.transactions[*one].steps.len()).sum();
        (self.transactions.len(), steps)
    }
}
