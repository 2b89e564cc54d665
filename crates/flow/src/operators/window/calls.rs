//! The functions over one window, and what they read of a row.

use super::part::Part;
use crate::codec::{self, Reader};
use crate::{
    AggregateFunction, Bound, Datum, Exclude, Frame, FrameUnit, Offset, Result, Row, RowError, ScalarRef, WindowCall,
    WindowFunction,
};

/// What each call reads of a row: its arguments, or nothing where its filter is not true.
pub(in crate::operators) type Inputs = Vec<Option<Vec<Datum>>>;

/// The functions over one window.
pub(in crate::operators) struct Calls {
    pub(in crate::operators) calls: Vec<Call>,
    /// The frames that differ.
    pub(in crate::operators) frames: Vec<Frame>,
    /// Whether some frame reaches as far as a distance, so that the order's one value is kept with each row.
    pub(in crate::operators) has_distance: bool,
    /// Whether blocks count groups of peers.
    pub(in crate::operators) has_heads: bool,
    /// Whether there are blocks at all.
    pub(in crate::operators) is_indexed: bool,
}

pub(in crate::operators) struct Call {
    pub(in crate::operators) function: WindowFunction,
    arguments: Vec<ScalarRef>,
    filter: Option<ScalarRef>,
    pub(in crate::operators) ignore_nulls: bool,
    /// Its frame's place in [`Calls::frames`].
    pub(in crate::operators) frame: usize,
    /// What its blocks keep, if that is of a bounded size.
    part: Option<Part>,
}

impl Calls {
    pub(in crate::operators) fn new(calls: Vec<WindowCall>) -> Self {
        let mut frames: Vec<Frame> = Vec::new();
        let calls: Vec<Call> = calls
            .into_iter()
            .map(|call| {
                let frame = frames.iter().position(|frame| *frame == call.frame).unwrap_or(frames.len());
                if frame == frames.len() {
                    frames.push(call.frame);
                }
                let part = match call.function {
                    WindowFunction::Aggregate(function) => Part::new(function),
                    _ => None,
                };
                Call {
                    function: call.function,
                    arguments: call.arguments,
                    filter: call.filter,
                    ignore_nulls: call.ignore_nulls,
                    frame,
                    part,
                }
            })
            .collect();
        let is_distance = |bound: &Bound| {
            matches!(bound, Bound::Preceding(Offset::Number(_) | Offset::Interval(_)))
                || matches!(bound, Bound::Following(Offset::Number(_) | Offset::Interval(_)))
        };
        let has_distance = frames.iter().any(|frame| is_distance(&frame.start) || is_distance(&frame.end));
        let has_heads = calls.iter().any(|call| call.function == WindowFunction::DenseRank);
        let is_indexed = calls.iter().any(|call| call.needs_blocks(&frames));
        Self { calls, frames, has_distance, has_heads, is_indexed }
    }

    /// Without blocks: everything is found by walking.
    pub(in crate::operators) fn without_blocks(mut self) -> Self {
        self.is_indexed = false;
        self
    }

    pub(in crate::operators) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether some call reads all rows from the partition's beginning.
    pub(in crate::operators) fn keeps_all(&self) -> bool {
        self.calls.iter().any(|call| {
            let from_start = self.frames.get(call.frame).is_some_and(|frame| frame.start == Bound::UnboundedPreceding);
            matches!(call.function, WindowFunction::Aggregate(_)) && call.part.is_none() && from_start
        })
    }

    /// Whether some call looks at a row so many rows away.
    pub(in crate::operators) fn look_away(&self) -> bool {
        self.calls.iter().any(|call| matches!(call.function, WindowFunction::Lag | WindowFunction::Lead))
    }

    /// How far frames reach back.
    pub(in crate::operators) fn offsets(&self) -> impl Iterator<Item = &Offset> {
        self.frames.iter().flat_map(|frame| [&frame.start, &frame.end]).filter_map(|bound| match bound {
            Bound::Preceding(offset) => Some(offset),
            _ => None,
        })
    }

    /// How many rows `LAG` looks back from a row; 0: there is none.
    pub(in crate::operators) fn steps(&self, inputs: &Inputs) -> u64 {
        let lags = self.calls.iter().zip(inputs).filter(|(call, _)| call.function == WindowFunction::Lag);
        lags.map(|(call, input)| call.steps(input.as_ref()).unwrap_or(1)).max().unwrap_or(0)
    }

    /// What the calls read of a row.
    pub(in crate::operators) fn inputs(&self, row: &Row) -> Result<Inputs, RowError> {
        self.calls.iter().map(|call| call.input(row)).collect()
    }

    pub(in crate::operators) fn write_inputs(&self, inputs: &Inputs, out: &mut Vec<u8>) {
        for input in inputs {
            out.push(u8::from(input.is_some()));
            for value in input.iter().flatten() {
                codec::write_datum(value, out);
            }
        }
    }

    pub(in crate::operators) fn read_inputs(&self, reader: &mut Reader<'_>) -> Result<Inputs> {
        let read = |call: &Call| {
            if reader.byte()? == 0 {
                return Ok(None);
            }
            call.arguments.iter().map(|_| reader.datum()).collect::<Result<Vec<_>>>().map(Some)
        };
        self.calls.iter().map(read).collect()
    }

