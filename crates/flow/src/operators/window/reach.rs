//! How far a change reaches: for which rows a call may give something else now.
//!
//! The answer may be too large: a row that gives what it gave before is not put out. It must not be too small.

use super::calls::{Call, Calls, Inputs, is_whole};
use super::distance::{Way, go_at_least};
use super::frame::{Span, after_order, group_after, group_before};
use super::rows::{Partition, just_after};
use crate::operators::order;
use crate::{Bound, Datum, Exclude, Frame, FrameUnit, Offset, OrderKey, Result, WindowFunction};

/// A row that has come, gone, or is read differently.
pub(super) struct Touched {
    pub(super) place: Vec<u8>,
    /// How long the part of the place is that peers share.
    pub(super) order: usize,
    pub(super) key: Datum,
    pub(super) kind: Kind,
    /// What the calls read of it: now, or for a row that has gone, before.
    pub(super) inputs: Inputs,
    /// Whether no row was a peer of it before, or is now.
    pub(super) is_alone: bool,
}

pub(super) enum Kind {
    /// Come or gone: other rows have other rows beside them now.
    Shifts,
    /// It stays where it is; what the calls read of it was this before.
    Reads(Inputs),
}

/// For each call the rows that may give something else, as ranges in order that do not meet.
pub(super) fn reach(
    partition: Partition<'_, '_>,
    by: Option<&OrderKey>,
    touched: &[Touched],
    steps_max: &[u64],
) -> Result<Vec<Vec<Span>>> {
    let calls = partition.calls;
    let mut all = Vec::with_capacity(calls.len());
    for (at, call) in calls.calls.iter().enumerate() {
        let mut spans = Vec::new();
        for touched in touched {
            spans.extend(one(partition, by, call, at, touched, steps_max.get(at).copied().unwrap_or(1))?);
        }
        all.push(joined(spans));
    }
    Ok(all)
}

/// Ranges in order, those that meet made one.
fn joined(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| !span.is_empty());
    spans.sort_by(|a, b| a.from.cmp(&b.from));
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if last.to.as_ref().is_none_or(|to| *to >= span.from) => {
                if last.to.is_some() && span.to.as_ref().is_none_or(|to| Some(to) > last.to.as_ref()) {
                    last.to = span.to;
                }
            }
            _ => joined.push(span),
        }
    }
    joined
}

fn one(
    partition: Partition<'_, '_>,
    by: Option<&OrderKey>,
    call: &Call,
    at: usize,
    touched: &Touched,
    steps: u64,
) -> Result<Option<Span>> {
    let place = touched.place.as_slice();
    let peers = place.get(..touched.order).unwrap_or_default();
    let input = touched.inputs.get(at).and_then(Option::as_ref);
    let shifts = match &touched.kind {
        Kind::Shifts => true,
        Kind::Reads(before) if before.get(at) == touched.inputs.get(at) => return Ok(None),
        Kind::Reads(_) => false,
    };
    let all = Span { from: Vec::new(), to: None };
    match call.function {
        WindowFunction::RowNumber => Ok(shifts.then(|| Span { from: place.to_vec(), to: None })),
        WindowFunction::Rank => Ok(match (shifts, after_order(peers)) {
            (true, Some(from)) => Some(Span { from, to: None }),
            _ => None,
        }),
        WindowFunction::DenseRank => Ok((shifts && touched.is_alone).then(|| Span { from: place.to_vec(), to: None })),
        WindowFunction::PercentRank | WindowFunction::CumeDist => Ok(shifts.then_some(all)),
        WindowFunction::Ntile => Ok(Some(all)),
        WindowFunction::Lag | WindowFunction::Lead => {
            let is_null = input.and_then(|input| input.first()).is_none_or(Datum::is_null);
            if call.ignore_nulls && is_null && shifts {
                return Ok(None);
            }
            let steps = if call.ignore_nulls { nulls_passed(partition, at, place, steps)? } else { (steps, steps) };
            // As far back as another row's value reaches, and as far on; which way it goes may differ by row.
            let from = partition.nth_before(place, steps.0)?;
            let to = partition.nth_after(place, steps.1)?;
            Ok(Some(Span {
                from: from.map(|row| row.place().to_vec()).unwrap_or_default(),
                to: to.map(|row| just_after(row.place())),
            }))
        }
        WindowFunction::Aggregate(_)
        | WindowFunction::FirstValue
        | WindowFunction::LastValue
        | WindowFunction::NthValue => {
            let Some(frame) = partition.calls.frames.get(call.frame) else { return Ok(None) };
            let was_idle = match &touched.kind {
                Kind::Reads(before) => call.is_idle(before.get(at).and_then(Option::as_ref)),
                Kind::Shifts => true,
            };
            if call.is_idle(input) && was_idle && !(shifts && is_shifted(frame)) {
                return Ok(None);
            }
            if is_whole(frame) { Ok(Some(all)) } else { of_frame(partition, by, frame, touched).map(Some) }
        }
    }
}

