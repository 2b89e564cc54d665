//! What is asked of the stream of changes (SQL-20.1 to SQL-20.4): whatever is left out there, change queries, views and triggers say
//! what they would say of all changes. `STREAMED_SEED=…` makes another run.

use std::collections::BTreeMap;

use bson::{Bson, Document, bson, doc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::random::{calculable, calculation, explained, odd, one};
use super::views::agrees;
use super::{Lab, column, next};

/// Conditions that are tried.
const CONDITIONS: usize = 16;
/// Changes that they are tried on.
const CHANGES: usize = 200;

/// Random conditions on a change.
struct Conditions<'r>(&'r mut StdRng);

impl Conditions<'_> {
    fn literal(&mut self) -> &'static str {
        one(
            self.0,
            &[
                "1",
                "0",
                "2.5",
                "0.1",
                "'a'",
                "'5'",
                "'2.5'",
                "TRUE",
                "'NaN'",
                "'507f1f77bcf86cd799439011'",
                "TIMESTAMPTZ '2025-01-01 00:00:00Z'",
                "NULL",
            ],
        )
    }

    fn condition(&mut self, depth: usize) -> String {
        let choices = if depth == 0 { 10 } else { 13 };
        let path = one(self.0, &["a", "b", "d.e", "NEW.a", "NEW.d.e", "OLD.a", "OLD.b", "OLD.d.e"]);
        match self.0.random_range(0..choices) {
            0 | 1 => format!("{path} {} {}", one(self.0, &["=", "<>", "<", "<=", ">", ">="]), self.literal()),
            2 => format!("{path} {} ({}, {})", one(self.0, &["IN", "NOT IN"]), self.literal(), self.literal()),
            3 => format!("{path} {}", one(self.0, &["IS NULL", "IS NOT NULL"])),
            4 => format!("{path} BETWEEN {} AND {}", self.literal(), self.literal()),
            5 => format!(
                "CHANGE_TYPE() {} '{}'",
                one(self.0, &["=", "<>"]),
                one(self.0, &["INSERT", "UPDATE", "DELETE"])
            ),
            6 => format!("CHANGED({})", one(self.0, &["a", "b", "d", "d.e"])),
            7 => {
                let path = one(self.0, &["a", "b", "d.e"]);
                format!("OLD.{path} {} NEW.{path}", one(self.0, &["<>", "<", "=", "IS NOT DISTINCT FROM"]))
            }
            8 | 9 => calculation(self.0, &["a", "b", "d.e", "NEW.a", "OLD.b", "OLD.d.e"], 1),
            10 => format!("NOT ({})", self.condition(depth - 1)),
            11 => format!("({}) AND ({})", self.condition(depth - 1), self.condition(depth - 1)),
            _ => format!("({}) OR ({})", self.condition(depth - 1), self.condition(depth - 1)),
        }
    }
}

/// Random changes, some of them several in one transaction.
async fn change(lab: &Lab, random: &mut StdRng, name: &str, changes: usize) {
    let (rows, odd) = (lab.collection(name), odd());
    let mut made = 0;
    while made < changes {
        let mut session = lab.client.start_session().await.unwrap();
        let several = if random.random_range(0..4) == 0 { random.random_range(2..6) } else { 1 };
        if several > 1 {
            session.start_transaction().await.unwrap();
        }
        for _ in 0..several {
            let id = doc! {"_id": random.random_range(0..12)};
            let mut value = || if random.random() { calculable(random) } else { odd.choose(random).unwrap().clone() };
            let (first, second, third) = (value(), value(), value());
            let update = match random.random_range(0..10) {
                0 | 1 => doc! {"$set": {"a": first}},
                2 => doc! {"$set": {"b": first, "d": {"e": second, "f": 1}}},
                3 => doc! {"$unset": {"a": 1}},
                4 => doc! {"$set": {"other": random.random::<i32>(), "a.b": third}},
                5 => {
                    rows.delete_one(id).session(&mut session).await.unwrap();
                    continue;
                }
                6 => doc! {"$set": {"other": random.random::<i32>()}},
                7 => {
                    let other = doc! {"a": first, "b": second, "d": {"e": third}};
                    rows.replace_one(id, other).upsert(true).session(&mut session).await.unwrap();
                    continue;
                }
                _ => doc! {"$set": {"d": {"e": first}}},
            };
            // What cannot be set in what is there stays as it is; it would end the transaction.
            let update = if several > 1 && update.to_string().contains("a.b") {
                doc! {"$set": {"b": 1}}
            } else {
                update
            };
            let done = rows.update_one(id, update).upsert(true).session(&mut session).await;
            assert!(several == 1 || done.is_ok(), "{done:?}");
        }
        if several > 1 {
            session.commit_transaction().await.unwrap();
        }
        made += several;
    }
}

