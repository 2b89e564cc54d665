//! The database as an embedded library: what a command does to data, whatever way it is answered.

mod changes;
mod collation;
mod transactions;
mod views;

use std::sync::Arc;

use bson::doc;
use bytes::Bytes;
use millstream_query::expression::Scope;
use millstream_query::predicate::Predicate;
use millstream_query::sort::Sort;
use millstream_query::update::Update;
use millstream_storage::{Location, SystemClock};
use millstream_value::{Doc, DocBuf, Namespace, Value, from_bson, from_bson_document, to_bson_document};

use crate::{
    Action, Change, Db, Error, Find, Image, Options, Owner, Removal, Retry, Size, Source, Statement, TimeLimit,
    WriteCommand, WriteReply, insert_document,
};

mod history;

fn open() -> Db {
    open_in(Location::Memory)
}

fn open_in(location: Location) -> Db {
    Db::open(location, Arc::new(SystemClock), Options::default()).unwrap()
}

fn ns() -> Namespace {
    Namespace::new("shop", "orders")
}

fn predicate(filter: &bson::Document) -> Arc<Predicate> {
    Arc::new(Predicate::parse(from_bson_document(filter).as_doc(), &Scope::default()).unwrap())
}

fn insert(doc: bson::Document) -> Action {
    let bytes = Bytes::from(from_bson_document(&doc).into_bytes());
    Action::Insert(insert_document(&bytes, millstream_value::ClusterTime::new(1, 1)).unwrap())
}

fn update(filter: bson::Document, update: bson::Document, multi: bool, upsert: bool) -> Action {
    let id = filter.get("_id").filter(|v| v.as_document().is_none()).map(from_bson);
    let update = from_bson(&bson::Bson::Document(update));
    Action::Update(Box::new(Change {
        filter: predicate(&filter),
        id,
        update: Update::parse(&update, &[], &Scope::default()).unwrap(),
        multi,
        upsert,
        sort: None,
        hint: None,
        image: Image::After,
    }))
}

fn delete(filter: bson::Document, multi: bool) -> Action {
    Action::Delete(Box::new(Removal {
        filter: predicate(&filter),
        id: None,
        multi,
        sort: None,
        hint: None,
        image: Image::None,
    }))
}

fn command(actions: Vec<Action>, ordered: bool, retry: Option<Retry>) -> WriteCommand {
    let namespace = Arc::new(ns());
    let statement = |(id, action)| Statement {
        namespace: Arc::clone(&namespace),
        id: i32::try_from(id).unwrap(),
        action: Ok(action),
    };
    WriteCommand { statements: actions.into_iter().enumerate().map(statement).collect(), ordered, retry }
}

fn write(db: &Db, actions: Vec<Action>) -> WriteReply {
    let reply = db.write(command(actions, true, None)).block().unwrap();
    for outcome in &reply.outcomes {
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
    }
    reply
}

fn query(filter: bson::Document) -> Find {
    Find::all(predicate(&filter))
}

fn read(db: &Db, find: Find) -> Vec<bson::Document> {
    db.now().find(&ns(), find).unwrap().map(|doc| to_bson_document(Doc::new(&doc.unwrap()))).collect()
}

fn index(db: &Db, spec: bson::Document) -> crate::Result<()> {
    db.create_indexes(&ns(), &[from_bson_document(&spec)]).map(drop)
}

fn log_length(db: &Db) -> usize {
    db.oplog(predicate(&doc! {"op": {"$ne": "n"}}), false, TimeLimit::default()).count()
}

