//! The entries of a multi-document transaction: `applyOps` with all its operations, or a chain of such entries where
//! they are too large for one (CS-2.8.4, CS-11.1.3).

use std::ops::Range;

use bytes::Bytes;
use millstream_storage::ClusterTime;
use millstream_value::{Doc, DocBuf};

use super::end;
use crate::raw::Raw;

/// An entry with more than one operation is not larger than this, as no document is.
const ENTRY_BYTES_MAX: usize = 16 << 20;
/// Everything in an entry but its operations: the session takes some 90 bytes, the other fields some 200.
const FIXED_BYTES: usize = 1 << 10;

/// Entries of one chain: more are never written, so that whoever follows one knows when it runs in circles.
pub const PARTS_MAX: usize = 10_000;

/// A transaction: what its entries, and the events made from them, have in common.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// `{id, uid}` of the session.
    pub lsid: DocBuf,
    /// Its number in the session.
    pub number: i64,
}

/// Which part of a transaction an entry holds.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The entry before it, zero for the first.
    pub previous: ClusterTime,
    /// Where it stands among them.
    pub place: Place,
}

/// Where an entry stands among those of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the only one.
    Whole,
    /// Further ones follow.
    More,
    /// It ends a chain, in which there are `count` operations.
    Last {
        /// Of all entries together.
        count: i64,
    },
}

/// Which operations go into which entry: as many as fit, but not more than `count_max`, in order. One that is larger than
/// an entry should be has one of its own. Where a chain would get too long by `count_max`, there are more of them in each.
#[must_use]
pub fn split(operations: &[Bytes], count_max: usize) -> Vec<Range<usize>> {
    let count_max = count_max.max(operations.len().div_ceil(PARTS_MAX / 2));
    let mut entries = Vec::new();
    let mut start = 0;
    let mut bytes = FIXED_BYTES;
    for (at, operation) in operations.iter().enumerate() {
        let item = item_bytes(at - start, operation);
        if at > start && (bytes + item > ENTRY_BYTES_MAX || at - start >= count_max) {
            entries.push(start..at);
            start = at;
            bytes = FIXED_BYTES;
        }
        bytes += item;
    }
    if start < operations.len() {
        entries.push(start..operations.len());
    }
    entries
}

/// What an operation takes at a position of the array: its type, the digits of the position, a NUL, and itself.
fn item_bytes(at: usize, operation: &Bytes) -> usize {
    let digits = at.checked_ilog10().unwrap_or(0) as usize + 1;
    1 + digits + 1 + operation.len()
}

/// How many bytes an entry of these operations takes, and a little more.
#[must_use]
pub fn apply_ops_bytes(transaction: &Transaction, operations: &[Bytes]) -> usize {
    let items: usize = operations.iter().enumerate().map(|(at, operation)| item_bytes(at, operation)).sum();
    FIXED_BYTES + transaction.lsid.size() + items
}