    pub(in crate::operators) fn empty_parts(&self) -> Vec<Option<Part>> {
        self.calls.iter().map(|call| call.part.clone()).collect()
    }

    pub(in crate::operators) fn add(&self, parts: &mut [Option<Part>], inputs: &Inputs) {
        for (part, input) in parts.iter_mut().zip(inputs) {
            if let (Some(part), Some(input)) = (part, input) {
                part.add(input);
            }
        }
    }

    /// Whether all parts could let go of the row.
    pub(in crate::operators) fn remove(&self, parts: &mut [Option<Part>], inputs: &Inputs) -> bool {
        let mut done = true;
        for (part, input) in parts.iter_mut().zip(inputs) {
            if let (Some(part), Some(input)) = (part, input) {
                done &= part.remove(input);
            }
        }
        done
    }
}

impl Call {
    fn input(&self, row: &Row) -> Result<Option<Vec<Datum>>, RowError> {
        if let Some(filter) = &self.filter
            && !crate::operators::is_true(filter, row)?
        {
            return Ok(None);
        }
        let arguments = crate::operators::eval_all(&self.arguments, row)?;
        if let WindowFunction::Aggregate(function) = self.function {
            crate::aggregate::check(function, &arguments)?;
        }
        Ok(Some(arguments))
    }

    /// Whether its value depends on its frame.
    pub(in crate::operators) fn reads_frame(&self) -> bool {
        self.is_whole_constant() || self.function == WindowFunction::NthValue
    }

    /// Whether all rows have the same value if their frames hold the same rows.
    pub(in crate::operators) fn is_whole_constant(&self) -> bool {
        matches!(self.function, WindowFunction::Aggregate(_) | WindowFunction::FirstValue | WindowFunction::LastValue)
    }

    pub(in crate::operators) fn has_part(&self) -> bool {
        self.part.is_some()
    }

    /// How many rows away this row's value comes from, for `LAG` and `LEAD` that say so.
    pub(in crate::operators) fn steps(&self, input: Option<&Vec<Datum>>) -> Option<u64> {
        if !matches!(self.function, WindowFunction::Lag | WindowFunction::Lead) {
            return None;
        }
        super::value::integer(input?.get(1)?).ok().flatten().map(i64::unsigned_abs)
    }

    /// Whether a row with this input can change what other rows' frames give only by shifting rows.
    pub(in crate::operators) fn is_idle(&self, input: Option<&Vec<Datum>>) -> bool {
        let Some(input) = input else { return true };
        let first_is_null = input.first().is_some_and(Datum::is_null);
        match self.function {
            WindowFunction::Aggregate(AggregateFunction::ArrayAgg | AggregateFunction::JsonbObjectAgg) => false,
            WindowFunction::Aggregate(AggregateFunction::StringAgg) => first_is_null,
            WindowFunction::Aggregate(_) => input.iter().any(Datum::is_null),
            WindowFunction::FirstValue | WindowFunction::LastValue | WindowFunction::NthValue => {
                self.ignore_nulls && first_is_null
            }
            _ => false,
        }
    }

    /// Whether counting rows, or summing them up, is better done by blocks than by walking.
    fn needs_blocks(&self, frames: &[Frame]) -> bool {
        let is_short = |bound: &Bound| match bound {
            Bound::CurrentRow => true,
            Bound::Preceding(Offset::Count(n)) | Bound::Following(Offset::Count(n)) => *n <= 32,
            _ => false,
        };
        let is_walked = frames
            .get(self.frame)
            .is_some_and(|frame| frame.unit == FrameUnit::Rows && is_short(&frame.start) && is_short(&frame.end));
        match self.function {
            WindowFunction::Aggregate(_) => self.part.is_some() && !is_walked,
            WindowFunction::FirstValue | WindowFunction::LastValue | WindowFunction::NthValue => {
                frames.get(self.frame).is_some_and(|frame| {
                    frame.unit == FrameUnit::Rows
                        && [&frame.start, &frame.end].into_iter().any(|bound| match bound {
                            Bound::Preceding(Offset::Count(n)) | Bound::Following(Offset::Count(n)) => *n > 32,
                            _ => false,
                        })
                })
            }
            WindowFunction::Lag | WindowFunction::Lead => false,
            _ => true,
        }
    }

    /// Whether the values of all later rows are as they were once one of them is: the value of a frame from the partition's
    /// beginning tells all that a later value depends on.
    pub(in crate::operators) fn is_settled(&self, frames: &[Frame]) -> bool {
        let Some(frame) = frames.get(self.frame) else { return false };
        let from_start = frame.start == Bound::UnboundedPreceding && frame.exclude == Exclude::NoOthers;
        match self.function {
            WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank => true,
            WindowFunction::Aggregate(
                AggregateFunction::Count
                | AggregateFunction::Min
                | AggregateFunction::Max
                | AggregateFunction::AnyValue
                | AggregateFunction::BoolAnd
                | AggregateFunction::BoolOr,
            ) => from_start && matches!(frame.end, Bound::CurrentRow | Bound::UnboundedFollowing),
            _ => false,
        }
    }
}

/// Whether a frame is the whole partition, for every row the same.
pub(in crate::operators) fn is_whole(frame: &Frame) -> bool {
    frame.start == Bound::UnboundedPreceding
        && frame.end == Bound::UnboundedFollowing
        && frame.exclude == Exclude::NoOthers
}
