//! Materialized views over tables (SQL-14).

use std::time::Duration;

use bson::{Bson, Document, doc};
use futures::StreamExt;
use mongodb::Client;
use mongodb::error::ErrorKind;

use super::{Lab, eventually};
use crate::support::Server;

/// What a view shows must equal what its query answers (SQL-1.2).
pub(super) async fn agrees(lab: &mut Lab, view: &str, query: &str) {
    lab.settle().await;
    let mut shown = lab.documents(view).await;
    let mut answered = lab.rows(query).await;
    for row in &mut shown {
        row.remove("_id");
    }
    let text = |rows: &mut Vec<Document>| {
        rows.sort_by_key(ToString::to_string);
        format!("{rows:#?}")
    };
    assert_eq!(text(&mut shown), text(&mut answered), "{query}");
}

/// E-9: MIN, MAX and groups that vanish (SQL-7, SQL-14.3)
#[tokio::test]
async fn groups_come_and_go() {
    let mut lab = Lab::with_mill().await;
    let bid = |id: i32, item: &str, amt: i32| doc! {"_id": id, "item": item, "amt": amt};
    lab.collection("bids").insert_many([bid(1, "x", 5), bid(2, "x", 9), bid(3, "x", 9), bid(4, "y", 1)]).await.unwrap();
    lab.tag(
        "CREATE MATERIALIZED VIEW m AS SELECT item, MIN(amt) AS lo, MAX(amt) AS hi, COUNT(*) AS n FROM bids GROUP BY item",
    )
    .await;
    lab.settle().await;
    let row = |item: &str, lo: Bson, hi: Bson, n: i64| doc! {"_id": item, "item": item, "lo": lo, "hi": hi, "n": n};
    let x = |lo: Bson, hi: Bson, n| row("x", lo, hi, n);
    let y = row("y", 1.into(), 1.into(), 1);
    assert_eq!(lab.documents("m").await, [x(5.into(), 9.into(), 3), y.clone()]);
    let steps: [(&str, Document); 5] = [
        ("DELETE FROM bids WHERE _id = 2", x(5.into(), 9.into(), 2)),
        ("DELETE FROM bids WHERE _id = 3", x(5.into(), 5.into(), 1)),
        ("UPDATE bids SET amt = 20 WHERE _id = 1", x(20.into(), 20.into(), 1)),
        ("UPDATE bids SET amt = 'n/a' WHERE _id = 1", x("n/a".into(), "n/a".into(), 1)),
        ("INSERT INTO bids (_id, item, amt) VALUES (5, 'x', 3)", x(3.into(), "n/a".into(), 2)),
    ];
    for (step, expected) in steps {
        lab.tag(step).await;
        lab.settle().await;
        assert_eq!(lab.documents("m").await, [expected, y.clone()], "{step}");
    }
    lab.tag("DELETE FROM bids WHERE _id = 4").await;
    lab.settle().await;
    assert_eq!(lab.documents("m").await.len(), 1);
}

