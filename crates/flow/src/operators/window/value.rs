//! What the calls give for one row.

use super::calls::{Calls, Inputs};
use super::frame::{Current, Span, after_order, spans};
use super::part::{self, Part};
use super::rows::{Entry, Partition, Piece, just_after};
use crate::aggregate::Fold;
use crate::{AggregateFunction, Bound, Datum, Exclude, OrderKey, Result, RowError, WindowFunction};

/// The values of a row's calls, in order.
pub(in crate::operators) type Values = Result<Vec<Datum>, RowError>;

/// Computes values of rows one after the other. From one row to the next frames mostly move a little, so the aggregates of
/// the last one are kept and moved along; nothing of the partition may change meanwhile.
pub(in crate::operators) struct Evaluation<'a> {
    order: Option<&'a OrderKey>,
    /// For each frame: the last one's aggregates.
    sliding: Vec<Option<Sliding>>,
}

struct Sliding {
    span: Span,
    parts: Vec<Option<Part>>,
}

/// Rows that may enter or leave a frame until summing up anew is better.
const SLIDE_MAX: usize = 32;

impl<'a> Evaluation<'a> {
    /// `order` is the one key of the order, if it is one.
    pub(in crate::operators) fn new(order: Option<&'a OrderKey>, calls: &Calls) -> Self {
        Self { order, sliding: calls.frames.iter().map(|_| None).collect() }
    }

    /// The values for a row of the calls that are `wanted`; the others stay as in `old`.
    pub(in crate::operators) fn values(
        &mut self,
        partition: Partition<'_, '_>,
        row: Current<'_>,
        inputs: &Inputs,
        wanted: &[bool],
        old: &[Datum],
    ) -> Result<Values> {
        let calls = partition.calls;
        let mut values: Vec<Datum> =
            calls.calls.iter().enumerate().map(|(at, _)| old.get(at).cloned().unwrap_or(Datum::Null)).collect();
        let is_wanted = |at: usize| wanted.get(at).copied().unwrap_or(false);
        for (frame_at, frame) in calls.frames.iter().enumerate() {
            let mine = |at: usize| {
                is_wanted(at) && calls.calls.get(at).is_some_and(|call| call.frame == frame_at && call.reads_frame())
            };
            if !(0..calls.len()).any(mine) {
                continue;
            }
            let spans = spans(partition, self.order, frame, row)?;
            let is_plain = frame.exclude == Exclude::NoOthers;
            let parts =
                if (0..calls.len()).any(|at| mine(at) && calls.calls.get(at).is_some_and(|call| call.has_part())) {
                    Some(self.aggregate(partition, frame_at, &spans, is_plain)?)
                } else {
                    None
                };
            for at in (0..calls.len()).filter(|at| mine(*at)) {
                let (Some(call), Some(value)) = (calls.calls.get(at), values.get_mut(at)) else { continue };
                let result = match call.function {
                    WindowFunction::Aggregate(function) => match parts.as_ref().and_then(|parts| parts.get(at)) {
                        Some(Some(part)) => part.value(),
                        _ => listed(partition, &spans, at, function)?,
                    },
                    _ => within(partition, &spans, at, inputs)?,
                };
                match result {
                    Ok(result) => *value = result,
                    Err(error) => return Ok(Err(error)),
                }
            }
        }
        for (at, call) in calls.calls.iter().enumerate() {
            if !is_wanted(at) || call.reads_frame() {
                continue;
            }
            let result = match call.function {
                WindowFunction::Lag | WindowFunction::Lead => neighbour(partition, row, at, inputs)?,
                _ => rank(partition, row, at)?,
            };
            match (result, values.get_mut(at)) {
                (Ok(result), Some(value)) => *value = result,
                (Err(error), _) => return Ok(Err(error)),
                (Ok(_), None) => {}
            }
        }
        Ok(Ok(values))
    }

