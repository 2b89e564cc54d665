//! CS-9 and CS-5.9: which images there are and for how long, and what becomes of streams that fall behind.

use std::sync::atomic::{AtomicU64, Ordering};

use millstream_change::{BatchLimits, ChangeStream, Scope as Watched, Spec};
use millstream_query::stage::{Pipeline, Place as Where};
use millstream_storage::Clock;

use super::*;
use crate::{LateStream, Owner, PREIMAGES, Place, Source};

/// A clock that stands where it is put.
struct ManualClock(AtomicU64);

impl ManualClock {
    fn at(seconds: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seconds * 1000)))
    }

    fn set(&self, seconds: u64) {
        self.0.store(seconds * 1000, Ordering::Release);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

fn watch_with(db: &Db, options: bson::Document, stages: &[Value<'_>]) -> ChangeStream {
    let options = millstream_change::Options::parse(&from_bson(&options.into())).unwrap();
    let variables = Scope::default();
    let spec = Spec { scope: Watched::Collection(ns()), options, stages, variables: &variables };
    db.watch(spec).unwrap()
}

fn watch(db: &Db, options: bson::Document) -> ChangeStream {
    watch_with(db, options, &[])
}

/// The events that are there, or the code of the error.
fn next(stream: &mut ChangeStream) -> Result<Vec<bson::Document>, i32> {
    let batch = stream.next_batch(BatchLimits { documents: 1_000, bytes: 1 << 20 });
    let batch = batch.map_err(|error| error.code().number())?;
    Ok(batch.events.iter().map(|event| to_bson_document(Doc::new(event))).collect())
}

fn position(stream: &ChangeStream) -> bson::Document {
    to_bson_document(stream.post_batch_token().as_doc())
}

fn before(events: &[bson::Document]) -> Vec<Option<&bson::Document>> {
    events.iter().map(|event| event.get_document("fullDocumentBeforeChange").ok()).collect()
}

fn preimages(db: &Db, filter: bson::Document) -> Vec<bson::Document> {
    let rows = db.now().find(&Namespace::parse(PREIMAGES), query(filter)).unwrap();
    rows.map(|row| to_bson_document(Doc::new(&row.unwrap()))).collect()
}

fn set(id: i32, n: i32) -> Action {
    update(doc! {"_id": id}, doc! {"$set": {"n": n}}, false, false)
}

fn write_to(db: &Db, name: &str, actions: Vec<Action>) {
    let namespace = Arc::new(Namespace::parse(name));
    let statement = |action| Statement { namespace: Arc::clone(&namespace), id: 0, action: Ok(action) };
    let statements = actions.into_iter().map(statement).collect();
    let reply = db.write(WriteCommand { statements, ordered: true, retry: None }).block().unwrap();
    assert!(reply.outcomes.iter().all(|outcome| outcome.error.is_none()));
}

/// CS-9.5.1: with the clock in hand, to the second.
#[test]
fn images_are_gone_when_they_have_expired() {
    let clock = ManualClock::at(1_000);
    let db = Db::open(Location::Memory, clock.clone(), Options::default()).unwrap();
    write(&db, vec![insert(doc! {"_id": 1, "n": 0})]);
    let start = db.committed();
    db.modify(&ns(), crate::Modification { images: Some(true), ..crate::Modification::default() }).unwrap();
    let open = |mode: &str| {
        let at = bson::Timestamp { time: start.seconds, increment: start.increment };
        let images = doc! {"fullDocument": mode, "fullDocumentBeforeChange": mode, "startAtOperationTime": at};
        watch(&db, images)
    };
    db.set_image_expiry(Some(60)).unwrap();
    write(&db, vec![set(1, 1)]);
    clock.set(1_030);
    write(&db, vec![set(1, 2)]);
    let look = || {
        let events = next(&mut open("whenAvailable")).unwrap();
        assert_eq!(events.len(), 3);
        events[1..].to_vec()
    };
    let first = doc! {"_id": 1, "n": 0};
    let second = doc! {"_id": 1, "n": 1};
    clock.set(1_059);
    assert_eq!(before(&look()), [Some(&first), Some(&second)]);
    assert_eq!(next(&mut open("required")).unwrap().len(), 3);
    assert_eq!(preimages(&db, doc! {}).len(), 2);
    // `operationTime <= now - expireAfterSeconds`.
    clock.set(1_060);
    let events = look();
    assert_eq!(before(&events), [None, Some(&second)]);
    assert_eq!(events[0].get("fullDocumentBeforeChange"), Some(&bson::Bson::Null));
    assert_eq!(events[0].get("fullDocument"), Some(&bson::Bson::Null));
    assert_eq!(events[1].get_document("fullDocument").ok(), Some(&doc! {"_id": 1, "n": 2}));
    assert_eq!(next(&mut open("required")), Err(47));
    assert_eq!(preimages(&db, doc! {}).len(), 1);
    clock.set(1_090);
    assert_eq!(before(&look()), [None, None]);
    assert_eq!(db.now().count(&Namespace::parse(PREIMAGES), &query(doc! {})).unwrap(), 0);
    // The removal shows nowhere, and what is kept from now on is there.
    write(&db, vec![set(1, 3), set(1, 4)]);
    assert_eq!(preimages(&db, doc! {}).len(), 2);
    assert_eq!(next(&mut open("whenAvailable")).unwrap().len(), 5);
    // Without an expiry they live as long as the log.
    db.set_image_expiry(None).unwrap();
    clock.set(1_000_000);
    assert_eq!(preimages(&db, doc! {}).len(), 2);
}

/// CS-9.5.2 and CS-9.5.3: kept with the data.
#[test]
fn the_expiry_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(1_000);
    let open = || {
        let place = Location::Folder(folder.path().join("data"));
        Db::open(place, clock.clone(), Options { images_always: true, ..Options::default() }).unwrap()
    };
    let db = open();
    assert_eq!(db.change_stream_options(), crate::ChangeStreamOptions::default());
    write(&db, vec![insert(doc! {"_id": 1, "n": 0}), set(1, 1)]);
    db.set_image_expiry(Some(100)).unwrap();
    let known = db.change_stream_options();
    assert_eq!(known.expire_after_seconds, Some(100));
    assert!(known.set_at > Some(db.committed()));
    db.close().unwrap();
    drop(db);
    let db = open();
    assert_eq!(db.change_stream_options(), known);
    assert_eq!(preimages(&db, doc! {}).len(), 1);
    clock.set(1_100);
    assert_eq!(preimages(&db, doc! {}).len(), 0);
    db.set_image_expiry(None).unwrap();
    db.close().unwrap();
    drop(db);
    let options = open().change_stream_options();
    assert_eq!(options.expire_after_seconds, None);
    assert!(options.set_at > known.set_at);
}

/// `--images all`: for users' collections, and shown nowhere among their options.
#[test]
fn images_of_all_collections() {
    let options = Options { images_always: true, ..Options::default() };
    let db = Db::open(Location::Memory, Arc::new(SystemClock), options).unwrap();
    for name in ["shop.orders", "config.things", "admin.things", "local.things"] {
        let replace = update(doc! {"_id": 1}, doc! {"n": 2}, false, false);
        let removal = delete(doc! {"_id": 1}, false);
        write_to(&db, name, vec![insert(doc! {"_id": 1, "n": 0}), set(1, 1), replace, removal]);
    }
    let shown = db.collections("shop").remove(0);
    assert!(shown.options.as_doc().is_empty());
    let uuid = db.collection_uuid(&ns()).unwrap();
    let images = preimages(&db, doc! {});
    assert_eq!(images.len(), 3);
    // CS-9.2.1, CS-9.2.3, CS-9.2.4.
    let changes = db.oplog(predicate(&doc! {"ns": "shop.orders", "op": {"$ne": "i"}}), false, TimeLimit::default());
    for (image, entry) in images.iter().zip(changes) {
        let entry = to_bson_document(Doc::new(&entry.unwrap()));
        assert_eq!(image.keys().collect::<Vec<_>>(), ["_id", "operationTime", "preImage"]);
        let id = image.get_document("_id").unwrap();
        assert_eq!(id.keys().collect::<Vec<_>>(), ["nsUUID", "ts", "applyOpsIndex"]);
        assert_eq!(id.get("ts"), entry.get("ts"));
        assert_eq!(id.get("nsUUID"), entry.get("ui"));
        assert_eq!(id.get_i64("applyOpsIndex").ok(), Some(0));
        assert_eq!(image.get("operationTime"), entry.get("wall"));
    }
    let bodies: Vec<_> = images.iter().map(|image| image.get_document("preImage").unwrap().clone()).collect();
    assert_eq!(bodies, [doc! {"_id": 1, "n": 0}, doc! {"_id": 1, "n": 1}, doc! {"_id": 1, "n": 2}]);
    // CS-9.2.5.
    db.drop_collection(&ns()).unwrap();
    let uuid = bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: uuid.to_vec() };
    assert_eq!(preimages(&db, doc! {"_id.nsUUID": uuid}), images);
    let stages = [doc! {"$match": {"preImage.n": {"$gt": 0}}}, doc! {"$sort": {"preImage.n": -1}}, doc! {"$limit": 1}];
    let stages: Vec<Value<'static>> = stages.iter().map(|stage| from_bson(&stage.clone().into())).collect();
    let pipeline = Pipeline::parse(&stages, &Scope::default(), Where::Aggregate).unwrap();
    let rows: Vec<_> =
        db.now().aggregate(&Namespace::parse(PREIMAGES), &pipeline, None, &TimeLimit::default()).unwrap().collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(to_bson_document(Doc::new(rows[0].as_ref().unwrap())), images[2]);
}