/// E-8: joins (SQL-14.3, SQL-19.4)
#[tokio::test]
async fn joins_follow_both_sides() {
    let mut lab = Lab::with_mill().await;
    let customers = [doc! {"_id": 1, "name": "Ann"}, doc! {"_id": 2, "name": "Bob"}];
    lab.collection("customers").insert_many(customers).await.unwrap();
    let orders = [doc! {"_id": 10, "cust": 1, "amt": 5}, doc! {"_id": 11, "cust": 1, "amt": 7}];
    lab.collection("orders").insert_many(orders).await.unwrap();
    let view = "CREATE MATERIALIZED VIEW j AS
        SELECT c._id AS cust, c.name, o.amt FROM customers c LEFT JOIN orders o ON o.cust = c._id";
    lab.tag(view).await;
    lab.settle().await;
    let row = |c: i32, o: Option<i32>, name: &str, amt: Option<i32>| {
        doc! {"_id": {"c": c, "o": o}, "cust": c, "name": name, "amt": amt}
    };
    let of = async |lab: &mut Lab, step: &str| {
        lab.tag(step).await;
        lab.settle().await;
        lab.documents("j").await
    };
    let ann = |o, amt| row(1, Some(o), "Ann", Some(amt));
    assert_eq!(lab.documents("j").await, [ann(10, 5), ann(11, 7), row(2, None, "Bob", None)]);
    assert_eq!(of(&mut lab, "DELETE FROM orders WHERE _id = 10").await, [ann(11, 7), row(2, None, "Bob", None)]);
    let alone = [row(1, None, "Ann", None), row(2, None, "Bob", None)];
    assert_eq!(of(&mut lab, "DELETE FROM orders WHERE _id = 11").await, alone);
    let bought = [row(1, None, "Ann", None), row(2, Some(12), "Bob", Some(9))];
    assert_eq!(of(&mut lab, "INSERT INTO orders (_id, cust, amt) VALUES (12, 2, 9)").await, bought);
    assert_eq!(of(&mut lab, "DELETE FROM customers WHERE _id = 2").await, bought[..1]);
    assert_eq!(of(&mut lab, "INSERT INTO orders (_id, cust, amt) VALUES (13, 99, 1)").await, bought[..1]);
}

/// E-17: an aggregate without groups is always one row (SQL-7.1)
#[tokio::test]
async fn an_aggregate_without_groups_is_one_row() {
    let mut lab = Lab::with_mill().await;
    lab.tag("CREATE MATERIALIZED VIEW a AS SELECT COUNT(*) AS n, SUM(x) AS s FROM t").await;
    lab.settle().await;
    let row = |n: i64, s: Bson| [doc! {"_id": {}, "n": n, "s": s}];
    assert_eq!(lab.documents("a").await, row(0, Bson::Null));
    lab.collection("t").insert_one(doc! {"_id": 1, "x": 2}).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.documents("a").await, row(1, 2_i64.into()));
    lab.collection("t").insert_one(doc! {"_id": 2, "x": Bson::Null}).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.documents("a").await, row(2, 2_i64.into()));
    lab.tag("DELETE FROM t").await;
    lab.settle().await;
    assert_eq!(lab.documents("a").await, row(0, Bson::Null));
}

/// E-20: rows that cannot be evaluated are put aside, and come back by themselves (SQL-19.6)
#[tokio::test]
async fn rows_that_fail_become_dead_letters() {
    let mut lab = Lab::with_mill().await;
    let rows = [doc! {"_id": 1, "n": 5}, doc! {"_id": 2, "n": 0}, doc! {"_id": 3, "n": "x"}];
    lab.collection("t").insert_many(rows).await.unwrap();
    lab.tag("CREATE MATERIALIZED VIEW q AS SELECT 10 / n AS r FROM t").await;
    lab.settle().await;
    assert_eq!(lab.documents("q").await, [doc! {"_id": 1, "r": 2}]);
    let letters = lab.rows("SHOW DEAD LETTERS").await;
    let classes: Vec<(Bson, Bson)> =
        letters.iter().map(|row| (row.get("key").cloned().unwrap(), row.get("sqlstate").cloned().unwrap())).collect();
    assert_eq!(classes, [(Bson::Int32(2), "22012".into()), (Bson::Int32(3), "42804".into())]);
    lab.tag("UPDATE t SET n = 4 WHERE _id = 2").await;
    lab.settle().await;
    assert_eq!(lab.documents("q").await, [doc! {"_id": 1, "r": 2}, doc! {"_id": 2, "r": 2}]);
    assert_eq!(lab.rows("SHOW DEAD LETTERS").await.len(), 1);
}

