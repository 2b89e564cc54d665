//! What a watch says about itself: numbers, hooks, and that it has stalled.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::doc;
use millstream_watch::{
    Connection, Error, Event, Hooks, OnFailure, OnHistoryLost, ProblemKind, Result, Settings, StartAt, Status, Token,
    Watch,
};

use super::{collection, key, lose_history, quick, source, until};
use crate::support::{Proxy, Server};

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn has(&self, what: &str) -> bool {
        self.0.lock().unwrap().iter().any(|told| told == what)
    }
}

impl Hooks for Told {
    fn came(&self, event: &Event) {
        self.note(format!("came {}", key(event)));
    }

    fn delivered(&self, event: &Event, _: Duration) {
        self.note(format!("delivered {}", key(event)));
    }

    fn failed(&self, event: &Event, error: &str, attempt: u32) {
        self.note(format!("failed {} {attempt}: {error}", key(event)));
    }

    fn given_up(&self, event: &Event, error: &str, attempts: u32) {
        self.note(format!("given up {} {attempts}: {error}", key(event)));
    }

    fn reconnected(&self) {
        self.note("reconnected");
    }

    fn history_lost(&self, _: &Error) {
        self.note("history lost");
    }

    fn saved(&self, _: &Token) {
        self.note("saved");
    }

    fn stalled(&self, _: Duration) {
        self.note("stalled");
    }

    fn ended(&self, end: &Result<()>) {
        self.note(format!("ended {}", end.is_ok()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_counts_and_tells_what_happens() {
    let mut server = Server::durable();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let told = Told::default();
    let handle = Watch::new(&connection, source("orders"))
        .named("mailer")
        .hooks(told.clone())
        .settings(quick(Settings { retries: 1, on_failure: OnFailure::GoOn, ..Settings::default() }))
        .for_each(|event: Event| async move { if key(&event) == 1 { Err("no") } else { Ok(()) } })
        .await
        .unwrap();
    assert_eq!((handle.stats().name.as_str(), handle.stats().status), ("mailer", Status::Running));
    orders.insert_many((0..3).map(|k| doc! {"_id": k})).await.unwrap();
    let at_the_end = || handle.stats().delivered == 2 && handle.stats().lag_events == Some(0);
    until("the end of the stream", at_the_end).await;
    let stats = handle.stats();
    assert_eq!((stats.delivered, stats.failures, stats.retries, stats.given_up), (2, 2, 1, 1));
    assert_eq!((stats.queued, stats.under_way, stats.lag_ms), (0, 0, 0));
    assert!(stats.per_second > 0.0);
    assert!(stats.token_age.unwrap() < Duration::from_secs(60), "{stats:?}");
    assert_eq!(stats.last_error.as_deref(), Some("no"));
    let all = told.0.lock().unwrap().iter().filter(|told| told.contains('1')).cloned().collect::<Vec<_>>();
    assert_eq!(all, ["came 1", "failed 1 1: no", "failed 1 2: no", "given up 1 2: no"]);
    assert!(told.has("delivered 2") && told.has("saved"));

    handle.pause();
    until("a pause", || handle.stats().status == Status::Paused).await;
    handle.resume();
    until("the end of it", || handle.stats().status == Status::Running).await;
    server.kill();
    until("a server that is looked for", || handle.stats().status == Status::Reconnecting).await;
    server.start_again();
    orders.insert_one(doc! {"_id": 3}).await.unwrap();
    until("the event after the restart", || told.has("delivered 3")).await;
    assert!(told.has("reconnected"));
    let stats = handle.stats();
    assert!(stats.errors > 0 && stats.reconnects > 0, "{stats:?}");
    handle.stop();
    until("the end", || handle.has_ended()).await;
    assert_eq!(handle.stats().status, Status::Ended);
    assert!(told.has("ended true"));
}

/// Work that lies there is lag, however short the queue is.
#[tokio::test(flavor = "multi_thread")]
async fn lag_is_the_age_of_what_is_not_dealt_with() {
    let server = Server::memory();
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = collection(&connection, "orders");
    let mut queue =
        Watch::new(&connection, source("orders")).settings(quick(Settings::default())).queue().await.unwrap();
    orders.insert_many((0..5).map(|k| doc! {"_id": k})).await.unwrap();
    queue.get().await.unwrap();
    until("all that is there", || queue.stats().lag_events == Some(5)).await;
    until("time", || queue.stats().lag_ms >= 50).await;
    assert_eq!((queue.stats().under_way, queue.stats().queued), (5, 4));
    queue.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_says_nothing_is_opened_again() {
    let server = Server::memory();
    let proxy = Proxy::to(server.address());
    let connection = Connection::new(&proxy.uri()).await.unwrap();
    let orders = collection(&Connection::new(&server.uri()).await.unwrap(), "orders");
    let told = Told::default();
    let mut watched = source("orders");
    watched.options.max_await = Duration::from_millis(100);
    let settings = quick(Settings { stalled_after: Some(Duration::from_millis(800)), ..Settings::default() });
    let mut queue = Watch::new(&connection, watched).hooks(told.clone()).settings(settings).queue().await.unwrap();
    orders.insert_one(doc! {"_id": 0}).await.unwrap();
    assert_eq!(queue.get().await.map(|event| key(&event)), Some(0));
    proxy.silence();
    orders.insert_one(doc! {"_id": 1}).await.unwrap();
    until("silence is noticed", || queue.stats().stalls > 0).await;
    assert_eq!(queue.get().await.map(|event| key(&event)), Some(1), "nothing is lost");
    assert!(told.has("stalled"));
    until("it goes on", || !queue.stats().stalled && queue.stats().status == Status::Running).await;
    queue.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_history_is_told() {
    let server = Server::with(&["--memory", "--oplog-bytes", "1MiB"]);
    let connection = Connection::new(&server.uri()).await.unwrap();
    lose_history(&connection).await;
    let told = Told::default();
    let long_ago = StartAt::Time(bson::Timestamp { time: 1, increment: 1 });
    let refused = Watch::new(&connection, source("orders")).start(long_ago.clone()).queue().await;
    assert_eq!(refused.map(drop).unwrap_err().problem_kind(), Some(ProblemKind::HistoryLost));
    let settings = quick(Settings { on_history_lost: OnHistoryLost::StartNow, ..Settings::default() });
    let queue = Watch::new(&connection, source("orders")).start(long_ago).hooks(told.clone()).settings(settings);
    let queue = queue.queue().await.unwrap();
    assert!(told.has("history lost"));
    assert_eq!(queue.stats().histories_lost, 1);
    queue.join().await.unwrap();
}
