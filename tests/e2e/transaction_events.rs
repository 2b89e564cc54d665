//! Change streams over multi-document transactions, with the server killed between one event and the next.

mod crash;

use std::io;

use bson::{Bson, Document, doc};

use crate::crash::read_all;
use crate::support::{Connection, Server};

/// What a stream watches: a database and perhaps a collection, or everything.
const SCOPES: [(&str, Option<&str>); 3] = [("admin", None), ("shop", None), ("shop", Some("orders"))];
/// Namespaces that are written to.
const NAMESPACES: [(&str, &str); 3] = [("shop", "orders"), ("shop", "sold"), ("bank", "orders")];
/// An entry of the log holds three documents with so much in them.
const LARGE_BYTES: usize = 5 << 20;

/// CS-2.8.4, CS-5.8.1, CS-9.3.2, CS-14.3 and CS-14.4: whatever the size of the transaction, and wherever in it the client and
/// the server were when the server was killed, at every scope.
#[test]
fn streams_resume_after_each_event_over_crashes() {
    let mut server = Server::durable();
    let mut connection = server.connect();
    for (db, collection) in NAMESPACES {
        let images = doc! {"enabled": true};
        run(&mut connection, db, doc! {"create": collection, "changeStreamPreAndPostImages": images});
    }
    let starts = SCOPES.map(|scope| open(&mut connection, scope, &Start::Now).token());
    write_history(&mut connection);
    let mut seen = Vec::new();
    for (scope, start) in SCOPES.into_iter().zip(starts) {
        seen.push((scope, follow(&mut connection, scope, &Start::After(start))));
    }
    assert_eq!(seen[0].1.len(), 25);
    let inside: Vec<_> = seen[2].1.iter().filter(|event| event.contains_key("txnNumber")).collect();
    assert_eq!(inside.len(), 4 + 9);
    for at in 0..seen[0].1.len() {
        let event = seen[0].1[at].clone();
        server.kill();
        server.start_again();
        let mut connection = server.connect();
        for (scope, events) in &seen {
            let Some(here) = events.iter().position(|other| other == &event) else { continue };
            let rest = follow(&mut connection, *scope, &Start::After(token(&event)));
            assert!(
                rest == events[here + 1..],
                "{scope:?} after {here}: {} of {}",
                rest.len(),
                events.len() - here - 1
            );
        }
    }
    // Images are those of each moment, and so is what they make of the document after it.
    let before_and_after: Vec<_> = inside.iter().map(|event| (number(event, BEFORE), number(event, AFTER))).collect();
    let small = [(None, Some(1)), (Some(1), Some(2)), (Some(2), Some(3)), (Some(3), None)];
    assert_eq!(before_and_after[..4], small);
    assert!(before_and_after[4..].iter().all(|pair| matches!(pair, (None, Some(0)) | (Some(0), Some(1)))));
}

/// CS-2.8.3 and CS-14.42: what was not committed when the server was killed has left no trace.
#[test]
fn an_open_transaction_ends_with_the_server() {
    let mut server = Server::durable();
    let mut connection = server.connect();
    let scope = SCOPES[2];
    let start = open(&mut connection, scope, &Start::Now).token();
    let mut session = Session::new();
    session.begin();
    session.run(&mut connection, "shop", doc! {"insert": "orders", "documents": [{"_id": 1}]});
    run(&mut connection, "shop", doc! {"insert": "sold", "documents": [{"_id": 1}]});
    server.kill();
    server.start_again();
    let mut connection = server.connect();
    let reply = session.command(&mut connection, "admin", doc! {"commitTransaction": 1});
    assert_eq!(reply.get_i32("code").ok(), Some(251), "{reply}");
    run(&mut connection, "shop", doc! {"insert": "orders", "documents": [{"_id": END}]});
    assert!(follow(&mut connection, scope, &Start::After(start)).is_empty());
    let entries =
        read_all(&mut connection, "local", doc! {"find": "oplog.rs", "filter": {"o.applyOps": {"$exists": true}}});
    assert!(entries.is_empty(), "{entries:?}");
    let found = read_all(&mut connection, "shop", doc! {"find": "orders", "filter": {"_id": 1}});
    assert!(found.is_empty());
}

