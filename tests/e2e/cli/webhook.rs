//! `millstream watch --webhook`: an HTTP request for each event.

use bson::doc;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::exec::by_key;
use super::watch::{settle, watch, write};
use crate::support::Server;
use crate::support::receiver::{Receiver, Request};
use crate::support::server::signal;

fn signed(request: &Request, secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{}.{}", request.header("millstream-timestamp"), request.body).as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

#[test]
fn requests_are_signed_and_can_be_told_apart() {
    let server = Server::memory();
    let receiver = Receiver::start(|_, _| "202 Accepted".into());
    let mut watch = watch(
        &server,
        &[
            "--db",
            "shop",
            "-c",
            "orders",
            "--envelope",
            "cloudevents",
            "--limit",
            "3",
            "--webhook",
            &receiver.url(),
            "--webhook-secret",
            "a secret",
            "--webhook-header",
            "Authorization: Bearer b",
        ],
    );
    settle(&mut watch);
    write(&mut server.connect(), "orders");
    assert!(watch.succeed().is_empty(), "nothing is printed");
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request.header("content-type"), "application/cloudevents+json");
        assert_eq!(request.header("authorization"), "Bearer b");
        assert_eq!(request.header("millstream-signature"), signed(request, "a secret"));
        assert_ne!(request.header("millstream-signature"), signed(request, "another"));
        assert_eq!(request.json()["id"], request.header("idempotency-key"));
    }
}

/// 503 and 429 pass, 400 does not.
#[test]
fn answers_decide_what_is_tried_again() {
    let server = Server::memory();
    let receiver = Receiver::start(|number, request| {
        match (request.json()["key"].as_i64(), number) {
            (Some(1), 0) => "503 Service Unavailable",
            (Some(1), 1) => "429 Too Many Requests\r\nRetry-After: 1",
            (Some(2), _) => "400 Bad Request",
            _ => "204 No Content",
        }
        .into()
    });
    let flags = ["--db", "shop", "--envelope", "simple", "--dead-letter", "unsent", "--webhook", &receiver.url()];
    let mut watch = watch(&server, &flags);
    settle(&mut watch);
    let mut connection = server.connect();
    for id in 1..=3 {
        connection.command("shop", doc! {"insert": "orders", "documents": [{"_id": id}]}).unwrap();
    }
    let requests = receiver.wait_for(5);
    let keys: Vec<_> = requests.iter().map(|request| request.json()["key"].as_i64().unwrap()).collect();
    assert_eq!(keys, [1, 1, 1, 2, 3]);
    assert_eq!(requests[0].header("idempotency-key"), requests[2].header("idempotency-key"));
    assert_eq!(requests[0].header("millstream-signature"), "", "there is no secret");
    signal(&watch.child, "-TERM");
    assert!(watch.finish().1.success());
    let reply = connection.command("shop", doc! {"find": "unsent"}).unwrap();
    let letters = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    let letter = letters[0].as_document().unwrap();
    assert_eq!((letters.len(), letter.get_i32("attempts").unwrap()), (1, 1));
    assert_eq!(letter.get_str("error").unwrap(), "the webhook answered 400 Bad Request");
}

/// The receiver goes away and comes back, and so does the watcher: nothing is lost, and every document's changes come in
/// their order.
#[test]
fn nothing_is_lost_while_the_receiver_is_away() {
    let server = Server::durable();
    let mut receiver = Receiver::start(|_, _| "200 OK".into());
    let url = receiver.url();
    let flags = [
        "--db",
        "shop",
        "-c",
        "orders",
        "--watcher",
        "hook",
        "--concurrency",
        "3",
        "--retries",
        "1000",
        "--webhook",
        &url,
    ];
    let mut connection = server.connect();
    let mut n = 0;
    let mut change = |rounds: i32| {
        for _ in 0..rounds {
            for key in 0..4 {
                let update = doc! {"q": {"_id": key}, "u": {"$set": {"n": n}}, "upsert": true};
                connection.command("shop", doc! {"update": "orders", "updates": [update]}).unwrap();
            }
            n += 1;
        }
    };
    let mut first = watch(&server, &flags);
    settle(&mut first);
    change(5);
    receiver.wait_for(5);
    receiver.go_away();
    change(5);
    // Asked to stop while it tries in vain, it stops, and what was not taken comes again.
    signal(&first.child, "-TERM");
    assert!(first.finish().1.success());
    change(5);
    let mut second = watch(&server, &flags);
    settle(&mut second);
    receiver.come_back();
    change(5);
    let is_last = |requests: &[Request]| {
        (0..4).all(|key| {
            let versions = by_key(requests.iter().map(Request::json));
            versions.get(&key).is_some_and(|versions| versions.last() == Some(&19))
        })
    };
    let requests = receiver.wait_until("the last versions", is_last);
    for (key, versions) in by_key(requests.iter().map(Request::json)) {
        // After a start what was taken last may come again; from there on everything does, in its order.
        let mut expected = 0;
        for version in &versions {
            assert!(*version <= expected, "document {key}: {version} came before {expected}: {versions:?}");
            expected = version + 1;
        }
        assert_eq!(expected, 20, "document {key}: {versions:?}");
    }
    signal(&second.child, "-INT");
    assert!(second.finish().1.success());
}
