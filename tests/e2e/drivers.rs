//! The Rust driver: documents, streams, errors, the log, connections.

mod connections;
mod documents;
mod errors;
mod log;
mod resuming;
mod streams;

use mongodb::error::{Error, ErrorKind};
use mongodb::{Client, Collection};

use crate::support::Server;
use bson::Document;

/// A server of its own, and a client of it.
async fn fresh() -> (Server, Client) {
    let server = Server::memory();
    let client = Client::with_uri_str(server.uri()).await.expect("a client");
    (server, client)
}

/// A collection in a server of its own, which ends with the first value.
async fn collection() -> (Server, Collection<Document>) {
    let (server, client) = fresh().await;
    (server, client.database("shop").collection("orders"))
}

/// The code of a command's error.
fn code(error: &Error) -> i32 {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => command.code,
        other => panic!("not a command error: {other:?}"),
    }
}
