//! `millstream watch --exec`: a command for each event.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bson::doc;
use serde_json::Value;

use super::watch::{event, failure, settle, watch, write};
use crate::support::server::signal;
use crate::support::{Connection, Server};

#[test]
fn a_command_gets_the_event_and_its_environment() {
    let server = Server::memory();
    let command =
        r#"read -r line; echo "$MILLSTREAM_OPERATION $MILLSTREAM_NAMESPACE $MILLSTREAM_KEY $line"; echo "aside" >&2"#;
    let arguments = ["--db", "shop", "-c", "orders", "--envelope", "simple", "--limit", "3", "--exec", command];
    let mut watch = watch(&server, &arguments);
    settle(&mut watch);
    write(&mut server.connect(), "orders");
    let lines = watch.succeed();
    let parts: Vec<Vec<&str>> = lines.iter().map(|line| line.splitn(4, ' ').collect()).collect();
    let operations: Vec<_> = parts.iter().map(|parts| parts[0]).collect();
    assert_eq!(operations, ["insert", "update", "delete"]);
    for parts in &parts {
        assert_eq!((parts[1], parts[2]), ("shop.orders", "1"));
        assert_eq!(event(parts[3])["op"], parts[0]);
    }
    assert!(watch.errors.iter().any(|line| line == "aside"));
}

#[test]
fn commands_run_side_by_side_and_in_order_for_each_document() {
    let server = Server::memory();
    let folder = tempfile::tempdir().unwrap();
    let command = format!("sleep 0.0$(( $$ % 5 )); cat >> {}/$MILLSTREAM_KEY", folder.path().display());
    let arguments = [
        "--db",
        "shop",
        "-c",
        "orders",
        "--full-document",
        "default",
        "--envelope",
        "mongo",
        "--concurrency",
        "4",
        "--exec",
        &command,
        "--limit",
        "40",
        "-q",
    ];
    let mut watch = watch(&server, &[&arguments[..], &["--start-at", &now(&server)]].concat());
    let mut connection = server.connect();
    for n in 0..8 {
        for key in 0..5 {
            let update = doc! {"q": {"_id": key}, "u": {"$set": {"n": n}}, "upsert": true};
            connection.command("shop", doc! {"update": "orders", "updates": [update]}).unwrap();
        }
    }
    watch.succeed();
    for key in 0..5 {
        let text = std::fs::read_to_string(folder.path().join(key.to_string())).unwrap();
        let versions: Vec<i64> = text.lines().map(|line| version(&event(line))).collect();
        assert_eq!(versions, (0..8).collect::<Vec<_>>(), "document {key}");
    }
}

/// What fails is tried again; what keeps failing is put aside, and does not come again at the next start.
#[test]
fn what_keeps_failing_goes_to_the_dead_letters() {
    let server = Server::durable();
    let folder = tempfile::tempdir().unwrap();
    let command = format!("echo $MILLSTREAM_KEY >> {0}/tries; [ $MILLSTREAM_KEY != 2 ]", folder.path().display());
    let flags = ["--db", "shop", "--watcher", "w", "--dead-letter", "unsent", "--exec", &command];
    let mut first = watch(&server, &[&flags[..], &["--retries", "2"]].concat());
    settle(&mut first);
    let mut connection = server.connect();
    let insert = |connection: &mut Connection, id: i32| {
        connection.command("shop", doc! {"insert": "orders", "documents": [{"_id": id}]}).unwrap()
    };
    (1..=3).for_each(|id| drop(insert(&mut connection, id)));
    let tries = || lines(&folder.path().join("tries"));
    until("all tries", || tries().len() == 5);
    assert_eq!(tries(), ["1", "2", "2", "2", "3"]);
    signal(&first.child, "-INT");
    let (_, status) = first.finish();
    assert!(status.success(), "{status}");
    assert!(first.errors.join("\n").contains("1 given up"), "{:?}", first.errors);
    let reply = connection.command("shop", doc! {"find": "unsent"}).unwrap();
    let letters = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap().clone();
    let letter = letters[0].as_document().unwrap();
    assert_eq!((letters.len(), letter.get_i32("attempts").unwrap(), letter.get_str("watcher").unwrap()), (1, 3, "w"));
    assert_eq!(letter.get_str("error").unwrap(), "the command ended with exit code 1");

    // Without dead letters it stops there, and begins there again.
    let flags = ["--db", "shop", "--watcher", "v", "--retries", "0", "--exec", &command];
    let mut second = watch(&server, &[&flags[..], &["-c", "orders"]].concat());
    settle(&mut second);
    connection.command("shop", doc! {"delete": "orders", "deletes": [{"q": {}, "limit": 0}]}).unwrap();
    let (_, status) = second.finish();
    assert_eq!(status.code(), Some(1));
    assert!(second.errors.join("\n").contains("an event failed 1 times: the command ended with exit code 1"));
    assert_eq!(tries()[5..], ["1", "2"]);
    let well = ["--db", "shop", "--watcher", "v", "-c", "orders", "--limit", "2", "--exec", "echo $MILLSTREAM_KEY"];
    assert_eq!(watch(&server, &well).succeed(), ["2", "3"]);
}

