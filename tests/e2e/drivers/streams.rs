//! Change streams: scopes, resuming, images, what survives a crash.

use std::time::Duration;

use bson::{Document, doc};
use futures::StreamExt;
use mongodb::Client;
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::{ChangeStreamEvent, OperationType, ResumeToken};
use mongodb::options::{ChangeStreamPreAndPostImages, FullDocumentBeforeChangeType, FullDocumentType};

use super::{collection, fresh};
use crate::support::Server;

type Events = ChangeStream<ChangeStreamEvent<Document>>;

/// How long an event may take; far above what it needs.
const WAIT_MAX: Duration = Duration::from_secs(20);

#[tokio::test]
async fn three_scopes_see_their_part_with_the_same_tokens() {
    let (_server, client) = fresh().await;
    let shop = client.database("shop");
    let mut collection = shop.collection::<Document>("orders").watch().await.unwrap();
    let mut database = shop.watch().await.unwrap();
    let mut cluster = client.watch().await.unwrap();

    client.database("other").collection("c").insert_one(doc! {"_id": 1}).await.unwrap();
    shop.collection("stock").insert_one(doc! {"_id": 2}).await.unwrap();
    shop.collection("orders").insert_one(doc! {"_id": 3}).await.unwrap();

    let all = take(&mut cluster, 3).await;
    assert_eq!(keys(&all), [1, 2, 3]);
    let in_database = take(&mut database, 2).await;
    assert_eq!(keys(&in_database), [2, 3]);
    let in_collection = take(&mut collection, 1).await;
    assert_eq!(keys(&in_collection), [3]);
    assert_eq!(in_collection[0].id, all[2].id);
    assert_eq!(in_database[0].id, all[1].id);
}

#[tokio::test]
async fn every_position_resumes_to_exactly_the_rest() {
    let (_server, orders) = collection().await;
    let mut stream = orders.watch().await.unwrap();
    orders.insert_many((0..6).map(|id| doc! {"_id": id})).await.unwrap();
    orders.update_many(doc! {}, doc! {"$set": {"seen": true}}).await.unwrap();
    orders.delete_many(doc! {"_id": {"$lt": 3}}).await.unwrap();
    let all = take(&mut stream, 15).await;
    for (at, event) in all.iter().enumerate() {
        let rest = &all[at + 1..];
        let mut resumed = orders.watch().resume_after(event.id.clone()).await.unwrap();
        assert_eq!(ids(&take(&mut resumed, rest.len()).await), ids(rest), "resumeAfter {at}");
        let mut resumed = orders.watch().start_after(event.id.clone()).await.unwrap();
        assert_eq!(ids(&take(&mut resumed, rest.len()).await), ids(rest), "startAfter {at}");
        let time = event.cluster_time.unwrap();
        let from = all.iter().position(|e| e.cluster_time >= Some(time)).unwrap();
        let mut resumed = orders.watch().start_at_operation_time(time).await.unwrap();
        let rest = &all[from..];
        assert_eq!(ids(&take(&mut resumed, rest.len()).await), ids(rest), "startAt {at}");
        assert!(resumed.next_if_any().await.unwrap().is_none(), "nothing after the rest");
    }
}

/// CS-13.21, CS-13.29.
#[tokio::test]
async fn an_idle_streams_token_resumes_past_other_writes() {
    let (_server, orders) = collection().await;
    let mut stream = orders.watch().max_await_time(Duration::from_millis(20)).await.unwrap();
    let before = stream.resume_token();
    let other = orders.client().database("shop").collection::<Document>("other");
    other.insert_many((0..10).map(|id| doc! {"_id": id})).await.unwrap();
    // The first call hands out the batch that came when the stream was opened, the second asks for more.
    for _ in 0..2 {
        assert!(stream.next_if_any().await.unwrap().is_none());
    }
    let after = stream.resume_token();
    assert_ne!(before, after, "the position moves on (CS-5.6.5)");
    orders.insert_one(doc! {"_id": 1}).await.unwrap();
    let mut resumed = orders.watch().resume_after(after).await.unwrap();
    assert_eq!(keys(&take(&mut resumed, 1).await), [1]);
}

/// CS-13.24: types that a driver reads into. CS-13.22: the end.
#[tokio::test]
async fn drop_ends_the_stream_and_start_after_goes_on() {
    let (_server, orders) = collection().await;
    let mut stream = orders.watch().await.unwrap();
    orders.insert_one(doc! {"_id": 1}).await.unwrap();
    orders.drop().await.unwrap();
    let events = take(&mut stream, 3).await;
    let types: Vec<_> = events.iter().map(|event| event.operation_type.clone()).collect();
    assert_eq!(types, [OperationType::Insert, OperationType::Drop, OperationType::Invalidate]);
    assert!(stream.next().await.is_none());
    assert!(!stream.is_alive());
    orders.insert_one(doc! {"_id": 2}).await.unwrap();
    let mut next = orders.watch().start_after(events[2].id.clone()).await.unwrap();
    assert_eq!(keys(&take(&mut next, 1).await), [2]);
}

