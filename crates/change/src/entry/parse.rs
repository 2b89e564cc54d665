//! From the bytes of an entry to its parts.

use std::sync::OnceLock;

use bytes::Bytes;
use millstream_storage::{ClusterTime, LogEntry};
use millstream_value::{Doc, Element, Value, kind};

use super::{Form, Inner, Operation, Operations, Span, State};
use crate::raw::UUID_SUBTYPE;

pub(super) fn entry(entry: LogEntry) -> Inner {
    let LogEntry { time, bytes } = entry;
    let mut inner = Inner {
        time,
        wall_ms: 0,
        bytes: Bytes::new(),
        transaction: None,
        previous: None,
        state: State::Whole,
        operations: Operations::None,
        commit: OnceLock::new(),
        held: OnceLock::new(),
    };
    if let Err(what) = fill(&mut inner, &bytes) {
        inner.state = State::Damaged(what);
        inner.operations = Operations::None;
    }
    inner.bytes = bytes;
    inner
}

/// The fields of an operation, in an entry of its own or inside `applyOps`.
#[derive(Default)]
struct Fields<'a> {
    op: Option<&'a [u8]>,
    ns: Option<&'a [u8]>,
    uuid: Option<[u8; 16]>,
    o: Option<Doc<'a>>,
    o2: Option<Doc<'a>>,
    from_migrate: bool,
    wall_ms: i64,
    lsid: Option<Doc<'a>>,
    txn_number: Option<i64>,
    previous: ClusterTime,
    multi_op: bool,
}

fn fields(doc: Doc<'_>) -> Fields<'_> {
    let mut found = Fields::default();
    for element in doc.elements() {
        match element.key_bytes() {
            b"op" => found.op = text(element),
            b"ns" => found.ns = text(element),
            b"ui" => found.uuid = uuid(element),
            b"o" => found.o = element.as_doc(),
            b"o2" => found.o2 = element.as_doc(),
            b"wall" if element.kind() == kind::DATE => {
                found.wall_ms = element.bytes().first_chunk().map_or(0, |ms| i64::from_le_bytes(*ms));
            }
            b"lsid" => found.lsid = element.as_doc(),
            b"txnNumber" => found.txn_number = element.value().as_integer(),
            b"prevOpTime" => {
                if let Some(Value::Timestamp(time)) = element.as_doc().and_then(|doc| doc.get("ts")) {
                    found.previous = time;
                }
            }
            b"multiOpType" => found.multi_op = element.value().as_integer() == Some(1),
            b"fromMigrate" => found.from_migrate = element.value().is_truthy(),
            _ => {}
        }
    }
    found
}

/// The bytes of a string. Entries were checked when they were written; whoever shows the text checks it again.
fn text(element: Element<'_>) -> Option<&[u8]> {
    let bytes = element.bytes();
    (element.kind() == kind::STRING).then(|| bytes.get(4..bytes.len().checked_sub(1)?)).flatten()
}

fn uuid(element: Element<'_>) -> Option<[u8; 16]> {
    match (element.kind(), element.bytes()) {
        (kind::BINARY, [16, 0, 0, 0, UUID_SUBTYPE, uuid @ ..]) => uuid.try_into().ok(),
        _ => None,
    }
}

fn fill(inner: &mut Inner, bytes: &[u8]) -> Result<(), &'static str> {
    let found = fields(Doc::new(bytes));
    inner.wall_ms = found.wall_ms;
    let command = found.o.filter(|_| found.op == Some(b"c"));
    let Some(group) = command.and_then(|o| o.elements().next()).filter(|first| first.key_bytes() == b"applyOps") else {
        let operation = operation(&found, bytes, 0)?;
        inner.operations = if found.from_migrate { Operations::None } else { Operations::One([operation]) };
        return Ok(());
    };
    let o = command.unwrap_or(Doc::empty());
    if o.has("partialTxn") || o.has("prepare") {
        inner.state = State::Partial;
    }
    if let (Some(lsid), Some(number), false) = (found.lsid, found.txn_number, found.multi_op) {
        inner.transaction = Some((span(lsid.as_bytes(), bytes), number));
        inner.previous = Some(found.previous).filter(|time| *time > ClusterTime::ZERO);
    }
    let list = group.as_array().ok_or("applyOps is not an array")?;
    // There may be tens of thousands: growing step by step would copy all of them several times.
    let mut operations = Vec::with_capacity(list.elements().count());
    for element in list.elements() {
        let found = fields(element.as_doc().ok_or("an operation is not a document")?);
        let index = u32::try_from(operations.len()).map_err(|_| "too many operations")?;
        operations.push(operation(&found, bytes, index)?);
    }
    inner.operations = Operations::Many(operations);
    Ok(())
}

fn operation(found: &Fields<'_>, bytes: &[u8], index: u32) -> Result<Operation, &'static str> {
    let o = found.o.ok_or("no o")?;
    let ns = found.ns.ok_or("no ns")?;
    let form = match found.op {
        Some(b"i") => Form::Insert,
        Some(b"u") => update_form(o),
        Some(b"d") => Form::Delete,
        Some(b"c") => Form::Command,
        Some(b"n") => Form::Noop,
        _ => return Err("no op"),
    };
    Ok(Operation {
        form,
        ns: span(ns, bytes),
        db_bytes: short(ns.iter().position(|&byte| byte == b'.').unwrap_or(ns.len())),
        uuid: found.uuid,
        o: span(o.as_bytes(), bytes),
        o2: found.o2.map(|o2| span(o2.as_bytes(), bytes)),
        index,
        made: OnceLock::new(),
    })
}

/// CS-2.1.2.
fn update_form(o: Doc<'_>) -> Form {
    match o.element("$v") {
        Some(version) if version.value().as_integer() == Some(2) => match o.element("diff") {
            Some(diff) if diff.kind() == kind::DOCUMENT => Form::Update,
            _ => Form::Unknown,
        },
        None if o.has("_id") => Form::Replace,
        _ => Form::Unknown,
    }
}

/// Where `part` lies in `whole`, which it was taken from.
fn span(part: &[u8], whole: &[u8]) -> Span {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    Span { start: short(start), end: short(start + part.len()) }
}

/// A place in an entry, which is no longer than a document can be.
fn short(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
