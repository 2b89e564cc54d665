//! `Single`: every left row with the columns of its one match. Which row that is cannot be told from a count, so all right
//! rows of a key are looked at; there should be one.

use super::entry::{self, Entry, Matches};
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
        step: &mut Step<'_>,
    ) -> Result<()> {
        let mut rows = Vec::new();
        for stored in step.state.prefix(&entry::prefix(Which::Right, key)) {
            rows.push(Entry::read(&stored?.1)?);
        }
        for driver in left {
            let Change { row, weight } = driver.change;
            self.show(row, driver.is_coarse, *weight, &rows, step);
            let place = entry::place(Which::Left, key, row);
            if *weight > 0 {
                let matches = Matches::default();
                let entry = Entry { is_coarse: driver.is_coarse, matches, row: row.clone() };
                step.state.put(&place, entry.bytes())?;
            } else {
                step.state.remove(&place)?;
            }
        }
        if right.is_empty() {
            return Ok(());
        }
        let mut lefts = Vec::new();
        for stored in step.state.prefix(&entry::prefix(Which::Left, key)) {
            lefts.push(Entry::read(&stored?.1)?);
        }
        for entry in &lefts {
            self.show(&entry.row, entry.is_coarse, -1, &rows, step);
        }
        for driver in right {
            let Change { row, weight } = driver.change;
            let place = entry::place(Which::Right, key, row);
            if *weight > 0 {
                let entry = Entry { is_coarse: driver.is_coarse, matches: Matches::default(), row: row.clone() };
                step.state.put(&place, entry.bytes())?;
                rows.push(entry);
            } else {
                step.state.remove(&place)?;
                rows.retain(|entry| entry.row != *row);
            }
        }
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
