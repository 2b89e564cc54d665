//! How transactions end when something goes away: an answer, a connection, the server, time.

use std::thread::sleep;
use std::time::Duration;

use bson::{Document, doc};

use super::{Session, add, contents, insert, outcome, outside};
use crate::support::Server;

const GONE: &str = "251 TransientTransactionError";

#[test]
fn a_transaction_goes_on_over_another_connection() {
    let server = Server::memory();
    let mut session = Session::of(&server);
    session.begin().must(insert(1));
    session.reconnect(&server);
    session.must(insert(2));
    // The answer to the commit is lost with the connection.
    let commit = session.inside(doc! {"commitTransaction": 1});
    session.connection.send("admin", commit).unwrap();
    session.reconnect(&server);
    assert_eq!(session.commit(), "ok");
    assert_eq!(contents(&server), [(1, 0), (2, 0)]);
}

/// A commit that was answered, or that others have seen, is there after a crash, and the server remembers that it was done.
#[test]
fn a_repeated_commit_is_known_after_a_crash() {
    let mut server = Server::durable();
    let (mut answered, mut unheard) = (Session::of(&server), Session::of(&server));
    let (mut open, mut aborted) = (Session::of(&server), Session::of(&server));
    answered.begin().must(insert(1));
    assert_eq!(answered.commit(), "ok");
    unheard.begin().must(insert(2));
    let commit = unheard.inside(doc! {"commitTransaction": 1});
    unheard.connection.send("admin", commit).unwrap();
    open.begin().must(insert(3));
    aborted.begin().must(insert(4));
    assert_eq!(aborted.abort(), "ok");
    while contents(&server).len() < 2 {
        sleep(Duration::from_millis(5));
    }
    server.kill();
    server.start_again();

    for session in [&mut answered, &mut unheard, &mut open, &mut aborted] {
        session.reconnect(&server);
    }
    for session in [&mut answered, &mut unheard] {
        assert_eq!(session.commit(), "ok");
        assert_eq!(session.abort(), "256");
        assert_eq!(outcome(&session.run(doc! {"find": "c"})), "256");
    }
    assert_eq!(outcome(&open.run(insert(5))), GONE);
    for session in [&mut open, &mut aborted] {
        assert_eq!(session.commit(), GONE);
    }
    assert_eq!(contents(&server), [(1, 0), (2, 0)]);

    // What was readable before is too old now.
    let before = doc! {"level": "snapshot", "atClusterTime": bson::Timestamp { time: 1, increment: 1 }};
    assert_eq!(outcome(&outside(&server, doc! {"find": "c", "readConcern": before})), "239");

    // Its numbers go on from there, and what is older stays too old.
    answered.begin().must(add(1, 1));
    assert_eq!(answered.commit(), "ok");
    answered.number = 1;
    assert_eq!(answered.commit(), "225");
    assert_eq!(contents(&server), [(1, 1), (2, 0)]);
}

#[test]
fn a_server_that_stops_aborts_what_is_open() {
    let mut server = Server::durable();
    let mut session = Session::of(&server);
    outside(&server, insert(1));
    session.begin().must(add(1, 1));
    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
    server.start_again();
    session.reconnect(&server);
    assert_eq!(session.commit(), GONE);
    assert_eq!(contents(&server), [(1, 0)]);
}

#[test]
fn a_transaction_has_only_so_long() {
    let server = Server::memory();
    outside(&server, insert(1));
    let admin = |command: Document| server.connect().command("admin", command).unwrap();
    let told = admin(doc! {"getParameter": 1, "transactionLifetimeLimitSeconds": 1});
    assert_eq!(told.get_i32("transactionLifetimeLimitSeconds").ok(), Some(60), "{told}");
    let set = admin(doc! {"setParameter": 1, "transactionLifetimeLimitSeconds": 1});
    assert_eq!(set.get_i32("was").ok(), Some(60), "{set}");
    let mut session = Session::of(&server);
    session.begin().must(add(1, 1));
    // Waits for its end, which nobody asks for.
    assert_eq!(outcome(&outside(&server, add(1, 10))), "ok");
    assert_eq!(outcome(&session.run(doc! {"find": "c"})), GONE);
    assert_eq!(session.commit(), GONE);
    assert_eq!(contents(&server), [(1, 10)]);
    for wrong in [0.into(), (-1).into(), bson::Bson::from("long")] {
        let reply = admin(doc! {"setParameter": 1, "transactionLifetimeLimitSeconds": wrong});
        assert!(["2", "14"].contains(&outcome(&reply).as_str()), "{reply}");
    }
}
