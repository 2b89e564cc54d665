//! The client library's delivery: to a callback, into a queue, with the position kept, through real faults.

mod batches;
mod many;
mod snapshots;
mod streams;
mod telemetry;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::{Document, doc};
use millstream_watch::{
    Backoff, ChangeStreams, CollectionCheckpoint, Connection, DeadLetters, Event, Failure, FileCheckpoint,
    FullDocumentMode, MemoryCheckpoint, OnFailure, OnHistoryLost, OnInvalidate, ProblemKind, Scope, Settings, Source,
    SourceId, StartAt, TOKENS, Watch, eq, one_of,
};
use mongodb::Collection;

use crate::support::{Proxy, Server};

fn source(collection: &str) -> Source {
    Source::new(Scope::Collection { database: "shop".into(), collection: collection.into() })
}

fn collection(connection: &Connection, name: &str) -> Collection<Document> {
    connection.client().database("shop").collection(name)
}

/// Short pauses: what is tested is that there are some.
fn quick(settings: Settings) -> Settings {
    let pause = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(5), ..Backoff::default() };
    Settings { pause, save_every: Duration::from_millis(20), ..settings }
}

fn key(event: &Event) -> i32 {
    event.document_key().unwrap().get_i32("_id").unwrap()
}

fn n(event: &Event) -> i32 {
    event.raw().get_document("fullDocument").unwrap().get_i32("n").unwrap()
}

/// Writes elsewhere until a log of 1 MiB has forgotten what was before, in memory too.
async fn lose_history(connection: &Connection) {
    let now = connection.ping().await.unwrap().expect("a cluster time");
    let padding = "x".repeat(1 << 20);
    for _ in 0..10 {
        for _ in 0..20 {
            collection(connection, "padding").insert_one(doc! {"padding": padding.as_str()}).await.unwrap();
        }
        let opened = Watch::new(connection, source("nothing")).start(StartAt::Time(now)).queue().await;
        match opened {
            Err(error) if error.problem_kind() == Some(ProblemKind::HistoryLost) => return,
            other => other.unwrap().join().await.unwrap(),
        }
    }
    panic!("the log keeps everything");
}

/// Until it is so, or for a time that a busy machine does not need.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_gets_every_event_in_the_order_of_its_document() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let seen: Arc<Mutex<HashMap<i32, Vec<i32>>>> = Arc::default();
    let (at_once, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (in_callback, now, peak) = (Arc::clone(&seen), Arc::clone(&at_once), Arc::clone(&most));
    let settings = quick(Settings { concurrency: 8, queue: 64, ..Settings::default() });
    let handle = Watch::new(&connection, source("orders"))
        .settings(settings)
        .for_each(move |event: Event| {
            let (seen, now, peak) = (Arc::clone(&in_callback), Arc::clone(&now), Arc::clone(&peak));
            async move {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(u64::from(rand::random::<u8>() % 4))).await;
                seen.lock().unwrap().entry(key(&event) % 10).or_default().push(n(&event));
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, String>(())
            }
        })
        .await
        .unwrap();
    for n in 0..30 {
        let docs = (0..10).map(|k| doc! {"_id": k + 10 * n, "n": n});
        orders.insert_many(docs).await.unwrap();
    }
    until("all events", || handle.stats().delivered == 300).await;
    let stats = handle.stats();
    assert_eq!((stats.events.get("insert"), stats.failures, stats.under_way), (Some(&300), 0, 0));
    assert!(most.load(Ordering::SeqCst) > 1, "never two at a time");
    handle.stop();
    handle.join().await.unwrap();

    // One document changed often: its versions come in their order, whatever the others do.
    seen.lock().unwrap().clear();
    let mut settings = quick(Settings { concurrency: 8, ..Settings::default() });
    settings.queue = 16;
    let mut watched = source("orders");
    watched.options.full_document = FullDocumentMode::Default;
    watched.options.operations = vec!["replace".into()];
    let in_callback = Arc::clone(&seen);
    let handle = Watch::new(&connection, watched)
        .settings(settings)
        .for_each(move |event: Event| {
            let seen = Arc::clone(&in_callback);
            async move {
                tokio::time::sleep(Duration::from_millis(u64::from(rand::random::<u8>() % 4))).await;
                seen.lock().unwrap().entry(key(&event)).or_default().push(n(&event));
                Ok::<_, String>(())
            }
        })
        .await
        .unwrap();
    for n in 0..20 {
        for k in 0..5 {
            orders.replace_one(doc! {"_id": k}, doc! {"n": 100 + n}).await.unwrap();
        }
    }
    until("all replacements", || handle.stats().delivered == 100).await;
    for (key, versions) in seen.lock().unwrap().iter() {
        assert_eq!(*versions, (100..120).collect::<Vec<_>>(), "document {key}");
    }
    handle.stop();
    handle.join().await.unwrap();
}