/// SQL-14.2: all changes of one commit appear together. SQL-14.5: one event for each changed row, none for others.
#[tokio::test]
async fn a_commit_is_one_commit_of_the_view() {
    let mut lab = Lab::with_mill().await;
    let account = |id: i32, branch: &str, money: i32| doc! {"_id": id, "branch": branch, "money": money};
    let accounts = [account(1, "a", 10), account(2, "b", 10), account(3, "c", 1)];
    lab.collection("accounts").insert_many(accounts).await.unwrap();
    lab.tag("CREATE MATERIALIZED VIEW v AS SELECT branch, SUM(money) AS s FROM accounts GROUP BY branch").await;
    lab.settle().await;
    let mut stream = lab.collection("v").watch().await.unwrap();
    lab.tag(
        "BEGIN; UPDATE accounts SET money = money - 3 WHERE _id = 1; UPDATE accounts SET money = money + 3 WHERE _id = 2; COMMIT",
    )
    .await;
    let mut events = Vec::new();
    for _ in 0..2 {
        events.push(stream.next().await.unwrap().unwrap());
    }
    assert_eq!(events[0].cluster_time, events[1].cluster_time, "one transaction");
    let mut changed: Vec<Document> =
        events.iter().map(|event| event.update_description.as_ref().unwrap().updated_fields.clone()).collect();
    changed.sort_by_key(ToString::to_string);
    assert_eq!(changed, [doc! {"s": 13_i64}, doc! {"s": 7_i64}], "only what changed is set");
}

/// SQL-12.1: drops and renames. SQL-12.6: updates of every shape are followed.
#[tokio::test]
async fn a_view_follows_whatever_happens_to_its_table() {
    let mut lab = Lab::with_mill().await;
    let query = "SELECT _id AS id, a, b.c AS c, list[1] AS second, list FROM t";
    lab.tag(&format!("CREATE MATERIALIZED VIEW v AS {query}")).await;
    let t = lab.collection("t");
    t.insert_many([doc! {"_id": 1, "a": 1, "b": {"c": 1}, "list": [1, 2, 3]}, doc! {"_id": 2, "list": []}])
        .await
        .unwrap();
    agrees(&mut lab, "v", query).await;
    let updates = [
        doc! {"$set": {"b.c": 5, "list.1": "two"}, "$inc": {"a": 7}},
        doc! {"$unset": {"b": 1}, "$push": {"list": 9}},
        doc! {"$pop": {"list": 1}},
        doc! {"$set": {"b": {"c": {"d": 1}}, "unused": 1}},
        doc! {"$rename": {"a": "z"}},
        doc! {"$set": {"list": {"1": "no array"}}},
    ];
    for update in updates {
        t.update_one(doc! {"_id": 1}, update.clone()).await.unwrap();
        agrees(&mut lab, "v", query).await;
    }
    t.update_one(doc! {"_id": 2}, vec![doc! {"$set": {"a": {"$size": "$list"}}}]).await.unwrap();
    t.replace_one(doc! {"_id": 1}, doc! {"a": "new"}).await.unwrap();
    agrees(&mut lab, "v", query).await;
    lab.tag("ALTER TABLE t RENAME TO old").await;
    lab.settle().await;
    assert!(lab.documents("v").await.is_empty());
    lab.collection("other").insert_one(doc! {"_id": 8, "a": 8}).await.unwrap();
    lab.tag("ALTER TABLE other RENAME TO t").await;
    agrees(&mut lab, "v", query).await;
    lab.collection("t").drop().await.unwrap();
    lab.settle().await;
    assert!(lab.documents("v").await.is_empty());
    lab.collection("t").insert_one(doc! {"_id": 9, "a": 9}).await.unwrap();
    agrees(&mut lab, "v", query).await;
}

