//! What a watcher that was away can still get: the log's end and its warnings, and whose images are kept.

use bson::{Bson, Document, doc};

use crate::support::{Connection, Server};

/// Opens a stream whose first batch is empty; its cursor and its position.
fn watch(connection: &mut Connection, options: Document, batch_size: i32) -> Result<(i64, Bson), i32> {
    let stages = vec![doc! {"$changeStream": options}];
    let open = doc! {"aggregate": "orders", "pipeline": stages, "cursor": {"batchSize": batch_size}};
    let reply = connection.command("shop", open).unwrap();
    let Ok(cursor) = reply.get_document("cursor") else { return Err(reply.get_i32("code").unwrap()) };
    Ok((cursor.get_i64("id").unwrap(), cursor.get("postBatchResumeToken").unwrap().clone()))
}

/// One `getMore`: its events and position, or the whole reply of an error.
fn more(connection: &mut Connection, id: i64) -> Result<(Vec<Bson>, Bson), Document> {
    let reply = connection.command("shop", doc! {"getMore": id, "collection": "orders", "maxTimeMS": 1}).unwrap();
    let Ok(cursor) = reply.get_document("cursor") else { return Err(reply) };
    let token = cursor.get("postBatchResumeToken").unwrap().clone();
    Ok((cursor.get_array("nextBatch").unwrap().clone(), token))
}

fn fill(connection: &mut Connection, collection: &str, megabytes: usize) {
    let document = doc! {"padding": "x".repeat(1 << 20)};
    for _ in 0..megabytes {
        let reply = connection.command("shop", doc! {"insert": collection, "documents": [document.clone()]}).unwrap();
        assert_eq!(reply.get_i32("n").ok(), Some(1), "{reply}");
    }
}

fn streams(connection: &mut Connection) -> [i64; 3] {
    let status = connection.command("admin", doc! {"serverStatus": 1}).unwrap();
    let streams = status.get_document("metrics").unwrap().get_document("changeStreams").unwrap();
    ["open", "nearHistoryEnd", "historyLost"].map(|name| streams.get_i64(name).unwrap())
}

/// CS-5.9.1 to CS-5.9.4, CS-13.31, CS-14.38 to CS-14.40, on a log that is as small as it can be.
#[test]
fn a_watcher_that_falls_out_of_the_log_is_told_and_a_quiet_one_is_not() {
    let server = Server::with(&["--memory", "--oplog-bytes", "1MiB"]);
    let mut connection = server.connect();
    let from_the_start = || doc! {"startAtOperationTime": bson::Timestamp { time: 1, increment: 1 }};
    // CS-14.38: the log still has its first entry.
    let (whole, _) = watch(&mut connection, from_the_start(), 1).unwrap();
    connection.command("shop", doc! {"killCursors": "orders", "cursors": [whole]}).unwrap();
    let (behind, place) = watch(&mut connection, doc! {}, 1).unwrap();
    let (quiet, _) = watch(&mut connection, doc! {}, 0).unwrap();
    // More than the log and the tail in memory hold, and none of it for these streams.
    fill(&mut connection, "other", 20);
    let (events, fresh) = more(&mut connection, quiet).unwrap();
    assert!(events.is_empty() && fresh != place);
    assert_eq!(streams(&mut connection)[1..], [0, 0]);
    connection.command("shop", doc! {"insert": "orders", "documents": [{"_id": 1}]}).unwrap();
    assert_eq!(more(&mut connection, quiet).unwrap().0.len(), 1);
    fill(&mut connection, "other", 20);
    assert_eq!(streams(&mut connection)[2], 1);
    assert!(more(&mut connection, quiet).unwrap().0.is_empty());
    let error = more(&mut connection, behind).unwrap_err();
    assert_eq!(error.get_i32("code").ok(), Some(136), "{error}");
    assert_eq!(error.get_str("codeName").ok(), Some("CappedPositionLost"));
    assert!(!error.contains_key("errorLabels"), "{error}");
    // The cursor is gone with it.
    let error = more(&mut connection, behind).unwrap_err();
    assert_eq!(error.get_i32("code").ok(), Some(43), "{error}");
    // CS-5.9.2: with a first batch at once, without one at the first look.
    for options in [doc! {"resumeAfter": place.clone()}, doc! {"startAfter": place}, from_the_start()] {
        assert_eq!(watch(&mut connection, options.clone(), 1), Err(286));
        let (cursor, _) = watch(&mut connection, options, 0).unwrap();
        let error = more(&mut connection, cursor).unwrap_err();
        assert_eq!(error.get_i32("code").ok(), Some(286), "{error}");
        let labels = error.get_array("errorLabels").unwrap();
        assert_eq!(labels, &[Bson::from("NonResumableChangeStreamError")]);
    }
}

