//! Definitions: names, routines, where they begin, how one waits for them (SQL-3.1, SQL-14 to SQL-18).

use bson::{Bson, Document, doc};
use millstream_mill::{Natives, Volatility};

use super::{Lab, column, eventually};

/// SQL-3.1: tables and views share one name space in each database, routines and triggers have one each.
#[tokio::test]
async fn names_are_of_one_kind() {
    let mut lab = Lab::new().await;
    lab.tag("INSERT INTO t (_id, a) VALUES (1, 1); INSERT INTO other.t (_id, a) VALUES (2, 2)").await;
    assert_eq!(lab.rows("SELECT a FROM shop.t UNION ALL SELECT a FROM other.t").await, [doc! {"a": 1}, doc! {"a": 2}]);
    assert_eq!(lab.fails("CREATE VIEW t AS SELECT 1 AS one").await, "42P07");
    assert_eq!(lab.fails("CREATE MATERIALIZED VIEW t AS SELECT a FROM other.t").await, "42P07");
    lab.tag("CREATE VIEW v AS SELECT a FROM t").await;
    assert_eq!(lab.fails("CREATE MATERIALIZED VIEW v AS SELECT a FROM t").await, "42P07");
    assert_eq!(lab.fails("CREATE TABLE v (a integer)").await, "42P07");
    lab.tag("CREATE VIEW other.v AS SELECT a FROM t").await;
    assert_eq!(lab.rows("SELECT a FROM other.v").await, [doc! {"a": 2}], "its own database's table");
    lab.tag("CREATE FUNCTION v() RETURNS integer LANGUAGE SQL RETURN 7").await;
    lab.tag("CREATE PROCEDURE v() LANGUAGE SQL AS BEGIN RETURN; END").await;
    lab.tag("CREATE TRIGGER v ON t FOR INSERT AS BEGIN RETURN; END").await;
    assert_eq!(lab.rows("SELECT v() AS n FROM v").await, [doc! {"n": 7}]);
    assert_eq!(lab.fails("SELECT a FROM far.away.t").await, "0A000");
}

/// SQL-16.3: names in any case; an argument is cast, and wins over a column; `$1` is it, too.
#[tokio::test]
async fn arguments_are_meant_first() {
    let mut lab = Lab::new().await;
    lab.tag("INSERT INTO t (_id, a) VALUES (1, 10), (2, 20)").await;
    lab.tag(
        "CREATE FUNCTION Above(a bigint) RETURNS bigint LANGUAGE SQL STABLE AS 'SELECT COUNT(*) FROM t WHERE t.a > a';
         CREATE FUNCTION twice(x bigint) RETURNS bigint LANGUAGE SQL IMMUTABLE AS 'SELECT $1 + x';
         CREATE FUNCTION kind(x any) RETURNS text LANGUAGE SQL AS 'SELECT BSON_TYPE(x)'",
    )
    .await;
    assert_eq!(lab.rows("SELECT ABOVE(15) AS n, above('5') AS m").await, [doc! {"n": 1_i64, "m": 2_i64}]);
    assert_eq!(lab.rows("SELECT twice('4') AS n, TWICE(2) AS m").await, [doc! {"n": 8_i64, "m": 4_i64}]);
    assert_eq!(lab.rows("SELECT kind(1.5::float8) AS a, kind(1) AS b").await, [doc! {"a": "double", "b": "int"}]);
    assert_eq!(lab.fails("SELECT twice('four')").await, "22P02");
    lab.tag("CREATE FUNCTION plus(x bigint, y bigint DEFAULT 10, z bigint DEFAULT 100) RETURNS bigint LANGUAGE SQL RETURN x + y + z").await;
    assert_eq!(
        lab.rows("SELECT plus(1) AS a, plus(1, 2) AS b, plus(1, 2, 3) AS c").await,
        [doc! {"a": 111_i64, "b": 103_i64, "c": 6_i64}]
    );
    assert_eq!(lab.fails("SELECT twice(1, 2)").await, "42883");
}