/// Killed at any moment and begun again: nothing is missing, and what comes twice comes again from one position on.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_when_watcher_and_server_are_killed() {
    let mut server = Server::durable();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    orders.insert_one(doc! {"_id": -1, "n": 0}).await.unwrap();
    let seen: Arc<Mutex<Vec<i32>>> = Arc::default();
    let mut sent = 0;
    for round in 0..6 {
        let id = SourceId::new(&connection, &source("orders"));
        let store = CollectionCheckpoint::new(&connection, "shop", TOKENS, "copier", id);
        let in_callback = Arc::clone(&seen);
        let handle = Watch::new(&connection, source("orders"))
            .checkpoint(store)
            .settings(quick(Settings { concurrency: 4, save_events: 3, ..Settings::default() }))
            .for_each(move |event: Event| {
                let seen = Arc::clone(&in_callback);
                async move {
                    seen.lock().unwrap().push(key(&event));
                    Ok::<_, String>(())
                }
            })
            .await
            .unwrap();
        if round == 0 {
            until("a position", || handle.position().is_some()).await;
        }
        for _ in 0..20 {
            orders.insert_one(doc! {"_id": sent, "n": sent}).await.unwrap();
            sent += 1;
        }
        match round % 3 {
            // The watcher goes without a word.
            0 => handle.abort(),
            1 => {
                let all = sent;
                until("all so far", || (0..all).all(|k| seen.lock().unwrap().contains(&k))).await;
                handle.stop();
                handle.join().await.unwrap();
            }
            _ => {
                server.kill();
                server.start_again();
                orders.insert_one(doc! {"_id": sent, "n": sent}).await.unwrap();
                sent += 1;
                let all = sent;
                until("all after the restart", || (0..all).all(|k| seen.lock().unwrap().contains(&k))).await;
                handle.stop();
                handle.join().await.unwrap();
            }
        }
    }
    let saved = collection(&connection, TOKENS).find_one(doc! {"_id": "copier"}).await.unwrap().unwrap();
    assert!(saved.get_document("resumeToken").unwrap().contains_key("_data"));
    assert!(saved.get_datetime("updatedAt").is_ok());
    assert_eq!(saved.get_str("scope").unwrap(), "collection shop.orders");
    // A position belongs to what it was kept for.
    let other = SourceId::new(&connection, &source("others"));
    let store = CollectionCheckpoint::new(&connection, "shop", TOKENS, "copier", other);
    let refused = Watch::new(&connection, source("others")).checkpoint(store).queue().await;
    let text = refused.map(drop).unwrap_err().to_string();
    assert!(text.contains("copier in shop.change_stream_tokens") && text.contains("another scope"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_then_put_aside_and_can_be_replayed() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let letters = DeadLetters::new(&connection, "shop", "dead_letters", "mailer");
    let (tries, broken) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(true)));
    let (tried, is_broken) = (Arc::clone(&tries), Arc::clone(&broken));
    let handle = Watch::new(&connection, source("orders"))
        .dead_letters(letters.clone())
        .settings(quick(Settings { retries: 2, on_failure: OnFailure::GoOn, ..Settings::default() }))
        .for_each(move |event: Event| {
            let fails = key(&event) % 2 == 1 && is_broken.load(Ordering::SeqCst);
            // The third try of the second document helps.
            let passing = key(&event) == 2 && tried.fetch_add(1, Ordering::SeqCst) < 2;
            async move { if fails || passing { Err(format!("no way to deal with {}", key(&event))) } else { Ok(()) } }
        })
        .await
        .unwrap();
    orders.insert_many((0..6).map(|k| doc! {"_id": k, "n": k})).await.unwrap();
    until("the last one", || handle.stats().delivered + handle.stats().given_up == 6).await;
    let stats = handle.stats();
    assert_eq!((stats.delivered, stats.given_up, stats.failures), (3, 3, 3 * 3 + 2));
    handle.stop();
    handle.join().await.unwrap();

    let put = letters.list().await.unwrap();
    let told: Vec<_> = put.iter().map(|letter| (key(&letter.event), letter.attempts, letter.error.as_str())).collect();
    let expected = [(1, 3, "no way to deal with 1"), (3, 3, "no way to deal with 3"), (5, 3, "no way to deal with 5")];
    assert_eq!(told, expected);
    let others = DeadLetters::new(&connection, "shop", "dead_letters", "somebody else");
    assert!(others.list().await.unwrap().is_empty());

    // Replayed: what works is gone, the rest stays.
    let replayed =
        letters.replay(|event| async move { if key(&event) == 3 { Err("still not") } else { Ok(()) } }).await;
    assert_eq!(replayed.unwrap(), (2, 1));
    let left = letters.list().await.unwrap();
    assert_eq!(left.iter().map(|letter| key(&letter.event)).collect::<Vec<_>>(), [3]);
    assert!(letters.remove(left[0].id).await.unwrap());
    assert!(!letters.remove(left[0].id).await.unwrap());
}

