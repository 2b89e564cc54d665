//! What is undone, refused or not done at all leaves no trace.

use super::*;

fn spec() -> DocBuf {
    from_bson_document(&doc! {"key": {"n": 1}, "name": "n_1"})
}

/// Programs make sure of their indexes before they use a collection, inside of transactions too.
#[test]
fn an_index_that_is_there_is_no_change_of_its_collection() {
    let db = open();
    db.create_indexes(&ns(), &[spec()]).unwrap();
    let mut one = begin(&db, id(1, 1));
    let Ok(Tried::Done(made)) = one.create_indexes(&ns(), &[spec()]) else { panic!("not done") };
    assert_eq!((made.before, made.after, made.created_collection), (2, 2, false));
    fine(&mut one, vec![insert(doc! {"_id": 1, "n": 1})]);
    drop(one);
    // Others need not wait for the transaction, and it does not notice.
    let (done, is_done) = std::sync::mpsc::channel();
    let other = db.clone();
    std::thread::spawn(move || done.send(other.create_indexes(&ns(), &[spec()]).map(|made| made.after)));
    assert_eq!(is_done.recv_timeout(Duration::from_secs(20)).unwrap().unwrap(), 2);
    commit(&db, id(1, 1)).unwrap();
    assert_eq!(read(&db, query(doc! {})), [doc! {"_id": 1, "n": 1}]);
}

/// An update of many documents is undone where it has to wait for a transaction, and what it noted about an index with it.
#[test]
fn arrays_that_had_to_wait_are_found_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let place = || Location::Folder(folder.path().to_owned());
    let db = open_in(place());
    db.create_indexes(&ns(), &[spec()]).unwrap();
    write(&db, vec![insert(doc! {"_id": 1, "n": 1}), insert(doc! {"_id": 2, "n": 1})]);
    let mut one = begin(&db, id(1, 1));
    fine(&mut one, vec![set(2, 5)]);
    drop(one);
    let other = db.clone();
    let writer = std::thread::spawn(move || {
        write(&other, vec![update(doc! {}, doc! {"$set": {"n": [1, 3]}}, true, false)]);
        other.close().unwrap();
    });
    std::thread::sleep(Duration::from_millis(20));
    db.abort_transaction(id(1, 1)).unwrap();
    writer.join().unwrap();
    drop(db);
    let db = open_in(place());
    let find = Find { hint: Some("n_1".into()), ..query(doc! {"n": {"$gt": 1, "$lt": 3}}) };
    assert_eq!(read(&db, find).len(), 2);
}

/// The same without transactions: a later document fails.
#[test]
fn arrays_of_a_statement_that_failed_do_not_hide_later_ones() {
    let folder = tempfile::tempdir().unwrap();
    let place = || Location::Folder(folder.path().to_owned());
    let db = open_in(place());
    db.create_indexes(&ns(), &[spec()]).unwrap();
    write(&db, vec![insert(doc! {"_id": 1, "n": 1, "k": 1}), insert(doc! {"_id": 2, "n": 1, "k": "text"})]);
    let both = update(doc! {}, doc! {"$set": {"n": [1, 3]}, "$inc": {"k": 1}}, true, false);
    let reply = db.write(command(vec![both], true, None)).block().unwrap();
    assert!(reply.outcomes[0].error.is_some());
    write(&db, vec![insert(doc! {"_id": 3, "n": [1, 3]})]);
    db.close().unwrap();
    drop(db);
    let db = open_in(place());
    let find = Find { hint: Some("n_1".into()), ..query(doc! {"n": {"$gt": 1, "$lt": 3}}) };
    assert_eq!(read(&db, find).len(), 1);
}

#[test]
fn a_transaction_whose_command_panics_is_over() {
    let db = open();
    let other = db.clone();
    let panicked = std::thread::spawn(move || {
        let mut one = begin(&other, id(1, 1));
        fine(&mut one, vec![insert(doc! {"_id": 1})]);
        panic!("in the middle of a command");
    });
    assert!(panicked.join().is_err());
    assert_eq!(code(&commit(&db, id(1, 1)).unwrap_err()), Some(Code::NoSuchTransaction));
    assert_eq!(read(&db, query(doc! {})), Vec::<bson::Document>::new());
}

/// One statement may be about everything there is: it ends where the limit is, not where the memory does.
#[test]
fn a_statement_ends_at_the_limit_of_its_transaction() {
    let options = crate::Options {
        transactions: crate::TransactionLimits { bytes_max: 1 << 16, ..crate::TransactionLimits::default() },
        ..crate::Options::default()
    };
    let db = Db::open(Location::Memory, Arc::new(millstream_storage::SystemClock), options).unwrap();
    let padding = "x".repeat(10_000);
    write(&db, (0..20).map(|id| insert(doc! {"_id": id, "n": 1, "padding": &padding})).collect());
    write(&db, vec![insert(doc! {"_id": 20, "n": "text"})]);
    let mut one = begin(&db, id(1, 1));
    let error = run(&mut one, vec![update(doc! {}, doc! {"$inc": {"n": 1}}, true, false)]).unwrap_err();
    assert_eq!(code(&error), Some(Code::TransactionTooLarge));
    drop(one);
    assert_eq!(db.transaction_counts().open, 0);
}

/// A state that was made for a read at one time keeps what was overwritten since, so it goes with the window.
#[test]
fn what_was_made_for_a_read_goes_with_the_window() {
    let clock = Arc::new(SetClock(1_755_427_520_000.into()));
    let db = Db::open(Location::Memory, Arc::clone(&clock) as _, crate::Options::default()).unwrap();
    let times: Vec<_> = (0..3).map(|id| write(&db, vec![insert(doc! {"_id": id})]).time).collect();
    let then = db.at(times[1]).unwrap();
    assert_eq!(seen(&then, doc! {}).len(), 2);
    let made = Arc::downgrade(&then.state().snapshot);
    drop(then);
    assert!(made.upgrade().is_some(), "kept for the next who asks");
    for id in 3..5 {
        clock.0.fetch_add(360_000, std::sync::atomic::Ordering::Relaxed);
        write(&db, vec![insert(doc! {"_id": id})]);
    }
    assert!(made.upgrade().is_none());
}

/// When the server stops, nobody waits for a transaction that would never end.
#[test]
fn no_transaction_begins_after_they_were_ended() {
    let db = open();
    let mut one = begin(&db, id(1, 1));
    fine(&mut one, vec![insert(doc! {"_id": 1})]);
    drop(one);
    db.end_transactions();
    assert_eq!(code(&commit(&db, id(1, 1)).unwrap_err()), Some(Code::NoSuchTransaction));
    assert!(db.begin(id(1, 2), &db.now(), false).is_err());
    assert_eq!(db.transaction_counts().open, 0);
    write(&db, vec![insert(doc! {"_id": 1})]);
}

/// However few operations go into one entry of the log, a chain can be followed to its beginning.
#[test]
fn chains_do_not_get_too_long() {
    let db = open();
    db.set_entry_operations_max(1);
    let mut one = begin(&db, id(1, 1));
    fine(&mut one, (0..10_100).map(|id| insert(doc! {"_id": id})).collect());
    drop(one);
    commit(&db, id(1, 1)).unwrap();
    assert!(super::super::log_length(&db) <= millstream_change::entry::PARTS_MAX);
}
