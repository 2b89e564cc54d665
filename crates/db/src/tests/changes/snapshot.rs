//! Streams that begin with the documents that are there (`millstream: {snapshot: true}`).

use std::collections::HashMap;

use bson::{Document, doc};
use bytes::Bytes;
use millstream_change::{BatchLimits, Scope};
use millstream_value::{Doc, Namespace, to_bson_document};

use super::mirror::Mirror;
use super::watcher::{Watcher, data, drain, open, scope, token, whole_history};
use super::{Random, World, insert, runs, update};

const SCOPES: [&str; 5] = ["shop.a", "other.b", "shop", "other", ""];

fn raw() -> Document {
    doc! {"showRawUpdateDescription": true}
}

fn snapshot() -> Document {
    doc! {"millstream": {"snapshot": true}}
}

fn tree(event: &[u8]) -> Document {
    to_bson_document(Doc::new(event))
}

/// A watcher that keeps a copy of the documents.
struct Consumer {
    watcher: Watcher,
    mirror: Mirror,
}

impl Consumer {
    fn new(scope: Scope) -> Self {
        Self { watcher: Watcher::new(scope, raw(), snapshot(), vec![]), mirror: Mirror::default() }
    }

    fn turn(&mut self, world: &World, random: &mut Random) {
        for event in self.watcher.turn(world, random) {
            self.mirror.apply(Doc::new(&event));
        }
        let types: Vec<_> = self.watcher.events.iter().rev().take(2).map(|event| tree(event)).collect();
        let is = |at: usize, name: &str| {
            types.get(at).is_some_and(|event: &Document| event.get_str("operationType").ok() == Some(name))
        };
        // What has the name after a rename was never seen; after a drop there is nothing.
        if is(0, "invalidate") && is(1, "rename") {
            *self = Self::new(self.watcher.scope.clone());
        }
    }
}

/// Folding all events gives exactly the documents, and behind the snapshot the stream is the plain one.
#[test]
fn a_snapshot_and_what_follows_give_the_documents() {
    runs(12, |random| {
        let world = World::with(false, *random.pick(&[3_000, 32 << 20]));
        world.history(random, 60);
        let mut consumers: Vec<_> = (0..8).map(|_| Consumer::new(scope(SCOPES[random.below(SCOPES.len())]))).collect();
        for _ in 0..250 {
            if random.percent(70) {
                world.history(random, 1);
            }
            let at = random.below(consumers.len());
            consumers[at].turn(&world, random);
            if random.percent(2) {
                consumers[at] = Consumer::new(scope(SCOPES[random.below(SCOPES.len())]));
            }
        }
        for consumer in &mut consumers {
            consumer.watcher.is_up_to_date = false;
            while !consumer.watcher.is_up_to_date {
                consumer.turn(&world, random);
            }
            let watcher = &consumer.watcher;
            consumer.mirror.must_be(&Mirror::of(&world.db, &watcher.scope));
            check_order(&watcher.events, &whole_history(&world, &watcher.scope, &raw()));
        }
    });
}

/// After the first event with a token of the plain stream there is nothing but the plain stream.
fn check_order(events: &[Bytes], plain: &[Bytes]) {
    let by_token: HashMap<String, usize> = plain.iter().map(|event| data(event)).zip(0..).collect();
    let first = events.iter().position(|event| by_token.contains_key(&data(event))).unwrap_or(events.len());
    let (inside, after) = events.split_at(first);
    if let Some(start) = after.first() {
        let from = by_token[&data(start)];
        assert_eq!(after, &plain[from..from + after.len()]);
    }
    for event in inside {
        // A document of the snapshot says so in its last field; a change that came in between does not.
        let event = tree(event);
        let is_document = event.contains_key("snapshot");
        assert_eq!(is_document, event.keys().last().is_some_and(|last| last == "snapshot"));
        assert!(!is_document || event.get_str("operationType").ok() == Some("insert"));
    }
}

fn with(options: &[Document]) -> Document {
    options.iter().flat_map(Document::clone).collect()
}