/// Stopped by an event that cannot be dealt with, a watch begins again with that very event.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_stops_at_a_failure_begins_again_there() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let store = MemoryCheckpoint::default();
    let settings = quick(Settings { retries: 1, ..Settings::default() });
    let handle = Watch::new(&connection, source("orders"))
        .checkpoint(store.clone())
        .settings(settings.clone())
        .for_each(|event: Event| async move { if key(&event) == 3 { Err("three") } else { Ok(()) } })
        .await
        .unwrap();
    orders.insert_many((0..6).map(|k| doc! {"_id": k, "n": k})).await.unwrap();
    until("the end", || handle.has_ended()).await;
    let text = handle.join().await.unwrap_err().to_string();
    assert_eq!(text, "an event failed 2 times: three");
    assert!(store.position().is_some());
    let mut queue =
        Watch::new(&connection, source("orders")).checkpoint(store).settings(settings).queue().await.unwrap();
    for expected in 3..6 {
        assert_eq!(queue.get().await.map(|event| key(&event)), Some(expected));
    }
}

/// What would fail again is given up at once; what asks for a pause gets it; a stop does not wait for more tries.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_says_whether_trying_again_helps() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let letters = DeadLetters::new(&connection, "shop", "dead_letters", "mailer");
    let store = MemoryCheckpoint::default();
    let settings = quick(Settings { retries: 1_000_000, on_failure: OnFailure::GoOn, ..Settings::default() });
    let handle = Watch::new(&connection, source("orders"))
        .dead_letters(letters.clone())
        .checkpoint(store.clone())
        .settings(settings.clone())
        .for_each(|event: Event| async move {
            match key(&event) {
                0 => Err(Failure::lasting("not in a hundred years")),
                1 => Err(Failure::passing_after("later", Duration::from_secs(1_000))),
                _ => Ok(()),
            }
        })
        .await
        .unwrap();
    assert!(store.position().is_some(), "there is a position before the first event");
    orders.insert_many((0..4).map(|k| doc! {"_id": k, "n": k})).await.unwrap();
    until("two failures", || handle.stats().failures == 2).await;
    let put = letters.list().await.unwrap();
    assert_eq!(put.iter().map(|letter| (key(&letter.event), letter.attempts)).collect::<Vec<_>>(), [(0, 1)]);
    handle.stop();
    handle.join().await.unwrap();

    // What was not dealt with comes again. A handle that is dropped stops nothing.
    let seen: Arc<Mutex<Vec<i32>>> = Arc::default();
    let in_callback = Arc::clone(&seen);
    let again = Watch::new(&connection, source("orders")).checkpoint(store).settings(settings);
    let callback = move |event: Event| {
        in_callback.lock().unwrap().push(key(&event));
        async { Ok::<_, String>(()) }
    };
    drop(again.for_each(callback).await.unwrap());
    orders.insert_one(doc! {"_id": 9, "n": 9}).await.unwrap();
    until("the rest", || *seen.lock().unwrap() == [1, 2, 3, 9]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_gives_events_when_they_are_asked_for() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let folder = tempfile::tempdir().unwrap();
    let place = || {
        let watched = source("orders").where_field("n", eq(1));
        let id = SourceId::new(&connection, &watched);
        (watched, FileCheckpoint::new(folder.path().join("place"), id))
    };
    let (watched, store) = place();
    let settings = quick(Settings { queue: 4, ..Settings::default() });
    let watch = Watch::new(&connection, watched).checkpoint(store).settings(settings.clone());
    let mut queue = watch.queue().await.unwrap();
    assert!(queue.try_get().is_none());
    assert!(queue.get_within(Duration::from_millis(5)).await.is_none());
    orders.insert_many((0..40).map(|k| doc! {"_id": k, "n": k % 2})).await.unwrap();
    // No more is read than there is room for.
    until("a full queue", || queue.stats().under_way == 4).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(queue.stats().under_way, 4);
    assert_eq!(queue.get().await.map(|event| key(&event)), Some(1));
    let batch = queue.batch(3, usize::MAX, Duration::from_secs(5)).await;
    assert_eq!(batch.iter().map(key).collect::<Vec<_>>(), [3, 5, 7]);
    let batch = queue.batch(100, 1, Duration::from_secs(5)).await;
    assert_eq!(batch.iter().map(key).collect::<Vec<_>>(), [9], "enough bytes");
    queue.join().await.unwrap();

    // What was not taken comes again, and nothing else.
    let (watched, store) = place();
    let mut queue = Watch::new(&connection, watched).checkpoint(store).settings(settings).queue().await.unwrap();
    let mut rest = Vec::new();
    while rest.len() < 15 {
        rest.push(key(&queue.get().await.unwrap()));
    }
    assert_eq!(rest, (11..40).step_by(2).collect::<Vec<_>>());
    queue.stop();
    assert!(queue.get().await.is_none());
    queue.join().await.unwrap();
}

