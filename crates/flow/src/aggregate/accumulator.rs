//! Aggregates whose state is small, and from which values can be taken away again.

use super::moments::Moments;
use super::sum::Sum;
use crate::codec::{Reader, write_i64};
use crate::{AggregateFunction as Function, Datum, Result, RowError};

/// The state of one aggregate over some rows. The arguments have passed [`super::check`].
#[derive(Clone, Debug)]
pub(crate) struct Accumulator {
    function: Function,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Bools { yes: i64, no: i64 },
    Count(i64),
    Moments(Box<Moments>),
    Sum(Box<Sum>),
}

impl Accumulator {
    /// That of no rows; `None`: the function needs its values in an order, see [`super::Fold`].
    pub(crate) fn new(function: Function) -> Option<Self> {
        let state = match function {
            Function::Avg | Function::Sum => State::Sum(Box::new(Sum::EMPTY)),
            Function::BoolAnd | Function::BoolOr => State::Bools { yes: 0, no: 0 },
            Function::Corr
            | Function::CovarPop
            | Function::CovarSamp
            | Function::StddevPop
            | Function::StddevSamp
            | Function::VarPop
            | Function::VarSamp => State::Moments(Box::new(Moments::new(function))),
            Function::Count => State::Count(0),
            Function::AnyValue
            | Function::ArrayAgg
            | Function::JsonbObjectAgg
            | Function::Max
            | Function::Min
            | Function::Mode
            | Function::PercentileCont
            | Function::PercentileDisc
            | Function::StringAgg => return None,
        };
        Some(Self { function, state })
    }

    /// Takes in the arguments of one row.
    pub(crate) fn add(&mut self, arguments: &[Datum]) {
        self.apply(arguments, 1);
    }

    /// Takes away the arguments of a row that was taken in before.
    pub(crate) fn remove(&mut self, arguments: &[Datum]) {
        self.apply(arguments, -1);
    }

    /// Takes in the arguments of a row so many times.
    pub(crate) fn apply(&mut self, arguments: &[Datum], weight: i64) {
        let first = arguments.first().unwrap_or(&Datum::Null);
        match &mut self.state {
            State::Bools { yes, no } => match first {
                Datum::Bool(true) => *yes += weight,
                Datum::Bool(false) => *no += weight,
                _ => {}
            },
            State::Count(count) => {
                if !arguments.iter().any(Datum::is_null) {
                    *count += weight;
                }
            }
            State::Moments(moments) => moments.apply(arguments, weight),
            State::Sum(sum) => sum.apply(first, weight),
        }
    }

    /// Takes in the rows of another state of the same function.
    pub(crate) fn merge(&mut self, other: &Self) {
        match (&mut self.state, &other.state) {
            (State::Bools { yes, no }, State::Bools { yes: other_yes, no: other_no }) => {
                *yes += other_yes;
                *no += other_no;
            }
            (State::Count(count), State::Count(other)) => *count += other,
            (State::Moments(moments), State::Moments(other)) => moments.merge(other),
            (State::Sum(sum), State::Sum(other)) => sum.merge(other),
            _ => debug_assert!(false, "states of two functions"),
        }
    }

    /// The aggregate's value.
    ///
    /// # Errors
    /// It is out of range, or the types of the rows do not go together.
    pub(crate) fn value(&self) -> Result<Datum, RowError> {
        Ok(match &self.state {
            State::Bools { yes: 0, no: 0 } => Datum::Null,
            State::Bools { yes, no } => {
                Datum::Bool(if self.function == Function::BoolAnd { *no == 0 } else { *yes > 0 })
            }
            State::Count(count) => Datum::Long(*count),
            State::Moments(moments) => moments.value(self.function)?,
            State::Sum(sum) => sum.value(self.function)?,
        })
    }

    /// Appends the state.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match &self.state {
            State::Bools { yes, no } => {
                write_i64(*yes, out);
                write_i64(*no, out);
            }
            State::Count(count) => write_i64(*count, out),
            State::Moments(moments) => moments.write(out),
            State::Sum(sum) => sum.write(out),
        }
    }

    /// Replaces the state by what [`Accumulator::write`] has written for the same function.
    pub(crate) fn read(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        match &mut self.state {
            State::Bools { yes, no } => (*yes, *no) = (reader.i64()?, reader.i64()?),
            State::Count(count) => *count = reader.i64()?,
            State::Moments(moments) => **moments = Moments::read(self.function, reader)?,
            State::Sum(sum) => **sum = Sum::read(reader)?,
        }
        Ok(())
    }
}