#[test]
fn documents_come_as_inserts_of_one_moment() {
    let world = World::new();
    let orders = Namespace::new("shop", "orders");
    world.write(&orders, vec![insert(doc! {"_id": "b"}), insert(doc! {"_id": 2_i64, "n": 1}), insert(doc! {"_id": 1})]);
    let last = world.db.committed();
    let mut stream = open(&world, &scope("shop"), &snapshot(), &[]).unwrap();
    // What is written after the opening is no part of it.
    world.write(&orders, vec![update(&doc! {"_id": 1}, bson::bson!({"$set": {"n": 5}}), false, false)]);
    let events: Vec<_> = drain(&mut stream).iter().map(|event| tree(event)).collect();
    let ids: Vec<_> =
        events.iter().map(|event| event.get_document("documentKey").unwrap().get("_id").unwrap()).collect();
    assert_eq!(ids, [&bson::Bson::Int32(1), &bson::Bson::Int64(2), &"b".into(), &bson::Bson::Int32(1)]);
    let names: Vec<_> = events[1].keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["_id", "operationType", "clusterTime", "wallTime", "fullDocument", "ns", "documentKey", "snapshot"]
    );
    assert_eq!(events[1].get_document("fullDocument").ok(), Some(&doc! {"_id": 2_i64, "n": 1}));
    assert_eq!(events[1].get_document("ns").ok(), Some(&doc! {"db": "shop", "coll": "orders"}));
    let time = bson::Timestamp { time: last.seconds, increment: last.increment };
    assert!(events[..3].iter().all(|event| event.get_timestamp("clusterTime").ok() == Some(time)));
    assert_eq!(events[3].get_str("operationType").ok(), Some("update"));
    // Nothing more: the stream is a plain one now, and its position is behind the documents.
    assert!(drain(&mut stream).is_empty());
    assert!(!stream.reads_disk());
}

#[test]
fn a_pipeline_applies_to_documents_too() {
    let world = World::new();
    let orders = Namespace::new("shop", "orders");
    let mut documents: Vec<_> = (0..40).map(|id| insert(doc! {"_id": id, "n": id % 10})).collect();
    world.write(&orders, std::mem::take(&mut documents));
    let stages = [doc! {"$match": {"fullDocument.n": 3}}, doc! {"$project": {"documentKey": 1, "snapshot": 1}}];
    let mut stream = open(&world, &scope("shop.orders"), &snapshot(), &stages).unwrap();
    let one = BatchLimits { documents: 1, bytes: 1 << 20 };
    let first = stream.next_batch(one).unwrap();
    assert_eq!(tree(&first.events[0]).get_document("documentKey").ok(), Some(&doc! {"_id": 3}));
    assert!(!first.at_end);
    // The place of an event that a filter let through is good under any other filter.
    let options = doc! {"resumeAfter": token(&first.events[0])};
    let rest = drain(&mut open(&world, &scope("shop.orders"), &options, &stages).unwrap());
    let ids: Vec<_> =
        rest.iter().map(|e| tree(e).get_document("documentKey").unwrap().get_i32("_id").unwrap()).collect();
    assert_eq!(ids, [13, 23, 33]);
    // A filter that no document can pass has nothing to read, and the stream starts now.
    let deletes = [doc! {"$match": {"operationType": "delete"}}];
    let mut stream = open(&world, &scope(""), &snapshot(), &deletes).unwrap();
    assert!(drain(&mut stream).is_empty());
}

#[test]
fn a_drop_in_the_middle_of_a_snapshot_ends_it() {
    let world = World::new();
    let orders = Namespace::new("shop", "orders");
    let fill = || world.write(&orders, (0..10).map(|id| insert(doc! {"_id": id})).collect());
    fill();
    let mut streams = ["shop.orders", "shop"].map(|name| open(&world, &scope(name), &snapshot(), &[]).unwrap());
    let three = BatchLimits { documents: 3, bytes: 1 << 20 };
    let places = streams.each_mut().map(|stream| token(&stream.next_batch(three).unwrap().events[2]));
    world.write(&orders, vec![super::delete(&doc! {"_id": {"$in": [1, 7]}}, true)]);
    world.db.drop_collection(&orders).unwrap();
    fill();
    let after = |name: &str, place: &Document| {
        let events = drain(&mut open(&world, &scope(name), &doc! {"startAfter": place.clone()}, &[]).unwrap());
        let line = |event: &Bytes| {
            let event = tree(event);
            let key = event.get_document("documentKey").ok().and_then(|key| key.get_i32("_id").ok());
            format!("{}{}", event.get_str("operationType").unwrap(), key.map_or_else(String::new, |id| id.to_string()))
        };
        (events.iter().map(line).collect::<Vec<_>>().join(" "), events.last().map(|last| token(last)))
    };
    // The delete of 7 and the documents from 3 on are never told: they are gone with the collection.
    let (line, end) = after("shop.orders", &places[0]);
    assert_eq!(line, "delete1 drop invalidate");
    let (line, _) = after("shop.orders", &end.unwrap());
    assert!(line.starts_with("insert0 insert1") && line.ends_with("insert9"), "{line}");
    // A wider stream goes on with what is there now. The new collection is before or behind the place.
    let (line, _) = after("shop", &places[1]);
    assert!(line.starts_with("delete1 drop insert0 insert1"), "{line}");
    assert_eq!(line.matches("insert").count(), 10);
    // From the drop itself: the invalidation (CS-5.7.1).
    let mut stream = open(&world, &scope("shop.orders"), &doc! {"resumeAfter": places[0].clone()}, &[]).unwrap();
    let drop = token(&stream.next_batch(BatchLimits { documents: 2, bytes: 1 << 20 }).unwrap().events[1]);
    assert_eq!(after("shop.orders", &drop).0, "invalidate");
}

