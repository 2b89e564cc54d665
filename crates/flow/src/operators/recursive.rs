//! `WITH RECURSIVE` (SQL-9.11): a query over its own rows, round by round, until a round brings nothing new. For circuits that
//! take one step only.

use std::collections::{BTreeMap, BTreeSet};

use crate::operator::{Operator, Step};
use crate::{Change, Circuit, Datum, Delta, Error, NodeId, Result, Row, RowError, SourceId, Store, key};

/// So many rounds there may be.
const ROUNDS_MAX: usize = 10_000;

pub(super) struct Recursive {
    /// The circuit of a round: source 0 is what the round before has brought.
    pub(super) circuit: Option<(Vec<crate::Node>, NodeId)>,
    /// Its other sources, in the order of the inputs behind the first.
    pub(super) sources: Vec<SourceId>,
    /// Whether a row counts only once.
    pub(super) distinct: bool,
}

/// All rows so far.
struct Rows {
    seen: Option<BTreeSet<Vec<u8>>>,
    count: i64,
}

impl Rows {
    /// Those that are new, each with its number as its key.
    fn new_ones<'r>(&mut self, rows: impl Iterator<Item = &'r Row>) -> Vec<Row> {
        let mut new = Vec::new();
        for row in rows {
            if self.seen.as_mut().is_none_or(|seen| seen.insert(key::of_all(row.values.iter()))) {
                self.count += 1;
                new.push(Row { key: [Datum::Long(self.count)].into(), values: row.values.clone() });
            }
        }
        new
    }
}

impl Operator for Recursive {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        let Some((nodes, output)) = self.circuit.take() else {
            return Err(Error::Bug("a recursive query takes one step only"));
        };
        let mut circuit = Circuit::new(nodes, output, Store::memory())?;
        let mut rows = Rows { seen: self.distinct.then(BTreeSet::new), count: 0 };
        let mut last = rows.new_ones(step.input(0).iter().map(|change| &change.row));
        let others = self.sources.iter().enumerate().map(|(at, source)| (*source, step.input(at + 1).to_vec()));
        let mut inputs: Vec<(SourceId, Delta)> = others.collect();
        inputs.push((0, changes(&last, 1)));
        // What the query answers over the rows of the last round.
        let mut answer: BTreeMap<Vec<u8>, Row> = BTreeMap::new();
        for round in 0.. {
            last.iter().for_each(|row| step.emit(row.clone(), 1));
            let Some(first) = last.first() else { break };
            if round == ROUNDS_MAX {
                let message = format!("a recursive query takes {ROUNDS_MAX} rounds at most");
                step.fail(first, RowError::new("54001", message), 1);
                break;
            }
            // Looking at the state is how one hears that nobody waits any more.
            step.state.get(&[])?;
            let done = circuit.step(std::mem::take(&mut inputs), step.clock_ms)?;
            step.failed.extend(done.failures);
            for Change { row, weight } in done.rows {
                let place = key::of_all(row.key.iter());
                if weight > 0 {
                    answer.insert(place, row);
                } else if answer.get(&place) == Some(&row) {
                    answer.remove(&place);
                }
            }
            let next = rows.new_ones(answer.values());
            inputs.push((0, changes(&last, -1).into_iter().chain(changes(&next, 1)).collect()));
            last = next;
        }
        Ok(())
    }
}

fn changes(rows: &[Row], weight: i64) -> Delta {
    rows.iter().map(|row| Change { row: row.clone(), weight }).collect()
}
