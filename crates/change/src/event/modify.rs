//! `modify`: options of a collection or of an index changed.
//!
//! Made by: `{op: "c", o: {collMod: <collection>, <arguments>…}, o2: {collectionOptions_old, indexOptions_old}}`
//! Fields:  `operationDescription` (the arguments), `stateBeforeChange: {collectionOptions, indexOptions}`
//! Source:  CS-1.6.7.

use millstream_value::DocBuf;

use super::{Body, Change, Class, EventType, MadeBy, command_ns};

pub(super) static MODIFY: EventType =
    EventType { name: "modify", class: Class::Expanded, made_by: MadeBy::Commands(&["collMod"]), body };

fn body(change: Change<'_>) -> Body<'_> {
    let mut description = DocBuf::new();
    for argument in change.o().elements().skip(1) {
        description.push_element(argument);
    }
    let mut before = DocBuf::new();
    for (old, shown) in [("collectionOptions_old", "collectionOptions"), ("indexOptions_old", "indexOptions")] {
        if let Some(options) = change.o2().and_then(|o2| o2.element(old)) {
            before.push_as(shown, options);
        }
    }
    Body { ns: command_ns(change), description: Some(description), state_before: Some(before), ..Body::default() }
}
