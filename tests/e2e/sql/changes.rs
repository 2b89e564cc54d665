//! Change queries and subscriptions (SQL-13).

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use bson::{Bson, Document, doc};
use millstream_mill::{Session, SessionOptions, SubscriptionLimits};
use mongodb::Client;

use super::{Lab, column, eventually, eventually_rows, next};
use crate::support::Server;

/// E-5 without its times: a window over changes, a lookup as of the change, aliases (SQL-3.8, SQL-9.4, SQL-13.6)
#[tokio::test]
async fn inventory_is_watched() {
    let mut lab = Lab::new().await;
    lab.collection("products").insert_one(doc! {"_id": 1, "product_id": "p1", "product_name": "Lamp"}).await.unwrap();
    let query = "
        SELECT product_id, product_name, current_quantity, reorder_threshold,
          (reserved_quantity - LAG(reserved_quantity, 1) OVER (PARTITION BY product_id ORDER BY CHANGE_TIMESTAMP()))
            AS quantity_change,
          CASE WHEN quantity_change > 0 THEN ROUND(current_quantity / (quantity_change * 1.0), 1) ELSE NULL END
            AS estimated_hours_until_stockout,
          CASE WHEN current_quantity = 0 THEN 'CRITICAL' WHEN current_quantity <= reorder_threshold * 0.2 THEN 'HIGH'
            WHEN current_quantity <= reorder_threshold * 0.5 THEN 'MEDIUM'
            WHEN estimated_hours_until_stockout <= 24 THEN 'URGENT' ELSE 'NORMAL' END AS alert_level
        FROM inventory i JOIN products p ON i.product_id = p.product_id
        WHERE CHANGE_DETECTED() AND (current_quantity <= reorder_threshold OR estimated_hours_until_stockout <= 48)
        ORDER BY alert_level DESC, estimated_hours_until_stockout ASC";
    let mut rows = lab.subscribe(query).await;
    let inventory = lab.collection("inventory");
    let first = doc! {
        "_id": 1, "product_id": "p1", "current_quantity": 100, "reorder_threshold": 20, "reserved_quantity": 5,
    };
    inventory.insert_one(first).await.unwrap();
    let set = async |fields| drop(inventory.update_one(doc! {"_id": 1}, doc! {"$set": fields}).await.unwrap());
    set(doc! {"current_quantity": 90, "reserved_quantity": 15}).await;
    set(doc! {"current_quantity": 8, "reserved_quantity": 12}).await;
    let rename = doc! {"$set": {"product_name": "Desk lamp"}};
    lab.collection("products").update_one(doc! {"_id": 1}, rename).await.unwrap();
    set(doc! {"current_quantity": 4}).await;
    inventory.insert_one(doc! {"_id": 9, "product_id": "p9", "current_quantity": 0}).await.unwrap();
    inventory.delete_one(doc! {"_id": 1}).await.unwrap();
    let nine: bson::Decimal128 = "9".parse().unwrap();
    let row = |name: &str, quantity: i32, change: i32, estimate: Bson, level: &str| {
        doc! {
            "product_id": "p1", "product_name": name, "current_quantity": quantity, "reorder_threshold": 20,
            "quantity_change": change, "estimated_hours_until_stockout": estimate, "alert_level": level,
        }
    };
    assert_eq!(next(&mut rows).await, row("Lamp", 90, 10, nine.into(), "URGENT"));
    assert_eq!(next(&mut rows).await, row("Lamp", 8, -3, Bson::Null, "MEDIUM"));
    assert_eq!(next(&mut rows).await, row("Desk lamp", 4, 0, Bson::Null, "HIGH"));
    assert_eq!(next(&mut rows).await, row("Desk lamp", 4, 0, Bson::Null, "HIGH"), "a delete is a change");
}