/// SQL-16.3, SQL-18.3: routines of one name differ in how many arguments they take; no call could mean two of them.
#[tokio::test]
async fn routines_share_a_name() {
    let mut lab = Lab::new().await;
    lab.register(Natives::new().function("count", Volatility::Immutable, |arguments| {
        Ok(Bson::Int32(i32::try_from(arguments.len()).unwrap()))
    }));
    lab.tag(
        "CREATE FUNCTION area(a bigint) RETURNS bigint LANGUAGE SQL IMMUTABLE RETURN a;
         CREATE FUNCTION Area(a bigint, b bigint) RETURNS bigint LANGUAGE SQL IMMUTABLE RETURN a * b;
         CREATE OR REPLACE FUNCTION area(a bigint) RETURNS bigint LANGUAGE SQL IMMUTABLE RETURN AREA(a, a);
         CREATE FUNCTION given() RETURNS any LANGUAGE NATIVE AS 'count';
         CREATE FUNCTION given(a any, b any, c any DEFAULT area(1)) RETURNS any LANGUAGE NATIVE AS 'count'",
    )
    .await;
    let all = "SELECT area(3) AS one, AREA(3, 4) AS two, given() AS n, given(1, 2) AS d, given(1, 2, 3) AS m";
    assert_eq!(lab.rows(all).await, [doc! {"one": 9_i64, "two": 12_i64, "n": 0, "d": 3, "m": 3}]);
    assert_eq!(lab.fails("SELECT area(1, 2, 3)").await, "42883");
    assert_eq!(lab.fails("SELECT given(1)").await, "42883");
    // What could mean two routines, or is there, or would never end.
    let area = |arguments: &str, body: &str| {
        format!("CREATE FUNCTION area({arguments}) RETURNS bigint LANGUAGE SQL IMMUTABLE RETURN {body}")
    };
    assert_eq!(lab.fails(&area("a bigint, b bigint", "1")).await, "42723");
    assert_eq!(lab.fails(&area("a bigint, b bigint, c bigint DEFAULT 1", "1")).await, "42723");
    assert_eq!(lab.fails(&area("a bigint, b bigint", "area(a)").replace("CREATE", "CREATE OR REPLACE")).await, "42P19");
    // The first has the `_id` of old; definitions from before are found by it.
    let definitions = lab.client.database("millstream").collection::<Document>("definitions");
    let ids = definitions.distinct("_id", doc! {"name": {"$in": ["area", "Area"]}}).await.unwrap();
    assert_eq!(ids, ["shop.function.area", "shop.function.area(2)"].map(Bson::from));
    let shown = lab.rows("SHOW FUNCTIONS LIKE '%rea'").await;
    assert_eq!(column(&shown, "arguments"), ["a BIGINT, b BIGINT", "a BIGINT"].map(Bson::from));
    // One is meant by the types of its arguments.
    for statement in ["DROP FUNCTION area", "SHOW CREATE FUNCTION area", "ALTER FUNCTION area RENAME TO size"] {
        assert_eq!(lab.fails(statement).await, "42725", "{statement}");
    }
    assert_eq!(lab.fails("DROP FUNCTION area(text)").await, "42704");
    assert_eq!(lab.fails("DROP FUNCTION area(bigint, b int8)").await, "2BP01");
    let sql = &lab.rows("SHOW CREATE FUNCTION area(bigint, bigint)").await[0];
    assert!(sql.get_str("sql").unwrap().ends_with("RETURN a * b;"), "{sql}");
    lab.tag("ALTER FUNCTION given() RENAME TO nothing_given; DROP FUNCTION given; DROP FUNCTION area(a bigint)").await;
    assert_eq!(lab.rows("SELECT nothing_given() AS n, area(2, 2) AS a").await, [doc! {"n": 0, "a": 4_i64}]);
    lab.tag("CREATE FUNCTION side(a bigint) RETURNS bigint LANGUAGE SQL IMMUTABLE RETURN a").await;
    lab.tag("ALTER FUNCTION side RENAME TO area; DROP FUNCTION IF EXISTS area(bigint)").await;
    lab.tag("DROP FUNCTION area").await;
    // Procedures likewise.
    lab.tag(
        "CREATE PROCEDURE p(a any) LANGUAGE SQL AS BEGIN INSERT INTO t (_id, n) VALUES (a, 1); END;
         CREATE PROCEDURE p(a any, b any) LANGUAGE SQL AS BEGIN CALL p(a); UPDATE t SET n = b WHERE _id = a; END;
         CALL p(1); CALL P(2, 5)",
    )
    .await;
    assert_eq!(lab.documents("t").await, [doc! {"_id": 1, "n": 1}, doc! {"_id": 2, "n": 5}]);
    assert_eq!(lab.fails("CALL p(1, 2, 3)").await, "42883");
    assert_eq!(lab.fails("DROP PROCEDURE p(any)").await, "2BP01");
    lab.tag("DROP PROCEDURE p(any) CASCADE").await;
    assert!(lab.rows("SHOW PROCEDURES").await.is_empty());
}

