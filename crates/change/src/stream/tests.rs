//! Whole streams over a store in memory.

mod foreign;
mod images;
mod laws;
mod resuming;
mod transactions;
mod views;

use bson::doc;

use super::*;
use crate::testing::*;

fn token_of(batch: &Batch) -> bson::Document {
    tree(batch.post_batch_token.as_bytes())
}

fn limit(documents: usize) -> BatchLimits {
    BatchLimits { documents, ..ALL }
}

/// CS-14.1, CS-4.8.1 and CS-5.6.
#[test]
fn a_new_stream_sees_what_comes_after_it() {
    let world = World::new();
    world.log(insert("shop.orders", doc! {"_id": 0}));
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    let start = tree(stream.post_batch_token().as_bytes());
    // CS-4.3.1: nothing is read.
    let batch = stream.next_batch(limit(0)).unwrap();
    assert!(batch.events.is_empty() && token_of(&batch) == start);
    let batch = stream.next_batch(ALL).unwrap();
    assert!(batch.events.is_empty() && batch.at_end && token_of(&batch) == start);
    world.log(insert("shop.orders", doc! {"_id": 1}));
    let last = world.log(insert("shop.orders", doc! {"_id": 2}));
    // A full batch ends with its last event, though more is known (CS-5.6.3).
    let batch = stream.next_batch(limit(1)).unwrap();
    assert_eq!(token_of(&batch), token(&trees(&batch)[0]));
    assert!(!batch.at_end);
    let batch = stream.next_batch(ALL).unwrap();
    assert_eq!((trees(&batch).len(), token_of(&batch)), (1, token(&trees(&batch)[0])));
    // Writes elsewhere move the position (CS-5.6.5).
    let elsewhere = world.log(insert("shop.other", doc! {"_id": 1}));
    assert!(elsewhere > last && !stream.subscription().is_ready());
    let batch = stream.next_batch(ALL).unwrap();
    assert_eq!(batch.post_batch_token, Token::high_water_mark(elsewhere).to_doc());
    assert!(batch.events.is_empty() && !batch.closed);
}

/// CS-8.3.5 and CS-14.33.
#[test]
fn what_does_not_fit_comes_first_in_the_next_batch() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    for id in 0..3 {
        world.log(insert("shop.orders", doc! {"_id": id, "padding": "x".repeat(500)}));
    }
    let limits = BatchLimits { documents: usize::MAX, bytes: 1_000 };
    for id in 0..3 {
        let batch = stream.next_batch(limits).unwrap();
        let events = trees(&batch);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].get_document("documentKey").ok(), Some(&doc! {"_id": id}));
        assert_eq!(token_of(&batch), token(&events[0]));
        assert_eq!(batch.at_end, id == 2);
    }
}

/// CS-7.2, CS-7.3 and CS-14.24.
#[test]
fn an_invalidation_ends_the_stream() {
    let world = World::new();
    let open = || world.watch("shop.orders", doc! {}, vec![]);
    let (mut one, mut all) = (open(), open());
    let hidden = vec![doc! {"$match": {"operationType": "insert"}}];
    let mut filtered = world.watch("shop.orders", doc! {}, hidden);
    let mut fake = world.watch("shop.orders", doc! {}, vec![doc! {"$set": {"operationType": "invalidate"}}]);
    let mut database = world.watch("shop.", doc! {}, vec![]);
    world.log(insert("shop.orders", doc! {"_id": 1}));
    assert_eq!(types(&next(&mut fake)), "invalidate");
    world.log(command("shop", doc! {"drop": "orders"}, None));
    world.log(insert("shop.orders", doc! {"_id": 2}));

    let batch = all.next_batch(ALL).unwrap();
    assert_eq!(types(&trees(&batch)), "insert drop invalidate");
    assert!(batch.closed && batch.invalidated);
    assert_eq!(token_of(&batch), token(&trees(&batch)[2]));
    let end = token_of(&batch);

    for (expected, closed) in [("insert", false), ("drop", false), ("invalidate", false), ("", true), ("", true)] {
        let batch = one.next_batch(limit(1)).unwrap();
        assert_eq!((types(&trees(&batch)).as_str(), batch.closed, batch.invalidated), (expected, closed, closed));
        assert_eq!(token_of(&batch) == end, expected != "insert" && expected != "drop");
    }
    // CS-7.4, CS-5.6.7 and CS-6.6.4: the filter hides the invalidation and does not prevent it.
    let batch = filtered.next_batch(ALL).unwrap();
    assert_eq!(types(&trees(&batch)), "insert");
    assert!(batch.closed && token_of(&batch) == end);
    // CS-14.23.
    let batch = fake.next_batch(ALL).unwrap();
    assert_eq!(types(&trees(&batch)), "invalidate invalidate");
    assert!(batch.closed);
    // CS-7.6 and CS-8.1.7.
    assert_eq!(types(&next(&mut database)), "insert drop insert");
    world.log(command("shop", doc! {"dropDatabase": 1}, None));
    let batch = database.next_batch(ALL).unwrap();
    assert_eq!(types(&trees(&batch)), "dropDatabase invalidate");
    assert!(batch.closed);
}