/// SQL-13.2, SQL-13.10, SQL-13.12
#[tokio::test]
async fn every_change_passes_unless_the_condition_says_otherwise() {
    let mut lab = Lab::new().await;
    let t = lab.collection("t");
    t.insert_one(doc! {"_id": 0, "a": 0}).await.unwrap();
    let query = "SELECT _id, a, CHANGE_TYPE() AS op, OLD.a AS before FROM t WHERE CHANGE_DETECTED() LIMIT 3";
    let mut rows = lab.subscribe(query).await;
    t.insert_one(doc! {"_id": 1, "a": 1}).await.unwrap();
    t.update_one(doc! {"_id": 1}, doc! {"$set": {"a": 2}}).await.unwrap();
    t.delete_one(doc! {"_id": 1}).await.unwrap();
    assert_eq!(next(&mut rows).await, doc! {"_id": 1, "a": 1, "op": "INSERT", "before": Bson::Null});
    assert_eq!(next(&mut rows).await, doc! {"_id": 1, "a": 2, "op": "UPDATE", "before": 1});
    assert_eq!(next(&mut rows).await, doc! {"_id": 1, "a": 2, "op": "DELETE", "before": 2});
    assert!(rows.next().await.unwrap().is_none(), "LIMIT ends it");
}

/// E-6 without its times: outputs are appended, and there once (SQL-14.8)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_of_changes_are_kept() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "CREATE MATERIALIZED VIEW large AS
         SELECT customer, amount, LAG(amount) OVER (PARTITION BY customer ORDER BY CHANGE_TIMESTAMP()) AS previous
         FROM payments WHERE CHANGE_DETECTED() AND CHANGE_TYPE() = 'INSERT' AND amount > 10",
    )
    .await;
    let payments = lab.collection("payments");
    let pay = |id: i32, customer: &str, amount: i32| doc! {"_id": id, "customer": customer, "amount": amount};
    payments.insert_many([pay(1, "a", 50), pay(2, "b", 5), pay(3, "a", 70)]).await.unwrap();
    payments.update_one(doc! {"_id": 1}, doc! {"$set": {"amount": 9_999}}).await.unwrap();
    lab.settle().await;
    lab.drop_mill();
    payments.insert_one(pay(4, "a", 90)).await.unwrap();
    lab.start_mill().await;
    lab.settle().await;
    let mut rows = lab.documents("large").await;
    assert!(rows.iter().all(|row| row.get_str("_id").is_ok()), "the lineage: {rows:?}");
    for row in &mut rows {
        row.remove("_id");
    }
    let row = |amount: i32, previous: Bson| doc! {"customer": "a", "amount": amount, "previous": previous};
    assert_eq!(rows, [row(50, Bson::Null), row(70, 50.into()), row(90, 70.into())]);
}

/// E-22: a subscription to a view (SQL-13.12)
#[tokio::test]
async fn a_view_is_subscribed_to() {
    let mut lab = Lab::with_mill().await;
    let bid = |id: i32, item: &str, amt: i32| doc! {"_id": id, "item": item, "amt": amt};
    lab.collection("bids").insert_many([bid(1, "x", 5), bid(3, "x", 9), bid(4, "y", 1)]).await.unwrap();
    lab.tag(
        "CREATE MATERIALIZED VIEW m AS SELECT item, MIN(amt) AS lo, MAX(amt) AS hi, COUNT(*) AS n FROM bids GROUP BY item",
    )
    .await;
    lab.settle().await;
    let mut rows = lab.subscribe("SUBSCRIBE TO m WITH (snapshot = true)").await;
    let mut told = async || {
        let mut row = next(&mut rows).await;
        row.remove("_time");
        let token = row.remove("_token").unwrap();
        (row, token)
    };
    let x = doc! {"item": "x", "lo": 5, "hi": 9, "n": 2_i64};
    let y = doc! {"item": "y", "lo": 1, "hi": 1, "n": 1_i64};
    let with = |mut told: bson::Document, row: &bson::Document| {
        told.extend(row.clone());
        told
    };
    assert_eq!(told().await.0, with(doc! {"_op": "snapshot", "_key": "x"}, &x));
    assert_eq!(told().await.0, with(doc! {"_op": "snapshot", "_key": "y"}, &y));
    assert_eq!(told().await.0, doc! {"_op": "ready"});
    lab.tag("DELETE FROM bids WHERE _id = 3").await;
    let (row, token) = told().await;
    let after = doc! {"item": "x", "lo": 5, "hi": 5, "n": 1_i64};
    assert_eq!(row, with(doc! {"_op": "update", "_key": "x", "_old": x}, &after));
    lab.tag("DELETE FROM bids WHERE _id = 4").await;
    assert_eq!(told().await.0, doc! {"_op": "delete", "_key": "y", "_old": y.clone()});
    let again = format!("SUBSCRIBE TO m WITH (start = '{}')", token.as_str().unwrap());
    let mut rows = lab.subscribe(&again).await;
    let row = next(&mut rows).await;
    assert_eq!((row.get_str("_op").unwrap(), row.get_str("_key").unwrap()), ("delete", "y"));
}

