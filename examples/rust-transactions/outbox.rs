//! An order and a message about it are written together, or neither is. A change stream sends each message once.

use futures::StreamExt;
use mongodb::bson::{Document, doc, serialize_to_bson};
use mongodb::change_stream::event::ResumeToken;
use mongodb::error::{Error, Result};
use mongodb::{ClientSession, Database};

use super::client;

/// The item is not to be had.
#[derive(Debug)]
struct OutOfStock;

/// Makes the collections, as new.
pub(crate) async fn empty() -> super::Result<()> {
    let shop = client().await?.database("shop");
    for name in ["orders", "outbox", "sent", "positions"] {
        shop.collection::<Document>(name).drop().await?;
        shop.create_collection(name).await?;
    }
    Ok(())
}

/// Places some orders.
pub(crate) async fn order() -> super::Result<()> {
    let client = client().await?;
    let shop = client.database("shop");
    let mut session = client.start_session().await?;
    for (number, item) in (1..).zip(["lamp", "desk", "unicorn", "chair", "shelf"]) {
        let shop = shop.clone();
        let placed =
            session.start_transaction().and_run2(async move |session| place(&shop, session, number, item).await).await;
        match placed {
            // There is neither an order nor a message.
            Err(error) if error.get_custom::<OutOfStock>().is_some() => {}
            other => other?,
        }
    }
    Ok(())
}

async fn place(shop: &Database, session: &mut ClientSession, number: i32, item: &str) -> Result<()> {
    shop.collection("orders").insert_one(doc! {"_id": number, "item": item}).session(&mut *session).await?;
    let message = doc! {"_id": number, "text": format!("your {item} is on its way")};
    shop.collection("outbox").insert_one(message).session(session).await?;
    if item == "unicorn" { Err(Error::custom(OutOfStock)) } else { Ok(()) }
}

/// Sends the messages, so many at most, and goes on where it ended the last time.
///
/// What it sends goes into a collection, and so does its position: both in one transaction, so that no crash comes in between.
/// Whoever sends to somewhere else sends first, saves after, and gives the message's `_id` to the receiver, who can tell by
/// it what has come before.
pub(crate) async fn send(count: Option<usize>) -> super::Result<()> {
    let client = client().await?;
    let shop = client.database("shop");
    let mut session = client.start_session().await?;
    let position = shop.collection::<Document>("positions").find_one(doc! {"_id": "sender"}).await?;
    let token: Option<ResumeToken> = match &position {
        Some(position) => position.get("token").cloned().map(mongodb::bson::deserialize_from_bson).transpose()?,
        None => None,
    };
    let outbox = shop.collection::<Document>("outbox");
    let inserts = [doc! {"$match": {"operationType": "insert"}}];
    let mut stream = outbox.watch().pipeline(inserts).resume_after(token).await?;
    if let (None, Some(token)) = (&position, stream.resume_token()) {
        // Whatever comes from now on is after this place, also if the program ends before the first message.
        save(&shop, None, &token).await?;
    }
    eprintln!("watching");
    let mut left = count.unwrap_or(usize::MAX);
    while left > 0 {
        let Some(change) = stream.next().await.transpose()? else { break };
        let message = change.full_document.unwrap_or_default();
        let (number, text) = (message.get_i32("_id")?, message.get_str("text")?.to_owned());
        let write = (shop.clone(), doc! {"message": number, "text": &text}, change.id);
        session
            .start_transaction()
            .and_run2(async move |session| {
                let (shop, sent, token) = &write;
                shop.collection::<Document>("sent").insert_one(sent).session(&mut *session).await?;
                save(shop, Some(session), token).await
            })
            .await?;
        println!("sent {number} {text}");
        left -= 1;
    }
    Ok(())
}

async fn save(shop: &Database, session: Option<&mut ClientSession>, token: &ResumeToken) -> Result<()> {
    let place = doc! {"token": serialize_to_bson(token).map_err(Error::custom)?};
    let positions = shop.collection::<Document>("positions");
    let saving = positions.replace_one(doc! {"_id": "sender"}, place).upsert(true);
    match session {
        Some(session) => saving.session(session).await?,
        None => saving.await?,
    };
    Ok(())
}
