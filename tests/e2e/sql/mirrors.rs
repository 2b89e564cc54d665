//! `images = 'mirror'` (SQL-12.6): change queries and triggers that know documents before and after changes by an own copy.

use bson::{Bson, Document, Timestamp, doc};

use super::{Lab, column, eventually, eventually_rows, next};
use crate::support::Server;

/// What happened to a document, in the order in which the trigger saw it.
async fn audit(lab: &Lab) -> Vec<Document> {
    let mut rows = lab.documents("audit").await;
    for row in &mut rows {
        row.remove("_id");
    }
    rows
}

const AUDIT: &str = "AS BEGIN
    INSERT INTO audit (_id, op, was, n) VALUES (CHANGE_TOKEN(), TRIGGER_ACTION, OLD.n, NEW.n);
  END";

fn row(op: &str, was: impl Into<Bson>, n: impl Into<Bson>) -> Document {
    doc! {"op": op, "was": was.into(), "n": n.into()}
}

/// Whether the deployment keeps images of a collection.
async fn keeps_images(lab: &Lab, name: &str) -> bool {
    use futures::TryStreamExt;
    let found = lab.client.database("shop").list_collections().filter(doc! {"name": name}).await.unwrap();
    let found: Vec<_> = found.try_collect().await.unwrap();
    found.iter().any(|found| found.options.change_stream_pre_and_post_images.as_ref().is_some_and(|it| it.enabled))
}

/// The cluster time of now.
async fn now(lab: &Lab) -> Timestamp {
    let reply = lab.client.database("admin").run_command(doc! {"ping": 1}).await.unwrap();
    reply.get_timestamp("operationTime").unwrap()
}

/// Waits until the server no longer has the moment.
async fn until_over(lab: &Lab, time: Timestamp) {
    let find = doc! {"find": "other", "readConcern": {"level": "snapshot", "atClusterTime": time}};
    eventually("the moment is over", async || {
        // Moments go when something is written.
        lab.collection("other").insert_one(doc! {}).await.unwrap();
        lab.client.database("shop").run_command(find.clone()).await.is_err()
    })
    .await;
}

/// SQL-12.6: no images are switched on, what was there before is known, and nothing is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_goes_by_its_own_copy() {
    let mut lab = Lab::on(Server::with(&["--memory", "--mill", "off", "--test-commands"])).await;
    let orders = lab.collection("orders");
    orders.insert_many([doc! {"_id": 1, "n": 1, "a": {"b": [1, 2]}}, doc! {"_id": 2, "n": 20}]).await.unwrap();
    // As where nobody may change a collection's options.
    let refused = doc! {
        "configureFailPoint": "failCommand", "mode": "alwaysOn", "data": {"failCommands": ["collMod"], "errorCode": 13},
    };
    lab.client.database("admin").run_command(refused).await.unwrap();
    let trigger =
        |images: &str| format!("CREATE TRIGGER t ON orders FOR INSERT, UPDATE, DELETE WITH ({images}) {AUDIT}");
    assert_eq!(lab.fails(&trigger("images = 'auto'")).await, "MS002");
    lab.tag(&trigger("images = 'mirror'")).await;
    lab.start_mill().await;
    orders.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 1}, "$push": {"a.b": 3}}).await.unwrap();
    orders.replace_one(doc! {"_id": 2}, doc! {"n": 21}).await.unwrap();
    orders.insert_one(doc! {"_id": 3, "n": 30}).await.unwrap();
    orders.update_one(doc! {"_id": 1}, doc! {"$unset": {"n": 1}}).await.unwrap();
    orders.delete_one(doc! {"_id": 2}).await.unwrap();
    orders.delete_one(doc! {"_id": 3}).await.unwrap();
    lab.settle().await;
    let expected = [
        row("UPDATE", 1, 2),
        row("UPDATE", 20, 21),
        row("INSERT", Bson::Null, 30),
        row("UPDATE", 2, Bson::Null),
        row("DELETE", 21, Bson::Null),
        row("DELETE", 30, Bson::Null),
    ];
    assert_eq!(audit(&lab).await, expected);
    assert!(!keeps_images(&lab, "orders").await);
    let shown = lab.rows("SHOW TRIGGERS").await;
    assert!(shown[0].get_i64("state_bytes").unwrap() > 10, "{shown:?}");
    let told = lab.rows("EXPLAIN TRIGGER t").await;
    let told = column(&told, "plan");
    assert!(told.contains(&"images of orders: old, new (from an own copy)".into()), "{told:?}");
    assert!(told.iter().any(|line| line.as_str().unwrap().starts_with("copies of what is read: ")), "{told:?}");
    // SQL-12.1: it is gone, it is there again, and another one takes its name.
    orders.drop().await.unwrap();
    orders.insert_one(doc! {"_id": 1, "n": 100}).await.unwrap();
    orders.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}).await.unwrap();
    lab.collection("others").insert_one(doc! {"_id": 1, "n": 7}).await.unwrap();
    let rename = doc! {"renameCollection": "shop.others", "to": "shop.orders", "dropTarget": true};
    lab.client.database("admin").run_command(rename).await.unwrap();
    orders.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}).await.unwrap();
    lab.settle().await;
    let expected = [row("INSERT", Bson::Null, 100), row("UPDATE", 100, 101), row("UPDATE", 7, 8)];
    assert_eq!(audit(&lab).await[6..], expected);
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
}

