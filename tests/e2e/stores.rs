//! Positions that are kept in PostgreSQL and in Redis: beyond the watcher's end, through restarts of the store, and for one
//! watch only.

use std::collections::HashMap;
use std::time::Duration;

use bson::{Document, doc};
use millstream_watch::{
    Backoff, CheckpointStore, Connection, PostgresCheckpoint, Queue, RedisCheckpoint, Result, Scope, Settings, Source,
    SourceId, Watch,
};
use mongodb::Collection;

use crate::support::server::free_port;
use crate::support::{Postgres, Redis, Server};

fn source(collection: &str) -> Source {
    Source::new(Scope::Collection { database: "shop".into(), collection: collection.into() })
}

fn id(connection: &Connection, collection: &str) -> SourceId {
    SourceId::new(connection, &source(collection))
}

async fn watch(connection: &Connection, store: impl CheckpointStore + 'static) -> Result<Queue> {
    let settings = Settings { save_every: Duration::from_millis(20), ..Settings::default() };
    Watch::new(connection, source("orders")).checkpoint(store).settings(settings).queue().await
}

async fn take(queue: &mut Queue, count: usize) -> Vec<i32> {
    let mut keys = Vec::new();
    for _ in 0..count {
        let event = queue.get().await.expect("an event");
        keys.push(event.document_key().unwrap().get_i32("_id").unwrap());
    }
    queue.done();
    keys
}

