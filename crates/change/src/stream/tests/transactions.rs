//! CS-2.8 and CS-2.9: multi-document transactions, in one entry and in chains of them.

use bson::{Bson, Document, doc};
use millstream_storage::Options as StoreOptions;

use super::*;
use crate::TailOptions;

/// All in one entry, and chains of short and long ones.
const PER_ENTRY: [usize; 4] = [0, 1, 2, 3];

/// One where entries come from memory, one where all but the newest are read again, and one where nothing is kept for it.
fn worlds() -> [World; 3] {
    let small = TailOptions { bytes_max: 1, ..TailOptions::default() };
    let smallest = TailOptions { watchers_bytes_max: 1, ..small };
    [TailOptions::default(), small, smallest].map(|options| World::with(options, StoreOptions::default()))
}

fn plain(entries: Vec<Vec<u8>>) -> Vec<(Vec<u8>, Option<Document>)> {
    entries.into_iter().map(|entry| (entry, None)).collect()
}

/// Operations of three collections in two databases.
fn mixed() -> Vec<(Vec<u8>, Option<Document>)> {
    plain(vec![
        insert("other.x", doc! {"_id": 0}),
        insert("shop.orders", doc! {"_id": 1}),
        insert("shop.sold", doc! {"_id": 2}),
        update("shop.orders", 1, doc! {"u": {"a": 1}}),
        delete("other.x", 0),
        replace("shop.orders", doc! {"_id": 1, "b": 2}),
        delete("shop.orders", 1),
        insert("other.x", doc! {"_id": 3}),
    ])
}

fn index(event: &Document) -> u32 {
    Token::from_doc(buffer(&token(event)).as_doc()).unwrap().read().unwrap().index
}

/// CS-2.8.1, CS-2.8.2, CS-2.9.2, CS-1.1.3, CS-14.4 and CS-14.5: however many entries it takes.
#[test]
fn a_transaction_is_one_moment() {
    for (world, per_entry) in worlds().iter().flat_map(|world| PER_ENTRY.map(|per_entry| (world, per_entry))) {
        let mut streams = ["", "shop.", "shop.orders"].map(|ns| world.watch(ns, doc! {}, vec![]));
        world.log(insert("shop.orders", doc! {"_id": -1}));
        let time = *world.transact(7, mixed(), per_entry).last().unwrap();
        world.log(insert("shop.orders", doc! {"_id": -2}));
        let [all, database, collection] = streams.each_mut().map(next);
        assert_eq!(types(&all), "insert insert insert insert update delete replace delete insert insert");
        let inside = &all[1..9];
        for (event, at) in inside.iter().zip(0..) {
            assert_eq!(index(event), at);
            let time = bson::Timestamp { time: time.seconds, increment: time.increment };
            assert_eq!(event.get_timestamp("clusterTime").ok(), Some(time));
            assert_eq!(event.get("wallTime"), inside[0].get("wallTime"));
            assert_eq!(event.get_document("lsid").unwrap(), &session());
            assert_eq!(event.get("txnNumber"), Some(&Bson::Int64(7)));
        }
        assert!(!all[0].contains_key("lsid") && !all[9].contains_key("txnNumber"));
        let of = |wanted: &dyn Fn(&str, &str) -> bool| {
            let ns = |event: &Document| event.get_document("ns").unwrap().clone();
            let fits = |event: &&Document| wanted(ns(event).get_str("db").unwrap(), ns(event).get_str("coll").unwrap());
            all.iter().filter(fits).cloned().collect::<Vec<_>>()
        };
        assert_eq!(database, of(&|db, _| db == "shop"));
        assert_eq!(collection, of(&|db, coll| (db, coll) == ("shop", "orders")));
        assert_eq!(collection[1..5].iter().map(index).collect::<Vec<_>>(), [1, 3, 5, 6]);
    }
}

