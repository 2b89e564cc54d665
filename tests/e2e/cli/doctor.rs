//! `millstream doctor`: whether a server is fit to be watched.

use bson::doc;
use serde_json::Value;

use super::watch::{event, failure};
use crate::support::Server;
use crate::support::server::{free_port, millstream};

#[test]
fn a_fresh_engine_is_well() {
    let server = Server::memory();
    let mut connection = server.connect();
    let create = doc! {"create": "orders", "changeStreamPreAndPostImages": {"enabled": true}};
    connection.command("shop", create).unwrap();
    let mut command = millstream();
    command.args(["doctor", "--db", "shop", "--round-trip", "--format", "json", "--uri", &server.uri()]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let found: Vec<Value> = text.lines().map(event).collect();
    let names: Vec<_> = found.iter().map(|finding| finding["check"].as_str().unwrap()).collect();
    assert_eq!(names, ["reachable", "version", "topology", "clock", "rights", "log", "images", "round trip"]);
    let text_of = |name| found.iter().find(|finding| finding["check"] == name).unwrap()["text"].as_str().unwrap();
    assert!(text_of("topology").contains("replica set rs0"), "{text}");
    assert!(text_of("images").contains("1 of 1 collections of shop keep images: orders"), "{text}");
    assert!(text_of("round trip").contains("ms"), "{text}");
    assert!(found.iter().all(|finding| finding["level"] != "fail"), "{text}");
    assert_eq!(output.status.code(), Some(0));
    // Nothing is left behind.
    let reply = connection.command("shop", doc! {"listCollections": 1, "nameOnly": true}).unwrap();
    assert_eq!(reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap().len(), 1);
    let output = millstream().args(["doctor", "--uri", &server.uri()]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("ok    reachable"));
}

#[test]
fn nobody_there_is_one_sentence() {
    let uri = format!("mongodb://127.0.0.1:{}/?serverSelectionTimeoutMS=300", free_port());
    let text = failure(&["doctor", "--uri", &uri]);
    assert_eq!(text.trim().lines().count(), 1, "{text}");
}
