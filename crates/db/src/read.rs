//! Reading documents: runs a plan on a snapshot.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use millstream_query::predicate::Predicate;
use millstream_storage::{Range, Slice, Snapshot, Space};
use millstream_value::Doc;

use crate::catalog::Collection;
use crate::limit::LOOK_EVERY;
use crate::plan::{Access, KeyRange, Plan, successor};
use crate::{Result, TimeLimit};

/// A document and the key of its `_id`.
pub(crate) struct Row {
    pub(crate) id_key: Slice,
    pub(crate) doc: Slice,
}

/// The rows of a plan that match, in the plan's order. Owns all it needs.
pub(crate) struct Rows {
    source: Source,
    predicate: Arc<Predicate>,
    always: bool,
    time: TimeLimit,
    /// Documents looked at, for `explain`.
    pub(crate) examined: u64,
}

enum Source {
    Records(Ranges),
    Index { rows: Ranges, snapshot: Arc<Snapshot>, number: u32, seen: Option<HashSet<Slice>> },
}

impl Rows {
    pub(crate) fn open(
        snapshot: &Arc<Snapshot>,
        collection: &Collection,
        plan: &Plan,
        predicate: Arc<Predicate>,
    ) -> Self {
        let everything = || vec![KeyRange { low: Vec::new(), high: None }];
        let records = |ranges: Vec<KeyRange>, reverse| {
            Source::Records(Ranges::new(snapshot, Space::Records, collection.number, ranges, reverse))
        };
        let source = match &plan.access {
            Access::Scan { reverse } => records(everything(), *reverse),
            Access::Ids { ranges, reverse } => records(ranges.clone(), *reverse),
            Access::Index { index, ranges, reverse } => Source::Index {
                rows: Ranges::new(snapshot, Space::Indexes, index.number, ranges.clone(), *reverse),
                snapshot: Arc::clone(snapshot),
                number: collection.number,
                // One document may come up under several keys.
                seen: index.multikey.load(std::sync::atomic::Ordering::Acquire).then(HashSet::new),
            },
        };
        Self { source, always: predicate.is_always_true(), predicate, time: TimeLimit::default(), examined: 0 }
    }

    /// The same, until the time is over.
    pub(crate) fn within(mut self, time: &TimeLimit) -> Self {
        self.time = time.clone();
        self
    }

    fn next_row(&mut self) -> Option<Result<Row>> {
        match &mut self.source {
            Source::Records(rows) => Some(rows.next()?.map(|(key, doc)| Row { id_key: key.slice(4..), doc })),
            Source::Index { rows, snapshot, number, seen } => loop {
                let id_key = match rows.next()? {
                    Ok((_, id_key)) => id_key,
                    Err(error) => return Some(Err(error)),
                };
                if let Some(seen) = seen
                    && !seen.insert(id_key.clone())
                {
                    continue;
                }
                let mut key = number.to_be_bytes().to_vec();
                key.extend_from_slice(&id_key);
                match snapshot.get(Space::Records, &key) {
                    Ok(Some(doc)) => return Some(Ok(Row { id_key, doc })),
                    Ok(None) => {}
                    Err(error) => return Some(Err(error.into())),
                }
            },
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        loop {
            if self.examined.is_multiple_of(LOOK_EVERY)
                && let Err(error) = self.time.check()
            {
                return Some(Err(error));
            }
            let row = match self.next_row()? {
                Ok(row) => row,
                Err(error) => return Some(Err(error)),
            };
            self.examined += 1;
            if self.always {
                return Some(Ok(row));
            }
            match self.predicate.matches(Doc::new(&row.doc)) {
                Ok(true) => return Some(Ok(row)),
                Ok(false) => {}
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

/// Key ranges under one number, one after the other.
struct Ranges {
    snapshot: Arc<Snapshot>,
    space: Space,
    number: u32,
    left: std::vec::IntoIter<KeyRange>,
    current: Option<Range>,
    reverse: bool,
}

impl Ranges {
    fn new(snapshot: &Arc<Snapshot>, space: Space, number: u32, mut ranges: Vec<KeyRange>, reverse: bool) -> Self {
        if reverse {
            ranges.reverse();
        }
        Self { snapshot: Arc::clone(snapshot), space, number, left: ranges.into_iter(), current: None, reverse }
    }

    fn open(&self, range: &KeyRange) -> Range {
        let prefix = self.number.to_be_bytes();
        let low = [prefix.as_slice(), &range.low].concat();
        let high = match &range.high {
            Some(high) => Some([prefix.as_slice(), high].concat()),
            None => successor(&prefix),
        };
        let high = high.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.snapshot.range(self.space, Bound::Included(&low), high)
    }
}

impl Iterator for Ranges {
    type Item = Result<(Slice, Slice)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(range) = &mut self.current {
                let row = if self.reverse { range.next_back() } else { range.next() };
                if let Some(row) = row {
                    return Some(row.map_err(Into::into));
                }
            }
            let next = self.left.next()?;
            self.current = Some(self.open(&next));
        }
    }
}