/// Writes the entry of a transaction, or of the part of it that these operations are, behind what is in a buffer. They were
/// written without a stamp.
#[must_use]
pub fn apply_ops(
    buffer: Vec<u8>,
    time: ClusterTime,
    wall_ms: u64,
    transaction: &Transaction,
    operations: &[Bytes],
    part: Part,
) -> Vec<u8> {
    let mut out = Raw::behind(buffer);
    let entry = out.open();
    out.doc("lsid", transaction.lsid.as_doc());
    out.long("txnNumber", transaction.number);
    out.str("op", "c");
    out.str("ns", "admin.$cmd");
    let o = out.open_doc("o");
    let list = out.open_array("applyOps");
    for (at, operation) in operations.iter().enumerate() {
        out.item(at, Doc::new(operation));
    }
    out.close(list);
    match part.place {
        Place::Whole => {}
        Place::More => out.bool("partialTxn", true),
        Place::Last { count } => out.long("count", count),
    }
    out.close(o);
    end(&mut out, time, wall_ms, Some(part.previous));
    out.close(entry);
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use bson::{Bson, doc};
    use millstream_storage::LogEntry;

    use super::*;
    use crate::entry::{Entry, Form, Target, insert};
    use crate::testing::{buffer, names, tree};

    fn transaction() -> Transaction {
        Transaction { lsid: buffer(&doc! {"id": 1, "uid": 2}), number: 7 }
    }

    fn operation(id: i32, padding: usize) -> Bytes {
        let document = buffer(&doc! {"_id": id, "padding": "x".repeat(padding)});
        let key = buffer(&doc! {"_id": id});
        insert(None, Target { ns: "shop.orders", uuid: Some([3; 16]) }, document.as_doc(), key.as_doc()).into()
    }

    /// The entries of a transaction, one second apart.
    fn entries(operations: &[Bytes]) -> Vec<LogEntry> {
        let ranges = split(operations, usize::MAX);
        let (last, mut previous) = (ranges.len() - 1, ClusterTime::ZERO);
        let mut entries = Vec::new();
        for (at, range) in ranges.into_iter().enumerate() {
            let place = match at {
                0 if last == 0 => Place::Whole,
                _ if at == last => Place::Last { count: operations.len().try_into().unwrap() },
                _ => Place::More,
            };
            let time = ClusterTime::new(5 + u32::try_from(at).unwrap(), 1);
            let bytes =
                apply_ops(Vec::new(), time, 5_000, &transaction(), &operations[range], Part { previous, place });
            entries.push(LogEntry { time, bytes: bytes.into() });
            previous = time;
        }
        entries
    }

    /// CS-11.1.2 and CS-11.1.3.
    #[test]
    fn a_small_transaction_is_one_entry() {
        let operations: Vec<Bytes> = (0..12).map(|id| operation(id, 3)).collect();
        let [entry] = entries(&operations).try_into().unwrap();
        assert_eq!(names(&entry.bytes), "lsid txnNumber op ns o ts t v wall prevOpTime");
        let shown = tree(&entry.bytes);
        assert_eq!(shown.get_document("lsid").unwrap(), &doc! {"id": 1, "uid": 2});
        assert_eq!(shown.get("txnNumber"), Some(&Bson::Int64(7)));
        assert_eq!((shown.get_str("op").unwrap(), shown.get_str("ns").unwrap()), ("c", "admin.$cmd"));
        let none = doc! {"ts": bson::Timestamp { time: 0, increment: 0 }, "t": -1_i64};
        assert_eq!(shown.get_document("prevOpTime").unwrap(), &none);
        let inside: Vec<Bson> = operations.iter().map(|operation| tree(operation).into()).collect();
        assert_eq!(shown.get_document("o").unwrap(), &doc! {"applyOps": inside});
    }

    /// CS-11.1.3.
    #[test]
    fn a_large_transaction_is_a_chain() {
        let operations: Vec<Bytes> = (0..5).map(|id| operation(id, 7 << 20)).collect();
        let entries = entries(&operations);
        let counted = entries.iter().map(|entry| {
            assert!(entry.bytes.len() <= ENTRY_BYTES_MAX);
            let shown = tree(&entry.bytes);
            let o = shown.get_document("o").unwrap();
            let rest = o.iter().skip(1).map(|(name, value)| (name.clone(), value.clone())).collect::<bson::Document>();
            let previous = shown.get_document("prevOpTime").unwrap();
            let (ts, t) = (previous.get_timestamp("ts").unwrap().time, previous.get_i64("t").unwrap());
            (o.get_array("applyOps").unwrap().len(), rest, ts, t)
        });
        let partial = || doc! {"partialTxn": true};
        let expected = [(2, partial(), 0, -1), (2, partial(), 5, 1), (1, doc! {"count": 5_i64}, 6, 1)];
        assert_eq!(counted.collect::<Vec<_>>(), expected);
    }

    /// What was written is found again.
    #[test]
    fn chains_are_read_as_they_were_written() {
        let operations: Vec<Bytes> = (0..5).map(|id| operation(id, 7 << 20)).collect();
        let parts: Vec<Entry> = entries(&operations).into_iter().map(Entry::read).collect();
        let shown: Vec<_> = parts.iter().map(|part| (part.changes().unwrap().len(), part.ends_chain())).collect();
        assert_eq!(shown, [(0, false), (0, false), (1, true)]);
        assert_eq!(parts[1].previous(), Some(parts[0].time()));
        let all = parts.iter().flat_map(|part| part.operations().unwrap()).collect::<Vec<_>>();
        for (change, id) in all.iter().zip(0..) {
            assert_eq!((change.form(), change.ns(), change.index()), (Form::Insert, "shop.orders", id % 2));
            assert_eq!(change.uuid(), Some([3; 16]));
            assert_eq!(change.image(), (parts[id as usize / 2].time(), id % 2));
            assert_eq!(change.o().get("_id").and_then(|id| id.as_integer()), Some(i64::from(id)));
            let (lsid, number) = change.transaction().unwrap();
            assert_eq!((lsid, number), (transaction().lsid.as_doc(), 7));
        }
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn every_operation_is_in_exactly_one_entry() {
        assert!(split(&[], 1).is_empty());
        let small = operation(0, 10);
        let large = operation(1, (16 << 20) - 100);
        assert!(large.len() > ENTRY_BYTES_MAX);
        let at_most = |count_max: usize, operations: &[&Bytes]| {
            split(&operations.iter().map(|&one| one.clone()).collect::<Vec<_>>(), count_max)
        };
        let of = |operations: &[&Bytes]| at_most(usize::MAX, operations);
        assert_eq!(of(&[&small, &small]), vec![0..2]);
        assert_eq!(of(&[&large]), vec![0..1]);
        assert_eq!(of(&[&small, &large, &small, &small]), vec![0..1, 1..2, 2..4]);
        assert_eq!(of(&[&large, &large]), vec![0..1, 1..2]);
        assert_eq!(at_most(2, &[&small; 5]), vec![0..2, 2..4, 4..5]);
        assert_eq!(at_most(5, &[&small; 5]), vec![0..5]);
        assert!(at_most(1, &[&small; 3 * PARTS_MAX]).len() <= PARTS_MAX);
        // The names of the items count too: most of the bytes, where the operations are tiny.
        let many = vec![small; 200_000];
        for (range, entry) in split(&many, usize::MAX).into_iter().zip(entries(&many)) {
            let full = range.end < many.len();
            assert!(entry.bytes.len() <= ENTRY_BYTES_MAX);
            assert!(!full || entry.bytes.len() > ENTRY_BYTES_MAX - 2 * FIXED_BYTES);
        }
    }
}
