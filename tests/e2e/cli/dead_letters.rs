//! `millstream dead-letters`: looked at, tried again, dropped.

use bson::doc;

use super::exec::{lines, until};
use super::watch::{event, settle, watch};
use crate::support::Server;
use crate::support::server::{millstream, signal};

#[test]
fn dead_letters_are_replayed_in_the_order_of_their_documents() {
    let server = Server::memory();
    let folder = tempfile::tempdir().unwrap();
    let tries = folder.path().join("tries");
    let command = format!("echo $MILLSTREAM_KEY >> {}; exit 1", tries.display());
    let flags = [
        "--db",
        "shop",
        "-c",
        "orders",
        "--watcher",
        "w",
        "--retries",
        "0",
        "--dead-letter",
        "unsent",
        "--exec",
        &command,
    ];
    let mut watch = watch(&server, &flags);
    settle(&mut watch);
    let mut connection = server.connect();
    connection.command("shop", doc! {"insert": "orders", "documents": [{"_id": 1}, {"_id": 2}, {"_id": 3}]}).unwrap();
    let update = doc! {"q": {"_id": 2}, "u": {"$set": {"n": 1}}};
    connection.command("shop", doc! {"update": "orders", "updates": [update]}).unwrap();
    until("all tries", || lines(&tries).len() == 4);
    signal(&watch.child, "-TERM");
    assert!(watch.finish().1.success());

    let letters = |arguments: &[&str]| {
        let mut command = millstream();
        command.arg("dead-letters").args(arguments);
        let output =
            command.args(["--uri", &server.uri(), "--db", "shop", "--dead-letter", "unsent"]).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (_, text, _) = letters(&["list"]);
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(text.contains("update shop.orders {\"_id\":2}") && text.contains("exit code 1"), "{text}");
    let (_, text, _) = letters(&["list", "--json"]);
    let all: Vec<_> = text.lines().map(event).collect();
    let ids: Vec<_> = all.iter().map(|letter| letter["id"].as_str().unwrap()).collect();
    let (code, text, _) = letters(&["show", ids[1]]);
    assert_eq!((code, &event(&text)["event"]["documentKey"]["_id"]), (0, &serde_json::json!(2)));
    assert!(letters(&["list", "--watcher", "v"]).1.is_empty());

    // The second document fails again: what came later for it waits.
    let (code, text, errors) = letters(&["replay", "--exec", "echo $MILLSTREAM_KEY; [ $MILLSTREAM_KEY != 2 ]"]);
    assert_eq!((code, text.lines().collect::<Vec<_>>()), (1, vec!["1", "2", "3"]), "{errors}");
    assert!(errors.contains("2 dealt with, 2 left"), "{errors}");
    // Without a target they are printed.
    let (code, text, _) = letters(&["replay", ids[1], "--envelope", "simple"]);
    assert_eq!((code, event(&text)["op"].as_str()), (0, Some("insert")));
    assert_eq!(letters(&["drop"]).0, 2);
    assert_eq!(letters(&["drop", ids[0], "--yes"]).0, 1);
    assert_eq!(letters(&["drop", ids[3], "--yes"]).0, 0);
    assert!(letters(&["list"]).1.is_empty());
}