/// SQL-20.2, SQL-20.3, SQL-20.5, SQL-19.3: random conditions over random histories put out the same rows as where no condition can be
/// asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_the_stream_leaves_nothing_out() {
    let seed = std::env::var("STREAMED_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("STREAMED_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut lab = Lab::with_mill().await;
    let begin = lab.rows("SELECT CURRENT_TIMESTAMP AS now").await[0].get_datetime("now").unwrap().timestamp_millis();
    let images = |kept: bool| doc! {"create": "t", "changeStreamPreAndPostImages": {"enabled": kept}};
    lab.client.database("shop").run_command(images(true)).await.unwrap();
    change(&lab, &mut random, "t", CHANGES).await;
    // Some changes lack their images.
    let enable = |kept: bool| doc! {"collMod": "t", "changeStreamPreAndPostImages": {"enabled": kept}};
    lab.client.database("shop").run_command(enable(false)).await.unwrap();
    change(&lab, &mut random, "t", 20).await;
    lab.client.database("shop").run_command(enable(true)).await.unwrap();
    change(&lab, &mut random, "t", 40).await;
    let start = jiff::Timestamp::from_millisecond(begin - 1_000).unwrap();
    let mut asked = 0;
    let mut pairs = Vec::new();
    for number in 0..CONDITIONS {
        let condition = Conditions(&mut random).condition(2);
        let columns = "CHANGE_KEY() AS key, CHANGE_TYPE() AS op, NEW.a AS a, OLD.d.e AS e, b";
        let query = format!("SELECT {columns} FROM t WHERE CHANGE_DETECTED() AND ({condition})");
        // Nothing of this is asked for: it is true of every row.
        let whole = format!("{query} IS TRUE AND LENGTH(CHANGE_TYPE()) > 0").replace(
            &format!("({condition}) IS TRUE"),
            &format!("CASE WHEN LENGTH(CHANGE_TYPE()) > 0 THEN ({condition}) END"),
        );
        let lines = explained(&mut lab, &query).await;
        asked += usize::from(lines.iter().any(|line| line.starts_with("asked of the changes") && line.contains("$in")));
        let missing = if number % 2 == 0 { "fail" } else { "null" };
        let options = format!("WITH (start = TIMESTAMPTZ '{start}', missing_image = '{missing}')");
        for (kind, query) in [("asked", &query), ("whole", &whole)] {
            lab.tag(&format!("CREATE MATERIALIZED VIEW {kind}_{number} {options} AS {query}")).await;
        }
        pairs.push((number, query));
    }
    lab.settle().await;
    change(&lab, &mut random, "t", 60).await;
    lab.settle().await;
    let mut rows = 0;
    for (number, query) in pairs {
        // As text, since NaN is not equal to itself.
        let texts = |rows: Vec<Document>| -> Vec<String> { rows.iter().map(ToString::to_string).collect() };
        let asked = texts(lab.documents(&format!("asked_{number}")).await);
        let whole = texts(lab.documents(&format!("whole_{number}")).await);
        let differs = asked.iter().zip(&whole).find(|(one, other)| one != other);
        assert!(differs.is_none() && asked.len() == whole.len(), "STREAMED_SEED={seed} {query} {differs:#?}");
        rows += asked.len();
        let letters = async |kind: &str| {
            let letters = lab.client.database("millstream").collection::<Document>("dead_letters");
            letters.count_documents(doc! {"_id.object": format!("shop.view.{kind}_{number}")}).await.unwrap()
        };
        assert_eq!(letters("asked").await, letters("whole").await, "STREAMED_SEED={seed} {query}");
    }
    assert!(asked > CONDITIONS / 2 && rows > CHANGES, "{asked} {rows}");
}

