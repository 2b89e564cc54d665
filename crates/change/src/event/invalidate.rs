//! `invalidate`: what the stream watches is gone, and so is the stream.
//!
//! Made by: the stream itself, after the event that caused it
//! Fields:  `_id`, `operationType`, `clusterTime`, `wallTime` and no others, whatever the options
//! Source:  CS-1.3, CS-7.

use super::{Body, Class, EventType, MadeBy};

pub(super) static INVALIDATE: EventType =
    EventType { name: "invalidate", class: Class::Classic, made_by: MadeBy::Stream, body: |_| Body::default() };
