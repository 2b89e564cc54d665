//! What a watcher of the whole cluster sees of the bank: each transaction whole, and the same total after each.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bson::{Document, RawDocumentBuf, Timestamp};
use mongodb::Client;
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ResumeToken;
use mongodb::error::Error;
use mongodb::options::{ChangeStreamOptions, ClientOptions};

use super::{ACCOUNTS, ACCOUNTS_COLLECTION, BALANCE, CATCH_UP_MAX, Shared, TOTAL, wrong};
use crate::soak::{is_outage, number_of};

/// Events that came from one commit.
pub(super) struct Unit {
    /// The transfer that it made, if it was one.
    pub(super) transfer: Option<i64>,
}

/// Reads until the end is known and reached, over whatever happens to the server.
pub(super) async fn follow(
    uri: String,
    start: Timestamp,
    batch: u32,
    shared: Arc<Shared>,
) -> Result<Vec<Document>, String> {
    let mut options = ClientOptions::parse(&uri).await.expect("options");
    // Its own resuming is in the test; see `soak`.
    options.retry_reads = Some(false);
    let client = Client::with_options(options).expect("a client");
    let mut events: Vec<Document> = Vec::new();
    let mut place = None;
    let mut deadline = None;
    loop {
        if shared.end.load(Ordering::SeqCst) > 0 {
            let deadline = deadline.get_or_insert_with(|| Instant::now() + CATCH_UP_MAX);
            if Instant::now() > *deadline {
                return Err(format!(
                    "the watcher has {} events and is not at the end after {CATCH_UP_MAX:?}",
                    events.len()
                ));
            }
        }
        let read = match open(&client, start, batch, place.clone()).await {
            Ok(mut stream) => read(&mut stream, &mut events, &mut place, &shared).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(()) => return Ok(events),
            Err(error) if is_outage(&error) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => return Err(format!("the watcher: {error}")),
        }
    }
}

async fn open(
    client: &Client,
    start: Timestamp,
    batch: u32,
    place: Option<ResumeToken>,
) -> Result<ChangeStream<RawDocumentBuf>, Error> {
    let mut options = ChangeStreamOptions::default();
    options.batch_size = Some(batch);
    options.max_await_time = Some(Duration::from_millis(200));
    match place {
        Some(token) => options.resume_after = Some(token),
        None => options.start_at_operation_time = Some(start),
    }
    Ok(client.watch().with_options(options).await?.with_type())
}

/// Reads until the end of all, or an error.
async fn read(
    stream: &mut ChangeStream<RawDocumentBuf>,
    events: &mut Vec<Document>,
    place: &mut Option<ResumeToken>,
    shared: &Shared,
) -> Result<(), Error> {
    loop {
        // A place between the events of a transaction is as good as any.
        let Some(raw) = stream.next_if_any().await? else { continue };
        *place = stream.resume_token();
        let event = Document::try_from(raw).expect("an event");
        let time = number_of(event.get_timestamp("clusterTime").expect("a time"));
        let end = shared.end.load(Ordering::SeqCst);
        if end > 0 && time >= end {
            return Ok(());
        }
        events.push(event);
    }
}

/// Replays the events commit by commit.
pub(super) fn units(events: &[Document]) -> Result<Vec<Unit>, String> {
    let mut balances: BTreeMap<i64, i64> = (0..ACCOUNTS).map(|id| (id, BALANCE)).collect();
    let mut units = Vec::new();
    let mut seen = HashSet::new();
    for events in events.chunk_by(|left, right| identity(left).is_some() && identity(left) == identity(right)) {
        if identity(&events[0]).is_some_and(|identity| !seen.insert(identity)) {
            return Err(format!("a transaction's events are not together: {}", events[0]));
        }
        let mut transfers = Vec::new();
        for event in events {
            let Some((id, balance, transfer)) = change(event)? else { continue };
            balances.insert(id, balance);
            transfers.push(transfer);
        }
        let transfer = transfers.first().copied();
        // Each makes two changes: both are there.
        if !transfers.is_empty() && (transfers.len() != 2 || transfers[0] != transfers[1]) {
            return Err(format!("not one transfer in a transaction: {transfers:?}: {events:?}"));
        }
        let total: i64 = balances.values().sum();
        if total != TOTAL {
            return Err(wrong(total, &format!("after {:?}", events)));
        }
        units.push(Unit { transfer });
    }
    Ok(units)
}

/// What an event did to an account's balance: whose, what it is now, and by which transfer.
fn change(event: &Document) -> Result<Option<(i64, i64, i64)>, String> {
    let unexpected = || format!("an event that nobody caused: {event}");
    let coll = event.get_document("ns").and_then(|ns| ns.get_str("coll"));
    if coll.is_ok_and(|coll| coll != ACCOUNTS_COLLECTION) {
        return Ok(None);
    }
    let update = event.get_document("updateDescription").map_err(|_| unexpected())?;
    let fields = update.get_document("updatedFields").map_err(|_| unexpected())?;
    let Ok(balance) = fields.get_i64("balance") else { return Ok(None) };
    let id = event.get_document("documentKey").and_then(|key| key.get_i64("_id")).map_err(|_| unexpected())?;
    let transfer = fields.get_i64("transfer").map_err(|_| unexpected())?;
    identity(event).ok_or_else(|| format!("a transfer without its transaction: {event}"))?;
    Ok(Some((id, balance, transfer)))
}

/// What the events of one transaction have in common (CS-2.8.1).
fn identity(event: &Document) -> Option<String> {
    let (session, number) = (event.get_document("lsid").ok()?, event.get_i64("txnNumber").ok()?);
    Some(format!("{session} {number} {}", event.get_timestamp("clusterTime").ok()?))
}
