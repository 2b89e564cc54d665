//! Writes (SQL-10).

use bson::{Bson, doc};

use super::{Lab, column};

/// SQL-10.2
#[tokio::test]
async fn insert_makes_documents() {
    let mut lab = Lab::new().await;
    let tag = lab.tag("INSERT INTO t (_id, a, address.city) VALUES (1, 'x', 'Rome'), (2, NULL, DEFAULT)").await;
    assert_eq!(tag, "INSERT 0 2");
    let expected = [doc! {"_id": 1, "a": "x", "address": {"city": "Rome"}}, doc! {"_id": 2, "a": Bson::Null}];
    assert_eq!(lab.documents("t").await, expected);
    lab.tag(r#"INSERT INTO u VALUES ('{"_id": 7, "a": 1}'::jsonb)"#).await;
    assert_eq!(lab.documents("u").await, [doc! {"_id": 7, "a": 1}]);
    let rows = lab.rows("INSERT INTO v (a) SELECT a FROM t WHERE a IS NOT NULL RETURNING _id, a").await;
    assert!(matches!(rows[0].get("_id"), Some(Bson::ObjectId(_))), "{rows:?}");
    assert_eq!(column(&rows, "a"), [Bson::from("x")]);
    assert_eq!(lab.fails("INSERT INTO t (_id) VALUES (1)").await, "23505");
}

/// SQL-10.2: ON CONFLICT
#[tokio::test]
async fn conflicts_are_resolved() {
    let mut lab = Lab::new().await;
    lab.tag("CREATE UNIQUE INDEX by_sku ON t (sku); INSERT INTO t (_id, sku, n) VALUES (1, 'a', 1)").await;
    assert_eq!(lab.tag("INSERT INTO t (sku, n) VALUES ('a', 5) ON CONFLICT (sku) DO NOTHING").await, "INSERT 0 0");
    let upsert = "INSERT INTO t AS o (sku, n) VALUES ('a', 5), ('b', 2), ('b', 3)
        ON CONFLICT (sku) DO UPDATE SET n = o.n + EXCLUDED.n";
    assert_eq!(lab.tag(upsert).await, "INSERT 0 3");
    let rows = lab.rows("SELECT sku, n FROM t ORDER BY sku").await;
    assert_eq!(rows, [doc! {"sku": "a", "n": 6}, doc! {"sku": "b", "n": 5}]);
    assert_eq!(lab.fails("INSERT INTO t (n) VALUES (1) ON CONFLICT (n) DO NOTHING").await, "42P10");
}

/// E-15: `UPDATE … FROM` (SQL-10.5, SQL-10.6)
#[tokio::test]
async fn update_from_takes_the_first_match() {
    let mut lab = Lab::new().await;
    let inventory = [doc! {"_id": 1, "product_id": "p1", "reserved": 0}, doc! {"_id": 2, "product_id": "p2"}];
    lab.collection("inventory").insert_many(inventory).await.unwrap();
    let items = [
        doc! {"_id": 1, "product_id": "p1", "quantity": 2},
        doc! {"_id": 2, "product_id": "p1", "quantity": 3},
        doc! {"_id": 3, "product_id": "p2", "quantity": 1},
    ];
    lab.collection("order_items").insert_many(items).await.unwrap();
    let update = "UPDATE inventory SET reserved = reserved + oi.quantity FROM order_items oi
        WHERE inventory.product_id = oi.product_id";
    let answer = lab.answer(update).await.unwrap();
    assert!(answer.notices.iter().any(|notice| notice.message == "1 row had several matches"), "{:?}", answer.notices);
    let rows = lab.rows("SELECT _id, reserved FROM inventory ORDER BY _id").await;
    assert_eq!(rows, [doc! {"_id": 1, "reserved": 2}, doc! {"_id": 2, "reserved": Bson::Null}]);
    let update = "UPDATE inventory SET reserved = 0;
        UPDATE inventory SET reserved = COALESCE(reserved, 0) + oi.quantity
        FROM (SELECT product_id, SUM(quantity) AS quantity FROM order_items GROUP BY product_id) oi
        WHERE inventory.product_id = oi.product_id";
    assert_eq!(lab.tag(update).await, "UPDATE 2");
    let rows = lab.rows("SELECT reserved FROM inventory ORDER BY _id").await;
    assert_eq!(column(&rows, "reserved"), [Bson::Int64(5), Bson::Int64(1)]);
}

/// SQL-10.4, E-23
#[tokio::test]
async fn paths_are_updated() {
    let mut lab = Lab::new().await;
    let rows = [
        doc! {"_id": 1, "items": [{"sku": "a", "price": 2.5}, {"sku": "b", "price": 4.0}], "address": {"city": "Rome"}},
        doc! {"_id": 2, "items": [], "address": "none"},
    ];
    lab.collection("t").insert_many(rows).await.unwrap();
    let update = |id: i32| format!("UPDATE t SET items[1].price = 5, address.zip = '00100' WHERE _id = {id}");
    assert_eq!(lab.tag(&update(1)).await, "UPDATE 1");
    assert_eq!(lab.fails(&update(2)).await, "42804");
    let expected = doc! {
        "_id": 1,
        "items": [{"sku": "a", "price": 2.5}, {"sku": "b", "price": 5}],
        "address": {"city": "Rome", "zip": "00100"},
    };
    assert_eq!(lab.documents("t").await[0], expected);
    assert_eq!(lab.tag("UPDATE t SET address = DEFAULT WHERE _id = 2").await, "UPDATE 1");
    assert_eq!(lab.documents("t").await[1], doc! {"_id": 2, "items": []});
    assert_eq!(lab.fails("UPDATE t SET _id = 2").await, "0A000");
}

/// SQL-10.3: what would not change is not written, but counts.
#[tokio::test]
async fn an_update_that_changes_nothing_is_silent() {
    let mut lab = Lab::new().await;
    lab.collection("t").insert_many([doc! {"_id": 1, "a": 1}, doc! {"_id": 2, "a": 2}]).await.unwrap();
    let mut stream = lab.collection("t").watch().await.unwrap();
    assert_eq!(lab.tag("UPDATE t SET a = 1").await, "UPDATE 2");
    let event = stream.next_if_any().await;
    let first = match event.unwrap() {
        Some(event) => event,
        None => futures::StreamExt::next(&mut stream).await.unwrap().unwrap(),
    };
    assert_eq!(first.document_key, Some(doc! {"_id": 2}));
    lab.collection("t").insert_one(doc! {"_id": 3}).await.unwrap();
    let second = futures::StreamExt::next(&mut stream).await.unwrap().unwrap();
    assert_eq!(second.document_key, Some(doc! {"_id": 3}), "nothing was written to the first document");
}

/// SQL-10.7
#[tokio::test]
async fn delete_and_truncate() {
    let mut lab = Lab::new().await;
    let rows = [doc! {"_id": 1, "a": 1}, doc! {"_id": 2, "a": 2}, doc! {"_id": 3, "a": 3}];
    lab.collection("t").insert_many(rows).await.unwrap();
    lab.collection("gone").insert_one(doc! {"_id": 1, "of": 2}).await.unwrap();
    assert_eq!(
        lab.rows("DELETE FROM t USING gone g WHERE g.of = t._id RETURNING _id, a").await,
        [doc! {"_id": 2, "a": 2}]
    );
    assert_eq!(lab.tag("DELETE FROM t WHERE a = 1").await, "DELETE 1");
    assert_eq!(lab.documents("t").await, [doc! {"_id": 3, "a": 3}]);
    assert_eq!(lab.tag("TRUNCATE t").await, "TRUNCATE TABLE");
    assert!(lab.documents("t").await.is_empty());
}

/// SQL-1.5, SQL-10.1
#[tokio::test]
async fn transactions_are_whole() {
    let mut lab = Lab::new().await;
    lab.tag("INSERT INTO t (_id, n) VALUES (1, 1)").await;
    let rows =
        lab.rows("BEGIN; UPDATE t SET n = 2; INSERT INTO t (_id, n) VALUES (2, 2); SELECT n FROM t ORDER BY n").await;
    assert_eq!(rows.len(), 2);
    assert_eq!(lab.documents("t").await, [doc! {"_id": 1, "n": 1}], "not yet to be seen by others");
    lab.tag("ROLLBACK").await;
    assert_eq!(lab.documents("t").await, [doc! {"_id": 1, "n": 1}]);
    lab.tag("BEGIN; UPDATE t SET n = n + 1; COMMIT").await;
    assert_eq!(lab.documents("t").await, [doc! {"_id": 1, "n": 2}]);
    assert_eq!(lab.fails("BEGIN; INSERT INTO t (_id) VALUES (1)").await, "23505");
    assert_eq!(lab.fails("SELECT 1 AS one").await, "25P02");
    assert_eq!(lab.tag("COMMIT").await, "ROLLBACK");
}

/// SQL-10.1: a conflict is retried where the transaction is the statement's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_meet_are_tried_again() {
    let mut lab = Lab::new().await;
    lab.tag("INSERT INTO t (_id, n) VALUES (1, 0)").await;
    let uri = lab.server.uri();
    let raise = async |times: usize| {
        let options = millstream_mill::SessionOptions { database: Some("shop".to_owned()) };
        let mut session = millstream_mill::Session::connect(&uri, options).await.unwrap();
        let update = millstream_sql::statement::statement("UPDATE t SET n = n + 1 WHERE _id = 1").unwrap();
        for _ in 0..times {
            session.run(&update).await.unwrap();
        }
    };
    tokio::join!(raise(20), raise(20));
    assert_eq!(lab.documents("t").await, [doc! {"_id": 1, "n": 40}]);
}

