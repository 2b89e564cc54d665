//! What a driver is told when a stream cannot be had, and whether it may try again.

use bson::{Document, Timestamp, doc};
use futures::StreamExt;
use mongodb::change_stream::event::ResumeToken;
use mongodb::error::Error;
use mongodb::options::FullDocumentType;
use mongodb::{Client, Collection};

use super::{code, collection, fresh};
use crate::support::Server;

#[tokio::test]
async fn a_token_that_is_not_there_is_fatal() {
    let (_server, orders) = collection().await;
    let other = orders.client().database("shop").collection::<Document>("other");
    let mut stream = other.watch().await.unwrap();
    other.insert_one(doc! {"_id": 1}).await.unwrap();
    let token = stream.next().await.unwrap().unwrap().id;
    orders.insert_one(doc! {"_id": 2}).await.unwrap();
    // CS-5.8.3: at the next event, in the aggregate or in a getMore.
    let error = first_error(&orders, token).await;
    assert_eq!(code(&error), 280, "{error}");
    assert!(error.contains_label("NonResumableChangeStreamError"), "{error}");
}

#[tokio::test]
async fn an_invalidate_token_cannot_be_resumed_after() {
    let (_server, orders) = collection().await;
    let mut stream = orders.watch().await.unwrap();
    orders.insert_one(doc! {"_id": 1}).await.unwrap();
    orders.drop().await.unwrap();
    let mut last = None;
    while let Some(event) = stream.next().await {
        last = Some(event.unwrap().id);
    }
    let error = orders.watch().resume_after(last).await.expect_err("an error");
    assert_eq!(code(&error), 260, "{error}");
}

#[tokio::test]
async fn history_that_is_gone_is_said_to_be() {
    // The smallest log there is: the first entries leave it soon.
    let server = Server::with(&["--oplog-bytes", "1MiB", "--oplog-hours", "0"]);
    let client = Client::with_uri_str(server.uri()).await.unwrap();
    let orders = client.database("shop").collection::<Document>("orders");
    let mut stream = orders.watch().await.unwrap();
    orders.insert_one(doc! {"_id": -1}).await.unwrap();
    let token = stream.next().await.unwrap().unwrap().id;
    drop(stream);
    let pad = "x".repeat(10_000);
    let mut lost = None;
    for round in 0..100 {
        let many = (0..100).map(|i| doc! {"_id": round * 100 + i, "pad": &pad});
        orders.insert_many(many).await.unwrap();
        if let Err(error) = orders.watch().resume_after(token.clone()).await {
            lost = Some(error);
            break;
        }
    }
    let error = lost.expect("100 MB of writes push the first entry out of a log of 1 MiB");
    assert_eq!(code(&error), 286, "{error}");
    assert!(error.contains_label("NonResumableChangeStreamError"), "{error}");
    let at = Timestamp { time: 1, increment: 1 };
    let error = orders.watch().start_at_operation_time(at).await.expect_err("an error");
    assert_eq!(code(&error), 286, "{error}");
}

#[tokio::test]
async fn wrong_places_and_options_have_their_codes() {
    let (_server, client) = fresh().await;
    let admin = client.database("admin");
    let error = admin.watch().await.expect_err("an error");
    assert_eq!(code(&error), 73, "{error}");
    let local = client.database("local").collection::<Document>("oplog.rs");
    let error = local.watch().await.expect_err("an error");
    assert_eq!(code(&error), 73, "{error}");

    let orders = client.database("shop").collection::<Document>("orders");
    for (stage, expected) in [
        (doc! {"$group": {"_id": null}}, 20),
        (doc! {"$sort": {"_id": 1}}, 20),
        (doc! {"$limit": 1}, 20),
        (doc! {"$nonsense": 1}, 40324),
    ] {
        let error = orders.watch().pipeline([stage.clone()]).await.expect_err("an error");
        assert_eq!(code(&error), expected, "{stage}: {error}");
    }
    let command = doc! {"aggregate": "orders", "cursor": {}, "pipeline": [{"$match": {}}, {"$changeStream": {}}]};
    let error = client.database("shop").run_command(command).await.unwrap_err();
    assert_eq!(code(&error), 40602, "{error}");
    let error = client.database("shop").run_command(doc! {"nonsense": 1}).await.unwrap_err();
    assert_eq!(code(&error), 59, "{error}");
}

#[tokio::test]
async fn a_required_image_that_is_missing_ends_the_stream() {
    let (_server, orders) = collection().await;
    orders.insert_one(doc! {"_id": 1}).await.unwrap();
    let mut stream = orders.watch().full_document(FullDocumentType::Required).await.unwrap();
    orders.update_one(doc! {"_id": 1}, doc! {"$set": {"a": 1}}).await.unwrap();
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(code(&error), 47, "{error}");
}

#[tokio::test]
async fn a_pipeline_that_takes_the_token_away_is_fatal_at_the_first_event() {
    let (_server, orders) = collection().await;
    let pipeline = [doc! {"$project": {"_id": 0}}];
    let mut stream = orders.watch().pipeline(pipeline).await.unwrap();
    orders.insert_one(doc! {"_id": 1}).await.unwrap();
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(code(&error), 280, "{error}");
}

async fn first_error(orders: &Collection<Document>, token: ResumeToken) -> Error {
    match orders.watch().resume_after(token).await {
        Err(error) => error,
        Ok(mut stream) => match stream.next().await {
            Some(Err(error)) => error,
            other => panic!("an error, not {other:?}"),
        },
    }
}