#[test]
fn images_are_shown_from_every_part_of_a_long_log() {
    let storage = millstream_storage::Options { oplog_bytes: 64 << 20, ..Default::default() };
    let options = Options { images_always: true, storage, ..Options::default() };
    let db = Db::open(Location::Memory, Arc::new(SystemClock), options).unwrap();
    let padding = "x".repeat(20_000);
    write(&db, vec![insert(doc! {"_id": 1, "n": -1, "padding": &padding})]);
    for n in 0..200 {
        // Entries without images in between, so that images and entries are read in steps of their own.
        write(&db, vec![set(1, n), insert(doc! {"_id": n + 10, "padding": &padding})]);
    }
    let found = preimages(&db, doc! {"preImage._id": 1});
    let numbers: Vec<_> = found.iter().map(|row| row.get_document("preImage").unwrap().get_i32("n").unwrap()).collect();
    assert_eq!(numbers, (-1..199).collect::<Vec<_>>());
}

/// A log of 16 segments of 1 MiB, and a tail that is much shorter.
fn small() -> Db {
    let storage = millstream_storage::Options { oplog_bytes: 16 << 20, ..Default::default() };
    let options = Options { storage, tail_bytes: 1 << 20, ..Options::default() };
    Db::open(Location::Memory, Arc::new(SystemClock), options).unwrap()
}

