//! Batches to a callback, typed events, and events that come in fragments.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::doc;
use futures::StreamExt as _;
use millstream_watch::{
    Batching, ChangeStreams, Connection, DeadLetters, Event, FullDocumentMode, Grouping, MemoryCheckpoint, OnFailure,
    OperationType, ProblemKind, Settings, TypedEvent, Watch,
};
use serde::Deserialize;

use super::{collection, key, n, quick, source, until};
use crate::support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_succeeds_or_fails_as_a_whole() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let letters = DeadLetters::new(&connection, "shop", "dead_letters", "loader");
    let batches: Arc<Mutex<Vec<Vec<i32>>>> = Arc::default();
    let in_callback = Arc::clone(&batches);
    let settings = quick(Settings { retries: 1, on_failure: OnFailure::GoOn, ..Settings::default() });
    let batching = Batching { count: 4, time: Duration::from_secs(1_000), ..Batching::default() };
    let handle = Watch::new(&connection, source("orders"))
        .dead_letters(letters.clone())
        .settings(settings)
        .for_each_batch(batching, move |events: Vec<Event>| {
            let keys: Vec<i32> = events.iter().map(key).collect();
            let fails = keys.contains(&5);
            in_callback.lock().unwrap().push(keys);
            async move { if fails { Err("not with the fifth") } else { Ok(()) } }
        })
        .await
        .unwrap();
    orders.insert_many((0..14).map(|k| doc! {"_id": k})).await.unwrap();
    until("three batches", || handle.stats().delivered + handle.stats().given_up == 12).await;
    assert_eq!(*batches.lock().unwrap(), [[0, 1, 2, 3], [4, 5, 6, 7], [4, 5, 6, 7], [8, 9, 10, 11]]);
    let put = letters.list().await.unwrap();
    let put: Vec<_> = put.iter().map(|letter| (key(&letter.event), letter.attempts)).collect();
    assert_eq!(put, [(4, 2), (5, 2), (6, 2), (7, 2)]);
    // The end of the collection waits for those before it, which wait for more: they go at once.
    assert_eq!(handle.stats().under_way, 2);
    handle.stop();
    handle.join().await.unwrap();
}

/// By collection and document.
type Operations = HashMap<(String, i32), Vec<String>>;

