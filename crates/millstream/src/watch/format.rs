//! Events as text.

use bson::{DateTime, RawBsonRef};
use clap::ValueEnum;
use millstream_watch::{Event, JsonMode, pretty_json, to_json, value_to_json};

use super::envelope::key;
use crate::terminal::{Colour, cut, paint, plain};

/// The forms that an event can be shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Extended JSON, one event a line
    Json,
    /// Extended JSON over several lines, with a heading
    Pretty,
    /// One row an event
    Table,
}

/// Turns events into text, ending with a line end.
#[derive(Debug, Clone)]
pub(crate) struct Formatter {
    /// The form.
    pub(crate) format: Format,
    /// The kind of Extended JSON.
    pub(crate) mode: JsonMode,
    /// Whether to colour.
    pub(crate) colour: bool,
    /// Where rows are cut; none if they are not.
    pub(crate) width: Option<usize>,
}

/// The widths of a table's columns; the last takes the rest.
const TIME: usize = 12;
const OPERATION: usize = 12;
const NAMESPACE: usize = 24;
const KEY: usize = 36;

impl Formatter {
    /// What stands above the first event.
    pub(crate) fn heading(&self) -> String {
        match self.format {
            Format::Json | Format::Pretty => String::new(),
            Format::Table => {
                let row = row("TIME (UTC)", "OPERATION", "NAMESPACE", "KEY", "CHANGE");
                paint(&self.fit(row.trim_end()), Colour::Faint, self.colour) + "\n"
            }
        }
    }

    /// One event.
    pub(crate) fn event(&self, event: &Event) -> String {
        match self.format {
            Format::Json => to_json(event.raw(), self.mode) + "\n",
            Format::Pretty => self.pretty(event),
            Format::Table => self.row(event),
        }
    }

    /// An event in an envelope, over several lines.
    pub(crate) fn wrapped(&self, event: &Event, line: &str) -> String {
        let json: Option<serde_json::Value> = serde_json::from_str(line).ok();
        let lines = json.map_or_else(|| line.to_owned(), |json| format!("{json:#}"));
        format!("{}\n{lines}\n\n", self.above(event))
    }

    fn pretty(&self, event: &Event) -> String {
        format!("{}\n{}\n\n", self.above(event), pretty_json(event.raw(), self.mode))
    }

    fn above(&self, event: &Event) -> String {
        let operation = plain(event.operation());
        let heading = format!(
            "{}  {}  {}",
            paint(&operation, operation_colour(&operation), self.colour),
            plain(&event.namespace()),
            paint(&clock(event.wall_time()), Colour::Faint, self.colour),
        );
        heading.trim_end().to_owned()
    }

    fn row(&self, event: &Event) -> String {
        let operation = plain(event.operation());
        let key = key(event, self.mode).unwrap_or_default();
        let text = row(&clock(event.wall_time()), &operation, &plain(&event.namespace()), &key, &self.change(event));
        let text = self.fit(text.trim_end());
        // The colour goes in last, so that its escapes count for no width.
        let coloured = paint(&operation, operation_colour(&operation), self.colour);
        text.replacen(&operation, &coloured, 1) + "\n"
    }

    /// What changed, in short.
    fn change(&self, event: &Event) -> String {
        let json = |name: &str| event.field(name).map(|value| value_to_json(value, self.mode));
        match event.operation() {
            "update" => {
                let mut parts = Vec::new();
                if let Some(RawBsonRef::Document(update)) = event.field("updateDescription") {
                    if let Ok(fields) = update.get_document("updatedFields").map_err(drop)
                        && !fields.is_empty()
                    {
                        parts.push(to_json(fields, self.mode));
                    }
                    for (name, title) in [("removedFields", "removed"), ("truncatedArrays", "truncated")] {
                        if let Ok(array) = update.get_array(name)
                            && !array.is_empty()
                        {
                            parts.push(format!("{title} {}", value_to_json(RawBsonRef::Array(array), self.mode)));
                        }
                    }
                }
                parts.join(" ")
            }
            "insert" | "replace" => json("fullDocument").unwrap_or_default(),
            "rename" => event.renamed_to().map(|to| format!("to {}", plain(&to))).unwrap_or_default(),
            "invalidate" => "the stream ends here".to_owned(),
            _ => json("operationDescription").unwrap_or_default(),
        }
    }

