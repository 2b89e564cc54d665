//! The answer of `log`, for reading and for programs.

use std::time::Duration;

use bson::{DateTime, Timestamp};
use millstream_watch::{LogEnd, LogRate, LogWindow, Standing};
use serde_json::{Value, json};

use crate::parse;

/// A position that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    /// The cluster time of its token.
    pub(crate) time: Timestamp,
    /// Where it stands.
    pub(crate) standing: Standing,
}

/// Lines for a person.
pub(crate) fn table(window: &LogWindow, position: Option<&Position>) -> String {
    let mut rows = vec![
        ("oldest entry", end(&window.oldest, window)),
        ("newest entry", end(&window.newest, window)),
        ("window", window_line(window)),
        ("size", size(window)),
    ];
    if let Some(entries) = window.entries {
        rows.push(("entries", entries.to_string()));
    }
    if let Some(recent) = &window.recent {
        rows.push(("written of late", rate(recent, window)));
    }
    rows.push(("written in all", rate(&window.whole, window)));
    if let Some(position) = position {
        rows.push(("position", place(position, window)));
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, text)| format!("{name:width$}  {text}\n")).collect()
}

/// One object for a program, on a line.
pub(crate) fn json(window: &LogWindow, position: Option<&Position>) -> String {
    let rate = |rate: &LogRate| {
        json!({
            "seconds": seconds(rate.over), "bytes": rate.bytes,
            "bytesPerSecond": (rate.per_second() * 1000.0).round() / 1000.0,
            "lastsSeconds": lasts(rate, window).map(seconds),
        })
    };
    let end = |end: &LogEnd| {
        json!({
            "clusterTime": cluster_time(end.time), "wallTime": iso(end.wall), "ageSeconds": seconds(window.age(end.wall)),
        })
    };
    let mut answer = json!({
        "oldest": end(&window.oldest), "newest": end(&window.newest),
        "windowSeconds": seconds(window.span()), "lostNothing": window.is_whole,
        "bytes": window.bytes, "bytesMax": window.bytes_max, "entries": window.entries,
        "recent": window.recent.as_ref().map(rate), "whole": rate(&window.whole),
    });
    if let (Some(position), Some(answer)) = (position, answer.as_object_mut()) {
        let (standing, left) = match position.standing {
            Standing::Inside(left) => ("inside", left),
            Standing::Lost => ("lost", None),
            Standing::Ahead => ("ahead", None),
        };
        let position = json!({
            "clusterTime": cluster_time(position.time), "standing": standing, "secondsLeft": left.map(seconds),
        });
        answer.insert("position".to_owned(), position);
    }
    format!("{answer}\n")
}

fn end(end: &LogEnd, window: &LogWindow) -> String {
    format!("{}  ({} ago)", iso(end.wall), parse::show_duration(window.age(end.wall)))
}

fn window_line(window: &LogWindow) -> String {
    let whole = if window.is_whole { ", all that was ever written" } else { "" };
    format!("{}{whole}", parse::show_duration(window.span()))
}

fn size(window: &LogWindow) -> String {
    let bytes = parse::show_size(window.bytes);
    match window.bytes_max {
        Some(max) => {
            let percent = window.bytes as f64 * 100.0 / max as f64;
            format!("{bytes} of {} ({percent:.0}%)", parse::show_size(max))
        }
        None => bytes,
    }
}

fn rate(rate: &LogRate, window: &LogWindow) -> String {
    let shown = show_rate(rate.per_second());
    let lasts = match (window.bytes_max, lasts(rate, window)) {
        (None, _) => String::new(),
        (Some(_), Some(time)) => format!(": a full log reaches back {}", parse::show_duration(time)),
        (Some(_), None) => ": it takes more than a lifetime to fill the log".to_owned(),
    };
    format!("{shown} in {}{lasts}", parse::show_duration(rate.over))
}

