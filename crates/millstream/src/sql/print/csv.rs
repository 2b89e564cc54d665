//! Comma-separated values (RFC 4180).

use super::Cell;

pub(super) fn header(names: &[String]) -> String {
    joined(names.iter().map(|name| quoted(name)))
}

pub(super) fn line(row: &[Cell]) -> String {
    joined(row.iter().map(|cell| match cell.text.as_deref() {
        None => String::new(),
        // An empty text is not NULL.
        Some("") => "\"\"".to_owned(),
        Some(text) => quoted(text),
    }))
}

fn joined(fields: impl Iterator<Item = String>) -> String {
    fields.collect::<Vec<_>>().join(",") + "\r\n"
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
