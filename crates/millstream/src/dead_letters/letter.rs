//! One event that could not be dealt with.

use bson::oid::ObjectId;
use bson::{DateTime, RawDocument};
use millstream_watch::{Event, JsonMode, to_json};
use serde_json::{Value, json};

use crate::{parse, terminal};

/// A row of the collection.
pub(crate) struct Letter {
    pub(crate) id: ObjectId,
    pub(crate) watcher: String,
    pub(crate) event: Event,
    pub(crate) error: String,
    pub(crate) attempts: i32,
    pub(crate) at: Option<DateTime>,
}

impl Letter {
    /// A row; none, if it is not one of ours.
    pub(crate) fn of(row: &RawDocument) -> Option<Self> {
        Some(Self {
            id: row.get_object_id("_id").ok()?,
            watcher: row.get_str("watcher").unwrap_or_default().to_owned(),
            event: Event::new(row.get_document("event").ok()?.to_owned()).ok()?,
            error: row.get_str("error").unwrap_or_default().to_owned(),
            attempts: row.get_i32("attempts").unwrap_or(0),
            at: row.get_datetime("at").ok(),
        })
    }

    /// What it is about: events of one document have the same.
    pub(crate) fn subject(&self) -> (String, Option<Vec<u8>>) {
        (self.event.namespace(), self.event.document_key().map(|key| key.as_bytes().to_vec()))
    }

    /// The whole of it as an object for a program.
    pub(crate) fn json(&self) -> Value {
        let event: Option<Value> = serde_json::from_str(&to_json(self.event.raw(), JsonMode::Relaxed)).ok();
        json!({
            "id": self.id.to_hex(), "watcher": self.watcher,
            "at": self.at.and_then(|at| at.try_to_rfc3339_string().ok()),
            "attempts": self.attempts, "error": self.error, "event": event,
        })
    }
}

/// Rows for a person.
pub(crate) fn table(letters: &[Letter], now: DateTime) -> String {
    let mut rows = vec![["ID", "WATCHER", "AGE", "EVENT", "TRIES", "ERROR"].map(str::to_owned).to_vec()];
    for letter in letters {
        let age = |at: DateTime| {
            let ms = now.timestamp_millis().saturating_sub(at.timestamp_millis());
            parse::show_duration(std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
        };
        let key = letter.event.document_key().map(|key| to_json(key, JsonMode::Relaxed)).unwrap_or_default();
        let event = format!("{} {} {key}", letter.event.operation(), letter.event.namespace());
        rows.push(vec![
            letter.id.to_hex(),
            terminal::plain(&letter.watcher),
            letter.at.map(age).unwrap_or_default(),
            terminal::cut(&terminal::plain(event.trim_end()), 60),
            letter.attempts.to_string(),
            terminal::plain(&letter.error),
        ]);
    }
    terminal::columns(&rows)
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn a_row_says_what_and_why() {
        let id = ObjectId::new();
        let row = rawdoc! {
            "_id": id, "watcher": "mailer", "error": "no\nluck", "attempts": 3, "at": DateTime::from_millis(1_000),
            "event": {"_id": {"_data": "82"}, "operationType": "insert", "ns": {"db": "a", "coll": "b"}, "documentKey": {"_id": 7}},
        };
        let letter = Letter::of(&row).unwrap();
        assert_eq!(letter.json()["event"]["documentKey"]["_id"], 7);
        let text = table(&[letter], DateTime::from_millis(62_000));
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with(&id.to_hex()), "{text}");
        for part in ["mailer", "1 min 1 s", r#"insert a.b {"_id":7}"#, " 3 ", "no\u{fffd}luck"] {
            assert!(line.contains(part), "{part}: {text}");
        }
        assert!(Letter::of(&rawdoc! {"_id": 7}).is_none());
    }
}