/// CS-5.8.1, CS-5.7.4, CS-14.3, CS-14.4 and CS-14.7: at every scope that shows the event, filtered or not, and with batches of one.
#[test]
fn streams_resume_after_each_event_of_a_transaction() {
    const SCOPES: [&str; 3] = ["", "shop.", "shop.orders"];
    let ways = [vec![], vec![doc! {"$match": {"operationType": {"$ne": "update"}}}]];
    for (world, per_entry) in worlds().iter().flat_map(|world| PER_ENTRY.map(|per_entry| (world, per_entry))) {
        for way in &ways {
            let open = |scope: &str, options| world.watch(scope, options, way.clone());
            let mut streams = SCOPES.map(|scope| (scope, open(scope, doc! {})));
            world.transact(7, mixed(), per_entry);
            world.log(insert("shop.orders", doc! {"_id": -2}));
            let seen = streams.each_mut().map(|(scope, stream)| (*scope, next(stream)));
            for (at, (scope, events)) in seen.iter().enumerate() {
                for event in events {
                    // The same place, seen from here and from further out.
                    for (wider, all) in seen.iter().take(at + 1) {
                        let here = all.iter().position(|other| other == event).unwrap();
                        let rest = one_by_one(&mut open(wider, doc! {"resumeAfter": token(event)}));
                        assert_eq!(rest, all[here + 1..], "{per_entry} {scope} {wider}");
                    }
                    let time = event.get_timestamp("clusterTime").unwrap();
                    let whole = next(&mut open(scope, doc! {"startAtOperationTime": time}));
                    let first = events.iter().position(|other| other.get_timestamp("clusterTime").unwrap() == time);
                    assert_eq!(whole, events[first.unwrap()..]);
                }
            }
        }
    }
}

/// Everything that a stream has, in batches of one event.
fn one_by_one(stream: &mut ChangeStream) -> Vec<Document> {
    let mut events = Vec::new();
    loop {
        let batch = stream.next_batch(limit(1)).unwrap();
        events.extend(trees(&batch));
        if let [event] = &trees(&batch)[..] {
            assert_eq!(token_of(&batch), token(event));
        }
        if batch.at_end {
            return events;
        }
    }
}

/// CS-5.6.6: what follows an event in its own transaction, and is not seen, leaves the position at the event; what follows
/// behind the transaction does not.
#[test]
fn the_position_stays_at_the_last_event_that_was_seen() {
    for (world, per_entry) in worlds().iter().flat_map(|world| PER_ENTRY.map(|per_entry| (world, per_entry))) {
        let mut stream = world.watch("shop.sold", doc! {}, vec![]);
        let mut filtered = world.watch("", doc! {}, vec![doc! {"$match": {"documentKey._id": 2}}]);
        world.transact(7, mixed(), per_entry);
        let drain = |stream: &mut ChangeStream| {
            let mut events = Vec::new();
            loop {
                let batch = stream.next_batch(ALL).unwrap();
                events.extend(trees(&batch));
                if batch.at_end {
                    return (events, token_of(&batch));
                }
            }
        };
        for stream in [&mut stream, &mut filtered] {
            let (events, position) = drain(stream);
            assert_eq!(position, token(&events[0]));
        }
        let time = world.log(insert("other.x", doc! {"_id": 9}));
        let (events, position) = drain(&mut stream);
        assert!(events.is_empty());
        assert_eq!(position, tree(Token::high_water_mark(time).to_doc().as_bytes()));
    }
}

/// CS-2.8.4: more than one entry can hold, live, behind, and resumed in the middle.
#[test]
fn a_transaction_of_many_megabytes_spans_entries() {
    for world in worlds() {
        let mut live = world.watch("shop.orders", doc! {}, vec![]);
        let mut idle = world.watch("shop.other", doc! {}, vec![]);
        let operations: Vec<_> =
            (0..9).map(|id| insert("shop.orders", doc! {"_id": id, "padding": "x".repeat(5 << 20)})).collect();
        let times = world.transact(7, plain(operations), 0);
        assert_eq!(times.len(), 3);
        assert!(world.store.read_log(times[0], usize::MAX).unwrap().entries.len() == 3);
        let ids = |events: &[Document]| {
            let id = |event: &Document| event.get_document("documentKey").unwrap().get_i32("_id").unwrap();
            events.iter().map(id).collect::<Vec<_>>()
        };
        let events = next(&mut live);
        assert_eq!(ids(&events), (0..9).collect::<Vec<_>>());
        assert!(next(&mut idle).is_empty());
        for (event, at) in events.iter().zip(1..) {
            let mut resumed = world.watch("shop.orders", doc! {"resumeAfter": token(event)}, vec![]);
            assert_eq!(ids(&next(&mut resumed)), (at..9).collect::<Vec<_>>());
        }
        // One that is behind pauses between the entries, and between the events: each of its positions is good, and none
        // is behind the transaction before all of it was seen (CS-5.6.5, CS-5.6.9).
        let from = bson::Timestamp { time: times[0].seconds, increment: times[0].increment };
        let from = doc! {"startAtOperationTime": from};
        let (mut seen, mut pauses) = (0, 0);
        let mut behind = world.watch("shop.orders", from, vec![]);
        loop {
            let batch = behind.next_batch(limit(2)).unwrap();
            seen += trees(&batch).len();
            if batch.at_end {
                break;
            }
            pauses += usize::from(batch.events.is_empty());
            let mut resumed = world.watch("shop.orders", doc! {"resumeAfter": token_of(&batch)}, vec![]);
            assert_eq!(ids(&next(&mut resumed)), ids(&events[seen..]));
        }
        assert!(seen == 9 && pauses > 1);
    }
}

