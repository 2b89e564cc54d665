//! A server on a free port, spoken to in raw wire messages: the handshake, the rules of a
//! connection, and what must not hurt anyone else.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use bson::spec::BinarySubtype;
use bson::{Bson, Document, doc};
use millstream_server::Options;
use millstream_wire::{Compressor, Flags, HEADER_BYTES, OpCode, Outgoing, encode_query};
use support::{Running, keys};

fn is_error(reply: &Document, code: i32, name: &str) {
    assert_eq!(reply.get_f64("ok").unwrap(), 0.0, "{reply}");
    assert_eq!(reply.get_i32("code").unwrap(), code, "{reply}");
    assert_eq!(reply.get_str("codeName").unwrap(), name, "{reply}");
}

fn is_ok(reply: &Document) {
    assert_eq!(reply.get_f64("ok").unwrap(), 1.0, "{reply}");
}

/// CS-11.3.1, CS-11.3.8, CS-13.6.
const HELLO_KEYS: &[&str] = &[
    "topologyVersion",
    "hosts",
    "setName",
    "setVersion",
    "isWritablePrimary",
    "secondary",
    "primary",
    "me",
    "electionId",
    "lastWrite",
    "maxBsonObjectSize",
    "maxMessageSizeBytes",
    "maxWriteBatchSize",
    "localTime",
    "logicalSessionTimeoutMinutes",
    "connectionId",
    "minWireVersion",
    "maxWireVersion",
    "readOnly",
    "ok",
    "$clusterTime",
    "operationTime",
];

/// CS-11.4.3.
const STATUS_KEYS: &[&str] = &[
    "set",
    "date",
    "myState",
    "term",
    "syncSourceHost",
    "syncSourceId",
    "heartbeatIntervalMillis",
    "majorityVoteCount",
    "writeMajorityCount",
    "votingMembersCount",
    "writableVotingMembersCount",
    "optimes",
    "lastStableRecoveryTimestamp",
    "electionCandidateMetrics",
    "members",
    "ok",
    "$clusterTime",
    "operationTime",
];

/// CS-11.4.3: its one member.
const MEMBER_KEYS: &[&str] = &[
    "_id",
    "name",
    "health",
    "state",
    "stateStr",
    "uptime",
    "optime",
    "optimeDate",
    "lastAppliedWallTime",
    "lastDurableWallTime",
    "syncSourceHost",
    "syncSourceId",
    "infoMessage",
    "electionTime",
    "electionDate",
    "configVersion",
    "configTerm",
    "self",
    "lastHeartbeatMessage",
];

/// CS-11.3.2, CS-11.3.3.
#[tokio::test(flavor = "multi_thread")]
async fn hello_describes_a_primary() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let hello = client.run(doc! { "hello": 1, "$db": "admin" }).await;
    assert_eq!(keys(&hello), HELLO_KEYS);
    let me = server.address.to_string();
    assert_eq!(hello.get_str("me").unwrap(), me);
    assert_eq!(hello.get_str("primary").unwrap(), me);
    assert_eq!(hello.get_array("hosts").unwrap(), &[Bson::from(me)]);
    assert_eq!(hello.get_str("setName").unwrap(), "rs0");
    assert!(hello.get_bool("isWritablePrimary").unwrap());
    assert_eq!(hello.get_i32("maxWireVersion").unwrap(), 25);
    assert_eq!(hello.get_i32("maxMessageSizeBytes").unwrap(), 48_000_000);
    assert_eq!(hello.get_object_id("electionId").unwrap().to_hex(), "7fffffff0000000000000001");
    let last_write = hello.get_document("lastWrite").unwrap();
    assert_eq!(keys(last_write), ["opTime", "lastWriteDate", "majorityOpTime", "majorityWriteDate"]);
    let cluster_time = hello.get_document("$clusterTime").unwrap();
    assert_eq!(
        cluster_time.get_document("signature").unwrap(),
        &doc! {
            "hash": bson::Binary { subtype: BinarySubtype::Generic, bytes: vec![0; 20] },
            "keyId": 0i64,
        }
    );
    assert_eq!(cluster_time.get("clusterTime"), hello.get("operationTime"));
    assert_eq!(hello.get_timestamp("operationTime").unwrap(), bson::Timestamp { time: 1_755_427_520, increment: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_spellings_work() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    for name in ["isMaster", "ismaster"] {
        let reply = client.run(doc! { name: 1, "helloOk": true, "$db": "test" }).await;
        assert!(reply.get_bool("ismaster").unwrap() && reply.get_bool("helloOk").unwrap());
        assert_eq!(keys(&reply)[0], "helloOk");
        assert!(!reply.contains_key("isWritablePrimary"));
    }
}

/// CS-13.12: the first message of most connections.
#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_may_be_a_legacy_query() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let command = doc! { "isMaster": 1, "helloOk": true, "client": { "driver": { "name": "x" } } };
    client.write(&encode_query(5, "admin.$cmd", &command.to_vec().unwrap()).unwrap()).await;
    let (header, body) = client.read_raw().await.unwrap();
    assert_eq!((header.op_code, header.response_to), (OpCode::Reply, 5));
    let reply = Document::from_reader(&body[20..]).unwrap();
    assert!(reply.get_bool("ismaster").unwrap());
    for (namespace, command) in [("admin.$cmd", doc! { "ping": 1 }), ("shop.orders", doc! { "isMaster": 1 })] {
        client.write(&encode_query(6, namespace, &command.to_vec().unwrap()).unwrap()).await;
        let (_, body) = client.read_raw().await.unwrap();
        let reply = Document::from_reader(&body[20..]).unwrap();
        is_error(&reply, 352, "UnsupportedOpQueryCommand");
    }
    is_ok(&client.run(doc! { "ping": 1, "$db": "admin" }).await);
}

