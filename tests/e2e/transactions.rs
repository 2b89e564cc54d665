//! Multi-document transactions: where several connections meet, where the server goes away, and as the Rust driver makes them.
//!
//! What one connection can see is in `conformance/transaction_rules.txt` and beside it; the Python and Node.js drivers are in `programs`.

mod driver;
mod ends;
mod retryable;
mod waiting;

use bson::{Bson, Document, doc};

use crate::support::{Connection, Server};

/// A session with a connection of its own.
struct Session {
    connection: Connection,
    lsid: Document,
    number: i64,
    /// Whether the next statement is the first of a transaction.
    starts: bool,
}

impl Session {
    fn of(server: &Server) -> Self {
        let lsid = doc! {"id": bson::Uuid::new()};
        Self { connection: server.connect(), lsid, number: 0, starts: false }
    }

    /// The same session, on a new connection.
    fn reconnect(&mut self, server: &Server) {
        self.connection = server.connect();
    }

    /// The next statement starts a transaction.
    fn begin(&mut self) -> &mut Self {
        self.number += 1;
        self.starts = true;
        self
    }

    /// Runs a command in the transaction.
    fn run(&mut self, command: Document) -> Document {
        let command = self.inside(command);
        let reply = self.connection.command("test", command).expect("a reply");
        // Causally consistent sessions need both of every reply, also of one that is an error.
        for time in ["operationTime", "$clusterTime"] {
            assert!(reply.contains_key(time), "no {time} in {reply}");
        }
        reply
    }

    /// The same, which has to succeed.
    fn must(&mut self, command: Document) -> Document {
        let reply = self.run(command.clone());
        assert_eq!(outcome(&reply), "ok", "{command}");
        reply
    }

    fn commit(&mut self) -> String {
        self.end("commitTransaction")
    }

    fn abort(&mut self) -> String {
        self.end("abortTransaction")
    }

    fn end(&mut self, name: &str) -> String {
        let command = self.inside(doc! {name: 1});
        outcome(&self.connection.command("admin", command).expect("a reply"))
    }

    /// A command with the fields that put it into the transaction.
    fn inside(&mut self, mut command: Document) -> Document {
        command.insert("lsid", self.lsid.clone());
        command.insert("txnNumber", self.number);
        command.insert("autocommit", false);
        if std::mem::take(&mut self.starts) {
            command.insert("startTransaction", true);
        }
        command
    }
}

/// `ok`, or the code and the labels of what went wrong first.
fn outcome(reply: &Document) -> String {
    let labels: String =
        reply.get_array("errorLabels").into_iter().flatten().map(|label| format!(" {label}")).collect();
    let code = |error: &Document| error.get_i32("code").unwrap_or(-1);
    if reply.get_f64("ok").ok() != Some(1.0) {
        return format!("{}{}", code(reply), labels.replace('"', ""));
    }
    match reply.get_array("writeErrors").ok().and_then(|errors| errors.first()?.as_document()) {
        Some(error) => format!("write error {}", code(error)),
        None => "ok".to_owned(),
    }
}

fn insert(id: impl Into<Bson>) -> Document {
    doc! {"insert": "c", "documents": [{"_id": id.into(), "n": 0}]}
}

/// Adds to the `n` of one document.
fn add(id: i32, n: i32) -> Document {
    doc! {"update": "c", "updates": [{"q": {"_id": id}, "u": {"$inc": {"n": n}}}]}
}

/// A command outside of transactions.
fn outside(server: &Server, command: Document) -> Document {
    server.connect().command("test", command).expect("a reply")
}

/// The documents of the collection, as `(_id, n)`.
fn contents(server: &Server) -> Vec<(i32, i32)> {
    listed(&outside(server, doc! {"find": "c"}))
}

/// The documents of a reply, as `(_id, n)`.
fn listed(reply: &Document) -> Vec<(i32, i32)> {
    let documents = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch")).expect("documents");
    let number = |document: &Bson, field| document.as_document().and_then(|d| d.get_i32(field).ok()).unwrap_or(-1);
    documents.iter().map(|document| (number(document, "_id"), number(document, "n"))).collect()
}
