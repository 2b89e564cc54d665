//! Whoever connects and says who they are hears of their orders as they change: `nc 127.0.0.1 7070`, then a name.
//!
//! Nobody wants to hear of what was long ago, so no position is kept: the watch begins with what comes.

use millstream_watch::{ChangeStreams, Event, FullDocumentMode};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

use crate::{Error, Result, document, run_until_stopped};

/// Who is further behind than this misses some.
const BEHIND_MAX: usize = 1_000;

#[derive(Clone, Deserialize)]
struct Order {
    #[serde(rename = "_id")]
    number: i32,
    customer: String,
    status: String,
}

pub(crate) async fn run(streams: &ChangeStreams, listen: &str) -> Result<()> {
    let (news, _) = broadcast::channel::<Order>(BEHIND_MAX);
    let listener = TcpListener::bind(listen).await?;
    println!("listening at {}", listener.local_addr()?);
    tokio::spawn({
        let news = news.clone();
        async move {
            while let Ok((visitor, _)) = listener.accept().await {
                tokio::spawn(tell(visitor, news.subscribe()));
            }
        }
    });
    let handle = streams
        .watch_collection("shop", "orders")
        .operations(["insert", "update", "replace"])
        .full_document(FullDocumentMode::UpdateLookup)
        .for_each(move |event: Event| {
            let news = news.clone();
            async move {
                let order: Order = document(&event, "fullDocument")?;
                // An error says that nobody is there to hear it.
                let _ = news.send(order);
                Ok::<_, Error>(())
            }
        })
        .await?;
    run_until_stopped(handle).await
}

/// One visitor: their name is the first line, then come their orders.
async fn tell(visitor: TcpStream, mut news: broadcast::Receiver<Order>) -> Result<()> {
    let mut visitor = BufReader::new(visitor);
    let mut name = String::new();
    visitor.read_line(&mut name).await?;
    visitor.write_all(format!("hello {}\n", name.trim()).as_bytes()).await?;
    loop {
        match news.recv().await {
            Ok(order) if order.customer == name.trim() => {
                let line = format!("order {} is {}\n", order.number, order.status);
                visitor.write_all(line.as_bytes()).await?;
            }
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}