#[test]
fn every_plan_gives_what_a_scan_gives() {
    let mut state = 11_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut value = move |depth: u32| -> bson::Bson {
        fn pick(random: &mut impl FnMut(u64) -> u64, depth: u32) -> bson::Bson {
            match random(if depth == 0 { 8 } else { 10 }) {
                0 => bson::Bson::Null,
                1 => bson::Bson::Int32(i32::try_from(random(4)).unwrap()),
                2 => bson::Bson::Int64(i64::try_from(random(4)).unwrap()),
                3 => bson::Bson::Double(f64::from(u32::try_from(random(8)).unwrap()) / 2.0),
                4 => bson::Bson::String(["", "a", "ab", "b"][usize::try_from(random(4)).unwrap()].to_owned()),
                5 => bson::Bson::Boolean(random(2) == 0),
                6 => bson::Bson::Int32(-1),
                7 => bson::Bson::Document(doc! {"c": i32::try_from(random(3)).unwrap()}),
                _ => bson::Bson::Array((0..random(3)).map(|_| pick(random, depth - 1)).collect()),
            }
        }
        pick(&mut random, depth)
    };
    let (plain, indexed) = (open(), open());
    for spec in [
        doc! {"key": {"a": 1}, "name": "a"},
        doc! {"key": {"b": -1, "a": 1}, "name": "ba"},
        doc! {"key": {"a.c": 1}, "name": "ac"},
        doc! {"key": {"b": 1}, "name": "sparse", "sparse": true},
    ] {
        index(&indexed, spec).unwrap();
    }
    for id in 0..300 {
        let mut doc = doc! {"_id": id};
        for field in ["a", "b"] {
            let v = value(2);
            if v != bson::Bson::Boolean(true) {
                doc.insert(field, v);
            }
        }
        // Documents of several shapes; two arrays cannot be under one index.
        let action = vec![insert(doc)];
        let both = indexed.write(command(action, true, None)).block().unwrap();
        if both.outcomes[0].error.is_none() {
            let stored = read(&indexed, query(doc! {"_id": id}));
            write(&plain, vec![insert(stored[0].clone())]);
        }
    }
    assert!(read(&plain, query(doc! {})).len() > 150);
    // Indexes that came first and indexes built over documents must agree too.
    index(&plain, doc! {"key": {"b": 1, "a.c": -1}, "name": "late"}).unwrap();
    let mut used = std::collections::HashSet::new();
    for round in 0..600 {
        let (x, y) = (value(1), value(1));
        let filter = match round % 9 {
            0 => doc! {"a": x},
            1 => doc! {"a": {"$gt": x}},
            2 => doc! {"a": {"$gte": x, "$lt": y}},
            3 => doc! {"b": {"$in": [x, y]}},
            4 => doc! {"b": x, "a": {"$lte": y}},
            5 => doc! {"a.c": x},
            6 => doc! {"b": {"$lt": x}, "a": y},
            7 => doc! {"$and": [{"b": x}, {"a": {"$exists": true}}]},
            _ => doc! {"b": {"$lte": x}, "a.c": {"$gt": y}},
        };
        if Predicate::parse(from_bson_document(&filter).as_doc(), &Scope::default()).is_err() {
            continue;
        }
        let order = [doc! {"a": 1, "_id": 1}, doc! {"b": -1, "a": 1, "_id": 1}, doc! {"_id": -1}][round % 3].clone();
        let sort = || Some(Sort::parse(from_bson_document(&order).as_doc(), &Scope::default()).unwrap());
        let scan = Find {
            hint: Some(from_bson(&bson::Bson::Document(doc! {"$natural": 1}))),
            sort: sort(),
            ..query(filter.clone())
        };
        let planned = Find { sort: sort(), ..query(filter.clone()) };
        let plan = to_bson_document(indexed.now().explain(&ns(), &planned, Doc::empty(), false).unwrap().as_doc());
        used.insert(
            format!("{plan}").split("indexName\": \"").nth(1).and_then(|s| s.split('"').next().map(str::to_owned)),
        );
        let want = read(&plain, scan);
        assert_eq!(read(&indexed, planned), want, "{filter} sorted by {order}");
        let planned = Find { sort: sort(), ..query(filter.clone()) };
        assert_eq!(read(&plain, planned), want, "{filter} sorted by {order}, late index");
    }
    assert!(used.len() > 3, "the filters must try several plans: {used:?}");
}

#[test]
fn a_clash_in_a_unique_index_leaves_nothing_behind() {
    let db = open();
    index(&db, doc! {"key": {"a": 1}, "name": "a"}).unwrap();
    index(&db, doc! {"key": {"u": 1}, "name": "u", "unique": true}).unwrap();
    write(&db, vec![insert(doc! {"_id": 1, "a": 1, "u": 1})]);
    let before = log_length(&db);
    let batch = vec![insert(doc! {"_id": 2, "a": 7, "u": 1}), insert(doc! {"_id": 3, "a": 7, "u": 3})];
    let reply = db.write(command(batch, false, None)).block().unwrap();
    assert!(matches!(&reply.outcomes[0].error, Some(Error::DuplicateKey(clash)) if clash.index == "u"));
    assert!(reply.outcomes[1].error.is_none());
    assert_eq!(read(&db, query(doc! {"a": 7})), [doc! {"_id": 3, "a": 7, "u": 3}]);
    assert_eq!(log_length(&db), before + 1, "a refused write is not in the log");
    let clash = update(doc! {"_id": 3}, doc! {"$set": {"a": 8, "u": 1}}, false, false);
    let reply = db.write(command(vec![clash], true, None)).block().unwrap();
    assert!(matches!(reply.outcomes[0].error, Some(Error::DuplicateKey(_))));
    assert_eq!(read(&db, query(doc! {"a": 8})), Vec::<bson::Document>::new());
    // A unique index cannot be built over what clashes, and the attempt leaves no trace.
    write(&db, vec![insert(doc! {"_id": 9, "a": 7, "u": 9})]);
    assert!(matches!(
        index(&db, doc! {"key": {"a": 1, "b": 1}, "name": "ab", "unique": true}),
        Err(Error::DuplicateKey(_))
    ));
    assert_eq!(db.list_indexes(&ns()).unwrap().len(), 3);
    write(&db, vec![insert(doc! {"_id": 10, "a": 7, "u": 10})]);
}

