//! The tail: what it keeps, who is woken, and who is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use bson::doc;
use millstream_storage::Options as StoreOptions;

use crate::testing::*;
use crate::{BatchLimits, TailOptions};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Routing: who is told of what.
#[test]
fn only_those_concerned_are_told() {
    let world = World::new();
    let by = |field: &str, value: i32| vec![doc! {"$match": {field: value}}];
    let told = |ns: &str, options, stages, entry: Vec<u8>| {
        let stream = world.watch(ns, options, stages);
        world.log(entry);
        stream.subscription().is_ready()
    };
    let item = || insert("shop.orders", doc! {"_id": 1, "a": [1, {"b": 2}], "n": null});
    let any = Vec::new;
    let named = |coll: &str| vec![doc! {"$match": {"ns.db": "shop", "ns.coll": coll}}];
    // By namespace.
    assert!(told("shop.orders", doc! {}, any(), item()) && told("shop.", doc! {}, any(), item()));
    assert!(told("", doc! {}, any(), item()));
    assert!(!told("shop.other", doc! {}, any(), item()) && !told("shop2.", doc! {}, any(), item()));
    // By type.
    let deletes = vec![doc! {"$match": {"operationType": {"$in": ["delete", "drop"]}}}];
    assert!(!told("shop.orders", doc! {}, deletes.clone(), item()));
    assert!(told("shop.orders", doc! {}, deletes.clone(), delete("shop.orders", 1)));
    assert!(told("shop.orders", doc! {}, deletes, command("shop", doc! {"drop": "orders"}, None)));
    // By value: of the key, of the document, through arrays.
    assert!(told("shop.orders", doc! {}, by("documentKey._id", 1), item()));
    assert!(!told("shop.orders", doc! {}, by("documentKey._id", 2), item()));
    assert!(told("shop.orders", doc! {}, by("fullDocument.a", 1), item()));
    assert!(told("shop.orders", doc! {}, by("fullDocument.a.b", 2), item()));
    assert!(!told("shop.orders", doc! {}, by("fullDocument.a.b", 3), item()));
    assert!(told("shop.orders", doc! {}, vec![doc! {"$match": {"fullDocument.n": null}}], item()));
    let long = vec![doc! {"$match": {"$and": [{"fullDocument.a": {"$in": [5_i64, 1.0]}}, {"x": 1}]}}];
    assert!(told("shop.orders", doc! {}, long, item()));
    // Each of several operations that are alike, and another one behind them.
    let several = || {
        let one = |ns: &str, id: i32| insert(ns, doc! {"_id": id});
        group(&[one("shop.orders", 1), one("shop.orders", 2), one("shop.other", 3)], doc! {}, doc! {})
    };
    assert!(told("shop.orders", doc! {}, by("documentKey._id", 2), several()));
    assert!(!told("shop.orders", doc! {}, by("documentKey._id", 3), several()));
    assert!(told("shop.other", doc! {}, any(), several()) && told("", doc! {}, named("other"), several()));
    // An update has a document only where one is looked up.
    let changed = || update("shop.orders", 1, doc! {"u": {"a": 5}});
    assert!(!told("shop.orders", doc! {}, by("fullDocument.a", 5), changed()));
    assert!(told("shop.orders", doc! {"fullDocument": "updateLookup"}, by("fullDocument.a", 5), changed()));
    // What ends a stream concerns it whatever it asks for (CS-6.6.4).
    let drop = command("shop", doc! {"drop": "orders"}, None);
    assert!(told("shop.orders", doc! {}, by("fullDocument.a", 5), drop));
    let rename = command("shop", doc! {"renameCollection": "shop.x", "to": "shop.orders"}, None);
    assert!(told("shop.orders", doc! {}, by("fullDocument.a", 5), rename));
    // Names in the filter narrow a wide scope.
    assert!(told("", doc! {}, named("orders"), item()) && !told("", doc! {}, named("other"), item()));
}

