//! Cursors under several connections, and the times that replies tell.

use std::time::{Duration, Instant};

use bson::{Bson, Document, Timestamp, doc};

use crate::support::{Connection, Server};

/// Longer than anything takes, shorter than a connection waits for its reply.
const WAIT_MS: i32 = 20_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// CS-8.3.2, CS-8.3.3, CS-8.3.4, CS-14.41: a getMore waits for an event of its stream, and returns with the first.
#[test]
fn a_wait_ends_with_an_event_of_the_stream_only() {
    let server = Server::memory();
    let (mut reader, mut writer) = (server.connect(), server.connect());
    let id = open(&mut reader, doc! {}, &[doc! {"$match": {"fullDocument.wanted": true}}]);
    reader.send("shop", doc! {"getMore": id, "collection": "c", "maxTimeMS": WAIT_MS, "batchSize": 10}).unwrap();
    for number in 0..10 {
        insert(&mut writer, "other", doc! {"_id": number, "wanted": true});
        insert(&mut writer, "c", doc! {"_id": number});
    }
    insert(&mut writer, "c", doc! {"_id": 10, "wanted": true});
    let events = batch(&reader.reply().unwrap());
    assert_eq!(keys(&events), [10], "one reply, with the first event that passes");
}

/// CS-8.3.8, CS-8.4.1: another reader is refused without harm; whoever kills the cursor ends the wait.
#[test]
fn a_cursor_has_one_reader_and_can_be_killed() {
    let server = Server::memory();
    let (mut reader, mut other) = (server.connect(), server.connect());
    let id = open(&mut reader, doc! {}, &[]);
    reader.send("shop", doc! {"getMore": id, "collection": "c", "maxTimeMS": WAIT_MS}).unwrap();
    until_code(&mut other, id, 143);
    let killed = other.command("shop", doc! {"killCursors": "c", "cursors": [id]}).unwrap();
    assert_eq!(killed.get_array("cursorsKilled").unwrap(), &[Bson::Int64(id)], "{killed}");
    let ended = reader.reply().unwrap();
    assert_eq!(ended.get_i32("code").ok(), Some(237), "{ended}");
    assert_eq!(ended.get_str("codeName").ok(), Some("CursorKilled"), "{ended}");
    assert!(ended.get("errorLabels").is_none(), "drivers do not resume from it: {ended}");
    let gone = other.command("shop", doc! {"getMore": id, "collection": "c"}).unwrap();
    assert_eq!(gone.get_i32("code").ok(), Some(43), "{gone}");
}

/// CS-8.3.10: the cursor of a client that left while it waited is gone; that of one that left in between is not.
#[test]
fn a_client_that_leaves_takes_only_the_cursor_it_waits_on() {
    let server = Server::memory();
    let (mut leaving, mut other) = (server.connect(), server.connect());
    let (waited_on, idle) = (open(&mut leaving, doc! {}, &[]), open(&mut leaving, doc! {}, &[]));
    leaving.send("shop", doc! {"getMore": waited_on, "collection": "c", "maxTimeMS": WAIT_MS}).unwrap();
    until_code(&mut other, waited_on, 143);
    drop(leaving);
    until_code(&mut other, waited_on, 43);
    insert(&mut other, "c", doc! {"_id": 1});
    let events = batch(&other.command("shop", doc! {"getMore": idle, "collection": "c"}).unwrap());
    assert_eq!(keys(&events), [1]);
}

/// CS-13.14, CS-13.19: a wait holds up nobody but its own connection, and monitors least of all.
#[test]
fn a_wait_does_not_hold_up_monitors() {
    let server = Server::memory();
    let mut readers: Vec<Connection> = (0..20).map(|_| server.connect()).collect();
    for reader in &mut readers {
        let id = open(reader, doc! {}, &[]);
        reader.send("shop", doc! {"getMore": id, "collection": "c", "maxTimeMS": WAIT_MS}).unwrap();
    }
    let mut monitor = server.connect();
    let hello = monitor.command("admin", doc! {"hello": 1}).unwrap();
    let known = hello.get_document("topologyVersion").unwrap();
    let again = doc! {"hello": 1, "topologyVersion": known.clone(), "maxAwaitTimeMS": 50};
    let hello = monitor.command("admin", again).unwrap();
    assert_eq!(hello.get_bool("isWritablePrimary").ok(), Some(true), "{hello}");
    insert(&mut monitor, "c", doc! {"_id": 1});
    for reader in &mut readers {
        assert_eq!(keys(&batch(&reader.reply().unwrap())), [1]);
    }
}

