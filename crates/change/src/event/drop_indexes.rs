//! `dropIndexes`: an index is gone.
//!
//! Made by: `{op: "c", o: {dropIndexes: <collection>, index: <name>}, o2: <specification>}`, one for each index
//! Fields:  `operationDescription: {indexes: [<specification>]}`
//! Source:  CS-1.6.5.

use millstream_value::DocBuf;

use super::{Body, Change, Class, EventType, MadeBy, command_ns};

pub(super) static DROP_INDEXES: EventType =
    EventType { name: "dropIndexes", class: Class::Expanded, made_by: MadeBy::Commands(&["dropIndexes"]), body };

fn body(change: Change<'_>) -> Body<'_> {
    let mut description = DocBuf::new();
    description.array("indexes", |indexes| {
        if let Some(index) = change.o2() {
            indexes.push_document(index.as_bytes());
        }
    });
    Body { ns: command_ns(change), description: Some(description), ..Body::default() }
}