/// CS-7.7.
#[test]
fn a_rename_ends_both_sides() {
    let world = World::new();
    let mut streams = ["shop.orders", "shop.sold"].map(|ns| world.watch(ns, doc! {}, vec![]));
    let (mut database, mut other) = (world.watch("shop.", doc! {}, vec![]), world.watch("shop.x", doc! {}, vec![]));
    world.log(command("shop", doc! {"renameCollection": "shop.orders", "to": "shop.sold"}, None));
    for stream in &mut streams {
        assert_eq!(types(&next(stream)), "rename invalidate");
    }
    assert_eq!(types(&next(&mut database)), "rename");
    assert_eq!(types(&next(&mut other)), "");
}

/// CS-3.4, CS-14.27 to CS-14.29.
#[test]
fn scopes_take_names_to_the_letter() {
    let world = World::new();
    let seen = |ns: &str, entry: Vec<u8>| {
        let mut stream = world.watch(ns, doc! {}, vec![]);
        world.log(entry);
        !next(&mut stream).is_empty()
    };
    let write =
        |ns: &str| insert(ns, doc! {"_id": 1, "drop": "orders", "renameCollection": "shop.orders", "to": "x.y"});
    assert!(!seen("shop.orders", write("shop.other")));
    assert!(!seen("shop.orders", write("shop.Orders")) && !seen("shop.a.b", write("shop.aXb")));
    assert!(seen("shop.a.b", write("shop.a.b")));
    assert!(!seen("shop.", write("shop2.orders")) && seen("shop.", write("shop.systemlog")));
    assert!(!seen("shop.", write("shop.system.log")) && !seen("shop.", write("shop.$x")));
    assert!(seen("shop.", write("shop.my.system.x")));
    for db in ["admin1", "my-local", "configuration"] {
        assert!(seen("", write(&format!("{db}.c"))));
    }
    for db in ["admin", "local", "config"] {
        assert!(!seen("", write(&format!("{db}.c"))));
    }
    assert!(!seen("shop.orders", command("shop", doc! {"dropDatabase": 1}, None)));
    assert!(!seen("shop.", command("shop2", doc! {"dropDatabase": 1}, None)));
    // CS-3.4.10: a rename is seen by the better of its names.
    let rename = |from: &str, to: &str| command("shop", doc! {"renameCollection": from, "to": to}, None);
    assert!(seen("shop.", rename("shop.system.x", "shop.y")) && seen("shop.", rename("other.x", "shop.y")));
    assert!(!seen("shop.", rename("shop.system.x", "shop.system.y")) && !seen("shop.", rename("shop2.x", "shop2.y")));
}

/// CS-1.4.5.
#[test]
fn expanded_events_show_only_if_asked_for() {
    let world = World::new();
    let mut plain = world.watch("shop.", doc! {}, vec![]);
    let mut expanded = world.watch("shop.", doc! {"showExpandedEvents": true}, vec![]);
    let mut raw = world.watch("shop.", doc! {"showRawUpdateDescription": true}, vec![]);
    world.log(command("shop", doc! {"create": "orders"}, None));
    world.log(update("shop.orders", 1, doc! {"u": {"a": 1}}));
    assert_eq!(types(&next(&mut plain)), "update");
    assert_eq!(types(&next(&mut expanded)), "create update");
    let events = next(&mut raw);
    // CS-4.5.1.
    assert!(!events[0].contains_key("updateDescription"));
    assert_eq!(events[0].get_document("rawUpdateDescription").ok(), Some(&doc! {"$v": 2, "diff": {"u": {"a": 1}}}));
}