    fn aggregate(
        &mut self,
        partition: Partition<'_, '_>,
        frame_at: usize,
        spans: &[Span],
        is_plain: bool,
    ) -> Result<Vec<Option<Part>>> {
        let Some(last) = self.sliding.get_mut(frame_at) else { return Ok(Vec::new()) };
        if let (true, [span]) = (is_plain, spans) {
            if !(match last {
                Some(last) => last.slide(partition, frame_at, span)?,
                None => false,
            }) {
                let parts = sum(partition, frame_at, spans)?;
                *last = Some(Sliding { span: span.clone(), parts });
            }
            return Ok(last.as_ref().map(|last| last.parts.clone()).unwrap_or_default());
        }
        sum(partition, frame_at, spans)
    }
}

impl Sliding {
    /// Moves on to another frame; `false`: that is too far away, or something cannot be let go of.
    fn slide(&mut self, partition: Partition<'_, '_>, frame_at: usize, to: &Span) -> Result<bool> {
        let Some(end) = self.span.to.clone() else { return Ok(self.span == *to) };
        let goes_back = to.to.as_ref().is_some_and(|to| *to < end);
        if goes_back || to.from < self.span.from || to.from > end {
            return Ok(false);
        }
        let few = |from: &[u8], to: Option<&[u8]>| {
            partition.between(from, to).take(SLIDE_MAX + 1).collect::<Result<Vec<_>>>()
        };
        let entering = if self.span.to == to.to { Vec::new() } else { few(&end, to.to.as_deref())? };
        let leaving = if self.span.from == to.from { Vec::new() } else { few(&self.span.from, Some(&to.from))? };
        if entering.len() > SLIDE_MAX || leaving.len() > SLIDE_MAX {
            return Ok(false);
        }
        for row in entering {
            let inputs = row.inputs(partition.calls)?;
            for_frame(partition.calls, frame_at, &mut self.parts, &inputs, |part, input| {
                part.add(input);
                true
            });
        }
        for row in leaving {
            let inputs = row.inputs(partition.calls)?;
            if !for_frame(partition.calls, frame_at, &mut self.parts, &inputs, Part::remove) {
                return Ok(false);
            }
        }
        self.span = to.clone();
        Ok(true)
    }
}

/// Does something with each part of a frame's calls and its input; whether all of it could be done.
fn for_frame(
    calls: &Calls,
    frame_at: usize,
    parts: &mut [Option<Part>],
    inputs: &Inputs,
    act: impl Fn(&mut Part, &[Datum]) -> bool,
) -> bool {
    let mut done = true;
    for ((part, input), call) in parts.iter_mut().zip(inputs).zip(&calls.calls) {
        if let (Some(part), Some(input), true) = (part, input, call.frame == frame_at) {
            done &= act(part, input);
        }
    }
    done
}

/// The parts of a frame's calls over some ranges.
fn sum(partition: Partition<'_, '_>, frame_at: usize, spans: &[Span]) -> Result<Vec<Option<Part>>> {
    let calls = partition.calls;
    let mut parts = match (partition.base, calls.frames.get(frame_at)) {
        (Some(base), Some(frame)) if frame.start == Bound::UnboundedPreceding => base.parts.clone(),
        _ => calls.empty_parts(),
    };
    for (part, call) in parts.iter_mut().zip(&calls.calls) {
        if call.frame != frame_at {
            *part = None;
        }
    }
    for span in spans {
        partition.fold(&span.from, span.to.as_deref(), &mut |piece| {
            match piece {
                Piece::Row(row) => calls.add(&mut parts, &row.inputs(calls)?),
                Piece::Block(block) => part::merge(&mut parts, block),
            }
            Ok(())
        })?;
    }
    Ok(parts)
}

/// An aggregate that needs all its rows.
fn listed(
    partition: Partition<'_, '_>,
    spans: &[Span],
    at: usize,
    function: AggregateFunction,
) -> Result<Result<Datum, RowError>> {
    let mut fold = Fold::new(function);
    for span in spans {
        for row in partition.between(&span.from, span.to.as_deref()) {
            if let Some(Some(input)) = row?.inputs(partition.calls)?.get(at) {
                fold.push(input);
            }
        }
    }
    Ok(fold.finish())
}