/// SQL-20.3: views, where both images are kept
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_by_images_are_asked_for_both_sides() {
    let mut random = StdRng::seed_from_u64(7);
    let mut lab = Lab::with_mill().await;
    let images = doc! {"create": "t", "changeStreamPreAndPostImages": {"enabled": true}};
    lab.client.database("shop").run_command(images).await.unwrap();
    let plain =
        ["a IS NOT NULL", "a <> 1", "b >= 1 OR d.e = 'a'", "NOT (a = 1)", "d.e IN (1, 'a')", "a < 2 AND b IS NULL"];
    for (number, condition) in plain.iter().enumerate() {
        let query = format!("SELECT a, d FROM t WHERE {condition}");
        let lines = explained(&mut lab, &format!("CREATE MATERIALIZED VIEW v{number} AS {query}")).await;
        let line = lines.iter().find(|line| line.starts_with("asked of the changes of shop.t")).unwrap();
        assert!(line.contains("fullDocumentBeforeChange"), "{line}");
        lab.tag(&format!("CREATE MATERIALIZED VIEW v{number} AS {query}")).await;
    }
    lab.settle().await;
    change(&lab, &mut random, "t", 200).await;
    for (number, condition) in plain.iter().enumerate() {
        agrees(&mut lab, &format!("v{number}"), &format!("SELECT a, d FROM t WHERE {condition}")).await;
    }
}

/// How many bytes the server has sent.
async fn sent(lab: &Lab) -> i64 {
    let status = lab.client.database("admin").run_command(doc! {"serverStatus": 1}).await.unwrap();
    status.get_document("network").unwrap().get_i64("bytesOut").unwrap()
}

/// SQL-20.1, SQL-18.7: what nobody uses is not sent, and EXPLAIN tells what is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_uses_is_not_sent() {
    let mut lab = Lab::with_mill().await;
    let grouped = "SELECT k, SUM(v) AS s FROM wide GROUP BY k";
    let lines = explained(&mut lab, &format!("CREATE MATERIALIZED VIEW g AS {grouped}")).await;
    assert!(lines.contains(&"asked of the changes of shop.wide (_id, k, v): all".to_owned()), "{lines:?}");
    lab.tag(&format!("CREATE MATERIALIZED VIEW g AS {grouped}")).await;
    let rare = "SELECT _id, v FROM wide WHERE CHANGE_DETECTED() AND CHANGE_TYPE() = 'INSERT' AND v = 7";
    lab.tag(&format!("CREATE MATERIALIZED VIEW rare AS {rare}")).await;
    lab.settle().await;
    let wide = |n: i32| doc! {"_id": n, "k": n % 3, "v": n, "text": "x".repeat(10_000)};
    // The first ones show that it is worth it.
    let mut next = 0;
    loop {
        let before = sent(&lab).await;
        lab.collection("wide").insert_many((next..next + 100).map(wide)).await.unwrap();
        lab.settle().await;
        next += 100;
        if sent(&lab).await - before < 500_000 {
            break;
        }
        assert!(next < 2_000, "all is sent");
    }
    agrees(&mut lab, "g", grouped).await;
    assert_eq!(column(&lab.documents("rare").await, "v"), [Bson::from(7)]);
    // Who wants whole documents gets them.
    lab.tag("CREATE MATERIALIZED VIEW whole AS SELECT * FROM wide WHERE CHANGE_DETECTED() AND v = -300").await;
    lab.settle().await;
    lab.collection("wide").insert_one(wide(-300)).await.unwrap();
    lab.settle().await;
    assert_eq!(column(&lab.documents("whole").await, "text"), [Bson::from("x".repeat(10_000))]);
    let json = lab.rows(&format!("EXPLAIN (FORMAT JSON) {rare}")).await;
    let asked = json[0].get_document("plan").unwrap().get_array("changes").unwrap()[0].as_document().unwrap().clone();
    assert_eq!(asked.get_array("fields").unwrap(), &vec![Bson::from("_id"), "v".into()]);
    let text = asked.get_document("filter").unwrap().to_string();
    assert!(text.contains("fullDocument.v") && !text.contains("update"), "{text}");
}

