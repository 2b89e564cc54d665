//! The families without streams of their own: each case is a few commands.

use bson::{Bson, Document, doc};

use super::Family;
use super::scenario::Stream;
use crate::support::Connection;

/// The database that these families were recorded in.
const DB: &str = "gold_crud";

/// Fills the collections that cases name.
pub(super) fn load_data(connection: &mut Connection, family: &Family) {
    for (name, documents) in &family.data {
        let reply = send(connection, doc! {"insert": name, "documents": documents.clone()});
        assert!(reply.get("writeErrors").is_none() && !reply.contains_key("error"), "{name}: {reply}");
    }
}

/// An update of a collection that holds `before`.
pub(super) fn update(connection: &mut Connection, input: &Bson) -> Bson {
    let input = input.as_document().expect("an input");
    send(connection, doc! {"dropDatabase": 1});
    let before = input.get_array("before").expect("before").clone();
    send(connection, doc! {"create": "upd"});
    if !before.is_empty() {
        send(connection, doc! {"insert": "upd", "documents": before});
    }
    let (mut stream, _) = Stream::open(connection, DB, "upd".into(), None, &[], &Document::new());
    let mut statement = input.clone();
    statement.remove("before");
    let reply = send(connection, doc! {"update": "upd", "updates": [statement]});
    let after = all(connection, doc! {"find": "upd"});
    let events = stream.drain(connection);
    Bson::Document(doc! {
        "reply": reply,
        "after": after.get("docs").cloned().unwrap_or(Bson::Null),
        "events": events.get("events").cloned().unwrap_or(Bson::Null),
    })
}

/// Commands one after the other on an empty database.
pub(super) fn commands(connection: &mut Connection, input: &Bson) -> Bson {
    send(connection, doc! {"dropDatabase": 1});
    let mut replies = Vec::new();
    for command in input.as_array().expect("commands") {
        let command = command.as_document().expect("a command").clone();
        let name = command.keys().next().expect("a name").clone();
        let reply = send(connection, command);
        replies.push(Bson::Document(doc! {name: reply}));
    }
    Bson::Document(doc! {"replies": replies})
}

pub(super) fn query(connection: &mut Connection, input: &Bson) -> Bson {
    let input = input.as_document().expect("an input");
    let found = all(
        connection,
        doc! {
            "find": input.get_str("set").expect("a set"),
            "filter": input.get("filter").cloned(),
            "projection": {"_id": 1},
            "sort": {"_id": 1},
        },
    );
    let Some(Bson::Array(docs)) = found.get("docs") else {
        return Bson::Document(found);
    };
    let ids: Vec<Bson> = docs.iter().filter_map(|found| found.as_document()?.get("_id").cloned()).collect();
    Bson::Document(doc! {"ids": ids})
}

pub(super) fn find(connection: &mut Connection, input: &Bson) -> Bson {
    let input = input.as_document().expect("an input");
    let mut command = doc! {"find": input.get_str("set").expect("a set")};
    command.extend(input.get_document("options").expect("options").clone());
    Bson::Document(all(connection, command))
}

pub(super) fn aggregate(connection: &mut Connection, input: &Bson) -> Bson {
    let input = input.as_document().expect("an input");
    let set = input.get_str("set").expect("a set");
    let pipeline = input.get_array("pipeline").expect("a pipeline").clone();
    Bson::Document(all(connection, doc! {"aggregate": set, "pipeline": pipeline, "cursor": {}}))
}

pub(super) fn expression(connection: &mut Connection, input: &Bson) -> Bson {
    let input = input.as_document().expect("an input");
    let expression = input.get("expression").cloned();
    let pipeline = vec![doc! {"$project": {"_id": 0, "r": expression}}];
    let set = input.get_str("set").expect("a set");
    Bson::Document(all(connection, doc! {"aggregate": set, "pipeline": pipeline, "cursor": {}}))
}

fn send(connection: &mut Connection, command: Document) -> Document {
    super::scenario::send(connection, DB, command)
}

/// All batches of a cursor as `{docs}`, or the error.
fn all(connection: &mut Connection, command: Document) -> Document {
    let collection = command.values().next().and_then(Bson::as_str).unwrap_or_default().to_owned();
    // A getMore takes the whole rest unless the case is about one batch.
    let mut reply = send(connection, command);
    let mut docs = Vec::new();
    loop {
        let Ok(cursor) = reply.get_document("cursor") else {
            return reply;
        };
        let batch = cursor.get_array("firstBatch").or(cursor.get_array("nextBatch"));
        docs.extend(batch.cloned().unwrap_or_default());
        let id = cursor.get_i64("id").expect("an int64 cursor id");
        if id == 0 {
            return doc! {"docs": docs};
        }
        reply = send(connection, doc! {"getMore": id, "collection": &collection});
    }
}