/// CS-13.7: also across a restart.
#[test]
fn a_retried_write_is_executed_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = || Location::Folder(folder.path().join("data"));
    let db = open_in(place());
    let retry = Some(Retry { session: [7; 16], number: 5 });
    let batch = || {
        vec![
            insert(doc! {"_id": 1, "n": 0}),
            update(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}, false, false),
            update(doc! {"k": "new"}, doc! {"$set": {"n": 5}}, false, true),
        ]
    };
    let first = db.write(command(batch(), true, retry)).block().unwrap();
    let length = log_length(&db);
    let again = db.write(command(batch(), true, retry)).block().unwrap();
    assert_eq!(log_length(&db), length);
    db.close().unwrap();
    drop(db);
    let db = open_in(place());
    let later = db.write(command(batch(), true, retry)).block().unwrap();
    assert_eq!(log_length(&db), length);
    for reply in [again, later] {
        for (a, b) in first.outcomes.iter().zip(&reply.outcomes) {
            assert_eq!((a.n, a.modified, &a.upserted, &a.image), (b.n, b.modified, &b.upserted, &b.image));
            assert!(b.error.is_none());
        }
    }
    let old = db.write(command(batch(), true, Some(Retry { session: [7; 16], number: 4 }))).block();
    assert!(matches!(old, Err(Error::TransactionTooOld { given: 4, seen: 5 })));
}

#[test]
fn many_documents_are_changed_in_slices() {
    let db = open();
    let docs = (0..2_345).map(|id| insert(doc! {"_id": id, "n": 0})).collect();
    write(&db, docs);
    let reply = write(&db, vec![update(doc! {"n": 0}, doc! {"$inc": {"n": 1}}, true, false)]);
    assert_eq!((reply.outcomes[0].n, reply.outcomes[0].modified), (2_345, 2_345));
    assert_eq!(db.now().count(&ns(), &query(doc! {"n": 1})).unwrap(), 2_345);
    let reply = write(&db, vec![delete(doc! {"_id": {"$gte": 100}}, true)]);
    assert_eq!(reply.outcomes[0].n, 2_245);
    assert_eq!(db.now().count(&ns(), &query(doc! {})).unwrap(), 100);
}

#[test]
fn a_statement_sees_those_before_it() {
    let db = open();
    let reply = write(
        &db,
        vec![
            insert(doc! {"_id": 1, "state": "new"}),
            update(doc! {"state": "new"}, doc! {"$set": {"state": "old"}}, false, false),
            delete(doc! {"state": "old"}, false),
            update(doc! {"_id": 1}, doc! {"$set": {"again": true}}, false, true),
        ],
    );
    assert_eq!(reply.outcomes.iter().map(|o| o.n).collect::<Vec<_>>(), [1, 1, 1, 1]);
    assert_eq!(reply.outcomes[3].upserted, Some(Value::Int32(1)));
    assert_eq!(read(&db, query(doc! {})), [doc! {"_id": 1, "again": true}]);
}

#[test]
fn a_dropped_collection_comes_back_empty_and_a_renamed_one_keeps_all() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1})]);
    index(&db, doc! {"key": {"a": 1}, "name": "a"}).unwrap();
    let uuid = db.collection_uuid(&ns());
    let other = Namespace::new("shop", "sold");
    assert!(db.rename(&ns(), &other, false).unwrap().dropped.is_none());
    assert_eq!(db.collection_uuid(&other), uuid);
    assert_eq!(db.list_indexes(&other).unwrap().len(), 2);
    assert_eq!(db.now().count(&other, &query(doc! {})).unwrap(), 1);
    assert_eq!(db.drop_collection(&other).unwrap(), crate::Dropped::Collection { indexes: 2 });
    assert_eq!(db.drop_collection(&other).unwrap(), crate::Dropped::Nothing);
    write(&db, vec![insert(doc! {"_id": 2})]);
    assert_eq!(read(&db, query(doc! {})), [doc! {"_id": 2}]);
    assert!(db.drop_database("shop").unwrap());
    assert!(!db.drop_database("shop").unwrap());
    assert!(db.collections("shop").is_empty());
}