/// A small transaction and one of several entries, with single writes around them.
fn write_history(connection: &mut Connection) {
    let mut session = Session::new();
    let set = |n: i32| doc! {"q": {"_id": 1}, "u": {"$set": {"n": n}}};
    run(connection, "shop", doc! {"insert": "orders", "documents": [{"_id": 0, "n": 0}]});
    session.begin();
    session.run(connection, "bank", doc! {"insert": "orders", "documents": [{"_id": 1}]});
    session.run(connection, "shop", doc! {"insert": "orders", "documents": [{"_id": 1, "n": 1}]});
    session.run(connection, "shop", doc! {"insert": "sold", "documents": [{"_id": 1}]});
    session.run(connection, "shop", doc! {"update": "orders", "updates": [set(2), set(3)]});
    session.run(connection, "bank", doc! {"delete": "orders", "deletes": [{"q": {"_id": 1}, "limit": 1}]});
    session.run(connection, "shop", doc! {"delete": "orders", "deletes": [{"q": {"_id": 1}, "limit": 1}]});
    session.run(connection, "shop", doc! {"update": "sold", "updates": [set(2)]});
    session.commit(connection);
    run(connection, "shop", doc! {"insert": "orders", "documents": [{"_id": 2, "n": 0}]});
    session.begin();
    for id in 10..15 {
        let large = doc! {"_id": id, "n": 0, "large": "x".repeat(LARGE_BYTES)};
        session.run(connection, "shop", doc! {"insert": "orders", "documents": [large]});
        session.run(connection, "bank", doc! {"insert": "orders", "documents": [{"_id": id}]});
        if id < 14 {
            let change = doc! {"q": {"_id": id}, "u": {"$set": {"n": 1}}};
            session.run(connection, "shop", doc! {"update": "orders", "updates": [change]});
        }
    }
    session.commit(connection);
    run(connection, "bank", doc! {"insert": "orders", "documents": [{"_id": 2}]});
    run(connection, "shop", doc! {"insert": "orders", "documents": [{"_id": END}]});
}

/// The document whose insert ends every stream.
const END: &str = "end";
const BEFORE: &str = "fullDocumentBeforeChange";
const AFTER: &str = "fullDocument";

fn number(event: &Document, image: &str) -> Option<i32> {
    event.get_document(image).ok()?.get_i32("n").ok()
}

struct Session {
    lsid: Document,
    number: i64,
    fresh: bool,
}

impl Session {
    fn new() -> Self {
        Self { lsid: doc! {"id": bson::Uuid::new()}, number: 0, fresh: false }
    }

    fn begin(&mut self) {
        self.number += 1;
        self.fresh = true;
    }

    fn command(&mut self, connection: &mut Connection, db: &str, command: Document) -> Document {
        self.try_command(connection, db, command).expect("a reply")
    }

    /// The same, where the server may be gone.
    fn try_command(&mut self, connection: &mut Connection, db: &str, mut command: Document) -> io::Result<Document> {
        command.extend(doc! {"lsid": self.lsid.clone(), "txnNumber": self.number, "autocommit": false});
        if std::mem::take(&mut self.fresh) {
            command.insert("startTransaction", true);
        }
        connection.command(db, command)
    }

    fn run(&mut self, connection: &mut Connection, db: &str, command: Document) {
        check(&self.command(connection, db, command));
    }

    fn commit(&mut self, connection: &mut Connection) {
        self.run(connection, "admin", doc! {"commitTransaction": 1});
    }
}

fn run(connection: &mut Connection, db: &str, command: Document) {
    check(&connection.command(db, command).expect("a reply"));
}

fn check(reply: &Document) {
    let fine = reply.get_f64("ok").ok() == Some(1.0) && !reply.contains_key("writeErrors");
    assert!(fine, "{reply}");
}

enum Start {
    Now,
    After(Document),
}

struct Cursor(Document);

impl Cursor {
    fn token(&self) -> Document {
        self.0.get_document("postBatchResumeToken").expect("a position").clone()
    }

    fn events(&self) -> Vec<Document> {
        let batch = self.0.get_array("firstBatch").or(self.0.get_array("nextBatch")).expect("a batch");
        batch.iter().filter_map(Bson::as_document).cloned().collect()
    }
}

/// A stream that needs every image, and shows no more of large documents than that they are there.
fn open(connection: &mut Connection, scope: (&str, Option<&str>), start: &Start) -> Cursor {
    let (db, collection) = scope;
    let mut options = doc! {"fullDocument": "required", "fullDocumentBeforeChange": "required"};
    if collection.is_none() && db == "admin" {
        options.insert("allChangesForCluster", true);
    }
    if let Start::After(token) = start {
        options.insert("resumeAfter", token.clone());
    }
    let small = doc! {"$unset": ["fullDocument.large", "fullDocumentBeforeChange.large"]};
    let pipeline = vec![doc! {"$changeStream": options}, small];
    let aggregate = collection.map_or(Bson::Int32(1), Bson::from);
    let command = doc! {"aggregate": aggregate, "pipeline": pipeline, "cursor": {"batchSize": 2}};
    let reply = connection.command(db, command).expect("a reply");
    Cursor(reply.get_document("cursor").unwrap_or_else(|_| panic!("aggregate: {reply}")).clone())
}

/// The events up to the last, a few at a time.
fn follow(connection: &mut Connection, scope: (&str, Option<&str>), start: &Start) -> Vec<Document> {
    let mut cursor = open(connection, scope, start);
    let mut events = Vec::new();
    loop {
        for event in cursor.events() {
            if event.get_document("documentKey").and_then(|key| key.get_str("_id")).ok() == Some(END) {
                return events;
            }
            events.push(event);
        }
        let collection = scope.1.unwrap_or("$cmd.aggregate");
        let id = cursor.0.get_i64("id").expect("an id");
        let more = doc! {"getMore": id, "collection": collection, "batchSize": 3};
        let reply = connection.command(scope.0, more).expect("a reply");
        cursor = Cursor(reply.get_document("cursor").unwrap_or_else(|_| panic!("getMore: {reply}")).clone());
    }
}

fn token(event: &Document) -> Document {
    event.get_document("_id").expect("a token").clone()
}