/// CS-8.1.5, CS-8.2.3, CS-14.62: a write's reply tells the time of its event, and a reader's is never below it.
#[test]
fn a_reply_tells_the_time_of_its_change() {
    let server = Server::memory();
    let mut connection = server.connect();
    let id = open(&mut connection, doc! {}, &[]);
    let writes = [
        doc! {"insert": "c", "documents": [{"_id": 1}]},
        doc! {"update": "c", "updates": [{"q": {"_id": 1}, "u": {"$set": {"a": 1}}}]},
        doc! {"findAndModify": "c", "query": {"_id": 1}, "update": {"$set": {"a": 2}}},
        doc! {"update": "c", "updates": [{"q": {"_id": 1}, "u": {"b": 1}}]},
        doc! {"delete": "c", "deletes": [{"q": {"_id": 1}, "limit": 1}]},
    ];
    let mut last = Timestamp { time: 0, increment: 0 };
    for write in writes {
        let written = connection.command("shop", write.clone()).unwrap();
        let read = connection.command("shop", doc! {"getMore": id, "collection": "c"}).unwrap();
        let events = batch(&read);
        assert_eq!(events.len(), 1, "{write}");
        let time = events[0].get_timestamp("clusterTime").unwrap();
        assert_eq!(written.get_timestamp("operationTime").unwrap(), time, "{write}");
        assert!(read.get_timestamp("operationTime").unwrap() >= time, "{write}");
        for reply in [&written, &read] {
            let gossip = reply.get_document("$clusterTime").unwrap().get_timestamp("clusterTime").unwrap();
            assert!(gossip >= time, "{write}");
        }
        assert!(time > last, "{write}");
        last = time;
    }
    // A group's reply has the time of its last change.
    let documents = [doc! {"_id": 10}, doc! {"_id": 11}, doc! {"_id": 12}];
    let written = connection.command("shop", doc! {"insert": "c", "documents": documents.as_slice()}).unwrap();
    let events = batch(&connection.command("shop", doc! {"getMore": id, "collection": "c"}).unwrap());
    assert_eq!(written.get_timestamp("operationTime").unwrap(), events[2].get_timestamp("clusterTime").unwrap());
}

/// CS-8.5.3: what a client claims about the time is heard and not believed.
#[test]
fn an_implausible_time_is_not_adopted() {
    let server = Server::memory();
    let mut connection = server.connect();
    let far = Timestamp { time: 4_000_000_000, increment: 1 };
    let claim = doc! {"clusterTime": far, "signature": {"hash": bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![1; 20] }, "keyId": 7_i64}};
    let command = doc! {"insert": "c", "documents": [{"_id": 1}], "$clusterTime": claim};
    let reply = connection.command("shop", command).unwrap();
    assert_eq!(reply.get_i32("n").ok(), Some(1), "{reply}");
    assert!(reply.get_timestamp("operationTime").unwrap() < far, "{reply}");
    assert!(reply.get_document("$clusterTime").unwrap().get_timestamp("clusterTime").unwrap() < far, "{reply}");
}

/// CS-8.4.4, CS-11.3.3, CS-14.63: a restart ends cursors; the election is not a newer one, and time goes on.
#[test]
fn a_restart_ends_cursors_and_nothing_goes_back() {
    let mut server = Server::durable();
    let mut connection = server.connect();
    let id = open(&mut connection, doc! {}, &[]);
    insert(&mut connection, "c", doc! {"_id": 1});
    let before = connection.command("admin", doc! {"hello": 1}).unwrap();
    server.kill();
    server.start_again();
    let mut connection = server.connect();
    let gone = connection.command("shop", doc! {"getMore": id, "collection": "c"}).unwrap();
    assert_eq!(gone.get_i32("code").ok(), Some(43), "{gone}");
    let after = connection.command("admin", doc! {"hello": 1}).unwrap();
    let election =
        |hello: &Document| (hello.get_object_id("electionId").unwrap(), hello.get_i32("setVersion").unwrap());
    assert!(election(&after) >= election(&before), "{before} {after}");
    assert!(election(&after).0.to_hex().starts_with("7fffffff"), "{after}");
    let topology =
        |hello: &Document| hello.get_document("topologyVersion").unwrap().get_object_id("processId").unwrap();
    assert_ne!(topology(&before), topology(&after), "another process");
    let written = connection.command("shop", doc! {"insert": "c", "documents": [{"_id": 2}]}).unwrap();
    let seen = before.get_timestamp("operationTime").unwrap();
    assert!(written.get_timestamp("operationTime").unwrap() > seen);
}

