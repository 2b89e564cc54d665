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

#[test]
fn statements_and_commits_of_one_transaction_take_turns() {
    let server = Server::memory();
    let mut session = Session::of(&server);
    session.begin().must(insert(0));
    let at_once = |db: &'static str, commands: Vec<Document>| {
        let sent: Vec<_> = commands
            .into_iter()
            .map(|command| {
                let mut connection = server.connect();
                std::thread::spawn(move || outcome(&connection.command(db, command).unwrap()))
            })
            .collect();
        sent.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    };
    let statements = (1..9).map(|id| session.inside(insert(id))).collect();
    assert_eq!(at_once("test", statements), ["ok"; 8]);
    let commits = (0..4).map(|_| session.inside(doc! {"commitTransaction": 1})).collect();
    assert_eq!(at_once("admin", commits), ["ok"; 4]);
    assert_eq!(contents(&server).len(), 9);
}

#[test]
fn a_server_stops_while_somebody_waits_for_a_transaction() {
    let mut server = Server::durable();
    outside(&server, insert(1));
    let mut session = Session::of(&server);
    session.begin().must(add(1, 1));
    let waiting: Vec<_> = [add(1, 10), doc! {"drop": "c"}]
        .into_iter()
        .map(|command| {
            let mut connection = server.connect();
            std::thread::spawn(move || connection.command("test", command))
        })
        .collect();
    sleep(Duration::from_millis(100));
    let (status, took) = server.terminate();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(30), "it waited for the transaction: {took:?}");
    for one in waiting {
        // An answer or none: it may have been done, and is not told as done if it was not.
        let _ = one.join().unwrap();
    }
    server.start_again();
    session.reconnect(&server);
    assert_eq!(session.commit(), GONE);
}

#[test]
fn transactions_have_their_limits() {
    let server = Server::with(&["--memory", "--transactions-max", "2", "--transaction-bytes", "1MiB"]);
    outside(&server, insert(0));
    let mut sessions: Vec<Session> = (0..3).map(|_| Session::of(&server)).collect();
    let large = |id: i32| doc! {"insert": "c", "documents": [{"_id": id, "n": 0, "text": "x".repeat(200_000)}]};
    sessions[0].begin().must(insert(1));
    sessions[1].begin().must(insert(2));
    assert_eq!(outcome(&sessions[2].begin().run(insert(3))), "365 TransientTransactionError");
    // One that is over makes room.
    assert_eq!(sessions[0].commit(), "ok");
    let third = &mut sessions[2];
    third.begin().must(large(4));
    third.must(large(5));
    assert_eq!(outcome(&third.run(large(6))), "257");
    assert_eq!(third.commit(), GONE);
    assert_eq!(sessions[1].commit(), "ok");
    assert_eq!(contents(&server), [(0, 0), (1, 0), (2, 0)]);
}
