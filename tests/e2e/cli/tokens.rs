//! `millstream tokens`: positions of named watchers.

use bson::doc;

use super::watch::{event, failure, settle, watch};
use crate::support::Server;
use crate::support::server::{millstream, signal};

#[test]
fn positions_are_listed_shown_and_forgotten() {
    let server = Server::memory();
    let mut connection = server.connect();
    for name in ["mailer", "copier"] {
        let mut watch = watch(&server, &["--db", "shop", "-c", "orders", "--watcher", name, "--format", "json"]);
        settle(&mut watch);
        connection.command("shop", doc! {"insert": "orders", "documents": [{"n": 1}]}).unwrap();
        watch.must_line();
        signal(&watch.child, "-TERM");
        assert!(watch.finish().1.success());
    }
    let tokens = |arguments: &[&str]| {
        let output = millstream().arg("tokens").args(arguments).args(["--uri", &server.uri(), "--db", "shop"]).output();
        let output = output.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = tokens(&["list"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((code, lines.len()), (0, 3), "{text}");
    assert!(lines[0].starts_with("WATCHER") && lines[1].starts_with("copier") && lines[2].starts_with("mailer"));
    assert!(
        lines[2].contains("collection shop.orders") && lines[2].contains(" ago ") && lines[2].contains("yes"),
        "{text}"
    );

    let (_, text) = tokens(&["list", "--format", "json"]);
    let names: Vec<_> = text.lines().map(|line| event(line)["watcher"].clone()).collect();
    assert_eq!(names, ["copier", "mailer"]);
    let (code, text) = tokens(&["show", "mailer"]);
    assert_eq!((code, event(&text)["standing"].as_str()), (0, Some("inside")));
    assert!(event(&text)["resumeToken"]["_data"].is_string());

    // Nothing is forgotten by mistake.
    assert_eq!(tokens(&["reset", "mailer"]).0, 2);
    assert_eq!(tokens(&["reset", "mailer", "--yes"]).0, 0);
    assert_eq!(tokens(&["show", "mailer"]).0, 5);
    assert_eq!(tokens(&["reset", "mailer", "--yes"]).0, 5);
    assert_eq!(tokens(&["list"]).1.lines().count(), 2);

    // One that has fallen out of the log.
    let old = doc! {"q": {"_id": "copier"}, "u": {"$set": {"resumeToken._data": "82000000010000000129"}}};
    connection.command("shop", doc! {"update": "change_stream_tokens", "updates": [old]}).unwrap();
    let (_, text) = tokens(&["list"]);
    assert!(text.lines().nth(1).unwrap().contains("copier"), "{text}");
    let text = failure(&["tokens", "show", "nobody", "--uri", &server.uri(), "--db", "shop"]);
    assert!(text.contains("no watcher `nobody` keeps a position in shop.change_stream_tokens"), "{text}");
}
