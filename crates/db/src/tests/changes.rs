//! Change streams over random histories (CS-16.4): a database that lives, watchers that die and come back.
//!
//! `CHANGES_SEED=…` replays a run; a failing one says its seed.

mod filters;
mod mirror;
mod resuming;
mod snapshot;
mod watcher;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Poll, Waker};

use bson::{Bson, Document, bson, doc};
use bytes::Bytes;
use millstream_query::collation::Collation;
use millstream_query::expression::Scope as Variables;
use millstream_query::predicate::Predicate;
use millstream_query::update::Update;
use millstream_storage::{Location, SystemClock};
use millstream_value::{ClusterTime, DocBuf, Namespace, from_bson, from_bson_document};

use crate::{
    Action, Attempt, Change, Committing, Db, Image, Options, Removal, Statement, TransactionId, Tried, WriteCommand,
    insert_document,
};

/// A number of runs: some that are always the same, and some that never were before.
fn runs(count: u64, run: impl Fn(&mut Random)) {
    let given = std::env::var("CHANGES_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let fresh = u64::from(u32::from_be_bytes(*millstream_value::new_uuid().first_chunk().unwrap()));
    let seeds = match given {
        Some(seed) => vec![seed],
        None => (1..=count).chain(fresh..fresh + count).collect(),
    };
    for seed in seeds {
        let _guard = Seed(seed);
        run(&mut Random(seed));
    }
}

/// Says which run failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("CHANGES_SEED={}", self.0);
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn number(&mut self, bound: usize) -> i32 {
        i32::try_from(self.below(bound)).unwrap()
    }
}

const NAMESPACES: [(&str, &str); 6] =
    [("shop", "a"), ("shop", "b"), ("shop", "c"), ("other", "a"), ("other", "b"), ("other", "c")];

/// A database, and what happens in it.
struct World {
    db: Db,
    /// The number of the last transaction.
    transactions: AtomicI64,
}

impl World {
    fn new() -> Self {
        Self::with(false, 32 << 20)
    }

    /// Most of its transactions are chains of entries.
    fn with(images: bool, tail_bytes: usize) -> Self {
        let options = Options { images_always: images, tail_bytes, ..Options::default() };
        let db = Db::open(Location::Memory, Arc::new(SystemClock), options).unwrap();
        Self { db, transactions: AtomicI64::new(0) }
    }

    fn history(&self, random: &mut Random, steps: usize) {
        for _ in 0..steps {
            self.step(random);
        }
    }

    /// One command. Many of them change nothing or fail, as commands do.
    fn step(&self, random: &mut Random) {
        let (db, coll) = *random.pick(&NAMESPACES);
        let ns = Namespace::new(db, coll);
        match random.below(100) {
            0..72 => self.write(&ns, actions(random)),
            72..84 => self.transact(random),
            84..88 => {
                let spec = from_bson_document(&doc! {"locale": "en", "strength": random.number(3) + 1});
                let mut options = DocBuf::new();
                if random.percent(50) {
                    options
                        .push_some("collation", Collation::parse(spec.as_doc()).unwrap().as_ref().map(Collation::spec));
                }
                drop(self.db.create(&ns, options));
            }
            88..91 => {
                let spec = doc! {"key": {"n": 1}, "name": "n"};
                drop(self.db.create_indexes(&ns, &[from_bson_document(&spec)]));
            }
            91..94 => drop(self.db.drop_collection(&ns)),
            94..98 => {
                let to = Namespace::new(db, *random.pick(&["a", "b", "c"]));
                drop(self.db.rename(&ns, &to, random.percent(60)));
            }
            98 => drop(self.db.drop_database(db)),
            _ => {
                let images = Some(random.percent(50));
                drop(self.db.modify(&ns, crate::Modification { images, ..crate::Modification::default() }));
            }
        }
    }

    fn write(&self, ns: &Namespace, actions: Vec<Action>) {
        self.db.write(command(ns, actions)).block().unwrap();
    }

    /// A transaction of some commands. It ends early if one of them fails, and is aborted now and then.
    fn transact(&self, random: &mut Random) {
        let number = self.transactions.fetch_add(1, Ordering::Relaxed) + 1;
        self.db.set_entry_operations_max(*random.pick(&[1, 2, 3, 100]));
        let id = TransactionId { session: [1; 16], number };
        drop(self.db.begin(id, &self.db.now(), false).unwrap());
        let waker = Waker::noop();
        for _ in 0..=random.below(8) {
            let (db, coll) = *random.pick(&NAMESPACES);
            let Poll::Ready(Ok(mut turn)) = self.db.poll_turn(id, waker) else { return };
            // A document that is there already would end it: most make room for theirs.
            let actions = match random.below(10) {
                0 => actions(random),
                1..6 => {
                    let document = document(random);
                    vec![delete(&doc! {"_id": document.get("_id").cloned().unwrap()}, false), insert(document)]
                }
                _ => vec![update(&filter(random), change(random), random.percent(25), false)],
            };
            let mut attempt = Attempt::new(command(&Namespace::new(db, coll), actions));
            loop {
                match turn.write(&mut attempt).unwrap() {
                    Tried::Done(_) => break,
                    Tried::NeedsNumbers => turn.reserve().unwrap(),
                    Tried::Held(_) => panic!("nobody else is there"),
                }
            }
        }
        if random.percent(20) {
            drop(self.db.abort_transaction(id));
        } else if let Poll::Ready(Ok(Committing::Waits(pending))) = self.db.poll_commit(id, waker) {
            pending.wait().unwrap();
        }
    }
}

