//! Drivers in other languages resume by themselves, whatever ends their stream.

use std::time::Duration;

use bson::doc;
use serde_json::Value;

use crate::support::programs::{Program, node_test, python_test};
use crate::support::{Proxy, Server};

/// CS-8.4.4, CS-13.28, CS-13.29.
#[test]
fn the_python_driver_resumes_without_loss_or_repeat() {
    survives(|uri| python_test(uri, "follow.py"));
}

/// CS-8.4.4, CS-13.28, CS-13.29.
#[test]
fn the_node_driver_resumes_without_loss_or_repeat() {
    survives(|uri| node_test(uri, "follow.js"));
}

fn survives(start: impl Fn(&str) -> Program) {
    let mut server = Server::durable();
    let proxy = Proxy::to(server.address());
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let mut program = start(&proxy.uri());
    program.wait_for_error_line("watching");
    let mut numbers = 0..;
    let mut seen = Vec::new();

    // The connection is cut while changes are on their way, and while the driver waits for more. A cut in between may cost
    // it no more than a connection.
    write(&server, numbers.by_ref().take(50));
    seen.extend((0..10).map(|_| number(&program.must_line())));
    proxy.cut();
    seen.extend((10..50).map(|_| number(&program.must_line())));
    std::thread::sleep(Duration::from_millis(200));
    proxy.cut();
    write(&server, numbers.by_ref().take(5));

    // The cursor is killed while nobody reads it.
    let at = numbers.next().unwrap();
    insert(&server, doc! {"_id": at, "gate": gate.to_str()});
    while seen.last() != Some(&at) {
        seen.push(number(&program.must_line()));
    }
    let killed = server.connect().command("admin", doc! {"killAllSessions": []}).unwrap();
    assert_eq!(killed.get_f64("ok").ok(), Some(1.0), "{killed}");
    std::fs::write(&gate, "").unwrap();
    write(&server, numbers.by_ref().take(5));

    // The server is stopped, then killed, with changes that nobody has read yet.
    for kill in [false, true] {
        let unread = numbers.by_ref().take(5).collect::<Vec<_>>();
        // It has come back from what was before.
        while seen.last() != Some(&(unread[0] - 1)) {
            seen.push(number(&program.must_line()));
        }
        write(&server, unread.into_iter());
        if kill {
            server.kill();
        } else {
            let (status, _) = server.terminate();
            assert!(status.success(), "{status}");
        }
        server.start_again();
        write(&server, numbers.by_ref().take(5));
    }
    let last = numbers.next().unwrap();
    insert(&server, doc! {"_id": last, "last": true});

    let mut lines = program.succeed();
    let told: Value = serde_json::from_str(&lines.pop().expect("what it met")).expect("JSON");
    seen.extend(lines.iter().map(|line| number(line)));
    assert_eq!(seen, (0..=last).collect::<Vec<_>>());
    assert!(told["opened"].as_u64() >= Some(4), "a stream for each time that it surely broke: {told}");
    assert!(told["codes"].as_array().unwrap().contains(&43.into()), "the killed cursor was missed: {told}");
}

fn write(server: &Server, numbers: impl Iterator<Item = i32>) {
    let mut connection = server.connect();
    for number in numbers {
        let reply = connection.command("follow", doc! {"insert": "numbers", "documents": [{"_id": number}]}).unwrap();
        assert_eq!(reply.get_i32("n").ok(), Some(1), "{reply}");
    }
}

fn insert(server: &Server, document: bson::Document) {
    let reply = server.connect().command("follow", doc! {"insert": "numbers", "documents": [document]}).unwrap();
    assert_eq!(reply.get_i32("n").ok(), Some(1), "{reply}");
}

fn number(line: &str) -> i32 {
    line.parse().unwrap_or_else(|_| panic!("a number, not {line}"))
}
