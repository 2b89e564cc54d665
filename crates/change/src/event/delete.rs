//! `delete`: a document is gone.
//!
//! Made by: `{op: "d", o: <document key>}`
//! Fields:  `documentKey`
//! Source:  CS-1.3.

use std::borrow::Cow;

use super::{Body, Change, Class, EventType, Form, MadeBy, document_ns};

pub(super) static DELETE: EventType =
    EventType { name: "delete", class: Class::Classic, made_by: MadeBy::Form(Form::Delete), body };

fn body(change: Change<'_>) -> Body<'_> {
    let key = Some(Cow::Borrowed(change.o().as_bytes()));
    Body { ns: document_ns(change), document_key: key, ..Body::default() }
}