/// CS-2.8.4, CS-5.9.1: a transaction whose beginning is gone is not shown in part.
#[test]
fn a_transaction_that_has_lost_its_beginning_is_history_lost() {
    let options = StoreOptions { oplog_bytes: 16 << 20, ..StoreOptions::default() };
    let world = World::with(TailOptions { bytes_max: 1 << 20, ..TailOptions::default() }, options);
    let partial = doc! {"partialTxn": true};
    let first = insert("shop.orders", doc! {"_id": 0});
    let first = world.log(group(&[first], partial, in_transaction(4, ClusterTime::ZERO)));
    for id in 0..120 {
        world.log(insert("shop.other", doc! {"_id": id, "padding": "x".repeat(500_000)}));
    }
    assert!(world.store.window().lost_before.is_some_and(|lost| lost > first));
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    let mut other = world.watch("shop.other", doc! {}, vec![]);
    world.log(group(&[insert("shop.orders", doc! {"_id": 1})], doc! {"count": 2_i64}, in_transaction(4, first)));
    for stream in [&mut stream, &mut other] {
        let error = stream.next_batch(ALL).unwrap_err();
        assert_eq!((error.code().number(), error.label()), (286, Some("NonResumableChangeStreamError")));
    }
}

/// CS-2.8.6.
#[test]
fn collections_and_indexes_are_made_inside() {
    let world = World::new();
    let mut plain_stream = world.watch("shop.", doc! {}, vec![]);
    let mut expanded = world.watch("shop.", doc! {"showExpandedEvents": true}, vec![]);
    let index = doc! {"createIndexes": "orders", "v": 2, "key": {"a": 1}, "name": "a_1"};
    let operations = plain(vec![
        command("shop", doc! {"create": "orders"}, None),
        command("shop", index, None),
        insert("shop.orders", doc! {"_id": 1}),
    ]);
    world.transact(7, operations, 2);
    let events = next(&mut expanded);
    assert_eq!(types(&events), "create createIndexes insert");
    for event in &events {
        assert_eq!(event.get("txnNumber"), Some(&Bson::Int64(7)));
        assert_eq!(event.get_document("lsid").unwrap(), &session());
        assert_eq!(event.get("clusterTime"), events[0].get("clusterTime"));
    }
    let seen = next(&mut plain_stream);
    assert_eq!((types(&seen).as_str(), self::index(&seen[0])), ("insert", 2));
    for (event, at) in events.iter().zip(1..) {
        let options = doc! {"showExpandedEvents": true, "resumeAfter": token(event)};
        assert_eq!(next(&mut world.watch("shop.", options, vec![])), events[at..]);
    }
}

/// CS-2.8.5, CS-9.2.3, CS-9.3.2, CS-14.44 and CS-14.48: the life of a document, with the images of each moment of it.
#[test]
fn a_document_lives_and_dies_in_a_transaction() {
    for (world, per_entry) in worlds().iter().flat_map(|world| PER_ENTRY.map(|per_entry| (world, per_entry))) {
        let mode = |full: &str, before: &str| doc! {"fullDocument": full, "fullDocumentBeforeChange": before};
        let modes = [mode("required", "required"), mode("whenAvailable", "whenAvailable"), mode("updateLookup", "off")];
        let mut streams = modes.clone().map(|mode| world.watch("shop.orders", mode, vec![]));
        let state = |a: i32| doc! {"_id": 1, "a": a};
        world.transact(
            7,
            vec![
                (insert("shop.orders", state(1)), None),
                (insert("shop.other", state(1)), None),
                (update("shop.orders", 1, doc! {"u": {"a": 2}}), Some(state(1))),
                (update("shop.orders", 1, doc! {"u": {"a": 3}}), Some(state(2))),
                (delete("shop.orders", 1), Some(state(3))),
            ],
            per_entry,
        );
        let [required, available, looked_up] = streams.each_mut().map(next);
        assert_eq!(required, available);
        let images =
            |event: &Document| (event.get("fullDocumentBeforeChange").cloned(), event.get("fullDocument").cloned());
        let (one, two, three) = (Some(state(1).into()), Some(state(2).into()), Some(state(3).into()));
        let expected = [(None, one.clone()), (one.clone(), two.clone()), (two, three.clone()), (three, None)];
        assert_eq!(required.iter().map(images).collect::<Vec<_>>(), expected);
        let null = Some(Bson::Null);
        let expected = [(None, one), (None, null.clone()), (None, null), (None, None)];
        assert_eq!(looked_up.iter().map(images).collect::<Vec<_>>(), expected);
        for (event, at) in required.iter().zip(1..) {
            let mut options = modes[0].clone();
            options.insert("resumeAfter", token(event));
            assert_eq!(next(&mut world.watch("shop.orders", options, vec![])), required[at..]);
        }
    }
}