/// SQL-16.6
#[tokio::test]
async fn routines_are_dropped() {
    let mut lab = Lab::new().await;
    lab.tag(
        "CREATE FUNCTION one() RETURNS integer LANGUAGE SQL RETURN 1;
         CREATE FUNCTION two() RETURNS integer LANGUAGE SQL RETURN one() + one();
         CREATE PROCEDURE p() LANGUAGE SQL AS BEGIN INSERT INTO t (n) VALUES (two()); END",
    )
    .await;
    assert_eq!(lab.fails("DROP FUNCTION one").await, "2BP01");
    assert_eq!(lab.fails("DROP FUNCTION nothing").await, "42704");
    lab.tag("DROP FUNCTION IF EXISTS nothing; DROP FUNCTION one CASCADE").await;
    assert!(lab.rows("SHOW FUNCTIONS").await.is_empty());
    assert!(lab.rows("SHOW PROCEDURES").await.is_empty());
    assert_eq!(lab.fails("CALL p()").await, "42883");
}

/// SQL-18.5: it returns when everything acknowledged before is dealt with, or says why it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_waits_for_what_was_written() {
    let mut lab = Lab::with_mill().await;
    lab.tag("CREATE MATERIALIZED VIEW v AS SELECT a FROM t; WAIT FOR ALL").await;
    for n in 0..20_i32 {
        lab.collection("t").insert_one(doc! {"_id": n, "a": n}).await.unwrap();
        lab.tag("WAIT FOR MATERIALIZED VIEW v").await;
        let there = lab.collection("v").find_one(doc! {"_id": n}).await.unwrap();
        assert_eq!(there, Some(doc! {"_id": n, "a": n}));
    }
    assert_eq!(lab.fails("WAIT FOR MATERIALIZED VIEW nothing").await, "42704");
    lab.stop_mill().await;
    lab.tag("CREATE TRIGGER g ON t FOR INSERT AS BEGIN RETURN; END").await;
    assert_eq!(lab.fails("WAIT FOR TRIGGER g TIMEOUT INTERVAL '50 milliseconds'").await, "57014");
    lab.tag("PAUSE TRIGGER g").await;
    assert_eq!(lab.fails("WAIT FOR TRIGGER g").await, "55000");
}

/// SQL-15.9, SQL-15.6: from now on, or from a time on; what takes another's place goes on where that was; in sequence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_have_a_beginning() {
    let mut lab = Lab::with_mill().await;
    lab.tag("INSERT INTO t (_id) VALUES (1); INSERT INTO t (_id) VALUES (2)").await;
    let trigger = |target: &str, with: &str| {
        format!(
            "CREATE OR REPLACE TRIGGER {target} ON t FOR INSERT {with}
             AS BEGIN INSERT INTO {target} (_id, place) VALUES (NEW._id, (SELECT COUNT(*) FROM {target})); END"
        )
    };
    lab.tag(&trigger("a", "")).await;
    lab.tag(&trigger("b", "WITH (start = TIMESTAMPTZ '2020-01-01 00:00:00Z')")).await;
    lab.tag("INSERT INTO t (_id) VALUES (3); INSERT INTO t (_id) VALUES (4)").await;
    lab.settle().await;
    let row = |id: i32, place: i64| doc! {"_id": id, "place": place};
    assert_eq!(lab.documents("a").await, [row(3, 0), row(4, 1)]);
    assert_eq!(lab.documents("b").await, [row(1, 0), row(2, 1), row(3, 2), row(4, 3)]);
    lab.stop_mill().await;
    lab.tag("INSERT INTO t (_id) VALUES (5)").await;
    lab.tag(&trigger("a", "WITH (retries = 1)")).await;
    lab.start_mill().await;
    lab.settle().await;
    assert_eq!(lab.documents("a").await, [row(3, 0), row(4, 1), row(5, 2)], "the place was kept");
    lab.tag("DROP TRIGGER b; INSERT INTO t (_id) VALUES (6)").await;
    lab.tag(&trigger("b", "")).await;
    lab.tag("INSERT INTO t (_id) VALUES (7)").await;
    lab.settle().await;
    let made = lab.documents("b").await;
    assert_eq!(column(&made, "_id"), [1, 2, 3, 4, 5, 7].map(Bson::from), "made anew, it begins now");
}

