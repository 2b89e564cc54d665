//! Webhooks (SQL-15.4, SQL-16.4): procedures that are delivered, functions that answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bson::{Bson, Document, doc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Lab, eventually};
use crate::support::receiver::{Receiver, Request};

/// A trigger that tells of every change of `orders`.
async fn telling(lab: &mut Lab, receiver: &Receiver, options: &str) {
    let url = receiver.url();
    lab.tag(&format!(
        "CREATE PROCEDURE tell(k any, n bigint) LANGUAGE WEBHOOK WITH (url = '{url}'{options});
         CREATE TRIGGER t ON orders FOR INSERT, UPDATE AS BEGIN CALL tell(NEW._id, NEW.n); END"
    ))
    .await;
}

async fn come(receiver: &Receiver, count: usize) -> Vec<Request> {
    eventually(&format!("{count} requests"), async || receiver.requests().len() >= count).await;
    receiver.requests()
}

async fn outbox_is_empty(lab: &Lab) {
    let outbox = lab.client.database("millstream").collection::<Document>("outbox");
    eventually("nothing waits", async || outbox.count_documents(doc! {}).await.unwrap() == 0).await;
}

fn told(request: &Request) -> (i64, i64) {
    let args = &request.json()["args"];
    (args["k"].as_i64().unwrap(), args["n"].as_i64().unwrap())
}

/// SQL-15.4, SQL-16.4: what is sent, after the commit, in order per document, signed.
#[tokio::test]
async fn calls_are_delivered_in_their_order() {
    let mut lab = Lab::with_mill().await;
    let receiver = Receiver::start(|_, _| "204 No Content".into());
    // Every process has this one, also where tests run.
    let secret = std::env::var("PATH").unwrap();
    telling(&mut lab, &receiver, r#", secret = '${PATH}', headers = '{"x-team": "mill"}'"#).await;
    let orders = lab.collection("orders");
    for n in 0..5_i64 {
        for key in 0..4 {
            let change = doc! {"$set": {"n": n}};
            orders.update_one(doc! {"_id": key}, change).upsert(true).await.unwrap();
        }
    }
    let requests = come(&receiver, 20).await;
    for key in 0..4 {
        let of_key: Vec<i64> = requests.iter().map(told).filter(|(k, _)| *k == key).map(|(_, n)| n).collect();
        assert_eq!(of_key, [0, 1, 2, 3, 4]);
    }
    for request in &requests {
        let body = request.json();
        assert_eq!((body["routine"].as_str(), body["attempt"].as_i64()), (Some("tell"), Some(1)));
        assert_eq!(body["key"], request.header("idempotency-key"));
        assert_eq!((request.header("content-type"), request.header("x-team")), ("application/json", "mill"));
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{}.{}", request.header("millstream-timestamp"), request.body).as_bytes());
        let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(request.header("millstream-signature"), format!("sha256={digits}"));
    }
    outbox_is_empty(&lab).await;
    assert_eq!(receiver.requests().len(), 20);
    // What is stored and shown is not filled.
    let shown = lab.rows("SHOW CREATE PROCEDURE tell").await;
    assert!(shown[0].get_str("sql").unwrap().contains("${PATH}"), "{shown:?}");
}

/// SQL-16.4, SQL-18.6: 503 and 429 pass, 400 is a dead letter, which can be tried again.
#[tokio::test]
async fn answers_decide_what_becomes_of_a_call() {
    let mut lab = Lab::with_mill().await;
    let refuses = Arc::new(AtomicBool::new(true));
    let refusing = Arc::clone(&refuses);
    let receiver = Receiver::start(move |number, request| {
        match (told(request).0, number) {
            (1, 0) => "503 Service Unavailable",
            (2, _) if refusing.load(Ordering::SeqCst) => "400 Bad Request",
            _ => "200 OK",
        }
        .into()
    });
    telling(&mut lab, &receiver, "").await;
    let orders = lab.collection("orders");
    orders.insert_one(doc! {"_id": 1, "n": 7_i64}).await.unwrap();
    let requests = come(&receiver, 2).await;
    assert_eq!(requests[0].json()["key"], requests[1].json()["key"]);
    assert_eq!((requests[0].json()["attempt"].as_i64(), requests[1].json()["attempt"].as_i64()), (Some(1), Some(2)));
    orders.insert_one(doc! {"_id": 2, "n": 8_i64}).await.unwrap();
    eventually("a dead letter", async || !lab.rows("SHOW DEAD LETTERS").await.is_empty()).await;
    let letter = &lab.rows("SHOW DEAD LETTERS").await[0];
    assert_eq!(
        (letter.get_str("name").unwrap(), letter.get_str("sqlstate").unwrap()),
        ("shop.procedure.tell", "58030")
    );
    assert!(letter.get_str("message").unwrap().contains("400"), "{letter}");
    refuses.store(false, Ordering::SeqCst);
    assert_eq!(lab.tag("RETRY DEAD LETTERS FOR PROCEDURE tell").await, "RETRY 1");
    let requests = come(&receiver, 4).await;
    assert_eq!(requests[2].json()["key"], requests[3].json()["key"]);
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
    outbox_is_empty(&lab).await;
}

/// SQL-15.4: whatever ends in between, every call arrives, and in its order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost() {
    let mut lab = Lab::with_mill().await;
    let mut receiver = Receiver::start(|_, _| "200 OK".into());
    telling(&mut lab, &receiver, ", retries = 1000, timeout = INTERVAL '2 seconds'").await;
    let orders = lab.collection("orders");
    for n in 0..8_i64 {
        if n == 2 {
            receiver.go_away();
        }
        for key in 0..10 {
            orders.update_one(doc! {"_id": key}, doc! {"$set": {"n": n}}).upsert(true).await.unwrap();
        }
        if n == 5 {
            receiver.come_back();
        }
        lab.drop_mill();
        lab.start_mill().await;
    }
    lab.settle().await;
    outbox_is_empty(&lab).await;
    let requests = receiver.requests();
    for key in 0..10 {
        let mut of_key: Vec<i64> = requests.iter().map(told).filter(|(k, _)| *k == key).map(|(_, n)| n).collect();
        assert!(of_key.is_sorted(), "{of_key:?}");
        of_key.dedup();
        assert_eq!(of_key, [0, 1, 2, 3, 4, 5, 6, 7]);
    }
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
}

