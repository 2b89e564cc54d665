//! `millstream watch --group` and `--batch`, and `millstream groups`.

use std::collections::BTreeSet;

use bson::doc;
use serde_json::json;

use super::exec::{lines, until};
use super::watch::{event, failure, settle, watch};
use crate::support::Server;
use crate::support::receiver::Receiver;
use crate::support::server::{millstream, signal};

#[test]
fn two_processes_share_the_events() {
    let server = Server::memory();
    let folder = tempfile::tempdir().unwrap();
    let mut members: Vec<_> = (0..2)
        .map(|n| {
            let command = format!("echo $MILLSTREAM_KEY >> {}/{n}", folder.path().display());
            let mut member = watch(&server, &["--db", "shop", "--group", "billing", "--exec", &command]);
            settle(&mut member);
            member
        })
        .collect();
    let groups = |arguments: &[&str]| {
        let mut command = millstream();
        let output =
            command.arg("groups").args(arguments).args(["--uri", &server.uri(), "--db", "shop"]).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let shares = || {
        let status = event(&groups(&["show", "billing", "--format", "json"]).1);
        let shares = status["members"].as_array().unwrap().iter();
        shares.map(|member| member["partitions"].as_array().unwrap().len()).collect::<Vec<_>>()
    };
    until("both have their share", || shares() == [32, 32]);
    let mut connection = server.connect();
    let documents: Vec<_> = (0..60).map(|id| doc! {"_id": id}).collect();
    connection.command("shop", doc! {"insert": "orders", "documents": documents}).unwrap();
    let taken = |n: usize| lines(&folder.path().join(n.to_string()));
    let all = || (0..2).flat_map(taken).map(|key| key.parse::<i32>().unwrap()).collect::<BTreeSet<_>>();
    until("every event is dealt with", || all() == (0..60).collect());
    assert!(!taken(0).is_empty() && !taken(1).is_empty(), "both take part");
    let (code, text) = groups(&["list"]);
    assert!(code == 0 && text.lines().nth(1).unwrap().starts_with("billing  database shop  2 "), "{text}");
    assert!(groups(&["show", "billing"]).1.contains("64 of 64 partitions owned"));
    for member in &mut members {
        signal(&member.child, "-TERM");
        assert!(member.finish().1.success());
    }
    assert!(groups(&["show", "billing"]).1.contains("nobody is in it now"));
    assert_eq!(groups(&["show", "nobody"]).0, 5);
    let text = failure(&["watch", "--group", "billing", "--checkpoint", "x"]);
    assert!(text.contains("cannot be used with"), "{text}");
}

#[test]
fn batches_are_arrays() {
    let server = Server::memory();
    let receiver = Receiver::start(|number, _| if number == 0 { "503 Busy" } else { "200 OK" }.into());
    let flags = ["--db", "shop", "-c", "orders", "--envelope", "simple", "--batch", "3,1MiB,300ms", "--limit", "7"];
    let mut printed = watch(&server, &[&flags[..], &["--format", "json"]].concat());
    let mut posted = watch(&server, &[&flags[..], &["--webhook", &receiver.url()]].concat());
    settle(&mut printed);
    settle(&mut posted);
    let documents: Vec<_> = (0..7).map(|id| doc! {"_id": id}).collect();
    server.connect().command("shop", doc! {"insert": "orders", "documents": documents}).unwrap();
    let keys = |array: &serde_json::Value| -> Vec<i64> {
        array.as_array().unwrap().iter().map(|event| event["key"].as_i64().unwrap()).collect()
    };
    let lines: Vec<_> = printed.succeed().iter().map(|line| keys(&event(line))).collect();
    assert_eq!(lines, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    posted.succeed();
    let requests = receiver.requests();
    let bodies: Vec<_> = requests.iter().map(|request| keys(&request.json())).collect();
    assert_eq!(bodies, [vec![0, 1, 2], vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    assert_eq!(requests[0].json()[0]["op"], json!("insert"));
    let text = failure(&["watch", "--batch", "0"]);
    assert!(text.contains("no size of a batch"), "{text}");
}