/// CS-11.3.5.
#[tokio::test(flavor = "multi_thread")]
async fn client_metadata_is_said_once() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let hello = doc! { "hello": 1, "client": { "driver": { "name": "x" } }, "$db": "admin" };
    is_ok(&client.run(hello.clone()).await);
    assert_eq!(client.run(hello).await.get_i32("code").unwrap(), 186);
    is_ok(&client.run(doc! { "hello": 1, "$db": "admin" }).await);
}

/// CS-11.3.6, CS-13.15.
#[tokio::test(flavor = "multi_thread")]
async fn hello_waits_while_nothing_changes() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let first = client.run(doc! { "hello": 1, "$db": "admin" }).await;
    let known = first.get_document("topologyVersion").unwrap().clone();
    let ask = |known: &Document, patience: i64| {
        doc! { "hello": 1, "topologyVersion": known, "maxAwaitTimeMS": patience, "$db": "admin" }
    };

    let start = Instant::now();
    let reply = client.run(ask(&known, 200)).await;
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(reply.get_document("topologyVersion").unwrap(), &known);

    let start = Instant::now();
    let other = doc! { "processId": bson::oid::ObjectId::new(), "counter": 1i64 };
    is_ok(&client.run(ask(&other, 60_000)).await);
    let mut older = known.clone();
    older.insert("counter", known.get_i64("counter").unwrap() - 1);
    is_ok(&client.run(ask(&older, 60_000)).await);
    assert!(start.elapsed() < Duration::from_secs(30), "an outdated client waits for nothing");

    let mut newer = known.clone();
    newer.insert("counter", known.get_i64("counter").unwrap() + 1);
    is_error(&client.run(ask(&newer, 10)).await, 31382, "Location31382");
    let mut negative = known.clone();
    negative.insert("counter", -1i64);
    is_error(&client.run(ask(&negative, 10)).await, 31372, "Location31372");
    is_error(&client.run(ask(&known, -1)).await, 2, "BadValue");
    let half = doc! { "hello": 1, "topologyVersion": &known, "$db": "admin" };
    is_error(&client.run(half).await, 31368, "Location31368");
    let half = doc! { "hello": 1, "maxAwaitTimeMS": 10, "$db": "admin" };
    is_error(&client.run(half).await, 31368, "Location31368");
    let exhaust = Flags { exhaust_allowed: true, ..Flags::default() };
    client.send(doc! { "hello": 1, "$db": "admin" }, exhaust, None).await;
    is_error(&client.receive().await.unwrap().document, 51756, "Location51756");
}

