//! `drop`: a collection is gone.
//!
//! Made by: `{op: "c", o: {drop: <collection>}}`
//! Fields:  no others
//! Source:  CS-1.3, CS-1.5.4.

use super::{Body, Change, Class, EventType, MadeBy, command_ns};

pub(super) static DROP: EventType =
    EventType { name: "drop", class: Class::Classic, made_by: MadeBy::Commands(&["drop"]), body };

fn body(change: Change<'_>) -> Body<'_> {
    Body { ns: command_ns(change), ..Body::default() }
}
