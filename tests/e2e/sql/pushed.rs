//! What the deployment is asked to find and to compute (SQL-20.5, SQL-20.6): the answers are those of the mill, whatever the
//! documents hold. `PUSHED_SEED=…` makes another run.

use bson::spec::BinarySubtype;
use bson::{Bson, DateTime, Document, RawDocument, bson, doc, oid::ObjectId};
use millstream_mill::Outcome;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::{Lab, column, eventually};

/// Queries for each kind of documents.
const QUERIES: usize = 80;

/// Values of every type, many of them equal or nearly so.
pub(super) fn odd() -> Vec<Bson> {
    let decimal = |text: &str| Bson::Decimal128(text.parse().unwrap());
    let id: ObjectId = "507f1f77bcf86cd799439011".parse().unwrap();
    let binary = |subtype, bytes: &[u8]| Bson::Binary(bson::Binary { subtype, bytes: bytes.to_vec() });
    vec![
        Bson::Null,
        Bson::Undefined,
        Bson::Int32(1),
        Bson::Int64(1),
        Bson::Double(1.0),
        decimal("1"),
        decimal("1.0"),
        Bson::Int32(0),
        Bson::Double(0.0),
        Bson::Double(-0.0),
        Bson::Double(2.5),
        decimal("2.5"),
        decimal("2.50"),
        Bson::Double(0.1),
        decimal("0.1"),
        decimal("0.1000000000000000055511151231257827"),
        Bson::Double(f64::NAN),
        decimal("NaN"),
        Bson::Double(f64::INFINITY),
        Bson::Int64(9_007_199_254_740_993),
        Bson::Double(9_007_199_254_740_992.0),
        "a".into(),
        "A".into(),
        "ab".into(),
        "b".into(),
        "5".into(),
        "2.5".into(),
        "true".into(),
        Bson::Symbol("a".to_owned()),
        bson!([1]),
        bson!([]),
        bson!([Bson::Null, "a"]),
        bson!([{"e": 1}, {"e": "a"}]),
        bson!({"e": 1}),
        bson!({"e": Bson::Null}),
        bson!({"e": "a"}),
        bson!({"e": [1, Bson::Null]}),
        bson!({"e": {"f": 1}}),
        bson!({"x": 1}),
        Bson::Boolean(true),
        Bson::Boolean(false),
        DateTime::from_millis(1_735_689_600_000).into(),
        DateTime::from_millis(0).into(),
        id.into(),
        "507f1f77bcf86cd799439011".into(),
        binary(BinarySubtype::Generic, b"a"),
        binary(BinarySubtype::Uuid, &[7; 16]),
        bson::Timestamp { time: 1, increment: 1 }.into(),
        Bson::MinKey,
        Bson::MaxKey,
        Bson::RegularExpression(bson::Regex { pattern: "a".try_into().unwrap(), options: "".try_into().unwrap() }),
    ]
}

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
    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of.choose(self.0).unwrap()
    }

    fn literal(&mut self) -> &'static str {
        self.one(&[
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
        ])
    }

    fn condition(&mut self, depth: usize) -> String {
        let choices = if depth == 0 { 8 } else { 11 };
        let path = self.one(&["a", "b", "c", "d", "d.e", "d.e.f"]);
        match self.0.random_range(0..choices) {
            0..=2 => {
                let operator = self.one(&["=", "<>", "<", "<=", ">", ">="]);
                if self.0.random() {
                    format!("{path} {operator} {}", self.literal())
                } else {
                    format!("{} {operator} {path}", self.literal())
                }
            }
            3 => format!("{path} {} ({}, {})", self.one(&["IN", "NOT IN"]), self.literal(), self.literal()),
            4 => format!("{path} {}", self.one(&["IS NULL", "IS NOT NULL"])),
            5 => format!("{path} {} {} AND {}", self.one(&["BETWEEN", "NOT BETWEEN"]), self.literal(), self.literal()),
            6 => {
                let pattern = self.one(&["abc%", "ab%", "abc", "a.%", "a\\%c%", "a_c%", "%c", "ab%d", ""]);
                format!("word {} '{pattern}'", self.one(&["LIKE", "NOT LIKE"]))
            }
            7 => format!("_id {} {}", self.one(&["<", ">=", "<>"]), self.0.random_range(0..120)),
            8 => format!("NOT ({})", self.condition(depth - 1)),
            9 => format!("({}) AND ({})", self.condition(depth - 1), self.condition(depth - 1)),
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

fn shown(rows: &[Vec<u8>]) -> Vec<String> {
    rows.iter().map(|row| format!("{:?}", RawDocument::from_bytes(row).unwrap())).collect()
}

async fn explained(lab: &mut Lab, query: &str) -> Vec<String> {
    column(&lab.rows(&format!("EXPLAIN {query}")).await, "plan")
        .iter()
        .map(|line| line.as_str().unwrap().to_owned())
        .collect()
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
