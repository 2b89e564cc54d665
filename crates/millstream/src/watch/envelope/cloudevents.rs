//! `cloudevents`: CloudEvents 1.0 in structured JSON, with the change event as its data.
//!
//! Shape:  `{ specversion, id, source, type, subject, time, datacontenttype, partitionkey, data }`
//! Id:     the text of the resume token, so that an event that comes twice has the same.
//! Source: CloudEvents 1.0.2, its JSON format, and its extension "partitioning".

use millstream_watch::to_json;

use super::object::Object;
use super::{Envelope, simple};

pub(super) const CLOUDEVENTS: Envelope = Envelope {
    name: "cloudevents",
    content_type: "application/cloudevents+json",
    batch_content_type: "application/cloudevents-batch+json",
    wrap: |event, about| {
        let namespace = event.namespace();
        let key = simple::key(event, about.mode);
        let mut object = Object::new()
            .text("specversion", "1.0")
            .text("id", &event.token().data().map_or_else(|| event.token().to_json(), str::to_owned))
            .text("source", &format!("mongodb://{}/{}", about.servers, namespace.replace('.', "/")))
            .text("type", &format!("millstream.change.{}", event.operation()));
        let subject = match &key {
            Some(key) => format!("{namespace}/{key}"),
            None => namespace,
        };
        // Attributes may be left out, but not empty.
        if !subject.is_empty() {
            object = object.text("subject", &subject);
        }
        if let Some(at) = simple::at(event) {
            object = object.text("time", &at);
        }
        object = object.text("datacontenttype", "application/json");
        if let Some(key) = key {
            object = object.text("partitionkey", &key);
        }
        Some(object.json("data", &to_json(event.raw(), about.mode)).end())
    },
};

#[cfg(test)]
mod tests {
    use bson::rawdoc;
    use serde_json::json;

    use super::super::tests::{event, wrapped};

    #[test]
    fn attributes_and_data() {
        let value = wrapped("cloudevents", &event(rawdoc! {"operationType": "delete", "documentKey": {"_id": "k"}}));
        assert_eq!(value["specversion"], "1.0");
        assert_eq!(value["id"], "82AB");
        assert_eq!(value["source"], "mongodb://a:1,b:2/shop/orders");
        assert_eq!(value["type"], "millstream.change.delete");
        assert_eq!(value["subject"], "shop.orders/\"k\"");
        assert_eq!(value["partitionkey"], "\"k\"");
        assert_eq!(value["time"], "2025-08-17T10:45:20.412Z");
        assert_eq!(value["data"]["documentKey"], json!({"_id": "k"}));
        let drop = wrapped("cloudevents", &event(rawdoc! {"operationType": "drop"}));
        assert_eq!(drop["subject"], "shop.orders");
        assert!(drop.get("partitionkey").is_none());
    }
}
