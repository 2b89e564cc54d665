//! What is left of rows that no frame of a row to come looks at one by one.

use super::calls::{Calls, Inputs};
use super::part::Part;
use super::value::second_argument;
use crate::codec::{self, Reader};
use crate::{Bound, Datum, Result, WindowFunction};

/// The rows before all those of a partition that are kept.
pub(in crate::operators) struct Base {
    pub(super) rows: u64,
    /// Groups of peers that have no row behind.
    pub(super) groups: u64,
    pub(super) parts: Vec<Option<Part>>,
    /// For each call: the first values, as many as `FIRST_VALUE` and `NTH_VALUE` need.
    pub(super) firsts: Vec<Vec<Datum>>,
    /// For each call: the last values, as many as `LAST_VALUE` and `LAG … IGNORE NULLS` need.
    pub(super) lasts: Vec<Vec<Datum>>,
}

impl Base {
    pub(in crate::operators) fn new(calls: &Calls) -> Self {
        let none = vec![Vec::new(); calls.len()];
        Self { rows: 0, groups: 0, parts: calls.empty_parts(), firsts: none.clone(), lasts: none }
    }

    /// Takes in the row behind. `steps`: how far `LAG` looks back.
    pub(in crate::operators) fn add(&mut self, inputs: &Inputs, calls: &Calls, ends_group: bool, steps: u64) {
        self.rows += 1;
        self.groups += u64::from(ends_group);
        calls.add(&mut self.parts, inputs);
        for (at, call) in calls.calls.iter().enumerate() {
            let value = inputs.get(at).and_then(Option::as_ref).and_then(|input| input.first()).unwrap_or(&Datum::Null);
            let (Some(firsts), Some(lasts)) = (self.firsts.get_mut(at), self.lasts.get_mut(at)) else { continue };
            if call.ignore_nulls && value.is_null() {
                continue;
            }
            let from_start = calls.frames.get(call.frame).is_some_and(|frame| frame.start == Bound::UnboundedPreceding);
            let (first, last) = match call.function {
                WindowFunction::FirstValue if from_start => (1, 0),
                WindowFunction::NthValue if from_start => {
                    (second_argument(inputs, at).ok().flatten().map_or(0, i64::unsigned_abs), 0)
                }
                WindowFunction::LastValue if from_start => (0, 1),
                WindowFunction::Lag if call.ignore_nulls => (0, steps),
                _ => (0, 0),
            };
            if firsts.len() < usize::try_from(first).unwrap_or(usize::MAX) {
                firsts.push(value.clone());
            }
            if last > 0 {
                lasts.push(value.clone());
                let surplus = lasts.len().saturating_sub(usize::try_from(last).unwrap_or(usize::MAX));
                lasts.drain(..surplus);
            }
        }
    }

    pub(in crate::operators) fn write(&self, out: &mut Vec<u8>) {
        codec::write_u64(self.rows, out);
        codec::write_u64(self.groups, out);
        self.parts.iter().flatten().for_each(|part| part.write(out));
        self.firsts.iter().chain(&self.lasts).for_each(|values| codec::write_data(values, out));
    }

    pub(in crate::operators) fn read(reader: &mut Reader<'_>, calls: &Calls) -> Result<Self> {
        let mut base = Self::new(calls);
        base.rows = reader.u64()?;
        base.groups = reader.u64()?;
        for part in base.parts.iter_mut().flatten() {
            part.read(reader)?;
        }
        for values in base.firsts.iter_mut().chain(&mut base.lasts) {
            *values = reader.data()?.to_vec();
        }
        Ok(base)
    }
}