#[test]
fn writers_that_race_for_one_document_all_count() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1, "kind": "counter", "n": 0})]);
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                for _ in 0..50 {
                    let reply =
                        write(&db, vec![update(doc! {"kind": "counter"}, doc! {"$inc": {"n": 1}}, false, false)]);
                    assert_eq!(reply.outcomes[0].n, 1);
                }
            });
        }
    });
    assert_eq!(read(&db, query(doc! {})), [doc! {"_id": 1, "kind": "counter", "n": 400}]);
}

#[test]
fn names_and_ids_that_cannot_be_stored_are_refused() {
    let long = "x".repeat(251);
    for bad in ["", "a$b", ".a", "a.", "system.foo", long.as_str()] {
        assert!(crate::check_collection_name(&Namespace::new("shop", bad)).is_err(), "{bad}");
    }
    for bad in [doc! {"_id": [1]}, doc! {"_id": {"$a": 1}}, doc! {"_id": "x".repeat(70_000)}] {
        let bytes = Bytes::from(from_bson_document(&bad).into_bytes());
        assert!(insert_document(&bytes, millstream_value::ClusterTime::new(1, 1)).is_err());
    }
}

#[test]
fn what_the_catalog_holds_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let place = || Location::Folder(folder.path().join("data"));
    let db = open_in(place());
    write(&db, vec![insert(doc! {"_id": 1, "a": [1, 2]})]);
    index(&db, doc! {"key": {"a": 1}, "name": "a"}).unwrap();
    db.modify(&ns(), crate::Modification { images: Some(true), ..crate::Modification::default() }).unwrap();
    let before = (db.set_id(), db.collection_uuid(&ns()), db.committed(), db.list_indexes(&ns()).unwrap());
    db.close().unwrap();
    drop(db);
    let db = open_in(place());
    let after = (db.set_id(), db.collection_uuid(&ns()), db.committed(), db.list_indexes(&ns()).unwrap());
    assert_eq!(before, after);
    let options: Vec<DocBuf> = db.collections("shop").into_iter().map(|c| c.options).collect();
    assert_eq!(to_bson_document(options[0].as_doc()), doc! {"changeStreamPreAndPostImages": {"enabled": true}});
    // The index knows that it holds several keys of one document: both bounds must not be joined.
    assert_eq!(read(&db, query(doc! {"a": {"$gt": 1, "$lt": 2}})).len(), 1);
}

#[test]
fn a_collection_is_as_it_was_until_it_is_changed() {
    let db = open();
    let absent = db.now().mark(&ns());
    assert!(db.is_as(&absent));
    write(&db, vec![insert(doc! {"_id": 1})]);
    assert!(!db.is_as(&absent));
    let one = db.now().mark(&ns());
    db.create(&Namespace::new("shop", "other"), DocBuf::new()).unwrap();
    assert!(db.is_as(&one), "what happens elsewhere does not matter");
    write(&db, vec![update(doc! {"_id": 1}, doc! {"$set": {"a": 1}}, false, false)]);
    assert!(!db.is_as(&one));
    let two = db.now().mark(&ns());
    db.drop_collection(&ns()).unwrap();
    write(&db, vec![insert(doc! {"_id": 1, "a": 1})]);
    assert!(!db.is_as(&two), "it is another one");
}