/// E-24: top-k stays exact (SQL-14.6); an index is made for the default order.
#[tokio::test]
async fn a_limit_keeps_the_first_rows() {
    let mut lab = Lab::with_mill().await;
    let sale = |id: i32, amt: i32| doc! {"_id": id, "amt": amt};
    lab.collection("s").insert_many([sale(1, 10), sale(2, 30), sale(3, 20), sale(5, 30)]).await.unwrap();
    lab.tag("CREATE MATERIALIZED VIEW top AS SELECT amt FROM s ORDER BY amt DESC LIMIT 2").await;
    lab.settle().await;
    assert_eq!(lab.documents("top").await, [sale(2, 30), sale(5, 30)]);
    lab.collection("s").insert_one(sale(6, 40)).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.documents("top").await, [sale(2, 30), sale(6, 40)]);
    assert_eq!(lab.rows("SELECT amt FROM top").await, [doc! {"amt": 40}, doc! {"amt": 30}], "its default order");
    lab.tag("DELETE FROM s WHERE _id = 6").await;
    lab.settle().await;
    assert_eq!(lab.documents("top").await, [sale(2, 30), sale(5, 30)]);
    let indexes = lab.collection("top").list_index_names().await.unwrap();
    assert!(indexes.contains(&"default_order".to_owned()), "{indexes:?}");
}

/// SQL-11.3, SQL-11.5: rows leave and enter by the clock, without any change.
#[tokio::test]
async fn rows_come_and_go_with_time() {
    let mut lab = Lab::with_mill().await;
    lab.tag("CREATE MATERIALIZED VIEW live AS SELECT name FROM promos WHERE starts <= CURRENT_TIMESTAMP AND CURRENT_TIMESTAMP < ends")
        .await;
    lab.settle().await;
    let at = |ms: i64| bson::DateTime::from_millis(bson::DateTime::now().timestamp_millis() + ms);
    let promos = [
        doc! {"_id": 1, "name": "soon", "starts": at(700), "ends": at(60_000)},
        doc! {"_id": 2, "name": "over soon", "starts": at(-1_000), "ends": at(900)},
        doc! {"_id": 3, "name": "never"},
    ];
    lab.collection("promos").insert_many(promos).await.unwrap();
    let ids = async |lab: &Lab| -> Vec<i32> {
        lab.documents("live").await.iter().map(|row| row.get_i32("_id").unwrap()).collect()
    };
    super::eventually("both have happened", async || ids(&lab).await == [1]).await;
}

/// SQL-14.1, SQL-14.5: others cannot write a view; what was written nevertheless is repaired.
#[tokio::test]
async fn refresh_repairs() {
    let mut lab = Lab::with_mill().await;
    lab.collection("t").insert_many([doc! {"_id": 1, "a": 1}, doc! {"_id": 2, "a": 2}]).await.unwrap();
    lab.tag("CREATE MATERIALIZED VIEW v AS SELECT a FROM t").await;
    lab.settle().await;
    assert_eq!(lab.fails("INSERT INTO v (a) VALUES (1)").await, "42809");
    for command in [
        doc! {"insert": "v", "documents": [{"_id": 3}]},
        doc! {"update": "v", "updates": [{"q": {}, "u": {"$set": {"a": 1}}}]},
        doc! {"delete": "v", "deletes": [{"q": {}, "limit": 0}]},
        doc! {"findAndModify": "v", "query": {}, "remove": true},
        doc! {"drop": "v"},
    ] {
        let error = lab.client.database("shop").run_command(command).await.unwrap_err();
        assert!(matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == 166), "{error}");
    }
    let repairing = Client::with_uri_str(format!("{}&appName=millstream", lab.server.uri())).await.unwrap();
    let v = repairing.database("shop").collection::<Document>("v");
    v.delete_one(doc! {"_id": 1}).await.unwrap();
    v.update_one(doc! {"_id": 2}, doc! {"$set": {"a": "tampered", "more": 1}}).await.unwrap();
    v.insert_one(doc! {"_id": 3}).await.unwrap();
    lab.tag("REFRESH MATERIALIZED VIEW v").await;
    assert_eq!(lab.documents("v").await, [doc! {"_id": 1, "a": 1}, doc! {"_id": 2, "a": 2}]);
    lab.tag("CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT a * 2 AS a FROM t").await;
    lab.settle().await;
    assert_eq!(lab.documents("v").await, [doc! {"_id": 1, "a": 2}, doc! {"_id": 2, "a": 4}]);
}

