//! Operators wired together.

use crate::operator::{Operator, Step};
use crate::operators::{self, Built};
use crate::{Committed, Delta, Error, Failure, Node, NodeId, NodeStats, Notes, Result, Sealed, SourceId, Store, net};

/// A running circuit.
pub struct Circuit {
    nodes: Vec<Running>,
    output: NodeId,
    store: Store,
    /// Whether no step was ever made over this state.
    first: bool,
    clock_ms: i64,
}

/// One node.
struct Running {
    kind: Kind,
    /// When it has to run although nothing comes in.
    due_ms: Option<i64>,
}

enum Kind {
    Source(SourceId),
    Operator { operator: Box<dyn Operator>, inputs: Vec<NodeId> },
}

/// What a step puts out.
#[derive(Debug, Default)]
pub struct Output {
    /// The difference of the answer, netted: no row comes and goes in it. In circuits over changes: the outputs in order.
    pub rows: Delta,
    /// Rows that were left out, and rows that no longer are.
    pub failures: Vec<Failure>,
    /// The earliest clock (or watermark) in milliseconds at which a step without input would put something out.
    pub due_ms: Option<i64>,
}

impl Output {
    /// Takes over what the next step has put out. Netted, it is then what one step over the inputs of both would put out.
    pub fn extend(&mut self, next: Self) {
        self.rows.extend(next.rows);
        self.failures.extend(next.failures);
        self.due_ms = next.due_ms;
    }

    /// Nets what several steps have put out.
    pub fn net(&mut self) {
        net::rows(&mut self.rows);
        net::failures(&mut self.failures);
    }
}

impl Circuit {
    /// A circuit over the state in `store`, of which `output` is the answer.
    ///
    /// # Errors
    /// State that cannot be read; an output or an input of a node that is not there or stands behind it.
    pub fn new(nodes: Vec<Node>, output: NodeId, mut store: Store) -> Result<Self> {
        if output >= nodes.len() {
            return Err(Error::Bug("the answer is no node"));
        }
        store.check()?;
        let mut running = Vec::with_capacity(nodes.len());
        for (id, node) in nodes.into_iter().enumerate() {
            let kind = match operators::build(node) {
                Built::Source(source) => Kind::Source(source),
                Built::Operator(operator, inputs) if inputs.iter().all(|input| *input < id) => {
                    Kind::Operator { operator, inputs }
                }
                Built::Operator(..) => return Err(Error::Bug("an input stands behind its node")),
            };
            let due_ms = match &kind {
                Kind::Source(_) => None,
                Kind::Operator { operator, .. } => operator.due(&store.state(id)?)?,
            };
            running.push(Running { kind, due_ms });
        }
        let clock_ms = store.meta().get(CLOCK)?.and_then(|bytes| Some(i64::from_be_bytes((*bytes).try_into().ok()?)));
        Ok(Self { nodes: running, output, store, first: clock_ms.is_none(), clock_ms: clock_ms.unwrap_or(i64::MIN) })
    }

    /// Pushes differences through. `clock_ms` is the clock of the view, or the watermark.
    ///
    /// # Errors
    /// State that cannot be read or written; the circuit is of no more use then.
    pub fn step(&mut self, inputs: Vec<(SourceId, Delta)>, clock_ms: i64) -> Result<Output> {
        self.clock_ms = self.clock_ms.max(clock_ms);
        let mut sources = sources(inputs);
        let mut deltas: Vec<Delta> = Vec::with_capacity(self.nodes.len());
        let mut failures = Vec::new();
        for at in 0..self.nodes.len() {
            let mut out = Delta::new();
            let later = self.nodes.get(at + 1..).unwrap_or_default();
            let used_again = |source| later.iter().any(|node| matches!(node.kind, Kind::Source(id) if id == source));
            match self.nodes.get(at).map(|node| &node.kind) {
                Some(Kind::Source(source)) if used_again(*source) => out.extend_from_slice(delta(&sources, *source)),
                Some(Kind::Source(source)) => out = sources.get_mut(*source).map(std::mem::take).unwrap_or_default(),
                _ => self.run(at, &deltas, &mut out, &mut failures)?,
            }
            deltas.push(out);
        }
        self.first = false;
        self.store.meta().put(CLOCK, self.clock_ms.to_be_bytes())?;
        self.store.check_limit()?;
        let rows = deltas.get_mut(self.output).map(std::mem::take).unwrap_or_default();
        let mut output = Output { rows, failures, due_ms: self.nodes.iter().filter_map(|node| node.due_ms).min() };
        output.net();
        Ok(output)
    }