#[test]
fn the_size_of_a_collection_is_known_without_reading_it() {
    let db = open();
    let real = |db: &Db| {
        let docs = db.now().find(&ns(), query(doc! {})).unwrap().map(|doc| doc.unwrap().len()).collect::<Vec<_>>();
        Size::of(docs.len().try_into().unwrap(), docs.iter().sum())
    };
    let check = |db: &Db, documents: i64| {
        assert_eq!(db.size(&ns()).unwrap(), Some(real(db)));
        assert_eq!(real(db).documents, documents);
        assert_eq!(db.now().count(&ns(), &query(doc! {})).unwrap(), u64::try_from(documents).unwrap());
        let some = Find { skip: 1, limit: Some(2), ..query(doc! {}) };
        assert_eq!(
            db.now().count(&ns(), &some).unwrap(),
            u64::try_from(documents.saturating_sub(1).clamp(0, 2)).unwrap()
        );
    };
    check(&db, 0);
    write(&db, (0..5).map(|id| insert(doc! {"_id": id})).collect());
    check(&db, 5);
    write(&db, vec![update(doc! {"_id": 1}, doc! {"$set": {"text": "longer"}}, false, false)]);
    write(&db, vec![update(doc! {"_id": 9}, doc! {"$set": {"a": 1}}, false, true)]);
    check(&db, 6);
    // Of a statement that fails nothing remains, of the others all.
    index(&db, doc! {"key": {"a": 1}, "name": "a_1", "unique": true, "sparse": true}).unwrap();
    let actions = vec![insert(doc! {"_id": 20}), insert(doc! {"_id": 21, "a": 1}), insert(doc! {"_id": 22})];
    db.write(command(actions, false, None)).block().unwrap();
    check(&db, 8);
    write(&db, vec![delete(doc! {"_id": {"$gte": 9}}, true)]);
    check(&db, 5);
    db.rename(&ns(), &Namespace::new("shop", "sold"), false).unwrap();
    assert_eq!(db.size(&Namespace::new("shop", "sold")).unwrap().unwrap().documents, 5);
    check(&db, 0);
    db.drop_collection(&Namespace::new("shop", "sold")).unwrap();
    write(&db, vec![insert(doc! {"_id": 1})]);
    check(&db, 1);
}

/// A clock that a test sets.
struct SetClock(std::sync::atomic::AtomicU64);

impl SetClock {
    fn at(ms: u64) -> Arc<Self> {
        Arc::new(Self(ms.into()))
    }

    fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
    }
}

impl millstream_storage::Clock for SetClock {
    fn now_ms(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// CS-8.4.2: a cursor without a session ends after ten minutes in which nobody used it, unless it was to stay; one of a
/// session lives as long as that.
#[test]
fn idle_cursors_end_by_their_owner() {
    let clock = SetClock::at(1_755_427_520_000);
    let db = Db::open(Location::Memory, Arc::clone(&clock) as _, Options::default()).unwrap();
    let cursors = db.cursors();
    let open = |session: Option<[u8; 16]>, stays| {
        let rows = Source::documents(Box::new(std::iter::repeat_with(|| Ok(Bytes::from_static(&[5, 0, 0, 0, 0])))));
        cursors.keep(rows, "shop.orders".to_owned(), Owner { session, ..Owner::default() }, stays).unwrap()
    };
    let sessions = [[1; 16], [2; 16]];
    let plain = open(None, false);
    let used = open(None, false);
    let staying = open(None, true);
    let [alive, ended] = sessions.map(|session| open(Some(session), false));
    let is_there = |id, session| match cursors.lease(id, "shop.orders", Owner { session, ..Owner::default() }) {
        Ok(lease) => {
            lease.give_back();
            true
        }
        Err(_) => false,
    };
    clock.advance(599_000);
    assert!(is_there(used, None));
    db.sweep(|_| true);
    assert_eq!(cursors.count(), 5);
    clock.advance(2_000);
    db.sweep(|session| *session == sessions[0]);
    assert!(!is_there(plain, None) && is_there(used, None) && is_there(staying, None));
    assert!(is_there(alive, Some(sessions[0])) && !is_there(ended, Some(sessions[1])));
}

/// CS-11.1.4: an entry every ten seconds in which nothing else was written.
#[test]
fn an_idle_log_goes_on() {
    let clock = SetClock::at(1_755_427_520_000);
    let db = Db::open(Location::Memory, Arc::clone(&clock) as _, Options::default()).unwrap();
    let noops = || db.oplog(predicate(&doc! {"o.msg": "periodic noop"}), false, TimeLimit::default()).count();
    let settle = || write(&db, vec![update(doc! {"_id": 1}, doc! {"$set": {"a": 1}}, false, false)]);
    clock.advance(9_999);
    db.periodic_noop();
    settle();
    assert_eq!(noops(), 0);
    clock.advance(1);
    db.periodic_noop();
    settle();
    assert_eq!(noops(), 1);
    let end = db.committed();
    write(&db, vec![insert(doc! {"_id": 1})]);
    clock.advance(9_999);
    db.periodic_noop();
    settle();
    assert_eq!(noops(), 1, "something else was written");
    assert!(db.committed() > end);
}
