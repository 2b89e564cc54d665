//! What the deployment is asked to find and to compute (SQL-20.5, SQL-20.6): the answers are those of the mill, whatever the
//! documents hold. `PUSHED_SEED=…` makes another run.

use bson::{Bson, DateTime, Document, RawDocument, bson, doc};
use millstream_mill::Outcome;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::random::{calculable, calculation, explained, odd, one};
use super::{Lab, eventually};

/// Queries for each kind of documents.
const QUERIES: usize = 80;
/// Conditions that are calculated.
const CALCULATIONS: usize = 40;
/// Rows that each is tried on.
const ROWS: i32 = 40;

/// Values of types that a deployment can be trusted with.
fn plain(random: &mut StdRng, kind: usize) -> Bson {
    let n = random.random_range(0..4_i32);
    match kind {
        0 => ["a", "A", "ab", "5"][usize::try_from(n).unwrap()].into(),
        1 => Bson::Int32(n),
        2 => Bson::Double(f64::from(n) + 0.5),
        3 => Bson::Int64(i64::from(n)),
        _ => DateTime::from_millis(1_735_689_600_000 + i64::from(n)).into(),
    }
}

fn documents(random: &mut StdRng, is_odd: bool) -> Vec<Document> {
    let odd = odd();
    let document = |n: i32| {
        let mut document = doc! {"_id": n};
        for (at, field) in ["a", "b", "c"].into_iter().enumerate() {
            if random.random_range(0..8) == 0 {
                continue;
            }
            let value = if is_odd { odd.choose(random).unwrap().clone() } else { plain(random, at) };
            document.insert(field, value);
        }
        match random.random_range(0..8) {
            0 if is_odd => drop(document.insert("d", odd.choose(random).unwrap().clone())),
            1 if is_odd => drop(document.insert("d", bson!([{"e": 1}, {"e": "a"}]))),
            2 => {}
            3 => drop(document.insert("d", doc! {})),
            4 if is_odd => drop(document.insert("d", doc! {"e": odd.choose(random).unwrap().clone()})),
            _ => drop(document.insert("d", doc! {"e": plain(random, 1)})),
        }
        let words = ["abc", "abd", "ab", "a.c", "a%c", "Abc", "", "abc\ndef"];
        match random.random_range(0..10) {
            0 => {}
            1 => drop(document.insert("word", Bson::Null)),
            _ => drop(document.insert("word", *words.choose(random).unwrap())),
        }
        document
    };
    (0..120).map(document).collect()
}

struct Queries<'r>(&'r mut StdRng);

