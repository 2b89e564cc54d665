//! Retryable writes run once, also when the server crashes before they are repeated.

use bson::{Document, doc};

use super::{contents, insert, outcome, outside};
use crate::support::{Connection, Server};

/// CS-2.1.3, CS-13.7.
#[test]
fn every_retryable_write_runs_once_also_after_a_crash() {
    let mut server = Server::durable();
    for id in 1..=4 {
        outside(&server, insert(id));
    }
    let lsid = doc! {"id": bson::Uuid::new()};
    let writes: Vec<(&str, Document)> = vec![
        ("test", doc! {"insert": "c", "documents": [{"_id": 10, "n": 0}, {"_id": 11, "n": 0}]}),
        (
            "test",
            doc! {"update": "c", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}, {"q": {"_id": 12}, "u": {"$inc": {"n": 1}}, "upsert": true}]},
        ),
        ("test", doc! {"delete": "c", "deletes": [{"q": {"n": 0, "_id": {"$lt": 4}}, "limit": 1}]}),
        ("test", doc! {"findAndModify": "c", "query": {"_id": 3}, "update": {"$inc": {"n": 5}}, "new": true}),
        ("test", doc! {"findAndModify": "c", "query": {"_id": 4}, "remove": true}),
        (
            "admin",
            doc! {"bulkWrite": 1, "ops": [{"insert": 0, "document": {"_id": 13, "n": 0}}, {"update": 0, "filter": {"_id": 1}, "updateMods": {"$inc": {"n": 10}}}], "nsInfo": [{"ns": "test.c"}]},
        ),
    ];
    let mut connection = server.connect();
    let mut outcomes = Vec::new();
    let mut again = Vec::new();
    for (number, (db, mut command)) in (1i64..).zip(writes) {
        command.insert("lsid", lsid.clone());
        command.insert("txnNumber", number);
        let first = send(&mut connection, db, &command);
        assert_eq!(outcome(&first), "ok", "{command}");
        // At once, over another connection.
        assert_eq!(send(&mut server.connect(), db, &command), first, "{command}");
        outcomes.push(first);
        again.push((db, command));
    }
    let expected = [(1, 11), (3, 5), (10, 0), (11, 0), (12, 1), (13, 0)];
    assert_eq!(contents(&server), expected);

    server.kill();
    server.start_again();
    let mut connection = server.connect();
    let (db, last) = again.pop().unwrap();
    assert_eq!(send(&mut connection, db, &last), outcomes.pop().unwrap());
    // The session has gone on: what came before is not asked for again by any driver, and not done again either.
    for (db, command) in &again {
        assert_eq!(outcome(&send(&mut connection, db, command)), "225", "{command}");
    }
    assert_eq!(contents(&server), expected);
}

/// Each kind is the last one before a crash. CS-13.7.
#[test]
fn each_kind_of_write_is_remembered_over_a_crash() {
    let mut server = Server::durable();
    outside(&server, insert(1));
    let kinds = [
        doc! {"insert": "c", "documents": [{"_id": 2, "n": 0}], "stmtIds": [7]},
        doc! {"update": "c", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}], "stmtId": 3},
        doc! {"findAndModify": "c", "query": {"_id": 1}, "update": {"$inc": {"n": 5}}, "stmtId": 0},
        doc! {"delete": "c", "deletes": [{"q": {"_id": 2}, "limit": 1}]},
    ];
    // A session each.
    let commands: Vec<Document> = kinds
        .into_iter()
        .map(|mut command| {
            command.insert("lsid", doc! {"id": bson::Uuid::new()});
            command.insert("txnNumber", 1i64);
            command
        })
        .collect();
    let replies: Vec<Document> = commands.iter().map(|command| send(&mut server.connect(), "test", command)).collect();
    for _ in 0..2 {
        server.kill();
        server.start_again();
        for (command, reply) in commands.iter().zip(&replies) {
            assert_eq!(&send(&mut server.connect(), "test", command), reply, "{command}");
        }
    }
    assert_eq!(contents(&server), [(1, 6)]);
}

/// What a reply says of the write, without the times at which it was made.
fn send(connection: &mut Connection, db: &str, command: &Document) -> Document {
    let mut reply = connection.command(db, command.clone()).expect("a reply");
    for field in ["$clusterTime", "operationTime", "electionId", "opTime", "retriedStmtIds", "retriedStmtId"] {
        reply.remove(field);
    }
    reply
}
