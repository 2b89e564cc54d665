//! `create`: a collection came into being.
//!
//! Made by: `{op: "c", o: {create: <collection>, <options>…, idIndex: <specification>}}`
//! Fields:  `operationDescription` (the options as stored), `nsType`
//! Source:  CS-1.6.1 to CS-1.6.3.

use millstream_value::DocBuf;

use super::{Body, Change, Class, EventType, MadeBy, command_ns};

pub(super) static CREATE: EventType =
    EventType { name: "create", class: Class::Expanded, made_by: MadeBy::Commands(&["create"]), body };

fn body(change: Change<'_>) -> Body<'_> {
    let mut description = DocBuf::new();
    for option in change.o().elements().skip(1).filter(|option| option.key_bytes() != b"uuid") {
        description.push_element(option);
    }
    Body { ns: command_ns(change), description: Some(description), ns_type: Some("collection"), ..Body::default() }
}
