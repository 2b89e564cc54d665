//! `millstream watch --on-history-lost`: what to do when the server has forgotten what comes next.

use bson::doc;

use super::watch::{event, settle, watch};
use crate::support::programs::Program;
use crate::support::server::signal;
use crate::support::{Connection, Server};

/// Writes more than the log holds.
fn lose_history(connection: &mut Connection) {
    let text = "x".repeat(64 << 10);
    for _ in 0..64 {
        connection.command("noise", doc! {"insert": "noise", "documents": [{"text": &text}]}).unwrap();
    }
}

#[test]
fn a_lost_history_ends_it_or_is_compared_away() {
    let server = Server::with(&["--memory", "--oplog-bytes", "1MiB"]);
    let mut connection = server.connect();
    let flags = ["--db", "shop", "-c", "orders", "--format", "json"];
    let start = |name: &str, what: &str| -> Program {
        watch(&server, &[&flags[..], &["--watcher", name, "--on-history-lost", what]].concat())
    };
    for (name, what) in [("a", "stop"), ("b", "start-now"), ("c", "re-snapshot")] {
        let mut watch = start(name, what);
        settle(&mut watch);
        let documents = [doc! {"_id": format!("{name}1")}, doc! {"_id": format!("{name}2")}];
        connection.command("shop", doc! {"insert": "orders", "documents": documents.to_vec()}).unwrap();
        watch.must_line();
        watch.must_line();
        signal(&watch.child, "-TERM");
        assert!(watch.finish().1.success());
    }
    let update = doc! {"q": {"_id": "c1"}, "u": {"$set": {"n": 1}}};
    connection.command("shop", doc! {"update": "orders", "updates": [update]}).unwrap();
    connection.command("shop", doc! {"delete": "orders", "deletes": [{"q": {"_id": "c2"}, "limit": 1}]}).unwrap();
    lose_history(&mut connection);

    let (_, status) = start("a", "stop").finish();
    assert_eq!(status.code(), Some(5));
    let mut now = start("b", "start-now");
    settle(&mut now);
    let mut compared = start("c", "re-snapshot");
    let mut seen: Vec<_> = (0..2)
        .map(|_| {
            let event = event(&compared.must_line());
            let key = event["documentKey"]["_id"].as_str().unwrap().to_owned();
            (event["operationType"].as_str().unwrap().to_owned(), key, event["snapshot"].as_bool())
        })
        .collect();
    seen.sort();
    let expected =
        [("delete", "c2"), ("replace", "c1")].map(|(what, key)| (what.to_owned(), key.to_owned(), Some(true)));
    assert_eq!(seen, expected, "only what has changed");
    connection.command("shop", doc! {"insert": "orders", "documents": [{"_id": "last"}]}).unwrap();
    for watch in [&mut now, &mut compared] {
        assert_eq!(event(&watch.must_line())["documentKey"]["_id"], "last");
    }
}
