//! Values as text (SQL-4.2): what a cast to text gives, and JSON inside documents and arrays.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::tz::TimeZone;
use millstream_flow::Datum;
use millstream_value::{Doc, Value};

use super::{interval, number, stored, time_text};

/// The text form. Not for NULL.
pub(crate) fn text(value: &Datum, zone: &TimeZone) -> String {
    match value {
        Datum::Missing | Datum::Null => "null".to_owned(),
        Datum::Int(v) => v.to_string(),
        Datum::Long(v) => v.to_string(),
        Datum::Double(v) => number::print_f64(*v),
        Datum::Decimal(v) => number::print_decimal(*v),
        Datum::Text(v) => v.to_string(),
        Datum::Document(_) | Datum::Array(_) | Datum::Opaque(_) => json(value, zone),
        Datum::Binary(4, bytes) if bytes.len() == 16 => uuid(bytes),
        Datum::Binary(_, bytes) => format!("\\x{}", hex(bytes)),
        Datum::ObjectId(id) => hex(id),
        Datum::Bool(v) => v.to_string(),
        Datum::Instant(ms) => time_text::print_instant(*ms, zone),
        Datum::Timestamp(ms) => time_text::print_timestamp(*ms),
        Datum::Date(days) => time_text::print_date(i64::from(*days)),
        Datum::BsonTimestamp(time) => format!("Timestamp({}, {})", time.seconds, time.increment),
        Datum::Interval(v) => interval::print(*v),
        Datum::Time(micros) => time_text::print_time(*micros),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

pub(crate) fn uuid(bytes: &[u8]) -> String {
    let mut out = hex(bytes);
    for at in [20, 16, 12, 8] {
        if out.len() > at {
            out.insert(at, '-');
        }
    }
    out
}

/// Relaxed Extended JSON, with a blank after each comma and colon.
pub(crate) fn json(value: &Datum, zone: &TimeZone) -> String {
    let mut out = String::new();
    value_json(&stored::to_value(value, zone), &mut out);
    out
}

fn value_json(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Null | Value::Undefined => out.push_str("null"),
        Value::Bool(v) => out.push_str(if *v { "true" } else { "false" }),
        Value::Int32(v) => out.push_str(&v.to_string()),
        Value::Int64(v) => out.push_str(&v.to_string()),
        Value::Double(v) if v.is_finite() => double_json(*v, out),
        Value::String(v) | Value::Symbol(v) => quoted(v, out),
        Value::Document(bytes) => {
            out.push('{');
            for (at, element) in Doc::new(bytes).elements().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                quoted(element.key(), out);
                out.push_str(": ");
                value_json(&element.value(), out);
            }
            out.push('}');
        }
        Value::Array(bytes) => {
            out.push('[');
            for (at, value) in Doc::new(bytes).values().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                value_json(&value, out);
            }
            out.push(']');
        }
        other => tree_json(&millstream_value::to_bson(other).into_relaxed_extjson(), out),
    }
}

/// A double with a point or an exponent, so that it reads back as one.
fn double_json(value: f64, out: &mut String) {
    let text = number::print_f64(value);
    out.push_str(&text);
    if !text.contains(['.', 'e']) {
        out.push_str(".0");
    }
}

/// The same spacing for what the `bson` crate spells.
pub(crate) fn tree_json(tree: &serde_json::Value, out: &mut String) {
    match tree {
        serde_json::Value::Object(fields) => {
            out.push('{');
            for (at, (name, value)) in fields.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                quoted(name, out);
                out.push_str(": ");
                tree_json(value, out);
            }
            out.push('}');
        }
        serde_json::Value::Array(values) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                tree_json(value, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// A string of JSON.
pub(crate) fn quoted_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quoted(text, &mut out);
    out
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match escaped(c) {
            Some(escape) => out.push_str(&escape),
            None => out.push(c),
        }
    }
    out.push('"');
}

fn escaped(c: char) -> Option<Cow<'static, str>> {
    Some(match c {
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        '\u{8}' => "\\b".into(),
        '\u{c}' => "\\f".into(),
        c if c < ' ' => format!("\\u{:04x}", u32::from(c)).into(),
        _ => return None,
    })
}
