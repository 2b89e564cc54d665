//! Values that differ from run to run become placeholders that do not.
//!
//! `token(n)`, `time(n)`, `oid(n)`, `uuid(n)` are numbered by their first appearance, so that equal
//! values have equal placeholders; `now` is any date close to today.

use std::time::Duration;

use bson::spec::BinarySubtype;
use bson::{Bson, DateTime, Document};

/// Object ids and timestamps from this second on were made by the server (it is in 2023); older
/// ones are data of the tests.
const MADE_SINCE_SECONDS: u32 = 1_680_000_000;
/// How far from now a date may be to count as `now`.
const NOW_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// The values seen so far, by kind.
#[derive(Default)]
pub(crate) struct Seen {
    tokens: Vec<Bson>,
    times: Vec<Bson>,
    oids: Vec<Bson>,
    uuids: Vec<Bson>,
    /// UUIDs that the test wrote itself: they stay as they are.
    literal_uuids: Vec<Bson>,
}

impl Seen {
    /// Remembers the UUIDs of an input, which are no placeholders.
    pub(crate) fn keep_literals(&mut self, input: &Bson) {
        match input {
            Bson::Document(document) => document.values().for_each(|v| self.keep_literals(v)),
            Bson::Array(values) => values.iter().for_each(|v| self.keep_literals(v)),
            Bson::Binary(binary) if binary.subtype == BinarySubtype::Uuid => {
                self.literal_uuids.push(input.clone());
            }
            _ => {}
        }
    }

    /// Gives times their number by rank among these, instead of by appearance.
    pub(crate) fn rank_times(&mut self, values: &Bson) {
        collect_times(values, &mut self.times);
        self.times.sort_by_key(|time| match time {
            Bson::Timestamp(time) => (time.time, time.increment),
            _ => (0, 0),
        });
        self.times.dedup();
    }

    /// Replaces what differs from run to run.
    pub(crate) fn normal(&mut self, value: &Bson) -> Bson {
        match value {
            Bson::Document(document) if is_token(document) => number(&mut self.tokens, value, "token"),
            Bson::Document(document) => {
                Bson::Document(document.iter().map(|(key, value)| (key.clone(), self.normal(value))).collect())
            }
            Bson::Array(values) => values.iter().map(|value| self.normal(value)).collect(),
            Bson::Timestamp(time) if time.time >= MADE_SINCE_SECONDS => number(&mut self.times, value, "time"),
            Bson::ObjectId(id) if seconds_of(id.bytes()) >= MADE_SINCE_SECONDS => number(&mut self.oids, value, "oid"),
            Bson::Binary(binary) if binary.subtype == BinarySubtype::Uuid && !self.literal_uuids.contains(value) => {
                number(&mut self.uuids, value, "uuid")
            }
            Bson::DateTime(date) if is_now(*date) => Bson::Symbol("now".to_owned()),
            Bson::String(text) if text.starts_with("tmp.agg_out.") => Bson::String("tmp.agg_out.<uuid>".to_owned()),
            other => other.clone(),
        }
    }

    /// The value behind a placeholder such as `token(1)`.
    pub(crate) fn value(&self, kind: &str, number: usize) -> Option<Bson> {
        let list = match kind {
            "token" => &self.tokens,
            "time" => &self.times,
            "oid" => &self.oids,
            "uuid" => &self.uuids,
            _ => return None,
        };
        list.get(number.checked_sub(1)?).cloned()
    }
}

/// Whether a document is a resume token: `_data` in hex (or a placeholder), perhaps `_typeBits`.
pub(crate) fn is_token(document: &Document) -> bool {
    let fields = document.keys().all(|key| key == "_data" || key == "_typeBits");
    let text = document.get_str("_data").unwrap_or_default();
    let hex = text.len() > 20 && text.bytes().all(|b| b.is_ascii_hexdigit());
    fields && (hex || text.starts_with("<token"))
}

fn number(list: &mut Vec<Bson>, value: &Bson, kind: &str) -> Bson {
    let at = list.iter().position(|seen| seen == value).unwrap_or_else(|| {
        list.push(value.clone());
        list.len() - 1
    });
    Bson::Symbol(format!("{kind}({})", at + 1))
}

fn collect_times(value: &Bson, times: &mut Vec<Bson>) {
    match value {
        Bson::Document(document) => document.values().for_each(|v| collect_times(v, times)),
        Bson::Array(values) => values.iter().for_each(|v| collect_times(v, times)),
        Bson::Timestamp(time) if time.time >= MADE_SINCE_SECONDS => times.push(value.clone()),
        _ => {}
    }
}

fn seconds_of(bytes: [u8; 12]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn is_now(date: DateTime) -> bool {
    let apart = (date.timestamp_millis() - DateTime::now().timestamp_millis()).unsigned_abs();
    Duration::from_millis(apart) < NOW_WITHIN
}