#[test]
fn a_document_that_is_cut_comes_again_as_a_whole() {
    let world = World::new();
    let orders = Namespace::new("shop", "orders");
    let big = |id: &str| doc! {"_id": id.repeat(3_000), "pad": "x".repeat((16 << 20) - 3_100)};
    world.write(&orders, vec![insert(doc! {"_id": 1}), insert(big("b")), insert(doc! {"_id": "c"})]);
    let split = [doc! {"$changeStreamSplitLargeEvent": {}}];
    let line = |events: &[Bytes]| {
        let piece = |event: &Bytes| {
            Doc::new(event).doc("splitEvent").map_or(0, |split| split.get("fragment").unwrap().as_integer().unwrap())
        };
        events.iter().map(piece).collect::<Vec<_>>()
    };
    let mut stream = open(&world, &scope("shop"), &snapshot(), &split).unwrap();
    let one = BatchLimits { documents: 1, bytes: 1 << 20 };
    let batches: Vec<_> = (0..4).map(|_| stream.next_batch(one).unwrap()).collect();
    let events: Vec<_> = batches.iter().flat_map(|batch| batch.events.clone()).collect();
    assert_eq!(line(&events), [0, 1, 2, 0]);
    assert!(events.windows(2).all(|pair| data(&pair[0]) < data(&pair[1])));
    let resumed =
        |place: Document| drain(&mut open(&world, &scope("shop"), &doc! {"resumeAfter": place}, &split).unwrap());
    assert_eq!(resumed(token(&events[0])), events[1..]);
    // Half of a document is none: it comes again, and by now it may be another.
    assert_eq!(resumed(token(&events[1])), events[1..]);
    // The position behind the last piece is behind the document.
    let behind = to_bson_document(batches[2].post_batch_token.as_doc());
    assert!(behind.get_str("_data").unwrap() > data(&events[2]).as_str());
    assert_eq!(resumed(behind), events[3..]);
}

#[test]
fn options_of_a_snapshot_are_checked() {
    let world = World::new();
    let refused = |options: Document| open(&world, &scope("shop"), &options, &[]).err().map(|error| error.to_string());
    let time = doc! {"startAtOperationTime": bson::Timestamp { time: 1, increment: 1 }};
    assert!(refused(with(&[snapshot(), time])).unwrap().contains("a snapshot begins now"));
    assert_eq!(
        refused(doc! {"millstream": {"snapshots": true}}).unwrap(),
        "BSON field '$changeStream.millstream.snapshots' is an unknown field."
    );
    assert!(refused(doc! {"millstream": {"snapshot": 1}}).unwrap().contains("'$changeStream.millstream.snapshot'"));
    assert!(refused(doc! {"millstream": true}).unwrap().contains("expected type 'object'"));
    assert_eq!(refused(doc! {"millstream": {}}), None);
    // Beside a token the option says nothing: a client sends the same options again when it resumes.
    let plain = open(&world, &scope("shop"), &doc! {}, &[]).unwrap().post_batch_token();
    world.write(&Namespace::new("shop", "orders"), vec![insert(doc! {"_id": 1})]);
    let resumed = with(&[snapshot(), doc! {"resumeAfter": to_bson_document(plain.as_doc())}]);
    let events = drain(&mut open(&world, &scope("shop"), &resumed, &[]).unwrap());
    assert_eq!(events.len(), 1);
    assert!(!tree(&events[0]).contains_key("snapshot"));
}

/// A place in a snapshot needs the log from its time on, as every place does (CS-5.9.1).
#[test]
fn a_place_that_the_log_no_longer_reaches_is_refused() {
    use millstream_storage::{Location, Options as Storage, SystemClock};

    let storage = Storage { oplog_bytes: 1 << 20, ..Storage::default() };
    let options = crate::Options { storage, ..crate::Options::default() };
    let db = crate::Db::open(Location::Memory, std::sync::Arc::new(SystemClock), options).unwrap();
    let world = World { db, transactions: std::sync::atomic::AtomicI64::new(0) };
    let orders = Namespace::new("shop", "orders");
    world.write(&orders, (0..10).map(|id| insert(doc! {"_id": id})).collect());
    let mut stream = open(&world, &scope("shop"), &snapshot(), &[]).unwrap();
    let place = token(&stream.next_batch(BatchLimits { documents: 3, bytes: 1 << 20 }).unwrap().events[2]);
    for id in 0..400 {
        world.write(&orders, vec![insert(doc! {"_id": 100 + id, "pad": "x".repeat(10_000)})]);
    }
    assert!(world.db.window().lost_before.is_some());
    let mut resumed = open(&world, &scope("shop"), &doc! {"resumeAfter": place}, &[]).unwrap();
    let error = resumed.next_batch(BatchLimits { documents: 3, bytes: 1 << 20 }).unwrap_err();
    assert_eq!(error.code(), millstream_value::Code::ChangeStreamHistoryLost);
}