    /// Has one operator take its step, if it has anything to do.
    fn run(&mut self, at: NodeId, deltas: &[Delta], out: &mut Delta, failed: &mut Vec<Failure>) -> Result<()> {
        let Some(Running { kind: Kind::Operator { operator, inputs }, due_ms }) = self.nodes.get_mut(at) else {
            return Ok(());
        };
        let inputs: Vec<_> = inputs.iter().map(|input| delta(deltas, *input)).collect();
        let is_due = due_ms.is_some_and(|due| due <= self.clock_ms);
        if !self.first && !is_due && inputs.iter().all(|input| input.is_empty()) {
            return Ok(());
        }
        let state = self.store.state(at)?;
        let mut step = Step { inputs, first: self.first, clock_ms: self.clock_ms, state, out, failed };
        operator.step(&mut step)?;
        *due_ms = operator.due(&step.state)?;
        if !operator.is_net() {
            net::rows(out);
        }
        Ok(())
    }

    /// Makes all steps so far durable together with `position`, whatever that is to the caller.
    ///
    /// # Errors
    /// The store cannot write.
    pub fn commit(&mut self, position: &[u8]) -> Result<()> {
        self.store.commit(position)
    }

    /// Takes all that steps have changed since the last commit, to be written while more steps are made. Before the circuit has
    /// heard that it is ([`Circuit::settle`]) nothing else can be sealed or committed.
    ///
    /// # Errors
    /// What was sealed before is still on its way.
    pub fn seal(&mut self) -> Result<Sealed> {
        self.store.seal()
    }

    /// To be told when what was sealed is written.
    pub fn settle(&mut self, committed: Committed) {
        self.store.settle(committed);
    }

    /// About how much memory holds what the steps since the last commit, or since what was sealed, have changed, in bytes.
    #[must_use]
    pub fn uncommitted_bytes(&self) -> usize {
        self.store.uncommitted_bytes()
    }

    /// What its owner keeps beside it; the next commit makes it durable, too.
    pub fn notes(&mut self) -> Notes<'_> {
        Notes(self.store.notes())
    }

    /// The position of the last commit.
    ///
    /// # Errors
    /// The store cannot read.
    pub fn position(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.store.position().map(<[u8]>::to_vec))
    }

    /// How much state each node keeps.
    #[must_use]
    pub fn stats(&self) -> Vec<NodeStats> {
        self.store.stats(self.nodes.len())
    }

    /// How much its owner keeps beside it.
    #[must_use]
    pub fn notes_stats(&self) -> NodeStats {
        self.store.notes_stats()
    }

    /// The greatest clock (or watermark) that it was given.
    #[must_use]
    pub fn clock_ms(&self) -> i64 {
        self.clock_ms
    }
}

const CLOCK: &[u8] = b"clock";

/// The netted differences of all sources, by their number.
fn sources(inputs: Vec<(SourceId, Delta)>) -> Vec<Delta> {
    let mut all = Vec::new();
    for (source, mut delta) in inputs {
        if all.len() <= source {
            all.resize_with(source + 1, Delta::new);
        }
        if let Some(all) = all.get_mut(source) {
            if all.is_empty() { *all = delta } else { all.append(&mut delta) }
        }
    }
    all.iter_mut().for_each(net::rows);
    all
}

