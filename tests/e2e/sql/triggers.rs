//! Triggers (SQL-15), functions and procedures (SQL-16).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bson::{Bson, Document, doc};
use millstream_mill::Natives;

use super::Lab;
use crate::support::receiver::Receiver;

/// What a test compares of documents whose `_id`s are made.
fn without_ids(mut rows: Vec<Document>) -> Vec<Document> {
    for row in &mut rows {
        row.remove("_id");
    }
    rows
}

/// E-1: the first reference statement (SQL-23.1, SQL-15.2, SQL-15.4, SQL-15.7, SQL-16.4)
#[tokio::test]
async fn an_order_goes_its_way() {
    let mut lab = Lab::with_mill().await;
    let receiver = Receiver::start(|_, _| "200 OK".into());
    let inventory = [
        doc! {"_id": 1, "product_id": "p1", "reserved_quantity": 0},
        doc! {"_id": 2, "product_id": "p2", "reserved_quantity": 5},
    ];
    lab.collection("inventory").insert_many(inventory).await.unwrap();
    let items = [
        doc! {"_id": 1, "order_id": "o1", "product_id": "p1", "quantity": 2},
        doc! {"_id": 2, "order_id": "o1", "product_id": "p2", "quantity": 1},
    ];
    lab.collection("order_items").insert_many(items).await.unwrap();
    lab.tag("CREATE FUNCTION generate_tracking_number() RETURNS text LANGUAGE SQL AS $$ SELECT 'TRK-1' $$").await;
    lab.tag(&format!(
        "CREATE PROCEDURE notify_customer(customer any, event text, ref any) LANGUAGE WEBHOOK WITH (url = '{}')",
        receiver.url()
    ))
    .await;
    let trigger = "
        CREATE TRIGGER orders_realtime_trigger ON orders FOR INSERT, UPDATE, DELETE AS BEGIN
          IF TRIGGER_ACTION = 'INSERT' AND NEW.status = 'pending' THEN
            INSERT INTO order_processing_queue (order_id, priority, created_at)
              VALUES (NEW.order_id, 'high', CURRENT_TIMESTAMP);
            UPDATE inventory SET reserved_quantity = reserved_quantity + oi.quantity FROM order_items oi
              WHERE inventory.product_id = oi.product_id AND oi.order_id = NEW.order_id;
          ELSIF TRIGGER_ACTION = 'UPDATE' AND OLD.status != NEW.status THEN
            INSERT INTO order_status_history (order_id, old_status, new_status, changed_at)
              VALUES (NEW.order_id, OLD.status, NEW.status, CURRENT_TIMESTAMP);
            IF NEW.status = 'shipped' THEN
              UPDATE orders SET tracking_number = GENERATE_TRACKING_NUMBER() WHERE order_id = NEW.order_id;
              CALL NOTIFY_CUSTOMER(NEW.customer_id, 'order_shipped', NEW.order_id);
            END IF;
          ELSIF TRIGGER_ACTION = 'DELETE' THEN
            UPDATE inventory SET reserved_quantity = reserved_quantity - oi.quantity FROM order_items oi
              WHERE inventory.product_id = oi.product_id AND oi.order_id = OLD.order_id;
          END IF;
        END";
    lab.tag(trigger).await;
    let reserved = async |lab: &Lab| -> Vec<i32> {
        let rows = lab.documents("inventory").await;
        rows.iter().map(|row| row.get_i32("reserved_quantity").unwrap()).collect()
    };
    let orders = lab.collection("orders");
    let first = doc! {"_id": 1, "order_id": "o1", "customer_id": "c1", "status": "pending"};
    orders.insert_one(first).await.unwrap();
    lab.settle().await;
    let queue = lab.documents("order_processing_queue").await;
    assert_eq!(queue.len(), 1);
    assert_eq!((queue[0].get_str("order_id").unwrap(), queue[0].get_str("priority").unwrap()), ("o1", "high"));
    assert_eq!(reserved(&lab).await, [2, 6]);

    orders.update_one(doc! {"_id": 1}, doc! {"$set": {"status": "shipped"}}).await.unwrap();
    lab.settle().await;
    let history = lab.documents("order_status_history").await;
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].get_str("new_status").unwrap(), "shipped");
    assert_eq!(lab.documents("orders").await[0].get_str("tracking_number").unwrap(), "TRK-1");
    super::eventually("the customer is told", async || !receiver.requests().is_empty()).await;
    let told = receiver.requests()[0].json();
    assert_eq!(told["args"].to_string(), r#"{"customer":"c1","event":"order_shipped","ref":"o1"}"#);

    let quiet = [doc! {"$set": {"note": "x"}}, doc! {"$unset": {"status": 1}}, doc! {"$set": {"status": "shipped"}}];
    for update in quiet {
        orders.update_one(doc! {"_id": 1}, update).await.unwrap();
    }
    orders.insert_one(doc! {"_id": 2, "order_id": "o2", "status": "draft"}).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.documents("order_status_history").await.len(), 1);
    assert_eq!(lab.documents("order_processing_queue").await.len(), 1);
    orders.delete_one(doc! {"_id": 1}).await.unwrap();
    lab.settle().await;
    assert_eq!(reserved(&lab).await, [0, 5]);
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
}