/// SQL-14.9: to aggregate over changes for ever, a view over the collection of a change query's outputs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_counted_for_ever() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "CREATE MATERIALIZED VIEW moves AS
         SELECT OLD.status AS was, NEW.status AS became FROM orders WHERE CHANGE_DETECTED() AND CHANGED(status);
         CREATE MATERIALIZED VIEW counted AS SELECT was, became, COUNT(*) AS n FROM moves GROUP BY was, became",
    )
    .await;
    lab.settle().await;
    lab.tag("INSERT INTO orders (_id, status) VALUES (1, 'new'), (2, 'new')").await;
    lab.tag("UPDATE orders SET status = 'paid'").await;
    lab.tag("DELETE FROM orders").await;
    let expected = [
        doc! {"was": "new", "became": "paid", "n": 2_i64},
        doc! {"was": "paid", "became": Bson::Null, "n": 2_i64},
        doc! {"was": Bson::Null, "became": "new", "n": 2_i64},
    ];
    let counted = "SELECT was, became, n FROM counted ORDER BY was, became";
    for _ in 0..3 {
        lab.settle().await;
    }
    assert_eq!(lab.rows(counted).await, expected);
}

/// SQL-14.7: what a view may not hold is refused; `target` writes elsewhere.
#[tokio::test]
async fn views_have_their_limits() {
    let mut lab = Lab::with_mill().await;
    for (query, state) in [
        ("SELECT GEN_RANDOM_UUID() AS u FROM t", "0A000"),
        ("SELECT CLOCK_TIMESTAMP() AS c FROM t", "0A000"),
        ("SELECT LOCALTIMESTAMP AS c FROM t", "MS005"),
        ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r", "0A000"),
        ("SELECT a, a AS a FROM t", "42701"),
    ] {
        assert_eq!(lab.fails(&format!("CREATE MATERIALIZED VIEW v AS {query}")).await, state, "{query}");
    }
    lab.tag("INSERT INTO t (_id, a) VALUES (1, 2)").await;
    lab.tag("CREATE MATERIALIZED VIEW v WITH (target = 'reports.daily') AS SELECT a FROM t; WAIT FOR ALL").await;
    let daily = lab.client.database("reports").collection::<Document>("daily");
    assert_eq!(daily.find_one(doc! {}).await.unwrap(), Some(doc! {"_id": 1, "a": 2}));
    assert_eq!(lab.fails("CREATE MATERIALIZED VIEW w WITH (target = 'far.db.c') AS SELECT a FROM t").await, "0A000");
}

/// SQL-19.2: what changes while a view is first filled is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_is_filled_while_its_table_changes() {
    let mut lab = Lab::with_mill().await;
    let t = lab.collection("t");
    t.insert_many((0..6_000).map(|n| doc! {"_id": n, "g": n % 10, "v": n})).await.unwrap();
    lab.tag("CREATE MATERIALIZED VIEW v AS SELECT g, COUNT(*) AS n, SUM(v) AS s FROM t GROUP BY g").await;
    for n in 0..40_i32 {
        t.update_one(doc! {"_id": n * 7}, doc! {"$inc": {"v": 1_000, "g": 1}}).await.unwrap();
        t.delete_one(doc! {"_id": n * 11 + 1}).await.unwrap();
        t.insert_one(doc! {"_id": 10_000 + n, "g": 3, "v": n}).await.unwrap();
    }
    lab.settle().await;
    let shown = lab.rows("SELECT g, n, s FROM v ORDER BY g").await;
    assert_eq!(shown, lab.rows("SELECT g, COUNT(*) AS n, SUM(v) AS s FROM t GROUP BY g ORDER BY g").await);
}

