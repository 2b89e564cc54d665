//! Batch queries (SQL-9, SQL-18).

use bson::{Bson, Document, doc};

use super::{Lab, column};

/// SQL-3.3, SQL-9.2, SQL-9.8
#[tokio::test]
async fn a_query_reads_collections() {
    let mut lab = Lab::new().await;
    let customers = [doc! {"_id": 1, "name": "Ann"}, doc! {"_id": 2, "name": "Bob"}];
    lab.collection("customers").insert_many(customers).await.unwrap();
    let orders =
        [doc! {"_id": 10, "cust": 1, "amt": 5}, doc! {"_id": 11, "cust": 1, "amt": 7}, doc! {"_id": 12, "amt": 1}];
    lab.collection("orders").insert_many(orders).await.unwrap();
    let rows = lab.rows("SELECT name, amt FROM customers c LEFT JOIN orders o ON o.cust = c._id ORDER BY amt").await;
    let expected =
        [doc! {"name": "Ann", "amt": 5}, doc! {"name": "Ann", "amt": 7}, doc! {"name": "Bob", "amt": Bson::Null}];
    assert_eq!(rows, expected);
    let rows = lab.rows("SELECT cust, COUNT(*) AS n, SUM(amt) AS s FROM orders GROUP BY cust ORDER BY cust").await;
    let expected = [doc! {"cust": 1, "n": 2_i64, "s": 12_i64}, doc! {"cust": Bson::Null, "n": 1_i64, "s": 1_i64}];
    assert_eq!(rows, expected);
    assert_eq!(lab.rows("SELECT * FROM orders WHERE _id = 11").await, [doc! {"_id": 11, "cust": 1, "amt": 7}]);
}

/// SQL-3.2: what is not there is empty, and told.
#[tokio::test]
async fn a_collection_that_does_not_exist_is_an_empty_table() {
    let mut lab = Lab::new().await;
    lab.collection("orders").insert_one(doc! {"_id": 1}).await.unwrap();
    let answer = lab.answer("SELECT COUNT(*) AS n FROM orderz").await.unwrap();
    assert!(answer.notices.iter().any(|notice| notice.message.contains("orderz")), "{:?}", answer.notices);
    assert_eq!(lab.rows("SELECT COUNT(*) AS n FROM orderz").await, [doc! {"n": 0_i64}]);
    assert_eq!(lab.fails("SET strict_tables = on; SELECT * FROM orderz").await, "42P01");
}

/// SQL-1.4: parameters
#[tokio::test]
async fn parameters_are_values() {
    let mut lab = Lab::new().await;
    lab.collection("t").insert_many([doc! {"_id": 1, "a": "x"}, doc! {"_id": 2, "a": "y"}]).await.unwrap();
    lab.session.set_parameters(vec!["y".into()]);
    assert_eq!(lab.rows("SELECT _id FROM t WHERE a = $1").await, [doc! {"_id": 2}]);
    // A text is read as what it meets, as a literal is (SQL-4.10).
    lab.session.set_parameters(vec!["2".into(), "x".into(), 3.into()]);
    assert_eq!(lab.rows("SELECT _id, $1 + 1 AS n FROM t WHERE _id = $1").await, [doc! {"_id": 2, "n": 3}]);
    assert_eq!(lab.rows("SELECT $1 || $2 AS t, $3 AS n").await, [doc! {"t": "2x", "n": 3}]);
    assert_eq!(lab.fails("SELECT 1 = $2 AS n").await, "22P02");
    assert_eq!(lab.fails("SELECT $4 AS n").await, "42P02");
}

