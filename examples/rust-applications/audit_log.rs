//! Who changed what, and what it was before: one row in `shop.audit` for each change of the shop's collections.
//!
//! The rows and the position are committed together, so there is no gap and no row twice, whatever crashes.

use millstream_watch::{BeforeMode, ChangeStreams, CollectionTransactions, Event, FullDocumentMode};
use mongodb::bson::{Document, doc};

use crate::{Result, keep_images, run_until_stopped};

pub(crate) async fn run(streams: &ChangeStreams) -> Result<()> {
    let shop = streams.connection().client().database("shop");
    for name in ["customers", "orders"] {
        keep_images(&shop, name).await?;
    }
    let store = CollectionTransactions::new(streams.connection(), "shop", "audit-log");
    let handle = streams
        .watch_collections("shop", ["customers", "orders"])
        .full_document(FullDocumentMode::WhenAvailable)
        .before(BeforeMode::WhenAvailable)
        .for_each_in_transaction(store, |events, session| {
            Box::pin(async move {
                let rows = events.iter().map(row).collect::<Result<Vec<_>>>()?;
                if !rows.is_empty() {
                    let audit = session.client().database("shop").collection::<Document>("audit");
                    audit.insert_many(rows).session(session).await?;
                }
                Ok(())
            })
        })
        .await?;
    run_until_stopped(handle).await
}

fn row(event: &Event) -> Result<Document> {
    // Tokens go up, so the rows are in the order of the changes.
    let mut row = doc! {"_id": event.token().data()};
    let event = Document::try_from(event.raw())?;
    for (name, field) in [
        ("at", "wallTime"),
        ("what", "operationType"),
        ("where", "ns"),
        ("key", "documentKey"),
        ("before", "fullDocumentBeforeChange"),
        ("after", "fullDocument"),
        ("changed", "updateDescription"),
    ] {
        if let Some(value) = event.get(field) {
            row.insert(name, value.clone());
        }
    }
    Ok(row)
}
