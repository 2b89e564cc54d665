//! `create`, `modify` and `drop` of a view.
//!
//! Made by: inserts into, replacements in and deletes from `<db>.system.views`: `{_id: <db>.<view>, viewOn, pipeline}`
//! Fields:  of `create` and `modify`: `operationDescription: {viewOn, pipeline, [collation]}`; of `create`: `nsType`
//! Absent:  `collectionUUID`: the UUID in the entry is that of `system.views`
//! Source:  CS-1.7.

use millstream_value::DocBuf;

use super::{Body, Change, Class, EventType, Form, MadeBy};

pub(super) static CREATE: EventType = EventType {
    name: "create",
    class: Class::Expanded,
    made_by: MadeBy::Definition(Form::Insert),
    body: |change| Body { ns_type: Some("view"), ..defined(change) },
};

pub(super) static DROP: EventType =
    EventType { name: "drop", class: Class::Expanded, made_by: MadeBy::Definition(Form::Delete), body: named };

pub(super) static MODIFY: EventType =
    EventType { name: "modify", class: Class::Expanded, made_by: MadeBy::Definition(Form::Replace), body: defined };

/// The type of the event that a change of `system.views` makes, if it names a view.
pub(super) fn of(change: Change<'_>) -> Option<&'static EventType> {
    change.view()?;
    match change.form() {
        Form::Insert => Some(&CREATE),
        Form::Replace => Some(&MODIFY),
        Form::Delete => Some(&DROP),
        Form::Update | Form::Command | Form::Noop | Form::Unknown => None,
    }
}

fn named(change: Change<'_>) -> Body<'_> {
    let (db, coll) = change.view().unwrap_or_default();
    Body { ns: (db, Some(coll)), is_view: true, ..Body::default() }
}

fn defined(change: Change<'_>) -> Body<'_> {
    let mut description = DocBuf::new();
    for field in change.o().elements().filter(|field| field.key_bytes() != b"_id") {
        description.push_element(field);
    }
    Body { description: Some(description), ..named(change) }
}