/// E-7: `WHERE` over values of every kind, with what is asked of the server never hiding a row (SQL-20.2).
#[tokio::test]
async fn conditions_over_mixed_values() {
    let mut lab = Lab::new().await;
    let five: bson::Decimal128 = "5.00".parse().unwrap();
    let rows = [
        doc! {"_id": 1, "q": 5},
        doc! {"_id": 2, "q": Bson::Null},
        doc! {"_id": 3},
        doc! {"_id": 4, "q": "5"},
        doc! {"_id": 5, "q": 5.0},
        doc! {"_id": 6, "q": [5]},
        doc! {"_id": 7, "q": f64::NAN},
        doc! {"_id": 8, "q": five},
    ];
    lab.collection("t").insert_many(rows).await.unwrap();
    let cases: &[(&str, &[i32])] = &[
        ("q = 5", &[1, 5, 8]),
        ("q <> 5", &[4, 6, 7]),
        ("q > 4", &[1, 5, 7, 8]),
        ("NOT (q > 4)", &[]),
        ("q < 6", &[1, 5, 8]),
        ("q = '5'", &[1, 4, 5, 8]),
        ("q IS NULL", &[2, 3]),
        ("BSON_TYPE(q) = 'missing'", &[3]),
        ("q IN (5, NULL)", &[1, 5, 8]),
        ("q NOT IN (4, NULL)", &[]),
        ("q IS DISTINCT FROM 5", &[2, 3, 4, 6, 7]),
        ("q = q", &[1, 4, 5, 6, 7, 8]),
    ];
    for (condition, ids) in cases {
        let rows = lab.rows(&format!("SELECT _id FROM t WHERE {condition} ORDER BY _id")).await;
        let expected: Vec<Bson> = ids.iter().map(|id| Bson::Int32(*id)).collect();
        assert_eq!(column(&rows, "_id"), expected, "{condition}");
    }
}

/// SQL-18.4, SQL-18.9
#[tokio::test]
async fn show_and_describe() {
    let mut lab = Lab::new().await;
    lab.collection("t").insert_many([doc! {"_id": 1, "a": {"b": 1}}, doc! {"_id": 2, "a": "x"}]).await.unwrap();
    assert_eq!(column(&lab.rows("SHOW TABLES").await, "name"), [Bson::from("t")]);
    assert_eq!(lab.rows("SET time_zone = 'Europe/Rome'; SHOW time_zone").await, [doc! {"time_zone": "Europe/Rome"}]);
    assert_eq!(lab.fails("SET time_zone = 'Mars/Olympus'").await, "22023");
    assert_eq!(lab.fails("SHOW nothing_like_this").await, "42704");
    let rows = lab.rows("DESCRIBE t").await;
    let types =
        rows.iter().map(|row| (row.get_str("path").unwrap(), row.get_str("types").unwrap())).collect::<Vec<_>>();
    assert!(types.contains(&("a", "document, text")) || types.contains(&("a", "text, document")), "{types:?}");
    assert!(types.contains(&("a.b", "integer")), "{types:?}");
    let plan = lab.rows("EXPLAIN SELECT _id FROM t WHERE a = 1").await;
    assert!(column(&plan, "plan").iter().any(|line| line.as_str().unwrap().contains("shop.t")), "{plan:?}");
}

/// SQL-19.6: one row that cannot be evaluated fails a batch query.
#[tokio::test]
async fn errors_have_their_classes() {
    let mut lab = Lab::new().await;
    lab.collection("t").insert_one(doc! {"_id": 1, "n": 0}).await.unwrap();
    assert_eq!(lab.fails("SELECT 10 / n AS r FROM t").await, "22012");
    assert_eq!(lab.fails("SELEC 1").await, "42601");
    assert_eq!(lab.fails("SELECT nope(1)").await, "42883");
    assert_eq!(lab.fails("CREATE CONNECTION c TO 'mongodb://other'").await, "0A000");
}

