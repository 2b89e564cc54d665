//! Windows over changes in their own sequence (SQL-13.4): every row is its partition's last one.
//!
//! So frames only ever move forwards. Their aggregates move along, and of the rows only those are kept that will still enter
//! a frame or leave one.

use crate::aggregate::Fold;
use crate::codec::{self, Reader};
use crate::operator::Step;
use crate::operators::order;
use crate::operators::window::{Call, Calls, Inputs, Part, Values, back, far_back, integer, level_key};
use crate::store::State;
use crate::{
    Bound, Datum, Error, Exclude, Frame, FrameUnit, Offset, Result, Row, RowError, ScalarRef, WindowFunction, key,
};

/// First bytes of the state's keys: partition and number to what is kept of a row; …
const ROWS: u8 = 0;
/// … partition to how far it has come.
const PARTITION: u8 = 0x80;

pub(in crate::operators) struct Sequence {
    pub(super) partition: Vec<ScalarRef>,
    pub(super) time: ScalarRef,
    pub(super) calls: Calls,
}

/// How far a partition has come.
struct Progress {
    /// How many rows have come: the next one's number.
    rows: u64,
    /// The first row that is kept.
    oldest: u64,
    /// The number of the first of the last row's peers.
    peers: u64,
    /// How many groups of peers there are.
    groups: u64,
    time: Datum,
    /// For each frame the rows that it holds.
    frames: Vec<Held>,
    /// And the first of those where it is known, so that it need not be read to see that it stays.
    firsts: Vec<Option<Mark>>,
    /// For each call.
    parts: Vec<Option<Part>>,
    /// For each call values from the beginning, or the latest ones.
    values: Vec<Vec<Datum>>,
}

/// Rows by their numbers: from one up to another one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    from: u64,
    to: u64,
}

/// What is kept of a row.
#[derive(Clone)]
struct Kept {
    time: Datum,
    /// The number of its group of peers.
    group: u64,
    inputs: Inputs,
}

/// Where a row is for frames by distance or by groups.
#[derive(Clone)]
struct Mark {
    time: Datum,
    group: u64,
}

/// A partition at its last row.
struct Now<'a, 's> {
    calls: &'a Calls,
    state: &'a State<'s>,
    partition: &'a [u8],
    /// The last row's number, and the row.
    number: u64,
    row: Kept,
    /// The number of the first of its peers.
    peers: u64,
}

impl Sequence {
    pub(super) fn row(&self, step: &mut Step<'_>, row: &Row) -> Result<()> {
        let Some((partition, time, inputs)) = step.or_fail(self.read(row), row, 1) else { return Ok(()) };
        let progress_key = level_key(PARTITION, &partition, &[]);
        let mut progress = match step.state.get(&progress_key)? {
            Some(bytes) => Progress::read(&bytes, &self.calls)?,
            None => Progress::new(&self.calls),
        };
        if progress.groups == 0 || !key::equal(&progress.time, &time) {
            progress.groups += 1;
            progress.peers = progress.rows;
            progress.time = time.clone();
        }
        let now = Now {
            calls: &self.calls,
            state: &step.state,
            partition: &partition,
            number: progress.rows,
            row: Kept { time, group: progress.groups, inputs },
            peers: progress.peers,
        };
        let mut needed = now.number + 1;
        for at in 0..self.calls.frames.len() {
            needed = needed.min(now.advance(at, &mut progress)?);
        }
        let values = now.values(&progress)?;
        now.remember(&mut progress);
        progress.rows += 1;

        let number = now.number;
        let kept = now.row;
        super::put_out(step, row, values);
        if needed <= number {
            step.state.put_new(&row_key(&partition, number), kept.bytes(&self.calls))?;
        }
        for gone in progress.oldest..needed.min(number) {
            step.state.remove(&row_key(&partition, gone))?;
        }
        progress.oldest = needed;
        step.state.put(&progress_key, progress.bytes())
    }

    fn read(&self, row: &Row) -> Result<(Vec<u8>, Datum, Inputs), RowError> {
        let mut partition = Vec::with_capacity(16);
        order::append_values(&self.partition, row, &mut partition)?;
        Ok((partition, self.time.eval(row)?, self.calls.inputs(row)?))
    }
}

