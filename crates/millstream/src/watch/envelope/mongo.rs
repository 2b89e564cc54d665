//! `mongo`: the change event as it came, as Extended JSON.

use millstream_watch::to_json;

use super::Envelope;

pub(super) const MONGO: Envelope = Envelope {
    name: "mongo",
    content_type: "application/json",
    batch_content_type: "application/json",
    wrap: |event, about| Some(to_json(event.raw(), about.mode)),
};
