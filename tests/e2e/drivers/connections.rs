//! URIs, compression, what a driver learns about the server.

use std::time::{Duration, Instant};

use bson::{Document, doc};
use futures::StreamExt;
use mongodb::Client;

use crate::support::Server;

#[tokio::test]
async fn all_forms_of_the_uri_connect() {
    let server = Server::memory();
    let base = format!("mongodb://{}/", server.address());
    for uri in [
        base.clone(),
        format!("{base}?directConnection=true"),
        format!("{base}?replicaSet=rs0"),
        format!("mongodb://localhost:{}/?replicaSet=rs0", server.port),
    ] {
        let client = Client::with_uri_str(&uri).await.unwrap();
        let began = Instant::now();
        let hello = client.database("admin").run_command(doc! {"hello": 1}).await.expect(&uri);
        assert!(began.elapsed() < Duration::from_secs(5), "{uri}: {:?}", began.elapsed());
        assert_eq!(hello.get_bool("isWritablePrimary").ok(), Some(true), "{uri}");
        assert_eq!(hello.get_str("setName").ok(), Some("rs0"), "{uri}");
        assert_eq!(hello.get_i32("maxWireVersion").ok(), Some(25), "{uri}");
        assert!(hello.get_document("topologyVersion").is_ok(), "{uri}");
    }
}

#[tokio::test]
async fn every_compressor_carries_documents_and_events() {
    let server = Server::memory();
    for compressor in ["snappy", "zlib", "zstd"] {
        let uri = format!("{}&compressors={compressor}", server.uri());
        let client = Client::with_uri_str(&uri).await.unwrap();
        let things = client.database(compressor).collection::<Document>("things");
        let mut stream = things.watch().await.unwrap();
        let text = "compressible ".repeat(5_000);
        things.insert_many((0..20).map(|id| doc! {"_id": id, "text": &text})).await.unwrap();
        let found = things.find_one(doc! {"_id": 19}).await.unwrap().expect(compressor);
        assert_eq!(found.get_str("text").ok(), Some(text.as_str()), "{compressor}");
        for id in 0..20 {
            let event = stream.next().await.expect(compressor).expect(compressor);
            assert_eq!(event.document_key, Some(doc! {"_id": id}), "{compressor}");
        }
    }
}

/// CS-13.25.
#[tokio::test]
async fn a_healthy_replica_set_of_one_is_described() {
    let server = Server::memory();
    let client = Client::with_uri_str(server.uri()).await.unwrap();
    let admin = client.database("admin");
    let status = admin.run_command(doc! {"replSetGetStatus": 1}).await.unwrap();
    assert_eq!(status.get_i32("myState").ok(), Some(1));
    let config = admin.run_command(doc! {"replSetGetConfig": 1}).await.unwrap();
    let config = config.get_document("config").unwrap();
    assert_eq!(config.get_str("_id").ok(), Some("rs0"));
    assert_eq!(config.get_array("members").unwrap().len(), 1);
    for command in [
        "ping",
        "buildInfo",
        "hostInfo",
        "serverStatus",
        "getCmdLineOpts",
        "connectionStatus",
        "whatsmyuri",
        "listCommands",
        "listDatabases",
        "startSession",
    ] {
        let reply = admin.run_command(doc! {command: 1}).await;
        assert!(reply.is_ok(), "{command}: {reply:?}");
    }
    for command in [
        doc! {"getParameter": 1, "featureCompatibilityVersion": 1},
        doc! {"getLog": "startupWarnings"},
        doc! {"refreshSessions": []},
        doc! {"endSessions": []},
    ] {
        let reply = admin.run_command(command.clone()).await;
        assert!(reply.is_ok(), "{command}: {reply:?}");
    }
}

/// CS-13.14, CS-13.19.
#[tokio::test]
async fn a_waiting_stream_does_not_hold_up_other_work() {
    let server = Server::memory();
    // One connection for the waiting getMore, one for everything else.
    let client = Client::with_uri_str(format!("{}&maxPoolSize=2", server.uri())).await.unwrap();
    let things = client.database("shop").collection::<Document>("things");
    let mut stream = things.watch().max_await_time(Duration::from_secs(30)).await.unwrap();
    let waiting = tokio::spawn(async move { stream.next().await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    for id in 1..=20 {
        let other = client.database("shop").collection::<Document>("other");
        other.insert_one(doc! {"_id": id}).await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(!waiting.is_finished(), "other collections do not wake it");
    things.insert_one(doc! {"_id": 1}).await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    assert!(event.unwrap().is_ok());
}
