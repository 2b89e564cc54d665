//! Aggregates of which parts can be put together: of blocks, and of frames that move.

use std::cmp::Ordering;

use crate::aggregate::{Accumulator, compare_alike};
use crate::codec::{self, Reader};
use crate::{AggregateFunction, Datum, Result, RowError, key};

/// The aggregate of some rows.
#[derive(Clone, Debug)]
pub(in crate::operators) enum Part {
    /// What takes values back.
    Accumulator(Accumulator),
    /// The first value in an order; `Greater`: the order from above. What is left when it goes is not known.
    Extreme(Option<Datum>, Ordering),
}

impl Part {
    /// Of no rows; `None`: the aggregate needs all its rows.
    pub(in crate::operators) fn new(function: AggregateFunction) -> Option<Self> {
        match function {
            AggregateFunction::AnyValue | AggregateFunction::Min => Some(Self::Extreme(None, Ordering::Less)),
            AggregateFunction::Max => Some(Self::Extreme(None, Ordering::Greater)),
            _ => Accumulator::new(function).map(Self::Accumulator),
        }
    }

    /// One more row.
    pub(in crate::operators) fn add(&mut self, input: &[Datum]) {
        match self {
            Self::Accumulator(accumulator) => accumulator.add(input),
            Self::Extreme(best, first) => {
                if let Some(value) = input.first().filter(|value| !value.is_null())
                    && best.as_ref().is_none_or(|best| is_better(value, best, *first))
                {
                    *best = Some(value.clone());
                }
            }
        }
    }

    /// One row less; `false`: what is left can only be told by looking at it.
    pub(in crate::operators) fn remove(&mut self, input: &[Datum]) -> bool {
        match self {
            Self::Accumulator(accumulator) => {
                accumulator.remove(input);
                true
            }
            Self::Extreme(best, _) => match (best, input.first()) {
                (Some(best), Some(value)) => value.is_null() || !key::equal(best, value),
                _ => true,
            },
        }
    }

    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Accumulator(accumulator), Self::Accumulator(other)) => accumulator.merge(other),
            (this @ Self::Extreme(..), Self::Extreme(Some(value), _)) => this.add(std::slice::from_ref(value)),
            _ => {}
        }
    }

    /// What the aggregate is.
    pub(in crate::operators) fn value(&self) -> Result<Datum, RowError> {
        match self {
            Self::Accumulator(accumulator) => accumulator.value(),
            Self::Extreme(best, _) => Ok(best.clone().unwrap_or(Datum::Null)),
        }
    }

    pub(in crate::operators) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Accumulator(accumulator) => accumulator.write(out),
            Self::Extreme(best, _) => codec::write_datum(best.as_ref().unwrap_or(&Datum::Null), out),
        }
    }

    /// Becomes what was written of its kind.
    pub(in crate::operators) fn read(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        match self {
            Self::Accumulator(accumulator) => accumulator.read(reader)?,
            Self::Extreme(best, _) => *best = Some(reader.datum()?).filter(|best| !best.is_null()),
        }
        Ok(())
    }
}

/// Puts the parts of several calls together, call by call.
pub(in crate::operators) fn merge(parts: &mut [Option<Part>], others: &[Option<Part>]) {
    for (part, other) in parts.iter_mut().zip(others) {
        if let (Some(part), Some(other)) = (part, other) {
            part.merge(other);
        }
    }
}

/// Whether a value stands before another one; of equal ones the one that is shown (SQL-4.12).
fn is_better(value: &Datum, best: &Datum, first: Ordering) -> bool {
    let order = key::compare(value, best);
    order == first || (order.is_eq() && compare_alike(value, best).is_lt())
}
