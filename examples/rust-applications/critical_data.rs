//! Payments: each is entered into the ledger once, none is lost, and what cannot be entered is put aside for a person.
//!
//! - Events that come again are left out over a window, by their tokens.
//! - What a crash takes back further than that is known again in the ledger by the payment's number.
//! - What fails is tried five times; then it lies in `shop.dead_letters`, and the others go on.

use std::time::Duration;

use millstream_watch::{
    Backoff, ChangeStreams, DeadLetters, Event, Failure, FullDocumentMode, OnFailure, Settings, Window,
};
use mongodb::bson::{Document, doc};
use mongodb::error::{ErrorKind, WriteFailure};
use serde::Deserialize;

use crate::{Result, document, run_until_stopped};

#[derive(Deserialize)]
struct Payment {
    #[serde(rename = "_id")]
    number: String,
    account: String,
    cents: i64,
}

pub(crate) async fn run(streams: &ChangeStreams) -> Result<()> {
    let ledger = streams.connection().client().database("shop").collection::<Document>("ledger");
    let settings = Settings {
        retries: 5,
        pause: Backoff { first: Duration::from_millis(50), ..Backoff::default() },
        on_failure: OnFailure::GoOn,
        save_events: 1,
        ..Settings::default()
    };
    let handle = streams
        .watch_collection("shop", "payments")
        .operations(["insert"])
        .full_document(FullDocumentMode::UpdateLookup)
        .settings(settings)
        .deduplicate(Window { events: 10_000, time: Duration::from_secs(3600) })
        .dead_letters(DeadLetters::new(streams.connection(), "shop", "dead_letters", "ledger"))
        .keep_position("shop", "ledger")
        .for_each(move |event: Event| {
            let ledger = ledger.clone();
            async move {
                // A payment that cannot be read will not be better the next time.
                let payment: Payment =
                    document(&event, "fullDocument").map_err(|error| Failure::lasting(error.to_string()))?;
                if payment.cents <= 0 {
                    return Err(Failure::lasting(format!("a payment of {} cents", payment.cents)));
                }
                let line = doc! {"_id": &payment.number, "account": &payment.account, "cents": payment.cents};
                match ledger.insert_one(line).await {
                    Ok(_) => println!("entered {} of {}", payment.number, payment.account),
                    Err(error) if is_there(&error) => println!("{} is there already", payment.number),
                    Err(error) => return Err(Failure::passing(error.to_string())),
                }
                Ok(())
            }
        })
        .await?;
    run_until_stopped(handle).await
}

fn is_there(error: &mongodb::error::Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Write(WriteFailure::WriteError(error)) if error.code == 11000)
}
