//! `rename`: a collection has a new name.
//!
//! Made by: `{op: "c", o: {renameCollection: <from>, to: <to>, dropTarget: <uuid>}}`
//! Fields:  `to`; expanded: `operationDescription: {to, dropTarget}`, the latter only if a collection was in the way
//! Source:  CS-1.3, CS-1.5.2.

use millstream_value::{DocBuf, kind};

use super::{Body, Change, Class, EventType, MadeBy};

pub(super) static RENAME: EventType =
    EventType { name: "rename", class: Class::Classic, made_by: MadeBy::Commands(&["renameCollection"]), body };

fn body(change: Change<'_>) -> Body<'_> {
    let [from, to] = change.renamed().unwrap_or_default();
    let mut description = DocBuf::new();
    description.nest("to", |doc| {
        doc.push("db", to.0).push("coll", to.1);
    });
    if let Some(target) = change.o().element("dropTarget").filter(|target| target.kind() == kind::BINARY) {
        description.push_element(target);
    }
    Body { to: Some(to), ns: (from.0, Some(from.1)), description: Some(description), ..Body::default() }
}
