//! Filtering early, routing and skipping never change what comes out (CS-6.6.1): a stream with a `$match` is the stream
//! without it, filtered.

use bson::{Bson, Document, bson, doc};
use bytes::Bytes;
use millstream_query::predicate::Predicate;
use millstream_value::Doc;

use super::watcher::{limits, open, scope};
use super::{Random, World, id, predicate, runs, value};

const PATHS: &[&str] = &[
    "operationType",
    "ns.db",
    "ns.coll",
    "ns",
    "to.coll",
    "documentKey._id",
    "documentKey",
    "documentKey._id.a",
    "fullDocument",
    "fullDocument._id",
    "fullDocument.n",
    "fullDocument.n.b",
    "fullDocument.n.0",
    "fullDocument.l",
    "fullDocument.l.1",
    "fullDocument.k.x",
    "fullDocumentBeforeChange.n",
    "fullDocumentBeforeChange",
    "updateDescription.updatedFields.n",
    "updateDescription.updatedFields.k\u{2e}x",
    "updateDescription.removedFields",
    "updateDescription.truncatedArrays.newSize",
    "missing.field",
];

const TYPES: &[&str] =
    &["insert", "update", "replace", "delete", "drop", "rename", "dropDatabase", "invalidate", "nonsense"];

/// A value that an event may have at a path, and sometimes one that it cannot have.
fn operand(path: &str, random: &mut Random) -> Bson {
    if random.percent(12) {
        return value(random);
    }
    match path {
        "operationType" => (*random.pick(TYPES)).into(),
        "ns.db" => (*random.pick(&["shop", "other", "Shop", ""])).into(),
        "ns.coll" | "to.coll" => (*random.pick(&["a", "b", "c", "A"])).into(),
        "ns" => bson!({"db": "shop", "coll": *random.pick(&["a", "b"])}),
        "documentKey" => bson!({"_id": id(random)}),
        path if path.ends_with("_id") => id(random),
        _ => value(random),
    }
}

fn condition(path: &str, random: &mut Random) -> Bson {
    let list = |random: &mut Random| (0..random.below(4)).map(|_| operand(path, random)).collect::<Vec<_>>();
    match random.below(16) {
        0..5 => operand(path, random),
        5..8 => bson!({"$in": list(random)}),
        8 => bson!({"$nin": list(random)}),
        9 => bson!({"$ne": operand(path, random)}),
        10 => bson!({"$exists": random.percent(50)}),
        11 => bson!({"$gte": operand(path, random)}),
        12 => bson!({"$not": {"$in": list(random)}}),
        13 => bson!({"$type": *random.pick(&["int", "string", "object", "array", "null", "double"])}),
        14 => bson!({"$lt": operand(path, random), "$exists": true}),
        _ => Bson::Null,
    }
}

fn filter(random: &mut Random, depth: usize) -> Document {
    let several =
        |random: &mut Random| -> Vec<Document> { (0..=random.below(3)).map(|_| filter(random, depth - 1)).collect() };
    let leaf = |random: &mut Random| {
        let path = *random.pick(PATHS);
        doc! {path: condition(path, random)}
    };
    match random.below(if depth == 0 { 8 } else { 12 }) {
        0..4 => leaf(random),
        4..7 => (0..2).flat_map(|_| leaf(random)).collect(),
        7 => {
            let path = *random.pick(&["operationType", "ns.coll", "documentKey._id", "fullDocument.n"]);
            let operator = *random.pick(&["$eq", "$ne", "$gt", "$lte"]);
            doc! {"$expr": {operator: [format!("${path}"), {"$literal": operand(path, random)}]}}
        }
        8 | 9 => doc! {"$and": several(random)},
        10 => doc! {"$or": several(random)},
        _ => doc! {"$nor": several(random)},
    }
}

/// A stream that looks only when it is told to, and what it should have seen.
struct Narrow {
    stream: millstream_change::ChangeStream,
    filter: Document,
    predicate: std::sync::Arc<Predicate>,
    wide: usize,
    seen: Vec<Bytes>,
}

fn options(random: &mut Random) -> Document {
    let mut options = Document::new();
    if random.percent(40) {
        options.insert("showExpandedEvents", true);
    }
    if random.percent(30) {
        options.insert("fullDocument", "whenAvailable");
    }
    if random.percent(30) {
        options.insert("fullDocumentBeforeChange", "whenAvailable");
    }
    options
}

/// Everything that there is, in batches of random sizes.
fn drain(stream: &mut millstream_change::ChangeStream, random: &mut Random) -> Vec<Bytes> {
    let mut events = Vec::new();
    loop {
        let limits = limits(random);
        let batch = stream.next_batch(limits).unwrap();
        let done = batch.closed || (limits.documents > 0 && batch.at_end && batch.events.is_empty());
        events.extend(batch.events);
        if done {
            return events;
        }
        if random.percent(30) {
            stream.read_ahead(random.below(5_000));
        }
    }
}

#[test]
fn a_filtered_stream_is_the_stream_filtered() {
    runs(15, |random| {
        let world = World::with(random.percent(50), *random.pick(&[3_000, 32 << 20]));
        world.history(random, 10);
        let scopes = ["", "shop", "other", "shop.a", "other.b"];
        let mut wide: Vec<_> = (0..6)
            .map(|_| {
                let (name, options) = (*random.pick(&scopes), options(random));
                (name, options.clone(), open(&world, &scope(name), &options, &[]).unwrap())
            })
            .collect();
        let mut narrow: Vec<_> = (0..60)
            .map(|_| {
                let at = random.below(wide.len());
                let (name, options, _) = &wide[at];
                let filter = filter(random, 2);
                let stages = [doc! {"$match": filter.clone()}];
                let stream = open(&world, &scope(name), options, &stages).unwrap_or_else(|e| panic!("{e}: {filter}"));
                Narrow { stream, predicate: predicate(&filter), filter, wide: at, seen: Vec::new() }
            })
            .collect();
        for _ in 0..12 {
            world.history(random, 12);
            for narrow in &mut narrow {
                if narrow.stream.subscription().is_ready() {
                    narrow.seen.extend(drain(&mut narrow.stream, random));
                }
            }
        }
        let wide: Vec<_> = wide.iter_mut().map(|(_, _, stream)| drain(stream, random)).collect();
        for narrow in &narrow {
            let passes = |event: &&Bytes| narrow.predicate.matches(Doc::new(event)).unwrap();
            let expected: Vec<_> = wide[narrow.wide].iter().filter(passes).collect();
            let show =
                |events: &[&Bytes]| events.iter().map(|event| format!("{:?}", Doc::new(event))).collect::<Vec<_>>();
            let seen: Vec<_> = narrow.seen.iter().collect();
            assert!(seen == expected, "{}\n{:#?}\n{:#?}", narrow.filter, show(&seen), show(&expected));
        }
    });
}