/// E-21: a change that fails is put aside, and tried again when it is asked for (SQL-15.8, SQL-18.6)
#[tokio::test]
async fn changes_that_fail_are_put_aside() {
    let mut lab = Lab::with_mill().await;
    let trigger = |value: &str| {
        format!(
            "CREATE OR REPLACE TRIGGER h ON nums FOR INSERT WITH (retries = 1) AS BEGIN
               INSERT INTO halves (_id, v) VALUES (NEW._id, {value});
             END"
        )
    };
    lab.tag(&trigger("100 / NEW.n")).await;
    let nums = [doc! {"_id": 1, "n": 4}, doc! {"_id": 2, "n": 0}, doc! {"_id": 3, "n": 5}];
    lab.collection("nums").insert_many(nums).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.documents("halves").await, [doc! {"_id": 1, "v": 25}, doc! {"_id": 3, "v": 20}]);
    let letters = lab.rows("SHOW DEAD LETTERS").await;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].get_str("sqlstate").unwrap(), letters[0].get_i32("attempts").unwrap()), ("22012", 2));
    lab.tag(&trigger("CASE WHEN NEW.n = 0 THEN NULL ELSE 100 / NEW.n END")).await;
    assert_eq!(lab.tag("RETRY DEAD LETTERS FOR TRIGGER h WHERE document_key._id = 1").await, "RETRY 0");
    assert_eq!(lab.tag("RETRY DEAD LETTERS FOR TRIGGER h WHERE error.sqlstate = '22012'").await, "RETRY 1");
    lab.settle().await;
    let halves = lab.documents("halves").await;
    assert_eq!(halves, [doc! {"_id": 1, "v": 25}, doc! {"_id": 2, "v": Bson::Null}, doc! {"_id": 3, "v": 20}]);
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
}

/// E-21: loops end (SQL-15.7)
#[tokio::test]
async fn a_trigger_that_fires_itself_ends() {
    let mut lab = Lab::with_mill().await;
    let trigger = |recursive: bool| {
        format!(
            "CREATE TRIGGER b ON docs FOR INSERT, UPDATE WITH (recursive = {recursive}, max_depth = 3, retries = 0) AS BEGIN
               UPDATE docs SET n = COALESCE(n, 0) + 1 WHERE _id = NEW._id;
             END"
        )
    };
    for (recursive, n, letters) in [(true, 3, 1), (false, 1, 0)] {
        lab.tag(&trigger(recursive)).await;
        lab.collection("docs").insert_one(doc! {"_id": n}).await.unwrap();
        let docs = lab.collection("docs");
        super::eventually("it has counted", async || {
            docs.find_one(doc! {"_id": n}).await.unwrap().unwrap().get_i32("n").ok() == Some(n)
        })
        .await;
        for _ in 0..4 {
            lab.settle().await;
        }
        assert_eq!(lab.collection("docs").find_one(doc! {"_id": n}).await.unwrap().unwrap(), doc! {"_id": n, "n": n});
        let found = lab.rows("SHOW DEAD LETTERS").await;
        assert_eq!(found.len(), letters, "{found:?}");
        lab.tag("DROP TRIGGER b").await;
    }
}

/// SQL-15.3: whoever is killed and when, each change has its effect once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_happen_exactly_once() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "INSERT INTO totals (_id, n) VALUES ('all', 0);
         CREATE TRIGGER count ON orders FOR INSERT WITH (batch = 7) AS BEGIN
           INSERT INTO audit (order_id) VALUES (NEW._id);
           UPDATE totals SET n = n + 1 WHERE _id = 'all';
         END",
    )
    .await;
    let orders = lab.collection("orders");
    for round in 0..8 {
        orders.insert_many((0..20).map(|n| doc! {"_id": round * 20 + n})).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(30 * u64::try_from(round).unwrap())).await;
        lab.drop_mill();
        lab.start_mill().await;
    }
    lab.settle().await;
    let mut seen: Vec<i32> = lab.documents("audit").await.iter().map(|row| row.get_i32("order_id").unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..160).collect::<Vec<_>>());
    assert_eq!(lab.documents("totals").await, [doc! {"_id": "all", "n": 160}]);
}