/// SQL-13.8, SQL-13.9, SQL-12.5: what the passing of time closes comes without any change.
#[tokio::test]
async fn buckets_close_by_themselves() {
    let mut lab = Lab::new().await;
    let query = "SELECT DATE_TRUNC('second', CHANGE_TIMESTAMP()) AS second, COUNT(*) AS n FROM t
        WHERE CHANGE_DETECTED() GROUP BY second";
    let mut rows = lab.subscribe(query).await;
    lab.collection("t").insert_many([doc! {"_id": 1}, doc! {"_id": 2}]).await.unwrap();
    let mut n = 0;
    while n < 2 {
        n += next(&mut rows).await.get_i64("n").unwrap();
    }
    assert_eq!(n, 2);
}

/// SQL-13.1, SQL-13.14: what cannot be is refused.
#[tokio::test]
async fn change_queries_have_their_rules() {
    let mut lab = Lab::new().await;
    let cases = [
        ("SELECT status, COUNT(*) AS n FROM orders WHERE CHANGE_DETECTED() GROUP BY status", "MS004"),
        ("SELECT DISTINCT status FROM orders WHERE CHANGE_DETECTED()", "MS004"),
        ("SELECT LEAD(x) OVER (ORDER BY CHANGE_TIMESTAMP()) AS l FROM t WHERE CHANGE_DETECTED()", "0A000"),
        ("SELECT * FROM t WHERE CHANGE_DETECTED() OR a = 1", "0A000"),
        ("SELECT CHANGE_TYPE() AS t FROM orders", "42809"),
        ("CREATE MATERIALIZED VIEW x AS SELECT CURRENT_TIMESTAMP - created_at AS age FROM orders", "MS005"),
        ("CREATE MATERIALIZED VIEW x WITH (colour = 'red') AS SELECT 1 AS one", "22023"),
    ];
    for (query, state) in cases {
        assert_eq!(lab.fails(query).await, state, "{query}");
    }
}

/// SQL-14.8, SQL-13.12: outputs may begin with the documents that are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_may_begin_with_a_snapshot() {
    let mut lab = Lab::new().await;
    let t = lab.collection("t");
    t.insert_many((0..50).map(|n| doc! {"_id": n, "n": n})).await.unwrap();
    lab.tag(
        "CREATE MATERIALIZED VIEW seen WITH (start = 'snapshot') AS
         SELECT n, LAG(n) OVER (ORDER BY CHANGE_TIMESTAMP()) AS before FROM t WHERE CHANGE_DETECTED() AND n % 2 = 0",
    )
    .await;
    lab.start_mill().await;
    lab.settle().await;
    t.insert_many([doc! {"_id": 50, "n": 50}, doc! {"_id": 51, "n": 51}]).await.unwrap();
    lab.settle().await;
    lab.drop_mill();
    lab.start_mill().await;
    t.insert_one(doc! {"_id": 52, "n": 52}).await.unwrap();
    lab.settle().await;
    let rows = lab.documents("seen").await;
    let mut pairs: Vec<(i32, Option<i32>)> =
        rows.iter().map(|row| (row.get_i32("n").unwrap(), row.get_i32("before").ok())).collect();
    pairs.sort_unstable();
    let expected: Vec<_> = (0..=52).step_by(2).map(|n| (n, (n > 0).then_some(n - 2))).collect();
    assert_eq!(pairs, expected);
}

