//! Transactions: `transfer`, `empty`, `order`, `send [COUNT]` or `by-hand`.

mod by_hand;
mod outbox;
mod transfer;

use mongodb::Client;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("transfer") => transfer::run().await,
        Some("empty") => outbox::empty().await,
        Some("order") => outbox::order().await,
        Some("send") => outbox::send(arguments.next().map(|count| count.parse()).transpose()?).await,
        Some("by-hand") => by_hand::run().await,
        _ => Err("transfer, empty, order, send [COUNT] or by-hand".into()),
    }
}

/// A client of CHANGE_STREAM_DB, MONGO_URL, or the local default.
async fn client() -> mongodb::error::Result<Client> {
    let uri = std::env::var("CHANGE_STREAM_DB")
        .or_else(|_| std::env::var("MONGO_URL"))
        .unwrap_or_else(|_| "mongodb://127.0.0.1:27017/?replicaSet=rs0".to_owned());
    Client::with_uri_str(uri).await
}