/// SQL-20.6: the first documents of an order are enough for a LIMIT, and give what all of them give, wherever NULL, NaN, arrays
/// and equal values are.
#[tokio::test]
async fn a_limit_reads_what_decides_it() {
    let mut lab = Lab::new().await;
    let odd = [Bson::Null, Bson::Double(f64::NAN), bson::bson!([1, 500]), "text".into(), doc! {"n": 1}.into()];
    let days = |n: i64| Bson::from(bson::DateTime::from_millis(n * 86_400_000));
    let mut rows: Vec<Document> = (0..600_i32)
        .map(|n| doc! {"_id": n, "plain": (n * 7919) % 601, "many": n % 3, "day": days((i64::from(n) * 31) % 97), "odd": n})
        .collect();
    rows.extend(
        odd.iter().enumerate().map(|(n, odd)| doc! {"_id": format!("s{n}"), "plain": 1000, "odd": odd, "day": odd}),
    );
    rows.push(doc! {"_id": "missing"});
    let t = lab.collection("t");
    t.insert_many(rows).await.unwrap();
    for field in ["plain", "many", "day", "odd"] {
        lab.tag(&format!("CREATE INDEX ON t ({field})")).await;
    }
    for field in ["_id", "plain", "many", "day", "odd"] {
        for way in ["", " DESC", " NULLS FIRST", " DESC NULLS LAST"] {
            for (condition, limit) in [("", "3"), ("", "590"), (" WHERE many = 1 AND plain % 2 = 0", "7 OFFSET 5")] {
                let select = format!("SELECT _id, {field} AS f FROM t{condition} ORDER BY {field}{way} LIMIT {limit}");
                // A subquery keeps the same from being read in order.
                let all = format!(
                    "SELECT _id, f FROM (SELECT _id, {field} AS f, EXISTS (SELECT 1 FROM none) FROM t{condition}) s ORDER BY f{way} LIMIT {limit}"
                );
                let (few, all) = (lab.rows(&select).await, lab.rows(&all).await);
                assert_eq!(format!("{few:?}"), format!("{all:?}"), "{select}");
            }
        }
    }
    assert_eq!(column(&lab.rows("SELECT _id FROM t LIMIT 2").await, "_id"), [0.into(), 1.into()]);
    assert!(lab.rows("SELECT 1 / 0 AS x FROM t LIMIT 0").await.is_empty());
    let explained = column(&lab.rows("EXPLAIN SELECT _id FROM t ORDER BY day DESC LIMIT 5").await, "plan");
    assert!(explained.contains(&"read by day down, until 5 row(s) are certain".into()), "{explained:?}");
    // What is not read cannot fail either.
    let more = (1_000..2_000).map(|n| doc! {"_id": n, "late": days(n), "z": i32::from(n > 1_500)});
    t.insert_many(more).await.unwrap();
    lab.tag("CREATE INDEX ON t (late)").await;
    let found = column(&lab.rows("SELECT _id, 1 / z AS one FROM t ORDER BY late DESC NULLS LAST LIMIT 5").await, "_id");
    assert_eq!(found, (0..5).map(|n| Bson::from(1_999_i64 - n)).collect::<Vec<_>>());
    assert_eq!(lab.fails("SELECT _id, 1 / z AS one FROM t ORDER BY late DESC NULLS LAST LIMIT 600").await, "22012");
}

/// SQL-22.1: what a query may not exceed.
#[tokio::test]
async fn queries_have_limits() {
    let mut lab = Lab::new().await;
    let columns = |n: usize| format!("SELECT {}", (0..n).map(|n| format!("1 AS c{n}")).collect::<Vec<_>>().join(", "));
    assert_eq!(lab.rows(&columns(1_000)).await[0].len(), 1_000);
    assert_eq!(lab.fails(&columns(1_001)).await, "54000");
    let items = |n: usize| {
        format!("SELECT 1 AS one FROM {}", (0..n).map(|n| format!("(SELECT 1) i{n}")).collect::<Vec<_>>().join(", "))
    };
    assert_eq!(lab.rows(&items(64)).await.len(), 1);
    assert_eq!(lab.fails(&items(65)).await, "54000");
    let list =
        |n: usize| format!("SELECT 1 IN ({}) AS found", (0..n).map(|n| n.to_string()).collect::<Vec<_>>().join(", "));
    assert_eq!(lab.rows(&list(10_000)).await, [doc! {"found": true}]);
    assert_eq!(lab.fails(&list(10_001)).await, "54000");
    let path = |n: usize| format!("SELECT a{} AS deep FROM t", ".a".repeat(n));
    assert_eq!(lab.rows(&path(100)).await.len(), 0);
    assert_eq!(lab.fails(&path(101)).await, "54000");
    lab.session.set_parameters(vec![Bson::Int32(1); 65_536]);
    assert_eq!(lab.fails("SELECT $1 AS one").await, "54000");
    lab.session.set_parameters(Vec::new());
    // A row, and what an aggregate gathers.
    lab.collection("t").insert_one(doc! {"_id": 1, "a": "x".repeat(9 << 20)}).await.unwrap();
    assert_eq!(lab.fails("SELECT a, a || '' AS again FROM t").await, "54000");
    assert_eq!(
        lab.fails("SELECT ARRAY_AGG(a) AS all_of_them FROM (SELECT a FROM t UNION ALL SELECT a FROM t) s").await,
        "54000"
    );
}
