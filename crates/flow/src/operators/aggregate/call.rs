//! One aggregate of a query: what it takes of a row, and what it keeps.

use std::ops::Range;

use super::batch::Batch;
use crate::aggregate::{Accumulator, check};
use crate::operators::{is_true, order};
use crate::{AggregateCall, AggregateFunction as Function, Datum, Row, RowError, key};

pub(super) struct Call {
    call: AggregateCall,
    pub(super) kept: Kept,
}

/// What is kept of the rows of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// An accumulator.
    Sums,
    /// An accumulator over distinct values, and each of these with its count.
    DistinctSums,
    /// Each value with its count, and the one that is the answer.
    Extreme,
    /// All rows (or distinct values) in the order of the call.
    Rows,
}

/// What a call takes of a row.
pub(super) struct Taken {
    pub(super) arguments: Range<usize>,
    /// The place of the row's entry, if the call keeps entries.
    pub(super) place: Range<usize>,
}

impl Call {
    pub(super) fn new(call: AggregateCall) -> Self {
        let is_extreme = matches!(call.function, Function::AnyValue | Function::Max | Function::Min);
        let is_bool = matches!(call.function, Function::BoolAnd | Function::BoolOr);
        let kept = match Accumulator::new(call.function) {
            Some(_) if call.distinct && !is_bool => Kept::DistinctSums,
            Some(_) => Kept::Sums,
            None if is_extreme => Kept::Extreme,
            None => Kept::Rows,
        };
        Self { call, kept }
    }

    pub(super) fn function(&self) -> Function {
        self.call.function
    }

    /// What it takes of a row; nothing if the filter leaves the row out or what is NULL does not count.
    pub(super) fn take(&self, row: &Row, batch: &mut Batch) -> Result<Option<Taken>, RowError> {
        let call = &self.call;
        if let Some(filter) = &call.filter
            && !is_true(filter, row)?
        {
            return Ok(None);
        }
        let (first, first_place) = (batch.values.len(), batch.places.len());
        for argument in &call.arguments {
            batch.values.push(argument.eval(row)?);
        }
        let is_ordered_set =
            matches!(call.function, Function::Mode | Function::PercentileCont | Function::PercentileDisc);
        if is_ordered_set {
            batch.values.extend(call.order.first().map(|by| by.value.eval(row)).transpose()?);
        }
        let arguments = batch.values.get(first..).unwrap_or_default();
        check(call.function, arguments)?;
        let is_left_out = match call.function {
            Function::ArrayAgg | Function::JsonbObjectAgg => false,
            Function::StringAgg => arguments.first().is_none_or(Datum::is_null),
            Function::Mode | Function::PercentileCont | Function::PercentileDisc => {
                arguments.last().is_none_or(Datum::is_null)
            }
            _ => arguments.iter().any(Datum::is_null),
        };
        if is_left_out {
            return Ok(None);
        }
        let place = &mut batch.places;
        match self.kept {
            Kept::Sums => {}
            Kept::DistinctSums | Kept::Extreme => arguments.iter().for_each(|value| key::append(value, place)),
            Kept::Rows => {
                order::append(&call.order, row, place)?;
                if call.distinct {
                    arguments.iter().for_each(|value| key::append(value, place));
                } else {
                    order::append_row_key(row, place);
                }
            }
        }
        Ok(Some(Taken { arguments: first..batch.values.len(), place: first_place..batch.places.len() }))
    }
}