/// SQL-19.1: a mill that stops or crashes loses nothing and repeats nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_survives_its_mill() {
    let mut lab = Lab::with_mill().await;
    let query = "SELECT k, COUNT(*) AS n, SUM(v) AS s FROM t GROUP BY k";
    lab.tag(&format!("CREATE MATERIALIZED VIEW g AS {query}")).await;
    let t = lab.collection("t");
    for round in 0..6 {
        let rows = (0..50).map(|n| doc! {"_id": round * 50 + n, "k": n % 7, "v": n});
        t.insert_many(rows).await.unwrap();
        t.delete_many(doc! {"v": round}).await.unwrap();
        if round % 2 == 0 {
            lab.drop_mill();
        } else {
            lab.stop_mill().await;
        }
        t.update_many(doc! {"k": round}, doc! {"$inc": {"v": 1}}).await.unwrap();
        lab.start_mill().await;
    }
    agrees(&mut lab, "g", query).await;
}

/// SQL-14.5: views over views.
#[tokio::test]
async fn a_view_can_be_read_by_another() {
    let mut lab = Lab::with_mill().await;
    lab.tag("CREATE MATERIALIZED VIEW a AS SELECT k, SUM(v) AS s FROM t GROUP BY k").await;
    lab.tag("CREATE MATERIALIZED VIEW b AS SELECT COUNT(*) AS n FROM a WHERE s > 10").await;
    let rows =
        [doc! {"_id": 1, "k": "x", "v": 6}, doc! {"_id": 2, "k": "x", "v": 6}, doc! {"_id": 3, "k": "y", "v": 1}];
    lab.collection("t").insert_many(rows).await.unwrap();
    lab.settle().await;
    lab.settle().await;
    assert_eq!(lab.documents("b").await, [doc! {"_id": {}, "n": 1_i64}]);
    assert_eq!(lab.fails("DROP MATERIALIZED VIEW a").await, "2BP01");
    lab.tag("DROP MATERIALIZED VIEW a CASCADE").await;
    assert!(lab.rows("SHOW MATERIALIZED VIEWS").await.is_empty());
}

