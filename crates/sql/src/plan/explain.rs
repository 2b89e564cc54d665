//! A plan in words (SQL-18.7).

use std::fmt::Write;

use crate::plan::Plan;
use crate::plan::rel::{Over, Rel};

impl Plan {
    /// The operators, the innermost last, each with what it keeps and how that grows (SQL-19.4).
    #[must_use]
    pub fn explain(&self) -> String {
        let mut out = String::new();
        self.rel_text(&self.rel, 0, &mut out);
        if let Some(first) = &self.first {
            let way = if first.descending { "down" } else { "up" };
            // Writing to a string does not fail.
            let _ = writeln!(out, "read by {} {way}, until {} row(s) are certain", first.field, first.rows);
        }
        out
    }

    fn rel_text(&self, rel: &Rel, depth: usize, out: &mut String) {
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
        let _ = write!(out, "{:depth$}{what}", "", depth = depth * 2);
        if !keeps.is_empty() {
            let _ = write!(out, "  [keeps {keeps}]");
        }
        out.push('\n');
        for input in rel.inputs() {
            self.rel_text(input, depth + 1, out);
        }
    }
}