/// A large transaction concerns those whom any of its operations concerns, and wakes them once, when all of it is there.
#[test]
fn a_chain_is_routed_by_all_its_operations() {
    for bytes_max in [1, 32 << 20] {
        let world = World::with(TailOptions { bytes_max, ..TailOptions::default() }, StoreOptions::default());
        let by = |field: &str, value: i32| vec![doc! {"$match": {field: value}}];
        let concerned = [
            world.watch("shop.orders", doc! {}, by("fullDocument.a", 1)),
            world.watch("shop.", doc! {}, by("documentKey._id", 1)),
            world.watch("", doc! {}, vec![doc! {"$match": {"operationType": "delete"}}]),
            world.watch("shop.new", doc! {"showExpandedEvents": true}, by("fullDocument.a", 7)),
        ];
        let others = [
            world.watch("shop.orders", doc! {}, by("fullDocument.a", 7)),
            world.watch("shop.other", doc! {}, vec![]),
            world.watch("other.", doc! {}, vec![]),
        ];
        let operations = vec![
            insert("shop.orders", doc! {"_id": 1, "a": 1}),
            command("shop", doc! {"create": "new"}, None),
            delete("shop.orders", 1),
            insert("shop.last", doc! {"_id": 9}),
        ];
        let times = world.transact(1, operations.into_iter().map(|operation| (operation, None)).collect(), 1);
        for stream in &concerned {
            assert_eq!(stream.subscription().take(), Some((times[3], times[3])));
        }
        assert!(others.iter().all(|stream| !stream.subscription().is_ready()));
    }
}

/// Whoever may have to read from disk says so before, so that it is not done where others wait.
#[test]
fn a_chain_that_has_left_the_tail_is_said_to_be_on_disk() {
    let reads_disk = |bytes_max| {
        let world = World::with(TailOptions { bytes_max, ..TailOptions::default() }, StoreOptions::default());
        let mut stream = world.watch("shop.orders", doc! {}, vec![]);
        let operations = (0..4).map(|id| (insert("shop.orders", doc! {"_id": id}), None)).collect();
        world.transact(1, operations, 1);
        let before = stream.reads_disk();
        let one = BatchLimits { documents: 1, ..ALL };
        assert_eq!(stream.next_batch(one).unwrap().events.len(), 1);
        let between = stream.reads_disk();
        assert_eq!(next(&mut stream).len(), 3);
        world.log(insert("shop.orders", doc! {"_id": 9}));
        (before, between, stream.reads_disk())
    };
    assert_eq!(reads_disk(32 << 20), (false, false, false));
    assert_eq!(reads_disk(1), (true, true, false));
}

#[test]
fn watchers_leave_nothing_behind() {
    let world = World::new();
    {
        let _streams = ["shop.orders", "shop.", ""].map(|ns| {
            world.watch(ns, doc! {}, vec![doc! {"$match": {"documentKey._id": {"$in": [1, 2]}, "ns.coll": "orders"}}])
        });
        let _log = world.tail.subscribe_to_log();
    }
    assert!(world.tail.router.lock().is_empty());
}

#[test]
fn a_waker_is_woken_once_per_look() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    assert!(!stream.subscription().poll_ready(&waker));
    world.log(insert("shop.other", doc! {"_id": 1}));
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
    world.log(insert("shop.orders", doc! {"_id": 1}));
    world.log(insert("shop.orders", doc! {"_id": 2}));
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(stream.subscription().poll_ready(&waker));
    assert_eq!(next(&mut stream).len(), 2);
    assert!(!stream.subscription().poll_ready(&waker));
}

/// A watcher that sleeps whenever it is told that nothing came sees everything all the same.
#[test]
fn no_wake_up_is_lost() {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    const COUNT: i32 = 3_000;
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for id in 0..COUNT {
                world.log(insert(if id % 3 == 0 { "shop.orders" } else { "shop.other" }, doc! {"_id": id}));
            }
        });
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut seen = 0;
        while seen < COUNT / 3 {
            let events = next(&mut stream);
            for event in &events {
                assert_eq!(event.get_document("documentKey").unwrap().get_i32("_id").ok(), Some(seen * 3));
                seen += 1;
            }
            if events.is_empty() && !stream.subscription().poll_ready(&waker) {
                // It may return at once: a wake-up may arrive after the change that it is for was read.
                let parked = std::time::Instant::now();
                std::thread::park_timeout(std::time::Duration::from_secs(20));
                assert!(parked.elapsed().as_secs() < 20, "woken by time, at {seen}");
            }
        }
    });
}

/// A watcher may read an entry before it is told of it, and look again while the next group is half routed: the note
/// that it then takes stands for both, and the end is still behind them.
#[test]
fn a_group_that_is_being_routed_is_not_skipped() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    let read_ahead = world.log(insert("shop.orders", doc! {"_id": 1}));
    assert_eq!(next(&mut stream).len(), 1);
    stream.subscription().note(read_ahead);
    let routed = world.log(insert("shop.orders", doc! {"_id": 2}));
    world.tail.end.store(read_ahead.to_u64(), Ordering::SeqCst);
    let mut seen = next(&mut stream).len();
    world.tail.end.store(routed.to_u64(), Ordering::SeqCst);
    seen += next(&mut stream).len();
    assert_eq!(seen, 1);
}
