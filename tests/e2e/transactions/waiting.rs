//! What meets an open transaction from outside waits for its end, and then does what it would have done without it.

use std::thread::JoinHandle;
use std::time::Duration;

use bson::{Document, doc};

use super::{Session, add, contents, insert, listed, outcome, outside};
use crate::support::Server;

/// A command on its way.
struct Waiting(JoinHandle<Document>);

impl Waiting {
    /// Sends a command that cannot be answered yet.
    fn behind(server: &Server, command: Document) -> Self {
        let mut connection = server.connect();
        Self::with(move || connection.command("test", command).expect("a reply"))
    }

    fn with(run: impl FnOnce() -> Document + Send + 'static) -> Self {
        let waiting = Self(std::thread::spawn(run));
        // One that did not wait would be done by then.
        std::thread::sleep(Duration::from_millis(100));
        assert!(!waiting.0.is_finished(), "it did not wait: {}", waiting.reply());
        waiting
    }

    fn reply(self) -> Document {
        self.0.join().expect("a reply")
    }
}

#[test]
fn a_write_waits_for_the_transaction_that_holds_its_document() {
    let server = Server::memory();
    for id in [1, 2] {
        outside(&server, insert(id));
    }
    let mut session = Session::of(&server);
    for (round, commits) in [(1, true), (2, false)] {
        session.begin().must(add(1, 1));
        let update = Waiting::behind(&server, add(1, 10));
        let change = doc! {"findAndModify": "c", "query": {"_id": 1}, "update": {"$inc": {"n": 100}}};
        let change = Waiting::behind(&server, change);
        // What is elsewhere does not wait, and reads never do.
        assert_eq!(outcome(&outside(&server, add(2, 1))), "ok");
        assert_eq!(contents(&server), [(1, 111 * (round - 1)), (2, round)]);
        assert_eq!(if commits { session.commit() } else { session.abort() }, "ok");
        assert_eq!(update.reply().get_i32("nModified").ok(), Some(1));
        assert_eq!(outcome(&change.reply()), "ok");
        let committed = if commits { 111 } else { 111 + 110 };
        assert_eq!(contents(&server), [(1, committed), (2, round)]);
    }

    // What was there is gone by then, or there by then.
    session.begin().must(doc! {"delete": "c", "deletes": [{"q": {"_id": 1}, "limit": 1}]});
    session.must(insert(3));
    let update = Waiting::behind(&server, add(1, 10));
    let delete = Waiting::behind(&server, doc! {"delete": "c", "deletes": [{"q": {"_id": 1}, "limit": 1}]});
    let twice = Waiting::behind(&server, insert(3));
    assert_eq!(session.commit(), "ok");
    assert_eq!(update.reply().get_i32("n").ok(), Some(0));
    assert_eq!(delete.reply().get_i32("n").ok(), Some(0));
    assert_eq!(outcome(&twice.reply()), "write error 11000");
    session.begin().must(insert(4));
    let once = Waiting::behind(&server, insert(4));
    assert_eq!(session.abort(), "ok");
    assert_eq!(outcome(&once.reply()), "ok");
    assert_eq!(contents(&server), [(2, 2), (3, 0), (4, 0)]);
}

#[test]
fn a_write_of_many_documents_waits_for_the_one_that_is_held() {
    let server = Server::memory();
    for id in 1..=5 {
        outside(&server, insert(id));
    }
    let mut session = Session::of(&server);
    session.begin().must(add(3, 1));
    let all = doc! {"update": "c", "updates": [{"q": {}, "u": {"$inc": {"n": 10}}, "multi": true}]};
    let waiting = Waiting::behind(&server, all);
    assert_eq!(session.commit(), "ok");
    assert_eq!(waiting.reply().get_i32("nModified").ok(), Some(5));
    assert_eq!(contents(&server), [(1, 10), (2, 10), (3, 11), (4, 10), (5, 10)]);
}

#[test]
fn a_unique_key_is_waited_for() {
    let server = Server::memory();
    let index = doc! {"createIndexes": "c", "indexes": [{"key": {"sku": 1}, "name": "sku_1", "unique": true}]};
    outside(&server, index);
    let with = |id: i32, sku: &str| doc! {"insert": "c", "documents": [{"_id": id, "n": 0, "sku": sku}]};
    let mut session = Session::of(&server);
    session.begin().must(with(1, "a"));
    let second = Waiting::behind(&server, with(2, "a"));
    assert_eq!(session.commit(), "ok");
    assert_eq!(outcome(&second.reply()), "write error 11000");
    session.begin().must(with(3, "b"));
    let second = Waiting::behind(&server, with(4, "b"));
    assert_eq!(session.abort(), "ok");
    assert_eq!(outcome(&second.reply()), "ok");
    assert_eq!(contents(&server), [(1, 0), (4, 0)]);
}

#[test]
fn the_end_of_a_session_wakes_who_waits_for_it() {
    let server = Server::memory();
    outside(&server, insert(1));
    for end in ["killSessions", "endSessions", "killAllSessions", "killAllSessionsByPattern"] {
        let mut session = Session::of(&server);
        session.begin().must(add(1, 1));
        let waiting = Waiting::behind(&server, add(1, 10));
        let named = if end.starts_with("killAll") { vec![] } else { vec![session.lsid.clone()] };
        let reply = server.connect().command("admin", doc! {end: named}).unwrap();
        assert_eq!(outcome(&reply), "ok", "{end}");
        assert_eq!(outcome(&waiting.reply()), "ok", "{end}");
        assert_eq!(session.commit(), "251 TransientTransactionError", "{end}");
    }
    assert_eq!(contents(&server), [(1, 40)]);
}

