//! `simple`: the five things that most programs want to know.
//!
//! Shape: `{ op, ns, key, document, at }`; `key` is the `_id`, or the whole document key of a sharded collection, and
//!        what an event does not have is null.

use bson::{DateTime, RawBsonRef};
use millstream_watch::{Event, JsonMode, value_to_json};

use super::Envelope;
use super::object::Object;

pub(super) const SIMPLE: Envelope = Envelope {
    name: "simple",
    content_type: "application/json",
    batch_content_type: "application/json",
    wrap: |event, about| {
        let document = event.field("fullDocument").map(|document| value_to_json(document, about.mode));
        let object = Object::new()
            .text("op", event.operation())
            .text("ns", &event.namespace())
            .json_or_null("key", key(event, about.mode).as_deref())
            .json_or_null("document", document.as_deref())
            .text_or_null("at", at(event).as_deref());
        Some(object.end())
    },
};

/// The `_id` where that is the whole key, else the key.
pub(crate) fn key(event: &Event, mode: JsonMode) -> Option<String> {
    let key = event.document_key()?;
    match key.get("_id") {
        Ok(Some(id)) if key.iter().count() == 1 => Some(value_to_json(id, mode)),
        _ => Some(value_to_json(RawBsonRef::Document(key), mode)),
    }
}

/// When the change was made, as RFC 3339 has it.
pub(super) fn at(event: &Event) -> Option<String> {
    event.wall_time().map(DateTime::try_to_rfc3339_string)?.ok()
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;
    use serde_json::json;

    use super::super::tests::{event, wrapped};

    #[test]
    fn five_fields_always() {
        let insert =
            event(rawdoc! {"operationType": "insert", "documentKey": {"_id": 7}, "fullDocument": {"_id": 7, "n": 1}});
        assert_eq!(
            wrapped("simple", &insert),
            json!({
                "op": "insert", "ns": "shop.orders", "key": 7, "document": {"_id": 7, "n": 1},
                "at": "2025-08-17T10:45:20.412Z",
            })
        );
        let sharded = event(rawdoc! {"operationType": "delete", "documentKey": {"region": "eu", "_id": 7}});
        let value = wrapped("simple", &sharded);
        assert_eq!(value["key"], json!({"region": "eu", "_id": 7}));
        assert_eq!(value["document"], json!(null));
    }
}