#[tokio::test]
async fn images_show_before_and_after() {
    let (_server, client) = fresh().await;
    let shop = client.database("shop");
    let images = ChangeStreamPreAndPostImages::builder().enabled(true).build();
    shop.create_collection("orders").change_stream_pre_and_post_images(images).await.unwrap();
    let orders = shop.collection::<Document>("orders");
    let mut stream = orders
        .watch()
        .full_document(FullDocumentType::Required)
        .full_document_before_change(FullDocumentBeforeChangeType::Required)
        .await
        .unwrap();
    orders.insert_one(doc! {"_id": 1, "n": 1}).await.unwrap();
    orders.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}).await.unwrap();
    orders.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}).await.unwrap();
    orders.replace_one(doc! {"_id": 1}, doc! {"n": 9}).await.unwrap();
    orders.delete_one(doc! {"_id": 1}).await.unwrap();
    let events = take(&mut stream, 5).await;
    let n = |document: &Option<Document>| document.as_ref().and_then(|d| d.get_i32("n").ok());
    let images: Vec<_> = events.iter().map(|e| (n(&e.full_document_before_change), n(&e.full_document))).collect();
    // The first update's image is of that moment, although the document has changed since.
    assert_eq!(images, [(None, Some(1)), (Some(1), Some(2)), (Some(2), Some(3)), (Some(3), Some(9)), (Some(9), None)]);
}

#[tokio::test]
async fn a_pipeline_filters_and_shapes() {
    let (_server, orders) = collection().await;
    let pipeline = [
        doc! {"$match": {"fullDocument.total": {"$gte": 100}}},
        doc! {"$addFields": {"big": {"$gte": ["$fullDocument.total", 1000]}}},
    ];
    let mut stream = orders.watch().pipeline(pipeline).await.unwrap().with_type::<Document>();
    orders
        .insert_many([doc! {"_id": 1, "total": 5}, doc! {"_id": 2, "total": 100}, doc! {"_id": 3, "total": 5000}])
        .await
        .unwrap();
    for (id, big) in [(2, false), (3, true)] {
        let event = tokio::time::timeout(WAIT_MAX, stream.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.get_document("documentKey").ok(), Some(&doc! {"_id": id}));
        assert_eq!(event.get_bool("big").ok(), Some(big));
    }
}

#[tokio::test]
async fn a_stream_goes_on_by_itself_when_the_server_is_killed() {
    let mut server = Server::durable();
    let client = Client::with_uri_str(server.uri()).await.unwrap();
    let orders = client.database("shop").collection::<Document>("orders");
    let mut stream = orders.watch().await.unwrap();
    orders.insert_many((0..5).map(|id| doc! {"_id": id})).await.unwrap();
    assert_eq!(keys(&take(&mut stream, 3).await), [0, 1, 2]);
    server.kill();
    server.start_again();
    orders.insert_many((5..10).map(|id| doc! {"_id": id})).await.unwrap();
    assert_eq!(keys(&take(&mut stream, 7).await), [3, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_token_survives_a_restart_and_times_go_on() {
    let mut server = Server::durable();
    let client = Client::with_uri_str(server.uri()).await.unwrap();
    let orders = client.database("shop").collection::<Document>("orders");
    let mut stream = orders.watch().await.unwrap();
    orders.insert_many((0..4).map(|id| doc! {"_id": id})).await.unwrap();
    let before = take(&mut stream, 4).await;
    drop(stream);
    let (status, _) = server.terminate();
    assert!(status.success(), "{status}");
    server.start_again();
    orders.insert_one(doc! {"_id": 4}).await.unwrap();
    let mut resumed = orders.watch().resume_after(before[1].id.clone()).await.unwrap();
    let after = take(&mut resumed, 3).await;
    assert_eq!(ids(&after[..2]), ids(&before[2..]), "the same events have the same tokens");
    assert_eq!(keys(&after), [2, 3, 4]);
    assert!(after[2].cluster_time > before[3].cluster_time);
}

async fn take(stream: &mut Events, count: usize) -> Vec<ChangeStreamEvent<Document>> {
    let mut events = Vec::new();
    while events.len() < count {
        let next = tokio::time::timeout(WAIT_MAX, stream.next()).await;
        let next = next.unwrap_or_else(|_| panic!("{} of {count} events came", events.len()));
        events.push(next.expect("the stream is open").expect("an event"));
    }
    events
}

fn keys(events: &[ChangeStreamEvent<Document>]) -> Vec<i32> {
    let key = |event: &ChangeStreamEvent<Document>| event.document_key.clone()?.get_i32("_id").ok();
    events.iter().filter_map(key).collect()
}

fn ids(events: &[ChangeStreamEvent<Document>]) -> Vec<ResumeToken> {
    events.iter().map(|event| event.id.clone()).collect()
}
