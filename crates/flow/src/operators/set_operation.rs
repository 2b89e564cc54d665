//! Rows by all their columns: `DISTINCT`, `UNION`, `INTERSECT`, `EXCEPT` (SQL-9.10, SQL-4.12).
//!
//! State: for each row, in the sense of equal keys, what there is of it on the left and on the right side.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;
use std::vec::IntoIter;

use super::alike::Alike;
use crate::codec::Reader;
use crate::operator::{Operator, Step};
use crate::{Change, Datum, Result, Row, SetOperation, key};

pub(super) struct SetOperator {
    operation: SetOperation,
    all: bool,
}

/// What there is of one row.
#[derive(Default)]
struct Both {
    left: Alike,
    right: Alike,
}

/// Equal rows of the answer, and how many.
type Run = (Arc<[Datum]>, i64);

/// Rows of the answer, the first of which is the first of all.
type Runs = Vec<Run>;

impl SetOperator {
    pub(super) fn new(operation: SetOperation, all: bool) -> Self {
        Self { operation, all }
    }

    /// What is put out for the rows of both sides.
    fn runs(&self, both: &Both) -> Runs {
        let (left, right) = (both.left.total(), both.right.total());
        let mut count = match self.operation {
            SetOperation::Distinct => left,
            SetOperation::Union => left + right,
            SetOperation::Intersect => left.min(right),
            SetOperation::Except if self.all => (left - right).max(0),
            SetOperation::Except if right > 0 => 0,
            SetOperation::Except => left,
        };
        if !self.all {
            count = count.min(1);
        }
        let mut runs = Runs::new();
        for (values, most) in both.left.counts() {
            let most = most.min(count);
            count -= most;
            runs.extend((most > 0).then(|| (values.clone(), most)));
        }
        runs
    }

    /// Puts out in what two answers differ: at each place the row of the old one goes and that of the new one comes.
    fn emit(&self, old: Runs, new: Runs, step: &mut Step<'_>) {
        let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
        let mut number = 1;
        while old.peek().is_some() || new.peek().is_some() {
            let length = match (old.peek(), new.peek()) {
                (Some((_, a)), Some((_, b))) => *a.min(b),
                (Some((_, one)), None) | (None, Some((_, one))) => *one,
                (None, None) => 1,
            };
            let (going, coming) = (take(&mut old, length), take(&mut new, length));
            if going != coming {
                for at in number..number + length {
                    going.iter().for_each(|values| step.emit(self.row(values, at), -1));
                    coming.iter().for_each(|values| step.emit(self.row(values, at), 1));
                }
            }
            number += length;
        }
    }

    fn row(&self, values: &Arc<[Datum]>, number: i64) -> Row {
        if !self.all {
            return Row { key: values.clone(), values: values.clone() };
        }
        let number = i32::try_from(number).map_or(Datum::Long(number), Datum::Int);
        Row { key: values.iter().cloned().chain([number]).collect(), values: values.clone() }
    }
}

/// Takes so many from the first run.
fn take(runs: &mut Peekable<IntoIter<Run>>, length: i64) -> Option<Arc<[Datum]>> {
    let (values, left) = runs.peek_mut()?;
    *left -= length;
    let values = values.clone();
    runs.next_if(|(_, left)| *left <= 0);
    Some(values)
}

impl Both {
    fn read(bytes: Option<&[u8]>) -> Result<Self> {
        let Some(bytes) = bytes else { return Ok(Self::default()) };
        let mut reader = Reader::new(bytes);
        Ok(Self { left: Alike::read(&mut reader)?, right: Alike::read(&mut reader)? })
    }
}