/// Until what is saved is another position than before.
async fn saved(queue: &Queue, before: u64) {
    while queue.stats().saves <= before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn insert(orders: &Collection<Document>, keys: std::ops::Range<i32>) {
    orders.insert_many(keys.map(|key| doc! {"_id": key})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_in_postgresql_outlives_the_watcher_and_restarts() {
    let (server, mut postgres) = (Server::memory(), Postgres::start());
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = connection.client().database("shop").collection::<Document>("orders");
    let uri = postgres.uri();
    let store = |watcher: &str, of: &str| PostgresCheckpoint::new(&uri, watcher, id(&connection, of)).unwrap();

    let mut queue = watch(&connection, store("copier", "orders")).await.unwrap();
    insert(&orders, 0..3).await;
    assert_eq!(take(&mut queue, 3).await, [0, 1, 2]);
    queue.join().await.unwrap();
    insert(&orders, 3..6).await;

    // What came meanwhile comes now; and the table's server may go and come back.
    let mut queue = watch(&connection, store("copier", "orders")).await.unwrap();
    assert_eq!(take(&mut queue, 2).await, [3, 4]);
    postgres.stop();
    let before = queue.stats().saves;
    assert_eq!(take(&mut queue, 1).await, [5]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    postgres.start_again();
    saved(&queue, before + 1).await;
    queue.join().await.unwrap();
    insert(&orders, 6..7).await;
    let mut queue = watch(&connection, store("copier", "orders")).await.unwrap();
    assert_eq!(take(&mut queue, 1).await, [6]);
    queue.join().await.unwrap();

    let client = postgres.connect().await;
    let row = client.query_one("SELECT * FROM change_stream_tokens", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>("watcher"), "copier");
    assert_eq!(row.get::<_, &str>("scope"), "collection shop.orders");
    assert_eq!(row.get::<_, Vec<String>>("servers"), [server.address()]);
    let data = client.query_one("SELECT length(resume_token->>'_data') > 20 FROM change_stream_tokens", &[]).await;
    assert!(data.unwrap().get::<_, bool>(0), "the token can be looked into");

    // A position belongs to what it was kept for; another watcher has its own, also in a table of its own.
    let text = store("copier", "others").load().await.unwrap_err().to_string();
    let name = "the position of copier in \"change_stream_tokens\" of PostgreSQL at 127.0.0.1";
    assert!(text.starts_with(name) && text.contains("another scope"), "{text}");
    assert_eq!(store("other", "others").load().await.unwrap(), None);
    client.batch_execute("CREATE SCHEMA app").await.unwrap();
    let token = store("copier", "orders").load().await.unwrap().unwrap();
    let mut own = store("copier", "others").table("app.my tokens");
    assert_eq!(own.load().await.unwrap(), None);
    own.save(&token).await.unwrap();
    assert_eq!(own.load().await.unwrap(), Some(token));
    assert_eq!(client.query("SELECT * FROM app.\"my tokens\"", &[]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_in_redis_outlives_the_watcher_and_restarts() {
    let (server, mut redis) = (Server::memory(), Redis::start());
    let connection = Connection::new(&server.uri()).await.unwrap();
    let orders = connection.client().database("shop").collection::<Document>("orders");
    let uri = redis.uri();
    let store = |watcher: &str, of: &str| RedisCheckpoint::new(&uri, watcher, id(&connection, of)).unwrap();

    let mut queue = watch(&connection, store("cache", "orders")).await.unwrap();
    insert(&orders, 0..3).await;
    assert_eq!(take(&mut queue, 3).await, [0, 1, 2]);
    queue.join().await.unwrap();
    insert(&orders, 3..6).await;
    let mut queue = watch(&connection, store("cache", "orders")).await.unwrap();
    assert_eq!(take(&mut queue, 2).await, [3, 4]);
    redis.stop();
    let before = queue.stats().saves;
    assert_eq!(take(&mut queue, 1).await, [5]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    redis.start_again();
    saved(&queue, before + 1).await;
    queue.join().await.unwrap();
    insert(&orders, 6..7).await;
    let mut queue = watch(&connection, store("cache", "orders")).await.unwrap();
    assert_eq!(take(&mut queue, 1).await, [6]);
    queue.join().await.unwrap();

    let mut client = redis.connect().await;
    let hash: HashMap<String, String> =
        redis::cmd("HGETALL").arg("change_stream_tokens:cache").query_async(&mut client).await.unwrap();
    assert_eq!(hash["scope"], "collection shop.orders");
    assert!(hash["resumeToken"].starts_with("{\"_data\":\"82") && hash["updatedAt"].starts_with("20"), "{hash:?}");
    let text = store("cache", "others").load().await.unwrap_err().to_string();
    assert!(text.contains("cache in Redis at 127.0.0.1") && text.contains("another scope"), "{text}");
    assert_eq!(store("other", "others").load().await.unwrap(), None);
    assert_eq!(store("cache", "others").prefix("app").load().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_used_says_so_at_once() {
    let postgres = Postgres::start();
    let connection = Connection::new("mongodb://127.0.0.1:1").await.unwrap();
    let port = free_port();
    let source = || id(&connection, "orders");
    let missing = postgres.uri().replace("/postgres", "/nowhere");
    let of = |uri: &str| PostgresCheckpoint::new(uri, "copier", source()).unwrap();
    let text = of(&missing).load().await.unwrap_err().to_string();
    assert!(text.ends_with("database \"nowhere\" does not exist (3D000)"), "{text}");
    let text = of(&format!("postgres://a@127.0.0.1:{port}/b")).load().await.unwrap_err().to_string();
    assert!(text.contains(&format!("127.0.0.1:{port}")) && text.contains("refused"), "{text}");
    let error = RedisCheckpoint::new("http://here", "copier", source()).unwrap_err().to_string();
    assert!(error.contains("redis://"), "{error}");
    let mut redis = RedisCheckpoint::new(&format!("redis://127.0.0.1:{port}"), "copier", source()).unwrap();
    let text = redis.load().await.unwrap_err().to_string();
    assert!(text.contains(&format!("127.0.0.1:{port}")) && text.contains("refused"), "{text}");

    // Away for longer than it may be: the error comes, and says where.
    let brief = Backoff { give_up_after: Duration::from_millis(50), ..Backoff::default() };
    let token = millstream_watch::Token::parse("8268A1B2C0").unwrap();
    let error = redis.backoff(brief.clone()).save(&token).await.unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("refused"), "{error}");
    let nobody = format!("postgres://a@127.0.0.1:{port}/b");
    let error = of(&nobody).backoff(brief).save(&token).await.unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("refused"), "{error}");
}
