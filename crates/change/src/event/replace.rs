//! `replace`: a document took another's place under the same `_id`.
//!
//! Made by: `{op: "u", o: <document>, o2: <document key>}`
//! Fields:  `fullDocument`, `documentKey`
//! Source:  CS-1.3, CS-2.1.2.

use std::borrow::Cow;

use super::{Body, Change, Class, EventType, Form, MadeBy, document_ns};

pub(super) static REPLACE: EventType =
    EventType { name: "replace", class: Class::Classic, made_by: MadeBy::Form(Form::Replace), body };

fn body(change: Change<'_>) -> Body<'_> {
    let key = change.o2().map(|key| Cow::Borrowed(key.as_bytes()));
    Body { full_document: Some(change.o()), ns: document_ns(change), document_key: key, ..Body::default() }
}
