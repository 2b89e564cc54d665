//! One aggregate of a query: what it takes of a row, and what it keeps.

use crate::aggregate::{Accumulator, check};
use crate::operators::{eval_all, is_true, order};
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
    pub(super) arguments: Vec<Datum>,
    /// The place of the row's entry, if the call keeps entries.
    pub(super) place: Vec<u8>,
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
    pub(super) fn take(&self, row: &Row) -> Result<Option<Taken>, RowError> {
        let call = &self.call;
        if let Some(filter) = &call.filter
            && !is_true(filter, row)?
        {
            return Ok(None);
        }
        let mut arguments = eval_all(&call.arguments, row)?;
        let is_ordered_set =
            matches!(call.function, Function::Mode | Function::PercentileCont | Function::PercentileDisc);
        if is_ordered_set {
            arguments.extend(call.order.first().map(|by| by.value.eval(row)).transpose()?);
        }
        check(call.function, &arguments)?;
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
        let mut place = Vec::new();
        match self.kept {
            Kept::Sums => {}
            Kept::DistinctSums | Kept::Extreme => place = key::of_all(&arguments),
            Kept::Rows => {
                order::append(&call.order, row, &mut place)?;
                if call.distinct {
                    arguments.iter().for_each(|value| key::append(value, &mut place));
                } else {
                    order::append_row_key(row, &mut place);
                }
            }
        }
        Ok(Some(Taken { arguments, place }))
    }
}