impl Now<'_, '_> {
    /// Rows by their numbers, the last one too. One by one: they are likely to be in memory, and a range would not know.
    fn rows(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = Result<Kept>> + '_ {
        (from..to.min(self.number + 1)).map(|number| {
            if number == self.number {
                return Ok(self.row.clone());
            }
            let bytes = self.state.get(&row_key(self.partition, number))?;
            Kept::read(&bytes.ok_or(Error::Bug("a row of a window is gone"))?, self.calls)
        })
    }

    /// The first row from `from` on that is not before something; `known` is the one at `from`, and then the one found.
    fn count(&self, from: u64, known: &mut Option<Mark>, is_before: impl Fn(&Mark) -> bool) -> Result<u64> {
        if known.as_ref().is_some_and(|mark| !is_before(mark)) {
            return Ok(from);
        }
        *known = None;
        let mut number = from;
        for row in self.rows(from, self.number + 1) {
            let Kept { time, group, .. } = row?;
            let mark = Mark { time, group };
            if !is_before(&mark) {
                *known = Some(mark);
                break;
            }
            number += 1;
        }
        Ok(number)
    }

    /// The rows of a frame, of whose rows so far `first` is the first, without what it excludes, except that `EXCLUDE TIES` keeps the row itself.
    fn held(&self, frame: &Frame, last: Held, first: &mut Option<Mark>) -> Result<Held> {
        let (number, row) = (self.number, &self.row);
        let from = match (&frame.start, frame.unit) {
            (Bound::UnboundedPreceding, _) => 0,
            (Bound::Preceding(Offset::Count(n)), FrameUnit::Rows) => number.saturating_sub(*n),
            (Bound::Preceding(Offset::Count(n)), _) => {
                self.count(last.from, first, |other| other.group + n < row.group)?
            }
            (Bound::Preceding(distance), _) => match back(&row.time, distance) {
                Some(least) => self.count(last.from, first, |other| key::compare(&other.time, &least).is_lt())?,
                None => {
                    *first = None;
                    self.peers
                }
            },
            (Bound::CurrentRow, FrameUnit::Rows) => number,
            (Bound::CurrentRow, _) => self.peers,
            (Bound::Following(_) | Bound::UnboundedFollowing, _) => number + 1,
        };
        let to = match (&frame.end, frame.unit) {
            (Bound::UnboundedPreceding, _) => 0,
            (Bound::Preceding(Offset::Count(n)), FrameUnit::Rows) => (number + 1).saturating_sub(*n),
            (Bound::Preceding(Offset::Count(n)), _) => {
                self.count(last.to, &mut None, |other| other.group + n <= row.group)?
            }
            (Bound::Preceding(distance), _) => match far_back(&row.time, distance) {
                Some(most) => self.count(last.to, &mut None, |other| key::compare(&other.time, &most).is_le())?,
                None => number + 1,
            },
            // Nothing behind has come yet.
            (Bound::CurrentRow | Bound::Following(_) | Bound::UnboundedFollowing, _) => number + 1,
        };
        let end = match frame.exclude {
            Exclude::NoOthers => number + 1,
            Exclude::CurrentRow => number,
            Exclude::Group | Exclude::Ties => self.peers,
        };
        Ok(Held { from, to: to.min(end) })
    }

    /// Moves a frame on. Tells which rows will still be needed.
    fn advance(&self, at: usize, progress: &mut Progress) -> Result<u64> {
        let (Some(frame), Some(held), Some(first)) =
            (self.calls.frames.get(at), progress.frames.get_mut(at), progress.firsts.get_mut(at))
        else {
            return Ok(u64::MAX);
        };
        if !self.calls.calls.iter().any(|call| call.frame == at && call.reads_frame()) {
            return Ok(u64::MAX);
        }
        let last = *held;
        let next = self.held(frame, last, first)?;
        *held = next;
        let from_start = frame.start == Bound::UnboundedPreceding;
        let sums = self.calls.calls.iter().any(|call| call.frame == at && call.has_part());
        let mut moved = last.from <= next.from && next.from <= last.to && last.to <= next.to;
        if moved && (sums || from_start) {
            for row in self.rows(last.to, next.to) {
                let inputs = row?.inputs;
                self.add(at, progress, &inputs);
                if from_start {
                    self.note(at, progress, &inputs);
                }
            }
        }
        if moved && sums {
            for row in self.rows(last.from, next.from) {
                moved &= self.remove(at, progress, &row?.inputs);
            }
        }
        if !moved && sums {
            let empty = self.calls.empty_parts();
            for ((part, empty), call) in progress.parts.iter_mut().zip(empty).zip(&self.calls.calls) {
                if call.frame == at {
                    *part = empty;
                }
            }
            for row in self.rows(next.from, next.to) {
                self.add(at, progress, &row?.inputs);
            }
        }
        // Rows leave a frame that begins later and later; into one that ends before the last row they are still to come.
        let leaves = !from_start || self.calls.keeps_all();
        let from = if leaves { next.from.min(next.to) } else { next.to };
        Ok(match frame.exclude {
            Exclude::NoOthers | Exclude::CurrentRow => from,
            Exclude::Group | Exclude::Ties => from.min(self.peers),
        })
    }