/// CS-11.3.7.
#[tokio::test(flavor = "multi_thread")]
async fn hello_streams_to_clients_that_allow_it() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let first = client.run(doc! { "hello": 1, "$db": "admin" }).await;
    let known = first.get_document("topologyVersion").unwrap().clone();
    let hello = doc! { "hello": 1, "topologyVersion": known, "maxAwaitTimeMS": 50, "$db": "admin" };
    let exhaust = Flags { exhaust_allowed: true, ..Flags::default() };
    let mut answered = client.send(hello, exhaust, None).await;
    for _ in 0..4 {
        let reply = client.receive().await.unwrap();
        is_ok(&reply.document);
        assert!(reply.flags.more_to_come);
        assert_eq!(reply.response_to, answered);
        answered = reply.id;
    }
    // The stop is an error that ends the stream and says where the topology is (CS-13.13).
    server.shutdown.start();
    let last = loop {
        let reply = client.receive().await.unwrap();
        if !reply.flags.more_to_come {
            break reply.document;
        }
    };
    is_error(&last, 11600, "InterruptedAtShutdown");
    assert!(last.contains_key("topologyVersion"));
}

/// CS-13.18.
#[tokio::test(flavor = "multi_thread")]
async fn compression_is_what_both_sides_speak() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let ask = |names: &[&str]| doc! { "hello": 1, "compression": names, "$db": "admin" };
    let reply = client.run(ask(&["lz4", "zlib", "snappy", "zlib"])).await;
    assert_eq!(reply.get_array("compression").unwrap(), &["zlib".into(), "snappy".into()]);
    assert!(!client.run(ask(&["lz4"])).await.contains_key("compression"));

    for compressor in [Compressor::Noop, Compressor::Snappy, Compressor::Zlib, Compressor::Zstd] {
        let ping = doc! { "listCommands": 1, "$db": "admin" };
        client.send(ping, Flags::default(), Some(compressor)).await;
        let reply = client.receive().await.unwrap();
        is_ok(&reply.document);
        assert_eq!(reply.compressor, Some(compressor));

        client.send(ask(&["snappy"]), Flags::default(), Some(compressor)).await;
        let reply = client.receive().await.unwrap();
        is_ok(&reply.document);
        assert_eq!(reply.compressor, None, "the handshake is never compressed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checksum_is_answered_with_one() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let flags = Flags { checksum_present: true, ..Flags::default() };
    client.send(doc! { "ping": 1, "$db": "admin" }, flags, None).await;
    assert!(client.receive().await.unwrap().flags.checksum_present);
}

/// CS-13.20, CS-13.26.
#[tokio::test(flavor = "multi_thread")]
async fn errors_leave_the_connection_usable() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let reply = client.run(doc! { "atlasVersion": 1, "$db": "admin" }).await;
    is_error(&reply, 59, "CommandNotFound");
    assert_eq!(reply.get_str("errmsg").unwrap(), "no such command: 'atlasVersion'");
    assert!(reply.contains_key("$clusterTime") && reply.contains_key("operationTime"));

    is_error(&client.run(doc! {}).await, 40571, "Location40571");
    is_error(&client.run(doc! { "$db": "admin" }).await, 59, "CommandNotFound");
    is_error(&client.run(doc! { "ping": 1 }).await, 40571, "Location40571");
    is_error(&client.run(doc! { "ping": 1, "$db": 5 }).await, 14, "TypeMismatch");
    for database in ["", "a.b", "a b", "a$b", &"a".repeat(64)] {
        let reply = client.run(doc! { "ping": 1, "$db": database }).await;
        is_error(&reply, 73, "InvalidNamespace");
    }
    let reply = client.run(doc! { "replSetGetStatus": 1, "$db": "test" }).await;
    is_error(&reply, 13, "Unauthorized");
    let message = "replSetGetStatus may only be run against the admin database.";
    assert_eq!(reply.get_str("errmsg").unwrap(), message);

    let reply = client.run(doc! { "endSessions": [], "bogus": 1, "$db": "admin" }).await;
    assert_eq!(reply.get_i32("code").unwrap(), 40415);
    let message = "BSON field 'endSessions.bogus' is an unknown field.";
    assert_eq!(reply.get_str("errmsg").unwrap(), message);
    // CS-13.4: generic fields are fine everywhere.
    let generic = doc! {
        "endSessions": [], "$db": "admin", "$clusterTime": {}, "$readPreference": {},
        "apiVersion": "1", "comment": 1, "maxTimeMS": 1, "readConcern": {}, "writeConcern": {},
        "mayBypassWriteBlocking": false,
    };
    is_ok(&client.run(generic).await);
    is_ok(&client.run(doc! { "ping": 1, "$db": "admin" }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_part_of_a_transaction_is_refused_clearly() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let lsid = doc! { "id": uuid(7) };
    let command = doc! {
        "ping": 1, "lsid": &lsid, "txnNumber": 1i64, "startTransaction": true,
        "autocommit": false, "$db": "shop",
    };
    is_error(&client.run(command).await, 263, "OperationNotSupportedInTransaction");
    for name in ["commitTransaction", "abortTransaction"] {
        let command = doc! {
            name: 1, "lsid": &lsid, "txnNumber": 1i64, "autocommit": false, "$db": "admin"
        };
        is_error(&client.run(command).await, 251, "NoSuchTransaction");
    }
    let command = doc! { "ping": 1, "lsid": &lsid, "autocommit": true, "$db": "shop" };
    is_error(&client.run(command).await, 72, "InvalidOptions");
    let command = doc! { "ping": 1, "lsid": &lsid, "startTransaction": true, "$db": "shop" };
    is_error(&client.run(command).await, 72, "InvalidOptions");
    let command = doc! { "ping": 1, "lsid": &lsid, "txnNumber": 1i64, "$db": "shop" };
    assert_eq!(client.run(command).await.get_i32("code").unwrap(), 50768);
}

/// There are no users to log in as.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_refused_clearly() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let login = doc! { "saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": "n,,n=user,r=abc", "$db": "admin" };
    is_error(&client.run(login).await, 18, "AuthenticationFailed");
    is_ok(&client.run(doc! { "ping": 1, "$db": "admin" }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_counted() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let documents = vec![doc! { "_id": 1 }, doc! { "_id": 2, "a": "x" }];
    is_ok(&client.run(doc! { "insert": "c", "documents": documents, "$db": "test" }).await);

    let collection = client.run(doc! { "collStats": "c", "$db": "test" }).await;
    is_ok(&collection);
    let database = client.run(doc! { "dbStats": 1, "$db": "test" }).await;
    is_ok(&database);
    let stages = vec![doc! { "$collStats": { "count": {} } }];
    let stage = client.run(doc! { "aggregate": "c", "pipeline": stages, "cursor": {}, "$db": "test" }).await;
    is_ok(&stage);

    let number = |reply: &Document, field: &str| match reply.get(field) {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        Some(Bson::Double(number)) if number.fract() == 0.0 => format!("{number}").parse().unwrap(),
        other => panic!("{field}: {other:?}"),
    };
    assert_eq!(number(&collection, "count"), 2);
    // `{_id: 1}` takes 14 bytes, and `a: "x"` 9 more.
    assert_eq!(number(&collection, "size"), 14 + 23);
    assert_eq!(number(&database, "objects"), 2);
    assert_eq!(number(&database, "collections"), 1);
    let rows = stage.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    assert_eq!(number(rows.first().unwrap().as_document().unwrap(), "count"), 2);
}

fn uuid(byte: u8) -> bson::Binary {
    bson::Binary { subtype: BinarySubtype::Uuid, bytes: vec![byte; 16] }
}

/// CS-8.5.1, CS-13.5.
#[tokio::test(flavor = "multi_thread")]
async fn session_commands_check_their_arguments() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let started = client.run(doc! { "startSession": 1, "$db": "admin" }).await;
    assert_eq!(started.get_i32("timeoutMinutes").unwrap(), 30);
    let id = started.get_document("id").unwrap().get_binary_generic("id");
    assert!(id.is_err(), "a UUID is not generic binary");

    let sessions = vec![doc! { "id": uuid(1) }, doc! { "id": uuid(2) }];
    for name in ["refreshSessions", "endSessions", "killSessions"] {
        is_ok(&client.run(doc! { name: &sessions, "$db": "admin" }).await);
        is_error(&client.run(doc! { name: [1], "$db": "admin" }).await, 14, "TypeMismatch");
        let reply = client.run(doc! { name: [{ "id": "x" }], "$db": "admin" }).await;
        is_error(&reply, 14, "TypeMismatch");
    }
    is_ok(&client.run(doc! { "ping": 1, "lsid": { "id": uuid(3) }, "$db": "admin" }).await);
    let reply = client.run(doc! { "ping": 1, "lsid": { "id": 3 }, "$db": "admin" }).await;
    is_error(&reply, 14, "TypeMismatch");
    is_ok(&client.run(doc! { "killAllSessions": [], "$db": "admin" }).await);
}

/// CS-8.4.3.
#[tokio::test(flavor = "multi_thread")]
async fn cursors_end_with_their_sessions() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    for (ending, ends) in [
        (doc! { "endSessions": [{ "id": uuid(1) }] }, true),
        (doc! { "killSessions": [{ "id": uuid(1) }] }, true),
        (doc! { "killSessions": [] }, true),
        (doc! { "killAllSessions": [] }, true),
        (doc! { "endSessions": [{ "id": uuid(2) }] }, false),
        (doc! { "refreshSessions": [{ "id": uuid(1) }] }, false),
    ] {
        let lsid = doc! { "id": uuid(1) };
        let pipeline = vec![doc! { "$changeStream": {} }];
        let watch = doc! { "aggregate": "c", "pipeline": pipeline, "cursor": {}, "lsid": &lsid, "$db": "test" };
        let id = client.run(watch).await.get_document("cursor").unwrap().get_i64("id").unwrap();
        let mut command = ending.clone();
        command.insert("$db", "admin");
        is_ok(&client.run(command).await);
        let more = doc! { "getMore": id, "collection": "c", "maxTimeMS": 1, "lsid": &lsid, "$db": "test" };
        let reply = client.run(more).await;
        if ends { is_error(&reply, 43, "CursorNotFound") } else { is_ok(&reply) }
    }
}

/// CS-11.4.1 (the set exists from the start), CS-11.4.3, CS-11.4.4, CS-11.4.6, CS-13.25.
#[tokio::test(flavor = "multi_thread")]
async fn mongosh_sees_a_healthy_set() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let status = client.run(doc! { "replSetGetStatus": 1, "$db": "admin" }).await;
    assert_eq!((status.get_str("set").unwrap(), status.get_i32("myState").unwrap()), ("rs0", 1));
    assert_eq!(keys(&status), STATUS_KEYS);
    let member = status.get_array("members").unwrap()[0].as_document().unwrap().clone();
    assert_eq!(keys(&member), MEMBER_KEYS);
    assert_eq!(member.get_str("stateStr").unwrap(), "PRIMARY");
    assert_eq!(member.get_str("name").unwrap(), server.address.to_string());

    let config = client.run(doc! { "replSetGetConfig": 1, "$db": "admin" }).await;
    let config = config.get_document("config").unwrap();
    assert_eq!(config.get_str("_id").unwrap(), "rs0");
    let members = config.get_array("members").unwrap();
    let member = doc! {
        "_id": 0, "host": server.address.to_string(), "arbiterOnly": false, "buildIndexes": true, "hidden": false,
        "priority": 1, "tags": {}, "secondaryDelaySecs": 0i64, "votes": 1,
    };
    assert_eq!(members, &[member.into()]);
    let id = config.get_document("settings").unwrap().get_object_id("replicaSetId").unwrap();
    let again = client.run(doc! { "replSetGetConfig": 1, "$db": "admin" }).await;
    let settings = again.get_document("config").unwrap().get_document("settings").unwrap();
    assert_eq!(settings.get_object_id("replicaSetId").unwrap(), id);

    let reply = client.run(doc! { "replSetInitiate": {}, "$db": "admin" }).await;
    is_error(&reply, 23, "AlreadyInitialized");
    assert_eq!(reply.get_str("errmsg").unwrap(), "already initialized");

    let build = client.run(doc! { "buildInfo": 1, "$db": "admin" }).await;
    assert_eq!(build.get_str("version").unwrap(), "8.0.10");
    assert!(build.contains_key("millstreamVersion") && build.contains_key("versionArray"));
    assert_eq!(build.get_i32("maxBsonObjectSize").unwrap(), 16 * 1024 * 1024);
    assert_eq!(build.get_array("modules").unwrap(), &[]);
    let version = client.run(doc! { "getParameter": 1, "featureCompatibilityVersion": 1, "$db": "admin" }).await;
    assert_eq!(version.get_document("featureCompatibilityVersion").unwrap(), &doc! { "version": "8.0" });
    let log = client.run(doc! { "getLog": "startupWarnings", "$db": "admin" }).await;
    let line = log.get_array("log").unwrap()[0].as_str().unwrap().to_owned();
    assert!(line.starts_with(r#"{"t":{"$date":"20"#), "{line}");
    assert!(line.contains(r#""msg":"anyone can connect""#), "{line}");
    for command in [
        "connectionStatus",
        "features",
        "getCmdLineOpts",
        "hostInfo",
        "listCommands",
        "logout",
        "ping",
        "serverStatus",
        "top",
        "whatsmyuri",
    ] {
        is_ok(&client.run(doc! { command: 1, "$db": "admin" }).await);
    }
    let reply = client.run(doc! { "getParameter": 1, "bogus": 1, "$db": "admin" }).await;
    is_error(&reply, 72, "InvalidOptions");
    let reply = client.run(doc! { "setParameter": 1, "bogus": 1, "$db": "admin" }).await;
    is_error(&reply, 72, "InvalidOptions");
    let reply = client.run(doc! { "getLog": "bogus", "$db": "admin" }).await;
    is_error(&reply, 96, "OperationFailed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_counts() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.run(doc! { "ping": 1, "$db": "admin" }).await;
    }
    let status = client.run(doc! { "serverStatus": 1, "$db": "admin" }).await;
    let connections = status.get_document("connections").unwrap();
    assert_eq!((connections.get_i32("current").unwrap(), connections.get_i32("active").unwrap()), (1, 1));
    let ping = status.get_document("metrics").unwrap().get_document("commands").unwrap();
    assert_eq!(ping.get_document("ping").unwrap(), &doc! { "failed": 0i64, "total": 3i64 });
    assert_eq!(status.get_document("opcounters").unwrap().get_i64("command").unwrap(), 3);
    assert!(status.get_document("network").unwrap().get_i64("bytesIn").unwrap() > 100);
}

/// CS-8.3.12: a getMore that allows a stream of replies gets one reply, which is legal.
#[tokio::test(flavor = "multi_thread")]
async fn a_getmore_is_answered_once() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let pipeline = vec![doc! { "$changeStream": {} }];
    let opened = client.run(doc! { "aggregate": "c", "pipeline": pipeline, "cursor": {}, "$db": "test" }).await;
    let id = opened.get_document("cursor").unwrap().get_i64("id").unwrap();
    let more = doc! { "getMore": id, "collection": "c", "maxTimeMS": 1, "$db": "test" };
    let sent = client.send(more, Flags { exhaust_allowed: true, ..Flags::default() }, None).await;
    let reply = client.receive().await.unwrap();
    assert_eq!((reply.response_to, reply.flags.more_to_come), (sent, false));
    is_ok(&reply.document);
    is_ok(&client.run(doc! { "ping": 1, "$db": "admin" }).await);
}

/// CS-13.16: nobody waits for a reply, so none may come.
#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged_requests_get_no_reply() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let quiet = Flags { more_to_come: true, ..Flags::default() };
    let write = doc! { "insert": "c", "documents": [{ "_id": 9 }], "writeConcern": { "w": 0 }, "$db": "test" };
    client.send(write, quiet, None).await;
    client.send(doc! { "nonsense": 1, "$db": "admin" }, quiet, None).await;
    let asked = client.send(doc! { "ping": 1, "$db": "admin" }, Flags::default(), None).await;
    assert_eq!(client.receive().await.unwrap().response_to, asked);
    let counted = client.run(doc! { "count": "c", "$db": "test" }).await;
    assert_eq!(counted.get_i32("n").unwrap(), 1);
}

/// CS-13.19.
#[tokio::test(flavor = "multi_thread")]
async fn requests_sent_ahead_are_answered_in_order() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    let mut asked = Vec::new();
    for _ in 0..50 {
        asked.push(client.send(doc! { "ping": 1, "$db": "admin" }, Flags::default(), None).await);
    }
    for id in asked {
        assert_eq!(client.receive().await.unwrap().response_to, id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_requests_are_read_whole() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    for bytes in [4_000, 300_000, 16_000_000] {
        let ping = doc! { "ping": 1, "padding": "x".repeat(bytes), "$db": "admin" };
        is_ok(&client.run(ping).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_input_closes_that_connection_only() {
    let server = Running::start().await;
    let mut bystander = server.connect().await;
    let ping = doc! { "ping": 1, "$db": "admin" }.to_vec().unwrap();
    let good = Outgoing { body: &ping, ..Outgoing::default() }.encode().unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        bad
    };
    let malformed = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        with(0, &[0xff; 4]),
        with(0, &[15, 0, 0, 0]),
        with(0, &i32::MAX.to_le_bytes()),
        with(12, &[0; 4]),
        with(16, &[4, 0, 0, 0]),
        with(20, &[7]),
        with(21, &[0xff]),
        with(good.len() - 1, &[1]),
        // A valid reply is not a request.
        with(12, &1i32.to_le_bytes()),
    ];
    for bytes in malformed {
        let mut client = server.connect().await;
        client.write(&bytes).await;
        assert!(client.read_raw().await.is_none(), "{bytes:?}");
        is_ok(&bystander.run(doc! { "ping": 1, "$db": "admin" }).await);
    }
    // Half a message, then nothing: the client's own affair.
    let mut client = server.connect().await;
    client.write(&good[..HEADER_BYTES + 3]).await;
    drop(client);
    is_ok(&bystander.run(doc! { "ping": 1, "$db": "admin" }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_closes_that_connection_only() {
    let server = Running::start().await;
    let mut bystander = server.connect().await;
    let mut client = server.connect().await;
    server.clock.panics.store(true, std::sync::atomic::Ordering::Relaxed);
    // Using a session asks for the time.
    client.send(doc! { "ping": 1, "lsid": { "id": uuid(1) }, "$db": "admin" }, Flags::default(), None).await;
    assert!(client.receive().await.is_none());
    server.clock.panics.store(false, std::sync::atomic::Ordering::Relaxed);
    let status = bystander.run(doc! { "serverStatus": 1, "$db": "admin" }).await;
    assert_eq!(status.get_document("connections").unwrap().get_i32("current").unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_closed() {
    let server = Running::with(Options { connections_max: 2, ..support::options() }).await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    is_ok(&first.run(doc! { "ping": 1, "$db": "admin" }).await);
    is_ok(&second.run(doc! { "ping": 1, "$db": "admin" }).await);
    let mut third = server.connect().await;
    assert!(third.read_raw().await.is_none());
    drop(second);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut again = server.connect().await;
        again.send(doc! { "ping": 1, "$db": "admin" }, Flags::default(), None).await;
        if again.receive().await.is_some() {
            break;
        }
        assert!(Instant::now() < deadline, "the place of a closed connection is not given away");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_waiting_is_noticed() {
    let server = Running::start().await;
    let mut watcher = server.connect().await;
    let mut client = server.connect().await;
    let first = client.run(doc! { "hello": 1, "$db": "admin" }).await;
    let known = first.get_document("topologyVersion").unwrap().clone();
    let hello = doc! { "hello": 1, "topologyVersion": known, "maxAwaitTimeMS": 600_000, "$db": "admin" };
    client.send(hello, Flags::default(), None).await;
    drop(client);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let status = watcher.run(doc! { "serverStatus": 1, "$db": "admin" }).await;
        if status.get_document("connections").unwrap().get_i32("current").unwrap() == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "its wait goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// CS-8.3.11.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_waits_and_closes_everything() {
    let mut server = Running::start().await;
    let mut idle = server.connect().await;
    let mut waiting = server.connect().await;
    let first = waiting.run(doc! { "hello": 1, "$db": "admin" }).await;
    let known = first.get_document("topologyVersion").unwrap().clone();
    let hello = doc! { "hello": 1, "topologyVersion": known, "maxAwaitTimeMS": 600_000, "$db": "admin" };
    waiting.send(hello, Flags::default(), None).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.shutdown.start();
    is_error(&waiting.receive().await.unwrap().document, 11600, "InterruptedAtShutdown");
    assert!(waiting.receive().await.is_none());
    assert!(idle.receive().await.is_none());
    tokio::time::timeout(Duration::from_secs(10), server.stopped()).await.expect("it stops");
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
}

/// CS-11.3.2: drivers go to the address that they are told.
#[tokio::test(flavor = "multi_thread")]
async fn the_advertised_address_can_be_chosen() {
    let options = Options { advertised: Some("db.example:27017".to_owned()), ..support::options() };
    let server = Running::with(options).await;
    let hello = server.connect().await.run(doc! { "hello": 1, "$db": "admin" }).await;
    assert_eq!(hello.get_str("me").unwrap(), "db.example:27017");
    assert_eq!(hello.get_array("hosts").unwrap(), &["db.example:27017".into()]);
    assert_eq!(server.uri, "mongodb://db.example:27017/?replicaSet=rs0");
}
