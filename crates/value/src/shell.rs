//! Values as people read them in messages and logs: `{ _id: 1, name: "x" }`.

use std::fmt::Write;

use crate::{Doc, Value};

/// A document in shell notation.
#[must_use]
pub fn document(doc: Doc<'_>) -> String {
    let mut out = String::new();
    write_document(doc, &mut out, 0);
    out
}

/// A value in shell notation.
#[must_use]
pub fn value(value: &Value<'_>) -> String {
    let mut out = String::new();
    write_value(value, &mut out, 0);
    out
}

fn write_document(doc: Doc<'_>, out: &mut String, depth: usize) {
    let mut first = true;
    for element in doc.elements() {
        out.push_str(if first { "{ " } else { ", " });
        first = false;
        out.push_str(element.key());
        out.push_str(": ");
        write_value(&element.value(), out, depth + 1);
    }
    out.push_str(if first { "{}" } else { " }" });
}

fn write_value(value: &Value<'_>, out: &mut String, depth: usize) {
    if depth > crate::DEPTH_MAX {
        return out.push('…');
    }
    // Writing to a string cannot fail.
    let _ = match value {
        Value::MinKey => write!(out, "MinKey"),
        Value::Undefined => write!(out, "undefined"),
        Value::Null => write!(out, "null"),
        Value::Double(v) => {
            if *v == v.trunc() && v.abs() < 1e15 {
                write!(out, "{v:.1}")
            } else {
                write!(out, "{v}")
            }
        }
        Value::Int32(v) => write!(out, "{v}"),
        Value::Int64(v) => write!(out, "{v}"),
        Value::Decimal(v) => write!(out, "{v}"),
        Value::String(v) | Value::Symbol(v) => write!(out, "\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\"")),
        Value::Document(bytes) => {
            write_document(Doc::new(bytes), out, depth);
            Ok(())
        }
        Value::Array(bytes) => {
            let mut first = true;
            for item in Doc::new(bytes).values() {
                out.push_str(if first { "[ " } else { ", " });
                first = false;
                write_value(&item, out, depth + 1);
            }
            out.push_str(if first { "[]" } else { " ]" });
            Ok(())
        }
        Value::Binary(4, bytes) if bytes.len() == 16 => {
            let hex = hex(bytes);
            let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
            write!(out, "UUID(\"{}-{}-{}-{}-{}\")", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
        }
        Value::Binary(subtype, bytes) => write!(out, "BinData({subtype}, {})", hex(bytes).to_uppercase()),
        Value::ObjectId(bytes) => write!(out, "ObjectId('{}')", hex(bytes)),
        Value::Bool(v) => write!(out, "{v}"),
        Value::Date(v) => write!(out, "new Date({v})"),
        Value::Timestamp(v) => write!(out, "{v}"),
        Value::Regex(pattern, options) => write!(out, "/{pattern}/{options}"),
        Value::DbPointer(name, id) => write!(out, "DBRef('{name}', {})", hex(id)),
        Value::Code(code) | Value::CodeWithScope(code, _) => write!(out, "{code}"),
        Value::MaxKey => write!(out, "MaxKey"),
    };
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_like_the_shell() {
        let doc = crate::from_bson_document(&bson::doc! {"_id": 1, "a": [1.0, "x"], "o": {}});
        assert_eq!(super::document(doc.as_doc()), r#"{ _id: 1, a: [ 1.0, "x" ], o: {} }"#);
    }
}