impl Queries<'_> {
    fn literal(&mut self) -> &'static str {
        one(
            self.0,
            &[
                "1",
                "0",
                "2",
                "2.5",
                "0.1",
                "1.5::float8",
                "9007199254740993",
                "9007199254740993.0",
                "'a'",
                "'ab'",
                "'5'",
                "'2.5'",
                "'a'::text",
                "'5'::text",
                "TRUE",
                "'true'",
                "'NaN'",
                "'507f1f77bcf86cd799439011'",
                "'2025-01-01'",
                "TIMESTAMPTZ '2025-01-01 00:00:00Z'",
                "NULL",
            ],
        )
    }

    fn condition(&mut self, depth: usize) -> String {
        let choices = if depth == 0 { 9 } else { 12 };
        let path = one(self.0, &["a", "b", "c", "d", "d.e", "d.e.f"]);
        match self.0.random_range(0..choices) {
            0..=2 => {
                let operator = one(self.0, &["=", "<>", "<", "<=", ">", ">="]);
                if self.0.random() {
                    format!("{path} {operator} {}", self.literal())
                } else {
                    format!("{} {operator} {path}", self.literal())
                }
            }
            3 => format!("{path} {} ({}, {})", one(self.0, &["IN", "NOT IN"]), self.literal(), self.literal()),
            4 => format!("{path} {}", one(self.0, &["IS NULL", "IS NOT NULL"])),
            5 => {
                format!("{path} {} {} AND {}", one(self.0, &["BETWEEN", "NOT BETWEEN"]), self.literal(), self.literal())
            }
            6 => {
                let pattern = one(self.0, &["abc%", "ab%", "abc", "a.%", "a\\%c%", "a_c%", "%c", "ab%d", ""]);
                format!("word {} '{pattern}'", one(self.0, &["LIKE", "NOT LIKE"]))
            }
            7 => format!("_id {} {}", one(self.0, &["<", ">=", "<>"]), self.0.random_range(0..120)),
            8 => {
                let (other, operator) = (one(self.0, &["a", "b", "c", "d.e"]), one(self.0, &["=", "<>", "<", ">="]));
                format!("{path} {operator} {other}")
            }
            9 => format!("NOT ({})", self.condition(depth - 1)),
            10 => format!("({}) AND ({})", self.condition(depth - 1), self.condition(depth - 1)),
            _ => format!("({}) OR ({})", self.condition(depth - 1), self.condition(depth - 1)),
        }
    }

    fn select(&mut self) -> (String, &'static str) {
        let calls =
            ["COUNT(*) AS n", "COUNT(1) AS o", "COUNT(a) AS a", "COUNT(d.e) AS e", "MIN(b) AS low", "MAX(b) AS high"];
        let more = ["MIN(d.e) AS le", "MAX(c) AS hc", "MIN(a) AS la", "COUNT(*) + 1 AS m"];
        let all: Vec<&str> = calls.into_iter().chain(more).collect();
        let mut chosen: Vec<&str> = (0..self.0.random_range(1..4)).map(|_| *all.choose(self.0).unwrap()).collect();
        chosen.sort_unstable();
        chosen.dedup();
        let chosen = chosen.join(", ");
        match self.0.random_range(0..8) {
            0..=2 => ("_id".to_owned(), ""),
            3 | 4 => (chosen, ""),
            5 => (format!("a AS k, BSON_TYPE(a) AS kind, {chosen}"), " GROUP BY a"),
            6 => (format!("b AS k, d.e AS l, {chosen}"), " GROUP BY b, d.e HAVING COUNT(*) > 1"),
            _ => (format!("d.e AS k, {chosen}"), " GROUP BY d.e ORDER BY d.e DESC"),
        }
    }
}

async fn rows(lab: &mut Lab, query: &str) -> Vec<Vec<u8>> {
    let answer = lab.answer(query).await.unwrap_or_else(|error| panic!("{query}: {} {error}", error.state));
    let Outcome::Rows(rows) = answer.outcome else { panic!("{query} answers no rows") };
    rows.all().await.unwrap().iter().map(|row| row.as_bytes().to_vec()).collect()
}

/// The rows, or the SQLSTATE.
async fn outcome(lab: &mut Lab, query: &str) -> Result<Vec<Vec<u8>>, String> {
    let answer = lab.answer(query).await.map_err(|error| error.state.0.to_owned())?;
    let Outcome::Rows(rows) = answer.outcome else { panic!("{query} answers no rows") };
    let rows = rows.all().await.map_err(|error| error.state.0.to_owned())?;
    Ok(rows.iter().map(|row| row.as_bytes().to_vec()).collect())
}

fn shown(rows: &[Vec<u8>]) -> Vec<String> {
    rows.iter().map(|row| format!("{:?}", RawDocument::from_bytes(row).unwrap())).collect()
}

