//! `millstream watch`: what is shown: formats, filters, checkpoints, and sentences for what goes wrong.

use bson::doc;
use serde_json::{Value, json};

use crate::support::programs::Program;
use crate::support::server::{free_port, millstream, signal};
use crate::support::{Connection, Server};

#[test]
fn json_has_one_event_a_line() {
    let server = Server::memory();
    let mut watch = watch(&server, &["--db", "shop", "--collection", "orders", "--format", "json"]);
    let mut connection = server.connect();
    settle(&mut watch);
    write(&mut connection, "orders");
    write(&mut connection, "other");
    let events: Vec<Value> = (0..3).map(|_| event(&watch.must_line())).collect();
    let types: Vec<_> = events.iter().map(|event| event["operationType"].clone()).collect();
    assert_eq!(types, ["insert", "update", "delete"]);
    assert_eq!(events[0]["ns"], json!({"db": "shop", "coll": "orders"}));
    // Ctrl-C: what it saw, by type.
    signal(&watch.child, "-INT");
    let (rest, status) = watch.finish();
    assert!(status.success(), "{status}");
    let summary = format!("{}\n{}", rest.join("\n"), watch.errors.join("\n"));
    for part in ["insert", "update", "delete", "3"] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
}

#[test]
fn scopes_operations_and_pipelines_choose() {
    let server = Server::memory();
    let mut database = watch(&server, &["--db", "shop", "--operations", "delete", "--format", "json"]);
    let mut all = watch(&server, &["--all", "--format", "json", "--pipeline", r#"[{"$match": {"ns.coll": "other"}}]"#]);
    settle(&mut database);
    settle(&mut all);
    let mut connection = server.connect();
    write(&mut connection, "orders");
    write(&mut connection, "other");
    for collection in ["orders", "other"] {
        let event = event(&database.must_line());
        assert_eq!(event["operationType"], "delete");
        assert_eq!(event["ns"]["coll"], collection);
    }
    for operation in ["insert", "update", "delete"] {
        let event = event(&all.must_line());
        assert_eq!((&event["operationType"], &event["ns"]["coll"]), (&json!(operation), &json!("other")));
    }
}

#[test]
fn full_documents_and_images_can_be_asked_for() {
    let server = Server::memory();
    let mut connection = server.connect();
    let create = doc! {"create": "orders", "changeStreamPreAndPostImages": {"enabled": true}};
    connection.command("shop", create).unwrap();
    let mut watch = watch(
        &server,
        &[
            "--db",
            "shop",
            "--collection",
            "orders",
            "--format",
            "json",
            "--full-document",
            "required",
            "--before",
            "required",
        ],
    );
    settle(&mut watch);
    write(&mut connection, "orders");
    watch.must_line();
    let update = event(&watch.must_line());
    assert_eq!(update["fullDocument"], json!({"_id": 1, "n": 2}));
    assert_eq!(update["fullDocumentBeforeChange"], json!({"_id": 1, "n": 1}));
}

#[test]
fn a_checkpoint_resumes_without_loss_or_repeat() {
    let server = Server::durable();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checkpoint");
    let arguments = ["--db", "shop", "--collection", "c", "--format", "json", "--checkpoint", file.to_str().unwrap()];
    let mut connection = server.connect();
    let mut insert = |id: i32| {
        let insert = doc! {"insert": "c", "documents": [{"_id": id}]};
        connection.command("shop", insert).unwrap();
    };
    let mut seen = Vec::new();
    let mut first = watch(&server, &arguments);
    settle(&mut first);
    for id in 0..4 {
        insert(id);
        seen.push(event(&first.must_line())["documentKey"]["_id"].as_i64());
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    signal(&first.child, "-KILL");
    first.finish();
    for id in 4..8 {
        insert(id);
    }
    let mut second = watch(&server, &arguments);
    for _ in 4..8 {
        seen.push(event(&second.must_line())["documentKey"]["_id"].as_i64());
    }
    assert_eq!(seen, (0..8).map(Some).collect::<Vec<_>>());
}

/// CS-5.6.9, CS-13.30: also when the server goes away a second time, just as the stream is opened again.
#[test]
fn a_failure_while_resuming_repeats_nothing() {
    let server = Server::with(&["--memory", "--test-commands"]);
    let mut connection = server.connect();
    let insert = |id: i32| doc! {"insert": "orders", "documents": [{"_id": id}]};
    let reply = connection.command("shop", insert(1)).unwrap();
    let start = reply.get_timestamp("operationTime").unwrap();
    let start = format!("{}:{}", start.time, start.increment);
    let mut watch = watch(&server, &["--db", "shop", "--format", "json", "--start-at", &start]);
    assert_eq!(event(&watch.must_line())["documentKey"]["_id"], 1);
    let fail = doc! {
        "configureFailPoint": "failCommand",
        "mode": {"times": 2},
        "data": {"failCommands": ["getMore", "aggregate"], "closeConnection": true},
    };
    let reply = connection.command("admin", fail).unwrap();
    assert_eq!(reply.get_f64("ok").ok(), Some(1.0), "{reply}");
    for id in [2, 3] {
        connection.command("shop", insert(id)).unwrap();
        assert_eq!(event(&watch.must_line())["documentKey"]["_id"], id);
    }
}

#[test]
fn a_snapshot_comes_first_and_is_resumed_in_between() {
    let server = Server::durable();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checkpoint");
    let mut connection = server.connect();
    let documents: Vec<_> = (0..5).map(|id| doc! {"_id": id}).collect();
    connection.command("shop", doc! {"insert": "c", "documents": documents}).unwrap();
    let flags = ["--snapshot", "--db", "shop", "--collection", "c", "--format", "json", "--checkpoint"];
    let arguments = [&flags[..], &[file.to_str().unwrap()]].concat();
    let line = |watch: &mut Program| {
        let event = event(&watch.must_line());
        (event["documentKey"]["_id"].as_i64().unwrap(), event["snapshot"] == json!(true))
    };
    let mut first = watch(&server, &[&arguments[..], &["--limit", "2"]].concat());
    assert_eq!([line(&mut first), line(&mut first)], [(0, true), (1, true)]);
    assert!(first.finish().1.success());
    for id in [0, 4] {
        let update = doc! {"update": "c", "updates": [{"q": {"_id": id}, "u": {"$set": {"n": 1}}}]};
        connection.command("shop", update).unwrap();
    }
    let mut second = watch(&server, &arguments);
    let rest: Vec<_> = (0..4).map(|_| line(&mut second)).collect();
    assert_eq!(rest, [(0, false), (2, true), (3, true), (4, true)]);
    connection.command("shop", doc! {"insert": "c", "documents": [{"_id": 9}]}).unwrap();
    assert_eq!(line(&mut second), (9, false));
}

#[test]
fn pretty_and_table_are_for_people() {
    let server = Server::memory();
    for format in ["pretty", "table"] {
        let mut watch = watch(&server, &["--db", format, "--collection", "c", "--format", format]);
        settle(&mut watch);
        let insert = doc! {"insert": "c", "documents": [{"_id": "k1"}]};
        server.connect().command(format, insert).unwrap();
        let mut text = String::new();
        while !(text.contains("insert") && text.contains("k1")) {
            text.push_str(&watch.must_line());
        }
    }
}

#[test]
fn what_goes_wrong_is_one_sentence() {
    let port = free_port();
    let nobody = format!("mongodb://127.0.0.1:{port}/?replicaSet=rs0&serverSelectionTimeoutMS=500");
    let text = failure(&["watch", "--uri", &nobody, "--db", "shop"]);
    assert!(text.contains(&port.to_string()), "{text}");
    assert_eq!(text.trim().lines().count(), 1, "{text}");

    let server = Server::memory();
    let token = "826894A5C7000000012B042C0100296E5A1004";
    let text = failure(&["watch", "--uri", &server.uri(), "--db", "shop", "--resume-after", token]);
    assert!(text.to_lowercase().contains("token"), "{text}");
    assert_eq!(text.trim().lines().count(), 1, "{text}");

    let text = failure(&["watch", "--uri", &server.uri(), "--db", "shop", "--pipeline", "[{"]);
    assert!(text.contains("pipeline"), "{text}");
}

#[test]
fn the_uri_comes_from_the_flag_then_the_environment() {
    let server = Server::memory();
    for name in ["MONGO_URL", "CHANGE_STREAM_DB"] {
        let mut command = millstream();
        command.args(["watch", "--db", "shop", "--format", "json"]).env(name, server.uri());
        let mut watch = Program::start(name, &mut command);
        settle(&mut watch);
        write(&mut server.connect(), "orders");
        assert_eq!(event(&watch.must_line())["operationType"], "insert");
    }
}

pub(super) fn watch(server: &Server, arguments: &[&str]) -> Program {
    let mut command = millstream();
    command.args(["watch", "--uri", &server.uri()]).args(arguments);
    Program::start("millstream watch", &mut command)
}

/// Waits until the stream is open: it says on standard error what it watches.
pub(super) fn settle(watch: &mut Program) {
    watch.wait_for_error_line("watching");
}

pub(super) fn failure(arguments: &[&str]) -> String {
    let output = millstream().args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

pub(super) fn write(connection: &mut Connection, collection: &str) {
    for command in [
        doc! {"insert": collection, "documents": [{"_id": 1, "n": 1}]},
        doc! {"update": collection, "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}]},
        doc! {"delete": collection, "deletes": [{"q": {"_id": 1}, "limit": 1}]},
    ] {
        let reply = connection.command("shop", command).unwrap();
        assert_eq!(reply.get_i32("n").ok(), Some(1), "{reply}");
    }
}

pub(super) fn event(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}