/// CS-13.1: positive, random, and never the same.
#[test]
fn cursor_ids_are_positive_and_random() {
    let server = Server::memory();
    let mut connection = server.connect();
    let mut ids: Vec<i64> = (0..50).map(|_| open(&mut connection, doc! {}, &[])).collect();
    assert!(ids.iter().all(|id| *id > 0), "{ids:?}");
    assert!(ids.iter().any(|id| *id > i64::from(i32::MAX)), "{ids:?}");
    assert!(!ids.is_sorted(), "{ids:?}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

/// CS-13.31: who reads slowly misses nothing that the log still has, however much was written meanwhile.
#[test]
fn an_idle_cursor_goes_on_far_behind() {
    let server = Server::durable();
    let (mut reader, mut writer) = (server.connect(), server.connect());
    let id = open(&mut reader, doc! {}, &[doc! {"$project": {"documentKey": 1}}]);
    // More than is kept in memory for watchers.
    let pad = "x".repeat(1_000_000);
    for number in 0..40 {
        insert(&mut writer, "c", doc! {"_id": number, "pad": &pad});
    }
    let mut seen = Vec::new();
    while seen.len() < 40 {
        let more = doc! {"getMore": id, "collection": "c", "maxTimeMS": WAIT_MS};
        seen.extend(keys(&batch(&reader.command("shop", more).unwrap())));
    }
    assert_eq!(seen, (0..40).collect::<Vec<_>>());
}

/// CS-11.2.4, CS-13.31: whoever falls behind the log's end is told so.
#[test]
fn a_reader_that_the_log_has_left_behind_is_told() {
    let server = Server::with(&["--memory", "--oplog-bytes", "1MiB", "--oplog-hours", "0"]);
    let (mut reader, mut writer) = (server.connect(), server.connect());
    let stream = open(&mut reader, doc! {}, &[]);
    insert(&mut writer, "c", doc! {"_id": -1});
    let find = doc! {"find": "oplog.rs", "tailable": true, "awaitData": true, "batchSize": 1};
    let found = reader.command("local", find).unwrap();
    let tail = found.get_document("cursor").unwrap().get_i64("id").unwrap();
    // More than the log keeps, and more than is kept in memory for watchers.
    let pad = "x".repeat(1_000_000);
    for number in 0..60 {
        insert(&mut writer, "c", doc! {"_id": number, "pad": &pad});
    }
    for (db, collection, id) in [("local", "oplog.rs", tail), ("shop", "c", stream)] {
        // What was read ahead is still handed out.
        let mut replies = (0..100).map(|_| {
            let more = doc! {"getMore": id, "collection": collection, "maxTimeMS": 1};
            reader.command(db, more).unwrap()
        });
        assert_eq!(replies.find_map(|reply| reply.get_i32("code").ok()), Some(136), "{db}.{collection}");
    }
}

/// CS-14.34: two documents of the largest size come one at a time, each with its position.
#[test]
fn the_largest_events_come_one_at_a_time() {
    let server = Server::memory();
    let (mut reader, mut writer) = (server.connect(), server.connect());
    let id = open(&mut reader, doc! {}, &[]);
    // `{_id: <int32>, pad: <string>}` takes 24 bytes beside the text.
    let pad = "x".repeat(16 * 1024 * 1024 - 24);
    for number in 0..2 {
        insert(&mut writer, "c", doc! {"_id": number, "pad": &pad});
    }
    for number in 0..2 {
        let reply = reader.command("shop", doc! {"getMore": id, "collection": "c"}).unwrap();
        let events = batch(&reply);
        assert_eq!(keys(&events), [number]);
        let position = reply.get_document("cursor").unwrap().get_document("postBatchResumeToken").unwrap();
        assert_eq!(events[0].get_document("_id").unwrap(), position);
    }
}

/// CS-8.3.11: a stop ends waits, and says that the stream can be resumed.
#[test]
fn a_stop_ends_waits_with_a_label() {
    let mut server = Server::durable();
    let mut reader = server.connect();
    let id = open(&mut reader, doc! {}, &[]);
    reader.send("shop", doc! {"getMore": id, "collection": "c", "maxTimeMS": WAIT_MS}).unwrap();
    until_code(&mut server.connect(), id, 143);
    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
    let ended = reader.reply().unwrap();
    assert_eq!(ended.get_i32("code").ok(), Some(11600), "{ended}");
    let labels = ended.get_array("errorLabels").unwrap();
    assert!(labels.contains(&"ResumableChangeStreamError".into()), "{ended}");
    assert!(ended.get_document("topologyVersion").is_ok(), "{ended}");
}

/// CS-15: what the status counts of streams.
#[test]
fn the_status_counts_streams() {
    let server = Server::memory();
    let mut connection = server.connect();
    let metrics = |connection: &mut Connection| {
        let status = connection.command("admin", doc! {"serverStatus": 1}).unwrap();
        let metrics = status.get_document("metrics").unwrap();
        let stages = metrics.get_document("aggStageCounters").unwrap().get_i64("$changeStream").unwrap();
        let open = metrics.get_document("cursor").unwrap().get_document("open").unwrap().get_i64("total").unwrap();
        let streams = metrics.get_document("changeStreams").unwrap();
        let count = |name| streams.get_i64(name).unwrap();
        (stages, open, count("showExpandedEvents"), count("largeEventsSplit"), count("largeEventsFailed"))
    };
    assert_eq!(metrics(&mut connection), (0, 0, 0, 0, 0));
    let images = doc! {"create": "c", "changeStreamPreAndPostImages": {"enabled": true}};
    connection.command("shop", images).unwrap();
    let whole = doc! {"fullDocument": "required", "fullDocumentBeforeChange": "required", "showExpandedEvents": true};
    let split = open(&mut connection, whole.clone(), &[doc! {"$changeStreamSplitLargeEvent": {}}]);
    let unsplit = open(&mut connection, whole, &[]);
    assert_eq!(metrics(&mut connection), (2, 2, 2, 0, 0));
    insert(&mut connection, "c", doc! {"_id": 1, "pad": "x".repeat(10_000_000)});
    let update = doc! {"update": "c", "updates": [{"q": {"_id": 1}, "u": {"$set": {"a": 1}}}]};
    connection.command("shop", update).unwrap();
    let mut fragments = 0;
    while fragments < 3 {
        let more = doc! {"getMore": split, "collection": "c", "maxTimeMS": WAIT_MS};
        fragments += batch(&connection.command("shop", more).unwrap()).len();
    }
    let mut code = None;
    while code.is_none() {
        let more = doc! {"getMore": unsplit, "collection": "c", "maxTimeMS": WAIT_MS};
        code = connection.command("shop", more).unwrap().get_i32("code").ok();
    }
    assert_eq!(code, Some(10334));
    assert_eq!(metrics(&mut connection), (2, 1, 2, 1, 1));
}

fn open(connection: &mut Connection, options: Document, stages: &[Document]) -> i64 {
    let mut pipeline = vec![doc! {"$changeStream": options}];
    pipeline.extend_from_slice(stages);
    let reply = connection.command("shop", doc! {"aggregate": "c", "pipeline": pipeline, "cursor": {}}).unwrap();
    let cursor = reply.get_document("cursor").unwrap_or_else(|_| panic!("{reply}"));
    cursor.get_i64("id").unwrap()
}

/// Reads without waiting until that has this error.
fn until_code(connection: &mut Connection, id: i64, code: i32) {
    let began = Instant::now();
    // Whoever is to have the cursor first gets the time to take it.
    std::thread::sleep(Duration::from_millis(30));
    loop {
        let reply = connection.command("shop", doc! {"getMore": id, "collection": "c", "maxTimeMS": 0}).unwrap();
        if reply.get_i32("code").ok() == Some(code) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "no {code}: {reply}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn insert(connection: &mut Connection, collection: &str, document: Document) {
    let reply = connection.command("shop", doc! {"insert": collection, "documents": [document]}).unwrap();
    assert_eq!(reply.get_i32("n").ok(), Some(1), "{reply}");
}

fn batch(reply: &Document) -> Vec<Document> {
    let cursor = reply.get_document("cursor").unwrap_or_else(|_| panic!("{reply}"));
    let events = cursor.get_array("nextBatch").unwrap();
    events.iter().map(|event| event.as_document().unwrap().clone()).collect()
}

fn keys(events: &[Document]) -> Vec<i32> {
    events.iter().map(|event| event.get_document("documentKey").unwrap().get_i32("_id").unwrap()).collect()
}