/// SQL-10.8
#[tokio::test]
async fn tables_are_made_and_dropped() {
    let mut lab = Lab::new().await;
    let create = "CREATE TABLE t (_id integer PRIMARY KEY, sku text NOT NULL UNIQUE, n bigint)";
    let answer = lab.answer(create).await.unwrap();
    // The engine has no validators, which is told.
    assert!(answer.notices.iter().any(|notice| notice.message.contains("not checked")), "{:?}", answer.notices);
    lab.tag("INSERT INTO t (_id, sku, n) VALUES (1, 'a', 1)").await;
    assert_eq!(lab.fails("INSERT INTO t (_id, sku) VALUES (2, 'a')").await, "23505");
    assert_eq!(lab.fails("CREATE TABLE t (a text)").await, "42P07");
    lab.tag("CREATE TABLE IF NOT EXISTS t (a text); ALTER TABLE t RENAME TO u; CREATE INDEX by_n ON u (n DESC)").await;
    lab.tag("DROP INDEX by_n").await;
    assert_eq!(lab.fails("DROP INDEX by_n").await, "42704");
    lab.tag("CREATE VIEW v AS SELECT sku FROM u").await;
    assert_eq!(lab.fails("DROP TABLE u").await, "2BP01");
    lab.tag("DROP TABLE u CASCADE").await;
    assert_eq!(lab.fails("DROP VIEW v").await, "42704");
    assert_eq!(lab.fails("DROP TABLE u").await, "42P01");
}

/// SQL-10.1: what is not atomic is written in pieces.
#[tokio::test]
async fn a_statement_may_be_written_in_pieces() {
    let mut lab = Lab::new().await;
    lab.collection("t").insert_one(doc! {"_id": 2_200_i64}).await.unwrap();
    let insert = "INSERT INTO t (_id) SELECT g::bigint FROM GENERATE_SERIES(1, 2500) AS s(g)";
    assert_eq!(lab.fails(insert).await, "23505");
    let count = async |lab: &Lab| lab.collection("t").count_documents(doc! {}).await.unwrap();
    assert_eq!(count(&lab).await, 1);
    lab.tag("SET atomic = off").await;
    assert_eq!(lab.rows("SHOW atomic").await, [doc! {"atomic": "off"}]);
    assert_eq!(lab.fails(insert).await, "23505");
    assert_eq!(count(&lab).await, 2_200);
    assert_eq!(lab.tag("UPDATE t SET n = 1").await, "UPDATE 2200");
    assert_eq!(lab.tag("DELETE FROM t WHERE n = 1").await, "DELETE 2200");
    lab.tag("SET atomic = on").await;
    assert_eq!(lab.tag(insert).await, "INSERT 0 2500");
}