/// SQL-12.6, SQL-15.3: whenever its mill ends, and however old the copy is that is left, each change is seen once and right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_goes_on_where_it_was() {
    let mut lab = Lab::with_mill().await;
    let orders = lab.collection("orders");
    orders.insert_many((0..40).map(|id| doc! {"_id": id, "n": 0})).await.unwrap();
    lab.tag(
        "CREATE TRIGGER t ON orders FOR UPDATE WITH (images = 'mirror', parallel = 2, batch = 7) AS BEGIN
           INSERT INTO history (_id, seen) VALUES (NEW._id, ARRAY[OLD.n])
             ON CONFLICT (_id) DO UPDATE SET seen = history.seen || OLD.n;
         END",
    )
    .await;
    lab.settle().await;
    let mut old = None;
    for n in 1..=8 {
        let mut session = lab.client.start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        orders.update_many(doc! {}, doc! {"$set": {"n": n}}).session(&mut session).await.unwrap();
        session.commit_transaction().await.unwrap();
        match n {
            2 => {
                lab.settle().await;
                lab.stop_mill().await;
                old = Some(lab.copy_of_state());
                lab.start_mill().await;
            }
            // Older than what was dealt with meanwhile.
            5 => {
                lab.settle().await;
                lab.stop_mill().await;
                lab.set_state(old.as_ref().unwrap());
                lab.start_mill().await;
            }
            // There is none any more.
            6 => {
                lab.settle().await;
                lab.stop_mill().await;
                lab.set_state(&tempfile::tempdir().unwrap());
                lab.start_mill().await;
            }
            _ => {
                lab.drop_mill();
                lab.start_mill().await;
            }
        }
    }
    lab.settle().await;
    let history = lab.documents("history").await;
    assert_eq!(history.len(), 40);
    for row in history {
        let seen: Vec<i32> = row.get_array("seen").unwrap().iter().map(|n| n.as_i32().unwrap()).collect();
        assert_eq!(seen, (0..8).collect::<Vec<_>>(), "{row}");
    }
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
    assert!(!keeps_images(&lab, "orders").await);
}