fn fill(db: &Db, name: &str, megabytes: i32) {
    static LAST: AtomicU64 = AtomicU64::new(1_000);
    let padding = "x".repeat(1 << 18);
    for _ in 0..megabytes * 4 {
        let id = i64::try_from(LAST.fetch_add(1, Ordering::Relaxed)).unwrap();
        write_to(db, name, vec![insert(doc! {"_id": id, "padding": &padding})]);
    }
}

/// CS-5.9.3, CS-14.40, CS-13.31: what was not read and has left the log is missed; what concerns a stream not is not.
#[test]
fn a_stream_is_lost_with_what_it_has_not_read_and_not_before() {
    let db = small();
    let mut behind = watch(&db, doc! {});
    let mut quiet = watch(&db, doc! {});
    let mut never_read = watch(&db, doc! {});
    assert!(next(&mut behind).unwrap().is_empty() && next(&mut quiet).unwrap().is_empty());
    let first = position(&behind);
    fill(&db, "shop.other", 20);
    assert!(db.window().lost_before.is_some());
    // Nothing came for them: they have missed nothing, though their places have left the log.
    assert!(next(&mut quiet).unwrap().is_empty());
    assert!(next(&mut never_read).unwrap().is_empty());
    let second = position(&quiet);
    write(&db, vec![insert(doc! {"_id": 1})]);
    assert_eq!(next(&mut never_read).unwrap().len(), 1);
    fill(&db, "shop.other", 20);
    // The others were told of an insert, which has left the log meanwhile.
    assert_eq!(next(&mut behind), Err(136));
    assert_eq!(next(&mut quiet), Err(136));
    assert!(next(&mut never_read).unwrap().is_empty());
    // CS-5.9.1: resumed by hand.
    for token in [first, second] {
        let mut resumed = watch(&db, doc! {"resumeAfter": token});
        assert_eq!(next(&mut resumed), Err(286));
    }
    // This one's place moved on, so that it can be resumed from.
    let mut resumed = watch(&db, doc! {"resumeAfter": position(&never_read)});
    assert_eq!(next(&mut resumed), Ok(vec![]));
}