/// The log names the watcher, and says what to do.
#[test]
fn a_watcher_that_is_about_to_fall_out_is_warned_about() {
    let server = Server::with(&["--memory", "--oplog-bytes", "64MiB"]);
    let mut connection = server.connect();
    watch(&mut connection, doc! {}, 1).unwrap();
    fill(&mut connection, "orders", 60);
    assert_eq!(streams(&mut connection), [1, 1, 0]);
    let began = std::time::Instant::now();
    while !server.log().contains("about to fall out of the log") {
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "no warning: {}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let log = server.log();
    let line = log.lines().find(|line| line.contains("about to fall out")).unwrap();
    assert!(line.contains("shop.orders") && line.contains("--oplog-bytes") && line.contains("WARN"), "{line}");
}

#[test]
fn images_of_all_collections_can_be_kept() {
    let server = Server::with(&["--images", "all"]);
    let mut connection = server.connect();
    let options = doc! {"fullDocument": "required", "fullDocumentBeforeChange": "required"};
    let (cursor, _) = watch(&mut connection, options, 1).unwrap();
    for command in [
        doc! {"insert": "orders", "documents": [{"_id": 1, "n": 1}]},
        doc! {"update": "orders", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}]},
        doc! {"findAndModify": "orders", "query": {"_id": 1}, "remove": true},
    ] {
        connection.command("shop", command).unwrap();
    }
    let (events, _) = more(&mut connection, cursor).unwrap();
    let before: Vec<_> =
        events.iter().map(|event| event.as_document().unwrap().get_document("fullDocumentBeforeChange").ok()).collect();
    assert_eq!(before, [None, Some(&doc! {"_id": 1, "n": 1}), Some(&doc! {"_id": 1, "n": 2})]);
    let listed = connection.command("shop", doc! {"listCollections": 1}).unwrap();
    let first = listed.get_document("cursor").unwrap().get_array("firstBatch").unwrap()[0].as_document().unwrap();
    assert_eq!(first.get_document("options").ok(), Some(&doc! {}));
}

/// CS-9.5.2: persistent.
#[test]
fn the_expiry_of_images_survives_a_crash() {
    let mut server = Server::durable();
    let set = doc! {"setClusterParameter": {"changeStreamOptions": {"preAndPostImages": {"expireAfterSeconds": 77}}}};
    let reply = server.connect().command("admin", set).unwrap();
    assert_eq!(reply.get_f64("ok").ok(), Some(1.0), "{reply}");
    let get = || doc! {"getClusterParameter": "changeStreamOptions"};
    let before = server.connect().command("admin", get()).unwrap().get_array("clusterParameters").unwrap().clone();
    server.kill();
    server.start_again();
    let after = server.connect().command("admin", get()).unwrap().get_array("clusterParameters").unwrap().clone();
    assert_eq!(before, after);
    let images = after[0].as_document().unwrap().get_document("preAndPostImages").unwrap();
    assert_eq!(images.get_i64("expireAfterSeconds").ok(), Some(77));
}

/// CS-11.4.5: the ends of the log are told at once, however long it is, and by all who show it.
#[test]
fn both_ends_of_a_long_log_are_at_hand() {
    let server = Server::with(&["--memory", "--oplog-bytes", "64MiB"]);
    let mut connection = server.connect();
    fill(&mut connection, "orders", 40);
    let mut ends = Vec::new();
    for direction in [1, -1] {
        let find =
            doc! {"find": "oplog.rs", "sort": {"$natural": direction}, "limit": 1, "projection": {"ts": 1, "op": 1}};
        let reply = connection.command("local", find).unwrap();
        let cursor = reply.get_document("cursor").unwrap();
        assert_eq!(cursor.get_i64("id").ok(), Some(0));
        let batch = cursor.get_array("firstBatch").unwrap();
        assert_eq!(batch.len(), 1);
        ends.push(batch[0].as_document().unwrap().get_timestamp("ts").unwrap());
    }
    assert!(ends[0] < ends[1]);
    let stats = connection.command("local", doc! {"collStats": "oplog.rs"}).unwrap();
    assert_eq!(stats.get_i64("maxSize").ok(), Some(64 << 20), "{stats}");
    assert!(stats.get_i64("size").unwrap() > 40 << 20, "{stats}");
    let stage = doc! {"$collStats": {"storageStats": {}}};
    let reply = connection.command("local", doc! {"aggregate": "oplog.rs", "pipeline": [stage], "cursor": {}}).unwrap();
    let row = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap()[0].as_document().unwrap();
    assert_eq!(row.get_document("storageStats").unwrap().get_i64("maxSize").ok(), Some(64 << 20));
    let count = doc! {"aggregate": "oplog.rs", "pipeline": [{"$match": {"op": "i"}}, {"$count": "n"}], "cursor": {}};
    let reply = connection.command("local", count).unwrap();
    let row = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap()[0].as_document().unwrap();
    assert_eq!(row.get_i32("n").ok(), Some(40));
}