/// SQL-15.1, SQL-15.2: events, WHEN, variables, loops, RAISE.
#[tokio::test]
async fn bodies_compute() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "CREATE TRIGGER sums AFTER INSERT OR UPDATE OF n ON t FOR EACH ROW WHEN (NEW.n > 0) WITH (retries = 0) AS
         DECLARE total bigint := 0; label text;
         BEGIN
           FOR r IN SELECT n FROM t WHERE n <= NEW.n ORDER BY n LOOP
             total := total + r.n;
           END LOOP;
           SELECT name INTO label FROM labels WHERE _id = NEW.n;
           IF total > 100 THEN RAISE EXCEPTION 'too much: %', total; END IF;
           INSERT INTO log (t, total, label, op, known) VALUES (NEW._id, total, label, TRIGGER_ACTION, CHANGED(n));
           RETURN;
           INSERT INTO log (t) VALUES ('never');
         END",
    )
    .await;
    lab.collection("labels").insert_one(doc! {"_id": 2, "name": "two"}).await.unwrap();
    let t = lab.collection("t");
    t.insert_one(doc! {"_id": 1, "n": 2}).await.unwrap();
    lab.settle().await;
    t.insert_one(doc! {"_id": 2, "n": -1}).await.unwrap();
    t.update_one(doc! {"_id": 1}, doc! {"$set": {"other": 1}}).await.unwrap();
    t.update_one(doc! {"_id": 1}, doc! {"$set": {"n": 3}}).await.unwrap();
    lab.settle().await;
    t.insert_one(doc! {"_id": 3, "n": 200}).await.unwrap();
    lab.settle().await;
    let expected = [
        doc! {"t": 1, "total": 2_i64, "label": "two", "op": "INSERT", "known": true},
        doc! {"t": 1, "total": 2_i64, "label": Bson::Null, "op": "UPDATE", "known": true},
    ];
    let mut log = without_ids(lab.documents("log").await);
    assert_eq!(log.len(), 2, "{log:?}");
    log[0].remove("total");
    log[1].remove("total");
    let expected: Vec<Document> = expected
        .into_iter()
        .map(|mut row| {
            row.remove("total");
            row
        })
        .collect();
    assert_eq!(log, expected);
    let letters = lab.rows("SHOW DEAD LETTERS").await;
    assert_eq!(letters[0].get_str("sqlstate").unwrap(), "P0001");
    assert!(letters[0].get_str("message").unwrap().starts_with("too much: "), "{letters:?}");
}

/// SQL-15.10, SQL-16: what is unknown is refused when it is created.
#[tokio::test]
async fn bodies_are_checked_when_they_are_created() {
    let mut lab = Lab::new().await;
    let body = |statement: &str| format!("CREATE TRIGGER x ON t FOR INSERT AS BEGIN {statement} END");
    assert_eq!(lab.fails(&body("CALL no_such(1);")).await, "42883");
    assert_eq!(lab.fails(&body("nothing := 1;")).await, "42703");
    assert_eq!(lab.fails(&body("INSERT INTO u (a) VALUES (no_function(1));")).await, "42883");
    assert_eq!(lab.fails("CALL no_such(1)").await, "42883");
    assert_eq!(lab.fails("CREATE TRIGGER x ON t FOR INSERT WITH (colour = 'red') AS BEGIN RETURN; END").await, "22023");
    assert!(lab.rows("SHOW TRIGGERS").await.is_empty());
}

/// SQL-16.1, SQL-16.2
#[tokio::test]
async fn routines_are_called() {
    let mut lab = Lab::new().await;
    lab.tag("CREATE FUNCTION twice(x bigint) RETURNS bigint LANGUAGE SQL IMMUTABLE AS 'SELECT x * 2'").await;
    assert_eq!(lab.rows("SELECT twice(21) AS n").await, [doc! {"n": 42_i64}]);
    lab.tag(
        "CREATE PROCEDURE book(account text, amount bigint) LANGUAGE SQL AS BEGIN
           UPDATE accounts SET money = money + amount WHERE _id = account;
           INSERT INTO bookings (account, amount) VALUES (account, amount);
         END",
    )
    .await;
    lab.tag("INSERT INTO accounts (_id, money) VALUES ('a', 5)").await;
    assert_eq!(lab.tag("CALL book('a', 7)").await, "CALL");
    assert_eq!(lab.rows("SELECT money FROM accounts").await, [doc! {"money": 12_i64}]);
    assert_eq!(without_ids(lab.documents("bookings").await), [doc! {"account": "a", "amount": 7_i64}]);
    assert_eq!(lab.fails("CREATE FUNCTION twice(x bigint) RETURNS bigint LANGUAGE SQL AS 'SELECT x'").await, "42723");
    lab.tag("CREATE VIEW v AS SELECT twice(1) AS two").await;
    assert_eq!(lab.fails("DROP FUNCTION twice").await, "2BP01");
}

