//! One client of the bank: it moves money, and counts all of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bson::{Document, doc};
use mongodb::error::Result as Answer;
use mongodb::options::{ReadConcern, ReturnDocument};
use mongodb::{ClientSession, Collection};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::{ACCOUNTS, ACCOUNTS_COLLECTION, DATABASE, Shared, TOTAL, balance, wrong};
use crate::isolation::caller::{Caller, is_transient};
use crate::isolation::client::GONE;
use crate::isolation::definer::one_entry_or_many;
use crate::isolation::history::Outcome;
use crate::soak::code;

/// How long a teller waits between the statements of a transaction, at most.
const PAUSE_MS_MAX: u64 = 4;

pub(super) struct Teller {
    number: usize,
    caller: Caller,
    random: StdRng,
    shared: Arc<Shared>,
    accounts: Collection<Document>,
}

/// How money is moved.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The balances are read, and written back: this is what a lost update would spoil.
    ReadAndSet,
    Increment,
    FindAndModify,
}

impl Teller {
    pub(super) fn new(number: usize, caller: Caller, random: StdRng, shared: Arc<Shared>) -> Self {
        let accounts = caller.client.database(DATABASE).collection(ACCOUNTS_COLLECTION);
        Self { number, caller, random, shared, accounts }
    }

    pub(super) async fn run(mut self) -> Result<(), String> {
        while !self.shared.stop.load(Ordering::SeqCst) {
            let did = match self.random.random_range(0..10) {
                0..6 => self.transfer().await,
                6..8 => self.count().await,
                8 => self.count_in_a_snapshot_session().await,
                _ if self.random.random_bool(0.05) => {
                    one_entry_or_many(&self.caller, &mut self.random).await;
                    Ok(())
                }
                _ => self.note().await,
            };
            did.map_err(|error| format!("teller {}: {error}", self.number))?;
        }
        Ok(())
    }

    async fn transfer(&mut self) -> Result<(), String> {
        let Ok(mut session) = self.caller.client.start_session().await else { return Ok(()) };
        let transfer = self.shared.next.fetch_add(1, Ordering::SeqCst);
        session.start_transaction().await.map_err(|error| error.to_string())?;
        let gives_up = self.random.random_bool(0.08);
        match self.move_money(&mut session, transfer).await {
            Err(error) => {
                is_transient(&error)?;
                self.caller.abort(&mut session).await;
                self.shared.aborted.lock().unwrap().push(transfer);
            }
            Ok(()) if gives_up => {
                self.caller.abort(&mut session).await;
                self.shared.aborted.lock().unwrap().push(transfer);
            }
            Ok(()) => match self.caller.commit(&mut session, None).await?.outcome {
                Outcome::Committed => self.shared.committed.lock().unwrap().push(transfer),
                Outcome::Aborted => self.shared.aborted.lock().unwrap().push(transfer),
                Outcome::Unknown => {}
            },
        }
        Ok(())
    }

    async fn move_money(&mut self, session: &mut ClientSession, transfer: i64) -> Answer<()> {
        let way = *[Way::ReadAndSet, Way::Increment, Way::FindAndModify].choose(&mut self.random).expect("a way");
        let from = self.random.random_range(0..ACCOUNTS);
        let to = (from + self.random.random_range(1..ACCOUNTS)) % ACCOUNTS;
        let mut known = Vec::new();
        if matches!(way, Way::ReadAndSet) {
            for id in [from, to] {
                let found = self.accounts.find_one(doc! {"_id": id}).session(&mut *session).await?;
                known.push(balance(&found.expect("an account")));
                self.pause().await;
            }
        }
        for (place, (id, amount)) in [(from, -transfer), (to, transfer)].into_iter().enumerate() {
            let increment = doc! {"$inc": {"balance": amount}, "$set": {"transfer": transfer}};
            match way {
                Way::ReadAndSet => {
                    let set = doc! {"$set": {"balance": known[place] + amount, "transfer": transfer}};
                    self.accounts.update_one(doc! {"_id": id}, set).session(&mut *session).await?;
                }
                Way::Increment => {
                    self.accounts.update_one(doc! {"_id": id}, increment).session(&mut *session).await?;
                }
                Way::FindAndModify => {
                    let change = self.accounts.find_one_and_update(doc! {"_id": id}, increment);
                    change.return_document(ReturnDocument::After).session(&mut *session).await?;
                }
            }
            self.pause().await;
        }
        Ok(())
    }

    /// Counts twice in one transaction, in two ways.
    async fn count(&mut self) -> Result<(), String> {
        let Ok(mut session) = self.caller.client.start_session().await else { return Ok(()) };
        let start = session.start_transaction().read_concern(ReadConcern::snapshot());
        start.await.map_err(|error| error.to_string())?;
        let totals = self.count_twice(&mut session).await;
        // What an aborted transaction saw was a snapshot too.
        self.caller.abort(&mut session).await;
        self.judge(totals, "in a transaction")
    }

    async fn count_in_a_snapshot_session(&mut self) -> Result<(), String> {
        let Ok(mut session) = self.caller.client.start_session().snapshot(true).await else { return Ok(()) };
        let totals = self.count_twice(&mut session).await;
        if totals.as_ref().is_err_and(|error| code(error).is_some_and(|code| GONE.contains(&code))) {
            return Ok(());
        }
        self.judge(totals, "in a snapshot session")
    }

    async fn count_twice(&mut self, session: &mut ClientSession) -> Answer<[i64; 2]> {
        let mut first = 0;
        let mut cursor = self.accounts.find(doc! {}).batch_size(5).session(&mut *session).await?;
        while let Some(account) = cursor.next(session).await {
            first += balance(&account?);
            if self.random.random_bool(0.3) {
                self.pause().await;
            }
        }
        let stage = doc! {"$group": {"_id": null, "total": {"$sum": "$balance"}}};
        let mut cursor = self.accounts.aggregate([stage]).session(&mut *session).await?;
        let row = cursor.next(session).await.expect("a row")?;
        Ok([first, row.get_i64("total").expect("a total")])
    }

    fn judge(&self, totals: Answer<[i64; 2]>, when: &str) -> Result<(), String> {
        match totals {
            Err(error) => is_transient(&error),
            Ok(totals) => match totals.into_iter().find(|total| *total != TOTAL) {
                Some(total) => Err(format!("read skew: {}", wrong(total, when))),
                None => {
                    self.shared.totals.fetch_add(2, Ordering::SeqCst);
                    Ok(())
                }
            },
        }
    }

    /// Writes to an account outside of transactions, and not to its balance.
    async fn note(&mut self) -> Result<(), String> {
        let id = self.random.random_range(0..ACCOUNTS);
        let set = doc! {"$inc": {"notes": 1}};
        match self.accounts.update_one(doc! {"_id": id}, set).await {
            Ok(_) => Ok(()),
            Err(error) => self.caller.alone_failed(&error).map(|_| ()),
        }
    }

    async fn pause(&mut self) {
        let ms = self.random.random_range(0..=PAUSE_MS_MAX);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
