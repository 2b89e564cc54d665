//! `millstream serve`: what it says, its settings, how it ends.

use std::time::{Duration, Instant};

use crate::support::Server;
use crate::support::server::{free_port, millstream};

#[test]
fn it_says_where_it_listens_where_the_data_is_and_the_uri() {
    let server = Server::durable();
    // It listens first and then says so.
    let began = Instant::now();
    while server.log().lines().count() < 3 && began.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let log = server.log();
    assert_eq!(log.lines().count(), 3, "three lines and no more: {log}");
    assert!(log.contains(&server.address()), "{log}");
    assert!(log.contains(&server.data().display().to_string()), "{log}");
    assert!(log.contains(&server.uri()), "{log}");
}

#[test]
fn a_termination_ends_it_at_once_and_well() {
    let mut server = Server::durable();
    let mut connection = server.connect();
    let insert = bson::doc! {"insert": "c", "documents": [{"_id": 1}]};
    connection.command("shop", insert).unwrap();
    // A waiting getMore does not hold it up.
    let watch = bson::doc! {"aggregate": "c", "pipeline": [{"$changeStream": {}}], "cursor": {}};
    let opened = connection.command("shop", watch).unwrap();
    let id = opened.get_document("cursor").unwrap().get_i64("id").unwrap();
    let waiting = std::thread::spawn(move || {
        let more = bson::doc! {"getMore": id, "collection": "c", "maxTimeMS": 60_000};
        connection.command("shop", more)
    });
    std::thread::sleep(Duration::from_millis(200));
    let (status, took) = server.terminate();
    assert!(status.success(), "{status}: {}", server.log());
    assert!(took < Duration::from_secs(3), "{took:?}");
    // An answer that lets drivers resume, or a closed connection.
    if let Ok(reply) = waiting.join().unwrap() {
        assert_eq!(reply.get_i32("code").ok(), Some(11600), "{reply}");
        let labels = reply.get_array("errorLabels").expect("labels");
        assert!(labels.contains(&"ResumableChangeStreamError".into()), "{reply}");
    }
    server.start_again();
    let found = server.connect().command("shop", bson::doc! {"count": "c"}).unwrap();
    assert_eq!(found.get_i32("n").ok(), Some(1));
}

#[test]
fn a_second_process_on_the_same_folder_is_told_so() {
    let server = Server::durable();
    let output = millstream()
        .arg("serve")
        .args(["--port", &free_port().to_string()])
        .arg("--data")
        .arg(server.data())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(&server.data().display().to_string()), "it names the folder: {text}");
    assert!(!text.contains("panicked"), "{text}");
    // The first one works on.
    let reply = server.connect().command("admin", bson::doc! {"ping": 1}).unwrap();
    assert_eq!(reply.get_f64("ok").ok(), Some(1.0));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let server = Server::memory();
    let output = millstream().args(["serve", "--memory", "--port", &server.port.to_string()]).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(&server.port.to_string()) && text.contains("in use"), "{text}");
}

#[test]
fn print_config_shows_values_and_where_each_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("millstream.toml");
    std::fs::write(&file, "port = 4001\noplog-hours = 7\n").unwrap();
    let output = millstream()
        .args(["serve", "--print-config", "--port", "4003"])
        .arg("--config")
        .arg(&file)
        .env("MILLSTREAM_BIND_IP", "127.0.0.2")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let line = |name: &str| {
        text.lines()
            .find(|line| line.trim_start().starts_with(name))
            .unwrap_or_else(|| panic!("no {name} in\n{text}"))
            .to_owned()
    };
    assert!(line("port").contains("4003") && line("port").contains("flag"), "{text}");
    assert!(line("bind-ip").contains("127.0.0.2") && line("bind-ip").contains("env"), "{text}");
    assert!(line("oplog-hours").contains('7') && line("oplog-hours").contains("file"), "{text}");
    assert!(line("data").contains("millstream-data") && line("data").contains("default"), "{text}");
}

#[test]
fn a_public_address_gets_a_loud_warning() {
    let server = Server::with(&["--memory", "--bind-ip", "0.0.0.0"]);
    let log = server.log().to_lowercase();
    assert!(log.contains("warn") && log.contains("authentication"), "{log}");
    let quiet = Server::memory().log().to_lowercase();
    assert!(!quiet.contains("warn"), "{quiet}");
}

#[test]
fn it_is_ready_soon() {
    let began = Instant::now();
    let server = Server::durable();
    let took = began.elapsed();
    drop(server);
    // The goal is 100 ms; a debug build on a busy machine gets more room.
    assert!(took < Duration::from_secs(3), "{took:?}");
}
