//! Many writers at once: every watcher gets every change, once, in the order of the log.

use std::time::{Duration, Instant};

use bson::{Document, doc};

use crate::support::{Connection, Server};

const WRITERS: i64 = 6;
const WRITING: Duration = Duration::from_secs(2);
/// How long a watcher may need for what is left once the writing is over.
const CATCH_UP_MAX: Duration = Duration::from_secs(30);

/// CS-8.1.2, CS-8.1.3.
#[test]
fn no_watcher_misses_a_change_under_load() {
    let server = Server::memory();
    let scopes = [("shop", "c", doc! {}), ("shop", "", doc! {}), ("admin", "", doc! {"allChangesForCluster": true})];
    let watchers: Vec<_> = scopes
        .into_iter()
        .map(|(db, collection, options)| {
            let mut connection = server.connect();
            let name = if collection.is_empty() { bson::Bson::Int32(1) } else { collection.into() };
            let stage = doc! {"$changeStream": options};
            let only = doc! {"$match": {"operationType": "insert"}};
            let open = doc! {"aggregate": name, "pipeline": [stage, only], "cursor": {}};
            let reply = connection.command(db, open).unwrap();
            let id = reply.get_document("cursor").unwrap_or_else(|_| panic!("{reply}")).get_i64("id").unwrap();
            let collection = if collection.is_empty() { "$cmd.aggregate" } else { collection };
            std::thread::spawn(move || watch(connection, db, collection, id))
        })
        .collect();
    let began = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let connection = server.connect();
            std::thread::spawn(move || write(connection, writer, began))
        })
        .collect();
    let written: i64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    server.connect().command("shop", doc! {"insert": "c", "documents": [{"_id": -1_i64}]}).unwrap();
    let seen: Vec<Vec<i64>> = watchers.into_iter().map(|watcher| watcher.join().unwrap()).collect();
    for ids in &seen {
        assert_eq!(i64::try_from(ids.len()).unwrap(), written, "a watcher saw another number of changes");
        assert!(ids == &seen[0], "the watchers disagree on the order");
    }
    let mut sorted = seen[0].clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), seen[0].len(), "a change came twice");
}

/// Inserts one document a command until the time is over, and says how many.
fn write(mut connection: Connection, writer: i64, began: Instant) -> i64 {
    let mut count = 0;
    while began.elapsed() < WRITING {
        let id = count * WRITERS + writer;
        let reply = connection.command("shop", doc! {"insert": "c", "documents": [{"_id": id}]}).unwrap();
        assert_eq!(reply.get_i32("n").ok(), Some(1), "{reply}");
        count += 1;
    }
    count
}

/// Reads until the last document, whose `_id` is -1.
fn watch(mut connection: Connection, db: &str, collection: &str, id: i64) -> Vec<i64> {
    let began = Instant::now();
    let mut seen = Vec::new();
    while began.elapsed() < WRITING + CATCH_UP_MAX {
        let more = doc! {"getMore": id, "collection": collection, "maxTimeMS": 200};
        let reply = connection.command(db, more).unwrap();
        let batch = reply.get_document("cursor").unwrap_or_else(|_| panic!("{reply}")).get_array("nextBatch").unwrap();
        for event in batch {
            let key = event.as_document().and_then(|event| event.get_document("documentKey").ok());
            match key.and_then(|key: &Document| key.get_i64("_id").ok()).expect("a key") {
                -1 => return seen,
                id => seen.push(id),
            }
        }
    }
    panic!("the last change did not come; {} came", seen.len())
}
