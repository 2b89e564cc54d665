//! Groups: several members share one stream, and come and go.

mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::{Document, doc};
use millstream_watch::{
    Backoff, ChangeStreams, Connection, DeadLetters, Event, Fence, GROUPS, Group, GroupStatus, Handle, OnFailure,
    OnHistoryLost, OnInvalidate, ProblemKind, Settings,
};
use mongodb::Collection;

use crate::support::Server;

/// What was handled: key, version, fence, and by whom.
type Handled = Arc<Mutex<Vec<(i32, i32, Fence, &'static str)>>>;

fn group(member: &str) -> Group {
    Group::new("billing", "teams").member(member).lease(Duration::from_secs(2))
}

fn settings() -> Settings {
    let pause = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(5), ..Backoff::default() };
    Settings { concurrency: 4, pause, save_every: Duration::from_millis(50), ..Settings::default() }
}

fn orders(connection: &Connection) -> Collection<Document> {
    connection.client().database("shop").collection("orders")
}

fn key(event: &Event) -> i32 {
    event.document_key().unwrap().get_i32("_id").unwrap()
}

fn version(event: &Event) -> i32 {
    event.raw().get_document("fullDocument").unwrap().get_i32("n").unwrap()
}

async fn join(streams: &ChangeStreams, group: Group, name: &'static str, handled: &Handled) -> Handle {
    let handled = Arc::clone(handled);
    let watch = streams.watch_collection("shop", "orders").operations(["insert", "replace"]).settings(settings());
    let joined = watch.group(group).for_each_fenced(move |event: Event, fence: Fence| {
        let handled = Arc::clone(&handled);
        async move {
            tokio::time::sleep(Duration::from_millis(u64::from(rand::random::<u8>() % 3))).await;
            handled.lock().unwrap().push((key(&event), version(&event), fence, name));
            Ok::<_, String>(())
        }
    });
    joined.await.unwrap()
}

async fn status(streams: &ChangeStreams) -> GroupStatus {
    GroupStatus::read(streams.connection(), "teams", "billing").await.unwrap().unwrap()
}

/// Until it is so, or for a time that a busy machine does not need.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain: {what}");
}

