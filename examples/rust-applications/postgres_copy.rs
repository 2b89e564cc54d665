//! A table in PostgreSQL that is what a collection is: first the documents that are there, then every change.
//!
//! The rows and the position are committed together, so the table is at every moment what the collection was at one, and
//! the counter of changes is right to the last one, whatever crashes.

use millstream_watch::{ChangeStreams, FullDocumentMode, PostgresTransactions, StartAt};
use serde::Deserialize;
use tokio_postgres::NoTls;

use crate::{Result, document, run_until_stopped};

#[derive(Deserialize)]
struct Key {
    #[serde(rename = "_id")]
    id: i32,
}

#[derive(Deserialize)]
struct Customer {
    #[serde(rename = "_id")]
    id: i32,
    name: String,
    email: Option<String>,
}

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS customers (id int PRIMARY KEY, name text NOT NULL, email text);
    CREATE TABLE IF NOT EXISTS copied (only_one bool PRIMARY KEY DEFAULT true, changes bigint NOT NULL);
    INSERT INTO copied (changes) VALUES (0) ON CONFLICT DO NOTHING";

const UPSERT: &str = "
    INSERT INTO customers VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email";

pub(crate) async fn run(streams: &ChangeStreams, uri: &str) -> Result<()> {
    let (client, connection) = tokio_postgres::connect(uri, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute(TABLES).await?;
    let handle = streams
        .watch_collection("shop", "customers")
        .operations(["insert", "update", "replace", "delete"])
        // `UpdateLookup` may be ahead of the event. Then its own event comes later, and the row ends up right.
        .full_document(FullDocumentMode::UpdateLookup)
        .start(StartAt::Snapshot)
        .for_each_in_transaction(PostgresTransactions::new(uri, "postgres-copy")?, |events, transaction| {
            Box::pin(async move {
                for event in events {
                    if event.raw().get_document("fullDocument").is_ok() {
                        let customer: Customer = document(event, "fullDocument")?;
                        transaction.execute(UPSERT, &[&customer.id, &customer.name, &customer.email]).await?;
                    } else {
                        // Deleted, perhaps since it was updated.
                        let key: Key = document(event, "documentKey")?;
                        transaction.execute("DELETE FROM customers WHERE id = $1", &[&key.id]).await?;
                    }
                }
                let more = i64::try_from(events.len())?;
                transaction.execute("UPDATE copied SET changes = changes + $1", &[&more]).await?;
                Ok(())
            })
        })
        .await?;
    run_until_stopped(handle).await
}
