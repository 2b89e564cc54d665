//! `local.oplog.rs`, for the tools that tail it.

use std::time::Duration;

use bson::{Document, doc};
use futures::StreamExt;
use mongodb::options::CursorType;

use super::fresh;

/// CS-11.1.2, CS-11.2.1.
#[tokio::test]
async fn the_log_can_be_tailed_from_a_time() {
    let (_server, client) = fresh().await;
    let orders = client.database("shop").collection::<Document>("orders");
    orders.insert_one(doc! {"_id": 1}).await.unwrap();
    let log = client.database("local").collection::<Document>("oplog.rs");
    let last = log.find_one(doc! {}).sort(doc! {"$natural": -1}).await.unwrap().unwrap();
    assert_eq!(last.get_document("o").ok(), Some(&doc! {"_id": 1}));
    let from = last.get_timestamp("ts").unwrap();
    let mut tail = log
        .find(doc! {"ts": {"$gt": from}, "op": {"$in": ["i", "u", "d", "c"]}})
        .cursor_type(CursorType::TailableAwait)
        .no_cursor_timeout(true)
        .await
        .unwrap();

    orders.update_one(doc! {"_id": 1}, doc! {"$set": {"a": 2}}).await.unwrap();
    orders.delete_one(doc! {"_id": 1}).await.unwrap();
    orders.drop().await.unwrap();

    let mut entries = Vec::new();
    while entries.len() < 3 {
        let next = tokio::time::timeout(Duration::from_secs(20), tail.next()).await;
        entries.push(next.expect("an entry in time").expect("an open cursor").unwrap());
    }
    let ops: Vec<_> = entries.iter().map(|entry| entry.get_str("op").unwrap()).collect();
    assert_eq!(ops, ["u", "d", "c"]);
    let update = &entries[0];
    assert_eq!(update.get_str("ns").ok(), Some("shop.orders"));
    assert_eq!(update.get_document("o2").ok(), Some(&doc! {"_id": 1}));
    let change = update.get_document("o").unwrap();
    assert_eq!(change.get_i32("$v").ok(), Some(2));
    assert_eq!(change.get_document("diff").ok(), Some(&doc! {"i": {"a": 2}}));
    assert_eq!(entries[1].get_document("o").ok(), Some(&doc! {"_id": 1}));
    assert_eq!(entries[2].get_document("o").unwrap().get_str("drop").ok(), Some("orders"));
    for entry in &entries {
        assert!(entry.get("_id").is_none(), "entries have no _id: {entry}");
        assert_eq!(entry.get_i64("v").ok(), Some(2), "{entry}");
        assert!(entry.get_datetime("wall").is_ok(), "{entry}");
    }
    let times: Vec<_> = entries.iter().map(|entry| entry.get_timestamp("ts").unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
}

/// CS-11.1.1, CS-11.1.5.
#[tokio::test]
async fn the_log_begins_with_the_initiation_and_cannot_be_written() {
    let (_server, client) = fresh().await;
    let local = client.database("local");
    let log = local.collection::<Document>("oplog.rs");
    let first = log.find_one(doc! {}).sort(doc! {"$natural": 1}).await.unwrap().unwrap();
    assert_eq!(first.get_document("o").ok(), Some(&doc! {"msg": "initiating set"}));
    assert!(log.insert_one(doc! {"op": "n"}).await.is_err());
    assert!(local.list_collection_names().await.unwrap().contains(&"oplog.rs".to_owned()));
}