    fn add(&self, frame: usize, progress: &mut Progress, inputs: &Inputs) {
        self.apply(frame, &mut progress.parts, inputs, |part, input| {
            part.add(input);
            true
        });
    }

    /// Whether all aggregates could let go of the row.
    fn remove(&self, frame: usize, progress: &mut Progress, inputs: &Inputs) -> bool {
        self.apply(frame, &mut progress.parts, inputs, Part::remove)
    }

    /// Keeps what is asked for of a row that has entered a frame from the beginning.
    fn note(&self, frame: usize, progress: &mut Progress, inputs: &Inputs) {
        for (at, call) in self.calls.calls.iter().enumerate().filter(|(_, call)| call.frame == frame) {
            let Some(values) = progress.values.get_mut(at) else { continue };
            let value = inputs.get(at).and_then(Option::as_ref).and_then(|input| input.first()).unwrap_or(&Datum::Null);
            if call.ignore_nulls && value.is_null() {
                continue;
            }
            let first = match call.function {
                WindowFunction::FirstValue => 1,
                WindowFunction::NthValue => {
                    let n = self.row.inputs.get(at).and_then(Option::as_ref).and_then(|input| input.get(1));
                    let n = integer(n.unwrap_or(&Datum::Null)).ok().flatten();
                    n.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
                }
                WindowFunction::LastValue => {
                    *values = vec![value.clone()];
                    continue;
                }
                _ => continue,
            };
            if values.len() < first {
                values.push(value.clone());
            }
        }
    }

    fn apply(
        &self,
        frame: usize,
        parts: &mut [Option<Part>],
        inputs: &Inputs,
        act: impl Fn(&mut Part, &[Datum]) -> bool,
    ) -> bool {
        let mut done = true;
        for ((part, input), call) in parts.iter_mut().zip(inputs).zip(&self.calls.calls) {
            if let (Some(part), Some(input), true) = (part, input, call.frame == frame) {
                done &= act(part, input);
            }
        }
        done
    }

