//! What all rows of a step bring to their groups. A step has thousands of them, so their values lie in one list, side by side.

use std::ops::Range;

use super::call::{Call, Taken};
use super::group::Given;
use crate::{Change, Datum, RowError, ScalarRef};

/// The values of all rows.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) values: Vec<Datum>,
    /// The places of entries.
    pub(super) places: Vec<u8>,
    taken: Vec<Option<Taken>>,
}

/// What one row brings.
pub(super) struct Contribution {
    pub(super) weight: i64,
    group: Range<usize>,
    taken: Range<usize>,
}

impl Batch {
    /// Adds what a row brings, or nothing if it fails.
    pub(super) fn add(
        &mut self,
        change: &Change,
        group: &[ScalarRef],
        calls: &[Call],
    ) -> Result<Contribution, RowError> {
        let (values, taken) = (self.values.len(), self.taken.len());
        for expression in group {
            self.values.push(expression.eval(&change.row)?);
        }
        let group = values..self.values.len();
        for call in calls {
            let one = call.take(&change.row, self)?;
            self.taken.push(one);
        }
        Ok(Contribution { weight: change.weight, group, taken: taken..self.taken.len() })
    }

    pub(super) fn group(&self, of: &Contribution) -> &[Datum] {
        self.values.get(of.group.clone()).unwrap_or_default()
    }

    /// What each call takes of a row.
    pub(super) fn taken(&self, of: &Contribution) -> &[Option<Taken>] {
        self.taken.get(of.taken.clone()).unwrap_or_default()
    }

    /// What a row gives to a call.
    pub(super) fn given(&self, of: &Contribution, taken: &Taken) -> Given<'_> {
        let arguments = self.values.get(taken.arguments.clone()).unwrap_or_default();
        let place = self.places.get(taken.place.clone()).unwrap_or_default();
        Given { arguments, place, weight: of.weight }
    }
}
