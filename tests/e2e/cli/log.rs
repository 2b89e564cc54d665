//! `millstream log`: what the log holds, and where a position stands in it.

use std::process::Output;

use bson::doc;
use serde_json::Value;

use crate::support::Server;
use crate::support::programs::Program;
use crate::support::server::{free_port, millstream};

fn log(server: &Server, arguments: &[&str]) -> Output {
    millstream().args(["log", "--uri", &server.uri()]).args(arguments).output().unwrap()
}

fn json(server: &Server, arguments: &[&str]) -> (Value, Option<i32>) {
    let output = log(server, &[&["--format", "json"], arguments].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (answer, output.status.code())
}

fn insert(server: &Server, megabytes: usize) {
    let mut connection = server.connect();
    for _ in 0..megabytes {
        let insert = doc! {"insert": "c", "documents": [{"padding": "x".repeat(1 << 20)}]};
        assert_eq!(connection.command("shop", insert).unwrap().get_i32("n").ok(), Some(1));
    }
}

#[test]
fn it_shows_the_window_and_the_rates() {
    let server = Server::with(&["--memory", "--oplog-bytes", "64MiB"]);
    insert(&server, 4);
    let output = log(&server, &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    for part in ["oldest entry", "newest entry", "all that was ever written", "MiB of 64 MiB", "reaches back"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (answer, code) = json(&server, &[]);
    assert_eq!(code, Some(0));
    assert_eq!(answer["bytesMax"], 64 << 20);
    assert_eq!(answer["lostNothing"], true);
    assert!(answer["bytes"].as_i64().unwrap() > 4 << 20, "{answer}");
    assert!(answer["whole"]["lastsSeconds"].as_f64().unwrap() > 0.0, "{answer}");
    assert!(answer["recent"]["bytes"].is_u64(), "{answer}");
    assert!(answer["newest"]["clusterTime"]["t"].as_u64() >= answer["oldest"]["clusterTime"]["t"].as_u64());
    assert!(answer.get("position").is_none());
}

#[test]
fn it_says_whether_a_checkpoint_is_still_in_the_log() {
    let server = Server::with(&["--memory", "--oplog-bytes", "1MiB"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("place.json");
    let file = file.to_str().unwrap();
    let mut command = millstream();
    command.args(["watch", "--uri", &server.uri(), "--db", "shop", "--format", "json", "--limit", "1"]);
    let mut watch = Program::start("millstream watch", command.args(["--checkpoint", file]));
    watch.wait_for_error_line("watching");
    server.connect().command("shop", doc! {"insert": "c", "documents": [{"_id": 1}]}).unwrap();
    let event: Value = serde_json::from_str(&watch.succeed()[0]).unwrap();
    let token = event["_id"]["_data"].as_str().unwrap();
    for position in [["--checkpoint", file], ["--resume-after", token]] {
        let (answer, code) = json(&server, &position);
        assert_eq!((answer["position"]["standing"].as_str(), code), (Some("inside"), Some(0)), "{answer}");
        assert_eq!(answer["position"]["clusterTime"]["t"], event["clusterTime"]["$timestamp"]["t"]);
    }
    insert(&server, 4);
    for position in [["--checkpoint", file], ["--resume-after", token]] {
        let (answer, code) = json(&server, &position);
        assert_eq!((answer["position"]["standing"].as_str(), code), (Some("lost"), Some(5)), "{answer}");
        assert_eq!(answer["lostNothing"], false);
        let text = String::from_utf8_lossy(&log(&server, &position).stdout).into_owned();
        assert!(text.contains("cannot be resumed from"), "{text}");
    }
    let (answer, code) = json(&server, &["--resume-after", "82FFFFFFF0000000012B"]);
    assert_eq!((answer["position"]["standing"].as_str(), code), (Some("ahead"), Some(5)), "{answer}");
    // A checkpoint of another server says nothing about this one.
    let other = Server::memory();
    let output = log(&other, &["--checkpoint", file]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(5) && text.contains("made for another server"), "{text}");
}

#[test]
fn what_goes_wrong_is_one_sentence() {
    let nobody = format!("mongodb://127.0.0.1:{}/?serverSelectionTimeoutMS=500", free_port());
    let server = Server::memory();
    let uri = server.uri();
    for (arguments, code, part) in [
        (vec!["--uri", nobody.as_str()], 3, "nothing listens"),
        (vec!["--uri", &uri, "--resume-after", "zz"], 2, "resume token"),
        (vec!["--uri", &uri, "--resume-after", "82"], 2, "begin with a time"),
        (vec!["--uri", &uri, "--checkpoint", "/none/there"], 1, "could not read the checkpoint"),
    ] {
        let output = millstream().arg("log").args(&arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(part), "{text}");
        assert!(code == 2 || text.trim().lines().count() == 1, "{text}");
    }
}
