//! `update`: some fields of a document changed.
//!
//! Made by: `{op: "u", o: {$v: 2, diff: <delta>}, o2: <document key>}`
//! Fields:  `documentKey`, `updateDescription` or `rawUpdateDescription`; `fullDocument` if it was asked for
//! Source:  CS-1.3, CS-2.6, CS-4.4, CS-4.5.

use std::borrow::Cow;

use super::{Body, Change, Class, EventType, Form, MadeBy, document_ns};

pub(super) static UPDATE: EventType =
    EventType { name: "update", class: Class::Classic, made_by: MadeBy::Form(Form::Update), body };

fn body(change: Change<'_>) -> Body<'_> {
    let key = change.o2().map(|key| Cow::Borrowed(key.as_bytes()));
    Body { ns: document_ns(change), document_key: key, delta: Some(change.o()), ..Body::default() }
}