/// SQL-14.8: a view whose state is lost is made anew from where it began: no output is missing, none comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_go_on_without_their_state() {
    let mut lab = Lab::with_mill().await;
    let t = lab.collection("t");
    t.insert_many((0..5).map(|n| doc! {"_id": n})).await.unwrap();
    lab.tag(
        "CREATE MATERIALIZED VIEW seen WITH (start = 'snapshot') AS
         SELECT NEW._id AS n, LAG(NEW._id) OVER (ORDER BY CHANGE_TIMESTAMP()) AS before
         FROM t WHERE CHANGE_DETECTED() AND CHANGE_TYPE() = 'INSERT'",
    )
    .await;
    lab.settle().await;
    t.insert_many((5..10).map(|n| doc! {"_id": n})).await.unwrap();
    lab.settle().await;
    lab.stop_mill().await;
    lab.set_state(&tempfile::tempdir().unwrap());
    t.insert_many((10..15).map(|n| doc! {"_id": n})).await.unwrap();
    lab.start_mill().await;
    lab.settle().await;
    t.insert_one(doc! {"_id": 15}).await.unwrap();
    lab.settle().await;
    let rows = lab.rows("SELECT n, before FROM seen ORDER BY n").await;
    let before = |n: i32| if n == 0 { Bson::Null } else { (n - 1).into() };
    assert_eq!(rows, (0..16).map(|n| doc! {"n": n, "before": before(n)}).collect::<Vec<_>>());
}

/// SQL-14.8: old outputs go.
#[tokio::test]
async fn outputs_are_kept_for_a_time() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "CREATE MATERIALIZED VIEW recent WITH (retain = INTERVAL '2 seconds') AS SELECT n FROM t WHERE CHANGE_DETECTED();
         CREATE MATERIALIZED VIEW kept AS SELECT n FROM t WHERE CHANGE_DETECTED()",
    )
    .await;
    lab.settle().await;
    lab.collection("t").insert_many([doc! {"_id": 1, "n": 1}, doc! {"_id": 2, "n": 2}]).await.unwrap();
    eventually("it is kept", async || lab.documents("kept").await.len() == 2).await;
    eventually("it has gone", async || lab.documents("recent").await.is_empty()).await;
    lab.collection("t").insert_one(doc! {"_id": 3, "n": 3}).await.unwrap();
    eventually("it has come", async || lab.documents("kept").await.len() == 3).await;
    // Also under another mill, although nothing more happens.
    lab.stop_mill().await;
    lab.start_mill().await;
    eventually("it goes, too", async || lab.documents("recent").await.is_empty()).await;
    assert_eq!(lab.documents("kept").await.len(), 3);
}

/// SQL-13.5: what comes too late is a dead letter, or only counted.
#[tokio::test]
async fn late_rows_are_kept_or_counted() {
    let mut lab = Lab::with_mill().await;
    for (name, options) in [("noted", ""), ("counted", ", late = 'drop'")] {
        lab.tag(&format!(
            "CREATE MATERIALIZED VIEW {name} WITH (lateness = 10{options}) AS
             SELECT at, LAG(at) OVER (ORDER BY at) AS before FROM t WHERE CHANGE_DETECTED()"
        ))
        .await;
    }
    lab.settle().await;
    lab.collection("t").insert_many([100, 50, 95].map(|at| doc! {"_id": at, "at": at})).await.unwrap();
    lab.settle().await;
    for name in ["noted", "counted"] {
        assert_eq!(lab.documents(name).await.len(), 2, "{name}");
    }
    let letters = lab.rows("SHOW DEAD LETTERS").await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].get_str("name").unwrap().ends_with("noted"));
    assert_eq!(letters[0].get_str("sqlstate").unwrap(), "MS003");
    let checkpoints = lab.client.database("millstream").collection::<bson::Document>("checkpoints");
    let row = checkpoints.find_one(doc! {"_id": "shop.materialized_view.counted"}).await.unwrap().unwrap();
    assert_eq!(row.get_i64("late").unwrap(), 1);
}

