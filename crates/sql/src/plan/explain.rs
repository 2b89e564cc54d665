//! A plan in words (SQL-18.7).

use std::collections::BTreeMap;
use std::fmt::Write;

use millstream_flow::NodeStats;

use crate::plan::Plan;
use crate::plan::rel::{Over, Rel};

/// An operator of a plan in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// What it does.
    pub what: String,
    /// What it keeps, if it keeps anything.
    pub keeps: Option<&'static str>,
    /// How that grows (SQL-19.4).
    pub growth: Option<&'static str>,
    /// How much of it there is, if it runs.
    pub held: Option<NodeStats>,
    /// What its rows are made of.
    pub inputs: Vec<Operator>,
}

/// How much the operators of something that runs hold, by their places: a relation comes before its inputs.
pub type Held = BTreeMap<usize, NodeStats>;

impl Plan {
    /// The operators, the last one outside, with what they hold where that is known.
    #[must_use]
    pub fn operators(&self, held: Option<&Held>) -> Operator {
        self.operator(&self.rel, held, &mut 0)
    }

    /// The operators as lines, the innermost last, each with what it keeps and how that grows.
    #[must_use]
    pub fn explain(&self, held: Option<&Held>) -> String {
        let mut out = String::new();
        self.operators(held).lines(0, &mut out);
        if let Some(first) = &self.first {
            let way = if first.descending { "down" } else { "up" };
            // Writing to a string does not fail.
            let _ = writeln!(out, "read by {} {way}, until {} row(s) are certain", first.field, first.rows);
        }
        out
    }

    fn operator(&self, rel: &Rel, held: Option<&Held>, place: &mut usize) -> Operator {
        let own = *place;
        *place += 1;
        let (what, keeps) = match rel {
            Rel::Scan(scan) => match self.sources.get(*scan) {
                Some(source) => {
                    let what = if source.driven.is_some() { "changes of" } else { "read" };
                    let fields = source.fields.as_ref().map_or("all fields".to_owned(), |fields| {
                        if fields.is_empty() { "no fields".to_owned() } else { fields.join(", ") }
                    });
                    (format!("{what} {}.{} ({fields})", source.database, source.collection), "")
                }
                None => ("read".to_owned(), ""),
            },
            Rel::One => ("one row".to_owned(), ""),
            Rel::Values { rows, .. } => (format!("{} constant row(s)", rows.len()), ""),
            Rel::Filter { conditions, .. } => (format!("filter by {} condition(s)", conditions.len()), ""),
            Rel::Temporal { .. } => ("filter by the clock".to_owned(), "rows that have not expired: rows"),
            Rel::Map { columns, .. } => (format!("compute {} column(s)", columns.len()), ""),
            Rel::Rekey { .. } => ("other row keys".to_owned(), ""),
            Rel::FlatMap { function, .. } => (format!("rows of {function}"), ""),
            Rel::Join(join) => {
                let kind = format!("{:?}", join.kind).to_lowercase();
                match &join.over {
                    Over::Relations if join.keys.is_empty() => {
                        (format!("{kind} join of all pairs"), "both sides: rows")
                    }
                    Over::Relations => {
                        (format!("{kind} join on {} key(s)", join.keys.len()), "both sides by key: rows")
                    }
                    Over::Lookup => {
                        (format!("{kind} lookup on {} key(s)", join.keys.len()), "the looked-up side: rows")
                    }
                    Over::Changes(_) => {
                        (format!("{kind} join of changes near each other"), "changes whose band is open: band")
                    }
                }
            }
            Rel::Aggregate { group, calls, bucket, .. } => {
                let what = format!("{} aggregate(s) by {} group expression(s)", calls.len(), group.len());
                let keeps = match (bucket, group.is_empty()) {
                    (Some(_), _) => "groups of open buckets: band",
                    (None, true) => "one group: constant",
                    (None, false) => "groups: partitions",
                };
                (what, keeps)
            }
            Rel::Window { partition, calls, running, .. } => {
                let what = format!("{} window function(s) by {} partition expression(s)", calls.len(), partition.len());
                (
                    what,
                    if running.is_some() {
                        "what the frames reach back to: frame"
                    } else {
                        "rows by partition and order: rows"
                    },
                )
            }
            Rel::TopK { limit, .. } => {
                let limit = limit.map_or("all".to_owned(), |limit| limit.to_string());
                (format!("the first {limit} row(s) in order"), "rows in order: rows")
            }
            Rel::UnionAll { branches, .. } => (format!("all rows of {} branches", branches.len()), ""),
            Rel::Recursive { .. } => ("again with its own rows until there are no new ones".to_owned(), ""),
            Rel::Working(_) => ("rows of the round before".to_owned(), ""),
            Rel::SetOperation { operation, .. } => (format!("{operation:?}").to_lowercase(), "distinct rows: rows"),
        };
        let (keeps, growth) = keeps.split_once(": ").unzip();
        let held_here = held.filter(|_| keeps.is_some()).map(|held| held.get(&own).copied().unwrap_or_default());
        let inputs = rel.inputs().into_iter().map(|input| self.operator(input, held, place)).collect();
        Operator { what, keeps, growth, held: held_here, inputs }
    }
}

impl Operator {
    fn lines(&self, depth: usize, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = write!(out, "{:depth$}{}", "", self.what, depth = depth * 2);
        if let (Some(keeps), Some(growth)) = (self.keeps, self.growth) {
            let held = self.held.map(|held| format!("; {} entries, {} bytes", held.rows, held.bytes));
            let _ = write!(out, "  [keeps {keeps}: {growth}{}]", held.unwrap_or_default());
        }
        out.push('\n');
        self.inputs.iter().for_each(|input| input.lines(depth + 1, out));
    }
}