/// Events of a queue one by one: each counts when it is said to be dealt with, in whatever order.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_from_a_queue_comes_again_unless_it_was_dealt_with() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let store = MemoryCheckpoint::default();
    let watch =
        || Watch::new(&connection, source("orders")).checkpoint(store.clone()).settings(quick(Settings::default()));
    let (handle, mut taking) = watch().queue().await.unwrap().split();
    orders.insert_many((0..5).map(|k| doc! {"_id": k})).await.unwrap();
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(taking.next().await.unwrap());
    }
    assert_eq!(taken.iter().map(|taken| key(taken.event())).collect::<Vec<_>>(), [0, 1, 2, 3]);
    // All but the third.
    taken.pop().unwrap().done();
    drop(taken.pop());
    for one in taken.into_iter().rev() {
        one.done();
    }
    let control = handle.control();
    control.stop();
    drop(taking);
    handle.join().await.unwrap();
    assert!(control.has_ended());
    assert_eq!(control.stats().delivered, 3);
    let mut again = watch().queue().await.unwrap();
    for expected in 2..5 {
        assert_eq!(again.get().await.map(|event| key(&event)), Some(expected));
    }
}

/// With several at a time, an event that stops the delivery does not wait until all others that were read are worked off.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_stops_the_delivery_is_told_at_once() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let (failing, others) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (first, rest) = (Arc::clone(&failing), Arc::clone(&others));
    let handle = Watch::new(&connection, source("orders"))
        .settings(quick(Settings { concurrency: 2, retries: 0, ..Settings::default() }))
        .for_each(move |event: Event| {
            let fails = key(&event) == 0;
            let gate = Arc::clone(if fails { &first } else { &rest });
            async move {
                gate.acquire().await.unwrap().forget();
                if fails { Err("zero") } else { Ok(()) }
            }
        })
        .await
        .unwrap();
    orders.insert_many((0..60).map(|k| doc! {"_id": k})).await.unwrap();
    until("all read", || handle.stats().under_way == 60).await;
    failing.add_permits(1);
    until("the failure", || handle.stats().given_up == 1).await;
    // The one that the other lane works on.
    others.add_permits(1);
    let ended = tokio::time::timeout(Duration::from_secs(20), handle.join()).await.expect("it works off the others");
    assert_eq!(ended.unwrap_err().to_string(), "an event failed 1 times: zero");
}