/// SQL-13.10, SQL-13.12: a subscription that ends answers like a query.
#[tokio::test]
async fn a_subscription_may_end() {
    let mut lab = Lab::new().await;
    let t = lab.collection("t");
    let mut all = lab.subscribe("SUBSCRIBE TO (SELECT n FROM t WHERE CHANGE_DETECTED())").await;
    t.insert_many([3, 1, 2].map(|n| doc! {"_id": n, "n": n})).await.unwrap();
    t.insert_one(doc! {"_id": 9, "n": 9}).await.unwrap();
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(next(&mut all).await.get_str("_token").unwrap().to_owned());
    }
    let query = "SELECT n FROM t WHERE CHANGE_DETECTED() ORDER BY n DESC LIMIT 2";
    let start = "TIMESTAMPTZ '2020-01-01T00:00:00Z'";
    let bounded = format!("SUBSCRIBE TO ({query}) WITH (start = {start}, until = '{}')", tokens[2]);
    let rows = super::all(lab.subscribe(&bounded).await).await;
    assert_eq!(super::column(&rows, "n"), [Bson::Int32(3), Bson::Int32(2)]);
    assert_eq!(lab.fails(&format!("SUBSCRIBE TO ({query}) WITH (until = 'x')")).await, "22023");
}

/// SQL-13.12: whoever resumes behind any row gets all that are behind it, also those of the same transaction.
#[tokio::test]
async fn a_token_loses_no_row_of_a_transaction() {
    let mut lab = Lab::new().await;
    let t = lab.collection("t");
    for query in ["SELECT n FROM t WHERE CHANGE_DETECTED()", "SELECT n FROM t WHERE n > 0"] {
        t.insert_one(doc! {"_id": 0, "n": 0}).await.unwrap();
        let mut rows = lab.subscribe(&format!("SUBSCRIBE TO ({query}) WITH (snapshot = false)")).await;
        t.insert_one(doc! {"_id": 1, "n": 1}).await.unwrap();
        let mut session = lab.client.start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        t.insert_many((2..5).map(|n| doc! {"_id": n, "n": n})).session(&mut session).await.unwrap();
        session.commit_transaction().await.unwrap();
        t.insert_one(doc! {"_id": 5, "n": 5}).await.unwrap();
        let mut told = Vec::new();
        while told.len() < 5 {
            let row = next(&mut rows).await;
            told.push((row.get_i32("n").unwrap(), row.get_str("_token").unwrap().to_owned()));
        }
        let order = told.iter().map(|(n, _)| *n).collect::<Vec<_>>();
        assert_eq!(order, [1, 2, 3, 4, 5]);
        for (at, (_, token)) in told.iter().enumerate() {
            let again = format!("SUBSCRIBE TO ({query}) WITH (snapshot = false, start = '{token}')");
            let mut again = lab.subscribe(&again).await;
            let mut left: BTreeSet<i32> = order[at + 1..].iter().copied().collect();
            while !left.is_empty() {
                left.remove(&next(&mut again).await.get_i32("n").unwrap());
            }
        }
        t.delete_many(doc! {}).await.unwrap();
    }
}