/// SQL-20.3, SQL-15.1, SQL-18.7: a trigger's events, `UPDATE OF` and `WHEN`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_see_the_changes_that_they_are_for() {
    let mut lab = Lab::with_mill().await;
    let trigger = "CREATE TRIGGER note ON t FOR INSERT, UPDATE OF s.t, DELETE WHEN (NEW.n > 1 OR OLD.n > 1 AND TG_OP = 'DELETE') AS
        BEGIN INSERT INTO notes (id, op, n) VALUES (COALESCE(NEW._id, OLD._id), TG_OP, NEW.n); END";
    let lines = explained(&mut lab, trigger).await;
    let line = lines.iter().find(|line| line.starts_with("asked of the changes of shop.t (all fields)")).unwrap();
    assert!(line.contains("$regexMatch") && line.contains("fullDocument.n"), "{line}");
    lab.tag(trigger).await;
    lab.settle().await;
    let t = lab.collection("t");
    t.insert_many([doc! {"_id": 1, "n": 1}, doc! {"_id": 2, "n": 2}, doc! {"_id": 3, "n": "x"}]).await.unwrap();
    let set =
        async |id: i32, fields: Document| drop(t.update_one(doc! {"_id": id}, doc! {"$set": fields}).await.unwrap());
    set(2, doc! {"s": {"t": {"u": 0}}}).await;
    set(2, doc! {"s.t.u": 1}).await;
    set(2, doc! {"s.v": 1, "st": 1}).await;
    set(2, doc! {"s.t": [1, 2]}).await;
    set(2, doc! {"s.t.1": 3}).await;
    set(1, doc! {"s.t": 1}).await;
    t.replace_one(doc! {"_id": 2}, doc! {"n": 5, "s": {"t": [1, 3]}}).await.unwrap();
    t.replace_one(doc! {"_id": 2}, doc! {"n": 6}).await.unwrap();
    t.delete_one(doc! {"_id": 1}).await.unwrap();
    t.delete_one(doc! {"_id": 2}).await.unwrap();
    lab.settle().await;
    let mut notes = lab.documents("notes").await;
    notes.sort_by_key(|note| note.get_object_id("_id").unwrap());
    let told: Vec<(i32, String, Bson)> = notes
        .iter()
        .map(|note| {
            (note.get_i32("id").unwrap(), note.get_str("op").unwrap().to_owned(), note.get("n").unwrap().clone())
        })
        .collect();
    let note = |op: &str, n: Bson| (2, op.to_owned(), n);
    let expected = [
        note("INSERT", 2.into()),
        note("UPDATE", 2.into()),
        note("UPDATE", 2.into()),
        note("UPDATE", 2.into()),
        note("UPDATE", 2.into()),
        note("UPDATE", 6.into()),
        note("DELETE", Bson::Null),
    ];
    assert_eq!(told, expected);
}

