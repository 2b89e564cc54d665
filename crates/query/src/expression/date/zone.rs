//! Time zones: what the clock on the wall shows, and when it showed it.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::DAY;
use crate::{Error, Result};

/// A time zone.
#[derive(Clone, Debug)]
pub(in crate::expression) enum Zone {
    /// UTC.
    Utc,
    /// A fixed number of milliseconds ahead of UTC.
    Offset(i64),
    /// One that has a name and a history.
    Named(TimeZone),
}

impl Zone {
    /// By name or offset.
    ///
    /// # Errors
    /// 40485 for neither.
    pub(in crate::expression) fn parse(name: &str) -> Result<Self> {
        if matches!(name, "UTC" | "GMT" | "Z" | "Etc/UTC") {
            return Ok(Self::Utc);
        }
        if let Some(ms) = offset(name) {
            return Ok(Self::Offset(ms));
        }
        TimeZoneDatabase::bundled()
            .get(name)
            .map(Self::Named)
            .map_err(|_| Error::location(40485, format!("unrecognized time zone identifier: \"{name}\"")))
    }

    /// How many milliseconds the zone is ahead of UTC at a time of UTC.
    pub(in crate::expression) fn offset_at(&self, utc_ms: i64) -> i64 {
        match self {
            Self::Utc => 0,
            Self::Offset(ms) => *ms,
            Self::Named(zone) => {
                // Times that the zone data does not reach have the offset of the nearest that it does.
                let (first, last) = (Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
                let time = Timestamp::from_millisecond(utc_ms.clamp(first + DAY, last - DAY)).unwrap_or_default();
                i64::from(zone.to_offset(time).seconds()) * 1000
            }
        }
    }

    /// What the clock shows at a time of UTC.
    pub(in crate::expression) fn to_local(&self, utc_ms: i64) -> i64 {
        utc_ms.saturating_add(self.offset_at(utc_ms))
    }

    /// When the clock shows `local_ms`: the first time if it does twice, as if it had not been put forward if never.
    pub(in crate::expression) fn to_utc(&self, local_ms: i64) -> i64 {
        let before = self.offset_at(local_ms.saturating_sub(DAY));
        let after = self.offset_at(local_ms.saturating_add(DAY));
        let early = local_ms.saturating_sub(before);
        let late = local_ms.saturating_sub(after);
        if self.offset_at(early) != before && self.offset_at(late) == after { late } else { early }
    }
}

/// `+hh`, `+hhmm` or `+hh:mm` in milliseconds.
fn offset(text: &str) -> Option<i64> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (digits, "0"),
        4 => digits.split_at_checked(2)?,
        5 => digits.split_once(':').filter(|(hours, _)| hours.len() == 2)?,
        _ => return None,
    };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok()).flatten();
    Some(sign * (number(hours)? * 60 + number(minutes)?) * 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets() {
        assert_eq!(offset("+05:30"), Some(19_800_000));
        assert_eq!(offset("-0800"), Some(-28_800_000));
        assert_eq!(offset("+03"), Some(10_800_000));
        for wrong in ["", "+", "5", "+5", "+é1", "+1:234", "+ab"] {
            assert_eq!(offset(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_clock_is_put_forward_and_back() {
        let zone = Zone::parse("America/New_York").unwrap();
        let hour = 3_600_000;
        // 2021-03-14: 02:00 to 03:00 was skipped at 07:00 UTC.
        let spring = 1_615_705_200_000;
        assert_eq!(zone.offset_at(spring - 1), -5 * hour);
        assert_eq!(zone.offset_at(spring), -4 * hour);
        assert_eq!(zone.to_utc(spring - 5 * hour + hour / 2), spring + hour / 2);
        assert_eq!(zone.to_utc(spring - 4 * hour), spring);
        // 2021-11-07: 01:00 to 02:00 came twice until 06:00 UTC.
        let autumn = 1_636_264_800_000;
        assert_eq!(zone.to_utc(autumn - 5 * hour), autumn - hour);
        for ms in [i64::MIN, i64::MAX] {
            zone.to_utc(zone.to_local(ms));
        }
    }
}
