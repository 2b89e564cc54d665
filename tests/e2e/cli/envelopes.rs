//! `millstream watch --envelope`, several collections, and numbers on standard error.

use serde_json::json;

use super::watch::{event, failure, settle, watch, write};
use crate::support::Server;

#[test]
fn several_collections_come_in_one_order() {
    let server = Server::memory();
    let arguments = [
        "--db",
        "shop",
        "-c",
        "orders,items",
        "-c",
        "more",
        "--envelope",
        "simple",
        "--format",
        "json",
        "--limit",
        "9",
    ];
    let mut watch = watch(&server, &arguments);
    settle(&mut watch);
    let mut connection = server.connect();
    for collection in ["items", "others", "orders", "more"] {
        write(&mut connection, collection);
    }
    let lines: Vec<_> = watch.succeed().iter().map(|line| event(line)).collect();
    let seen: Vec<_> = lines.iter().map(|line| (line["ns"].clone(), line["op"].clone())).collect();
    let expected: Vec<_> = ["shop.items", "shop.orders", "shop.more"]
        .iter()
        .flat_map(|ns| ["insert", "update", "delete"].map(|op| (json!(ns), json!(op))))
        .collect();
    assert_eq!(seen, expected);
    assert_eq!(lines[0]["document"], json!({"_id": 1, "n": 1}));
    assert_eq!(lines[2]["key"], 1);
}

#[test]
fn envelopes_are_those_of_other_programs() {
    let server = Server::memory();
    let flags = ["--db", "shop", "-c", "orders", "--format", "json", "--limit", "3", "--envelope"];
    let mut cloudevents = watch(&server, &[&flags[..], &["cloudevents"]].concat());
    let mut debezium = watch(&server, &[&flags[..], &["debezium", "--full-document", "updateLookup"]].concat());
    settle(&mut cloudevents);
    settle(&mut debezium);
    write(&mut server.connect(), "orders");
    let lines: Vec<_> = cloudevents.succeed().iter().map(|line| event(line)).collect();
    assert_eq!(lines[0]["type"], "millstream.change.insert");
    assert_eq!(lines[0]["source"], format!("mongodb://{}/shop/orders", server.address()));
    assert_eq!(lines[1]["data"]["updateDescription"]["updatedFields"], json!({"n": 2}));
    assert_eq!(lines[2]["id"], lines[2]["data"]["_id"]["_data"]);
    let lines: Vec<_> = debezium.succeed().iter().map(|line| event(line)).collect();
    let ops: Vec<_> = lines.iter().map(|line| line["op"].clone()).collect();
    assert_eq!(ops, ["c", "u", "d"]);
    assert_eq!(event(lines[0]["after"].as_str().unwrap()), json!({"_id": 1, "n": 1}));
    assert_eq!(lines[2]["key"]["id"], "1");

    let text = failure(&["watch", "--uri", &server.uri(), "--envelope", "debezum"]);
    assert!(text.contains("did you mean `debezium`?"), "{text}");
}

#[test]
fn numbers_are_shown_as_a_table() {
    let server = Server::memory();
    let mut watch = watch(&server, &["--db", "shop", "--format", "json", "--limit", "3", "--stats", "table"]);
    settle(&mut watch);
    write(&mut server.connect(), "orders");
    assert_eq!(watch.succeed().len(), 3);
    let errors = watch.errors.join("\n");
    for part in ["insert", "update", "delete", "dealt with", "running for"] {
        assert!(errors.contains(part), "{part} in {errors}");
    }
}