/// A callback that fails because it was cut off by a stop has not had its tries: the event comes again, and is no dead letter.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_while_it_is_stopped_is_not_put_aside() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let letters = DeadLetters::new(&connection, "shop", "dead_letters", "mailer");
    let store = MemoryCheckpoint::default();
    let (begun, cut) = (Arc::new(AtomicBool::new(false)), Arc::new(tokio::sync::Notify::new()));
    let (has_begun, is_cut) = (Arc::clone(&begun), Arc::clone(&cut));
    let handle = Watch::new(&connection, source("orders"))
        .checkpoint(store.clone())
        .dead_letters(letters.clone())
        .settings(quick(Settings { retries: 0, on_failure: OnFailure::GoOn, ..Settings::default() }))
        .for_each(move |_| {
            let (begun, cut) = (Arc::clone(&has_begun), Arc::clone(&is_cut));
            async move {
                begun.store(true, Ordering::SeqCst);
                cut.notified().await;
                Err::<(), _>("cut off")
            }
        })
        .await
        .unwrap();
    orders.insert_one(doc! {"_id": 7}).await.unwrap();
    until("the callback", || begun.load(Ordering::SeqCst)).await;
    handle.stop();
    cut.notify_one();
    handle.join().await.unwrap();
    assert!(letters.list().await.unwrap().is_empty());
    let mut queue = Watch::new(&connection, source("orders")).checkpoint(store).queue().await.unwrap();
    assert_eq!(queue.get().await.map(|event| key(&event)), Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_held_up_and_goes_on() {
    let server = Server::memory();
    let proxy = Proxy::to(server.address());
    let connection = Connection::new(&proxy.uri()).await.unwrap();
    let direct = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&direct, "orders");
    let handle = Watch::new(&connection, source("orders"))
        .settings(quick(Settings { on_invalidate: OnInvalidate::StartAgain, ..Settings::default() }))
        .for_each(|_| async { Ok::<_, String>(()) })
        .await
        .unwrap();
    handle.pause();
    // One event may have been on its way.
    orders.insert_many((0..10).map(|k| doc! {"_id": k})).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(handle.stats().delivered <= 1);
    proxy.cut();
    handle.resume();
    until("all ten", || handle.stats().delivered == 10).await;
    // Dropped and made again: it sees both, and goes on behind.
    orders.drop().await.unwrap();
    orders.insert_one(doc! {"_id": 11}).await.unwrap();
    until("the new collection", || handle.stats().events.get("insert") == Some(&11)).await;
    let stats = handle.stats();
    assert_eq!((stats.events.get("drop"), stats.events.get("invalidate")), (Some(&1), Some(&1)));
    handle.stop();
    handle.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_cannot_begin_says_why() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let mut bad = source("orders");
    bad.pipeline = vec![doc! {"$out": "x"}];
    let error = Watch::new(&connection, bad).queue().await.map(drop).unwrap_err();
    assert_eq!(error.problem_kind(), Some(ProblemKind::BadPipeline), "{error}");
    let ended = Watch::new(&connection, source("orders")).start(StartAt::Now).queue().await.unwrap();
    ended.join().await.unwrap();
}