/// SQL-18.4: subscriptions are shown, and cancelled.
#[tokio::test]
async fn subscriptions_are_shown_and_cancelled() {
    let mut lab = Lab::new().await;
    let mut rows = lab.subscribe("SELECT n FROM t WHERE CHANGE_DETECTED()").await;
    let other = lab.subscribe("SELECT n FROM u WHERE CHANGE_DETECTED()").await;
    let shown = lab.rows("SHOW SUBSCRIPTIONS").await;
    assert_eq!(shown.len(), 2);
    let of_t = shown.iter().find(|row| row.get_str("query").unwrap().contains("FROM t")).unwrap();
    let id = of_t.get_str("name").unwrap();
    assert_eq!(lab.tag(&format!("CANCEL SUBSCRIPTION '{id}'")).await, "CANCEL SUBSCRIPTION");
    assert_eq!(rows.next().await.unwrap_err().state.0, "57014");
    drop(other);
    eventually("both are gone", async || lab.rows("SHOW SUBSCRIPTIONS").await.is_empty()).await;
    assert_eq!(lab.fails("CANCEL SUBSCRIPTION 'nothing'").await, "42704");
}

/// SQL-18.4: those of all programs on the deployment are shown and cancelled; what a program that died has left is not shown, and
/// is removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_of_all_programs_are_shown_and_cancelled() {
    let mut lab = Lab::new().await;
    let program = |table: &str| {
        let statement = format!("SELECT n FROM {table} WHERE CHANGE_DETECTED()");
        let mut command = crate::support::server::millstream();
        command.args([
            "sql",
            "--uri",
            &format!("{}&appName=other", lab.server.uri()),
            "--db",
            "shop",
            "-c",
            &statement,
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (first, mut second) = (program("a"), program("b"));
    let own = lab.subscribe("SELECT n FROM c WHERE CHANGE_DETECTED()").await;
    let id_of = |rows: &[Document], table: &str| {
        let row = rows.iter().find(|row| row.get_str("query").unwrap().contains(&format!("FROM {table} ")));
        row.map(|row| row.get_str("name").unwrap().to_owned())
    };
    eventually_rows(&mut lab, "SHOW SUBSCRIPTIONS", |rows| rows.len() == 3).await;
    let shown = lab.rows("SHOW SUBSCRIPTIONS").await;
    let mut programs = column(&shown, "program");
    programs.dedup();
    assert_eq!(programs.len(), 3, "{shown:?}");
    let id = id_of(&shown, "a").unwrap();
    assert_eq!(lab.tag(&format!("CANCEL SUBSCRIPTION '{id}'")).await, "CANCEL SUBSCRIPTION");
    let ended = tokio::task::spawn_blocking(|| first.wait_with_output().unwrap()).await.unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && told.contains("57014"), "{told}");
    eventually_rows(&mut lab, "SHOW SUBSCRIPTIONS", |rows| rows.len() == 2 && id_of(rows, "b").is_some()).await;
    assert_eq!(lab.fails(&format!("CANCEL SUBSCRIPTION '{id}'")).await, "42704");

    let id = id_of(&lab.rows("SHOW SUBSCRIPTIONS").await, "b").unwrap();
    second.kill().unwrap();
    second.wait().unwrap();
    let rows = lab.rows("SHOW SUBSCRIPTIONS").await;
    assert_eq!((rows.len(), id_of(&rows, "b")), (1, None));
    assert_eq!(lab.fails(&format!("CANCEL SUBSCRIPTION '{id}'")).await, "42704");
    let left = lab.client.database("millstream").collection::<Document>("subscriptions");
    assert_eq!(left.count_documents(doc! {}).await.unwrap(), 1);
    drop(own);
    eventually("nothing is left", async || left.count_documents(doc! {}).await.unwrap() == 0).await;
}

/// SQL-18.4: a program that was taken for dead, and is not, is there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_lives_tells_of_itself_again() {
    let mut lab = Lab::new().await;
    let own = lab.subscribe("SELECT n FROM t WHERE CHANGE_DETECTED()").await;
    let ours = Client::with_uri_str(format!("{}&appName=millstream", lab.server.uri())).await.unwrap();
    let left = ours.database("millstream").collection::<Document>("subscriptions");
    eventually("it is told", async || left.count_documents(doc! {}).await.unwrap() == 1).await;
    left.delete_many(doc! {}).await.unwrap();
    ours.database("millstream").collection::<Document>("programs").delete_many(doc! {}).await.unwrap();
    eventually("it is told again", async || left.count_documents(doc! {}).await.unwrap() == 1).await;
    drop(own);
}