/// SQL-20.2, SQL-20.5, SQL-20.6: random conditions and aggregates over random documents answer the same bytes as where nothing can
/// be pushed down.
#[tokio::test]
async fn what_is_pushed_down_answers_the_same() {
    let seed = std::env::var("PUSHED_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("PUSHED_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut lab = Lab::new().await;
    // Texts of the last one are alike whatever their case.
    let collation = doc! {"create": "collated", "collation": {"locale": "en", "strength": 2}};
    lab.client.database("shop").run_command(collation).await.unwrap();
    let mut computed = 0;
    for (name, is_odd) in [("odd", true), ("plain", false), ("collated", false)] {
        lab.collection(name).insert_many(documents(&mut random, is_odd)).await.unwrap();
        for _ in 0..QUERIES {
            let mut queries = Queries(&mut random);
            let (select, tail) = queries.select();
            let condition = queries.condition(2);
            let pushed = format!("SELECT {select} FROM {name} WHERE {condition}{tail}");
            // No deployment is asked for this.
            let here = format!("SELECT {select} FROM {name} WHERE ({condition}) OR LENGTH(BSON_TYPE(_id)) = 99{tail}");
            let (there, here) = (rows(&mut lab, &pushed).await, rows(&mut lab, &here).await);
            assert!(there == here, "{pushed}\n{:#?}\n{:#?}", shown(&there), shown(&here));
            let lines = explained(&mut lab, &pushed).await;
            computed += usize::from(lines.iter().any(|line| line.starts_with("computed by")));
        }
    }
    assert!(computed > QUERIES / 4, "{computed}");
}

/// SQL-20.2, SQL-20.5, SQL-19.6: random calculations let every row through for which the condition is true or fails, and leave
/// most of the others out.
#[tokio::test]
async fn what_is_calculated_there_leaves_nothing_out() {
    let seed = std::env::var("PUSHED_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("PUSHED_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut lab = Lab::new().await;
    let document = |n: i32| {
        let mut document = doc! {"_id": n};
        for field in ["a", "b", "c"] {
            if random.random_range(0..10) > 0 {
                document.insert(field, calculable(&mut random));
            }
        }
        match random.random_range(0..6) {
            0 => drop(document.insert("d", bson!([{"e": 1}, {"e": 2}]))),
            1 => drop(document.insert("d", calculable(&mut random))),
            _ => drop(document.insert("d", doc! {"e": calculable(&mut random)})),
        }
        document
    };
    let documents: Vec<Document> = (0..ROWS).map(document).collect();
    lab.collection("t").insert_many(documents).await.unwrap();
    let (mut asked, mut strict, mut failed) = (0, 0, 0);
    for _ in 0..CALCULATIONS {
        let several = random.random_range(1..3);
        let conditions: Vec<String> =
            (0..several).map(|_| calculation(&mut random, &["a", "b", "c", "d.e"], 2)).collect();
        let condition = conditions.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(" AND ");
        let pushed = format!("SELECT _id FROM t WHERE {condition}");
        let plan = lab.rows(&format!("EXPLAIN (FORMAT JSON) {pushed}")).await.remove(0);
        let source = plan.get_document("plan").unwrap().get_array("sources").unwrap()[0].as_document().unwrap();
        let filter = source.get_document("filter").map(Document::to_string).unwrap_or_default();
        asked += usize::from(filter.contains("$expr"));
        // Of several that can fail, or in a part of which something can, another one may be the first to be evaluated.
        let is_one = several == 1
            && !condition.contains(") AND (")
            && filter.starts_with("{ \"$and\": [{ \"$expr\": { \"$cond\"");
        strict += usize::from(is_one);
        // One row at a time, since another one may fail.
        for id in 0..ROWS {
            // No deployment is asked for this.
            let here = format!("SELECT _id FROM t WHERE CASE WHEN _id = {id} THEN {condition} END");
            let there = outcome(&mut lab, &format!("{pushed} AND _id = {id}")).await;
            let here = outcome(&mut lab, &here).await;
            failed += usize::from(here.is_err());
            let agrees = match (&there, &here) {
                (Ok(there), Err(_)) if !is_one => there.is_empty(),
                (Err(_), Err(_)) if !is_one => true,
                (there, here) => there == here,
            };
            assert!(agrees, "PUSHED_SEED={seed} {pushed} {id}: {there:?} {here:?}\n{filter}");
        }
    }
    println!("{asked} asked, {strict} alone, {failed} failed");
    assert!(
        asked > CALCULATIONS / 3 && strict > CALCULATIONS / 10 && failed > CALCULATIONS,
        "{asked} {strict} {failed}"
    );
}

/// SQL-20.2, SQL-20.5: where MongoDB calculates something else than SQL, the row is read.
#[tokio::test]
async fn what_mongodb_calculates_otherwise_is_read() {
    let mut lab = Lab::new().await;
    let tenth = || Bson::Decimal128("0.1".parse().unwrap());
    let rows = [
        doc! {"_id": 1, "a": 0.1, "b": tenth()},
        doc! {"_id": 2, "a": 0.3, "b": tenth()},
        doc! {"_id": 3, "a": "\u{c4}b"},
        doc! {"_id": 4, "a": Bson::Null, "b": -1},
        doc! {"_id": 5, "a": i64::MAX, "b": 1},
        doc! {"_id": 6, "a": 7, "b": 2},
        doc! {"_id": 7, "a": 1, "b": 0},
        doc! {"_id": 8, "a": "x", "b": 1},
        doc! {"_id": 9, "a": 1, "b": f64::NAN},
        doc! {"_id": 10, "a": [1], "b": [1]},
        doc! {"_id": 11, "a": Bson::Symbol("x".to_owned()), "b": "x"},
    ];
    lab.collection("t").insert_many(rows).await.unwrap();
    let expected = [
        (1, "a = b", Ok(true)),
        (1, "a + 0 = b + 0", Ok(true)),
        (2, "a % b > 0.05", Ok(true)),
        (2, "a * 2 - 6 * b = 0.2", Ok(false)),
        (3, "LOWER(a) = '\u{e4}b'", Ok(true)),
        (3, "LENGTH(a) = 2", Ok(true)),
        (4, "a + 1 > 5", Ok(false)),
        (4, "a + 1 > 5 AND SQRT(b) > 1", Err("2201F")),
        (5, "a + b > 0", Err("22003")),
        (5, "a - b > 0", Ok(true)),
        (6, "a / b = 3", Ok(true)),
        (6, "a * b / 4 = 3", Ok(true)),
        (7, "a / b > 5", Err("22012")),
        (7, "a % b > 5", Err("22012")),
        (8, "a * 2 > 5", Err("42804")),
        (8, "EXTRACT(YEAR FROM a) = 2025", Err("42804")),
        (9, "a < b", Ok(true)),
        (9, "a + 1 < b", Ok(true)),
        (10, "a = b", Ok(true)),
        (10, "COALESCE(a, b) > 5", Ok(false)),
        (11, "a = b", Ok(true)),
        (11, "UPPER(a) = 'X'", Ok(true)),
    ];
    for (id, condition, expected) in expected {
        let query = format!("SELECT _id FROM t WHERE _id = {id} AND {condition}");
        let lines = explained(&mut lab, &query).await;
        assert!(lines.iter().any(|line| line.starts_with("asked of") && line.contains("$expr")), "{lines:?}");
        let found = outcome(&mut lab, &query).await.map(|rows| !rows.is_empty());
        assert_eq!(found, expected.map_err(str::to_owned), "{query}");
    }
}

/// SQL-20.5: of rows that can be calculated with, only those are sent for which a condition is true.
#[tokio::test]
async fn rows_that_do_not_matter_stay_there() {
    let mut lab = Lab::new().await;
    let row = |n: i32| doc! {"_id": n, "n": n, "half": f64::from(n) / 2.0, "name": format!("Name {n}"), "note": "x".repeat(1_000)};
    lab.collection("t").insert_many((0..500).map(row)).await.unwrap();
    lab.collection("t").insert_many((500..900).map(|n| doc! {"_id": n, "note": "x".repeat(1_000)})).await.unwrap();
    let sent = async |lab: &Lab| {
        let status = lab.client.database("admin").run_command(doc! {"serverStatus": 1}).await.unwrap();
        status.get_document("network").unwrap().get_i64("bytesOut").unwrap()
    };
    let conditions = [
        ("n * 2 = 14", 1),
        ("n % 100 = 7", 5),
        ("n + half > 746.9", 2),
        ("n / 100 = 4 AND n - 480 > 10", 9),
        ("half < n - 248", 3),
        ("COALESCE(n, 0) > 495", 4),
        ("LOWER(name) IN ('name 1', 'name 2')", 2),
        ("LENGTH(name) = 6", 10),
        ("ABS(n - 100) < 3 OR FLOOR(half) = 7", 7),
        ("n * 2 <> n + n", 0),
        ("n < half", 0),
    ];
    for (condition, rows) in conditions {
        let before = sent(&lab).await;
        let query = format!("SELECT _id, note FROM t WHERE {condition}");
        let found = lab.rows(&query).await;
        let bytes = sent(&lab).await - before;
        println!("{condition}: {} rows, {bytes} bytes", found.len());
        assert_eq!(found.len(), rows, "{condition}");
        assert!(bytes < 50_000, "{condition}: {bytes}");
    }
}

/// SQL-20.6: what is counted is not read, and EXPLAIN says so.
#[tokio::test]
async fn what_is_counted_is_not_read() {
    let mut lab = Lab::new().await;
    let status = |n: i32| if n % 5 == 0 { "new" } else { "paid" };
    let orders = (0..500_i32).map(|n| doc! {"_id": n, "status": status(n), "total": n, "note": "x".repeat(1_000)});
    lab.collection("orders").insert_many(orders).await.unwrap();
    let sent = async |lab: &Lab| {
        let status = lab.client.database("admin").run_command(doc! {"serverStatus": 1}).await.unwrap();
        status.get_document("network").unwrap().get_i64("bytesOut").unwrap()
    };
    let before = sent(&lab).await;
    let count = "SELECT COUNT(*) AS n FROM orders WHERE status = 'paid'";
    assert_eq!(lab.rows(count).await, [doc! {"n": 400_i64}]);
    let grouped = "SELECT status, COUNT(*) AS n, MIN(total) AS low, MAX(total) AS high FROM orders GROUP BY status";
    let rows = lab.rows(&format!("{grouped} ORDER BY status")).await;
    assert_eq!(rows[0], doc! {"status": "new", "n": 100_i64, "low": 0, "high": 495});
    assert_eq!(rows[1], doc! {"status": "paid", "n": 400_i64, "low": 1, "high": 499});
    assert_eq!(lab.rows("SELECT COUNT(*) AS n, MAX(total) AS m FROM none").await, [doc! {"n": 0_i64, "m": Bson::Null}]);
    assert_eq!(lab.rows("SELECT COUNT(note) AS n FROM orders").await, [doc! {"n": 500_i64}]);
    let between = sent(&lab).await;
    assert!(between - before < 200_000, "{}", between - before);
    let lines = explained(&mut lab, count).await;
    assert!(lines.iter().any(|line| line.starts_with("computed by shop.orders")), "{lines:?}");
    let rows = lab.rows(&format!("EXPLAIN (FORMAT JSON) {grouped}")).await;
    let source = rows[0].get_document("plan").unwrap().get_array("sources").unwrap()[0].as_document().unwrap();
    assert_eq!(source.get_array("pipeline").unwrap().len(), 1);
    // A sum is the mill's.
    let lines = explained(&mut lab, "SELECT SUM(total) AS s FROM orders").await;
    assert!(!lines.iter().any(|line| line.starts_with("computed by")), "{lines:?}");
    assert_eq!(lab.rows("SELECT SUM(LENGTH(note)) AS s FROM orders").await, [doc! {"s": 500_000_i64}]);
    // A reply is counted when it has gone out, which may be after it has come in.
    eventually("documents were read", async || sent(&lab).await - between > 500_000).await;
    // What a transaction has written is counted.
    lab.tag("BEGIN; INSERT INTO orders (_id, status) VALUES (1000, 'paid')").await;
    assert_eq!(lab.rows(count).await, [doc! {"n": 401_i64}]);
    let lines = explained(&mut lab, count).await;
    assert!(!lines.iter().any(|line| line.starts_with("computed by")), "{lines:?}");
    lab.tag("ROLLBACK").await;
}
