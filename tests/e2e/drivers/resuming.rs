//! The Rust driver resumes by itself: from what happens, and from errors that a fail point makes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::{Document, doc};
use futures::StreamExt;
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ChangeStreamEvent;
use mongodb::error::Error;
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection};

use super::code;
use crate::support::{Proxy, Server};

type Events = ChangeStream<ChangeStreamEvent<Document>>;

/// How long an event may take; far above what it needs.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A client that notes the names of its commands.
struct Observed {
    orders: Collection<Document>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl Observed {
    async fn of(uri: &str) -> Self {
        let commands = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&commands);
        let mut options = ClientOptions::parse(uri).await.unwrap();
        options.command_event_handler = Some(EventHandler::callback(move |event| {
            if let CommandEvent::Started(started) = event {
                noted.lock().unwrap().push(started.command_name);
            }
        }));
        let client = Client::with_options(options).unwrap();
        Self { orders: client.database("shop").collection("orders"), commands }
    }

    /// How often a stream was opened, or tried to be.
    fn opened(&self) -> usize {
        self.commands.lock().unwrap().iter().filter(|name| *name == "aggregate").count()
    }

    async fn insert(&self, ids: std::ops::Range<i32>) {
        self.orders.insert_many(ids.map(|id| doc! {"_id": id})).await.unwrap();
    }

    async fn fail(&self, mode: Document, data: Document) {
        let admin = self.orders.client().database("admin");
        admin.run_command(doc! {"configureFailPoint": "failCommand", "mode": mode, "data": data}).await.unwrap();
    }
}

/// CS-8.4.4, CS-13.29.
#[tokio::test(flavor = "multi_thread")]
async fn it_resumes_whatever_ends_its_stream() {
    let mut server = Server::durable();
    let proxy = Proxy::to(server.address());
    let client = Observed::of(&proxy.uri()).await;
    let mut stream = client.orders.watch().await.unwrap();
    assert!(stream.next_if_any().await.unwrap().is_none());
    client.insert(0..50).await;
    assert_eq!(take(&mut stream, 10).await, (0..10).collect::<Vec<_>>());
    proxy.cut();
    assert_eq!(take(&mut stream, 40).await, (10..50).collect::<Vec<_>>());

    let killed = server.connect().command("admin", doc! {"killAllSessions": []}).unwrap();
    assert_eq!(killed.get_f64("ok").ok(), Some(1.0), "{killed}");
    client.insert(50..60).await;
    assert_eq!(take(&mut stream, 10).await, (50..60).collect::<Vec<_>>());

    client.insert(60..70).await;
    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
    server.start_again();
    assert_eq!(take(&mut stream, 5).await, (60..65).collect::<Vec<_>>());
    server.kill();
    server.start_again();
    client.insert(70..80).await;
    assert_eq!(take(&mut stream, 15).await, (65..80).collect::<Vec<_>>());
    assert!(client.opened() >= 4, "{} streams were opened", client.opened());
}

/// A server whose commands can be made to fail.
fn failing() -> Server {
    Server::with(&["--memory", "--test-commands"])
}

