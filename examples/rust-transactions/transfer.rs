//! Several clients move money between accounts at the same time. None of it appears or disappears.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, Result};
use mongodb::{Client, ClientSession, Collection};

use super::client;

const CLIENTS: u32 = 4;
const TRANSFERS: u32 = 25;
const NAMES: [&str; 5] = ["Ada", "Ben", "Cleo", "Dan", "Eva"];
const OPENING: i32 = 200;

/// The account does not hold so much.
#[derive(Debug)]
struct NotEnough;

#[derive(Clone, Copy)]
struct Transfer {
    from: &'static str,
    to: &'static str,
    amount: i32,
}

/// How it went for one client.
#[derive(Default)]
struct Told {
    done: u32,
    refused: u32,
    runs: u32,
}

pub(crate) async fn run() -> super::Result<()> {
    let client = client().await?;
    let bank = client.database("bank");
    for name in ["accounts", "transfers"] {
        bank.collection::<Document>(name).drop().await?;
        bank.create_collection(name).await?;
    }
    let accounts = bank.collection("accounts");
    accounts.insert_many(NAMES.map(|name| doc! {"_id": name, "balance": OPENING})).await?;
    println!("total {}", total(&accounts).await?);

    let closed = Arc::new(AtomicBool::new(false));
    let auditor = tokio::spawn(audit(Arc::clone(&closed)));
    let clerks: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(clerk())).collect();
    let mut told = Told::default();
    for clerk in clerks {
        let one = clerk.await??;
        told = Told { done: told.done + one.done, refused: told.refused + one.refused, runs: told.runs + one.runs };
    }
    closed.store(true, Ordering::Relaxed);
    let (looks, wrong) = auditor.await??;

    let Told { done, refused, runs } = told;
    println!("{done} transfers done, {refused} refused, {} runs repeated after a conflict", runs - done - refused);
    println!("{looks} looks in between, {wrong} of them wrong");
    println!("total {}", total(&accounts).await?);
    if wrong > 0 || done + refused != CLIENTS * TRANSFERS {
        return Err("that is not right".into());
    }
    Ok(())
}

/// A client that makes transfers.
async fn clerk() -> Result<Told> {
    let client = client().await?;
    let mut session = client.start_session().await?;
    let mut told = Told::default();
    for _ in 0..TRANSFERS {
        let from = rand::random_range(0..NAMES.len());
        let to = (from + rand::random_range(1..NAMES.len())) % NAMES.len();
        let transfer = Transfer { from: NAMES[from], to: NAMES[to], amount: rand::random_range(1..=150) };
        let runs = Arc::new(AtomicU32::new(0));
        let counted = (client.clone(), Arc::clone(&runs));
        let outcome = session
            .start_transaction()
            .and_run2(async move |session| {
                counted.1.fetch_add(1, Ordering::Relaxed);
                once(&counted.0, session, transfer).await
            })
            .await;
        told.runs += runs.load(Ordering::Relaxed);
        match outcome {
            Ok(()) => told.done += 1,
            Err(error) if error.get_custom::<NotEnough>().is_some() => told.refused += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(told)
}

/// One transfer. It may run more than once, so whatever it does, it does through the session.
async fn once(client: &Client, session: &mut ClientSession, transfer: Transfer) -> Result<()> {
    let Transfer { from, to, amount } = transfer;
    let bank = client.database("bank");
    let accounts = bank.collection::<Document>("accounts");
    let enough = doc! {"_id": from, "balance": {"$gte": amount}};
    let taken = accounts.update_one(enough, doc! {"$inc": {"balance": -amount}}).session(&mut *session).await?;
    if taken.modified_count == 0 {
        return Err(Error::custom(NotEnough));
    }
    accounts.update_one(doc! {"_id": to}, doc! {"$inc": {"balance": amount}}).session(&mut *session).await?;
    let record = doc! {"from": from, "to": to, "amount": amount};
    bank.collection("transfers").insert_one(record).session(session).await?;
    Ok(())
}

/// A client that looks at all accounts and all transfers, at one time, until it is told to end.
async fn audit(closed: Arc<AtomicBool>) -> Result<(u32, u32)> {
    let bank = client().await?.database("bank");
    let (mut looks, mut wrong) = (0, 0);
    while !closed.load(Ordering::Relaxed) {
        // Everything that is read in a snapshot session shows the same moment.
        let mut session = bank.client().start_session().snapshot(true).await?;
        let mut cursor = bank.collection::<Document>("accounts").find(doc! {}).session(&mut session).await?;
        let accounts: Vec<Document> = cursor.stream(&mut session).try_collect().await?;
        let mut cursor = bank.collection::<Document>("transfers").find(doc! {}).session(&mut session).await?;
        let transfers: Vec<Document> = cursor.stream(&mut session).try_collect().await?;

        let mut expected: BTreeMap<String, i32> = NAMES.map(|name| (name.to_owned(), OPENING)).into();
        for transfer in &transfers {
            let amount = transfer.get_i32("amount").map_err(Error::custom)?;
            *expected.entry(transfer.get_str("from").map_err(Error::custom)?.to_owned()).or_default() -= amount;
            *expected.entry(transfer.get_str("to").map_err(Error::custom)?.to_owned()).or_default() += amount;
        }
        let agrees = |account: &Document| {
            let name = account.get_str("_id").unwrap_or_default();
            expected.get(name).copied() == account.get_i32("balance").ok()
        };
        looks += 1;
        wrong += u32::from(!accounts.iter().all(agrees));
    }
    Ok((looks, wrong))
}

async fn total(accounts: &Collection<Document>) -> Result<i32> {
    let all: Vec<Document> = accounts.find(doc! {}).await?.try_collect().await?;
    Ok(all.iter().filter_map(|account| account.get_i32("balance").ok()).sum())
}
