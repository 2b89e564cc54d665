//! A change stream is a `Stream`: it can be taken from, mapped and collected like any other.

use futures::{StreamExt, TryStreamExt};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::change_stream::event::ChangeStreamEvent;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let uri = std::env::var("CHANGE_STREAM_DB")
        .or_else(|_| std::env::var("MONGO_URL"))
        .unwrap_or_else(|_| "mongodb://127.0.0.1:27017/?replicaSet=rs0".to_owned());
    let client = Client::with_uri_str(uri).await?;
    let models = client.database("shop").collection::<Document>("models");
    models.drop().await?;

    let changes = models.watch().await?;
    let writing = tokio::spawn({
        let models = models.clone();
        async move {
            for id in 1..=3 {
                models.insert_one(doc! {"_id": id, "accuracy": 0.5}).await?;
            }
            models.update_one(doc! {"_id": 2}, doc! {"$inc": {"accuracy": 0.25}}).await
        }
    });

    let events: Vec<ChangeStreamEvent<Document>> = changes.take(4).try_collect().await?;
    writing.await??;
    for event in events {
        let key = event.document_key.unwrap_or_default();
        println!("{:?} {key}", event.operation_type);
    }
    Ok(())
}