/// SQL-15.5: what no transaction can take back is refused, unless repeating is accepted; then repeating is harmless.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_may_be_at_least_once() {
    let mut lab = Lab::new().await;
    let called = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&called);
    lab.register(Natives::new().outside_procedure("outside", move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    }));
    lab.start_mill().await;
    lab.tag("CREATE PROCEDURE tell() LANGUAGE NATIVE AS 'outside'").await;
    let trigger = |options: &str, more: &str| {
        format!(
            "CREATE TRIGGER t ON orders FOR INSERT {options} AS BEGIN
               INSERT INTO audit (order_id) VALUES (NEW._id);
               INSERT INTO copies (_id, n) VALUES (NEW._id, 1);
               CALL tell(); {more}
             END"
        )
    };
    assert_eq!(lab.fails(&trigger("", "")).await, "0A000");
    let own = trigger("WITH (guarantee = 'at_least_once')", "INSERT INTO orders (_id) VALUES (1);");
    assert_eq!(lab.fails(&own).await, "42P16");
    lab.tag(&trigger("WITH (guarantee = 'at_least_once')", "")).await;
    let rows = lab.rows("SHOW TRIGGERS").await;
    assert_eq!(rows[0].get_str("guarantee").unwrap(), "at_least_once");
    let orders = lab.collection("orders");
    for round in 0..4 {
        orders.insert_many((0..20).map(|n| doc! {"_id": round * 20 + n})).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        lab.drop_mill();
        lab.start_mill().await;
    }
    lab.settle().await;
    let mut seen: Vec<i32> = lab.documents("audit").await.iter().map(|row| row.get_i32("order_id").unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..80).collect::<Vec<_>>(), "inserts have the same _id each time");
    assert_eq!(lab.documents("copies").await.len(), 80);
    assert!(called.load(Ordering::SeqCst) >= 80);
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
}

/// SQL-15.9: the documents that are there come first, each once, whoever is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_starts_with_a_snapshot() {
    let mut lab = Lab::new().await;
    let orders = lab.collection("orders");
    orders.insert_many((0..200).map(|n| doc! {"_id": n, "n": 0})).await.unwrap();
    lab.tag(
        "CREATE TRIGGER t ON orders FOR INSERT, UPDATE WITH (start = 'snapshot', batch = 9) AS BEGIN
           INSERT INTO audit (order_id, op, n) VALUES (NEW._id, TRIGGER_ACTION, NEW.n);
         END",
    )
    .await;
    for round in 1..=4 {
        lab.start_mill().await;
        orders.update_many(doc! {"_id": {"$in": [3, 150]}}, doc! {"$set": {"n": round}}).await.unwrap();
        orders.insert_one(doc! {"_id": 1_000 - round, "n": 0}).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        lab.drop_mill();
    }
    lab.start_mill().await;
    orders.update_one(doc! {"_id": 7}, doc! {"$set": {"n": 9}}).await.unwrap();
    lab.settle().await;
    let audit = lab.documents("audit").await;
    let of = |id: i32, op: &str| -> Vec<i32> {
        let of = |row: &&Document| row.get_i32("order_id").unwrap() == id && row.get_str("op").unwrap() == op;
        let rows = audit.iter().filter(of);
        rows.map(|row| row.get_i32("n").unwrap()).collect()
    };
    let not_once: Vec<_> = (0..200).chain(996..1_000).filter(|id| of(*id, "INSERT").len() != 1).collect();
    assert!(not_once.is_empty(), "{not_once:?}");
    // On a busy machine the snapshot may be as late as the last mill.
    let seven: Vec<i32> = of(7, "INSERT").into_iter().chain(of(7, "UPDATE")).collect();
    assert!(seven == [9] || seven == [0, 9], "{seven:?}");
    // Whatever of the updates was in the snapshot does not come again, and the others come.
    for id in [3, 150] {
        let all: Vec<i32> = of(id, "INSERT").into_iter().chain(of(id, "UPDATE")).collect();
        assert!(all.windows(2).all(|pair| pair[1] == pair[0] + 1) && all.last() == Some(&4), "{id}: {all:?}");
    }
}