fn delta(deltas: &[Delta], at: usize) -> &[crate::Change] {
    deltas.get(at).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{Change, Datum, Row, RowError, ScalarRef};

    use super::*;

    fn column(at: usize) -> ScalarRef {
        Arc::new(move |row: &Row| Ok(row.value(at).clone()))
    }

    fn ten_over(at: usize) -> ScalarRef {
        Arc::new(move |row: &Row| match row.value(at) {
            Datum::Int(0) => Err(RowError::new("22012", "division by zero")),
            Datum::Int(n) => Ok(Datum::Int(10 / n)),
            _ => Err(RowError::new("42804", "not a number")),
        })
    }

    fn change(key: i32, values: &[Datum], weight: i64) -> Change {
        Change { row: Row::new(vec![Datum::Int(key)], values.to_vec()), weight }
    }

    /// SQL-19.6, E-20: rows that fail are left out, and come back by themselves.
    #[test]
    fn rows_that_fail_are_left_out_until_they_change() {
        let nodes = vec![Node::Source { source: 0 }, Node::Project { input: 0, columns: vec![ten_over(0)] }];
        let mut circuit = Circuit::new(nodes, 1, Store::memory()).unwrap();
        let n = |key, n, weight| change(key, &[Datum::Int(n)], weight);
        let bad = change(3, &[Datum::text("x")], 1);
        let output = circuit.step(vec![(0, vec![n(1, 5, 1), n(2, 0, 1), bad])], 0).unwrap();
        assert_eq!(output.rows, [n(1, 2, 1)]);
        let states: Vec<_> = output.failures.iter().map(|f| (f.key[0].clone(), f.error.state.0, f.weight)).collect();
        assert_eq!(states, [(Datum::Int(2), "22012", 1), (Datum::Int(3), "42804", 1)]);
        let output = circuit.step(vec![(0, vec![n(2, 0, -1), n(2, 4, 1)])], 0).unwrap();
        assert_eq!(output.rows, [n(2, 2, 1)]);
        let states: Vec<_> = output.failures.iter().map(|f| (f.error.state.0, f.weight)).collect();
        assert_eq!(states, [("22012", -1)]);
    }

    #[test]
    fn a_row_that_comes_and_goes_is_not_put_out() {
        let nodes = vec![
            Node::Source { source: 0 },
            Node::Source { source: 0 },
            Node::Project { input: 1, columns: vec![column(0)] },
            Node::UnionAll { inputs: vec![(0, column(0)), (2, column(0))] },
        ];
        let mut circuit = Circuit::new(nodes, 3, Store::memory()).unwrap();
        let row = |second: i32, weight| change(1, &[Datum::Int(7), Datum::Int(second)], weight);
        let output = circuit.step(vec![(0, vec![row(1, 1)]), (0, vec![row(1, -1), row(2, 1)])], 0).unwrap();
        assert_eq!(output.rows.len(), 2);
        let output = circuit.step(vec![(0, vec![row(3, 1), row(2, -1)])], 0).unwrap();
        let branches: Vec<_> = output.rows.iter().map(|c| (c.row.key[0].clone(), c.weight)).collect();
        assert_eq!(branches, [(Datum::Int(1), -1), (Datum::Int(1), 1)], "the second branch does not see the change");
    }

    #[test]
    fn a_step_that_nobody_waits_for_ends() {
        let nodes = vec![
            Node::Source { source: 0 },
            Node::SetOperation { left: 0, right: 0, operation: crate::SetOperation::Distinct, all: false },
        ];
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut circuit = Circuit::new(nodes, 1, Store::memory_until(Arc::clone(&over))).unwrap();
        let rows = |n| vec![(0, vec![change(n, &[Datum::Int(n)], 1)])];
        assert_eq!(circuit.step(rows(1), 0).unwrap().rows.len(), 1);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(matches!(circuit.step(rows(2), 0), Err(Error::Interrupted)));
    }

    #[test]
    fn values_are_there_from_the_first_step_on() {
        let row = Row::new(vec![], vec![Datum::Int(1)]);
        let mut circuit = Circuit::new(vec![Node::Values(vec![row.clone()])], 0, Store::memory()).unwrap();
        assert_eq!(circuit.step(vec![], 0).unwrap().rows, [Change { row, weight: 1 }]);
        assert_eq!(circuit.step(vec![], 1).unwrap().rows, []);
    }

    #[test]
    fn nodes_that_are_wired_wrongly_are_refused() {
        let backwards = vec![Node::Project { input: 1, columns: vec![] }, Node::Source { source: 0 }];
        assert!(Circuit::new(backwards, 0, Store::memory()).is_err());
        assert!(Circuit::new(vec![Node::Source { source: 0 }], 1, Store::memory()).is_err());
    }
}