/// SQL-19.5: groups are kept for ever, and a limit of bytes says when that is too much, instead of forgetting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_is_limited_and_never_forgotten() {
    let mut lab = Lab::with_mill().await;
    let query = "SELECT k, COUNT(*) AS n FROM t GROUP BY k";
    lab.tag(&format!("CREATE MATERIALIZED VIEW v WITH (max_state_bytes = 20000) AS {query}")).await;
    lab.collection("t").insert_one(doc! {"_id": -1, "k": "first"}).await.unwrap();
    lab.settle().await;
    lab.collection("t").insert_many((0..2_000).map(|n| doc! {"_id": n, "k": format!("key {n}")})).await.unwrap();
    let definitions = lab.client.database("millstream").collection::<Document>("definitions");
    eventually("it has failed", async || {
        definitions.find_one(doc! {"name": "v"}).await.unwrap().unwrap().get_str("state").unwrap() == "failed"
    })
    .await;
    let row = &lab.rows("SHOW MATERIALIZED VIEWS").await[0];
    assert!(row.get_str("error").unwrap().starts_with("53400"), "{row}");
    // Every commit before it is there.
    let shown = lab.documents("v").await;
    assert!((1..2_001).contains(&shown.len()), "{}", shown.len());
    assert_eq!(shown[0], doc! {"_id": "first", "k": "first", "n": 1_i64});
}

/// SQL-18.7: the text, the operators and what they keep, what is read of each table, the key, the notices.
#[tokio::test]
async fn plans_are_explained() {
    let mut lab = Lab::new().await;
    let text = async |lab: &mut Lab, explain: &str| -> Vec<String> {
        column(&lab.rows(explain).await, "plan").iter().map(|line| line.as_str().unwrap().to_owned()).collect()
    };
    let lines =
        text(&mut lab, "EXPLAIN CREATE MATERIALIZED VIEW v AS SELECT a, COUNT(*) AS n FROM t WHERE b=1 GROUP BY a")
            .await;
    assert_eq!(lines[0], "CREATE MATERIALIZED VIEW v AS SELECT a, COUNT(*) AS n FROM t WHERE b = 1 GROUP BY a");
    assert!(lines.iter().any(|line| line.contains("partitions")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("read shop.t (b, a)")), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "key: a");
    let lines = text(&mut lab, "EXPLAIN DELETE FROM t WHERE a = 1").await;
    assert_eq!(lines[0], "DELETE FROM t WHERE a = 1");
    assert!(lab.rows("SHOW TABLES").await.is_empty(), "nothing was run");
    let answer = lab.answer("EXPLAIN SELECT a FROM nowhere").await.unwrap();
    assert!(answer.notices.iter().any(|notice| notice.message.contains("nowhere")));
    let lines =
        text(&mut lab, "EXPLAIN SELECT OLD.a FROM t WHERE CHANGE_DETECTED() AND CHANGE_TYPE() = 'UPDATE'").await;
    assert!(lines.contains(&"images of shop.t: old, new".to_owned()), "{lines:?}");
    let rows = lab.rows("EXPLAIN (FORMAT JSON) SELECT a, COUNT(*) AS n FROM t WHERE b = 1 GROUP BY a").await;
    let plan = rows[0].get_document("plan").unwrap();
    let aggregate = plan.get_document("operators").unwrap();
    assert_eq!(aggregate.get_str("growth").unwrap(), "partitions");
    assert_eq!(aggregate.get_array("inputs").unwrap().len(), 1);
    let source = plan.get_array("sources").unwrap()[0].as_document().unwrap();
    assert_eq!(source.get_array("fields").unwrap(), &[Bson::from("b"), Bson::from("a")]);
    assert_eq!(source.get_document("filter").unwrap(), &doc! {"$and": [{"b": {"$in": [1]}}]});
    assert_eq!(plan.get_array("key").unwrap(), &[Bson::from("a")]);
    lab.tag("INSERT INTO t (_id, a) VALUES (1, 1), (2, 2)").await;
    let rows = lab.rows("EXPLAIN (ANALYZE, FORMAT JSON) SELECT a FROM t WHERE a > 1").await;
    assert_eq!(rows[0].get_document("plan").unwrap().get_i64("rows").unwrap(), 1);
    let lines = text(&mut lab, "EXPLAIN (ANALYZE) SELECT a FROM t").await;
    assert!(lines.last().unwrap().starts_with("2 row(s) in "), "{lines:?}");
    assert_eq!(lab.fails("EXPLAIN (ANALYZE) DELETE FROM t").await, "0A000");
}