/// SQL-12.6, SQL-12.8: a copy that is lost for longer than the deployment keeps snapshots is read as of now. Of the changes
/// until then some images are missing, and none is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_that_are_lost_with_a_copy_are_missing() {
    let flags = ["--memory", "--mill", "off", "--test-commands", "--snapshot-window", "1"];
    let mut lab = Lab::on(Server::with(&flags)).await;
    lab.start_mill().await;
    let orders = lab.collection("orders");
    orders.insert_many((1..=3).map(|id| doc! {"_id": id, "n": id * 10})).await.unwrap();
    lab.tag(&format!(
        "CREATE TRIGGER t ON orders FOR UPDATE, DELETE WITH (images = 'mirror', missing_image = 'null') {AUDIT}"
    ))
    .await;
    lab.settle().await;
    lab.stop_mill().await;
    lab.set_state(&tempfile::tempdir().unwrap());
    let stopped = now(&lab).await;
    orders.update_one(doc! {"_id": 1}, doc! {"$set": {"n": 11}}).await.unwrap();
    orders.replace_one(doc! {"_id": 2}, doc! {"n": 21}).await.unwrap();
    orders.update_one(doc! {"_id": 2}, doc! {"$set": {"n": 22}}).await.unwrap();
    orders.delete_one(doc! {"_id": 2}).await.unwrap();
    until_over(&lab, stopped).await;
    lab.start_mill().await;
    lab.settle().await;
    let null = Bson::Null;
    let early = [
        row("UPDATE", null.clone(), null.clone()),
        row("UPDATE", null.clone(), 21),
        row("UPDATE", 21, 22),
        row("DELETE", 22, null.clone()),
    ];
    assert_eq!(audit(&lab).await, early);
    orders.update_one(doc! {"_id": 1}, doc! {"$set": {"n": 12}}).await.unwrap();
    orders.delete_one(doc! {"_id": 3}).await.unwrap();
    lab.settle().await;
    assert_eq!(audit(&lab).await[4..], [row("UPDATE", 11, 12), row("DELETE", 30, null)]);
    let start = "start = TIMESTAMPTZ '2020-01-01 00:00:00Z'";
    let late = format!("CREATE TRIGGER u ON orders FOR UPDATE WITH (images = 'mirror', {start}) {AUDIT}");
    assert_eq!(lab.fails(&late).await, "MS002");
}

/// SQL-12.6, SQL-14.8: a collection of outputs, over the end of its mill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_go_by_an_own_copy() {
    let mut lab = Lab::with_mill().await;
    let t = lab.collection("t");
    t.insert_many((1..=3).map(|id| doc! {"_id": id, "n": id * 10})).await.unwrap();
    lab.tag(
        "CREATE MATERIALIZED VIEW moves WITH (images = 'mirror') AS
           SELECT CHANGE_TYPE() AS op, OLD.n AS was, NEW.n AS n, COUNT(*) OVER () AS nth FROM t WHERE CHANGE_DETECTED()",
    )
    .await;
    lab.settle().await;
    let old = {
        lab.stop_mill().await;
        let old = lab.copy_of_state();
        lab.start_mill().await;
        old
    };
    t.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}).await.unwrap();
    lab.settle().await;
    lab.stop_mill().await;
    lab.set_state(&old);
    t.delete_one(doc! {"_id": 2}).await.unwrap();
    lab.start_mill().await;
    t.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}).await.unwrap();
    lab.settle().await;
    lab.drop_mill();
    t.replace_one(doc! {"_id": 3}, doc! {"n": 31}).await.unwrap();
    lab.start_mill().await;
    lab.settle().await;
    let mut rows = lab.rows("SELECT op, was, n FROM moves ORDER BY nth").await;
    let expected = [row("UPDATE", 10, 11), row("DELETE", 20, Bson::Null), row("UPDATE", 11, 12), row("UPDATE", 30, 31)];
    assert_eq!(rows, expected);
    assert!(!keeps_images(&lab, "t").await);
    rows = lab.rows("EXPLAIN MATERIALIZED VIEW moves").await;
    let told = column(&rows, "plan");
    assert!(told.contains(&"images of shop.t: old, new (from an own copy)".into()), "{told:?}");
    assert_eq!(lab.fails("ALTER MATERIALIZED VIEW moves SET (images = 'auto')").await, "0A000");
    // SQL-18.8: the copy counts to the state.
    t.insert_many((0..200).map(|n| doc! {"text": format!("{n:500}")})).await.unwrap();
    lab.tag(
        "CREATE MATERIALIZED VIEW large WITH (images = 'mirror', max_state_bytes = 50000) AS
           SELECT OLD.n AS was FROM t WHERE CHANGE_DETECTED()",
    )
    .await;
    eventually_rows(&mut lab, "SHOW MATERIALIZED VIEWS LIKE 'large'", |rows| {
        rows[0].get_str("error").is_ok_and(|error| error.starts_with("53400"))
    })
    .await;
}

