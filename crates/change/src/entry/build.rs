//! Writing entries: one allocation, one pass.

mod transaction;

use millstream_storage::ClusterTime;
use millstream_value::{Doc, DocBuf};

pub use self::transaction::{PARTS_MAX, Part, Place, Transaction, apply_ops, apply_ops_bytes, split};
use crate::raw::Raw;

/// The term of the only primary there is.
const TERM: i64 = 1;
/// The term of the time before all others.
const NO_TERM: i64 = -1;
/// The version of the entry format.
const FORMAT: i64 = 2;

/// When an entry is written, and by what. Without one, an operation is written as it lies inside of `applyOps`: what it
/// does and no more, since the entry around it says the rest.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// Its place in the log.
    pub time: ClusterTime,
    /// The server's clock, in unix milliseconds.
    pub wall_ms: u64,
    /// The retryable write that it belongs to.
    pub retry: Option<&'a Retry>,
}

/// A retryable write: how a client's second attempt is recognised.
#[derive(Clone, Debug)]
pub struct Retry {
    /// `{id, uid}` of the session.
    pub lsid: DocBuf,
    /// The number of the command in its session.
    pub txn_number: i64,
    /// The position of the statement in its command.
    pub statement: i32,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `<db>.<collection>`, or `<db>.$cmd` for a command.
    pub ns: &'a str,
    /// Of the collection; `dropDatabase` has none.
    pub uuid: Option<[u8; 16]>,
}

/// A document was inserted; `key` is its `{_id}`.
#[must_use]
pub fn insert(stamp: Option<Stamp<'_>>, target: Target<'_>, document: Doc<'_>, key: Doc<'_>) -> Vec<u8> {
    write("i", stamp, target, Body::Whole(document), Some(key))
}

/// A document was changed: `diff` is the delta (CS-2.6), without the `$v` around it.
#[must_use]
pub fn update(stamp: Option<Stamp<'_>>, target: Target<'_>, diff: Doc<'_>, key: Doc<'_>) -> Vec<u8> {
    write("u", stamp, target, Body::Diff(diff), Some(key))
}

/// A document was replaced by `document`.
#[must_use]
pub fn replace(stamp: Option<Stamp<'_>>, target: Target<'_>, document: Doc<'_>, key: Doc<'_>) -> Vec<u8> {
    write("u", stamp, target, Body::Whole(document), Some(key))
}

/// The document with this `{_id}` was deleted.
#[must_use]
pub fn delete(stamp: Option<Stamp<'_>>, target: Target<'_>, key: Doc<'_>) -> Vec<u8> {
    write("d", stamp, target, Body::Whole(key), None)
}

/// A command changed a collection or a database: `o` starts with its name, `o2` says what was before.
#[must_use]
pub fn command(stamp: Option<Stamp<'_>>, target: Target<'_>, o: Doc<'_>, o2: Option<Doc<'_>>) -> Vec<u8> {
    write("c", stamp, target, Body::Whole(o), o2)
}

/// Nothing changed; `message` says why there is an entry all the same.
#[must_use]
pub fn noop(stamp: Stamp<'_>, message: &str) -> Vec<u8> {
    let mut o = DocBuf::new();
    o.push("msg", message);
    write("n", Some(stamp), Target { ns: "", uuid: None }, Body::Whole(o.as_doc()), None)
}