/// SQL-18.7: of what runs, how many entries and bytes each operator holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_objects_are_explained() {
    let mut lab = Lab::with_mill().await;
    let view = "SELECT o.status, COUNT(*) AS n FROM orders o JOIN customers c ON c._id = o.customer GROUP BY o.status";
    lab.tag(&format!("CREATE MATERIALIZED VIEW v AS {view}")).await;
    lab.tag("INSERT INTO customers (_id) VALUES ('Ann'), ('Bob')").await;
    lab.tag(
        "INSERT INTO orders (_id, customer, status) VALUES (1, 'Ann', 'new'), (2, 'Ann', 'paid'), (3, 'Bob', 'paid')",
    )
    .await;
    lab.settle().await;
    // The entries of the groups, and those of the join.
    let held = async |lab: &mut Lab| -> Vec<(String, i64)> {
        let rows = lab.rows("EXPLAIN (FORMAT JSON) MATERIALIZED VIEW v").await;
        let plan = rows[0].get_document("plan").unwrap().clone();
        assert!(plan.get_i64("copies_bytes").unwrap() > 0, "{plan}");
        let mut ahead = vec![plan.get_document("operators").unwrap().clone()];
        let mut held = Vec::new();
        while let Some(operator) = ahead.pop() {
            if let Ok(entries) = operator.get_i64("entries") {
                assert!(operator.get_i64("bytes").unwrap() > entries, "{operator}");
                held.push((operator.get_str("growth").unwrap().to_owned(), entries));
            }
            let inputs = operator.get_array("inputs").unwrap().iter();
            ahead.extend(inputs.map(|input| input.as_document().unwrap().clone()));
        }
        held
    };
    let before = held(&mut lab).await;
    assert_eq!(before[0], ("partitions".to_owned(), 2));
    assert!(before.len() == 2 && before[1].0 == "rows" && before[1].1 >= 2, "{before:?}");
    lab.tag("DELETE FROM orders WHERE status = 'new'").await;
    lab.settle().await;
    assert_eq!(held(&mut lab).await[0], ("partitions".to_owned(), 1));
    lab.stop_mill().await;
    let lines = lab.rows("EXPLAIN MATERIALIZED VIEW v").await;
    let has = |part: &str| lines.iter().any(|line| line.get_str("plan").unwrap().contains(part));
    assert!(has("[keeps groups: partitions; 1 entries, ") && has("copies of what is read: "), "{lines:?}");
    // Of what does not run there is nothing to tell.
    let lines = lab.rows(&format!("EXPLAIN CREATE MATERIALIZED VIEW w AS {view}")).await;
    assert!(!lines.iter().any(|line| line.get_str("plan").unwrap().contains("entries, ")), "{lines:?}");
}