/// SQL-20.4, SQL-12.2: whoever joins with other conditions, of the parts of a transaction nothing is lost or doubled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_neither_loses_nor_doubles_parts_of_transactions() {
    let mut lab = Lab::with_mill().await;
    let outputs = |name: &str, condition: &str| {
        format!(
            "CREATE MATERIALIZED VIEW {name} AS SELECT _id AS id, COUNT(*) OVER (ORDER BY CHANGE_TIMESTAMP()) AS n
             FROM a WHERE CHANGE_DETECTED() AND CHANGE_TYPE() = 'INSERT' AND {condition}"
        )
    };
    let round = async |lab: &Lab, round: i32| {
        let mut session = lab.client.start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        for part in 0..4 {
            let row = doc! {"_id": round * 4 + part, "part": part};
            lab.collection("a").insert_one(row.clone()).session(&mut session).await.unwrap();
            lab.collection("b").insert_one(row).session(&mut session).await.unwrap();
        }
        session.commit_transaction().await.unwrap();
    };
    lab.tag(&outputs("first", "part = 0")).await;
    lab.settle().await;
    for number in 0..6 {
        round(&lab, number).await;
        // The stream is opened again at the place of those who are there, and more of the last transaction comes.
        match number {
            0 => drop(lab.tag(&outputs("second", "part IN (0, 2)")).await),
            1 => drop(lab.tag("CREATE MATERIALIZED VIEW b_all AS SELECT part FROM b").await),
            2 => drop(lab.tag(&outputs("third", "part >= 0")).await),
            3 => {
                lab.drop_mill();
                lab.start_mill().await;
            }
            _ => drop(lab.tag("DROP MATERIALIZED VIEW IF EXISTS b_all").await),
        }
        lab.settle().await;
    }
    let ids = |rows: &[Document]| -> BTreeMap<i64, i32> {
        rows.iter().map(|row| (row.get_i64("n").unwrap(), row.get_i32("id").unwrap())).collect()
    };
    let first = lab.documents("first").await;
    let expected: BTreeMap<i64, i32> = (0..6).map(|n| (i64::from(n) + 1, n * 4)).collect();
    assert_eq!((first.len(), ids(&first)), (6, expected));
    let second = lab.documents("second").await;
    let expected: BTreeMap<i64, i32> = (0..10).map(|n| (i64::from(n) + 1, 4 + n * 2)).collect();
    assert_eq!((second.len(), ids(&second)), (10, expected));
}

/// SQL-15.3: a trigger that ends in the middle of a transaction goes on there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_goes_on_in_the_middle_of_a_transaction() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "CREATE TRIGGER each ON t FOR INSERT WITH (batch = 1, retries = 0, on_failure = 'pause') AS
         BEGIN INSERT INTO done (_id, q) VALUES (NEW._id, 10 / NEW.n); END",
    )
    .await;
    lab.settle().await;
    let mut session = lab.client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    for n in [5, 4, 0, 2, 1] {
        lab.collection("t").insert_one(doc! {"_id": n, "n": n}).session(&mut session).await.unwrap();
    }
    session.commit_transaction().await.unwrap();
    super::eventually_rows(&mut lab, "SHOW TRIGGERS", |rows| column(rows, "state") == [Bson::from("failed")]).await;
    assert_eq!(column(&lab.documents("done").await, "_id"), [Bson::from(4), 5.into()]);
    // It would fail at a document that it has written already.
    lab.tag("ALTER TRIGGER each SET (on_failure = 'dead_letter')").await;
    lab.tag("RESUME TRIGGER each").await;
    lab.settle().await;
    assert_eq!(column(&lab.documents("done").await, "_id"), [Bson::from(1), 2.into(), 4.into(), 5.into()]);
    assert_eq!(lab.rows("SHOW DEAD LETTERS").await.len(), 1);
}

/// SQL-12.8, SQL-19.6: what fails is seen, and what is left out by another condition does not fail.
#[tokio::test]
async fn errors_are_seen() {
    let mut lab = Lab::new().await;
    let t = lab.collection("t");
    let query = "SUBSCRIBE TO (SELECT _id FROM t WHERE CHANGE_DETECTED() AND CHANGE_TYPE() = 'INSERT'
        AND 10 / n > 1 AND word LIKE 'a%' AND kind = 'x') WITH (on_error = 'fail')";
    let mut rows = lab.subscribe(query).await;
    t.insert_one(doc! {"_id": 1, "n": 0, "word": "b", "kind": "y"}).await.unwrap();
    t.insert_one(doc! {"_id": 2, "n": 1, "word": 5, "kind": "y"}).await.unwrap();
    t.insert_one(doc! {"_id": 3, "n": 1, "word": "ab", "kind": "x"}).await.unwrap();
    t.insert_one(doc! {"_id": 4, "n": 1, "word": "b", "kind": "x"}).await.unwrap();
    assert_eq!(next(&mut rows).await.get_i32("_id").unwrap(), 3);
    t.insert_one(doc! {"_id": 5, "n": 1, "word": bson!([5]), "kind": "x"}).await.unwrap();
    assert_eq!(rows.next().await.unwrap_err().state.0, "42804");
}