/// CS-2.9.1 to CS-2.9.4, each by itself below.
#[test]
fn groups_and_transactions_are_unwound() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    let write = |ns: &str, id: i32| insert(ns, doc! {"_id": id});
    let operations = [write("shop.other", 0), write("shop.orders", 1), write("shop.other", 2), write("shop.orders", 3)];
    world.log(group(&operations, doc! {}, in_transaction(4, ClusterTime::ZERO)));
    world.log(group(&operations, doc! {}, doc! {}));
    let mut multi = in_transaction(5, ClusterTime::ZERO);
    multi.insert("multiOpType", 1);
    world.log(group(&operations, doc! {}, multi));
    let events = next(&mut stream);
    assert_eq!(events.len(), 6);
    for (event, at) in events.iter().zip(0..) {
        // CS-2.9.3, CS-2.9.4 and CS-1.2.1: session fields come first, and only for transactions.
        assert_eq!(event.keys().next().map(String::as_str), Some(if at < 2 { "txnNumber" } else { "_id" }));
        let index = Token::from_doc(buffer(&token(event)).as_doc()).unwrap().read().unwrap().index;
        assert_eq!(index, if at % 2 == 0 { 1 } else { 3 });
    }
    // CS-2.9.2: time and clock are those of the entry.
    assert_eq!(events[0].get_timestamp("clusterTime").ok(), events[1].get_timestamp("clusterTime").ok());
    assert_eq!(events[0].get_datetime("wallTime").ok(), events[1].get_datetime("wallTime").ok());
    assert!(events[1].get_timestamp("clusterTime").ok() < events[2].get_timestamp("clusterTime").ok());
}

/// CS-2.9.1: what is only prepared is not there yet.
#[test]
fn a_prepared_transaction_makes_no_event() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    let operations = [insert("shop.orders", doc! {"_id": 1})];
    world.log(group(&operations, doc! {"prepare": true}, in_transaction(4, ClusterTime::ZERO)));
    assert!(next(&mut stream).is_empty());
}

/// CS-5.6.6: what follows an event in its own entry, and is not seen, leaves the position at the event.
#[test]
fn the_rest_of_a_group_does_not_move_the_position_back() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    let operations = [insert("shop.orders", doc! {"_id": 1}), insert("shop.other", doc! {"_id": 2})];
    world.log(group(&operations, doc! {}, in_transaction(4, ClusterTime::ZERO)));
    let batch = stream.next_batch(ALL).unwrap();
    assert_eq!(token_of(&batch), token(&trees(&batch)[0]));
    assert!(batch.at_end);
    let mut resumed = world.watch("shop.orders", doc! {"resumeAfter": token_of(&batch)}, vec![]);
    assert!(next(&mut resumed).is_empty());
}

/// CS-6.6.2: an entry that cannot be an event is an error only to those whose filter lets it through.
#[test]
fn a_damaged_entry_is_no_error_where_it_is_filtered_out() {
    let world = World::new();
    let only = |operation: &str| vec![doc! {"$match": {"operationType": operation}}];
    let mut inserts = world.watch("shop.orders", doc! {}, only("insert"));
    let mut updates = world.watch("shop.orders", doc! {}, only("update"));
    let mut entry = insert("shop.orders", doc! {"_id": 1, "$v": 1});
    // The letter of `op: "i"`.
    entry[12] = b'u';
    world.log(entry);
    world.log(insert("shop.orders", doc! {"_id": 2}));
    assert_eq!(next(&mut inserts).len(), 1);
    assert_eq!(updates.next_batch(ALL).unwrap_err().code().number(), 6_741_200);
}

