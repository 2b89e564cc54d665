//! Beginning with the documents that are there, and going on after the history was lost with what has changed.

use std::collections::BTreeSet;
use std::time::Duration;

use bson::{Bson, doc};
use millstream_watch::{
    ChangeStreams, CollectionSeen, Connection, Event, MemoryCheckpoint, MemorySeen, OnHistoryLost, Queue, SEEN,
    SeenDocuments, Settings, StartAt, Watch, gte,
};

use super::{collection, lose_history, quick, source};
use crate::support::{Proxy, Server};

/// Its kind, whose document it is, and whether it is of a snapshot.
fn told(event: &Event) -> (String, String, bool) {
    let id: Bson = event.document_key().unwrap().get("_id").unwrap().unwrap().try_into().unwrap();
    (event.operation().to_owned(), format!("{} {id}", event.namespace()), event.field("snapshot").is_some())
}

async fn take(queue: &mut Queue, count: usize) -> Vec<(String, String, bool)> {
    let mut all = Vec::new();
    while all.len() < count {
        all.push(told(&queue.get_within(Duration::from_secs(30)).await.expect("an event")));
    }
    all
}

fn expect(operation: &str, document: &str, snapshot: bool) -> (String, String, bool) {
    (operation.to_owned(), document.to_owned(), snapshot)
}

/// A server that does not know how to begin with documents: the watch reads them itself.
#[tokio::test(flavor = "multi_thread")]
async fn any_server_can_begin_with_its_documents() {
    let server = Server::memory();
    let direct = Connection::new(&server.uri()).await.unwrap();
    let proxy = Proxy::renaming(server.address(), "millstream", "otherwards");
    let streams = ChangeStreams::connect(&proxy.uri()).await.unwrap();
    let orders = collection(&direct, "orders");
    let items = collection(&direct, "items");
    orders.insert_many([1, 2, 3].map(|k| doc! {"_id": k, "n": k})).await.unwrap();
    orders.insert_one(doc! {"_id": "text", "n": 4}).await.unwrap();
    orders.insert_one(doc! {"_id": {"x": 1}, "n": 5}).await.unwrap();
    items.insert_many([1, 2].map(|k| doc! {"_id": k, "n": k})).await.unwrap();
    collection(&direct, "others").insert_one(doc! {"_id": 1, "n": 9}).await.unwrap();
    let store = MemoryCheckpoint::default();
    let watch = || {
        streams
            .watch_collections("shop", ["orders", "items"])
            .where_field("n", gte(2))
            .start(StartAt::Snapshot)
            .checkpoint(store.clone())
            .settings(quick(Settings::default()))
    };
    let mut queue = watch().queue().await.unwrap();
    let all = take(&mut queue, 3).await;
    let expected = [
        expect("insert", "shop.items 2", true),
        expect("insert", "shop.orders 2", true),
        expect("insert", "shop.orders 3", true),
    ];
    assert_eq!(all, expected, "in their order, and as the watch's filter has them");
    queue.join().await.unwrap();

    // Interrupted among numbers, it goes on with the other types; a document that came meanwhile is a change.
    orders.insert_one(doc! {"_id": 0, "n": 7}).await.unwrap();
    let mut queue = watch().queue().await.unwrap();
    let all = take(&mut queue, 3).await;
    let expected = [
        expect("insert", "shop.orders \"text\"", true),
        expect("insert", "shop.orders { \"x\": 1 }", true),
        expect("insert", "shop.orders 0", false),
    ];
    assert_eq!(all, expected);
    items.insert_one(doc! {"_id": 3, "n": 3}).await.unwrap();
    assert_eq!(take(&mut queue, 1).await, [expect("insert", "shop.items 3", false)]);
    queue.join().await.unwrap();
    let mut queue = watch().queue().await.unwrap();
    items.insert_one(doc! {"_id": 4, "n": 3}).await.unwrap();
    assert_eq!(take(&mut queue, 1).await, [expect("insert", "shop.items 4", false)], "nothing is read twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_history_only_what_has_changed_comes() {
    let server = Server::with(&["--memory", "--oplog-bytes", "1MiB"]);
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let connection = streams.connection();
    let orders = collection(connection, "orders");
    let settings = quick(Settings { on_history_lost: OnHistoryLost::Resnapshot, ..Settings::default() });
    let watch = || streams.watch_collection("shop", "orders").keep_position("shop", "copy").settings(settings.clone());
    orders.insert_many((100..104).map(|k| doc! {"_id": k, "n": 0})).await.unwrap();
    let mut queue = watch().queue().await.unwrap();
    let seen = CollectionSeen::new(connection, "shop", SEEN, "copy");
    orders.insert_many((0..6).map(|k| doc! {"_id": k, "n": 0})).await.unwrap();
    let expected: Vec<_> = (0..6).map(|k| expect("insert", &format!("shop.orders {k}"), false)).collect();
    assert_eq!(take(&mut queue, 6).await, expected, "what was there before is known, and does not come");
    queue.join().await.unwrap();
    assert_eq!(seen.list(None, 100).await.unwrap().len(), 10);

    // Changed back and forth is not changed.
    for n in [5, 0] {
        orders.update_one(doc! {"_id": 4}, doc! {"$set": {"n": n}}).await.unwrap();
    }
    orders.update_one(doc! {"_id": 2}, doc! {"$set": {"n": 1}}).await.unwrap();
    orders.update_one(doc! {"_id": 102}, doc! {"$set": {"n": 1}}).await.unwrap();
    orders.delete_many(doc! {"_id": {"$in": [3, 101]}}).await.unwrap();
    orders.insert_one(doc! {"_id": 9}).await.unwrap();
    lose_history(connection).await;
    let mut queue = watch().queue().await.unwrap();
    let expected = [
        expect("delete", "shop.orders 3", true),
        expect("delete", "shop.orders 101", true),
        expect("replace", "shop.orders 2", true),
        expect("insert", "shop.orders 9", true),
        expect("replace", "shop.orders 102", true),
    ];
    assert_eq!(take(&mut queue, 5).await, expected);
    assert_eq!(queue.stats().histories_lost, 1);
    orders.update_one(doc! {"_id": 9}, doc! {"$set": {"n": 2}}).await.unwrap();
    assert_eq!(take(&mut queue, 1).await, [expect("update", "shop.orders 9", false)]);
    queue.join().await.unwrap();

    // Nothing has changed, and the next change comes.
    lose_history(connection).await;
    let mut queue = watch().queue().await.unwrap();
    assert_eq!(queue.stats().histories_lost, 1);
    orders.delete_one(doc! {"_id": 9}).await.unwrap();
    let next = take(&mut queue, 1).await;
    // Deleted before the comparison came there, it is a difference, and then a change.
    assert_eq!((next[0].0.as_str(), next[0].1.as_str()), ("delete", "shop.orders 9"));
    queue.join().await.unwrap();
}

/// A program that dies between the differences begins the comparison again: what was delivered does not come again, and
/// nothing is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_is_interrupted_is_made_again() {
    let server = Server::with(&["--memory", "--oplog-bytes", "1MiB"]);
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let (store, seen) = (MemoryCheckpoint::default(), MemorySeen::default());
    let watch = |save_events| {
        let settings =
            Settings { on_history_lost: OnHistoryLost::Resnapshot, save_events, queue: 4, ..Settings::default() };
        Watch::new(&connection, source("orders")).checkpoint(store.clone()).seen(seen.clone()).settings(quick(settings))
    };
    let mut queue = watch(1).queue().await.unwrap();
    orders.insert_many((0..60).map(|k| doc! {"_id": k, "n": 0})).await.unwrap();
    take(&mut queue, 60).await;
    queue.join().await.unwrap();
    orders.update_many(doc! {"_id": {"$lt": 40}}, doc! {"$set": {"n": 1}}).await.unwrap();
    orders.delete_many(doc! {"_id": {"$gte": 50}}).await.unwrap();
    lose_history(&connection).await;
    let mut all = Vec::new();
    for round in 0..5 {
        let mut queue = watch(1).queue().await.unwrap();
        all.extend(take(&mut queue, 10).await);
        if round % 2 == 0 {
            queue.join().await.unwrap();
        } else {
            let (handle, taking) = queue.split();
            handle.abort();
            drop(taking);
        }
        // Somebody else changes things meanwhile, and the history goes on being lost.
        orders.update_one(doc! {"_id": 45}, doc! {"$inc": {"n": 1}}).await.unwrap();
        if round % 2 == 1 {
            lose_history(&connection).await;
        }
    }
    let mut queue = watch(1).queue().await.unwrap();
    orders.insert_one(doc! {"_id": 1_000}).await.unwrap();
    loop {
        let event = take(&mut queue, 1).await.remove(0);
        if event.1 == "shop.orders 1000" {
            break;
        }
        all.push(event);
    }
    queue.join().await.unwrap();
    let documents: BTreeSet<String> = all.iter().map(|event| event.1.clone()).collect();
    let expected = (0..40).chain(45..46).chain(50..60).map(|k| format!("shop.orders {k}"));
    assert_eq!(documents, expected.collect());
    // Whatever was said to be dealt with came once, but for what the killed ones had not saved.
    assert!(all.len() < 75, "{}", all.len());
}

