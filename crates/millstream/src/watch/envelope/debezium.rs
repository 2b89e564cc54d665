//! `debezium`: the message of Debezium's MongoDB connector, without its schema.
//!
//! Shape:  `{ key: { id }, before, after, updateDescription, source, op, ts_ms, transaction }`; documents are texts of
//!         Extended JSON, as they are there. What is the key of a Kafka message is the field `key`.
//! Op:     `c` insert, `u` update and replace, `d` delete, `r` a document of a snapshot.
//! Absent: events that concern no document; Debezium has none for them.
//! Source: Debezium 2.7 documentation, "MongoDB connector", change events.

use bson::{RawBsonRef, RawDocument};
use millstream_watch::{Event, to_json, value_to_json};

use super::object::Object;
use super::{About, Envelope, simple};

pub(super) const DEBEZIUM: Envelope = Envelope {
    name: "debezium",
    content_type: "application/json",
    batch_content_type: "application/json",
    wrap: |event, about| {
        let is_snapshot = event.field("snapshot") == Some(RawBsonRef::Boolean(true));
        let op = match event.operation() {
            "insert" if is_snapshot => "r",
            "insert" => "c",
            "update" | "replace" => "u",
            "delete" => "d",
            _ => return None,
        };
        let document = |name| match event.field(name) {
            Some(RawBsonRef::Document(document)) => Some(to_json(document, about.mode)),
            _ => None,
        };
        let update = match event.field("updateDescription") {
            Some(RawBsonRef::Document(update)) => Some(update_description(update, about)),
            _ => None,
        };
        let key = Object::new().text_or_null("id", simple::key(event, about.mode).as_deref()).end();
        let object = Object::new()
            .json("key", &key)
            .text_or_null("before", document("fullDocumentBeforeChange").as_deref())
            .text_or_null("after", document("fullDocument").as_deref())
            .json_or_null("updateDescription", update.as_deref())
            .json("source", &source(event, about, is_snapshot))
            .text("op", op)
            .number("ts_ms", bson::DateTime::now().timestamp_millis())
            .json("transaction", "null");
        Some(object.end())
    },
};

fn update_description(update: &RawDocument, about: &About) -> String {
    let array = |name| match update.get_array(name) {
        Ok(array) if !array.is_empty() => Some(value_to_json(RawBsonRef::Array(array), about.mode)),
        _ => None,
    };
    let updated = update.get_document("updatedFields").ok().map(|fields| to_json(fields, about.mode));
    Object::new()
        .json_or_null("removedFields", array("removedFields").as_deref())
        .text_or_null("updatedFields", updated.as_deref())
        .json_or_null("truncatedArrays", array("truncatedArrays").as_deref())
        .end()
}

fn source(event: &Event, about: &About, is_snapshot: bool) -> String {
    let namespace = event.namespace();
    let (database, collection) = namespace.split_once('.').unwrap_or((&namespace, ""));
    let wall = event.wall_time().map_or(0, bson::DateTime::timestamp_millis);
    let session = event.field("lsid").map(|id| value_to_json(id, about.mode));
    let number = match event.field("txnNumber") {
        Some(RawBsonRef::Int64(number)) => Some(number.to_string()),
        _ => None,
    };
    Object::new()
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("connector", "mongodb")
        .text("name", &about.watcher)
        .number("ts_ms", wall)
        .text("snapshot", if is_snapshot { "true" } else { "false" })
        .text("db", database)
        .json("sequence", "null")
        .text("collection", collection)
        .number("ord", event.cluster_time().map_or(0, |time| i64::from(time.increment)))
        .text_or_null("lsid", session.as_deref())
        .json_or_null("txnNumber", number.as_deref())
        .number("wallTime", wall)
        .end()
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;
    use serde_json::json;

    use super::super::tests::{event, wrapped};

    #[test]
    fn an_update_has_its_description_and_both_documents() {
        let update = event(rawdoc! {
            "operationType": "update", "documentKey": {"_id": 7},
            "fullDocument": {"_id": 7, "n": 2}, "fullDocumentBeforeChange": {"_id": 7, "n": 1},
            "updateDescription": {"updatedFields": {"n": 2}, "removedFields": ["x"], "truncatedArrays": []},
            "txnNumber": 5_i64,
        });
        let value = wrapped("debezium", &update);
        assert_eq!(value["op"], "u");
        assert_eq!(value["key"], json!({"id": "7"}));
        assert_eq!(value["before"], r#"{"_id":7,"n":1}"#);
        assert_eq!(value["after"], r#"{"_id":7,"n":2}"#);
        let description = json!({"removedFields": ["x"], "updatedFields": r#"{"n":2}"#, "truncatedArrays": null});
        assert_eq!(value["updateDescription"], description);
        let source = &value["source"];
        assert_eq!((&source["db"], &source["collection"]), (&json!("shop"), &json!("orders")));
        assert_eq!((&source["ts_ms"], &source["ord"]), (&json!(1_755_427_520_412_i64), &json!(7)));
        assert_eq!((&source["name"], &source["txnNumber"]), (&json!("mailer"), &json!(5)));
        assert!(value["ts_ms"].is_i64());
    }

    #[test]
    fn kinds_have_letters() {
        let op = |operation: &str, snapshot: bool| {
            let change = rawdoc! {"operationType": operation, "snapshot": snapshot, "documentKey": {"_id": 7}};
            wrapped("debezium", &event(change))["op"].clone()
        };
        assert_eq!(
            [op("insert", false), op("insert", true), op("replace", false), op("delete", false)],
            ["c", "r", "u", "d"]
        );
    }
}