/// SQL-12.6, SQL-20.3: what a query or a trigger does not ask for goes into its copy nevertheless.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_has_what_is_not_asked_for() {
    let mut lab = Lab::with_mill().await;
    let t = lab.collection("t");
    t.insert_one(doc! {"_id": 0, "n": 0, "text": "a"}).await.unwrap();
    let query = "SELECT OLD.n AS was, NEW.n AS n, OLD.text AS text FROM t
                 WHERE CHANGE_DETECTED() AND CHANGE_TYPE() = 'UPDATE' AND NEW.n > 100";
    lab.tag(&format!(
        "CREATE MATERIALIZED VIEW large WITH (images = 'mirror') AS {query};
         CREATE TRIGGER g ON t FOR UPDATE OF n WHEN (NEW.n > 100) WITH (images = 'mirror') AS BEGIN
           INSERT INTO seen (was, n, text) VALUES (OLD.n, NEW.n, OLD.text);
         END"
    ))
    .await;
    lab.settle().await;
    let mut rows = lab.subscribe(&format!("SUBSCRIBE TO ({query}) WITH (images = 'mirror')")).await;
    t.insert_one(doc! {"_id": 1, "n": 1, "text": "b"}).await.unwrap();
    t.update_one(doc! {"_id": 1}, doc! {"$set": {"n": 2}}).await.unwrap();
    t.update_one(doc! {"_id": 1}, doc! {"$set": {"text": "c"}}).await.unwrap();
    t.delete_one(doc! {"_id": 0}).await.unwrap();
    t.insert_one(doc! {"_id": 0, "n": 5, "text": "d"}).await.unwrap();
    t.update_one(doc! {"_id": 1}, doc! {"$set": {"n": 101}}).await.unwrap();
    t.update_one(doc! {"_id": 0}, doc! {"$inc": {"n": 100}}).await.unwrap();
    let expected = [doc! {"was": 2, "n": 101, "text": "c"}, doc! {"was": 5, "n": 105, "text": "d"}];
    for expected in &expected {
        let row: Document = next(&mut rows).await.into_iter().filter(|(name, _)| !name.starts_with('_')).collect();
        assert_eq!(row, *expected);
    }
    lab.settle().await;
    for name in ["large", "seen"] {
        assert_eq!(lab.rows(&format!("SELECT was, n, text FROM {name} ORDER BY n")).await, expected, "{name}");
    }
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
}

/// SQL-12.1: another collection takes the name of one that changes are seen with, and they go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_are_seen_with_may_be_replaced() {
    let mut lab = Lab::with_mill().await;
    let (t, names) = (lab.collection("t"), lab.collection("names"));
    t.insert_one(doc! {"_id": 1, "n": 1}).await.unwrap();
    names.insert_one(doc! {"_id": 1, "name": "one"}).await.unwrap();
    let query = "SELECT OLD.n AS was, NEW.n AS n, name FROM t JOIN names ON names._id = t._id WHERE CHANGE_DETECTED()";
    lab.tag(&format!("CREATE MATERIALIZED VIEW v WITH (images = 'mirror') AS {query}")).await;
    lab.settle().await;
    let mut rows = lab.subscribe(&format!("SUBSCRIBE TO ({query}) WITH (images = 'mirror')")).await;
    let add = async || drop(t.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}).await.unwrap());
    add().await;
    for (name, document) in [("t", doc! {"_id": 1, "n": 10}), ("names", doc! {"_id": 1, "name": "eins"})] {
        lab.collection("other").insert_one(document).await.unwrap();
        let rename = doc! {"renameCollection": "shop.other", "to": format!("shop.{name}"), "dropTarget": true};
        lab.client.database("admin").run_command(rename).await.unwrap();
        add().await;
    }
    let expected = [
        doc! {"was": 1, "n": 2, "name": "one"},
        doc! {"was": 10, "n": 11, "name": "one"},
        doc! {"was": 11, "n": 12, "name": "eins"},
    ];
    for expected in &expected {
        let row: Document = next(&mut rows).await.into_iter().filter(|(name, _)| !name.starts_with('_')).collect();
        assert_eq!(row, *expected);
    }
    lab.settle().await;
    assert_eq!(lab.rows("SELECT was, n, name FROM v ORDER BY n").await, expected);
}