/// `FIRST_VALUE`, `LAST_VALUE`, `NTH_VALUE`.
fn within(partition: Partition<'_, '_>, spans: &[Span], at: usize, inputs: &Inputs) -> Result<Result<Datum, RowError>> {
    let Some(call) = partition.calls.calls.get(at) else { return Ok(Ok(Datum::Null)) };
    let n = match call.function {
        WindowFunction::NthValue => match second_argument(inputs, at) {
            Ok(Some(n)) if n > 0 => n,
            Ok(Some(_)) => {
                return Ok(Err(RowError::new("22016", "the row asked of NTH_VALUE must be greater than zero")));
            }
            Ok(None) => return Ok(Ok(Datum::Null)),
            Err(error) => return Ok(Err(error)),
        },
        _ => 1,
    };
    let take = |left: &mut i64, row: Result<Entry>| -> Result<Option<Datum>> {
        let input = row?.inputs(partition.calls)?.into_iter().nth(at).flatten();
        let value = input.and_then(|input| input.into_iter().next()).unwrap_or(Datum::Null);
        if call.ignore_nulls && value.is_null() {
            return Ok(None);
        }
        *left -= 1;
        Ok((*left == 0).then_some(value))
    };
    let mut left = n;
    let rows = |span: &Span| partition.between(&span.from, span.to.as_deref());
    // What is summed up stands before all rows, in frames from the partition's beginning.
    let frame = partition.calls.frames.get(call.frame);
    let base = partition.base.filter(|_| frame.is_some_and(|frame| frame.start == Bound::UnboundedPreceding));
    if call.function == WindowFunction::LastValue {
        for row in spans.iter().rev().flat_map(|span| rows(span).rev()) {
            if let Some(value) = take(&mut left, row)? {
                return Ok(Ok(value));
            }
        }
        if let Some(value) = base.and_then(|base| base.lasts.get(at)?.last()) {
            return Ok(Ok(value.clone()));
        }
    } else {
        let firsts = base.and_then(|base| base.firsts.get(at)).map(Vec::as_slice).unwrap_or_default();
        if let Some(value) = usize::try_from(n - 1).ok().and_then(|n| firsts.get(n)) {
            return Ok(Ok(value.clone()));
        }
        left -= i64::try_from(firsts.len()).unwrap_or(i64::MAX);
        for row in spans.iter().flat_map(rows) {
            if let Some(value) = take(&mut left, row)? {
                return Ok(Ok(value));
            }
        }
    }
    Ok(Ok(Datum::Null))
}

/// `LAG`, `LEAD`.
fn neighbour(
    partition: Partition<'_, '_>,
    row: Current<'_>,
    at: usize,
    inputs: &Inputs,
) -> Result<Result<Datum, RowError>> {
    let Some(call) = partition.calls.calls.get(at) else { return Ok(Ok(Datum::Null)) };
    let input = inputs.get(at).and_then(Option::as_ref).map(Vec::as_slice).unwrap_or_default();
    let n = match (input.len(), second_argument(inputs, at)) {
        (..2, _) => 1,
        (_, Ok(Some(n))) => n,
        (_, Ok(None)) => return Ok(Ok(Datum::Null)),
        (_, Err(error)) => return Ok(Err(error)),
    };
    let back = if call.function == WindowFunction::Lag { n } else { n.saturating_neg() };
    let steps = back.unsigned_abs();
    let first = |entry: Entry| -> Result<Datum> {
        let input = entry.inputs(partition.calls)?.into_iter().nth(at).flatten();
        Ok(input.and_then(|input| input.into_iter().next()).unwrap_or(Datum::Null))
    };
    let found = if steps == 0 {
        input.first().cloned()
    } else if call.ignore_nulls {
        let mut rows: Box<dyn Iterator<Item = Result<Entry>>> = if back > 0 {
            Box::new(partition.between(&[], Some(row.place)).rev())
        } else {
            Box::new(partition.between(&just_after(row.place), None))
        };
        let mut left = steps;
        loop {
            let Some(entry) = rows.next() else {
                let lasts = partition.base.filter(|_| back > 0).and_then(|base| base.lasts.get(at));
                let left = usize::try_from(left).unwrap_or(usize::MAX);
                break lasts.and_then(|lasts| lasts.get(lasts.len().checked_sub(left)?)).cloned();
            };
            let value = first(entry?)?;
            left -= u64::from(!value.is_null());
            if left == 0 {
                break Some(value);
            }
        }
    } else {
        let entry =
            if back > 0 { partition.nth_before(row.place, steps)? } else { partition.nth_after(row.place, steps)? };
        entry.map(first).transpose()?
    };
    Ok(Ok(found.or_else(|| input.get(2).cloned()).unwrap_or(Datum::Null)))
}

