//! Laws over random histories (CS-16.4), with a tail that holds everything and with one that holds next to nothing.

use bson::{Document, doc};
use millstream_query::expression::Scope as Variables;
use millstream_query::predicate::Predicate;
use millstream_storage::Options as StoreOptions;

use super::*;
use crate::TailOptions;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> i32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i32::try_from((self.0 >> 33) % bound).unwrap()
    }
}

fn value(random: &mut Random) -> bson::Bson {
    match random.below(7) {
        0 => 1.into(),
        1 => 1.0.into(),
        2 => 2_i64.into(),
        3 => bson::bson!([1, {"b": 2}, [1, 2]]),
        4 => bson::bson!({"b": [2, 3]}),
        5 => bson::Bson::Null,
        _ => "text".into(),
    }
}

fn operation(random: &mut Random) -> Vec<u8> {
    let ns = ["shop.a", "shop.b", "other.a"][usize::try_from(random.below(3)).unwrap()];
    let id = random.below(4);
    let id: bson::Bson = if id == 3 { 3_i64.into() } else { id.into() };
    match random.below(4) {
        0 => insert(ns, doc! {"_id": id, "a": value(random)}),
        1 => replace(ns, doc! {"_id": id, "a": value(random), "c": 1}),
        2 => update(ns, id, doc! {"u": {"a": value(random)}}),
        _ => delete(ns, id),
    }
}

fn history(world: &World, random: &mut Random, count: usize) {
    for _ in 0..count {
        let image = doc! {"_id": 1, "a": value(random)};
        match random.below(14) {
            0 => world.log(crate::entry::noop(STAMP, "periodic noop")),
            1 => world.log(command("shop", doc! {"create": "a"}, None)),
            2 => {
                let operations: Vec<_> = (0..=random.below(4)).map(|_| operation(random)).collect();
                let more = if random.below(2) == 0 {
                    doc! {}
                } else {
                    in_transaction(4, ClusterTime::ZERO)
                };
                world.log(group(&operations, doc! {}, more))
            }
            3 => world.log_with_image(operation(random), image),
            4 | 5 => {
                let mut one = || {
                    let image = doc! {"_id": 1, "a": value(random)};
                    (operation(random), (random.below(2) == 0).then_some(image))
                };
                let operations: Vec<_> = (0..7).map(|_| one()).collect();
                let (count, per_entry) = (random.below(7) + 1, random.below(4));
                let some = operations.into_iter().take(usize::try_from(count).unwrap()).collect();
                world.transact(4, some, usize::try_from(per_entry).unwrap()).remove(0)
            }
            _ => world.log(operation(random)),
        };
    }
}

/// One with memory for all, one where the tail holds next to nothing, and one where watchers may hold nothing either.
fn worlds() -> [World; 3] {
    let small = TailOptions { bytes_max: 3_000, ..TailOptions::default() };
    let smallest = TailOptions { watchers_bytes_max: 1, ..small };
    let with = |options| World::with(options, StoreOptions::default());
    [World::new(), with(small), with(smallest)]
}

/// Everything that a stream has, in batches of random sizes, now and then read ahead; with each event the tokens that came with it.
fn drain(stream: &mut ChangeStream, random: &mut Random) -> (Vec<Document>, Vec<(usize, Document)>) {
    let (mut events, mut positions) = (Vec::new(), Vec::new());
    loop {
        let limits = BatchLimits { documents: usize::try_from(random.below(5)).unwrap() + 1, bytes: 100_000 };
        let batch = stream.next_batch(limits).unwrap();
        events.extend(trees(&batch));
        positions.push((events.len(), token_of(&batch)));
        if random.below(2) == 0 {
            stream.read_ahead(usize::try_from(random.below(3_000)).unwrap());
        }
        if batch.at_end && batch.events.is_empty() {
            return (events, positions);
        }
    }
}

/// CS-0.3, CS-16.4.2, CS-16.4.4 and CS-5.6.9: resuming after any event and after any position gives exactly the rest.
#[test]
fn resuming_gives_exactly_the_rest() {
    for (world, seed) in worlds().iter().zip(1..) {
        let mut random = Random(seed);
        let expanded = || doc! {"showExpandedEvents": true};
        let mut live = ["", "shop.", "shop.a"].map(|ns| (ns, world.watch(ns, expanded(), vec![])));
        history(world, &mut random, 120);
        for (ns, live) in &mut live {
            let (events, positions) = drain(live, &mut random);
            assert!(events.len() > 20);
            let data = |token: &Document| token.get_str("_data").unwrap().to_owned();
            assert!(events.windows(2).all(|pair| data(&token(&pair[0])) < data(&token(&pair[1]))));
            assert!(positions.windows(2).all(|pair| data(&pair[0].1) <= data(&pair[1].1)));
            let resumed = |token: &Document, random: &mut Random| {
                let mut options = expanded();
                options.insert("resumeAfter", token.clone());
                drain(&mut world.watch(ns, options, vec![]), random).0
            };
            for (event, at) in events.iter().zip(1..) {
                assert_eq!(resumed(&token(event), &mut random), events[at..]);
            }
            for (at, token) in &positions {
                assert_eq!(resumed(token, &mut random), events[*at..]);
            }
        }
    }
}