fn command(ns: &Namespace, actions: Vec<Action>) -> WriteCommand {
    let namespace = Arc::new(ns.clone());
    let statement = |(id, action)| Statement {
        namespace: Arc::clone(&namespace),
        id: i32::try_from(id).unwrap(),
        action: Ok(action),
    };
    let statements = actions.into_iter().enumerate().map(statement).collect();
    WriteCommand { statements, ordered: false, retry: None }
}

/// What one command does to a collection.
fn actions(random: &mut Random) -> Vec<Action> {
    match random.below(84) {
        0..36 => (0..=random.below(3)).map(|_| insert(document(random))).collect(),
        36..56 => vec![update(&filter(random), change(random), random.percent(25), random.percent(20))],
        56..66 => {
            let mut new = document(random);
            new.remove("_id");
            vec![update(&doc! {"_id": id(random)}, new.into(), false, random.percent(30))]
        }
        _ => vec![delete(&filter(random), random.percent(20))],
    }
}

/// Some of them are equal although their types differ.
fn id(random: &mut Random) -> Bson {
    let n = random.number(5);
    match random.below(12) {
        0..5 => n.into(),
        5 => i64::from(n).into(),
        6 => (f64::from(n) + 0.5).into(),
        7 => (*random.pick(&["", "a", "A", "ab", "b", "B"])).into(),
        8 => bson!({"a": n}),
        9 => (n > 2).into(),
        10 => bson::DateTime::from_millis(n.into()).into(),
        _ => Bson::Null,
    }
}

fn value(random: &mut Random) -> Bson {
    match random.below(9) {
        0..3 => random.number(4).into(),
        3 => 1.0.into(),
        4 => 2_i64.into(),
        5 => bson!([1, {"b": 2}, [1, 2]]),
        6 => bson!({"b": [2, 3], "x": 1}),
        7 => Bson::Null,
        _ => "text".into(),
    }
}

fn document(random: &mut Random) -> Document {
    let mut document = doc! {"_id": id(random), "n": value(random)};
    if random.percent(60) {
        document.insert("l", vec![random.number(3); random.below(4)]);
    }
    if random.percent(40) {
        document.insert("k", doc! {"x": value(random)});
    }
    document
}

fn filter(random: &mut Random) -> Document {
    match random.below(4) {
        0 => doc! {"n": {"$gte": random.number(3)}},
        _ => doc! {"_id": id(random)},
    }
}

fn change(random: &mut Random) -> Bson {
    match random.below(9) {
        0 => bson!({"$set": {"n": value(random)}}),
        1 => bson!({"$set": {"k.x": value(random), "z": value(random)}}),
        2 => bson!({"$inc": {"n": 1, "k.y": 2}}),
        3 => bson!({"$push": {"l": value(random)}}),
        4 => bson!({"$unset": {"n": "", "k.x": ""}}),
        5 => bson!({"$set": {"l.1": value(random)}}),
        6 => bson!({"$pop": {"l": 1}}),
        7 => bson!([{"$set": {"n": "$_id", "padding": "some more, so that a delta pays"}}]),
        _ => bson!([{"$set": {"l": {"$slice": [{"$ifNull": ["$l", []]}, 1]}, "padding": "some more of it here"}}]),
    }
}

fn insert(doc: Document) -> Action {
    let bytes = Bytes::from(from_bson_document(&doc).into_bytes());
    Action::Insert(insert_document(&bytes, ClusterTime::new(1, 1)).unwrap())
}

fn update(filter: &Document, update: Bson, multi: bool, upsert: bool) -> Action {
    let multi = multi && !update.as_document().is_some_and(|update| update.keys().all(|key| !key.starts_with('$')));
    Action::Update(Box::new(Change {
        filter: predicate(filter),
        id: None,
        update: Update::parse(&from_bson(&update), &[], &Variables::default()).unwrap(),
        multi,
        upsert,
        sort: None,
        hint: None,
        image: Image::None,
    }))
}

fn delete(filter: &Document, multi: bool) -> Action {
    let filter = predicate(filter);
    Action::Delete(Box::new(Removal { filter, id: None, multi, sort: None, hint: None, image: Image::None }))
}

fn predicate(filter: &Document) -> Arc<Predicate> {
    Arc::new(Predicate::parse(from_bson_document(filter).as_doc(), &Variables::default()).unwrap())
}