/// How many rows to go each way to pass so many values that are not NULL.
fn nulls_passed(partition: Partition<'_, '_>, at: usize, place: &[u8], steps: u64) -> Result<(u64, u64)> {
    let count = |rows: &mut dyn Iterator<Item = Result<super::rows::Entry>>| -> Result<u64> {
        let (mut passed, mut left) = (0, steps);
        while left > 0 {
            let Some(row) = rows.next() else { return Ok(u64::MAX) };
            let inputs = row?.inputs(partition.calls)?;
            let value = inputs.get(at).and_then(Option::as_ref).and_then(|input| input.first());
            left -= u64::from(value.is_some_and(|value| !value.is_null()));
            passed += 1;
        }
        Ok(passed.max(1))
    };
    let before = count(&mut partition.between(&[], Some(place)).rev())?;
    let behind = count(&mut partition.between(&just_after(place), None))?;
    Ok((before, behind))
}

/// Whether rows enter or leave frames because another row pushes them.
fn is_shifted(frame: &Frame) -> bool {
    let counts =
        |bound: &Bound| matches!(bound, Bound::Preceding(Offset::Count(1..)) | Bound::Following(Offset::Count(1..)));
    frame.unit != FrameUnit::Range && (counts(&frame.start) || counts(&frame.end))
}

/// The rows whose frames hold the touched one, or a row that it pushes in or out.
fn of_frame(partition: Partition<'_, '_>, by: Option<&OrderKey>, frame: &Frame, touched: &Touched) -> Result<Span> {
    let place = touched.place.as_slice();
    let peers = place.get(..touched.order).unwrap_or_default();
    let rows = frame.unit == FrameUnit::Rows;
    let here = if rows { place } else { peers };
    let from = match &frame.end {
        Bound::UnboundedFollowing => Vec::new(),
        Bound::Following(Offset::Count(n @ 1..)) if rows => {
            partition.nth_before(place, *n)?.map(|row| row.place().to_vec()).unwrap_or_default()
        }
        Bound::Following(Offset::Count(n @ 1..)) => group_before(partition, peers, *n)?.unwrap_or_default(),
        Bound::Preceding(offset @ (Offset::Number(_) | Offset::Interval(_))) => {
            distance(by, touched, offset, false).unwrap_or_else(|| peers.to_vec())
        }
        Bound::Following(offset @ (Offset::Number(_) | Offset::Interval(_))) => {
            distance(by, touched, offset, true).unwrap_or_else(|| peers.to_vec())
        }
        _ => here.to_vec(),
    };
    let to = match &frame.start {
        Bound::UnboundedPreceding => None,
        Bound::Preceding(Offset::Count(n @ 1..)) if rows => {
            partition.nth_after(place, *n)?.map(|row| just_after(row.place()))
        }
        Bound::Preceding(Offset::Count(n @ 1..)) => {
            group_after(partition, peers, *n)?.and_then(|order| after_order(&order))
        }
        Bound::Preceding(offset @ (Offset::Number(_) | Offset::Interval(_))) => {
            after_order(&distance(by, touched, offset, false).unwrap_or_else(|| peers.to_vec()))
        }
        Bound::Following(offset @ (Offset::Number(_) | Offset::Interval(_))) => {
            after_order(&distance(by, touched, offset, true).unwrap_or_else(|| peers.to_vec()))
        }
        _ if rows && frame.exclude == Exclude::NoOthers => Some(just_after(place)),
        _ => after_order(peers),
    };
    Ok(Span { from, to })
}

/// The order of the rows from which the touched one is so far away.
fn distance(by: Option<&OrderKey>, touched: &Touched, offset: &Offset, to_earlier: bool) -> Option<Vec<u8>> {
    let by = by?;
    let way = if to_earlier != by.descending { Way::Down } else { Way::Up };
    let mut reached = Vec::with_capacity(16);
    order::append_key(by, &go_at_least(&touched.key, way, offset)?, &mut reached);
    Some(reached)
}

/// Places behind which nothing was touched: where calls whose value tells the rest may stop.
pub(super) fn last_order(touched: &[Touched]) -> Vec<u8> {
    touched.last().and_then(|last| last.place.get(..last.order)).map(<[u8]>::to_vec).unwrap_or_default()
}

/// Whether a call whose value at a row is what it was gives what it did for all rows behind.
pub(super) fn settles(calls: &Calls, at: usize, order: &[u8], last_touched: &[u8]) -> bool {
    let Some(call) = calls.calls.get(at) else { return false };
    let is_whole = calls.frames.get(call.frame).is_some_and(is_whole) && call.is_whole_constant();
    is_whole || (call.is_settled(&calls.frames) && order > last_touched && !order.starts_with(last_touched))
}
