//! Events as a stream, and to a callback that blocks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::doc;
use futures::StreamExt as _;
use millstream_watch::{Connection, DeadLetters, Failure, MemoryCheckpoint, OnFailure, Settings, Watch};

use super::{collection, key, quick, source, until};
use crate::support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gives_events_and_keeps_the_position_behind_what_was_taken() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let store = MemoryCheckpoint::default();
    let watch =
        || Watch::new(&connection, source("orders")).checkpoint(store.clone()).settings(quick(Settings::default()));
    let mut stream = watch().stream().await.unwrap();
    orders.insert_many((0..10).map(|k| doc! {"_id": k})).await.unwrap();
    let mut taken = Vec::new();
    for expected in 0..4 {
        let event = stream.next().await.unwrap().unwrap();
        assert_eq!(key(&event), expected);
        taken.push(event);
    }
    // The fourth was taken and nothing after it was asked for: it may still be worked on.
    until("three are saved", || store.position().as_ref() == Some(taken[2].token())).await;
    drop(stream);

    let mut stream = watch().stream().await.unwrap();
    let rest: Vec<i32> = stream.by_ref().take(7).map(|event| key(&event.unwrap())).collect().await;
    assert_eq!(rest, (3..10).collect::<Vec<_>>());
    stream.stop();
    assert!(stream.next().await.is_none());
    stream.join().await.unwrap();
    let mut stream = watch().stream().await.unwrap();
    orders.insert_one(doc! {"_id": 10}).await.unwrap();
    assert_eq!(stream.next().await.map(|event| key(&event.unwrap())), Some(10));
    // What was dropped ends the stream, and so does the stream itself.
    orders.drop().await.unwrap();
    let kinds: Vec<String> = stream.by_ref().map(|event| event.unwrap().operation().to_owned()).collect().await;
    assert_eq!(kinds, ["drop", "invalidate"]);
    assert!(stream.next().await.is_none());
    stream.join().await.unwrap();
}

/// The consumer of a stream or a queue says when an event cannot be dealt with.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_can_be_given_up() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let letters = DeadLetters::new(&connection, "shop", "dead_letters", "reader");
    let store = MemoryCheckpoint::default();
    let watch = |on_failure| {
        let settings = quick(Settings { on_failure, ..Settings::default() });
        Watch::new(&connection, source("orders"))
            .dead_letters(letters.clone())
            .checkpoint(store.clone())
            .settings(settings)
    };
    let mut stream = watch(OnFailure::GoOn).stream().await.unwrap();
    orders.insert_many((0..4).map(|k| doc! {"_id": k})).await.unwrap();
    assert_eq!(stream.next().await.map(|event| key(&event.unwrap())), Some(0));
    stream.give_up("unreadable").await.unwrap();
    assert_eq!(stream.next().await.map(|event| key(&event.unwrap())), Some(1));
    stream.join().await.unwrap();
    let put = letters.list().await.unwrap();
    assert_eq!(
        put.iter().map(|letter| (key(&letter.event), letter.error.as_str())).collect::<Vec<_>>(),
        [(0, "unreadable")]
    );

    let mut stream = watch(OnFailure::Stop).stream().await.unwrap();
    assert_eq!(stream.next().await.map(|event| key(&event.unwrap())), Some(2));
    assert!(stream.give_up("unreadable").await.is_err());
    let rest: Vec<_> = stream.by_ref().collect().await;
    let end = rest.last().unwrap().as_ref().unwrap_err().to_string();
    assert!(end.contains("unreadable"), "{end}");
    let mut queue = watch(OnFailure::Stop).queue().await.unwrap();
    assert_eq!(queue.get().await.map(|event| key(&event)), Some(2), "the position stayed before it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_may_block_and_may_panic() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let letters = DeadLetters::new(&connection, "shop", "dead_letters", "blocker");
    let seen: Arc<Mutex<Vec<i32>>> = Arc::default();
    let in_callback = Arc::clone(&seen);
    let settings = quick(Settings { retries: 1, on_failure: OnFailure::GoOn, ..Settings::default() });
    let handle = Watch::new(&connection, source("orders"))
        .dead_letters(letters.clone())
        .settings(settings.clone())
        .for_each_blocking(move |event| {
            std::thread::sleep(Duration::from_millis(1));
            match key(&event) {
                1 => Err(Failure::lasting("never")),
                2 => panic!("number two"),
                key => {
                    in_callback.lock().unwrap().push(key);
                    Ok(())
                }
            }
        })
        .await
        .unwrap();
    orders.insert_many((0..4).map(|k| doc! {"_id": k})).await.unwrap();
    until("all four", || handle.stats().delivered + handle.stats().given_up == 4).await;
    handle.stop();
    handle.join().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [0, 3]);

    let handle = Watch::new(&connection, source("orders"))
        .dead_letters(letters.clone())
        .settings(settings)
        .for_each(|event| async move {
            assert_ne!(key(&event), 5, "number five");
            Ok::<_, String>(())
        })
        .await
        .unwrap();
    orders.insert_many((5..7).map(|k| doc! {"_id": k})).await.unwrap();
    until("both", || handle.stats().delivered + handle.stats().given_up == 2).await;
    handle.stop();
    handle.join().await.unwrap();
    let put = letters.list().await.unwrap();
    let put: Vec<_> = put.iter().map(|letter| (key(&letter.event), letter.attempts, letter.error.clone())).collect();
    assert_eq!(put[0], (1, 1, "never".to_owned()));
    assert_eq!(put[1], (2, 2, "the callback panicked: number two".to_owned()));
    assert!(put[2].0 == 5 && put[2].2.contains("number five"), "{put:?}");
}