enum Body<'a> {
    Whole(Doc<'a>),
    Diff(Doc<'a>),
}

fn write(op: &str, stamp: Option<Stamp<'_>>, target: Target<'_>, o: Body<'_>, o2: Option<Doc<'_>>) -> Vec<u8> {
    const FIXED_BYTES: usize = 160;
    const RETRY_BYTES: usize = 100;
    let (Body::Whole(body) | Body::Diff(body)) = o;
    let retry = stamp.and_then(|stamp| stamp.retry);
    let retry_bytes = retry.map_or(0, |retry| retry.lsid.size() + RETRY_BYTES);
    let o2_bytes = o2.map_or(0, |o2| o2.as_bytes().len());
    let mut out = Raw::with_capacity(FIXED_BYTES + target.ns.len() + body.as_bytes().len() + o2_bytes + retry_bytes);
    let entry = out.open();
    if let Some(retry) = retry {
        out.doc("lsid", retry.lsid.as_doc());
        out.long("txnNumber", retry.txn_number);
    }
    out.str("op", op);
    out.str("ns", target.ns);
    if let Some(uuid) = &target.uuid {
        out.uuid("ui", uuid);
    }
    match o {
        Body::Whole(document) => out.doc("o", document),
        Body::Diff(diff) => {
            let open = out.open_doc("o");
            out.int("$v", 2);
            out.doc("diff", diff);
            out.close(open);
        }
    }
    if let Some(o2) = o2 {
        out.doc("o2", o2);
    }
    if let Some(retry) = retry {
        out.int("stmtId", retry.statement);
    }
    if let Some(stamp) = stamp {
        end(&mut out, stamp.time, stamp.wall_ms, retry.map(|_| ClusterTime::ZERO));
    }
    out.close(entry);
    out.into_bytes()
}

/// The fields behind what happened; `previous` is the entry before it in the same transaction, zero if there is none.
fn end(out: &mut Raw, time: ClusterTime, wall_ms: u64, previous: Option<ClusterTime>) {
    out.time("ts", time);
    out.long("t", TERM);
    out.long("v", FORMAT);
    out.date("wall", i64::try_from(wall_ms).unwrap_or(i64::MAX));
    if let Some(previous) = previous {
        let open = out.open_doc("prevOpTime");
        out.time("ts", previous);
        out.long("t", if previous == ClusterTime::ZERO { NO_TERM } else { TERM });
        out.close(open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CS-11.1.2.
    #[test]
    fn entries_have_the_fields_and_order_of_the_oplog() {
        let mut document = DocBuf::new();
        document.push("_id", 7).push("item", "lamp");
        let mut key = DocBuf::new();
        key.push("_id", 7);
        let stamp = Stamp { time: ClusterTime::new(5, 1), wall_ms: 5_000, retry: None };
        let target = Target { ns: "shop.orders", uuid: Some([3; 16]) };
        let shell = |bytes: &[u8]| {
            assert_eq!(millstream_value::validate(bytes), Ok(()));
            format!("{:?}", Doc::new(bytes))
        };
        let names = |bytes: &[u8]| Doc::new(bytes).elements().map(|e| e.key().to_owned()).collect::<Vec<_>>().join(" ");
        let entry = insert(Some(stamp), target, document.as_doc(), key.as_doc());
        assert_eq!(names(&entry), "op ns ui o o2 ts t v wall");
        assert!(shell(&entry).contains("o2: { _id: 7 }"));
        let retry = Retry { lsid: key.clone(), txn_number: 3, statement: 0 };
        let entry = update(Some(Stamp { retry: Some(&retry), ..stamp }), target, document.as_doc(), key.as_doc());
        assert_eq!(names(&entry), "lsid txnNumber op ns ui o o2 stmtId ts t v wall prevOpTime");
        assert_eq!(Doc::new(&entry).doc("o").and_then(|o| o.doc("diff")), Some(document.as_doc()));
        assert_eq!(names(&delete(Some(stamp), target, key.as_doc())), "op ns ui o ts t v wall");
        assert_eq!(names(&noop(stamp, "periodic noop")), "op ns o ts t v wall");
        let target = Target { ns: "shop.$cmd", uuid: None };
        assert_eq!(names(&command(Some(stamp), target, document.as_doc(), None)), "op ns o ts t v wall");
        // Inside of a transaction's entry.
        let target = Target { ns: "shop.orders", uuid: Some([3; 16]) };
        assert_eq!(names(&insert(None, target, document.as_doc(), key.as_doc())), "op ns ui o o2");
        assert_eq!(names(&delete(None, target, key.as_doc())), "op ns ui o");
    }
}
