//! How far the time of one side of changes has come, where it is not the time of the changes (SQL-13.8).

use crate::codec::{self, Reader};
use crate::{Datum, Lateness, Result, RowError};

/// How far one side's own time has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Watermark {
    /// The change time since which the side has had no change.
    since_ms: Option<i64>,
    /// No accepted row of the side is below. It never goes back, even when a side that was idle speaks again.
    mark: Option<i64>,
    /// Whether its times are numbers, of which idleness says nothing.
    numbers: bool,
}

impl Watermark {
    /// The clock has come here.
    pub(super) fn tick(&mut self, lateness: Lateness, clock_ms: i64) {
        let since_ms = *self.since_ms.get_or_insert(clock_ms);
        if !self.numbers && clock_ms.saturating_sub(since_ms) >= lateness.idle_timeout_ms {
            self.raise(clock_ms.saturating_sub(lateness.lateness));
        }
    }

    /// A row has come; whether it is not too late.
    pub(super) fn row(&mut self, lateness: Lateness, clock_ms: i64, time: Time) -> bool {
        self.since_ms = Some(clock_ms);
        if self.mark.is_some_and(|mark| time.at < mark) {
            return false;
        }
        self.numbers |= time.is_number;
        self.raise(time.at.saturating_sub(lateness.lateness));
        true
    }

    /// How far it is.
    pub(super) fn at(&self) -> Option<i64> {
        self.mark
    }

    /// The change time at which idleness will have raised it to `at`; `None`: never.
    pub(super) fn due(&self, lateness: Lateness, at: i64) -> Option<i64> {
        if self.mark.is_some_and(|mark| mark >= at) {
            return Some(i64::MIN);
        }
        let idle_ms = self.since_ms?.saturating_add(lateness.idle_timeout_ms);
        (!self.numbers).then(|| idle_ms.max(at.saturating_add(lateness.lateness)))
    }

    fn raise(&mut self, to: i64) {
        self.mark = self.mark.max(Some(to));
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for number in [self.since_ms, self.mark] {
            out.push(u8::from(number.is_some()));
            codec::write_i64(number.unwrap_or_default(), out);
        }
        out.push(u8::from(self.numbers));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut number = || Ok::<_, crate::Error>((reader.byte()? == 1, reader.i64()?));
        let (since_ms, mark) = (number()?, number()?);
        let some = |(is_some, number): (bool, i64)| is_some.then_some(number);
        Ok(Self { since_ms: some(since_ms), mark: some(mark), numbers: reader.byte()? == 1 })
    }
}

/// A row's own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time {
    /// Milliseconds, or the number.
    pub(super) at: i64,
    is_number: bool,
}

impl Time {
    /// From a value; `None`: NULL.
    pub(super) fn of(value: &Datum) -> Result<Option<Self>, RowError> {
        let (at, is_number) = match value {
            Datum::Missing | Datum::Null => return Ok(None),
            Datum::Instant(ms) | Datum::Timestamp(ms) => (Some(*ms), false),
            Datum::Date(days) => (Some(i64::from(*days) * 86_400_000), false),
            Datum::Int(number) => (Some(i64::from(*number)), true),
            Datum::Long(number) => (Some(*number), true),
            Datum::Decimal(number) => (number.to_i64_exact(), true),
            Datum::Double(number) => (millstream_value::Decimal::from_f64(*number).to_i64_exact(), true),
            _ => (None, true),
        };
        let at = at.ok_or_else(|| RowError::new("42804", "the time of a change must be a time or a whole number"))?;
        Ok(Some(Self { at, is_number }))
    }
}

/// A row came too late.
pub(super) fn too_late() -> RowError {
    RowError::new("MS003", "the row is too late")
}
