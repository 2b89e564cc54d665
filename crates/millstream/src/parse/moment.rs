//! Points in time: cluster times and dates.

use bson::{DateTime, Timestamp};

/// Reads `SECONDS`, `SECONDS:INCREMENT` (a cluster time), or an ISO date with or without a time
/// and a zone; without a zone it is UTC.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    if text.chars().all(|c| c.is_ascii_digit() || c == ':' || c == ',') && !text.is_empty() {
        return cluster_time(text);
    }
    let date = complete(text);
    let date = DateTime::parse_rfc3339_str(&date).map_err(|_| wrong(text))?;
    let seconds = date.timestamp_millis().div_euclid(1000);
    let time = u32::try_from(seconds).map_err(|_| format!("`{text}` is outside of what a cluster time can hold"))?;
    Ok(Timestamp { time, increment: 1 })
}

fn cluster_time(text: &str) -> Result<Timestamp, String> {
    let (seconds, increment) = text.split_once([':', ',']).unwrap_or((text, "1"));
    let number = |text: &str| text.parse::<u32>().ok();
    match (number(seconds), number(increment)) {
        (Some(time), Some(increment)) => Ok(Timestamp { time, increment }),
        _ => Err(wrong(text)),
    }
}

/// Adds what RFC 3339 wants and people leave out.
fn complete(text: &str) -> String {
    let text = text.replacen(' ', "T", 1);
    let Some((_, time)) = text.split_once(['T', 't']) else {
        return format!("{text}T00:00:00Z");
    };
    let zone = time.ends_with(['Z', 'z']) || time.contains(['+', '-']);
    let clock = time.split(['Z', 'z', '+', '-', '.']).next().unwrap_or(time);
    let seconds = if clock.matches(':').count() == 1 && !zone { ":00" } else { "" };
    format!("{text}{seconds}{}", if zone { "" } else { "Z" })
}

fn wrong(text: &str) -> String {
    format!(
        "`{text}` is no point in time: write a cluster time (1755427520 or 1755427520:1) or a date (2025-08-17T10:45:20Z)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_times_and_dates() {
        for (text, time, increment) in [
            ("1755427520", 1_755_427_520, 1),
            ("1755427520:7", 1_755_427_520, 7),
            ("1755427520,0", 1_755_427_520, 0),
            ("2025-08-17T10:45:20Z", 1_755_427_520, 1),
            ("2025-08-17T10:45:20.412Z", 1_755_427_520, 1),
            ("2025-08-17 10:45:20", 1_755_427_520, 1),
            ("2025-08-17T12:45:20+02:00", 1_755_427_520, 1),
            ("2025-08-17 10:45", 1_755_427_500, 1),
            ("2025-08-17", 1_755_388_800, 1),
        ] {
            assert_eq!(moment(text), Ok(Timestamp { time, increment }), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", ":", "1:2:3", "99999999999", "yesterday", "1969-12-31", "2025-13-01", "2300-01-01"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