fn place(position: &Position, window: &LogWindow) -> String {
    let wall = DateTime::from_millis(i64::from(position.time.time) * 1000);
    let standing = match position.standing {
        Standing::Inside(Some(left)) if left.is_zero() => {
            "is at the end of the log and may fall out of it any moment".to_owned()
        }
        Standing::Inside(Some(left)) => {
            format!("is in the log, for about {} more at the present rate", parse::show_duration(left))
        }
        Standing::Inside(None) => "is in the log, and no end of that is in sight".to_owned(),
        Standing::Lost => "is older than the log: it cannot be resumed from".to_owned(),
        Standing::Ahead => "is newer than the log: it is of another server, or from the future".to_owned(),
    };
    match position.standing {
        Standing::Ahead => format!("{}  {standing}", iso(wall)),
        Standing::Inside(_) | Standing::Lost => {
            format!("{}  ({} ago) {standing}", iso(wall), parse::show_duration(window.age(wall)))
        }
    }
}

fn lasts(rate: &LogRate, window: &LogWindow) -> Option<Duration> {
    rate.time_for(window.bytes_max? as f64)
}

fn cluster_time(time: Timestamp) -> Value {
    json!({"t": time.time, "i": time.increment})
}

fn iso(time: DateTime) -> String {
    time.try_to_rfc3339_string().unwrap_or_else(|_| time.timestamp_millis().to_string())
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// A time for people, to two units at most.
fn show_rate(bytes: f64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    match units.iter().find(|(_, factor)| bytes >= *factor) {
        Some((name, factor)) => format!("{:.1} {name}/s", bytes / factor),
        None => format!("{bytes:.0} bytes/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> LogWindow {
        let end = |second: u32| LogEnd {
            time: Timestamp { time: 1_755_427_520 + second, increment: 1 },
            wall: DateTime::from_millis(1000 * (1_755_427_520 + i64::from(second)) + 250),
        };
        LogWindow {
            oldest: end(0),
            newest: end(90_000),
            is_whole: false,
            now: DateTime::from_millis(1000 * (1_755_427_520 + 90_004)),
            bytes: 768 << 20,
            bytes_max: Some(1 << 30),
            entries: None,
            whole: LogRate { over: Duration::from_secs(90_000), bytes: 768 << 20 },
            recent: Some(LogRate { over: Duration::from_secs(600), bytes: 60_000_000 }),
        }
    }

    #[test]
    fn the_table_says_what_one_wants_to_know() {
        let position = |second: u32, standing| Position {
            time: Timestamp { time: 1_755_427_520 + second, increment: 7 },
            standing,
        };
        let asked = position(86_404, Standing::Inside(Some(Duration::from_secs(7_265))));
        let text = table(&window(), Some(&asked));
        assert_eq!(
            text,
            "oldest entry     2025-08-17T10:45:20.25Z  (1 day 1 h ago)\n\
             newest entry     2025-08-18T11:45:20.25Z  (3.8 s ago)\n\
             window           1 day 1 h\n\
             size             768 MiB of 1 GiB (75%)\n\
             written of late  100.0 kB/s in 10 min 0 s: a full log reaches back 2 h 58 min\n\
             written in all   8.9 kB/s in 1 day 1 h: a full log reaches back 1 day 9 h\n\
             position         2025-08-18T10:45:24Z  (1 h 0 min ago) is in the log, for about 2 h 1 min more at the present rate\n"
        );
        let lost = table(&window(), Some(&position(0, Standing::Lost)));
        assert!(lost.contains("is older than the log: it cannot be resumed from"));
        let none = table(&LogWindow { bytes_max: None, entries: Some(5), is_whole: true, ..window() }, None);
        assert!(none.contains("size             768 MiB\nentries          5\n") && !none.contains("reaches back"));
        assert!(none.contains("1 day 1 h, all that was ever written\n") && !none.contains("position"));
    }

    #[test]
    fn the_object_has_numbers_in_seconds_and_bytes() {
        let position =
            Position { time: Timestamp { time: 1_755_427_521, increment: 7 }, standing: Standing::Inside(None) };
        let object: Value = serde_json::from_str(&json(&window(), Some(&position))).unwrap();
        assert_eq!(object["bytesMax"], 1 << 30);
        assert_eq!(object["recent"]["bytesPerSecond"], 100_000.0);
        assert_eq!(object["newest"]["ageSeconds"], 3.75);
        assert_eq!(object["oldest"]["clusterTime"], json!({"t": 1_755_427_520, "i": 1}));
        assert_eq!(
            object["position"],
            json!({"clusterTime": {"t": 1_755_427_521, "i": 7}, "standing": "inside", "secondsLeft": null})
        );
        assert!(serde_json::from_str::<Value>(&json(&window(), None)).unwrap().get("position").is_none());
    }
}
