//! Changes what exists while transactions use it: indexes come and go, pre-images are switched, transactions become
//! one entry of the log or a chain of them, and may live long or not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bson::{Document, doc};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::caller::Caller;
use super::client::{DATABASE, GROUPS, LISTS, Shared};
use crate::soak::{code, is_outage};

/// Between two changes, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 100..1500;
const INDEX_NOT_FOUND: i32 = 27;

pub(super) async fn define(caller: Caller, mut random: StdRng, shared: Arc<Shared>) -> Result<(), String> {
    let database = caller.client.database(DATABASE);
    while !shared.stop.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(random.random_range(PAUSE_MS))).await;
        if random.random_bool(0.5) {
            one_entry_or_many(&caller, &mut random).await;
            let set = doc! {"setParameter": 1, "transactionLifetimeLimitSeconds": *[1, 60].choose(&mut random).expect("a life")};
            set_parameter(&caller, set).await;
        }
        let command = match random.random_range(0..5) {
            0..2 => create_index(),
            2..4 => doc! {"dropIndexes": GROUPS, "index": "group_1"},
            _ => doc! {"collMod": LISTS, "changeStreamPreAndPostImages": {"enabled": random.random_bool(0.5)}},
        };
        match database.run_command(command.clone()).await {
            Err(error) if !is_outage(&error) && code(&error) != Some(INDEX_NOT_FOUND) => {
                return Err(format!("{command}: {error}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Sets how many operations an entry holds; a server that is started again has forgotten it.
pub(super) async fn one_entry_or_many(caller: &Caller, random: &mut StdRng) {
    let count = *[1, 2, 3, 1000].choose(random).expect("a count");
    let set = doc! {"setParameter": 1, "maxNumberOfTransactionOperationsInSingleOplogEntry": count};
    set_parameter(caller, set).await;
}

async fn set_parameter(caller: &Caller, set: Document) {
    let done = caller.client.database("admin").run_command(set).await;
    assert!(done.as_ref().err().is_none_or(is_outage), "{done:?}");
}

pub(super) fn create_index() -> Document {
    doc! {"createIndexes": GROUPS, "indexes": [{"key": {"group": 1}, "name": "group_1"}]}
}