    fn fit(&self, text: &str) -> String {
        self.width.map_or_else(|| text.to_owned(), |width| cut(text, width))
    }
}

fn row(time: &str, operation: &str, namespace: &str, key: &str, change: &str) -> String {
    format!("{time:TIME$}  {operation:OPERATION$}  {namespace:NAMESPACE$}  {key:KEY$}  {change}")
}

/// The colour that goes with a kind of change.
pub(crate) fn operation_colour(operation: &str) -> Colour {
    match operation {
        "insert" | "create" => Colour::Green,
        "update" => Colour::Yellow,
        "replace" => Colour::Cyan,
        "delete" | "drop" | "dropDatabase" => Colour::Red,
        _ => Colour::Magenta,
    }
}

/// `10:45:20.412`, in UTC; nothing without a time.
fn clock(time: Option<DateTime>) -> String {
    const DAY_MS: i64 = 86_400_000;
    let Some(time) = time else {
        return String::new();
    };
    let of_day = time.timestamp_millis().rem_euclid(DAY_MS);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn update() -> Event {
        Event::new(rawdoc! {
            "_id": {"_data": "82AB"},
            "operationType": "update",
            "wallTime": DateTime::from_millis(1_755_427_520_412),
            "ns": {"db": "shop", "coll": "orders"},
            "documentKey": {"_id": 7},
            "updateDescription": {"updatedFields": {"qty": 3}, "removedFields": ["note"], "truncatedArrays": []},
        })
        .unwrap()
    }

    fn formatter(format: Format) -> Formatter {
        Formatter { format, mode: JsonMode::Relaxed, colour: false, width: None }
    }

    #[test]
    fn json_is_one_line() {
        let text = formatter(Format::Json).event(&update());
        assert!(text.starts_with(r#"{"_id":{"_data":"82AB"},"operationType":"update""#));
        assert_eq!(text.matches('\n').count(), 1);
        let canonical = Formatter { mode: JsonMode::Canonical, ..formatter(Format::Json) };
        assert!(canonical.event(&update()).contains(r#""documentKey":{"_id":{"$numberInt":"7"}}"#));
    }

    #[test]
    fn pretty_has_a_heading() {
        let text = formatter(Format::Pretty).event(&update());
        assert!(text.starts_with("update  shop.orders  10:45:20.412\n{\n  \"_id\": {\"_data\":\"82AB\"},\n"), "{text}");
        assert!(text.ends_with("}\n\n"));
    }

    #[test]
    fn a_row_has_the_key_and_the_change() {
        let text = formatter(Format::Table).event(&update());
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words, ["10:45:20.412", "update", "shop.orders", "7", r#"{"qty":3}"#, "removed", r#"["note"]"#]);
        assert!(formatter(Format::Table).heading().starts_with("TIME (UTC)"));
    }

    #[test]
    fn rows_are_cut_before_they_are_coloured() {
        let table = Formatter { width: Some(40), colour: true, ..formatter(Format::Table) };
        let text = table.event(&update());
        assert!(text.contains("\u{1b}[33mupdate\u{1b}[0m"), "{text:?}");
        let bare: String = text.replace("\u{1b}[33m", "").replace("\u{1b}[0m", "");
        assert_eq!(bare.trim_end().chars().count(), 40);
    }

    #[test]
    fn odd_events_are_shown_too() {
        let rename = Event::new(rawdoc! {
            "_id": {"_data": "82"}, "operationType": "rename",
            "ns": {"db": "a", "coll": "b\u{1b}"}, "to": {"db": "a", "coll": "c"},
        })
        .unwrap();
        let text = formatter(Format::Table).event(&rename);
        assert!(text.contains("to a.c") && !text.contains('\u{1b}'), "{text}");
        let bare = Event::new(rawdoc! {"_id": {"_data": "82"}}).unwrap();
        for format in [Format::Json, Format::Pretty, Format::Table] {
            assert!(formatter(format).event(&bare).ends_with('\n'));
        }
    }

    #[test]
    fn clocks_before_1970_do_not_fail() {
        assert_eq!(clock(Some(DateTime::from_millis(-1))), "23:59:59.999");
        assert_eq!(clock(None), "");
    }
}