/// SQL-19.2: a build that was cut short goes on where it was, though the deployment no longer has the moment that was being
/// read; and who reads a view that is not whole yet is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_was_cut_short_goes_on() {
    let flags = ["--memory", "--mill", "off", "--test-commands", "--snapshot-window", "1"];
    let mut lab = Lab::on(Server::with(&flags)).await;
    lab.mill_name = Some("slow".to_owned());
    let t = lab.collection("t");
    for part in 0..7 {
        t.insert_many((0..5_000).map(|n| doc! {"_id": part * 5_000 + n, "k": n % 7, "v": n % 10})).await.unwrap();
    }
    // Each reply to the mill takes its time.
    let slow = doc! {"failCommands": ["getMore"], "blockConnection": true, "blockTimeMS": 600, "appName": "slow"};
    let admin = lab.client.database("admin");
    admin.run_command(doc! {"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": slow}).await.unwrap();
    let query = "SELECT k, COUNT(*) AS n, SUM(v) AS s, MIN(10 / v) AS least FROM t GROUP BY k";
    lab.start_mill().await;
    lab.tag(&format!("CREATE MATERIALIZED VIEW g AS {query}")).await;
    let checkpoints = lab.client.database("millstream").collection::<Document>("checkpoints");
    let loading = async || {
        let row = checkpoints.find_one(doc! {}).await.unwrap();
        row.and_then(|row| row.get_i32("loading").ok()).unwrap_or(0)
    };
    eventually("some of it was read", async || loading().await >= 20).await;
    let told = lab.answer("SELECT * FROM g").await.unwrap().notices;
    assert!(told[0].message.starts_with("\"g\" is not whole yet: loading "), "{told:?}");
    lab.drop_mill();
    let read = loading().await;
    assert!((20..99).contains(&read), "{read} %");
    // In what was read, and in what was not.
    for from in [0, 30_000] {
        t.delete_many(doc! {"_id": {"$gte": from, "$lt": from + 100}}).await.unwrap();
        t.update_many(doc! {"_id": {"$gte": from + 100, "$lt": from + 200}}, doc! {"$inc": {"v": 5}}).await.unwrap();
        let changed = doc! {"$set": {"k": 3}};
        t.update_many(doc! {"_id": {"$gte": from + 200, "$lt": from + 300}}, changed).await.unwrap();
    }
    t.insert_many((0..100).map(|n| doc! {"_id": 90_000 + n, "k": 1, "v": 1})).await.unwrap();
    t.insert_one(doc! {"_id": -1, "k": 1, "v": 1}).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    lab.start_mill().await;
    let mut least = i32::MAX;
    eventually("all of it was read", async || {
        let row = checkpoints.find_one(doc! {}).await.unwrap().unwrap();
        if let Ok(percent) = row.get_i32("loading") {
            least = least.min(percent);
        }
        row.get_i64("rows").is_ok()
    })
    .await;
    assert!(least >= read, "it was at {read} % and went on at {least} %");
    admin.run_command(doc! {"configureFailPoint": "failCommand", "mode": "off"}).await.unwrap();
    lab.settle().await;
    // The view leaves out the rows that fail, and the query may not have any.
    let without = "SELECT k, COUNT(*) AS n, SUM(v) AS s, MIN(10 / v) AS least FROM t WHERE v <> 0 GROUP BY k";
    agrees(&mut lab, "g", without).await;
    assert!(lab.answer("SELECT * FROM g").await.unwrap().notices.is_empty());
    let failing = t.count_documents(doc! {"v": 0}).await.unwrap();
    let letters = lab.client.database("millstream").collection::<Document>("dead_letters");
    assert_eq!(letters.count_documents(doc! {}).await.unwrap(), failing);
}

/// SQL-19.1, SQL-19.3: a state that is older than what is stored, as after a loss of power or where another process had the
/// view meanwhile, catches up: nothing is read again, nothing is written twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_state_catches_up() {
    let mut lab = Lab::with_mill().await;
    let t = lab.collection("t");
    t.insert_many((0..500).map(|n| doc! {"_id": n, "k": n % 7, "v": n})).await.unwrap();
    let query = "SELECT k, COUNT(*) AS n, SUM(v) AS s, MAX(v) AS most FROM t WHERE v <> 13 GROUP BY k";
    lab.tag(&format!(
        "CREATE MATERIALIZED VIEW g AS {query};
         CREATE MATERIALIZED VIEW changed AS
         SELECT CHANGE_KEY() AS id, LAG(v) OVER (PARTITION BY k ORDER BY CHANGE_TIMESTAMP()) AS before
         FROM t WHERE CHANGE_DETECTED() AND CHANGE_TYPE() = 'INSERT'"
    ))
    .await;
    lab.settle().await;
    t.insert_many((500..600).map(|n| doc! {"_id": n, "k": n % 7, "v": n})).await.unwrap();
    lab.settle().await;
    lab.stop_mill().await;
    let older = lab.copy_of_state();
    lab.start_mill().await;
    t.insert_many((600..700).map(|n| doc! {"_id": n, "k": n % 7, "v": n})).await.unwrap();
    t.delete_many(doc! {"_id": {"$lt": 50}}).await.unwrap();
    lab.settle().await;
    t.update_many(doc! {"_id": {"$gte": 550}}, doc! {"$inc": {"v": -500}}).await.unwrap();
    lab.settle().await;
    lab.stop_mill().await;
    lab.set_state(&older);
    t.insert_many((700..800).map(|n| doc! {"_id": n, "k": n % 7, "v": n})).await.unwrap();
    t.update_many(doc! {"_id": {"$gte": 650}}, doc! {"$set": {"k": 3}}).await.unwrap();
    let database = lab.client.database("millstream");
    let built = doc! {"$match": {"updateDescription.updatedFields.state": "building"}};
    let mut builds = database.collection::<Document>("definitions").watch().pipeline([built]).await.unwrap();
    lab.start_mill().await;
    lab.settle().await;
    agrees(&mut lab, "g", query).await;
    let changed = lab.rows("SELECT id, before FROM changed ORDER BY id").await;
    let expected = (500..800).map(|n| {
        // The first of each kind has none before it.
        let before = if n < 507 { Bson::Null } else { Bson::Int32(n - 7) };
        doc! {"id": {"_id": n}, "before": before}
    });
    assert_eq!(changed, expected.collect::<Vec<_>>());
    assert_eq!(builds.next_if_any().await.unwrap(), None, "it was built again");
    assert_eq!(lab.rows("SHOW MATERIALIZED VIEWS LIKE 'g'").await[0].get_i64("rows").unwrap(), 7);
}