/// SQL-12.6, SQL-13.12: a subscription has a copy as long as it lasts, from where it starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_goes_by_its_own_copy() {
    let mut lab = Lab::on(Server::with(&["--memory", "--mill", "off", "--snapshot-window", "2"])).await;
    let t = lab.collection("t");
    t.insert_many((1..=3).map(|id| doc! {"_id": id, "n": id * 10})).await.unwrap();
    let query = "SELECT CHANGE_TYPE() AS op, OLD.n AS was, NEW.n AS n FROM t WHERE CHANGE_DETECTED()";
    let mut rows = lab.subscribe(&format!("SUBSCRIBE TO ({query}) WITH (images = 'mirror')")).await;
    t.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}).await.unwrap();
    let mut session = lab.client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    for _ in 0..2 {
        t.update_one(doc! {"_id": 2}, doc! {"$inc": {"n": 1}}).session(&mut session).await.unwrap();
    }
    session.commit_transaction().await.unwrap();
    t.delete_one(doc! {"_id": 2}).await.unwrap();
    let expected = [row("UPDATE", 10, 11), row("UPDATE", 20, 21), row("UPDATE", 21, 22), row("DELETE", 22, Bson::Null)];
    let mut tokens = Vec::new();
    let began = now(&lab).await;
    let only = |row: Document| -> Document { row.into_iter().filter(|(name, _)| !name.starts_with('_')).collect() };
    for expected in &expected {
        let row = next(&mut rows).await;
        tokens.push(row.get_str("_token").unwrap().to_owned());
        assert_eq!(only(row), *expected);
    }
    // From within, as long as the deployment has what was there.
    let from = |token: &str| format!("SUBSCRIBE TO ({query}) WITH (images = 'mirror', start = '{token}')");
    let mut again = lab.subscribe(&from(&tokens[0])).await;
    for expected in &expected[1..] {
        assert_eq!(only(next(&mut again).await), *expected);
    }
    let mut last = lab.subscribe(&from(&tokens[2])).await;
    assert_eq!(only(next(&mut last).await), expected[3]);
    // With the documents that are there.
    let snapshot = format!("SUBSCRIBE TO ({query}) WITH (images = 'mirror', start = 'snapshot')");
    let mut snapshot = lab.subscribe(&snapshot).await;
    t.update_one(doc! {"_id": 3}, doc! {"$inc": {"n": 1}}).await.unwrap();
    let expected = [row("INSERT", Bson::Null, 11), row("INSERT", Bson::Null, 30), row("UPDATE", 30, 31)];
    for expected in expected {
        assert_eq!(only(next(&mut snapshot).await), expected);
    }
    assert!(!keeps_images(&lab, "t").await);
    t.insert_many((0..200).map(|n| doc! {"text": format!("{n:500}")})).await.unwrap();
    let bounded = format!("SUBSCRIBE TO ({query}) WITH (images = 'mirror', max_state_bytes = 50000)");
    assert_eq!(lab.fails(&bounded).await, "53400");
    until_over(&lab, began).await;
    let error = lab.answer(&from(&tokens[0])).await.unwrap_err();
    assert_eq!(error.state.0, "MS002", "{error}");
    assert!(error.hint.unwrap().contains("start = 'now'"));
}