/// CS-6.8 and CS-5.8.5: a large event inside, and each of its fragments to resume from.
#[test]
fn large_events_of_a_transaction_are_split() {
    let world = World::new();
    let stage = || vec![doc! {"$changeStreamSplitLargeEvent": {}}];
    let options = || doc! {"fullDocumentBeforeChange": "required"};
    let mut stream = world.watch("shop.orders", options(), stage());
    let big = doc! {"_id": 1, "a": "x".repeat(9 << 20)};
    let operations = vec![
        (insert("shop.orders", doc! {"_id": 0}), None),
        (insert("shop.other", doc! {"_id": 0}), None),
        (replace("shop.orders", big.clone()), Some(big.clone())),
        (replace("shop.orders", big.clone()), Some(big)),
    ];
    assert_eq!(world.transact(7, operations, 0).len(), 2);
    let events = next(&mut stream);
    assert_eq!(events.iter().map(index).collect::<Vec<_>>(), [0, 2, 2, 3, 3]);
    for (event, at) in events.iter().zip(1..) {
        let mut options = options();
        options.insert("resumeAfter", token(event));
        assert_eq!(next(&mut world.watch("shop.orders", options, stage())), events[at..]);
    }
}

/// Those who look at the same part of a large transaction have it once, also where it has left the tail.
#[test]
fn watchers_share_the_parts_of_a_transaction() {
    let [_, world, _] = worlds();
    let mut streams = [0, 1].map(|_| world.watch("shop.orders", doc! {}, vec![]));
    world.transact(7, mixed(), 2);
    let [one, other] = streams.each_mut().map(|stream| stream.next_batch(ALL).unwrap().events);
    assert_eq!(one.len(), 4);
    assert!(one.iter().zip(&other).all(|(one, other)| one.as_ptr() == other.as_ptr()));
    let before = world.tail.allowance().left();
    drop(streams);
    assert!(world.tail.allowance().left() >= before);
}

/// CS-14.42 and CS-14.43: what is not committed holds up nothing, and what began before the stream is seen in full.
#[test]
fn a_transaction_counts_from_its_commit() {
    let world = World::new();
    let partial = || doc! {"partialTxn": true};
    let write = |id: i32| insert("shop.orders", doc! {"_id": id});
    let first = world.log(group(&[write(0)], partial(), in_transaction(4, ClusterTime::ZERO)));
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    let second = world.log(group(&[write(1)], partial(), in_transaction(4, first)));
    world.log(write(9));
    assert_eq!(next(&mut stream).len(), 1);
    world.log(group(&[write(2)], doc! {"count": 3_i64}, in_transaction(4, second)));
    let events = next(&mut stream);
    assert_eq!(events.iter().map(index).collect::<Vec<_>>(), [0, 1, 2]);
}

/// Many at once go through chains that come and go: all see all of them, each once.
#[test]
fn many_go_through_chains_at_the_same_time() {
    const TRANSACTIONS: i64 = 80;
    let small = TailOptions { bytes_max: 4_000, ..TailOptions::default() };
    let world = World::with(small, StoreOptions::default());
    let streams: Vec<_> = (0..6).map(|_| world.watch("shop.", doc! {}, vec![])).collect();
    let seen: Vec<Vec<Document>> = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..TRANSACTIONS {
                world.transact(number, mixed(), PER_ENTRY[usize::try_from(number % 4).unwrap()]);
            }
        });
        let read = |mut stream: ChangeStream| {
            let mut events = Vec::new();
            while events.len() < 5 * usize::try_from(TRANSACTIONS).unwrap() {
                events.extend(trees(&stream.next_batch(limit(3)).unwrap()));
            }
            events
        };
        let readers: Vec<_> = streams.into_iter().map(|stream| scope.spawn(move || read(stream))).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    for (event, at) in seen[0].iter().zip(0..) {
        assert_eq!(event.get_i64("txnNumber").ok(), Some(at / 5));
    }
    assert!(seen.iter().all(|events| *events == seen[0]));
}