/// SQL-12.6, SQL-18.8: where the deployment keeps images, a view needs no copy of its tables, and is right whatever happens to
/// the collection and to its images.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_are_used_where_they_are_kept() {
    let mut lab = Lab::with_mill().await;
    let shop = lab.client.database("shop");
    let kept = |name: &str, enabled: bool| doc! {name: "t", "changeStreamPreAndPostImages": {"enabled": enabled}};
    shop.run_command(kept("create", true)).await.unwrap();
    let t = lab.collection("t");
    t.insert_many((0..50).map(|n| doc! {"_id": n, "k": n % 3, "v": n, "d": {"e": n, "f": n % 4}})).await.unwrap();
    let query = "SELECT k, COUNT(*) AS n, SUM(v) AS s, MAX(d.e) AS e FROM t GROUP BY k";
    lab.tag(&format!("CREATE MATERIALIZED VIEW v AS {query}")).await;
    lab.tag(&format!("CREATE MATERIALIZED VIEW own WITH (images = 'mirror') AS {query}")).await;
    lab.tag("CREATE MATERIALIZED VIEW kinds AS SELECT DISTINCT d FROM t").await;
    lab.settle().await;
    let change = async || {
        t.update_many(doc! {"v": {"$lt": 20}}, doc! {"$inc": {"v": 100, "d.e": 5}}).await.unwrap();
        t.update_many(doc! {"v": {"$gt": 100}}, doc! {"$set": {"k": 2}}).await.unwrap();
        t.replace_one(doc! {"_id": 30}, doc! {"k": 9, "v": 1}).await.unwrap();
        t.delete_many(doc! {"v": {"$in": [40, 41]}}).await.unwrap();
        t.insert_one(doc! {"k": 1, "v": 5}).await.unwrap();
    };
    change().await;
    agrees(&mut lab, "v", query).await;
    agrees(&mut lab, "own", query).await;
    // Fields that change their places make other documents.
    t.update_many(doc! {}, vec![doc! {"$unset": "d.e"}, doc! {"$set": {"d.e": "$k"}}]).await.unwrap();
    t.update_many(doc! {"k": 1}, vec![doc! {"$unset": "d.f"}, doc! {"$set": {"d.f": 1}}]).await.unwrap();
    agrees(&mut lab, "kinds", "SELECT DISTINCT d FROM t").await;
    t.update_many(doc! {"k": 2}, doc! {"$set": {"d.f": 7}}).await.unwrap();
    agrees(&mut lab, "kinds", "SELECT DISTINCT d FROM t").await;
    let copied = async |lab: &mut Lab, name: &str| {
        let told = lab.rows(&format!("EXPLAIN (FORMAT JSON) MATERIALIZED VIEW {name}")).await;
        told[0].get_document("plan").unwrap().get_i64("copies_bytes").unwrap()
    };
    let (of_images, of_copies) = (copied(&mut lab, "v").await, copied(&mut lab, "own").await);
    assert!(of_images < 10 && of_copies > 1_000, "{of_images} and {of_copies} bytes");
    // Without images from now on.
    shop.run_command(kept("collMod", false)).await.unwrap();
    change().await;
    agrees(&mut lab, "v", query).await;
    shop.run_command(kept("collMod", true)).await.unwrap();
    lab.tag("REFRESH MATERIALIZED VIEW v").await;
    agrees(&mut lab, "v", query).await;
    t.drop().await.unwrap();
    agrees(&mut lab, "v", query).await;
    t.insert_many((0..9).map(|n| doc! {"_id": n, "k": n % 3, "v": n})).await.unwrap();
    change().await;
    agrees(&mut lab, "v", query).await;
}