    fn values(&self, progress: &Progress) -> Result<Values> {
        let mut values = Vec::with_capacity(self.calls.len());
        for at in 0..self.calls.len() {
            match self.value(at, progress)? {
                Ok(value) => values.push(value),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(values))
    }

    fn value(&self, at: usize, progress: &Progress) -> Result<Result<Datum, RowError>> {
        let long = |n: u64| Ok(Ok(Datum::Long(i64::try_from(n).unwrap_or(i64::MAX))));
        let Some(call) = self.calls.calls.get(at) else { return Ok(Ok(Datum::Null)) };
        let input = self.row.inputs.get(at).and_then(Option::as_ref);
        let held = progress.frames.get(call.frame).copied().unwrap_or_default();
        let frame = self.calls.frames.get(call.frame);
        // `EXCLUDE TIES` keeps the row itself, if the frame reaches it.
        let keeps_itself = frame.is_some_and(|frame| frame.exclude == Exclude::Ties && self.reaches_itself(frame));
        match call.function {
            WindowFunction::RowNumber => long(self.number + 1),
            WindowFunction::Rank => long(self.peers + 1),
            WindowFunction::DenseRank => long(self.row.group),
            WindowFunction::Lag => Ok(self.lag(input, progress.values.get(at).map(Vec::as_slice).unwrap_or_default())),
            WindowFunction::Aggregate(function) => match progress.parts.get(at) {
                Some(Some(part)) if keeps_itself => {
                    let mut part = part.clone();
                    input.iter().for_each(|input| part.add(input));
                    Ok(part.value())
                }
                Some(Some(part)) => Ok(part.value()),
                _ => {
                    let mut fold = Fold::new(function);
                    for row in self.rows(held.from, held.to) {
                        if let Some(Some(input)) = row?.inputs.get(at) {
                            fold.push(input);
                        }
                    }
                    if keeps_itself {
                        input.iter().for_each(|input| fold.push(input));
                    }
                    Ok(fold.finish())
                }
            },
            WindowFunction::FirstValue | WindowFunction::LastValue | WindowFunction::NthValue => {
                self.within(at, call, (held, keeps_itself), progress)
            }
            WindowFunction::Lead | WindowFunction::Ntile | WindowFunction::PercentRank | WindowFunction::CumeDist => {
                Ok(Err(RowError::new("0A000", "this window function needs rows that are yet to come")))
            }
        }
    }

    /// Whether the row is in its own frame, but for what that excludes.
    fn reaches_itself(&self, frame: &Frame) -> bool {
        let is_zero =
            |distance: &Offset| far_back(&self.row.time, distance).is_none_or(|at| key::equal(&at, &self.row.time));
        match &frame.end {
            Bound::Preceding(Offset::Count(n)) => *n == 0,
            Bound::Preceding(distance) => is_zero(distance),
            Bound::UnboundedPreceding => false,
            Bound::CurrentRow | Bound::Following(_) | Bound::UnboundedFollowing => {
                !matches!(frame.start, Bound::Following(_) | Bound::UnboundedFollowing)
            }
        }
    }

    fn lag(&self, input: Option<&Vec<Datum>>, latest: &[Datum]) -> Result<Datum, RowError> {
        let input = input.map(Vec::as_slice).unwrap_or_default();
        let steps = match input.get(1) {
            None => 1,
            Some(steps) => match integer(steps)? {
                Some(steps) if steps < 0 => {
                    return Err(RowError::new("0A000", "LAG cannot look at rows that are yet to come"));
                }
                Some(steps) => usize::try_from(steps).unwrap_or(usize::MAX),
                None => return Ok(Datum::Null),
            },
        };
        if steps == 0 {
            return Ok(input.first().cloned().unwrap_or(Datum::Null));
        }
        let found = latest.len().checked_sub(steps).and_then(|at| latest.get(at));
        Ok(found.or(input.get(2)).cloned().unwrap_or(Datum::Null))
    }

    /// `FIRST_VALUE`, `LAST_VALUE`, `NTH_VALUE`.
    fn within(
        &self,
        at: usize,
        call: &Call,
        (held, keeps_itself): (Held, bool),
        progress: &Progress,
    ) -> Result<Result<Datum, RowError>> {
        let n = match (call.function, self.row.inputs.get(at).and_then(Option::as_ref).and_then(|input| input.get(1))) {
            (WindowFunction::NthValue, n) => match integer(n.unwrap_or(&Datum::Null)) {
                Ok(Some(n)) if n > 0 => n.unsigned_abs(),
                Ok(Some(_)) => {
                    return Ok(Err(RowError::new("22016", "the row asked of NTH_VALUE must be greater than zero")));
                }
                Ok(None) => return Ok(Ok(Datum::Null)),
                Err(error) => return Ok(Err(error)),
            },
            _ => 1,
        };
        let known = progress.values.get(at).map(Vec::as_slice).unwrap_or_default();
        let value = |row: &Kept| row.inputs.get(at).and_then(Option::as_ref).and_then(|input| input.first()).cloned();
        let value = |row: &Kept| {
            Some(value(row).unwrap_or(Datum::Null)).filter(|value| !(call.ignore_nulls && value.is_null()))
        };
        let itself = keeps_itself.then(|| value(&self.row)).flatten();
        // A frame from the beginning: its rows are not kept, but what is asked for is.
        let from_start =
            self.calls.frames.get(call.frame).is_some_and(|frame| frame.start == Bound::UnboundedPreceding);
        if call.function == WindowFunction::LastValue {
            if itself.is_some() {
                return Ok(Ok(itself.unwrap_or(Datum::Null)));
            }
            for row in self.rows(held.from.max(progress.oldest), held.to).rev() {
                if let Some(value) = value(&row?) {
                    return Ok(Ok(value));
                }
            }
            return Ok(Ok(known.last().filter(|_| from_start).cloned().unwrap_or(Datum::Null)));
        }
        let mut left = n;
        if from_start {
            if let Some(value) = usize::try_from(n - 1).ok().and_then(|n| known.get(n)) {
                return Ok(Ok(value.clone()));
            }
            left -= u64::try_from(known.len()).unwrap_or_default();
        } else {
            for row in self.rows(held.from, held.to) {
                if let Some(value) = value(&row?) {
                    left -= 1;
                    if left == 0 {
                        return Ok(Ok(value));
                    }
                }
            }
        }
        Ok(Ok(itself.filter(|_| left == 1).unwrap_or(Datum::Null)))
    }

    /// Keeps the values that `LAG` will ask for.
    fn remember(&self, progress: &mut Progress) {
        for (at, call) in self.calls.calls.iter().enumerate() {
            let Some(values) = progress.values.get_mut(at) else { continue };
            let input = self.row.inputs.get(at).and_then(Option::as_ref);
            let value = input.and_then(|input| input.first()).unwrap_or(&Datum::Null);
            if call.function == WindowFunction::Lag && !(call.ignore_nulls && value.is_null()) {
                let most = usize::try_from(call.steps(input).unwrap_or(1)).unwrap_or(usize::MAX).max(values.len());
                values.push(value.clone());
                let surplus = values.len().saturating_sub(most);
                values.drain(..surplus);
            }
        }
    }
}

impl Progress {
    fn new(calls: &Calls) -> Self {
        Self {
            rows: 0,
            oldest: 0,
            peers: 0,
            groups: 0,
            time: Datum::Null,
            frames: vec![Held::default(); calls.frames.len()],
            firsts: vec![None; calls.frames.len()],
            parts: calls.empty_parts(),
            values: vec![Vec::new(); calls.len()],
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        for number in [self.rows, self.oldest, self.peers, self.groups] {
            codec::write_u64(number, &mut out);
        }
        codec::write_datum(&self.time, &mut out);
        for held in &self.frames {
            codec::write_u64(held.from, &mut out);
            codec::write_u64(held.to, &mut out);
        }
        for first in &self.firsts {
            out.push(u8::from(first.is_some()));
            if let Some(Mark { time, group }) = first {
                codec::write_datum(time, &mut out);
                codec::write_u64(*group, &mut out);
            }
        }
        self.parts.iter().flatten().for_each(|part| part.write(&mut out));
        self.values.iter().for_each(|values| codec::write_data(values, &mut out));
        out
    }

    fn read(bytes: &[u8], calls: &Calls) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let mut progress = Self::new(calls);
        progress.rows = reader.u64()?;
        progress.oldest = reader.u64()?;
        progress.peers = reader.u64()?;
        progress.groups = reader.u64()?;
        progress.time = reader.datum()?;
        for held in &mut progress.frames {
            *held = Held { from: reader.u64()?, to: reader.u64()? };
        }
        for first in &mut progress.firsts {
            if reader.byte()? != 0 {
                *first = Some(Mark { time: reader.datum()?, group: reader.u64()? });
            }
        }
        for part in progress.parts.iter_mut().flatten() {
            part.read(&mut reader)?;
        }
        for values in &mut progress.values {
            *values = reader.data()?.to_vec();
        }
        Ok(progress)
    }
}

impl Kept {
    fn bytes(&self, calls: &Calls) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        if calls.has_distance {
            codec::write_datum(&self.time, &mut out);
        }
        codec::write_u64(self.group, &mut out);
        calls.write_inputs(&self.inputs, &mut out);
        out
    }

    fn read(bytes: &[u8], calls: &Calls) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let time = if calls.has_distance { reader.datum()? } else { Datum::Null };
        Ok(Self { time, group: reader.u64()?, inputs: calls.read_inputs(&mut reader)? })
    }
}

fn row_key(partition: &[u8], number: u64) -> Vec<u8> {
    level_key(ROWS, partition, &number.to_be_bytes())
}
