//! `createIndexes`: indexes came into being.
//!
//! Made by: `{op: "c", o: {createIndexes: <collection>, v, key, name, …}}` on an empty collection,
//!          `{op: "c", o: {commitIndexBuild: <collection>, indexes: [<specification>…]}}` on any other
//! Fields:  `operationDescription: {indexes: [<specification>…]}`
//! Source:  CS-1.6.4, CS-1.6.6.

use millstream_value::{DocBuf, kind};

use super::{Body, Change, Class, EventType, MadeBy, command_ns};

pub(super) static CREATE_INDEXES: EventType = EventType {
    name: "createIndexes",
    class: Class::Expanded,
    made_by: MadeBy::Commands(&["commitIndexBuild", "createIndexes"]),
    body,
};

fn body(change: Change<'_>) -> Body<'_> {
    let mut description = DocBuf::new();
    match change.o().element("indexes").filter(|indexes| indexes.kind() == kind::ARRAY) {
        Some(indexes) => {
            description.push_element(indexes);
        }
        None => {
            let mut index = DocBuf::new();
            for field in change.o().elements().skip(1) {
                index.push_element(field);
            }
            description.array("indexes", |indexes| {
                indexes.push_document(index.as_bytes());
            });
        }
    }
    Body { ns: command_ns(change), description: Some(description), ..Body::default() }
}