/// CS-2.8.4.
#[test]
fn a_large_transaction_spans_entries() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    let write = |id: i32| insert("shop.orders", doc! {"_id": id});
    let partial = doc! {"partialTxn": true};
    let first = world.log(group(&[write(0), write(1)], partial.clone(), in_transaction(4, ClusterTime::ZERO)));
    let second = world.log(group(&[write(2)], partial, in_transaction(4, first)));
    // CS-14.42: what is not committed holds nothing up.
    world.log(write(9));
    assert_eq!(next(&mut stream).len(), 1);
    world.log(group(&[write(3)], doc! {"count": 4_i64}, in_transaction(4, second)));
    let events = next(&mut stream);
    let ids: Vec<_> =
        events.iter().map(|event| event.get_document("documentKey").unwrap().get_i32("_id").unwrap()).collect();
    assert_eq!(ids, [0, 1, 2, 3]);
    let mut resumed = world.watch("shop.orders", doc! {"resumeAfter": token(&events[1])}, vec![]);
    assert_eq!(next(&mut resumed), events[2..]);
}

/// CS-6.1 and CS-6.4.
#[test]
fn pipelines_may_not_touch_the_id() {
    let world = World::new();
    let refused = |stage: bson::Document| world.try_watch("shop.orders", doc! {}, vec![stage]).err().unwrap();
    let error = refused(doc! {"$group": {"_id": null}});
    assert_eq!(
        (error.code().number(), error.to_string().as_str()),
        (20, "$group is not permitted in a $changeStream pipeline")
    );
    assert_eq!(refused(doc! {"$nonsense": 1}).code().number(), 40_324);
    assert_eq!(refused(doc! {"$changeStream": {}}).code().number(), 40_602);
    let mut outcomes = Vec::new();
    for stage in [
        doc! {"$project": {"_id": 0}},
        doc! {"$set": {"_id": 1}},
        doc! {"$replaceRoot": {"newRoot": "$fullDocument"}},
        doc! {"$project": {"operationType": 1}},
        doc! {"$replaceRoot": {"newRoot": {"_id": "$_id", "x": "$fullDocument"}}},
    ] {
        outcomes.push(world.watch("shop.orders", doc! {}, vec![stage]));
    }
    world.log(insert("shop.orders", doc! {"_id": 1}));
    for (stream, number) in outcomes.iter_mut().zip(0..) {
        match stream.next_batch(ALL) {
            Ok(batch) => assert!(number >= 3 && batch.events.len() == 1),
            Err(error) => {
                assert!(number < 3);
                assert_eq!((error.code().number(), error.label()), (280, Some("NonResumableChangeStreamError")));
            }
        }
    }
}

/// CS-0.3: equal shapes share one assembled event.
#[test]
fn events_are_assembled_once() {
    let world = World::new();
    let mut streams = ["shop.orders", "shop.", ""].map(|ns| world.watch(ns, doc! {}, vec![]));
    world.log(insert("shop.orders", doc! {"_id": 1}));
    let [a, b, c] = streams.each_mut().map(|stream| stream.next_batch(ALL).unwrap().events.remove(0));
    assert!(a.as_ptr() == b.as_ptr() && b.as_ptr() == c.as_ptr());
}

/// Equal pipelines run once per change for all who have them; what differs from stream to stream does not.
#[test]
fn equal_pipelines_share_their_results() {
    let world = World::new();
    let stages = || vec![doc! {"$match": {"fullDocument.a": {"$gt": 1}}}, doc! {"$set": {"seen": "$fullDocument.a"}}];
    let now = || vec![doc! {"$set": {"seen": {"$eq": ["$$NOW", "$$NOW"]}}}];
    let expanded = || doc! {"showExpandedEvents": true};
    let open = |options, stages| world.watch("shop.orders", options, stages);
    let mut streams = [
        open(doc! {}, stages()),
        open(doc! {}, stages()),
        open(expanded(), stages()),
        open(doc! {}, now()),
        open(doc! {}, now()),
    ];
    for a in 1..=3 {
        world.log(insert("shop.orders", doc! {"_id": a, "a": a}));
    }
    let [a, b, expanded, now, again] = streams.each_mut().map(|stream| stream.next_batch(ALL).unwrap().events);
    assert_eq!([a.len(), b.len(), expanded.len(), now.len(), again.len()], [2, 2, 2, 3, 3]);
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a.as_ptr(), b.as_ptr());
    }
    let seen = |event: &bytes::Bytes| bson::Document::from_reader(&event[..]).unwrap().get_i32("seen").unwrap();
    assert_eq!(a.iter().map(seen).collect::<Vec<_>>(), [2, 3]);
    assert!(a[0] != expanded[0]);
    assert_eq!(now, again);
    assert!(now[0].as_ptr() != again[0].as_ptr());
}