/// CS-5.10.2, CS-5.10.3 and CS-13.27: the label decides, whatever the code; without it only a lost cursor is resumed from.
#[tokio::test(flavor = "multi_thread")]
async fn a_getmore_that_failed_is_resumed_from_if_its_label_says_so() {
    let server = failing();
    let client = Observed::of(&server.uri()).await;
    let label = "ResumableChangeStreamError";
    let cases = [
        // A label that the test gives, whatever the code.
        (doc! {"errorCode": 2, "errorLabels": [label]}, true),
        // Labels that the server gives by itself.
        (doc! {"errorCode": 6}, true),
        (doc! {"errorCode": 402}, true),
        (doc! {"errorCode": 11600}, true),
        (doc! {"errorCode": 43}, true),
        (doc! {"closeConnection": true}, true),
        // A code that is usually labelled, without its label.
        (doc! {"errorCode": 6, "errorLabels": []}, false),
        (doc! {"errorCode": 136}, false),
        (doc! {"errorCode": 237}, false),
        (doc! {"errorCode": 280}, false),
    ];
    for (at, (mut data, resumes)) in (0..).zip(cases) {
        let mut stream = client.orders.watch().await.unwrap();
        let before = client.opened();
        data.insert("failCommands", ["getMore"].as_slice());
        client.fail(doc! {"times": 1}, data.clone()).await;
        client.orders.insert_one(doc! {"_id": at}).await.unwrap();
        let next = tokio::time::timeout(WAIT_MAX, stream.next()).await.expect("in time").expect("an event or an error");
        match next {
            Ok(event) => {
                assert!(resumes, "{data}: it went on");
                assert_eq!(event.document_key, Some(doc! {"_id": at}), "{data}");
                assert_eq!(client.opened(), before + 1, "{data}");
            }
            Err(error) => {
                assert!(!resumes, "{data}: {error}");
                assert_eq!(code(&error), data.get_i32("errorCode").unwrap(), "{error}");
                assert_eq!(client.opened(), before, "{data}: no second stream");
            }
        }
        client.fail(doc! {"times": 0}, doc! {}).await;
    }
}

/// CS-5.10.1, CS-13.30: opening is a read that is tried once more, and the cursor of the first try is left behind.
#[tokio::test(flavor = "multi_thread")]
async fn an_aggregate_that_failed_is_tried_once_more() {
    let server = failing();
    let client = Observed::of(&server.uri()).await;
    let once = |data: Document| {
        let mut data = data;
        data.insert("failCommands", ["aggregate"].as_slice());
        data
    };
    for data in [doc! {"closeConnection": true}, doc! {"errorCode": 91}] {
        let before = client.opened();
        client.fail(doc! {"times": 1}, once(data.clone())).await;
        client.orders.watch().await.unwrap_or_else(|error| panic!("{data}: {error}"));
        assert_eq!(client.opened(), before + 2, "{data}");
    }
    let before = client.opened();
    client.fail(doc! {"times": 2}, once(doc! {"closeConnection": true})).await;
    let error: Result<Events, Error> = client.orders.watch().await;
    assert!(error.is_err(), "twice is too much");
    client.fail(doc! {"times": 1}, once(doc! {"errorCode": 2})).await;
    let error = client.orders.watch().await.expect_err("an error that stays");
    assert_eq!(code(&error), 2, "{error}");
    assert_eq!(client.opened(), before + 3);
}

/// CS-13.9.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_connection_breaks_is_done_once() {
    let server = failing();
    let client = Observed::of(&server.uri()).await;
    let mut stream = client.orders.watch().await.unwrap();
    for (id, data) in (0..).zip([doc! {"closeConnection": true}, doc! {"errorCode": 10107}]) {
        let mut data = data;
        data.insert("failCommands", ["insert"].as_slice());
        client.fail(doc! {"times": 1}, data).await;
        client.orders.insert_one(doc! {"_id": id}).await.unwrap();
    }
    assert_eq!(take(&mut stream, 2).await, [0, 1]);
    let inserts = client.commands.lock().unwrap().iter().filter(|name| *name == "insert").count();
    assert_eq!(inserts, 4);
}

/// CS-13.27: an ordinary server has nothing of it.
#[tokio::test]
async fn fail_points_are_for_tests_only() {
    let (_server, client) = super::fresh().await;
    let command = doc! {"configureFailPoint": "failCommand", "mode": "off"};
    let error = client.database("admin").run_command(command).await.unwrap_err();
    assert_eq!(code(&error), 59, "{error}");
}

async fn take(stream: &mut Events, count: usize) -> Vec<i32> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let next = tokio::time::timeout(WAIT_MAX, stream.next()).await;
        let next = next.unwrap_or_else(|_| panic!("{ids:?} of {count} came"));
        let event = next.expect("the stream is open").expect("an event");
        ids.push(event.document_key.unwrap().get_i32("_id").unwrap());
    }
    ids
}