/// SQL-12.2, SQL-12.6: what starts in the middle of a commit knows what was there by then, and not what came later in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_starts_within_a_commit_goes_by_what_was_there() {
    let mut lab = Lab::with_mill().await;
    let (t, names) = (lab.collection("t"), lab.collection("names"));
    t.insert_one(doc! {"_id": 1, "n": 10}).await.unwrap();
    names.insert_one(doc! {"_id": 1, "name": "one"}).await.unwrap();
    let images = doc! {"collMod": "t", "changeStreamPreAndPostImages": {"enabled": true}};
    lab.client.database("shop").run_command(images).await.unwrap();
    let query = "SELECT CHANGE_TOKEN() AS token, OLD.n AS was, NEW.n AS n, names.name FROM t
                 JOIN names ON names._id = t._id WHERE CHANGE_DETECTED()";
    let mut rows = lab.subscribe(query).await;
    let mut session = lab.client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    for name in ["eins", "un", "uno"] {
        t.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}).session(&mut session).await.unwrap();
        names.update_one(doc! {"_id": 1}, doc! {"$set": {"name": name}}).session(&mut session).await.unwrap();
    }
    names.insert_one(doc! {"_id": 2, "name": "two"}).session(&mut session).await.unwrap();
    session.commit_transaction().await.unwrap();
    t.insert_one(doc! {"_id": 2, "n": 20}).await.unwrap();
    let seen = |was: Bson, n: i32, name: &str| doc! {"was": was, "n": n, "name": name};
    let expected = [
        seen(10.into(), 11, "one"),
        seen(11.into(), 12, "eins"),
        seen(12.into(), 13, "un"),
        seen(Bson::Null, 20, "two"),
    ];
    let mut tokens = Vec::new();
    let without_token = |mut row: Document| -> Document {
        row.remove("token");
        row.into_iter().filter(|(name, _)| !name.starts_with('_')).collect()
    };
    for expected in &expected {
        let row = next(&mut rows).await;
        tokens.push(row.get_str("token").unwrap().to_owned());
        assert_eq!(without_token(row), *expected);
    }
    for (at, token) in tokens.iter().enumerate() {
        for images in ["auto", "mirror"] {
            let start = format!("WITH (images = '{images}', start = '{token}')");
            let name = format!("from_{images}_{at}");
            lab.tag(&format!("CREATE MATERIALIZED VIEW {name} {start} AS {query}")).await;
            lab.settle().await;
            let stored = lab.rows(&format!("SELECT was, n, name FROM {name} ORDER BY n")).await;
            assert_eq!(stored, expected[at + 1..], "{name}");
            let mut again = lab.subscribe(&format!("SUBSCRIBE TO ({query}) {start}")).await;
            for expected in &expected[at + 1..] {
                assert_eq!(without_token(next(&mut again).await), *expected, "{name}");
            }
        }
    }
    let start = format!("WITH (images = 'mirror', start = '{}')", tokens[0]);
    lab.tag(&format!("CREATE TRIGGER g ON t FOR INSERT, UPDATE {start} {AUDIT}")).await;
    lab.settle().await;
    assert_eq!(audit(&lab).await, [row("UPDATE", 11, 12), row("UPDATE", 12, 13), row("INSERT", Bson::Null, 20)]);
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
}

/// SQL-15.3: of the changes of one commit, too, each is dealt with once, wherever the mill ends between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_may_be_dealt_with_in_parts() {
    let mut lab = Lab::new().await;
    let orders = lab.collection("orders");
    lab.tag(
        "CREATE TRIGGER t ON orders FOR INSERT WITH (batch = 3) AS BEGIN
           INSERT INTO audit (order_id) VALUES (NEW._id);
         END",
    )
    .await;
    lab.client.database("shop").create_collection("orders").await.unwrap();
    let mut session = lab.client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    orders.insert_many((0..600).map(|id| doc! {"_id": id})).session(&mut session).await.unwrap();
    session.commit_transaction().await.unwrap();
    let mut parts = 0;
    let mut before = 0;
    while parts < 3 && before < 600 {
        lab.start_mill().await;
        eventually("some were dealt with", async || lab.documents("audit").await.len() > before).await;
        lab.drop_mill();
        before = lab.documents("audit").await.len();
        parts += 1;
    }
    lab.start_mill().await;
    lab.settle().await;
    let mut seen: Vec<i32> = lab.documents("audit").await.iter().map(|row| row.get_i32("order_id").unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..600).collect::<Vec<_>>(), "in {parts} parts");
}
