//! What `and_run2` does, by hand: books the first free seat, and starts over when somebody was faster.

use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error, Result, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{ReadConcern, WriteConcern};
use mongodb::{ClientSession, Collection};

use super::client;

pub(crate) async fn run() -> super::Result<()> {
    let client = client().await?;
    let seats = client.database("theatre").collection::<Document>("seats");
    seats.drop().await?;
    seats.insert_many((1..=3).map(|number| doc! {"_id": number, "guest": null})).await?;

    let mut others = vec!["Ben"];
    let mut session = client.start_session().await?;
    let booked = loop {
        session
            .start_transaction()
            .read_concern(ReadConcern::snapshot())
            .write_concern(WriteConcern::majority())
            .await?;
        let mut outcome = book(&seats, &mut session, &mut others).await;
        match &outcome {
            Ok(_) => {
                if let Err(error) = commit(&mut session).await {
                    outcome = Err(error);
                }
            }
            // Without effect if the server has ended it already.
            Err(_) => session.abort_transaction().await?,
        }
        match outcome {
            Err(error) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => {
                println!("somebody was faster: starting over");
            }
            other => break other?,
        }
    };
    println!("booked seat {booked}");
    let mut all = seats.find(doc! {}).sort(doc! {"_id": 1}).await?;
    while let Some(seat) = all.try_next().await? {
        println!("seat {} {}", seat.get_i32("_id")?, seat.get("guest").and_then(Bson::as_str).unwrap_or("free"));
    }
    Ok(())
}

async fn book(seats: &Collection<Document>, session: &mut ClientSession, others: &mut Vec<&str>) -> Result<i32> {
    let free = seats.find_one(doc! {"guest": null}).sort(doc! {"_id": 1}).session(&mut *session).await?;
    let number = free.unwrap_or_default().get_i32("_id").map_err(Error::custom)?;
    println!("seat {number} is free");
    let this = doc! {"_id": number};
    if let Some(other) = others.pop() {
        // Meanwhile, and not in this transaction:
        seats.update_one(this.clone(), doc! {"$set": {"guest": other}}).await?;
    }
    seats.update_one(this, doc! {"$set": {"guest": "Ada"}}).session(session).await?;
    Ok(number)
}

/// Commits. Where it is not known whether the server did, it is asked again: it commits only once.
async fn commit(session: &mut ClientSession) -> Result<()> {
    loop {
        match session.commit_transaction().await {
            Err(error) if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) => {
                println!("the commit's answer is missing: asking again");
            }
            other => return other,
        }
    }
}