/// Positions, dead letters and what was seen lie in the database that is watched.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_does_not_see_its_own_traces() {
    let server = Server::memory();
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let orders = collection(streams.connection(), "orders");
    let settings = Settings {
        retries: 0,
        on_failure: OnFailure::GoOn,
        on_history_lost: OnHistoryLost::Resnapshot,
        save_events: 1,
        ..Settings::default()
    };
    let seen: Arc<Mutex<Vec<i32>>> = Arc::default();
    let in_callback = Arc::clone(&seen);
    let handle = streams
        .watch_database("shop")
        .keep_position("shop", "everything")
        .dead_letters(DeadLetters::new(streams.connection(), "shop", "dead_letters", "everything"))
        .settings(quick(settings))
        .for_each(move |event: Event| {
            let key = event.document_key().and_then(|key| key.get_i32("_id").ok());
            in_callback.lock().unwrap().push(key.unwrap_or(-1));
            async move { if key == Some(1) { Err("one") } else { Ok(()) } }
        })
        .await
        .unwrap();
    for round in 0..4 {
        orders.insert_one(doc! {"_id": round}).await.unwrap();
        let saves = handle.stats().saves;
        until("more positions", || handle.stats().saves > saves + 1).await;
    }
    until("all four", || handle.stats().delivered + handle.stats().given_up >= 4).await;
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3]);
    handle.stop();
    handle.join().await.unwrap();
    for (name, documents) in [(TOKENS, 1), ("dead_letters", 1), ("change_stream_seen", 5)] {
        assert_eq!(collection(streams.connection(), name).count_documents(doc! {}).await.unwrap(), documents, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_watched_is_said_in_a_few_words() {
    let server = Server::memory();
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let mut several = streams
        .watch_collections("shop", ["orders", "items"])
        .operations(["insert"])
        .where_field("n", one_of([1, 2]))
        .where_expr(doc! {"$lt": ["$documentKey._id", 5]})
        .project(doc! {"fullDocument": 1, "ns": 1, "documentKey": 1, "operationType": 1})
        .keep_position("admin_of_shop", "several")
        .queue()
        .await
        .unwrap();
    let mut images = streams
        .watch_collection("shop", "orders")
        .operations(["update"])
        .full_document(FullDocumentMode::UpdateLookup)
        .batch_size(2)
        .queue()
        .await
        .unwrap();
    let mut all = streams.watch_cluster().queue().await.unwrap();
    for name in ["orders", "items", "others"] {
        let docs = (1..=8).map(|k| doc! {"_id": k, "n": k});
        collection(streams.connection(), name).insert_many(docs).await.unwrap();
    }
    let orders = collection(streams.connection(), "orders");
    orders.update_one(doc! {"_id": 1}, doc! {"$set": {"n": 7}}).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let event = several.get().await.unwrap();
        assert!(event.field("clusterTime").is_none());
        seen.push((event.namespace(), key(&event)));
    }
    let expected = [("shop.orders", 1), ("shop.orders", 2), ("shop.items", 1), ("shop.items", 2)];
    assert_eq!(seen, expected.map(|(name, k)| (name.to_owned(), k)));
    assert_eq!(images.get().await.map(|event| n(&event)), Some(7));
    for _ in 0..25 {
        all.get().await.unwrap();
    }
    for queue in [several, images, all] {
        queue.join().await.unwrap();
    }
    let kept = streams.connection().client().database("admin_of_shop").collection::<Document>(TOKENS);
    assert_eq!(kept.count_documents(doc! {"_id": "several"}).await.unwrap(), 1);
    let nobody = ChangeStreams::connect("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200").await.unwrap_err();
    assert_eq!(nobody.problem_kind(), Some(ProblemKind::Unreachable));
}