/// SQL-18.4: who has no right to write may subscribe nevertheless; its own process shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_read_may_subscribe() {
    let lab = Lab::on(Server::with(&["--memory", "--mill", "off", "--test-commands"])).await;
    let data = doc! {"failCommands": ["insert", "update", "delete"], "errorCode": 13, "appName": "reader"};
    let refused = doc! {"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data};
    lab.client.database("admin").run_command(refused).await.unwrap();
    let uri = format!("{}&appName=reader", lab.server.uri());
    let options = SessionOptions { database: Some("shop".to_owned()) };
    let session = Session::connect(&uri, options).await.unwrap();
    let mut lab = Lab { session, ..lab };
    let mut rows = lab.subscribe("SELECT n FROM t WHERE CHANGE_DETECTED()").await;
    lab.collection("t").insert_one(doc! {"_id": 1, "n": 7}).await.unwrap();
    assert_eq!(next(&mut rows).await.get("n"), Some(&Bson::Int32(7)));
    assert_eq!(lab.rows("SHOW SUBSCRIPTIONS").await.len(), 1);
    drop(rows);
    eventually("it is gone", async || lab.rows("SHOW SUBSCRIPTIONS").await.is_empty()).await;
}

/// SQL-22.1: there may be so many subscriptions.
#[tokio::test]
async fn subscriptions_are_counted() {
    let mut lab = Lab::new().await;
    assert_eq!(SubscriptionLimits::default().count, 10_000);
    lab.session.limit_subscriptions(SubscriptionLimits { count: 2, ..SubscriptionLimits::default() });
    let query = "SELECT n FROM t WHERE CHANGE_DETECTED()";
    let mut first = lab.subscribe(query).await;
    let second = lab.subscribe(query).await;
    assert_eq!(lab.fails(query).await, "53400");
    drop(second);
    eventually("there is one", async || lab.rows("SHOW SUBSCRIPTIONS").await.len() == 1).await;
    let third = lab.subscribe(query).await;
    lab.tag("INSERT INTO t (_id, n) VALUES (1, 5)").await;
    assert_eq!(next(&mut first).await.get("n"), Some(&Bson::Int32(5)));
    drop(third);
}

/// SQL-22.1: a queue that nobody empties ends its subscription alone, and tells where to go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_ends_its_subscription() {
    const ROWS: i32 = 200;
    let mut lab = Lab::new().await;
    let limits = SubscriptionLimits::default();
    assert_eq!((limits.queue_bytes, limits.full_for), (16 << 20, Duration::from_secs(60)));
    let query = "SUBSCRIBE TO (SELECT n, text FROM t WHERE CHANGE_DETECTED())";
    let mut read = lab.subscribe(query).await;
    let full_for = Duration::from_millis(300);
    lab.session.limit_subscriptions(SubscriptionLimits { queue_bytes: 64 << 10, full_for, ..limits });
    let mut full = lab.subscribe(query).await;
    let text = "x".repeat(2_000);
    for n in 0..ROWS {
        lab.collection("t").insert_one(doc! {"_id": n, "n": n, "text": &text}).await.unwrap();
    }
    for n in 0..ROWS {
        assert_eq!(next(&mut read).await.get("n"), Some(&Bson::Int32(n)), "the other goes on");
    }
    // It has ended by itself.
    eventually("there is one", async || lab.rows("SHOW SUBSCRIPTIONS").await.len() == 1).await;
    let mut seen = 0;
    let error = loop {
        match full.next().await {
            Ok(row) => assert_eq!(row.unwrap().get_i32("n").unwrap(), seen),
            Err(error) => break error,
        }
        seen += 1;
    };
    assert!((1..ROWS).contains(&seen), "{seen}");
    assert_eq!(error.state.0, "53400");
    let hint = error.hint.unwrap();
    let (_, token) = hint.split_once("start = ").unwrap();
    let token = token.split_once(')').unwrap().0;
    let mut rest = lab.subscribe(&format!("{query} WITH (start = {token})")).await;
    for n in seen..ROWS {
        assert_eq!(next(&mut rest).await.get("n"), Some(&Bson::Int32(n)));
    }
}