/// The second argument, a whole number; `None`: NULL.
pub(super) fn second_argument(inputs: &Inputs, at: usize) -> Result<Option<i64>, RowError> {
    integer(inputs.get(at).and_then(Option::as_ref).and_then(|input| input.get(1)).unwrap_or(&Datum::Null))
}

pub(in crate::operators) fn integer(value: &Datum) -> Result<Option<i64>, RowError> {
    match value {
        Datum::Missing | Datum::Null => Ok(None),
        Datum::Int(n) => Ok(Some(i64::from(*n))),
        Datum::Long(n) => Ok(Some(*n)),
        _ => Err(RowError::new("42804", "how many rows away must be an integer")),
    }
}

/// The functions of a row's rank.
fn rank(partition: Partition<'_, '_>, row: Current<'_>, at: usize) -> Result<Result<Datum, RowError>> {
    let long = |n: u64| Datum::Long(i64::try_from(n).unwrap_or(i64::MAX));
    let before = |place: &[u8]| partition.count(&[], Some(place));
    let Some(call) = partition.calls.calls.get(at) else { return Ok(Ok(Datum::Null)) };
    Ok(Ok(match call.function {
        WindowFunction::RowNumber => long(before(row.place)? + 1),
        WindowFunction::Rank => long(before(row.order)? + 1),
        WindowFunction::DenseRank => long(partition.groups_before(row.order)? + 1),
        WindowFunction::PercentRank => match partition.count(&[], None)? {
            ..=1 => Datum::Double(0.0),
            rows => Datum::Double(double(before(row.order)?) / double(rows - 1)),
        },
        WindowFunction::CumeDist => {
            let peers = partition.count(&[], after_order(row.order).as_deref())?;
            Datum::Double(double(peers) / double(partition.count(&[], None)?))
        }
        WindowFunction::Ntile => {
            let Some(first) = partition.between(&[], None).next().transpose()? else { return Ok(Ok(Datum::Null)) };
            let inputs = first.inputs(partition.calls)?;
            let input = inputs.get(at).and_then(Option::as_ref).and_then(|input| input.first());
            let tiles = match integer(input.unwrap_or(&Datum::Null)) {
                Ok(Some(tiles)) if tiles > 0 => tiles.unsigned_abs(),
                Ok(Some(_)) => return Ok(Err(RowError::new("22014", "the number of tiles must be greater than zero"))),
                Ok(None) => return Ok(Ok(Datum::Null)),
                Err(error) => return Ok(Err(error)),
            };
            let tile = tile(before(row.place)?, partition.count(&[], None)?, tiles);
            i32::try_from(tile).map_or(long(tile), Datum::Int)
        }
        _ => Datum::Null,
    }))
}

/// The first tiles are larger by one where the rows cannot be dealt out evenly.
fn tile(at: u64, rows: u64, tiles: u64) -> u64 {
    let (size, larger) = (rows / tiles, rows % tiles);
    let in_larger = larger * (size + 1);
    if at < in_larger { at / (size + 1) + 1 } else { larger + (at - in_larger).checked_div(size).unwrap_or(0) + 1 }
}

#[expect(clippy::cast_precision_loss, reason = "nobody has so many rows")]
fn double(n: u64) -> f64 {
    n as f64
}
