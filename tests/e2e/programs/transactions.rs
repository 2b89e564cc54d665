//! Transactions: the examples, and the cases of the Python and Node.js drivers.

use bson::{Document, doc};

use crate::support::programs::{Program, node, node_test, python, python_test, rust_example};
use crate::support::{Connection, Server};

/// How an example is started: by the name of its part and what comes after it.
type Start = fn(&str, &str, &[&str]) -> Program;

fn in_python(uri: &str, part: &str, arguments: &[&str]) -> Program {
    python(uri, &format!("python-transactions/{}.py", part.replace('-', "_")), arguments)
}

fn in_node(uri: &str, part: &str, arguments: &[&str]) -> Program {
    node(uri, &format!("node-transactions/{part}.js"), arguments)
}

fn in_rust(uri: &str, part: &str, arguments: &[&str]) -> Program {
    // One program, where emptying is a part of its own.
    let part = if arguments == ["--empty"] { "empty" } else { part };
    rust_example(uri, "rust-transactions", &[&[part], arguments].concat())
}

#[test]
fn the_python_examples_do_what_they_say() {
    examples(in_python);
}

#[test]
fn the_node_examples_do_what_they_say() {
    examples(in_node);
}

#[test]
fn the_rust_examples_do_what_they_say() {
    examples(in_rust);
}

fn examples(start: Start) {
    let server = Server::memory();
    transfers(&server, start);
    outbox(&server, start);
    assert_eq!(
        start(&server.uri(), "by-hand", &[]).succeed(),
        [
            "seat 1 is free",
            "somebody was faster: starting over",
            "seat 2 is free",
            "booked seat 2",
            "seat 1 Ben",
            "seat 2 Ada",
            "seat 3 free",
        ]
    );
}

/// No money appears or disappears, and no transfer happens without its record.
fn transfers(server: &Server, start: Start) {
    let lines = start(&server.uri(), "transfer", &[]).succeed();
    assert_eq!((lines[0].as_str(), lines[3].as_str()), ("total 1000", "total 1000"), "{lines:?}");
    assert!(lines[2].ends_with(" 0 of them wrong"), "{lines:?}");
    let mut connection = server.connect();
    let transfers = found(&mut connection, "bank", "transfers");
    assert!(lines[1].starts_with(&format!("{} transfers done, ", transfers.len())), "{lines:?}");
    for account in found(&mut connection, "bank", "accounts") {
        let name = account.get_str("_id").unwrap();
        let sum = |side: &str| -> i32 {
            let of = transfers.iter().filter(|transfer| transfer.get_str(side).ok() == Some(name));
            of.map(|transfer| transfer.get_i32("amount").unwrap()).sum()
        };
        assert_eq!(account.get_i32("balance").unwrap(), 200 + sum("to") - sum("from"), "{account}");
    }
}

/// Each message is sent once, also by a sender that was stopped in between, and none for an order that failed.
fn outbox(server: &Server, start: Start) {
    let uri = server.uri();
    start(&uri, "order", &["--empty"]).succeed();
    let mut sender = start(&uri, "send", &["2"]);
    sender.wait_for_error_line("watching");
    start(&uri, "order", &[]).succeed();
    assert_eq!(sender.succeed(), ["sent 1 your lamp is on its way", "sent 2 your desk is on its way"]);
    let rest = start(&uri, "send", &["2"]).succeed();
    assert_eq!(rest, ["sent 4 your chair is on its way", "sent 5 your shelf is on its way"]);
    let mut connection = server.connect();
    for (collection, field) in [("orders", "_id"), ("outbox", "_id"), ("sent", "message")] {
        let mut numbers: Vec<i32> =
            found(&mut connection, "shop", collection).iter().map(|one| one.get_i32(field).unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 4, 5], "{collection}");
    }
}

fn found(connection: &mut Connection, db: &str, collection: &str) -> Vec<Document> {
    let reply = connection.command(db, doc! {"find": collection, "batchSize": 10_000}).unwrap();
    let batch = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    batch.iter().map(|document| document.as_document().unwrap().clone()).collect()
}

#[test]
fn the_python_driver_makes_transactions() {
    let server = Server::with(&["--memory", "--test-commands"]);
    assert_eq!(
        python_test(&server.uri(), "transactions.py").succeed(),
        [
            "with_transaction_commits_and_returns_what_the_callback_does",
            "an_exception_leaves_nothing",
            "a_callback_runs_again_after_a_conflict_and_sees_fresh_data",
            "a_conflict_is_told_at_the_statement",
            "reads_see_one_state_and_the_writes_of_their_own_transaction",
            "one_transaction_spans_collections_and_databases",
            "collections_and_indexes_are_made_inside",
            "a_cursor_lives_inside_of_its_transaction",
            "bulk_writes_run_inside",
            "find_and_modify_aggregate_and_distinct_run_inside",
            "what_is_not_allowed_inside_is_refused",
            "a_commit_without_an_answer_is_asked_for_again",
            "an_error_that_passes_runs_the_callback_again",
            "concerns_belong_to_the_transaction",
            "causal_sessions_read_what_they_wrote",
            "snapshot_sessions_read_one_time",
            "what_fails_in_the_callback_and_is_not_transient_comes_out",
            "ending_a_session_aborts",
        ]
    );
}

#[test]
fn the_node_driver_makes_transactions() {
    let server = Server::with(&["--memory", "--test-commands"]);
    assert_eq!(
        node_test(&server.uri(), "transactions.js").succeed(),
        [
            "a_transaction_commits_as_a_whole",
            "an_exception_leaves_nothing",
            "a_callback_runs_again_after_a_conflict_and_sees_fresh_data",
            "a_conflict_is_told_at_the_statement",
            "cursors_and_bulk_writes_run_inside",
            "a_commit_without_an_answer_is_asked_for_again",
            "what_is_not_allowed_inside_is_refused",
            "causal_and_snapshot_sessions_read_as_promised",
        ]
    );
}
