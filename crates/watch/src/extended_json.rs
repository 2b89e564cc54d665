//! MongoDB Extended JSON v2, straight from and to raw documents.
//!
//! Written from the bytes rather than through a map, so that the order of fields, repeated fields
//! and every type come out as they are.
//!
//! Source: the "Extended JSON" specification, version 2.1.

use std::fmt::Write as _;

use bson::{Bson, DateTime, Document, RawBsonRef, RawDocument};

use crate::{Error, Result};

/// Deeper values are written as a text that says so. MongoDB stores at most 180 levels; input
/// from elsewhere must not exhaust the stack.
const DEPTH_MAX: usize = 250;

/// A nested value is kept on one line by [`pretty_json`] if it is no longer than this.
const LINE_CHARS: usize = 76;

/// The last millisecond of the year 9999, up to which relaxed dates are written as text.
const YEAR_9999_END_MS: i64 = 253_402_300_799_999;

/// Which of the two forms to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JsonMode {
    /// Plain numbers and dates as text, at the price of a type here and there.
    #[default]
    Relaxed,
    /// Every value with its exact type.
    Canonical,
}

/// A document as one line.
pub fn to_json(document: &RawDocument, mode: JsonMode) -> String {
    let mut writer = Writer::new(mode, Layout::Line);
    writer.document(document, 0);
    writer.out
}

/// A document over several lines; short nested values stay on one.
pub fn pretty_json(document: &RawDocument, mode: JsonMode) -> String {
    let mut writer = Writer::new(mode, Layout::Indented);
    writer.document(document, 0);
    writer.out
}

/// A single value as one line.
pub fn value_to_json(value: RawBsonRef<'_>, mode: JsonMode) -> String {
    let mut writer = Writer::new(mode, Layout::Line);
    writer.value(value, 0);
    writer.out
}

/// Reads one document from Extended JSON (either form, and plain JSON).
pub fn document_from_json(text: &str) -> Result<Document> {
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| Error::BadJson { reason: error.to_string() })?;
    match Bson::try_from(json) {
        Ok(Bson::Document(document)) => Ok(document),
        Ok(_) => Err(Error::BadJson { reason: "it is not an object".into() }),
        Err(error) => Err(Error::BadJson { reason: error.to_string() }),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Line,
    Indented,
}

struct Writer {
    out: String,
    mode: JsonMode,
    layout: Layout,
}

impl Writer {
    fn new(mode: JsonMode, layout: Layout) -> Self {
        Self { out: String::new(), mode, layout }
    }

    fn document(&mut self, document: &RawDocument, depth: usize) {
        if self.layout == Layout::Indented
            && depth > 0
            && self.fits(|line| {
                line.document(document, depth);
            })
        {
            return;
        }
        self.out.push('{');
        let mut first = true;
        for element in document {
            self.separate(&mut first, depth + 1);
            match element {
                Ok((name, value)) => {
                    self.string(name.as_str());
                    self.out.push(':');
                    if self.layout == Layout::Indented {
                        self.out.push(' ');
                    }
                    self.value(value, depth + 1);
                }
                // The rest of broken bytes cannot be read; saying so beats hiding it.
                Err(error) => {
                    self.string("$unreadable");
                    self.out.push(':');
                    self.string(&error.to_string());
                    break;
                }
            }
        }
        self.close('}', first, depth);
    }

    fn array(&mut self, array: &bson::RawArray, depth: usize) {
        if self.layout == Layout::Indented && self.fits(|line| line.array(array, depth)) {
            return;
        }
        self.out.push('[');
        let mut first = true;
        for value in array {
            self.separate(&mut first, depth + 1);
            match value {
                Ok(value) => self.value(value, depth + 1),
                Err(error) => {
                    self.string(&error.to_string());
                    break;
                }
            }
        }
        self.close(']', first, depth);
    }