/// SQL-19.6: one that is to fail ends with the error.
#[tokio::test]
async fn a_subscription_may_fail_at_a_row() {
    let mut lab = Lab::new().await;
    let query = "SELECT 100 / n AS share FROM t WHERE CHANGE_DETECTED()";
    let mut skips = lab.subscribe(query).await;
    let mut fails = lab.subscribe(&format!("SUBSCRIBE TO ({query}) WITH (on_error = 'fail')")).await;
    for n in [4, 0, 5] {
        lab.collection("t").insert_one(doc! {"_id": n, "n": n}).await.unwrap();
    }
    for rows in [&mut skips, &mut fails] {
        assert_eq!(next(rows).await.get_i32("share").unwrap(), 25);
    }
    assert_eq!(next(&mut skips).await.get_i32("share").unwrap(), 20);
    assert_eq!(fails.next().await.unwrap_err().state.0, "22012");
}

/// SQL-12.6: without images documents are looked up, and of the one before the key is known.
#[tokio::test]
async fn documents_of_changes_are_looked_up() {
    let mut lab = Lab::with_mill().await;
    let query =
        "SELECT OLD._id AS id, OLD.n AS was, NEW.n AS n FROM t WHERE CHANGE_DETECTED() AND CHANGE_TYPE() <> 'INSERT'";
    lab.tag(&format!("CREATE MATERIALIZED VIEW seen WITH (images = 'lookup') AS {query}")).await;
    let mut rows = lab.subscribe(&format!("SUBSCRIBE TO ({query}) WITH (images = 'lookup')")).await;
    assert!(!lab.client.database("shop").list_collection_names().await.unwrap().contains(&"t".to_owned()));
    let t = lab.collection("t");
    t.insert_one(doc! {"_id": 1, "n": 1}).await.unwrap();
    t.update_one(doc! {"_id": 1}, doc! {"$set": {"n": 2}}).await.unwrap();
    let row = next(&mut rows).await;
    assert_eq!((row.get("id"), row.get("was"), row.get("n")), (Some(&1.into()), Some(&Bson::Null), Some(&2.into())));
    lab.settle().await;
    t.delete_one(doc! {"_id": 1}).await.unwrap();
    lab.settle().await;
    let mut seen = lab.documents("seen").await;
    for row in &mut seen {
        row.remove("_id");
    }
    let expected = [doc! {"id": 1, "was": Bson::Null, "n": 2}, doc! {"id": 1, "was": Bson::Null, "n": Bson::Null}];
    assert_eq!(seen, expected);
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
}

/// Outputs that are there already stay as they are when some changes are gone over again (SQL-14.8, SQL-18.2).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_that_are_there_are_not_added_again() {
    let mut lab = Lab::with_mill().await;
    let view =
        "CREATE MATERIALIZED VIEW seen AS SELECT _id AS id, CHANGE_TOKEN() AS token FROM t WHERE CHANGE_DETECTED()";
    lab.tag(view).await;
    lab.tag("WAIT FOR MATERIALIZED VIEW seen").await;
    lab.collection("t").insert_many((1..=3).map(|id| doc! {"_id": id})).await.unwrap();
    lab.settle().await;
    let before = lab.documents("seen").await;
    assert_eq!(before.len(), 3);
    let first = before.iter().find(|row| row.get_i32("id").ok() == Some(1)).unwrap();
    lab.tag(&format!("RESUME MATERIALIZED VIEW seen FROM '{}'", first.get_str("token").unwrap())).await;
    lab.collection("t").insert_one(doc! {"_id": 4}).await.unwrap();
    lab.settle().await;
    let after = lab.documents("seen").await;
    assert_eq!(after.len(), 4, "{after:?}");
    assert!(before.iter().all(|row| after.contains(row)), "{after:?}");
}
