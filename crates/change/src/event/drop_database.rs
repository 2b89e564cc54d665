//! `dropDatabase`: a database is gone, after its collections.
//!
//! Made by: `{op: "c", o: {dropDatabase: 1}}`
//! Fields:  `ns` is `{db}` only
//! Source:  CS-1.3, CS-2.2.

use super::{Body, Change, Class, EventType, MadeBy};

pub(super) static DROP_DATABASE: EventType =
    EventType { name: "dropDatabase", class: Class::Classic, made_by: MadeBy::Commands(&["dropDatabase"]), body };

fn body(change: Change<'_>) -> Body<'_> {
    Body { ns: (change.db(), None), ..Body::default() }
}