/// SQL-18.3: an object goes on under another name, unless something uses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_renamed() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "CREATE MATERIALIZED VIEW counts AS SELECT COUNT(*) AS n FROM t;
         CREATE MATERIALIZED VIEW seen AS SELECT a FROM t WHERE CHANGE_DETECTED();
         CREATE TRIGGER g ON t FOR INSERT WITH (retries = 0) AS BEGIN INSERT INTO u (_id, r) VALUES (NEW._id, 1 / NEW.a); END;
         CREATE VIEW v AS SELECT n FROM counts;
         CREATE FUNCTION f() RETURNS integer LANGUAGE SQL RETURN 1",
    )
    .await;
    lab.tag("INSERT INTO t (_id, a) VALUES (1, 1), (2, 0)").await;
    lab.settle().await;
    assert_eq!(lab.fails("ALTER MATERIALIZED VIEW counts RENAME TO totals").await, "2BP01");
    lab.tag("ALTER VIEW v RENAME TO w; ALTER FUNCTION f RENAME TO one").await;
    assert_eq!(lab.rows("SELECT n, one() AS one FROM w").await, [doc! {"n": 2_i64, "one": 1}]);
    assert_eq!(lab.fails("SELECT f() AS f").await, "42883");
    lab.tag("DROP VIEW w; ALTER MATERIALIZED VIEW counts RENAME TO totals").await;
    assert_eq!(lab.fails("ALTER MATERIALIZED VIEW seen RENAME TO totals").await, "42P07");
    lab.tag("ALTER MATERIALIZED VIEW seen RENAME TO noticed; ALTER TRIGGER g RENAME TO h").await;
    assert_eq!(lab.fails("SHOW CREATE TRIGGER g").await, "42704");
    lab.tag("INSERT INTO t (_id, a) VALUES (3, 3)").await;
    lab.settle().await;
    assert_eq!(lab.documents("totals").await, [doc! {"_id": {}, "n": 3_i64}]);
    assert_eq!(column(&lab.rows("SELECT a FROM noticed").await, "a"), [1, 0, 3].map(Bson::from));
    assert_eq!(column(&lab.documents("u").await, "_id"), [1, 3].map(Bson::from), "each change once");
    let names = lab.client.database("shop").list_collection_names().await.unwrap();
    assert!(!names.contains(&"counts".to_owned()) && !names.contains(&"seen".to_owned()), "{names:?}");
    let letters = lab.rows("SHOW DEAD LETTERS").await;
    assert_eq!(column(&letters, "name"), [Bson::from("shop.trigger.h")]);
}

/// SQL-18.6: dead letters by what they are.
#[tokio::test]
async fn dead_letters_are_chosen() {
    let mut lab = Lab::with_mill().await;
    lab.tag("CREATE MATERIALIZED VIEW q AS SELECT 10 / n AS r FROM t").await;
    lab.tag("INSERT INTO t (_id, n) VALUES (1, 0), (2, 'x'), (3, 0)").await;
    lab.settle().await;
    assert_eq!(lab.rows("SHOW DEAD LETTERS").await.len(), 3);
    assert_eq!(lab.tag("DELETE DEAD LETTERS FOR MATERIALIZED VIEW q WHERE error.sqlstate = '42804'").await, "DELETE 1");
    assert_eq!(lab.tag("DELETE DEAD LETTERS WHERE _id.key = 3 AND attempts < 2").await, "DELETE 1");
    assert_eq!(column(&lab.rows("SHOW DEAD LETTERS").await, "key"), [Bson::from(1)]);
    assert_eq!(lab.fails("DELETE DEAD LETTERS WHERE COUNT(*) > 1").await, "42803");
}

/// SQL-20.1, SQL-20.4: one change stream serves all objects of a mill; who comes later misses nothing, nor do the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_serves_all() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "CREATE MATERIALIZED VIEW a AS SELECT COUNT(*) AS n FROM t;
         CREATE MATERIALIZED VIEW b AS SELECT COUNT(*) AS n FROM u;
         CREATE TRIGGER g ON t FOR INSERT AS BEGIN INSERT INTO u (_id) VALUES (NEW._id); END",
    )
    .await;
    for n in 0..30_i32 {
        lab.collection("t").insert_one(doc! {"_id": n}).await.unwrap();
        if n % 10 == 5 {
            lab.tag(&format!("CREATE MATERIALIZED VIEW late{n} AS SELECT COUNT(*) AS n FROM t")).await;
        }
    }
    for _ in 0..2 {
        lab.settle().await;
    }
    for name in ["a", "b", "late5", "late15", "late25"] {
        assert_eq!(lab.documents(name).await, [doc! {"_id": {}, "n": 30_i64}], "{name}");
    }
    let status = lab.client.database("admin").run_command(doc! {"serverStatus": 1}).await.unwrap();
    let streams = status.get_document("metrics").unwrap().get_document("changeStreams").unwrap();
    assert_eq!(streams.get_i64("open").unwrap(), 1);
}

/// SQL-16.5: a native routine that no program has registered.
#[tokio::test]
async fn native_routines_have_to_be_registered() {
    let mut lab = Lab::new().await;
    let native = "CREATE FUNCTION f(x text) RETURNS text LANGUAGE NATIVE AS 'nobody registered this'";
    assert_eq!(lab.fails(native).await, "42883");
}
