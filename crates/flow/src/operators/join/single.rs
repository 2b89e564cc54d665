//! `Single`: every left row with the columns of its one match. Which row that is cannot be told from a count, so all right
//! rows of a key are looked at; there should be one.

use super::bucket::Buckets;
use super::entry::{Entry, Matches};
use super::{Driver, Join, Pairing, Which, with};
use crate::operator::{Failure, Step};
use crate::{Change, Result, Row, RowError};

impl Join {
    /// Takes the changes of one key.
    pub(super) fn single(
        &self,
        key: &[u8],
        left: &[Driver<'_>],
        right: &[Driver<'_>],
        buckets: &mut Buckets,
        step: &mut Step<'_>,
    ) -> Result<()> {
        let mut rows = buckets.of(Which::Right).entries(Which::Right, key, &step.state)?;
        for driver in left {
            self.show(&driver.change.row, driver.is_coarse, driver.change.weight, &rows, step);
        }
        let alone = vec![Matches::default(); left.len().max(right.len())];
        buckets.of(Which::Left).change(Which::Left, key, left, &alone, &mut step.state)?;
        if right.is_empty() {
            return Ok(());
        }
        let lefts = buckets.of(Which::Left).entries(Which::Left, key, &step.state)?;
        for entry in &lefts {
            self.show(&entry.row, entry.is_coarse, -1, &rows, step);
        }
        buckets.of(Which::Right).change(Which::Right, key, right, &alone, &mut step.state)?;
        rows = buckets.of(Which::Right).entries(Which::Right, key, &step.state)?;
        for entry in &lefts {
            self.show(&entry.row, entry.is_coarse, 1, &rows, step);
        }
        Ok(())
    }

    /// Puts out a left row as it is beside these right ones.
    fn show(&self, row: &Row, is_coarse: bool, weight: i64, right: &[Entry], step: &mut Step<'_>) {
        let mut found = right.iter().filter(|entry| {
            let pairing = self.pairing(row, &entry.row, is_coarse || entry.is_coarse, weight, step.failed);
            matches!(pairing, Pairing::Match(_))
        });
        let (first, second) = (found.next(), found.next());
        // The rest is looked at for its failures.
        found.for_each(drop);
        match (first, second) {
            (None, _) => {
                let shown = self.alone(Which::Left, row, Matches::default());
                step.out.extend(shown.map(|row| Change { row, weight }));
            }
            (Some(only), None) => step.emit(with(row, &only.row.values), weight),
            (Some(_), Some(_)) => {
                let error = RowError::new("21000", "more than one row returned by a subquery used as an expression");
                step.failed.push(Failure { key: row.key.clone(), error, weight });
            }
        }
    }
}