    fn value(&mut self, value: RawBsonRef<'_>, depth: usize) {
        if depth > DEPTH_MAX {
            self.string("(nested too deeply to show)");
            return;
        }
        let canonical = self.mode == JsonMode::Canonical;
        match value {
            RawBsonRef::Document(document) => self.document(document, depth),
            RawBsonRef::Array(array) => self.array(array, depth),
            RawBsonRef::String(text) => self.string(text),
            RawBsonRef::Boolean(yes) => self.plain(yes),
            RawBsonRef::Null => self.plain("null"),
            RawBsonRef::Int32(n) if canonical => self.wrapped("$numberInt", &n.to_string()),
            RawBsonRef::Int32(n) => self.plain(n),
            RawBsonRef::Int64(n) if canonical => self.wrapped("$numberLong", &n.to_string()),
            RawBsonRef::Int64(n) => self.plain(n),
            RawBsonRef::Double(n) if canonical || !n.is_finite() => {
                self.wrapped("$numberDouble", &double(n));
            }
            RawBsonRef::Double(n) => self.plain(double(n)),
            RawBsonRef::Decimal128(n) => self.wrapped("$numberDecimal", &n.to_string()),
            RawBsonRef::ObjectId(id) => self.wrapped("$oid", &id.to_hex()),
            RawBsonRef::DateTime(date) => self.date(date),
            RawBsonRef::Timestamp(time) => {
                self.plain(format_args!("{{\"$timestamp\":{{\"t\":{},\"i\":{}}}}}", time.time, time.increment))
            }
            RawBsonRef::Binary(binary) => self.plain(format_args!(
                "{{\"$binary\":{{\"base64\":\"{}\",\"subType\":\"{:02x}\"}}}}",
                base64(binary.bytes),
                u8::from(binary.subtype)
            )),
            RawBsonRef::RegularExpression(regex) => {
                self.out.push_str("{\"$regularExpression\":{\"pattern\":");
                self.string(regex.pattern.as_str());
                self.out.push_str(",\"options\":");
                self.string(regex.options.as_str());
                self.out.push_str("}}");
            }
            RawBsonRef::JavaScriptCode(code) => self.wrapped("$code", code),
            RawBsonRef::JavaScriptCodeWithScope(code) => {
                self.out.push_str("{\"$code\":");
                self.string(code.code);
                self.out.push_str(",\"$scope\":");
                self.document(code.scope, depth + 1);
                self.out.push('}');
            }
            RawBsonRef::Symbol(symbol) => self.wrapped("$symbol", symbol),
            RawBsonRef::Undefined => self.plain("{\"$undefined\":true}"),
            RawBsonRef::MaxKey => self.plain("{\"$maxKey\":1}"),
            RawBsonRef::MinKey => self.plain("{\"$minKey\":1}"),
            // Deprecated since long; its parts are readable only through the owned type.
            RawBsonRef::DbPointer(_) => match Bson::try_from(value) {
                Ok(pointer) => {
                    let json = pointer.into_canonical_extjson();
                    self.plain(json);
                }
                Err(error) => self.string(&error.to_string()),
            },
        }
    }

    fn date(&mut self, date: DateTime) {
        let millis = date.timestamp_millis();
        let text = (self.mode == JsonMode::Relaxed && (0..=YEAR_9999_END_MS).contains(&millis))
            .then(|| relaxed_date(millis))
            .flatten();
        match text {
            Some(text) => self.wrapped("$date", &text),
            None => self.plain(format_args!("{{\"$date\":{{\"$numberLong\":\"{millis}\"}}}}")),
        }
    }

    fn wrapped(&mut self, name: &str, text: &str) {
        self.out.push_str("{\"");
        self.out.push_str(name);
        self.out.push_str("\":");
        self.string(text);
        self.out.push('}');
    }

    fn plain(&mut self, text: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.out, "{text}");
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                // C1 controls are legal JSON, but a terminal acts on them.
                c if c.is_control() => self.plain(format_args!("\\u{:04x}", u32::from(c))),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn separate(&mut self, first: &mut bool, depth: usize) {
        if !std::mem::replace(first, false) {
            self.out.push(',');
        }
        self.new_line(depth);
    }

    fn close(&mut self, bracket: char, empty: bool, depth: usize) {
        if !empty {
            self.new_line(depth);
        }
        self.out.push(bracket);
    }

    fn new_line(&mut self, depth: usize) {
        if self.layout == Layout::Indented {
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str("  ");
            }
        }
    }

    /// Writes the value on one line if that is short enough; says whether it did.
    fn fits(&mut self, write: impl FnOnce(&mut Writer)) -> bool {
        let mut line = Writer::new(self.mode, Layout::Line);
        write(&mut line);
        let short = line.out.len() <= LINE_CHARS;
        if short {
            self.out.push_str(&line.out);
        }
        short
    }
}

fn double(n: f64) -> String {
    if n.is_nan() {
        "NaN".into()
    } else if n.is_infinite() {
        if n > 0.0 { "Infinity" } else { "-Infinity" }.into()
    } else {
        // The shortest text that reads back as the same number, always with a point or exponent.
        format!("{n:?}")
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |group: u32, shift: u32| {
        let index = usize::try_from((group >> shift) & 63).unwrap_or(0);
        char::from(DIGITS.get(index).copied().unwrap_or(b'='))
    };
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        text.push(digit(group, 18));
        text.push(digit(group, 12));
        text.push(if chunk.len() > 1 { digit(group, 6) } else { '=' });
        text.push(if chunk.len() > 2 { digit(group, 0) } else { '=' });
    }
    text
}