/// A stream that falls out of the log while it is open.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_too_slow_goes_on_with_what_has_changed() {
    let server = Server::with(&["--memory", "--oplog-bytes", "1MiB"]);
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let settings = Settings { on_history_lost: OnHistoryLost::Resnapshot, queue: 1, ..Settings::default() };
    let mut queue = Watch::new(&connection, source("orders")).settings(quick(settings)).queue().await.unwrap();
    // More than two replies, so that neither the client nor the server has them all at hand.
    let padding = "x".repeat(1 << 20);
    for k in 0..60 {
        orders.insert_one(doc! {"_id": k, "padding": padding.as_str()}).await.unwrap();
    }
    lose_history(&connection).await;
    let mut seen = BTreeSet::new();
    let mut documents = 0;
    while seen.len() < 60 {
        let (operation, document, snapshot) = take(&mut queue, 1).await.remove(0);
        documents += u32::from(snapshot);
        assert!(operation == "insert" && seen.insert(document.clone()), "{operation} {document} came twice");
    }
    assert!(documents > 0, "{:?}", queue.stats());
    assert_eq!(queue.stats().histories_lost, 1);
    orders.insert_one(doc! {"_id": 60}).await.unwrap();
    assert_eq!(take(&mut queue, 1).await, [expect("insert", "shop.orders 60", false)]);
    queue.join().await.unwrap();
}