/// Whatever is grouped with what, and however many work at a time: the events of one document stay in their order.
#[tokio::test(flavor = "multi_thread")]
async fn groups_keep_the_order_of_documents() {
    let server = Server::memory();
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let seen: Arc<Mutex<Operations>> = Arc::default();
    let mixed = Arc::new(AtomicBool::new(false));
    let largest = Arc::new(AtomicU32::new(0));
    let (in_callback, is_mixed, most) = (Arc::clone(&seen), Arc::clone(&mixed), Arc::clone(&largest));
    let batching =
        Batching { time: Duration::from_millis(50), group: Grouping::OperationAndCollection, ..Batching::default() };
    let handle = streams
        .watch_collections("shop", ["orders", "items"])
        .settings(quick(Settings { concurrency: 3, queue: 64, ..Settings::default() }))
        .for_each_batch(batching, move |events: Vec<Event>| {
            let group = |event: &Event| (event.operation().to_owned(), event.namespace());
            is_mixed.fetch_or(events.iter().any(|event| group(event) != group(&events[0])), Ordering::SeqCst);
            most.fetch_max(u32::try_from(events.len()).unwrap(), Ordering::SeqCst);
            let seen = Arc::clone(&in_callback);
            async move {
                tokio::time::sleep(Duration::from_millis(u64::from(rand::random::<u8>() % 4))).await;
                for event in &events {
                    let mut seen = seen.lock().unwrap();
                    let of =
                        seen.entry((event.namespace(), event.document_key().map_or(-1, |_| key(event)))).or_default();
                    of.push(event.operation().to_owned());
                }
                Ok::<_, String>(())
            }
        })
        .await
        .unwrap();
    let (orders, items) = (collection(streams.connection(), "orders"), collection(streams.connection(), "items"));
    for round in 0..10 {
        for target in [&orders, &items] {
            target.insert_many((0..8).map(|k| doc! {"_id": k, "n": round})).await.unwrap();
            target.update_many(doc! {}, doc! {"$set": {"m": round}}).await.unwrap();
            target.delete_many(doc! {}).await.unwrap();
        }
    }
    orders.drop().await.unwrap();
    until("all events", || handle.stats().delivered == 10 * 2 * 3 * 8 + 1).await;
    handle.stop();
    handle.join().await.unwrap();
    assert!(!mixed.load(Ordering::SeqCst));
    assert!(largest.load(Ordering::SeqCst) > 1, "no batch had two events");
    let expected: Vec<&str> = ["insert", "update", "delete"].repeat(10);
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.remove(&("shop.orders".to_owned(), -1)).unwrap(), ["drop"]);
    assert_eq!(seen.len(), 16);
    for (document, operations) in seen {
        assert_eq!(operations, expected, "{document:?}");
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Order {
    n: i32,
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_events_have_values_and_what_is_none_is_put_aside_at_once() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let letters = DeadLetters::new(&connection, "shop", "dead_letters", "typed");
    let watch = |on_failure| {
        let mut watched = source("orders");
        watched.options.full_document = FullDocumentMode::UpdateLookup;
        Watch::new(&connection, watched)
            .dead_letters(letters.clone())
            .settings(quick(Settings { on_failure, ..Settings::default() }))
            .typed::<Order>()
    };
    let seen: Arc<Mutex<Vec<i32>>> = Arc::default();
    let in_callback = Arc::clone(&seen);
    let handle = watch(OnFailure::GoOn)
        .for_each(move |event: TypedEvent<Order>| {
            let seen = Arc::clone(&in_callback);
            async move {
                seen.lock().unwrap().push(event.full_document.map_or(-1, |order| order.n));
                Ok::<_, String>(())
            }
        })
        .await
        .unwrap();
    let mut queue = watch(OnFailure::GoOn).queue().await.unwrap();
    let mut stream = watch(OnFailure::Stop).stream().await.unwrap();
    orders.insert_one(doc! {"_id": 1, "n": 1}).await.unwrap();
    orders.update_one(doc! {"_id": 1}, doc! {"$set": {"n": 2}}).await.unwrap();
    orders.insert_one(doc! {"_id": 2, "n": "two"}).await.unwrap();
    orders.delete_one(doc! {"_id": 2}).await.unwrap();
    until("all four", || handle.stats().delivered + handle.stats().given_up == 4).await;
    assert_eq!(seen.lock().unwrap()[2..], [-1]);
    let stats = handle.stats();
    assert_eq!((stats.failures, stats.given_up), (1, 1), "trying again would not help");
    handle.stop();
    handle.join().await.unwrap();

    let insert = queue.get().await.unwrap().unwrap();
    assert_eq!((insert.operation, insert.key), (OperationType::Insert, Some(doc! {"_id": 1})));
    let update = queue.get().await.unwrap().unwrap();
    assert_eq!(update.full_document, Some(Order { n: 2 }));
    assert_eq!(update.update.unwrap().updated_fields, doc! {"n": 2});
    let delete = queue.get_within(Duration::from_secs(20)).await.unwrap().unwrap();
    assert_eq!((delete.operation, delete.full_document), (OperationType::Delete, None));
    queue.join().await.unwrap();

    assert!(stream.next().await.unwrap().is_ok() && stream.next().await.unwrap().is_ok());
    let end = stream.next().await.unwrap().unwrap_err().to_string();
    assert!(end.contains("fullDocument cannot be read"), "{end}");
    assert!(stream.next().await.is_none());
    // All three have put the same event aside, under one name.
    let put = letters.list().await.unwrap();
    assert!(put.len() == 1 && put.iter().all(|letter| letter.attempts == 1 && key(&letter.event) == 2), "{put:?}");
}

/// An event of 21 MB comes in fragments, and is one event again.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_larger_than_a_reply_is_made_whole() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let letters = DeadLetters::new(&connection, "shop", "dead_letters", "large");
    let store = MemoryCheckpoint::default();
    let watch = |split| {
        let mut watched = source("orders");
        watched.options.full_document = FullDocumentMode::UpdateLookup;
        watched.options.split_large = split;
        Watch::new(&connection, watched)
            .checkpoint(store.clone())
            .dead_letters(letters.clone())
            .settings(quick(Settings { on_failure: OnFailure::GoOn, ..Settings::default() }))
    };
    let mut queue = watch(false).queue().await.unwrap();
    let seven = "x".repeat(7 << 20);
    orders.insert_one(doc! {"_id": 1, "a": seven.as_str()}).await.unwrap();
    assert_eq!(queue.get().await.unwrap().operation(), "insert");
    orders.update_one(doc! {"_id": 1}, doc! {"$set": {"b": seven.as_str()}}).await.unwrap();
    orders.insert_one(doc! {"_id": 2, "n": 2}).await.unwrap();
    assert!(queue.get().await.is_none());
    let error = queue.join().await.unwrap_err();
    assert_eq!(error.problem_kind(), Some(ProblemKind::EventTooLarge), "{error}");

    // The same position, now with fragments.
    let mut queue = watch(true).queue().await.unwrap();
    let large = queue.get().await.unwrap();
    assert_eq!(large.operation(), "update");
    assert!(large.raw().as_bytes().len() > 21 << 20 && large.field("splitEvent").is_none());
    let document = large.raw().get_document("fullDocument").unwrap();
    assert!(document.get_str("a").unwrap() == seven && document.get_str("b").unwrap() == seven);
    queue.give_up("too much").await.unwrap();
    queue.join().await.unwrap();
    let mut queue = watch(true).queue().await.unwrap();
    assert_eq!(queue.get().await.map(|event| n(&event)), Some(2), "its token is that of its last fragment");
    queue.join().await.unwrap();
    let put = letters.list().await.unwrap();
    assert_eq!((put.len(), key(&put[0].event)), (1, 1));
    assert!(put[0].event.field("fullDocument").is_none(), "no document has room for it");
}
