//! Positions as text.

use std::time::Duration;

use bson::{DateTime, Document, Timestamp};
use millstream_watch::{LogWindow, Standing, Token};
use serde_json::{Value, json};

use crate::{parse, terminal};

/// A position that a watcher keeps.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    /// Its watcher.
    pub(crate) watcher: String,
    /// What is watched, in words.
    pub(crate) scope: String,
    /// When it was saved last.
    pub(crate) updated: Option<DateTime>,
    /// The token, if it can be read.
    pub(crate) token: Option<Token>,
}

impl Position {
    /// A row of the collection.
    pub(crate) fn of(row: &Document) -> Self {
        let token = row.get_document("resumeToken").ok().and_then(|token| {
            let raw = bson::RawDocumentBuf::try_from(token).ok()?;
            Some(Token::from_raw(&raw))
        });
        Self {
            watcher: match row.get("_id") {
                Some(bson::Bson::String(name)) => name.clone(),
                other => other.map(ToString::to_string).unwrap_or_default(),
            },
            scope: row.get_str("scope").unwrap_or_default().to_owned(),
            updated: row.get_datetime("updatedAt").ok().copied(),
            token,
        }
    }

    fn time(&self) -> Option<Timestamp> {
        self.token.as_ref()?.time()
    }

    /// Where it stands in the log, if that is known.
    pub(crate) fn standing(&self, log: Option<&LogWindow>) -> Option<Standing> {
        Some(log?.standing(self.time()?))
    }

    /// How long before the newest change it is.
    fn lag(&self, log: Option<&LogWindow>) -> Option<Duration> {
        let newest = i64::from(log?.newest.time.time);
        Some(Duration::from_secs(u64::try_from(newest - i64::from(self.time()?.time)).unwrap_or(0)))
    }
}

/// Rows for a person.
pub(crate) fn table(positions: &[Position], log: Option<&LogWindow>, now: DateTime) -> String {
    let mut rows = vec![["WATCHER", "SCOPE", "SAVED", "BEHIND", "IN THE LOG"].map(str::to_owned).to_vec()];
    for position in positions {
        let in_log = match position.standing(log) {
            Some(Standing::Inside(None)) => "yes".to_owned(),
            Some(Standing::Inside(Some(left))) => format!("yes, for about {}", parse::show_duration(left)),
            Some(Standing::Lost) => "no: it is older than the log".to_owned(),
            Some(Standing::Ahead) => "no: it is newer than the log".to_owned(),
            None => "?".to_owned(),
        };
        rows.push(vec![
            terminal::plain(&position.watcher),
            terminal::plain(&position.scope),
            position
                .updated
                .map_or_else(|| "?".to_owned(), |then| format!("{} ago", parse::show_duration(age(then, now)))),
            position.lag(log).map_or_else(|| "?".to_owned(), parse::show_duration),
            in_log,
        ]);
    }
    terminal::columns(&rows)
}

/// One as an object for a program.
pub(crate) fn json(position: &Position, log: Option<&LogWindow>, now: DateTime) -> Value {
    let standing = position.standing(log);
    json!({
        "watcher": position.watcher,
        "scope": position.scope,
        "updatedAt": position.updated.and_then(|at| at.try_to_rfc3339_string().ok()),
        "ageSeconds": position.updated.map(|then| age(then, now).as_secs_f64()),
        "clusterTime": position.time().map(|time| json!({"t": time.time, "i": time.increment})),
        "lagSeconds": position.lag(log).map(|lag| lag.as_secs()),
        "standing": standing.map(|standing| match standing {
            Standing::Inside(_) => "inside",
            Standing::Lost => "lost",
            Standing::Ahead => "ahead",
        }),
        "secondsLeft": match standing {
            Some(Standing::Inside(Some(left))) => Some(left.as_secs()),
            _ => None,
        },
        "resumeToken": position.token.as_ref().and_then(|token| serde_json::from_str::<Value>(&token.to_json()).ok()),
    })
}

fn age(then: DateTime, now: DateTime) -> Duration {
    let ms = now.timestamp_millis().saturating_sub(then.timestamp_millis());
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use bson::doc;
    use millstream_watch::{LogEnd, LogRate};

    use super::*;

    fn log() -> LogWindow {
        let end = |time: u32| LogEnd {
            time: Timestamp { time, increment: 1 },
            wall: DateTime::from_millis(i64::from(time) * 1000),
        };
        LogWindow {
            oldest: end(1_000),
            newest: end(5_000),
            is_whole: false,
            now: DateTime::from_millis(5_000_000),
            bytes: 1 << 20,
            bytes_max: None,
            entries: None,
            whole: LogRate { over: Duration::from_secs(4_000), bytes: 1 << 20 },
            recent: None,
        }
    }

    fn position(watcher: &str, time: u32) -> Position {
        Position::of(&doc! {
            "_id": watcher, "scope": "database shop", "updatedAt": DateTime::from_millis(4_940_000),
            "resumeToken": {"_data": format!("82{time:08X}00000001")},
        })
    }

    #[test]
    fn a_table_says_how_far_behind() {
        let positions = [position("mailer", 4_940), position("old", 10)];
        let text = table(&positions, Some(&log()), DateTime::from_millis(5_000_000));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        for part in ["mailer", "database shop", "1 min 0 s ago", "1 min 0 s", "yes"] {
            assert!(lines[1].contains(part), "{text}");
        }
        assert!(lines[2].ends_with("no: it is older than the log"), "{text}");
        let unknown = table(&positions, None, DateTime::from_millis(5_000_000));
        assert!(unknown.lines().all(|line| !line.contains("yes")), "{unknown}");
    }

    #[test]
    fn an_object_has_seconds_and_the_token() {
        let value = json(&position("mailer", 4_940), Some(&log()), DateTime::from_millis(5_000_000));
        assert_eq!((&value["lagSeconds"], &value["standing"]), (&json!(60), &json!("inside")));
        assert_eq!(value["resumeToken"]["_data"], "820000134C00000001");
        let odd = Position::of(&doc! {"_id": 7});
        assert_eq!(json(&odd, Some(&log()), DateTime::from_millis(0))["standing"], Value::Null);
        assert_eq!(odd.watcher, "7");
    }
}
