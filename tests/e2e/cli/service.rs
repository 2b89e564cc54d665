//! `millstream watch` as a service: health, and a file with several watchers.

use std::io::{Read, Write};
use std::net::TcpStream;

use bson::doc;
use serde_json::Value;

use super::exec::{lines, until};
use super::watch::{failure, settle, watch};
use crate::support::Server;
use crate::support::programs::Program;
use crate::support::server::{millstream, signal};

/// The status and the body of an answer.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn health_of(watch: &Program) -> String {
    let line = watch.errors.iter().find(|line| line.contains("health at")).unwrap();
    line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned()
}

#[test]
fn health_is_red_while_it_lags_or_the_server_is_away() {
    let mut server = Server::durable();
    let flags = ["--db", "shop", "-c", "orders", "--watcher", "w", "--health", "0", "--ready-lag-max", "1s"];
    // An event is under way until the file is there.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("go");
    let command = format!("while ! [ -e {} ]; do sleep 0.05; done", file.display());
    let mut watch = watch(&server, &[&flags[..], &["--exec", &command]].concat());
    settle(&mut watch);
    let address = health_of(&watch);
    assert_eq!(get(&address, "/livez").0, 200);
    until("it is ready", || get(&address, "/readyz").0 == 200);
    server.connect().command("shop", doc! {"insert": "orders", "documents": [{"_id": 1}]}).unwrap();
    until("it lags", || get(&address, "/readyz").0 == 503);
    let body: Value = serde_json::from_str(&get(&address, "/readyz").1).unwrap();
    assert!(body["watchers"]["w"].as_str().unwrap().contains("s behind"), "{body}");
    std::fs::write(&file, "").unwrap();
    until("it is ready again", || get(&address, "/readyz").0 == 200);
    let metrics = get(&address, "/metrics").1;
    let line = r#"millstream_watch_events_total{watcher="w",operation="insert"} 1"#;
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    assert!(metrics.contains("# HELP millstream_watch_lag_seconds"), "{metrics}");

    server.kill();
    until("the server is missed", || get(&address, "/readyz").0 == 503);
    assert_eq!(get(&address, "/livez").0, 200);
    server.start_again();
    until("it is ready once more", || get(&address, "/readyz").0 == 200);
    signal(&watch.child, "-TERM");
    assert!(watch.finish().1.success());
}

#[test]
fn a_file_has_several_watchers() {
    let server = Server::memory();
    let folder = tempfile::tempdir().unwrap();
    let (config, out) = (folder.path().join("w.toml"), folder.path().join("out"));
    let text = format!(
        "uri = \"{}\"\ndb = \"nowhere\"\nexec = \"echo $MILLSTREAM_NAMESPACE >> {}\"\n\
         [[watch]]\nwatcher = \"a\"\ncollection = [\"x\", \"y\"]\noperations = \"insert\"\n\
         [[watch]]\nwatcher = \"b\"\ncollection = \"z\"\n",
        server.uri(),
        out.display()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    // A flag beats the file.
    let mut command = millstream();
    let mut both = Program::start("watch", command.args(["watch", "--config", config, "--db", "shop"]));
    both.wait_for_error_line("collections x, y of shop");
    both.wait_for_error_line("collection shop.z");
    let mut connection = server.connect();
    for name in ["x", "w", "z", "y"] {
        connection.command("shop", doc! {"insert": name, "documents": [{"_id": 1}]}).unwrap();
    }
    let sorted = || {
        let mut found = lines(&out);
        found.sort();
        found
    };
    until("three events", || sorted() == ["shop.x", "shop.y", "shop.z"]);
    signal(&both.child, "-TERM");
    assert!(both.finish().1.success());
    let find = doc! {"find": "change_stream_tokens", "sort": {"_id": 1}};
    let reply = connection.command("shop", find).unwrap();
    assert_eq!(reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap().len(), 2);

    let output = millstream().args(["watch", "--config", config, "--db", "shop", "--print-config"]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    for (name, value, origin) in [
        ("db", "shop", "flag --db"),
        ("watcher", "a", "watch 1"),
        ("watcher", "b", "watch 2"),
        ("retries", "-", "default"),
    ] {
        let is_it = |line: &&str| line.starts_with(name) && line.contains(value) && line.contains(origin);
        assert!(printed.lines().any(|line| is_it(&line)), "{name} in {printed}");
    }
    std::fs::write(config, "[[watch]]\ncolection = \"x\"\n").unwrap();
    let text = failure(&["watch", "--config", config]);
    assert!(text.contains("did you mean `collection`?"), "{text}");
    std::fs::write(config, "[[watch]]\nqueue-size = \"many\"\n").unwrap();
    let text = failure(&["watch", "--config", config]);
    assert!(text.contains("watch 1") && text.contains("queue-size"), "{text}");
}
