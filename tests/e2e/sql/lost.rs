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