impl Operator for SetOperator {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        // A union shows rows of either side, so all of them count as those of the left one.
        let right_is_left = self.operation == SetOperation::Union;
        let mut rows: BTreeMap<Vec<u8>, Vec<(bool, &Change)>> = BTreeMap::new();
        for change in step.input(0) {
            rows.entry(key::of_all(change.row.values.iter())).or_default().push((true, change));
        }
        if self.operation != SetOperation::Distinct {
            for change in step.input(1) {
                rows.entry(key::of_all(change.row.values.iter())).or_default().push((right_is_left, change));
            }
        }
        for (id, changes) in rows {
            let mut both = Both::read(step.state.get(&id)?.as_deref())?;
            let old = self.runs(&both);
            for (is_left, Change { row, weight }) in changes {
                let side = if is_left { &mut both.left } else { &mut both.right };
                side.change(&row.values, *weight);
            }
            let new = self.runs(&both);
            if both.left.is_empty() && both.right.is_empty() {
                step.state.remove(&id)?;
            } else {
                let mut bytes = Vec::new();
                both.left.write(&mut bytes);
                both.right.write(&mut bytes);
                step.state.put(&id, bytes)?;
            }
            self.emit(old, new, step);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Node;
    use crate::testing::{View, dec, int, minus, plus, text};

    fn view(operation: SetOperation, all: bool) -> View {
        let nodes = vec![
            Node::Source { source: 0 },
            Node::Source { source: 1 },
            Node::SetOperation { operation, all, left: 0, right: 1 },
        ];
        View::new(nodes, 2)
    }

    fn rows(first: i32, values: &[Datum]) -> Vec<Change> {
        values.iter().zip(first..).map(|(value, id)| plus(id, std::slice::from_ref(value))).collect()
    }

    /// SQL-9.10, SQL-4.12: PostgreSQL's answers.
    #[test]
    fn operations_with_and_without_all() {
        let (left, right) = ([1, 1, 1, 2, 3, 3].map(int), [1, 3, 3, 3, 4].map(int));
        let cases = [
            (SetOperation::Distinct, false, vec![1, 2, 3]),
            (SetOperation::Union, false, vec![1, 2, 3, 4]),
            (SetOperation::Union, true, vec![1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 4]),
            (SetOperation::Intersect, false, vec![1, 3]),
            (SetOperation::Intersect, true, vec![1, 3, 3]),
            (SetOperation::Except, false, vec![2]),
            (SetOperation::Except, true, vec![1, 1, 2]),
        ];
        for (operation, all, want) in cases {
            let mut view = view(operation, all);
            view.step([rows(1, &left), rows(1, &right)]);
            let got: Vec<Datum> = view.values().iter().map(|values| values[0].clone()).collect();
            assert_eq!(got, want.into_iter().map(int).collect::<Vec<_>>(), "{operation:?} {all}");
            let undo = |delta: Vec<Change>| delta.into_iter().map(|change| Change { weight: -1, ..change }).collect();
            view.step([undo(rows(1, &left)), undo(rows(1, &right))]);
            assert_eq!(view.values(), Vec::<Vec<Datum>>::new(), "{operation:?} {all}");
        }
    }

    /// SQL-14.3: the key is the columns; with ALL and a number from 1.
    #[test]
    fn keys_are_the_columns() {
        let mut all = view(SetOperation::Except, true);
        all.step([rows(1, &[text("a"), text("a"), text("a")]), rows(1, &[text("a")])]);
        let keys: Vec<_> = all.sum.rows.values().map(|(row, _)| row.key.to_vec()).collect();
        assert_eq!(keys, [[text("a"), int(1)], [text("a"), int(2)]]);
        let output = all.step([vec![], vec![plus(2, &[text("a")])]]);
        assert_eq!(output.rows.len(), 1, "only the last one goes");
        let mut distinct = view(SetOperation::Distinct, false);
        let output = distinct.step([rows(1, &[int(7), Datum::Null, Datum::Missing]), vec![]]);
        assert_eq!(output.rows.iter().map(|change| change.row.key.len()).collect::<Vec<_>>(), [1, 1]);
    }

    /// SQL-4.12: of equal rows the one is shown whose type comes first.
    #[test]
    fn equal_rows_show_one_of_them() {
        let mut view = view(SetOperation::Distinct, false);
        view.step([rows(1, &[dec("5.0"), Datum::Double(5.0), int(5)]), vec![]]);
        assert_eq!(view.values(), [[int(5)]]);
        let output = view.step([vec![minus(3, &[int(5)])], vec![]]);
        assert_eq!(output.rows.len(), 2);
        assert_eq!(view.values(), [[Datum::Double(5.0)]]);
        assert_eq!(view.step([vec![minus(1, &[dec("5.0")])], vec![]]).rows, []);
    }
}