/// SQL-14.4
#[tokio::test]
async fn numbers_may_be_stored_as_doubles() {
    let mut lab = Lab::with_mill().await;
    lab.collection("t").insert_one(doc! {"_id": 1, "n": 5}).await.unwrap();
    lab.tag("CREATE MATERIALIZED VIEW v WITH (numeric_as = 'double') AS SELECT _id, n, n / 2.0 AS half FROM t").await;
    lab.settle().await;
    lab.collection("t").insert_one(doc! {"_id": 2, "n": 6}).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.documents("v").await, [doc! {"_id": 1, "n": 5, "half": 2.5}, doc! {"_id": 2, "n": 6, "half": 3.0}]);
}

/// SQL-19.6: a view that is to fail does so before the commit that it cannot evaluate.
#[tokio::test]
async fn a_view_may_fail_at_a_row() {
    let mut lab = Lab::with_mill().await;
    lab.tag("CREATE MATERIALIZED VIEW v WITH (on_error = 'fail') AS SELECT _id, 100 / n AS share FROM t").await;
    lab.settle().await;
    for n in [4, 0, 5] {
        lab.collection("t").insert_one(doc! {"_id": 10 - n, "n": n}).await.unwrap();
    }
    super::eventually("it has failed", async || {
        lab.rows("SHOW MATERIALIZED VIEWS").await[0].get_str("state").unwrap() == "failed"
    })
    .await;
    let shown = lab.rows("SHOW MATERIALIZED VIEWS").await;
    assert!(shown[0].get_str("error").unwrap().starts_with("22012"), "{shown:?}");
    assert_eq!(lab.documents("v").await, [doc! {"_id": 6, "share": 25}]);
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
    lab.tag("ALTER MATERIALIZED VIEW v SET (on_error = 'skip'); RESUME MATERIALIZED VIEW v").await;
    lab.settle().await;
    assert_eq!(lab.documents("v").await, [doc! {"_id": 5, "share": 20}, doc! {"_id": 6, "share": 25}]);
    assert_eq!(lab.rows("SHOW DEAD LETTERS").await.len(), 1);
}

/// SQL-19.1, SQL-19.6: what is left out is known, whenever the mill ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_survive_their_mill() {
    let mut lab = Lab::with_mill().await;
    lab.tag("CREATE MATERIALIZED VIEW v AS SELECT _id, 100 / n AS share FROM t").await;
    lab.settle().await;
    for round in 0..6 {
        for n in 0..10 {
            lab.collection("t").insert_one(doc! {"_id": round * 10 + n, "n": n % 2}).await.unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(7 * u64::try_from(round).unwrap())).await;
        lab.drop_mill();
        lab.start_mill().await;
    }
    lab.settle().await;
    assert_eq!(lab.documents("v").await.len(), 30);
    assert_eq!(lab.rows("SHOW DEAD LETTERS").await.len(), 30);
    lab.collection("t").update_many(doc! {"n": 0}, doc! {"$set": {"n": 2}}).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.documents("v").await.len(), 60);
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
}
