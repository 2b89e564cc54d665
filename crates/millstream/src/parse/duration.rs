//! Spans of time, such as `500ms` and `5min`.

use std::time::Duration;

/// Every unit, in seconds. A bare number is in seconds.
const UNITS: &[(&str, f64)] =
    &[("", 1.0), ("ms", 0.001), ("s", 1.0), ("m", 60.0), ("min", 60.0), ("h", 3_600.0), ("d", 86_400.0)];

/// Reads a span of time: a number, perhaps a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!("`{text}` is no span of time: write seconds, or a number with a unit such as 500ms, 30s, 5min or 2h")
    };
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * factor).map_err(|_| wrong())
}

/// A span of time for people, in two units.
pub(crate) fn show_duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{:.1} s", time.as_secs_f64()),
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        (1, ..) => format!("1 day {hours} h"),
        (days, ..) => format!("{days} days {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_seconds() {
        for (text, millis) in
            [("5", 5_000), ("500ms", 500), ("1.5s", 1_500), ("5min", 300_000), ("2 h", 7_200_000), ("0", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1", "1.2.3", "5 parsecs", "1e9"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_have_two_units() {
        let spans = [0, 59, 61, 3_725, 90_061, 180_000].map(|seconds| show_duration(Duration::from_secs(seconds)));
        assert_eq!(spans, ["0.0 s", "59 s", "1 min 1 s", "1 h 2 min", "1 day 1 h", "2 days 2 h"]);
    }
}