/// A transaction that has read nothing yet cannot be shown an old state: once the other one has ended, it does its work on
/// what is there then, whether it has waited or starts over.
#[test]
fn a_transaction_whose_first_statement_met_another_works_on_what_that_left() {
    let server = Server::memory();
    outside(&server, insert(1));
    let (mut one, mut two) = (Session::of(&server), Session::of(&server));
    one.begin().must(add(1, 1));
    let second = std::thread::spawn(move || {
        loop {
            match outcome(&two.begin().run(add(1, 10))).as_str() {
                "ok" => break,
                told => assert_eq!(told, "112 TransientTransactionError"),
            }
        }
        let seen = two.must(doc! {"find": "c"});
        assert_eq!(two.commit(), "ok");
        seen
    });
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(one.commit(), "ok");
    assert_eq!(listed(&second.join().unwrap()), [(1, 11)]);
    assert_eq!(contents(&server), [(1, 11)]);
}

/// Writes by `_id` do not depend on anything that was read: a transaction of nothing else has no conflict with what was
/// committed before it came to a document.
#[test]
fn blind_writes_go_on_from_what_is_there() {
    let server = Server::memory();
    for id in [1, 2] {
        outside(&server, insert(id));
    }
    let (mut one, mut two) = (Session::of(&server), Session::of(&server));
    one.begin().must(add(1, 1));
    two.begin().must(add(2, 10));
    assert_eq!(two.commit(), "ok");
    one.must(add(2, 1));
    assert_eq!(listed(&one.must(doc! {"find": "c"})), [(1, 1), (2, 11)]);
    assert_eq!(one.commit(), "ok");
    assert_eq!(contents(&server), [(1, 1), (2, 11)]);
}

#[test]
fn what_changes_a_collection_waits_for_those_who_use_it() {
    let server = Server::memory();
    let commands = [
        doc! {"createIndexes": "c", "indexes": [{"key": {"n": 1}, "name": "n_1"}]},
        doc! {"dropIndexes": "c", "index": "n_1"},
        doc! {"drop": "c"},
    ];
    outside(&server, insert(1));
    let mut session = Session::of(&server);
    for (round, command) in (1..).zip(commands) {
        session.begin().must(add(1, 1));
        let waiting = Waiting::behind(&server, command.clone());
        session.must(add(1, 1));
        assert_eq!(
            session.must(doc! {"find": "c"}).get_document("cursor").unwrap().get_array("firstBatch").unwrap().len(),
            1
        );
        // It holds nobody up who is elsewhere.
        let elsewhere = doc! {"insert": "d", "documents": [{"_id": round}]};
        assert_eq!(outcome(&outside(&server, elsewhere)), "ok");
        assert_eq!(session.commit(), "ok", "{command}");
        assert_eq!(outcome(&waiting.reply()), "ok", "{command}");
    }
    assert_eq!(contents(&server), []);
}

#[test]
fn transactions_that_wait_for_each_other_do_not_wait_for_ever() {
    let server = Server::memory();
    for id in [1, 2] {
        outside(&server, insert(id));
    }
    let (mut one, mut two) = (Session::of(&server), Session::of(&server));
    one.begin().must(add(1, 1));
    two.begin().must(add(2, 1));
    let waiting = std::thread::spawn(move || {
        let told = outcome(&one.run(add(2, 10)));
        (one, told)
    });
    let second = outcome(&two.run(add(1, 10)));
    let (mut one, first) = waiting.join().unwrap();
    // One of them has to give way, and then the other one does all that it wanted; or both do.
    let conflict = "112 TransientTransactionError";
    let expected = match (first.as_str(), second.as_str()) {
        ("ok", told) if told == conflict => {
            assert_eq!(one.commit(), "ok");
            [(1, 1), (2, 10)]
        }
        (told, "ok") if told == conflict => {
            assert_eq!(two.commit(), "ok");
            [(1, 10), (2, 1)]
        }
        (one, two) => {
            assert_eq!((one, two), (conflict, conflict));
            [(1, 0), (2, 0)]
        }
    };
    assert_eq!(contents(&server), expected);
}

#[test]
fn a_collection_that_is_being_made_is_waited_for() {
    let server = Server::memory();
    let mut session = Session::of(&server);
    let commands = [
        (insert(2), "ok"),
        (doc! {"create": "c"}, "48"),
        (doc! {"createIndexes": "c", "indexes": [{"key": {"n": 1}, "name": "n_1"}]}, "ok"),
        (doc! {"drop": "c"}, "ok"),
    ];
    for (command, beside_a_commit) in commands {
        for commits in [true, false] {
            outside(&server, doc! {"drop": "c"});
            session.begin().must(insert(1));
            assert_eq!(contents(&server), []);
            let waiting = Waiting::behind(&server, command.clone());
            assert_eq!(if commits { session.commit() } else { session.abort() }, "ok");
            let expected = if commits { beside_a_commit } else { "ok" };
            assert_eq!(outcome(&waiting.reply()), expected, "{command} {commits}");
        }
    }
}
