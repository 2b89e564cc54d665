//! Changes that share one transaction of a trigger (SQL-15.3): what they write goes together, and nobody sees a difference.

use bson::{Bson, Document, doc};
use mongodb::change_stream::event::{ChangeStreamEvent, OperationType};

use super::{Lab, column};

/// Inserts documents in one transaction, so that their changes come together.
async fn together(lab: &mut Lab, rows: &[&str]) {
    let inserts: Vec<String> = rows.iter().map(|row| format!("INSERT INTO orders (_id, of) VALUES {row};")).collect();
    lab.tag(&format!("BEGIN; {} COMMIT", inserts.concat())).await;
    lab.settle().await;
}

/// SQL-15.3, SQL-15.8: a change that fails among others fails as it would alone, and the others have their effects once.
#[tokio::test]
async fn of_several_changes_one_fails() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "CREATE TRIGGER t ON orders FOR INSERT WITH (retries = 0) AS BEGIN
           INSERT INTO audit (of) VALUES (NEW._id);
           INSERT INTO copies (_id) VALUES (NEW.of);
         END",
    )
    .await;
    together(&mut lab, &["(1, 'a')", "(2, 'a')", "(3, 'b')", "(4, NULL)"]).await;
    assert_eq!(column(&lab.documents("audit").await, "of"), [1, 3, 4].map(Bson::Int32));
    assert_eq!(lab.documents("copies").await, [doc! {"_id": Bson::Null}, doc! {"_id": "a"}, doc! {"_id": "b"}]);
    let letters = lab.client.database("millstream").collection::<Document>("dead_letters");
    let letter = letters.find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(letters.count_documents(doc! {}).await.unwrap(), 1);
    assert_eq!(letter.get_document("document_key").unwrap(), &doc! {"_id": 2});
    assert_eq!(letter.get_i32("attempts").unwrap(), 1);
    let error = letter.get_document("error").unwrap();
    assert_eq!(error.get_str("sqlstate").unwrap(), "23505");
    assert!(error.get_str("message").unwrap().contains("copies"), "{error:?}");
}

/// SQL-15.8: of two errors of a body the first counts, also if others share its transaction.
#[tokio::test]
async fn the_first_error_of_a_body_is_told() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "INSERT INTO copies (_id) VALUES ('a');
         CREATE TRIGGER t ON orders FOR INSERT WITH (retries = 0) AS BEGIN
           INSERT INTO copies (_id) VALUES (NEW.of);
           IF NEW.of = 'a' THEN RAISE EXCEPTION 'too late'; END IF;
         END",
    )
    .await;
    together(&mut lab, &["(1, 'a')", "(2, 'b')"]).await;
    let letters = lab.rows("SHOW DEAD LETTERS").await;
    assert_eq!(column(&letters, "sqlstate"), [Bson::from("23505")], "{letters:?}");
    assert_eq!(lab.documents("copies").await.len(), 2);
}

/// SQL-15.2: a body sees its own writes, and those of the changes before it.
#[tokio::test]
async fn what_was_written_is_seen() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "CREATE TRIGGER t ON orders FOR INSERT AS DECLARE known bigint; twice bigint; BEGIN
           INSERT INTO log (_id, n) VALUES (NEW._id, 0);
           SELECT COUNT(*) INTO known FROM log;
           INSERT INTO counts (_id, known, last) VALUES (NEW._id, known, (SELECT MAX(_id) FROM log));
           UPDATE log SET n = n + 1;
           INSERT INTO firsts (_id, seen) VALUES (NEW.of, 1) ON CONFLICT (_id) DO UPDATE SET seen = firsts.seen + 1;
           INSERT INTO log (_id) VALUES (-NEW._id);
           DELETE FROM log WHERE _id < 0;
           IF (SELECT COUNT(*) FROM log) = NEW._id THEN INSERT INTO agreed (_id) VALUES (NEW._id); END IF;
         END",
    )
    .await;
    together(&mut lab, &["(1, 'a')", "(2, 'b')", "(3, 'a')"]).await;
    let counts = lab.documents("counts").await;
    assert_eq!(column(&counts, "known"), [1, 2, 3].map(Bson::Int64));
    assert_eq!(column(&counts, "last"), [1, 2, 3].map(Bson::Int32));
    assert_eq!(column(&lab.documents("log").await, "n"), [3, 2, 1].map(Bson::Int32));
    assert_eq!(lab.documents("firsts").await, [doc! {"_id": "a", "seen": 2}, doc! {"_id": "b", "seen": 1}]);
    assert_eq!(lab.documents("agreed").await.len(), 3);
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
}

/// SQL-15.6: what changes write comes in their order, also in several collections.
#[tokio::test]
async fn watchers_see_writes_in_their_order() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "CREATE TRIGGER t ON orders FOR INSERT AS BEGIN
           INSERT INTO log (_id) VALUES (NEW._id), (NEW._id + 10);
           IF NEW.of = 'b' THEN INSERT INTO other (_id) VALUES (NEW._id); END IF;
           DELETE FROM log WHERE _id = NEW._id;
         END",
    )
    .await;
    let mut stream = lab.client.database("shop").watch().await.unwrap();
    together(&mut lab, &["(1, 'a')", "(2, 'b')", "(3, 'a')"]).await;
    let told = |event: &ChangeStreamEvent<Document>| {
        let collection = event.ns.as_ref().and_then(|ns| ns.coll.clone()).unwrap_or_default();
        let id = event.document_key.as_ref().and_then(|key| key.get_i32("_id").ok()).unwrap();
        (collection, event.operation_type == OperationType::Delete, id)
    };
    let mut seen = Vec::new();
    while seen.len() < 10 {
        let event = futures::StreamExt::next(&mut stream).await.unwrap().unwrap();
        if event.document_key.is_some() && event.ns.as_ref().is_some_and(|ns| ns.coll.as_deref() != Some("orders")) {
            seen.push(told(&event));
        }
    }
    let expected = [
        ("log", false, 1),
        ("log", false, 11),
        ("log", true, 1),
        ("log", false, 2),
        ("log", false, 12),
        ("other", false, 2),
        ("log", true, 2),
        ("log", false, 3),
        ("log", false, 13),
        ("log", true, 3),
    ];
    assert_eq!(seen, expected.map(|(collection, gone, id)| (collection.to_owned(), gone, id)));
}

/// SQL-15.3: whoever is killed and when, what went together is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_together_happens_exactly_once() {
    let mut lab = Lab::with_mill().await;
    lab.tag(
        "CREATE TRIGGER t ON orders FOR INSERT AS BEGIN
           INSERT INTO audit (of) VALUES (NEW._id);
           INSERT INTO audit (of) VALUES (NEW._id);
         END",
    )
    .await;
    let orders = lab.collection("orders");
    for round in 0..6 {
        orders.insert_many((0..400).map(|n| doc! {"_id": round * 400 + n})).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(15 * u64::try_from(round).unwrap())).await;
        lab.drop_mill();
        lab.start_mill().await;
    }
    lab.settle().await;
    let mut seen: Vec<i32> = lab.documents("audit").await.iter().map(|row| row.get_i32("of").unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..2_400).flat_map(|n| [n, n]).collect::<Vec<_>>());
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
}