/// The first signal lets a command finish, the second one does not.
#[test]
fn a_second_signal_ends_what_runs() {
    let server = Server::memory();
    let folder = tempfile::tempdir().unwrap();
    let started = folder.path().join("started");
    let command = format!("echo $$ >> {0}; sleep 1000 & wait", started.display());
    let mut watch = watch(&server, &["--db", "shop", "-c", "orders", "--exec", &command]);
    settle(&mut watch);
    write(&mut server.connect(), "orders");
    until("a command", || lines(&started).len() == 1);
    signal(&watch.child, "-TERM");
    std::thread::sleep(Duration::from_millis(300));
    assert!(watch.child.try_wait().unwrap().is_none(), "it waits for the command");
    signal(&watch.child, "-INT");
    let (_, status) = watch.finish();
    assert_eq!(status.code(), Some(1));
    assert!(watch.errors.join("\n").contains("SIGINT came a second time"), "{:?}", watch.errors);
    let group = &lines(&started)[0];
    until("the end of the command and what it started", || {
        let found = std::process::Command::new("ps").args(["-o", "pid=,stat=", "--ppid", group]).output().unwrap();
        let own = std::fs::read_to_string(format!("/proc/{group}/stat")).unwrap_or_default();
        found.stdout.is_empty() && (own.is_empty() || own.contains(") Z "))
    });
}

#[test]
fn flags_that_make_no_sense_together_are_refused() {
    let text = failure(&["watch", "--concurrency", "4"]);
    assert!(text.contains("--exec or --webhook"), "{text}");
    let text = failure(&["watch", "--exec", "true", "--webhook", "http://127.0.0.1:1/"]);
    assert!(text.contains("cannot be used with"), "{text}");
    let text = failure(&["watch", "--webhook", "127.0.0.1:1/"]);
    assert!(text.contains("http://"), "{text}");
}

fn version(event: &Value) -> i64 {
    let inserted = &event["fullDocument"]["n"];
    inserted.as_i64().or_else(|| event["updateDescription"]["updatedFields"]["n"].as_i64()).expect("a version")
}

/// The server's time, to begin at.
fn now(server: &Server) -> String {
    let reply = server.connect().command("shop", doc! {"insert": "clock", "documents": [{"_id": 0}]}).unwrap();
    let time = reply.get_timestamp("operationTime").unwrap();
    format!("{}:{}", time.time, time.increment + 1)
}

pub(super) fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Until it is so, or for a time that a busy machine does not need.
pub(super) fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(40), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The versions of each document in the order in which they came.
pub(super) fn by_key(events: impl Iterator<Item = Value>) -> HashMap<i64, Vec<i64>> {
    let mut versions: HashMap<i64, Vec<i64>> = HashMap::new();
    for event in events {
        let key = event["documentKey"]["_id"].as_i64().expect("a number");
        versions.entry(key).or_default().push(version(&event));
    }
    versions
}