/// Until each of so many members has its share.
async fn until_shared(streams: &ChangeStreams, shares: &[usize]) -> GroupStatus {
    let mut last = None;
    for _ in 0..600 {
        let now = status(streams).await;
        let mut counts: Vec<usize> = now.members.iter().map(|member| member.partitions.len()).collect();
        counts.sort_unstable();
        if counts == shares {
            return now;
        }
        last = Some(now);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never shared as {shares:?}: {last:?}");
}

async fn write(orders: &Collection<Document>, versions: std::ops::Range<i32>) {
    for n in versions {
        for k in 0..40 {
            orders.replace_one(doc! {"_id": k}, doc! {"n": n}).upsert(true).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_the_partitions_and_go_on_where_others_stopped() {
    let server = Server::memory();
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let orders = orders(streams.connection());
    let handled = Handled::default();
    let a = join(&streams, group("a").partitions(10), "a", &handled).await;
    let founded = until_shared(&streams, &[10]).await;
    assert_eq!((founded.group.as_str(), founded.scope.as_str()), ("billing", "collection shop.orders"));
    assert_eq!((founded.owned(), founded.members[0].pid), (10, i64::from(std::process::id())));
    write(&orders, 0..2).await;
    // Only what is too much moves, also in the middle of the work.
    let b = join(&streams, group("b"), "b", &handled).await;
    write(&orders, 2..4).await;
    let shared = until_shared(&streams, &[5, 5]).await;
    let epochs = |status: &GroupStatus| -> Vec<i64> { status.partitions.iter().map(|p| p.fence.epoch).collect() };
    assert_eq!(epochs(&shared).iter().sum::<i64>(), 15);
    let c = join(&streams, group("c"), "c", &handled).await;
    write(&orders, 4..6).await;
    until_shared(&streams, &[3, 3, 4]).await;
    until("all", || handled.lock().unwrap().len() >= 6 * 40).await;
    // Those who stop give what they have to the others.
    a.stop();
    write(&orders, 6..8).await;
    a.join().await.unwrap();
    until_shared(&streams, &[5, 5]).await;
    b.stop();
    b.join().await.unwrap();
    until_shared(&streams, &[10]).await;
    c.stop();
    c.join().await.unwrap();
    let empty = status(&streams).await;
    assert_eq!((empty.members.len(), empty.owned()), (0, 0));
    write(&orders, 8..9).await;
    // A group that was away as a whole has missed nothing.
    let d = join(&streams, group("d"), "d", &handled).await;
    write(&orders, 9..10).await;
    until("all after the break", || {
        let done: BTreeSet<_> = handled.lock().unwrap().iter().map(|(key, version, ..)| (*key, *version)).collect();
        done.len() == 10 * 40
    })
    .await;
    d.stop();
    d.join().await.unwrap();

    // Nothing was lost with those who said goodbye, so nothing came twice; and each key in its order.
    let handled = handled.lock().unwrap();
    let mut by_key: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let mut owners: BTreeMap<Fence, BTreeSet<&str>> = BTreeMap::new();
    for (key, version, fence, name) in handled.iter() {
        by_key.entry(*key).or_default().push(*version);
        owners.entry(*fence).or_default().insert(name);
    }
    for (key, versions) in by_key {
        assert_eq!(versions, (0..10).collect::<Vec<_>>(), "key {key}");
    }
    assert!(owners.values().all(|names| names.len() == 1), "{owners:?}");
    assert!(handled.iter().map(|(.., name)| name).collect::<BTreeSet<_>>().len() == 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_told_by_partition_and_member() {
    let server = Server::memory();
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let in_callback = Arc::clone(&gate);
    let watch = streams.watch_collection("shop", "orders").settings(settings());
    let handle = watch
        .group(group("slow").partitions(4))
        .for_each(move |_: Event| {
            let gate = Arc::clone(&in_callback);
            async move { gate.acquire().await.map(|permit| permit.forget()) }
        })
        .await
        .unwrap();
    until_shared(&streams, &[4]).await;
    orders(streams.connection()).insert_one(doc! {"_id": 1, "n": 0}).await.unwrap();
    let mut behind = Vec::new();
    for _ in 0..200 {
        let now = status(&streams).await;
        behind = now.partitions.iter().filter(|p| p.lag > Duration::ZERO).map(|p| p.fence.partition).collect();
        if behind.len() == 1 && now.lag() >= Duration::from_secs(2) {
            assert_eq!(now.members[0].lag, now.lag());
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(behind, [3], "only the partition with the waiting event is behind");
    gate.add_permits(1);
    let mut lag = Duration::MAX;
    for _ in 0..200 {
        lag = status(&streams).await.lag();
        if lag == Duration::ZERO {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(lag, Duration::ZERO);
    handle.stop();
    handle.join().await.unwrap();
    assert!(GroupStatus::read(streams.connection(), "teams", "nobody").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_belongs_to_what_it_was_founded_for() {
    let server = Server::memory();
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let ok = |_: Event| async { Ok::<_, String>(()) };
    let handle = streams.watch_collection("shop", "orders").group(group("a").partitions(3)).for_each(ok).await.unwrap();
    let refused = |result: millstream_watch::Result<Handle>| result.map(drop).unwrap_err().to_string();
    let text = refused(streams.watch_collection("shop", "orders").group(group("b").partitions(4)).for_each(ok).await);
    assert_eq!(text, "the group billing: it has 3 partitions, not 4, and keeps those");
    let text = refused(streams.watch_collection("shop", "items").group(group("b")).for_each(ok).await);
    assert!(text.contains("the group billing in teams.change_stream_groups"), "{text}");
    assert!(text.contains("another scope (collection shop.orders, this is collection shop.items)"), "{text}");
    let filtered = streams.watch_collection("shop", "orders").operations(["insert"]).group(group("b"));
    assert!(refused(filtered.for_each(ok).await).contains("another pipeline"));
    let kept = streams.watch_collection("shop", "orders").keep_position("shop", "x").group(group("b"));
    assert!(refused(kept.for_each(ok).await).contains("keeps the positions itself"));
    let compared = Settings { on_history_lost: OnHistoryLost::Resnapshot, ..Settings::default() };
    let compared = streams.watch_collection("shop", "orders").settings(compared).group(group("b"));
    assert!(refused(compared.for_each(ok).await).contains("not compare documents"));
    let unnamed = streams.watch_collection("shop", "orders").group(Group::new("a/b", "teams"));
    assert!(refused(unnamed.for_each(ok).await).contains("slash"));
    let broken = streams.watch_collection("shop", "orders").stage(doc! {"$out": "x"}).group(Group::new("c", "teams"));
    refused(broken.for_each(ok).await);
    assert!(GroupStatus::read(streams.connection(), "teams", "c").await.unwrap().is_none(), "founded on nothing");
    handle.stop();
    handle.join().await.unwrap();
}

/// A callback that does not end keeps its partition for as long as the group allows, and no longer. It is gone before the
/// event comes again at the other member.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_does_not_end_is_cancelled_when_its_partition_moves() {
    struct Gone(Arc<Mutex<Vec<String>>>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.lock().unwrap().push("cancelled".to_owned());
        }
    }
    let server = Server::memory();
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let orders = orders(streams.connection());
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let in_callback = Arc::clone(&told);
    let stuck = group("stuck").partitions(2).hand_over(Duration::from_millis(200));
    let watch = streams.watch_collection("shop", "orders").operations(["insert", "replace"]).settings(settings());
    let first = watch
        .group(stuck)
        .for_each(move |_: Event| {
            in_callback.lock().unwrap().push("begun".to_owned());
            let gone = Gone(Arc::clone(&in_callback));
            async move {
                let _gone = gone;
                std::future::pending::<Result<(), String>>().await
            }
        })
        .await
        .unwrap();
    until_shared(&streams, &[2]).await;
    // Both partitions get stuck at the first of theirs.
    orders.insert_many((0..8).map(|k| doc! {"_id": k, "n": 0})).await.unwrap();
    until("both stuck", || told.lock().unwrap().len() == 2).await;
    let handled = Handled::default();
    let second = join(&streams, group("quick"), "quick", &handled).await;
    until("an event at the other member", || !handled.lock().unwrap().is_empty()).await;
    assert_eq!(*told.lock().unwrap(), ["begun", "begun", "cancelled"]);
    let status = until_shared(&streams, &[1, 1]).await;
    assert_eq!(status.partitions.iter().map(|partition| partition.fence.epoch).sum::<i64>(), 3);
    // The first one goes without a word, and the second takes over what it had.
    first.abort();
    until("all", || handled.lock().unwrap().len() == 8).await;
    assert_eq!(told.lock().unwrap().len(), 4);
    until_shared(&streams, &[2]).await;
    second.stop();
    second.join().await.unwrap();
}

/// A group that was away for longer than the log reaches ends, or begins with the next change, as it was told to.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_lost_the_history_does_what_it_was_told() {
    let server = Server::with(&["--memory", "--oplog-bytes", "1MiB"]);
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let orders = orders(streams.connection());
    let handled = Handled::default();
    let a = join(&streams, group("a").partitions(8), "a", &handled).await;
    until_shared(&streams, &[8]).await;
    write(&orders, 0..1).await;
    until("the first", || handled.lock().unwrap().len() == 40).await;
    a.stop();
    a.join().await.unwrap();
    write(&orders, 1..2).await;
    let other = streams.connection().client().database("shop").collection::<Document>("other");
    for _ in 0..40 {
        other.insert_one(doc! {"padding": "x".repeat(1 << 20)}).await.unwrap();
    }
    let b = join(&streams, group("b"), "b", &handled).await;
    until("the end", || b.has_ended()).await;
    let error = b.join().await.unwrap_err();
    assert_eq!(error.problem_kind(), Some(ProblemKind::HistoryLost), "{error}");

    let on_history_lost = OnHistoryLost::StartNow;
    let mut members = Vec::new();
    for name in ["c", "d"] {
        let handled = Arc::clone(&handled);
        let watch = streams.watch_collection("shop", "orders").operations(["insert", "replace"]);
        let watch = watch.settings(Settings { on_history_lost, ..settings() }).group(group(name));
        let joined = watch.for_each_fenced(move |event: Event, fence: Fence| {
            handled.lock().unwrap().push((key(&event), version(&event), fence, name));
            async { Ok::<_, String>(()) }
        });
        members.push(joined.await.unwrap());
    }
    until_shared(&streams, &[4, 4]).await;
    // Whoever has a partition has come to its new beginning when it sees something.
    let mut n = 2;
    while members.iter().any(|member| member.stats().delivered == 0) {
        write(&orders, n..n + 1).await;
        n += 1;
    }
    write(&orders, n..n + 1).await;
    until("the last", || {
        let handled = handled.lock().unwrap();
        (0..40).all(|k| handled.iter().any(|(key, version, ..)| (*key, *version) == (k, n)))
    })
    .await;
    assert!(handled.lock().unwrap().iter().all(|(_, version, ..)| *version != 1), "that is lost");
    assert!(members.iter().any(|member| member.stats().histories_lost > 0));
    for member in members {
        member.stop();
        member.join().await.unwrap();
    }
}

/// What fails is put aside as without a group; a group that watches all databases leaves its own documents out; a drop is
/// seen by the owner of partition 0, and all go on behind it.
#[tokio::test(flavor = "multi_thread")]
async fn failures_drops_and_own_documents() {
    let server = Server::memory();
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let orders = orders(streams.connection());
    let letters = DeadLetters::new(streams.connection(), "letters", "dead", "billing");
    let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let mut members = Vec::new();
    for name in ["a", "b"] {
        let seen = Arc::clone(&seen);
        let settings =
            Settings { retries: 1, on_failure: OnFailure::GoOn, on_invalidate: OnInvalidate::StartAgain, ..settings() };
        let watch = streams.watch_cluster().operations(["insert", "drop"]).settings(settings);
        let watch = watch.dead_letters(letters.clone()).group(group(name).partitions(8));
        let joined = watch.for_each(move |event: Event| {
            seen.lock().unwrap().push((event.operation().to_owned(), event.namespace()));
            let fails = event.operation() == "insert" && event.namespace() == "shop.orders" && key(&event) == 3;
            async move { if fails { Err("three") } else { Ok(()) } }
        });
        members.push(joined.await.unwrap());
    }
    until_shared(&streams, &[4, 4]).await;
    orders.insert_many((0..6).map(|k| doc! {"_id": k})).await.unwrap();
    orders.drop().await.unwrap();
    // Six, one of them twice, and the drop. Neither the letter nor what the group writes.
    until("all", || seen.lock().unwrap().len() >= 8).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for one in seen.lock().unwrap().iter() {
        *counts.entry(one.clone()).or_default() += 1;
    }
    let expected = [("drop", "shop.orders", 1), ("insert", "shop.orders", 7)];
    let expected = expected.map(|(operation, name, count)| ((operation.to_owned(), name.to_owned()), count));
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(letters.list().await.unwrap().len(), 1);
    for member in members {
        member.stop();
        member.join().await.unwrap();
    }
    let kept = streams.connection().client().database("teams").collection::<Document>(GROUPS);
    assert_eq!(kept.count_documents(doc! {}).await.unwrap(), 9, "the group and its partitions");
}
