//! What differs between what was recorded and what came.
//!
//! Field order counts in documents and events, not in replies. Error texts do not count. Differences
//! that 8.0 has from the recorded 5.0 everywhere are allowed for here, each with its reason.

use bson::{Bson, Document};

use crate::support::normal::Seen;

/// Reply fields that depend on the server's state or only repeat it for drivers.
const IGNORED: [&str; 8] = [
    "$clusterTime",
    "operationTime",
    "electionId",
    "opTime",
    "errmsg",
    "labels",
    // 8.0 marks the closing reply of an invalidated stream (CS-7.3).
    "invalidated",
    // 8.0 answers `insert` and `findAndModify` with the outcome of a retry here.
    "retriedStmtIds",
];

/// Fields whose content is documents or events: order counts from here on.
const ORDERED: [&str; 8] = ["events", "firstBatch", "nextBatch", "after", "docs", "value", "upserted", "keyValue"];

/// Every difference, the first one first. Empty: they agree.
pub(super) fn differences(input: &Bson, expect: &Bson, actual: &Bson) -> Vec<String> {
    let normal = |value: &Bson| {
        let mut value = value.clone();
        as_recorded(&mut value);
        let mut seen = Seen::default();
        seen.keep_literals(input);
        seen.rank_times(&value);
        seen.normal(&value)
    };
    let mut out = Vec::new();
    compare(&normal(expect), &normal(actual), "", false, &mut out);
    out
}

/// Takes away what differs between 8.0 and 5.0 in every case.
fn as_recorded(value: &mut Bson) {
    match value {
        Bson::Array(values) => values.iter_mut().for_each(as_recorded),
        Bson::Document(document) => {
            for key in IGNORED {
                document.remove(key);
            }
            // Events have a wall time since 6.0 (CS-1.2.4).
            if document.contains_key("_id") {
                document.remove("wallTime");
            }
            // Errors of command parsing have names since 6.0.
            let named = match document.get_i32("code") {
                Ok(40413) => Some("IDLDuplicateField"),
                Ok(40414) => Some("IDLFailedToParse"),
                Ok(40415) => Some("IDLUnknownField"),
                _ => None,
            };
            if let (Some(name), true) = (named, document.contains_key("codeName")) {
                document.insert("codeName", name);
            }
            // An error of the recording client has no code; only that it is an error counts.
            if document.get_bool("error").ok() == Some(true) && document.contains_key("kind") {
                *document = bson::doc! {"error": true};
            }
            for (_, value) in document.iter_mut() {
                as_recorded(value);
            }
        }
        _ => {}
    }
}

fn compare(expect: &Bson, actual: &Bson, path: &str, ordered: bool, out: &mut Vec<String>) {
    match (expect, actual) {
        (Bson::Document(expect), Bson::Document(actual)) => {
            documents(expect, actual, path, ordered, out);
        }
        (Bson::Array(expect), Bson::Array(actual)) => {
            for (at, (expect, actual)) in expect.iter().zip(actual).enumerate() {
                compare(expect, actual, &format!("{path}.{at}"), ordered, out);
            }
            if expect.len() != actual.len() {
                let more = actual.get(expect.len()).or(expect.get(actual.len()));
                out.push(format!(
                    "{path}: {} elements expected, {} came; the first beyond: {}",
                    expect.len(),
                    actual.len(),
                    more.map(crate::support::notation::print).unwrap_or_default()
                ));
            }
        }
        (Bson::Double(a), Bson::Double(b)) if same_double(*a, *b) => {}
        _ if expect == actual && !matches!(expect, Bson::Double(_)) => {}
        _ => out.push(format!(
            "{path}: expected {}, came {}",
            crate::support::notation::print(expect),
            crate::support::notation::print(actual)
        )),
    }
}

fn documents(expect: &Document, actual: &Document, path: &str, ordered: bool, out: &mut Vec<String>) {
    // A client-side error was expected: any error, or an answer that the client never asked for.
    if expect.get_bool("error").ok() == Some(true) && expect.len() == 1 {
        return;
    }
    let same_keys = expect.len() == actual.len() && expect.keys().all(|key| actual.contains_key(key));
    let same_order = expect.keys().eq(actual.keys());
    if !same_keys || (ordered && !same_order) {
        let keys = |document: &Document| document.keys().cloned().collect::<Vec<_>>().join(", ");
        let text = |document: &Document| crate::support::notation::print(&Bson::Document(document.clone()));
        out.push(format!(
            "{path}: expected fields ({}), came ({}); expected {}, came {}",
            keys(expect),
            keys(actual),
            text(expect),
            text(actual)
        ));
    }
    for (key, expect) in expect {
        if let Some(actual) = actual.get(key) {
            let ordered = ordered || ORDERED.contains(&key.as_str());
            compare(expect, actual, &format!("{path}.{key}"), ordered, out);
        }
    }
}

/// Equal as stored: NaN equals itself, and 0.0 is not -0.0.
fn same_double(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}
