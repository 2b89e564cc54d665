//! Many watches in one process.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::doc;
use millstream_watch::{
    Backoff, ChangeStreams, Event, MemoryCheckpoint, Restarts, Settings, Status, WatcherState, Watchers,
};

use super::{collection, key, quick, until};
use crate::support::Server;

fn soon() -> Restarts {
    let pause = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(20), ..Backoff::default() };
    Restarts { pause, ..Restarts::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_watchers_run_side_by_side() {
    const WATCHERS: usize = 200;
    let server = Server::memory();
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let watchers = Watchers::new(soon());
    let seen: Arc<Mutex<HashSet<(usize, i32)>>> = Arc::default();
    for number in 0..WATCHERS {
        let (streams, seen) = (streams.clone(), Arc::clone(&seen));
        let begin = move || {
            let watch = streams.watch_collection("shop", "orders").named(format!("w{number}"));
            let seen = Arc::clone(&seen);
            let callback = move |event: Event| {
                seen.lock().unwrap().insert((number, key(&event)));
                async { Ok::<_, String>(()) }
            };
            watch.for_each(callback)
        };
        watchers.start(&format!("w{number}"), begin).await.unwrap();
    }
    let orders = collection(streams.connection(), "orders");
    orders.insert_many((0..5).map(|k| doc! {"_id": k})).await.unwrap();
    until("every event at every watcher", || seen.lock().unwrap().len() == 5 * WATCHERS).await;
    let list = watchers.list();
    assert_eq!(list.len(), WATCHERS);
    assert!(list.iter().all(|watcher| watcher.state == WatcherState::Running && watcher.stats.name == watcher.name));
    let again = watchers.start("w7", || async { unreachable!() }).await.unwrap_err().to_string();
    assert!(again.contains("a watcher w7 already"), "{again}");
    watchers.stop("w7").await.unwrap();
    assert!(watchers.get("w7").is_none() && watchers.stop("w7").await.is_err());
    let ends = watchers.stop_all().await;
    assert!(ends.len() == WATCHERS - 1 && ends.values().all(Result::is_ok));
    assert!(watchers.list().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_fails_is_begun_again_and_the_others_do_not_notice() {
    let server = Server::memory();
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let orders = collection(streams.connection(), "orders");
    let watchers = Watchers::new(Restarts { limit: Some(3), ..soon() });
    let start = async |name: &str, fails: fn(i32, u32) -> bool| {
        let (streams, store) = (streams.clone(), MemoryCheckpoint::default());
        let (tries, seen) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
        let in_callback = Arc::clone(&seen);
        let begin = move || {
            let (tries, seen) = (Arc::clone(&tries), Arc::clone(&in_callback));
            streams
                .watch_collection("shop", "orders")
                .checkpoint(store.clone())
                .settings(quick(Settings { retries: 0, ..Settings::default() }))
                .for_each(move |event: Event| {
                    let (tries, seen) = (Arc::clone(&tries), Arc::clone(&seen));
                    async move {
                        let key = key(&event);
                        assert!(!(fails)(key, tries.fetch_add(1, Ordering::SeqCst)), "not {key}");
                        seen.lock().unwrap().push(key);
                        Ok::<_, String>(())
                    }
                })
        };
        watchers.start(name, begin).await.unwrap();
        seen
    };
    let well = start("well", |_, _| false).await;
    let twice = start("twice", |_, tries| (2..4).contains(&tries)).await;
    let lost = start("lost", |key, _| key == 2).await;
    orders.insert_many((0..5).map(|k| doc! {"_id": k})).await.unwrap();
    until("all but one", || well.lock().unwrap().len() == 5 && twice.lock().unwrap().len() == 5).await;
    assert_eq!(*twice.lock().unwrap(), [0, 1, 2, 3, 4], "each once, from its position on");
    until("one that is given up", || watchers.get("lost").unwrap().state == WatcherState::GivenUp).await;
    let given_up = watchers.get("lost").unwrap();
    assert_eq!((given_up.restarts, given_up.stats.status), (3, Status::Failed));
    assert!(given_up.last_error.unwrap().contains("not 2"));
    assert_eq!(*lost.lock().unwrap(), [0, 1]);
    let two = watchers.get("twice").unwrap();
    assert_eq!((two.restarts, two.state), (2, WatcherState::Running));
    assert_eq!(watchers.get("well").unwrap().restarts, 0);
    let ends = watchers.stop_all().await;
    let failed: Vec<&str> = ends.iter().filter(|(_, end)| end.is_err()).map(|(name, _)| name.as_str()).collect();
    assert_eq!(failed, ["lost"]);
    // What cannot be begun at all is told at once.
    let bad = {
        let streams = streams.clone();
        move || {
            streams
                .watch_collection("shop", "orders")
                .stage(doc! {"$out": "x"})
                .for_each(|_| async { Ok::<_, String>(()) })
        }
    };
    assert!(watchers.start("bad", bad).await.is_err() && watchers.list().is_empty());
}
