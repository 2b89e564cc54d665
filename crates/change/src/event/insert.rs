//! `insert`: a document came into being.
//!
//! Made by: `{op: "i", o: <document>, o2: <document key>}`
//! Fields:  `fullDocument`, `documentKey`
//! Source:  CS-1.3.

use std::borrow::Cow;

use millstream_value::DocBuf;

use super::{Body, Change, Class, EventType, Form, MadeBy, document_ns};

pub(super) static INSERT: EventType =
    EventType { name: "insert", class: Class::Classic, made_by: MadeBy::Form(Form::Insert), body };

fn body(change: Change<'_>) -> Body<'_> {
    let key = change.o2().map_or_else(|| Cow::Owned(key_of(change)), |key| Cow::Borrowed(key.as_bytes()));
    Body { full_document: Some(change.o()), ns: document_ns(change), document_key: Some(key), ..Body::default() }
}

/// Entries of other servers may lack the key; it is the document's `_id`.
fn key_of(change: Change<'_>) -> Vec<u8> {
    let mut key = DocBuf::new();
    if let Some(id) = change.o().element("_id") {
        key.push_element(id);
    }
    key.into_bytes()
}