fn filters() -> Vec<Document> {
    vec![
        doc! {"operationType": "insert"},
        doc! {"operationType": {"$in": ["update", "delete"]}},
        doc! {"operationType": {"$ne": "delete"}},
        doc! {"documentKey._id": 1},
        doc! {"documentKey._id": {"$in": [2.0, 3]}},
        doc! {"documentKey": {"_id": 1}},
        doc! {"fullDocument.a": 1},
        doc! {"fullDocument.a": 2},
        doc! {"fullDocument.a.b": 2},
        doc! {"fullDocument.a": [1, 2]},
        doc! {"fullDocument.a.0": 1},
        doc! {"fullDocument.a": null},
        doc! {"fullDocument.a": {"$exists": false}},
        doc! {"fullDocument.a": {"$gte": "tex", "$lt": "texu"}, "fullDocument.c": {"$ne": 1}},
        doc! {"fullDocument.a": {"$not": {"$gt": 1}}, "documentKey._id": {"$lt": 3}},
        doc! {"fullDocument.a": {"$elemMatch": {"b": 2}}},
        doc! {"fullDocument.a": {"$type": "array"}, "$or": [{"fullDocument._id": 1}, {"ns.coll": "b"}]},
        doc! {"$and": [{"$and": [{"fullDocument._id": {"$in": [0, 1, null]}}]}, {"fullDocument.c": null}]},
        doc! {"fullDocument": {"$ne": null}},
        doc! {"fullDocument.a": "text", "ns.coll": "a"},
        doc! {"ns.db": "other", "documentKey._id": {"$gte": 1}},
        doc! {"ns": {"db": "shop", "coll": "b"}},
        doc! {"$and": [{"fullDocument.a": {"$in": [1, "text"]}}, {"operationType": "update"}]},
        doc! {"$or": [{"fullDocument.a": 1}, {"operationType": "delete"}]},
        doc! {"$or": [{"fullDocument.a": 1}, {"documentKey._id": 2}]},
        doc! {"$or": [{"fullDocument.a": "text", "ns.coll": "b"}, {"$and": [{"operationType": "update"}, {"ns.db": "shop"}]}]},
        doc! {"ns.db": "shop", "$or": [{"ns.coll": "a", "documentKey._id": 1}, {"ns.coll": "b", "fullDocument.a": {"$in": [1, 2]}}]},
        doc! {"$or": [{"documentKey._id": 1, "operationType": "delete"}, {"$expr": {"$eq": ["$ns.coll", "b"]}}]},
        doc! {"$or": [{"ns.db": "shop", "ns.coll": {"$in": ["b", "c"]}}, {"operationType": "rename", "to": {"$in": [1]}}]},
        doc! {"ns.coll": "a", "ns.db": {"$ne": "shop"}},
        doc! {"ns.coll": {"$in": ["b", null]}},
        doc! {"ns.db": 1},
        doc! {"$nor": [{"fullDocument.a": 1}]},
        doc! {"$expr": {"$eq": ["$operationType", "insert"]}},
        doc! {"updateDescription.updatedFields.a": 1},
        doc! {"fullDocumentBeforeChange.a": 1},
        doc! {"fullDocumentBeforeChange": null, "operationType": "delete"},
    ]
}

/// CS-6.6.1 and CS-16.4.3: filtering early, routing and skipping never change results. The narrow streams look only when
/// they are told to.
#[test]
fn a_filtered_stream_is_the_stream_filtered() {
    let modes = [
        doc! {},
        doc! {"fullDocument": "updateLookup"},
        doc! {"fullDocument": "whenAvailable", "fullDocumentBeforeChange": "whenAvailable"},
    ];
    for (world, seed) in worlds().iter().zip(5..) {
        for id in 0..2 {
            let key = ("shop.a".to_owned(), buffer(&doc! {"_id": id}).into_bytes());
            world.documents.0.lock().insert(key, buffer(&doc! {"_id": id, "a": 1}).into_bytes());
        }
        let mut random = Random(seed);
        let mut wide = modes.each_ref().map(|mode| world.watch("", mode.clone(), vec![]));
        let mut narrow = Vec::new();
        for (mode, number) in modes.iter().zip(0..) {
            for filter in filters() {
                let stream = world.watch("", mode.clone(), vec![doc! {"$match": filter.clone()}]);
                narrow.push((number, filter, stream, Vec::new()));
            }
        }
        for _ in 0..10 {
            history(world, &mut random, 15);
            for (_, _, stream, seen) in &mut narrow {
                if stream.subscription().is_ready() {
                    seen.extend(drain(stream, &mut random).0);
                }
            }
        }
        let wide = wide.each_mut().map(|stream| drain(stream, &mut random).0);
        for (mode, filter, stream, seen) in &mut narrow {
            assert!(!stream.subscription().is_ready());
            let predicate = Predicate::parse(buffer(filter).as_doc(), &Variables::default()).unwrap();
            let expected = wide[*mode].iter().filter(|event| predicate.matches(buffer(event).as_doc()).unwrap());
            assert_eq!(seen, &expected.cloned().collect::<Vec<_>>(), "{filter} {:?}", modes[*mode]);
        }
    }
}
