//! Images and history that are not there any more (SQL-12.8, SQL-12.10).

use bson::{Bson, doc};

use super::Lab;
use crate::support::Server;

/// SQL-12.8: an image that should be there and is not is an error of the row, or NULL if that is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_image_is_told() {
    let mut lab = Lab::with_mill().await;
    let t = lab.collection("t");
    t.insert_one(doc! {"_id": 1, "a": 1}).await.unwrap();
    // No images are kept yet.
    t.update_one(doc! {"_id": 1}, doc! {"$set": {"a": 2}}).await.unwrap();
    for (name, option) in [("strict", ""), ("loose", ", missing_image = 'null'")] {
        let view = format!(
            "CREATE MATERIALIZED VIEW {name} WITH (start = TIMESTAMPTZ '2020-01-01 00:00:00Z'{option}) AS
             SELECT OLD.a AS was FROM t WHERE CHANGE_DETECTED() AND CHANGE_TYPE() = 'UPDATE'"
        );
        lab.tag(&view).await;
    }
    t.update_one(doc! {"_id": 1}, doc! {"$set": {"a": 3}}).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.rows("SELECT was FROM strict").await, [doc! {"was": 2}]);
    assert_eq!(lab.rows("SELECT was FROM loose").await, [doc! {"was": Bson::Null}, doc! {"was": 2}]);
    let letters = lab.rows("SHOW DEAD LETTERS").await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0].get_str("sqlstate").unwrap(), "MS002");
}

/// SQL-12.8, SQL-15.8: a trigger puts a change aside at once whose image is missing, as it will not be there later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lacks_an_image_is_not_tried_again() {
    let mut lab = Lab::with_mill().await;
    let t = lab.collection("t");
    t.insert_one(doc! {"_id": 1, "n": 1}).await.unwrap();
    // No images are kept yet.
    t.update_one(doc! {"_id": 1}, doc! {"$set": {"n": 2}}).await.unwrap();
    lab.tag(
        "CREATE TRIGGER g ON t FOR UPDATE WITH (start = TIMESTAMPTZ '2020-01-01 00:00:00Z', retries = 1000) AS BEGIN
           INSERT INTO seen (_id, was) VALUES (NEW.n, OLD.n);
         END",
    )
    .await;
    t.update_one(doc! {"_id": 1}, doc! {"$set": {"n": 3}}).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.documents("seen").await, [doc! {"_id": 3, "was": 2}]);
    let letters = lab.rows("SHOW DEAD LETTERS").await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0].get_str("sqlstate").unwrap(), "MS002");
    assert_eq!(letters[0].get_i32("attempts").unwrap(), 1, "{letters:?}");
}

/// SQL-12.10: where the deployment no longer has the changes, a view is made right from what is there, and a trigger stops
/// and says so until it is told where to go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_history_is_told() {
    let mut lab = Lab::on(Server::with(&["--memory", "--mill", "off", "--oplog-bytes", "1MiB"])).await;
    lab.start_mill().await;
    lab.tag(
        "CREATE MATERIALIZED VIEW v AS SELECT COUNT(*) AS n FROM t;
         CREATE TRIGGER g ON t FOR INSERT AS BEGIN INSERT INTO seen (_id) VALUES (NEW._id); END",
    )
    .await;
    lab.collection("t").insert_one(doc! {"_id": 1}).await.unwrap();
    lab.settle().await;
    lab.stop_mill().await;
    lab.collection("t").insert_one(doc! {"_id": 2}).await.unwrap();
    for _ in 0..40 {
        lab.collection("other").insert_one(doc! {"padding": "x".repeat(1 << 20)}).await.unwrap();
    }
    lab.start_mill().await;
    lab.tag("WAIT FOR MATERIALIZED VIEW v TIMEOUT INTERVAL '50 seconds'").await;
    assert_eq!(lab.documents("v").await, [doc! {"_id": {}, "n": 2_i64}]);
    super::eventually_rows(&mut lab, "SHOW TRIGGERS", |rows| {
        rows[0].get_str("state").is_ok_and(|state| state == "failed")
            && rows[0].get_str("error").is_ok_and(|error| error.starts_with("MS001"))
    })
    .await;
    lab.tag("RESUME TRIGGER g FROM NOW").await;
    lab.settle().await;
    lab.collection("t").insert_one(doc! {"_id": 3}).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.documents("seen").await, [doc! {"_id": 1}, doc! {"_id": 3}]);
}

/// SQL-12.6, SQL-12.10: a trigger whose place is there goes on, however old the copy is that this mill has of its table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_too_old_is_read_again() {
    let mut lab = Lab::on(Server::with(&["--memory", "--mill", "off", "--oplog-bytes", "1MiB"])).await;
    lab.start_mill().await;
    lab.tag(
        "CREATE TRIGGER g ON t FOR UPDATE WITH (images = 'mirror', missing_image = 'null') AS BEGIN
           INSERT INTO seen (_id, was) VALUES (NEW.n, OLD.n);
         END",
    )
    .await;
    let t = lab.collection("t");
    let set = async |n: i32| t.update_one(doc! {"_id": 1}, doc! {"$set": {"n": n}}).await.unwrap();
    t.insert_one(doc! {"_id": 1, "n": 0}).await.unwrap();
    set(1).await;
    lab.settle().await;
    lab.stop_mill().await;
    // Another mill has it for a while.
    let older = lab.copy_of_state();
    lab.start_mill().await;
    for n in 2..5 {
        set(n).await;
    }
    lab.settle().await;
    for _ in 0..40 {
        lab.collection("other").insert_one(doc! {"padding": "x".repeat(1 << 20)}).await.unwrap();
    }
    lab.settle().await;
    set(5).await;
    lab.settle().await;
    lab.stop_mill().await;
    lab.set_state(&older);
    lab.start_mill().await;
    set(6).await;
    lab.settle().await;
    set(7).await;
    lab.settle().await;
    // So small a log may not have the moment any more as of which the copy would be right: then the documents of the first
    // change behind it are missing.
    let seen = lab.documents("seen").await.into_iter();
    let (sixth, others): (Vec<_>, Vec<_>) =
        seen.partition(|row| matches!(row.get("_id"), Some(Bson::Null | Bson::Int32(6))));
    assert!(matches!(sixth[0].get("was"), Some(Bson::Null | Bson::Int32(5))) && sixth.len() == 1, "{sixth:?}");
    let expected: Vec<_> = [1, 2, 3, 4, 5, 7].map(|n| doc! {"_id": n, "was": n - 1}).into();
    assert_eq!(others, expected, "{:?}", lab.rows("SHOW TRIGGERS").await);
}