/// SQL-12.6: without images documents are looked up; of the one before the key is known.
#[tokio::test]
async fn documents_are_looked_up() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "CREATE TRIGGER t ON orders FOR UPDATE OF n, DELETE WITH (images = 'lookup') AS BEGIN
           INSERT INTO audit (op, id, n, was) VALUES (TRIGGER_ACTION, OLD._id, NEW.n, OLD.n);
         END;
         CREATE TRIGGER c ON orders FOR UPDATE WHEN (CHANGED(a.b) OR CHANGED(items[1])) WITH (images = 'lookup') AS BEGIN
           INSERT INTO changed (_id, fields) VALUES (NEW.step, CHANGE_FIELDS());
         END",
    )
    .await;
    assert!(!lab.client.database("shop").list_collection_names().await.unwrap().contains(&"orders".to_owned()));
    let orders = lab.collection("orders");
    orders.insert_one(doc! {"_id": 1, "n": 1}).await.unwrap();
    orders.update_one(doc! {"_id": 1}, doc! {"$set": {"other": 1}}).await.unwrap();
    orders.update_one(doc! {"_id": 1}, doc! {"$set": {"n": 2}}).await.unwrap();
    lab.settle().await;
    // SQL-12.9: a changed path equals, contains or is contained in it.
    let changes = [
        doc! {"step": 1, "a": {"b": {"c": 1}}},
        doc! {"step": 2, "a.c": 1},
        doc! {"step": 3, "a.b.c": 2},
        doc! {"step": 4, "a.b": 5},
        doc! {"step": 5, "items": [1, 2]},
        doc! {"step": 6, "items.0": 3},
        doc! {"step": 7, "items.1": 3},
        doc! {"step": 8, "ab": 1},
    ];
    for change in changes {
        orders.update_one(doc! {"_id": 1}, doc! {"$set": change}).await.unwrap();
        lab.settle().await;
    }
    let steps = lab.documents("changed").await;
    assert_eq!(super::column(&steps, "_id"), [1, 3, 4, 5, 7].map(Bson::Int32));
    orders.delete_one(doc! {"_id": 1}).await.unwrap();
    lab.settle().await;
    let expected = [
        doc! {"op": "UPDATE", "id": 1, "n": 2, "was": Bson::Null},
        doc! {"op": "DELETE", "id": 1, "n": Bson::Null, "was": Bson::Null},
    ];
    assert_eq!(without_ids(lab.documents("audit").await), expected);
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
}

/// SQL-15.6: lanes share the documents, and keep the order of each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_keep_the_order_of_each_document() {
    let mut lab = Lab::with_mill().await;
    let trigger = |lanes: u32| {
        format!(
            "CREATE OR REPLACE TRIGGER t ON orders FOR INSERT, UPDATE WITH (parallel = {lanes}, batch = 3) AS BEGIN
               INSERT INTO history (_id, seen) VALUES (NEW._id, ARRAY[NEW.n])
                 ON CONFLICT (_id) DO UPDATE SET seen = history.seen || NEW.n;
             END"
        )
    };
    lab.tag(&trigger(4)).await;
    assert_eq!(lab.fails(&trigger(2)).await, "0A000");
    assert_eq!(lab.fails("ALTER TRIGGER t SET (parallel = 2)").await, "0A000");
    let orders = lab.collection("orders");
    for n in 0..6 {
        for key in 0..12 {
            orders.update_one(doc! {"_id": key}, doc! {"$set": {"n": n}}).upsert(true).await.unwrap();
        }
        if n % 2 == 1 {
            lab.drop_mill();
            lab.start_mill().await;
        }
    }
    lab.settle().await;
    let expected: Vec<Document> = (0..12).map(|key| doc! {"_id": key, "seen": [0, 1, 2, 3, 4, 5]}).collect();
    assert_eq!(lab.documents("history").await, expected);
    let checkpoints = lab.client.database("millstream").collection::<Document>("checkpoints");
    assert_eq!(checkpoints.count_documents(doc! {}).await.unwrap(), 4);
    assert_eq!(lab.rows("SHOW TRIGGERS").await.len(), 1);
    lab.tag("DROP TRIGGER t").await;
    assert_eq!(checkpoints.count_documents(doc! {}).await.unwrap(), 0);
}