/// SQL-16.4: outside of triggers a call is made at once, and its failure is that of the statement.
#[tokio::test]
async fn a_call_of_ones_own_is_direct() {
    let mut lab = Lab::new().await;
    let receiver = Receiver::start(|_, request| match told(request).0 {
        1 => "200 OK".into(),
        _ => "404 Not Found".into(),
    });
    let url = receiver.url();
    lab.tag(&format!("CREATE PROCEDURE tell(k any, n bigint) LANGUAGE WEBHOOK WITH (url = '{url}')")).await;
    assert_eq!(lab.tag("CALL tell(1, 2)").await, "CALL");
    assert_eq!(told(&receiver.requests()[0]), (1, 2));
    assert_eq!(lab.fails("CALL tell(2, 2)").await, "58030");
    lab.tag(
        "CREATE PROCEDURE both(k any) LANGUAGE SQL AS BEGIN
           INSERT INTO calls (_id) VALUES (k);
           CALL tell(k, 0);
         END",
    )
    .await;
    assert_eq!(lab.fails("CALL both(2)").await, "58030");
    assert_eq!(lab.tag("CALL both(1)").await, "CALL");
    assert_eq!(lab.documents("calls").await, [doc! {"_id": 1}]);
}

/// SQL-16.4, SQL-14.7: functions answer in queries that end, and in triggers.
#[tokio::test]
async fn functions_answer_at_once() {
    let mut lab = Lab::with_mill().await;
    let receiver = Receiver::start(|_, request| match request.json()["args"]["city"].as_str() {
        Some("Rome") => "200 OK\r\n\r\n\"12\"".into(),
        Some("Oslo") => "200 OK\r\n\r\n7".into(),
        Some("Bonn") => "200 OK\r\n\r\nsoon".into(),
        _ => "500 Internal Server Error".into(),
    });
    let url = receiver.url();
    lab.tag(&format!(
        "CREATE FUNCTION cost(city text) RETURNS bigint LANGUAGE WEBHOOK WITH (url = '{url}');
         INSERT INTO places (_id) VALUES ('Oslo'), ('Rome')"
    ))
    .await;
    let rows = lab.rows("SELECT _id, cost(_id) AS c FROM places ORDER BY _id").await;
    assert_eq!(rows, [doc! {"_id": "Oslo", "c": 7_i64}, doc! {"_id": "Rome", "c": 12_i64}]);
    assert_eq!(lab.fails("SELECT cost('Bonn')").await, "58030");
    assert_eq!(lab.fails("SELECT cost('Paris')").await, "58030");
    let view = "CREATE MATERIALIZED VIEW v AS SELECT _id, cost(_id) AS c FROM places";
    assert_eq!(lab.fails(view).await, "0A000");
    lab.tag(
        "CREATE TRIGGER priced ON parcels FOR INSERT AS BEGIN
           UPDATE parcels SET cost = cost(NEW.city) WHERE _id = NEW._id;
         END",
    )
    .await;
    lab.collection("parcels").insert_one(doc! {"_id": 1, "city": "Rome"}).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.documents("parcels").await, [doc! {"_id": 1, "city": "Rome", "cost": 12_i64}]);
}

/// SQL-16.4, SQL-17.1: what cannot be called, or would be shown, is refused.
#[tokio::test]
async fn webhooks_are_checked_when_they_are_created() {
    let mut lab = Lab::new().await;
    let create = |options: &str| format!("CREATE PROCEDURE p(a any) LANGUAGE WEBHOOK WITH ({options})");
    for wrong in
        ["method = 'POST'", "url = 'nowhere'", "url = 'http://a/', secret = 'open'", "url = 'http://a/', x = 1"]
    {
        assert_eq!(lab.fails(&create(wrong)).await, "22023", "{wrong}");
    }
    assert_eq!(lab.fails("CALL p(1)").await, "42883");
    lab.tag(&create("url = 'http://${NO_SUCH_VARIABLE}/', retries = 0")).await;
    let error = lab.answer("CALL p(1)").await.unwrap_err();
    assert_eq!(error.state.0, "58030");
    assert!(error.message.contains("NO_SUCH_VARIABLE"), "{error}");
    let stored = lab.client.database("millstream").collection::<Document>("definitions");
    let stored = stored.find_one(doc! {"_id": "shop.procedure.p"}).await.unwrap().unwrap();
    assert_ne!(stored.get("sql"), Some(&Bson::Null));
}
