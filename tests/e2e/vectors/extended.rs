//! Canonical Extended JSON to values, placeholders included.
//!
//! A placeholder becomes a value that no server makes and that `normal` treats like a made one:
//! `{"$oid": "<oid#2>"}` is the object id `ffffffff…02`, `{"$timestamp": {"t": "<rank>", "i": 3}}` the
//! third tick of the last second there is.

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, Timestamp};

use crate::support::notation;

/// Interprets every `{"$…": …}` of Extended JSON in a parsed text.
pub(super) fn values(value: &Bson) -> Bson {
    match value {
        Bson::Array(values) => values.iter().map(self::values).collect(),
        Bson::Document(document) => typed(document).unwrap_or_else(|| Bson::Document(each(document))),
        other => other.clone(),
    }
}

/// The value that stands for a placeholder such as `time(3)`.
pub(super) fn placeholder(kind: &str, number: usize) -> Option<Bson> {
    let last = u8::try_from(number).ok()?;
    Some(match kind {
        "token" => Bson::Document(bson::doc! {"_data": format!("<token#{number}>")}),
        "time" => time(u32::from(last)),
        "oid" => oid(last),
        "uuid" => uuid(last),
        "now" => Bson::DateTime(DateTime::now()),
        _ => return None,
    })
}

fn each(document: &Document) -> Document {
    document.iter().map(|(key, value)| (key.clone(), values(value))).collect()
}

fn typed(document: &Document) -> Option<Bson> {
    let (key, value) = document.iter().next()?;
    if document.len() == 2 && key == "$code" {
        return Some(Bson::JavaScriptCodeWithScope(bson::JavaScriptCodeWithScope {
            code: value.as_str()?.to_owned(),
            scope: each(document.get_document("$scope").ok()?),
        }));
    }
    if document.len() != 1 {
        return None;
    }
    Some(match (key.as_str(), value) {
        ("$numberInt", Bson::String(text)) => Bson::Int32(text.parse().ok()?),
        ("$numberLong", Bson::String(text)) => Bson::Int64(text.parse().ok()?),
        ("$numberDouble", Bson::String(text)) => Bson::Double(double(text)?),
        ("$numberDecimal", Bson::String(text)) => Bson::Decimal128(text.parse().ok()?),
        ("$oid", Bson::String(text)) => match number_in(text) {
            Some(number) => oid(number),
            None => Bson::ObjectId(ObjectId::parse_str(text).ok()?),
        },
        ("$date", Bson::String(text)) if text == "<now>" => Bson::DateTime(DateTime::now()),
        ("$date", Bson::Document(inner)) => {
            let millis = inner.get_str("$numberLong").ok()?.parse().ok()?;
            Bson::DateTime(DateTime::from_millis(millis))
        }
        ("$timestamp", Bson::Document(inner)) => timestamp(inner)?,
        ("$binary", Bson::Document(inner)) => binary(inner)?,
        ("$regularExpression", Bson::Document(inner)) => {
            let (pattern, options) = (inner.get_str("pattern"), inner.get_str("options"));
            Bson::RegularExpression(notation::regex(pattern.ok()?, options.ok()?).ok()?)
        }
        ("$code", Bson::String(code)) => Bson::JavaScriptCode(code.clone()),
        ("$symbol", Bson::String(symbol)) => Bson::Symbol(symbol.clone()),
        ("$minKey", Bson::Int32(1)) => Bson::MinKey,
        ("$maxKey", Bson::Int32(1)) => Bson::MaxKey,
        ("$undefined", Bson::Boolean(true)) => Bson::Undefined,
        _ => return None,
    })
}

fn double(text: &str) -> Option<f64> {
    match text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        text => text.parse().ok(),
    }
}

fn timestamp(inner: &Document) -> Option<Bson> {
    let increment = u32::try_from(inner.get_i32("i").ok()?).ok()?;
    match inner.get("t")? {
        Bson::String(_) => Some(time(increment)),
        Bson::Int32(seconds) => Some(Bson::Timestamp(Timestamp { time: u32::try_from(*seconds).ok()?, increment })),
        _ => None,
    }
}

fn binary(inner: &Document) -> Option<Bson> {
    if let Ok(text) = inner.get_str("uuid") {
        return number_in(text).map(uuid);
    }
    if let Ok(hex) = inner.get_str("literal") {
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok());
        return Some(Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: bytes.collect::<Option<_>>()? }));
    }
    let subtype = u8::from_str_radix(inner.get_str("subType").ok()?, 16).ok()?;
    let subtype = BinarySubtype::from(subtype);
    Some(Bson::Binary(Binary::from_base64(inner.get_str("base64").ok()?, subtype).ok()?))
}

/// The number in a placeholder such as `<oid#3>`.
fn number_in(text: &str) -> Option<u8> {
    let (_, number) = text.strip_suffix('>')?.split_once('#')?;
    number.parse().ok()
}

fn time(increment: u32) -> Bson {
    Bson::Timestamp(Timestamp { time: u32::MAX, increment })
}

fn oid(number: u8) -> Bson {
    let mut bytes = [0xFF; 12];
    bytes[11] = number;
    Bson::ObjectId(ObjectId::from_bytes(bytes))
}

fn uuid(number: u8) -> Bson {
    let mut bytes = vec![0xFF; 16];
    bytes[15] = number;
    Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes })
}