/// The date as text: three digits of a second, or none where it is a whole one.
fn relaxed_date(millis: i64) -> Option<String> {
    let (seconds, rest) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    let whole = DateTime::from_millis(seconds * 1000).try_to_rfc3339_string().ok()?;
    if rest == 0 {
        return Some(whole);
    }
    Some(format!("{}.{rest:03}Z", whole.strip_suffix('Z')?))
}

#[cfg(test)]
mod tests {
    use bson::spec::BinarySubtype;
    use bson::{Binary, Decimal128, RawDocumentBuf, Regex, Timestamp, doc, oid::ObjectId, rawdoc};

    use super::*;

    fn every_type() -> Document {
        doc! {
            "double": 1.0, "tiny": 1e-7, "nan": f64::NAN, "inf": f64::INFINITY, "minus": f64::NEG_INFINITY,
            "text": "a\"b\\c\n\u{1}é", "doc": {"b": 1, "a": {"x": []}}, "array": [1, "two", {"n": 3_i64}],
            "bin": Binary { subtype: BinarySubtype::Uuid, bytes: (0..16).collect() },
            "bin1": Binary { subtype: BinarySubtype::Generic, bytes: vec![255] },
            "old": Binary { subtype: BinarySubtype::BinaryOld, bytes: vec![1, 2, 3, 4] },
            "id": ObjectId::from_bytes([7; 12]), "yes": true, "nothing": null,
            "date": DateTime::from_millis(1_755_427_520_412), "early": DateTime::from_millis(-1),
            "regex": Regex { pattern: bson::raw::cstr!("^a\"").into(), options: bson::raw::cstr!("im").into() },
            "code": Bson::JavaScriptCode("f()".into()), "int": 42, "long": 42_i64,
            "time": Timestamp { time: 1_755_427_520, increment: 3 },
            "decimal": "1.50".parse::<Decimal128>().unwrap(), "symbol": Bson::Symbol("s".into()),
            "undefined": Bson::Undefined, "low": Bson::MinKey, "high": Bson::MaxKey,
        }
    }

    #[test]
    fn canonical_reads_back_as_the_same_document() {
        let document = every_type();
        let raw = RawDocumentBuf::try_from(&document).unwrap();
        let json = to_json(&raw, JsonMode::Canonical);
        let back = RawDocumentBuf::try_from(&document_from_json(&json).unwrap()).unwrap();
        assert_eq!(raw, back, "{json}");
    }

    #[test]
    fn relaxed_is_what_the_driver_library_says() {
        let document = every_type();
        let raw = RawDocumentBuf::try_from(&document).unwrap();
        let ours: serde_json::Value = serde_json::from_str(&to_json(&raw, JsonMode::Relaxed)).unwrap();
        assert_eq!(ours, Bson::Document(document).into_relaxed_extjson());
    }

    #[test]
    fn milliseconds_have_three_digits() {
        for (millis, text) in [(130, ".130Z"), (5, ".005Z"), (0, ":20Z")] {
            let raw = rawdoc! {"at": DateTime::from_millis(1_755_427_520_000 + millis)};
            let json = to_json(&raw, JsonMode::Relaxed);
            assert!(json.ends_with(&format!("{text}\"}}}}")), "{json}");
        }
    }

    #[test]
    fn order_and_repeated_fields_stay() {
        let mut raw = rawdoc! {"b": 1, "a": 2};
        raw.append(bson::raw::cstr!("b"), 3);
        assert_eq!(to_json(&raw, JsonMode::Relaxed), r#"{"b":1,"a":2,"b":3}"#);
    }

    #[test]
    fn depth_is_bounded() {
        let mut raw = rawdoc! {"x": 1};
        for _ in 0..2000 {
            raw = rawdoc! {"x": raw};
        }
        assert!(to_json(&raw, JsonMode::Relaxed).contains("nested too deeply"));
        assert!(pretty_json(&raw, JsonMode::Relaxed).contains("nested too deeply"));
    }

    #[test]
    fn pretty_keeps_short_values_on_a_line() {
        let raw = rawdoc! {"_id": {"_data": "82"}, "tags": ["a", "b"], "empty": {}};
        let expected = "{\n  \"_id\": {\"_data\":\"82\"},\n  \"tags\": [\"a\",\"b\"],\n  \"empty\": {}\n}";
        assert_eq!(pretty_json(&raw, JsonMode::Relaxed), expected);
    }

    #[test]
    fn base64_of_all_lengths() {
        let texts: Vec<String> = ["", "f", "fo", "foo", "foob"].iter().map(|t| base64(t.as_bytes())).collect();
        assert_eq!(texts, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }
}