/// CS-5.9.3 for those who tail the log itself: each of its entries concerns them.
#[test]
fn an_idle_reader_of_the_log_is_lost_with_its_place() {
    let db = small();
    let newest = db.committed();
    let after = bson::Timestamp { time: newest.seconds, increment: newest.increment };
    let mut tail = db.tail_oplog(predicate(&doc! {"ts": {"$gt": after}}), None, false);
    assert!(tail.batch(10).unwrap().documents.is_empty());
    fill(&db, "shop.orders", 20);
    let error = tail.batch(10).err().unwrap();
    assert!(matches!(error, Error::Invalid { code: millstream_value::Code::CappedPositionLost, .. }), "{error}");
    // Who starts before the log begins at its beginning.
    let mut tail = db.tail_oplog(predicate(&doc! {}), None, false);
    assert!(!tail.batch(10).unwrap().documents.is_empty());
}

fn keep(db: &Db, stream: ChangeStream) -> i64 {
    db.cursors().keep(Source::Changes(Box::new(stream)), "shop.orders".into(), Owner::default(), true).unwrap()
}

/// A stream is named before its place leaves the log, and no longer when it has read on.
#[test]
fn streams_that_are_about_to_be_lost_are_known() {
    let db = small();
    // The creation of a collection concerns all who watch it.
    write(&db, vec![insert(doc! {"_id": 1})]);
    let cursor = keep(&db, watch(&db, doc! {}));
    let deletes = from_bson(&doc! {"$match": {"operationType": "delete"}}.into());
    let quiet = keep(&db, watch_with(&db, doc! {}, &[deletes]));
    fill(&db, "shop.orders", 12);
    assert_eq!(db.late_streams(), []);
    fill(&db, "shop.orders", 3);
    db.warn_of_late_streams();
    let late = db.late_streams();
    let [LateStream { cursor: found, namespace, position, place: Place::Left(left) }] = &late[..] else {
        panic!("{late:?}");
    };
    assert_eq!((*found, namespace.as_str()), (cursor, "shop.orders"));
    assert!(*position < db.committed() && (0.0..0.1).contains(left), "{late:?}");
    fill(&db, "shop.orders", 3);
    assert!(matches!(db.late_streams()[..], [LateStream { place: Place::Lost, .. }]));
    db.warn_of_late_streams();
    assert_eq!(db.cursors().count_streams(), 2);
    // The one that was told of nothing can be read on, the other cannot.
    let mut lease = db.cursors().lease(quiet, "shop.orders", Owner::default()).unwrap();
    assert!(lease.source().unwrap().batch(10).unwrap().documents.is_empty());
    lease.give_back();
    let mut lease = db.cursors().lease(cursor, "shop.orders", Owner::default()).unwrap();
    assert!(lease.source().unwrap().batch(10).is_err());
    drop(lease);
    assert_eq!(db.late_streams(), []);

    // One that reads on in time is late no more.
    let cursor = keep(&db, watch(&db, doc! {}));
    for _ in 0..16 {
        if db.late_streams().is_empty() {
            fill(&db, "shop.orders", 1);
        }
    }
    assert!(matches!(db.late_streams()[..], [LateStream { place: Place::Left(_), .. }]));
    let mut lease = db.cursors().lease(cursor, "shop.orders", Owner::default()).unwrap();
    while lease.source().unwrap().batch(1_000).unwrap().unfinished {}
    lease.give_back();
    assert_eq!(db.late_streams(), []);
}
