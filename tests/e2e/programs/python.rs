//! The Python driver.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::programs::python;
use crate::support::server::signal;

#[test]
fn every_change_is_printed_until_the_collection_is_dropped() {
    let server = Server::memory();
    let events = watch_while_writing(&server, &[]);
    let kinds = ["insert", "update", "replace", "delete", "drop", "invalidate"];
    assert_eq!(types(&events), kinds);
    for event in &events {
        assert!(event["_id"]["_data"].is_string(), "{event}");
        assert!(event["clusterTime"]["$timestamp"]["t"].is_number(), "{event}");
        assert!(event["wallTime"]["$date"].is_string(), "{event}");
    }
    for event in &events[..5] {
        assert_eq!(event["ns"], json!({"db": "changestream", "coll": "collection"}));
    }
    for event in &events[..4] {
        assert_eq!(event["documentKey"], json!({"_id": 1}));
    }
    assert_eq!(events[0]["fullDocument"], json!({"_id": 1, "hello": "world"}));
    assert_eq!(
        events[1]["updateDescription"],
        json!({"updatedFields": {"hello": "change streams"}, "removedFields": [], "truncatedArrays": []})
    );
    assert!(events[1].get("fullDocument").is_none(), "no document without updateLookup");
    assert_eq!(events[2]["fullDocument"], json!({"_id": 1, "bye": "world"}));
    assert!(events[5].get("ns").is_none(), "an invalidate has no namespace");
}

#[test]
fn a_match_lets_only_inserts_through_and_the_stream_still_ends() {
    let server = Server::memory();
    assert_eq!(types(&watch_while_writing(&server, &["--inserts"])), ["insert"]);
}

#[test]
fn update_lookup_adds_the_document() {
    let server = Server::memory();
    let mut watcher = python(&server.uri(), "python-watch/watch.py", &["--lookup"]);
    watcher.wait_for_error_line("watching");
    let mut connection = server.connect();
    let insert = bson::doc! {"insert": "collection", "documents": [{"_id": 1, "n": 1}]};
    connection.command("changestream", insert).unwrap();
    let update = bson::doc! {"update": "collection", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}]};
    connection.command("changestream", update).unwrap();
    assert_eq!(event(&watcher.must_line())["operationType"], "insert");
    let update = event(&watcher.must_line());
    assert_eq!(update["updateDescription"]["updatedFields"], json!({"n": 2}));
    assert_eq!(update["fullDocument"], json!({"_id": 1, "n": 2}));
}

#[test]
fn a_database_and_a_cluster_can_be_watched() {
    let server = Server::memory();
    let mut database = python(&server.uri(), "python-watch/watch.py", &["--database"]);
    let mut cluster = python(&server.uri(), "python-watch/watch.py", &["--cluster"]);
    database.wait_for_error_line("watching");
    cluster.wait_for_error_line("watching");
    let mut connection = server.connect();
    for (db, collection) in [("elsewhere", "c"), ("changestream", "other")] {
        let insert = bson::doc! {"insert": collection, "documents": [{"_id": 1}]};
        connection.command(db, insert).unwrap();
    }
    connection.command("changestream", bson::doc! {"dropDatabase": 1}).unwrap();
    let (events, _) = database.finish();
    let events: Vec<Value> = events.iter().map(|line| event(line)).collect();
    assert_eq!(types(&events), ["insert", "drop", "dropDatabase", "invalidate"]);
    assert_eq!(events[0]["ns"], json!({"db": "changestream", "coll": "other"}));
    let seen: Vec<Value> = (0..4).map(|_| event(&cluster.must_line())).collect();
    assert_eq!(types(&seen), ["insert", "insert", "drop", "dropDatabase"]);
    assert_eq!(seen[0]["ns"], json!({"db": "elsewhere", "coll": "c"}));
    assert_eq!(seen[1]["_id"], events[0]["_id"], "one event, one token, whoever watches");
}

#[test]
fn a_killed_watcher_resumes_without_loss_or_repeat() {
    for option in ["resume_after", "start_after", "start_at_operation_time"] {
        let server = Server::durable();
        let folder = tempfile::tempdir().unwrap();
        let position = folder.path().join("position");
        let arguments = [position.to_str().unwrap(), option];
        let start = || python(&server.uri(), "python-watch/resume.py", &arguments);

        let mut connection = server.connect();
        let mut seen = Vec::new();
        let mut next = 0;
        for round in 0..3 {
            let mut watcher = start();
            watcher.wait_for_error_line("watching");
            insert(&mut connection, next..next + 5);
            next += 5;
            // Killed in the middle, with changes that it has not printed yet.
            let wanted = if round == 0 { 3 } else { 4 };
            for _ in 0..wanted {
                seen.push(id(&watcher.must_line()));
            }
            // The position is saved after the line was printed.
            std::thread::sleep(Duration::from_millis(300));
            signal(&watcher.child, "-KILL");
            let (rest, _) = watcher.finish();
            seen.extend(rest.iter().map(|line| id(line)));
            insert(&mut connection, next..next + 5);
            next += 5;
        }
        let mut watcher = start();
        while seen.last() != Some(&(next - 1)) {
            seen.push(id(&watcher.must_line()));
        }
        if option == "start_at_operation_time" {
            // Inclusive (CS-4.6.1): the change at the saved time comes once more, and no other.
            seen.dedup();
        }
        assert_eq!(seen, (0..next).collect::<Vec<_>>(), "{option}");
    }
}

#[test]
fn a_watcher_survives_the_server_being_killed() {
    let mut server = Server::durable();
    let mut watcher = python(&server.uri(), "python-watch/watch.py", &[]);
    watcher.wait_for_error_line("watching");
    insert(&mut server.connect(), 0..5);
    let mut seen: Vec<i64> = (0..3).map(|_| id(&watcher.must_line())).collect();
    server.kill();
    server.start_again();
    insert(&mut server.connect(), 5..10);
    while seen.len() < 10 {
        seen.push(id(&watcher.must_line()));
    }
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

fn watch_while_writing(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let mut watcher = python(&server.uri(), "python-watch/watch.py", arguments);
    watcher.wait_for_error_line("watching");
    python(&server.uri(), "python-watch/write.py", &[]).succeed();
    // It ends by itself: the collection is gone.
    watcher.succeed().iter().map(|line| event(line)).collect()
}

fn insert(connection: &mut crate::support::Connection, ids: std::ops::Range<i64>) {
    for id in ids {
        let insert = bson::doc! {"insert": "collection", "documents": [{"_id": id}]};
        let reply = connection.command("changestream", insert).expect("a reply");
        assert_eq!(reply.get_i32("n").ok(), Some(1), "{reply}");
    }
}

fn event(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn id(line: &str) -> i64 {
    event(line)["documentKey"]["_id"].as_i64().expect("a number as _id")
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["operationType"].as_str().expect("a type")).collect()
}
