//! From SQL's values to those of documents (SQL-4.13).

use std::borrow::Cow;
use std::fmt::Write as _;

use millstream_value::{ArrayBuf, Value};

use crate::{Datum, Interval};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

impl Datum {
    /// What is stored for it: dates and times without a zone as those of UTC, spans and times of day as text in the form of
    /// ISO 8601.
    #[must_use]
    pub fn to_value(&self) -> Value<'static> {
        match self {
            Self::Missing | Self::Null => Value::Null,
            Self::Int(v) => Value::Int32(*v),
            Self::Long(v) => Value::Int64(*v),
            Self::Double(v) => Value::Double(*v),
            Self::Decimal(v) => Value::Decimal(*v),
            Self::Text(v) => Value::String(Cow::Owned(v.as_ref().to_owned())),
            Self::Document(v) => Value::Document(Cow::Owned(v.to_vec())),
            Self::Array(values) => {
                let mut array = ArrayBuf::new();
                for value in values.iter() {
                    array.push(value.to_value());
                }
                Value::from(array)
            }
            Self::Binary(subtype, v) => Value::Binary(*subtype, Cow::Owned(v.to_vec())),
            Self::ObjectId(v) => Value::ObjectId(*v),
            Self::Bool(v) => Value::Bool(*v),
            Self::Instant(ms) | Self::Timestamp(ms) => Value::Date(*ms),
            Self::Date(days) => Value::Date(i64::from(*days) * DAY_MS),
            Self::BsonTimestamp(v) => Value::Timestamp(*v),
            Self::Interval(v) => Value::from(duration(*v)),
            Self::Time(micros) => Value::from(time(*micros)),
            Self::Opaque(v) => v.as_ref().clone(),
        }
    }
}

/// `P1Y2M3DT4H5M6.5S`.
fn duration(interval: Interval) -> String {
    let mut text = "P".to_owned();
    let mut part = |value: i64, unit: char| {
        if value != 0 {
            let _ = write!(text, "{value}{unit}");
        }
    };
    part(i64::from(interval.months / 12), 'Y');
    part(i64::from(interval.months % 12), 'M');
    part(i64::from(interval.days), 'D');
    if interval.micros != 0 {
        text.push('T');
        let seconds = interval.micros / 1_000_000;
        let mut part = |value: i64, unit: char| {
            if value != 0 {
                let _ = write!(text, "{value}{unit}");
            }
        };
        part(seconds / 3600, 'H');
        part(seconds / 60 % 60, 'M');
        let rest = interval.micros % 60_000_000;
        if rest != 0 {
            let sign = if rest < 0 { "-" } else { "" };
            let _ = write!(text, "{sign}{}{}S", rest.abs() / 1_000_000, fraction(rest.abs() % 1_000_000));
        }
    }
    if text == "P" { "PT0S".to_owned() } else { text }
}

/// `10:00:00.25`.
fn time(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    let fraction = fraction(micros.rem_euclid(1_000_000));
    format!("{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn fraction(micros: i64) -> String {
    if micros == 0 {
        return String::new();
    }
    format!(".{micros:06}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SQL-4.13
    #[test]
    fn what_documents_do_not_have_becomes_what_they_have() {
        let interval = |months, days, micros| Datum::Interval(Interval { months, days, micros }).to_value();
        assert_eq!(interval(0, 1, 7_200_000_000), Value::from("P1DT2H"));
        assert_eq!(interval(14, 0, -61_500_000), Value::from("P1Y2MT-1M-1.5S"));
        assert_eq!(interval(0, 0, 0), Value::from("PT0S"));
        assert_eq!(Datum::Time(36_000_250_000).to_value(), Value::from("10:00:00.25"));
        assert_eq!(Datum::Date(1).to_value(), Value::Date(DAY_MS));
        assert_eq!(Datum::Missing.to_value(), Value::Null);
    }
}
