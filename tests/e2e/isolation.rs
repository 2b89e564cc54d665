//! Isolation of transactions: what many clients saw is what snapshot isolation allows, over kills and restarts.
//!
//! `history` is what clients did and saw, `checker` says what is wrong with that, by name; `client` makes random
//! histories of transactions over lists and groups with `statement` and `caller`, `run` has many of them, `definer` changes
//! what exists meanwhile; `bank` moves money that must not become more or less.
//!
//! About half a minute by default. `ISOLATION_SECONDS=600` makes it long, `ISOLATION_SEED` makes the same random choices.

mod bank;
mod caller;
mod checker;
mod client;
mod definer;
mod history;
mod run;
mod statement;

use std::time::Duration;

use bson::doc;
use checker::{Name, check};
use history::ReadsAt;
use run::{Size, histories};

use crate::support::Server;

#[test]
fn histories_over_kills_are_snapshot_isolated() {
    let size = Size::chosen(25);
    let history = histories(&mut Server::durable(), &size);
    let report = check(&history);
    let text = report.text(&history);
    println!("{text}");
    assert!(report.anomalies.is_empty(), "seed {}: {text}", size.seed);
    let looked_back = history
        .transactions
        .iter()
        .filter(|one| matches!(one.reads_at, Some(ReadsAt::Asked(_))) && one.answered().next().is_some());
    assert!(looked_back.count() > 50, "seed {}: nobody looked back: {text}", size.seed);
    // Otherwise the clients did not meet, and nothing was proved.
    assert!(!report.write_skews.is_empty(), "seed {}: no write skew: {text}", size.seed);
    assert!(report.committed > 200 && report.aborted > 20, "seed {}: too little happened: {text}", size.seed);
}

/// What finds nothing must be able to find something.
#[test]
fn without_the_conflict_check_updates_are_lost() {
    let size = Size { length: Duration::from_secs(5), life_ms: None, sound: false, ..Size::chosen(5) };
    let mut server = Server::with(&["--memory", "--test-commands"]);
    let off = doc! {"configureFailPoint": "skipTransactionConflictChecks", "mode": "alwaysOn"};
    let reply = server.connect().command("admin", off).expect("a reply");
    assert_eq!(reply.get_f64("ok").ok(), Some(1.0), "{reply}");
    let history = histories(&mut server, &size);
    let report = check(&history);
    let text = report.text(&history);
    println!("{text}");
    let lost = report.anomalies.iter().find(|anomaly| anomaly.name == Name::LostUpdate);
    let lost = lost.unwrap_or_else(|| panic!("seed {}: {text}", size.seed));
    assert_eq!(lost.transactions.len(), 2, "seed {}: {text}", size.seed);
    assert!(text.contains("lost update"), "{text}");
}
