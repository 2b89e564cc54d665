//! Multi-document transactions (CS-2.8): what they see, what others see, and who wins.

mod undone;

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bson::doc;
use millstream_storage::Location;
use millstream_value::{Code, Doc, DocBuf, Namespace, from_bson_document, to_bson_document};

use super::{command, insert, ns, open, open_in, query, read, update, write};
use crate::{
    Action, Attempt, Committing, Db, Error, Find, Reader, Result, Retry, Statement, TransactionId, Tried, Turn,
    WriteCommand, WriteReply,
};

fn id(session: u8, number: i64) -> TransactionId {
    TransactionId { session: [session; 16], number }
}

fn begin(db: &Db, id: TransactionId) -> Turn {
    db.begin(id, &db.now(), false).unwrap()
}

fn turn(db: &Db, id: TransactionId) -> Result<Turn> {
    match db.poll_turn(id, Waker::noop()) {
        Poll::Ready(turn) => turn,
        Poll::Pending => panic!("somebody else has the transaction"),
    }
}

fn commit(db: &Db, id: TransactionId) -> Result<()> {
    match db.poll_commit(id, Waker::noop()) {
        Poll::Ready(Ok(Committing::Done(_))) => Ok(()),
        Poll::Ready(Ok(Committing::Waits(pending))) => pending.wait().map(drop),
        Poll::Ready(Err(error)) => Err(error),
        Poll::Pending => panic!("somebody else has the transaction"),
    }
}

/// Runs statements without waiting for anybody.
fn run(turn: &mut Turn, actions: Vec<Action>) -> Result<WriteReply> {
    run_in(turn, command(actions, true, None))
}

fn run_in(turn: &mut Turn, command: WriteCommand) -> Result<WriteReply> {
    let mut attempt = Attempt::new(command);
    loop {
        match turn.write(&mut attempt)? {
            Tried::Done(reply) => return Ok(reply),
            Tried::NeedsNumbers => turn.reserve()?,
            Tried::Held(ending) => {
                if !ending.wait(Duration::from_millis(1)) {
                    return Err(turn.conflict());
                }
            }
        }
    }
}

fn fine(turn: &mut Turn, actions: Vec<Action>) {
    for outcome in run(turn, actions).unwrap().outcomes {
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
    }
}

fn seen(reader: &Reader, filter: bson::Document) -> Vec<bson::Document> {
    let rows = reader.find(&ns(), query(filter)).unwrap();
    rows.map(|doc| to_bson_document(Doc::new(&doc.unwrap()))).collect()
}

fn code(error: &Error) -> Option<Code> {
    match error {
        Error::Invalid { code, .. } => Some(*code),
        _ => None,
    }
}

fn set(id: i32, n: i32) -> Action {
    update(doc! {"_id": id}, doc! {"$set": {"n": n}}, false, false)
}

fn log(db: &Db) -> Vec<bson::Document> {
    let all = super::predicate(&doc! {});
    db.oplog(all, false, crate::TimeLimit::default()).map(|e| to_bson_document(Doc::new(&e.unwrap()))).collect()
}

#[test]
fn a_transaction_sees_its_writes_and_others_see_them_at_the_commit() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1, "n": 1}), insert(doc! {"_id": 2, "n": 2})]);
    let mut one = begin(&db, id(1, 1));
    fine(&mut one, vec![set(1, 10), insert(doc! {"_id": 3, "n": 3}), super::delete(doc! {"_id": 2}, false)]);
    let inside = seen(&one.reader().unwrap(), doc! {});
    assert_eq!(inside, [doc! {"_id": 1, "n": 10}, doc! {"_id": 3, "n": 3}]);
    let outside = [doc! {"_id": 1, "n": 1}, doc! {"_id": 2, "n": 2}];
    assert_eq!(read(&db, query(doc! {})), outside);
    drop(one);
    let entries = log(&db).len();
    commit(&db, id(1, 1)).unwrap();
    assert_eq!(read(&db, query(doc! {})), inside);
    assert_eq!(db.now().count(&ns(), &query(doc! {})).unwrap(), 2);
    let log = log(&db);
    assert_eq!(log.len(), entries + 1, "one entry for all of it");
    let entry = log.last().unwrap();
    let operations = entry.get_document("o").unwrap().get_array("applyOps").unwrap();
    let kinds: Vec<_> = operations.iter().map(|o| o.as_document().unwrap().get_str("op").unwrap()).collect();
    assert_eq!(kinds, ["u", "i", "d"]);
    assert_eq!(entry.get_i64("txnNumber").unwrap(), 1);
    // A commit that is sent again is answered as the first time.
    commit(&db, id(1, 1)).unwrap();
    assert_eq!(code(&db.abort_transaction(id(1, 1)).unwrap_err()), Some(Code::TransactionCommitted));
}

#[test]
fn an_aborted_transaction_leaves_nothing() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1, "n": 1})]);
    let entries = super::log_length(&db);
    let mut one = begin(&db, id(1, 1));
    fine(&mut one, vec![set(1, 10)]);
    drop(one);
    db.abort_transaction(id(1, 1)).unwrap();
    assert_eq!(read(&db, query(doc! {})), [doc! {"_id": 1, "n": 1}]);
    assert_eq!(super::log_length(&db), entries);
    assert_eq!(code(&commit(&db, id(1, 1)).unwrap_err()), Some(Code::NoSuchTransaction));
    assert_eq!(code(&turn(&db, id(1, 1)).map(drop).unwrap_err()), Some(Code::NoSuchTransaction));
    // What it held is free.
    write(&db, vec![set(1, 5)]);
}

#[test]
fn reads_stay_with_one_state() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1, "n": 1})]);
    let mut one = begin(&db, id(1, 1));
    assert_eq!(seen(&one.reader().unwrap(), doc! {}).len(), 1);
    write(&db, vec![insert(doc! {"_id": 2, "n": 1}), set(1, 7)]);
    assert_eq!(seen(&one.reader().unwrap(), doc! {}), [doc! {"_id": 1, "n": 1}]);
    // It has read what somebody has changed: it cannot change that any more.
    assert!(matches!(run(&mut one, vec![set(1, 8)]), Err(Error::Conflict)));
    drop(one);
    assert_eq!(code(&commit(&db, id(1, 1)).unwrap_err()), Some(Code::NoSuchTransaction));
    assert_eq!(read(&db, query(doc! {"_id": 1})), [doc! {"_id": 1, "n": 7}]);
}

#[test]
fn of_two_transactions_that_change_one_document_the_second_has_a_conflict() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1, "n": 1}), insert(doc! {"_id": 2, "n": 1})]);
    let (mut one, mut two) = (begin(&db, id(1, 1)), begin(&db, id(2, 1)));
    seen(&two.reader().unwrap(), doc! {});
    fine(&mut one, vec![set(1, 10)]);
    assert!(matches!(run(&mut two, vec![set(1, 20)]), Err(Error::Conflict)));
    drop((one, two));
    commit(&db, id(1, 1)).unwrap();
    assert_eq!(read(&db, query(doc! {"_id": 1})), [doc! {"_id": 1, "n": 10}]);
}

/// A transaction that has read nothing yet works on what is there when its turn comes.
#[test]
fn what_was_not_read_may_change_meanwhile() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1, "n": 1}), insert(doc! {"_id": 2, "n": 1})]);
    let mut one = begin(&db, id(1, 1));
    let add = |id: i32| update(doc! {"_id": id}, doc! {"$inc": {"n": 1}}, false, false);
    fine(&mut one, vec![add(1)]);
    write(&db, vec![set(2, 5)]);
    fine(&mut one, vec![add(2)]);
    drop(one);
    commit(&db, id(1, 1)).unwrap();
    assert_eq!(read(&db, query(doc! {})), [doc! {"_id": 1, "n": 2}, doc! {"_id": 2, "n": 6}]);
}

#[test]
fn a_write_outside_waits_for_the_end_of_a_transaction() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1, "n": 1}), insert(doc! {"_id": 2, "n": 1})]);
    let add = || update(doc! {}, doc! {"$inc": {"n": 1}}, true, false);
    for (session, committed) in [(1, true), (2, false)] {
        let mut one = begin(&db, id(session, 1));
        fine(&mut one, vec![set(1, 10)]);
        drop(one);
        let other = db.clone();
        let writer = std::thread::spawn(move || write(&other, vec![add()]).outcomes[0].modified);
        std::thread::sleep(Duration::from_millis(20));
        assert!(!writer.is_finished());
        if committed {
            commit(&db, id(session, 1)).unwrap()
        } else {
            db.abort_transaction(id(session, 1)).unwrap()
        }
        assert_eq!(writer.join().unwrap(), 2);
    }
    assert_eq!(read(&db, query(doc! {})), [doc! {"_id": 1, "n": 12}, doc! {"_id": 2, "n": 3}]);
}

#[test]
fn unique_keys_are_held_too() {
    let db = open();
    super::index(&db, doc! {"key": {"n": 1}, "name": "n_1", "unique": true}).unwrap();
    write(&db, vec![insert(doc! {"_id": 1, "n": 1})]);
    let (mut one, mut two) = (begin(&db, id(1, 1)), begin(&db, id(2, 1)));
    fine(&mut one, vec![insert(doc! {"_id": 2, "n": 2})]);
    assert!(matches!(run(&mut two, vec![insert(doc! {"_id": 3, "n": 2})]), Err(Error::Conflict)));
    let clash = run(&mut one, vec![insert(doc! {"_id": 4, "n": 1})]).unwrap();
    assert!(matches!(clash.outcomes[0].error, Some(Error::DuplicateKey(_))));
    drop((one, two));
    assert_eq!(code(&commit(&db, id(1, 1)).unwrap_err()), Some(Code::NoSuchTransaction), "an error ends it");
}

#[test]
fn a_transaction_creates_collections_and_indexes_on_them() {
    let db = open();
    let sold = Namespace::new("shop", "sold");
    let mut one = begin(&db, id(1, 1));
    let mut make = || one.create_indexes(&sold, &[from_bson_document(&doc! {"key": {"n": 1}, "name": "n_1"})]);
    assert!(matches!(make().unwrap(), Tried::NeedsNumbers));
    one.reserve().unwrap();
    let Tried::Done(made) =
        one.create_indexes(&sold, &[from_bson_document(&doc! {"key": {"n": 1}, "name": "n_1"})]).unwrap()
    else {
        panic!("not done")
    };
    assert!(made.created_collection);
    fine(&mut one, vec![insert(doc! {"_id": 1, "n": 1})]);
    let statement =
        |n: i32| Statement { namespace: Arc::new(sold.clone()), id: n, action: Ok(insert(doc! {"_id": n, "n": n})) };
    let many = WriteCommand { statements: (0..5).map(statement).collect(), ordered: true, retry: None };
    run_in(&mut one, many).unwrap();
    assert!(db.collection_uuid(&sold).is_none());
    drop(one);
    commit(&db, id(1, 1)).unwrap();
    let find = Find { hint: Some("n_1".into()), ..query(doc! {"n": {"$gte": 3}}) };
    assert_eq!(db.now().find(&sold, find).unwrap().count(), 2);
    assert_eq!(db.now().count(&sold, &query(doc! {})).unwrap(), 5);
    assert_eq!(db.list_indexes(&sold).unwrap().len(), 2);
    let mut two = begin(&db, id(1, 2));
    let refused = two.create_indexes(&sold, &[from_bson_document(&doc! {"key": {"m": 1}, "name": "m_1"})]);
    assert!(matches!(refused, Ok(Tried::NeedsNumbers)));
    two.reserve().unwrap();
    let refused = two.create_indexes(&sold, &[from_bson_document(&doc! {"key": {"m": 1}, "name": "m_1"})]);
    assert_eq!(refused.err().as_ref().and_then(code), Some(Code::OperationNotSupportedInTransaction));
}

#[test]
fn numbers_of_transactions_only_grow() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1, "n": 1})]);
    let retry = |number| Some(Retry { session: [1; 16], number });
    db.write(command(vec![set(1, 2)], true, retry(5))).block().unwrap();
    let refused = |number: i64| db.begin(id(1, number), &db.now(), false).map(drop).unwrap_err();
    assert!(matches!(refused(4), Error::TransactionTooOld { given: 4, seen: 5 }));
    assert_eq!(code(&refused(5)), Some(Code::ConflictingOperationInProgress));
    let mut one = begin(&db, id(1, 6));
    fine(&mut one, vec![set(1, 3)]);
    drop(one);
    let old = db.write(command(vec![set(1, 4)], true, retry(5))).block().unwrap_err();
    assert!(matches!(old, Error::TransactionTooOld { given: 5, seen: 6 }));
    // A newer retryable write ends the transaction.
    db.write(command(vec![set(1, 4)], true, retry(7))).block().unwrap();
    assert!(matches!(turn(&db, id(1, 6)).map(drop), Err(Error::Invalid { code: Code::NoSuchTransaction, .. })));
    assert_eq!(read(&db, query(doc! {})), [doc! {"_id": 1, "n": 4}]);
}

#[test]
fn the_outcome_of_a_commit_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let place = || Location::Folder(folder.path().to_owned());
    let db = open_in(place());
    let mut one = begin(&db, id(1, 1));
    fine(&mut one, vec![insert(doc! {"_id": 1})]);
    drop(one);
    commit(&db, id(1, 1)).unwrap();
    let mut open = begin(&db, id(2, 1));
    fine(&mut open, vec![insert(doc! {"_id": 2})]);
    drop(open);
    db.close().unwrap();
    drop(db);
    let db = open_in(place());
    commit(&db, id(1, 1)).unwrap();
    assert_eq!(code(&commit(&db, id(2, 1)).unwrap_err()), Some(Code::NoSuchTransaction));
    assert_eq!(read(&db, query(doc! {})), [doc! {"_id": 1}]);
}

#[test]
fn reads_at_a_time_see_exactly_that_time() {
    let db = open();
    let mut times = Vec::new();
    for n in 0..40 {
        let reply = match n % 4 {
            0 => write(&db, vec![insert(doc! {"_id": n, "n": n}), insert(doc! {"_id": n + 100, "a": [n]})]),
            1 => write(
                &db,
                vec![update(doc! {"n": {"$gte": 0}}, doc! {"$inc": {"n": 1}, "$set": {"s.t": n}}, true, false)],
            ),
            2 => write(&db, vec![super::delete(doc! {"a": n - 2}, false)]),
            _ => {
                if n == 19 {
                    super::index(&db, doc! {"key": {"n": 1}, "name": "n_1"}).unwrap();
                }
                let mut one = begin(&db, id(9, n.into()));
                fine(&mut one, vec![insert(doc! {"_id": n, "n": n}), set(n, -n)]);
                drop(one);
                commit(&db, id(9, n.into())).unwrap();
                write(&db, vec![set(n, 1_000)])
            }
        };
        times.push((reply.time, seen(&db.now(), doc! {})));
    }
    for (time, expected) in times.iter().chain(times.iter().rev()) {
        let then = db.at(*time).unwrap();
        assert_eq!(seen(&then, doc! {}), *expected, "{time}");
        let by_index = Find { hint: Some("n_1".into()), ..query(doc! {"n": {"$gt": 0}}) };
        if let Ok(found) = then.find(&ns(), by_index) {
            let wanted = expected.iter().filter(|doc| doc.get_i32("n").is_ok_and(|n| n > 0)).count();
            assert_eq!(found.count(), wanted);
        }
    }
    let first = millstream_value::ClusterTime::new(1, 1);
    assert_eq!(db.at(first).map(drop).as_ref().err().and_then(code), Some(Code::SnapshotTooOld));
    let options = crate::Options { snapshot_window_ms: 0, ..crate::Options::default() };
    let db = Db::open(Location::Memory, Arc::new(millstream_storage::SystemClock), options).unwrap();
    let before = write(&db, vec![insert(doc! {"_id": 1})]).time;
    write(&db, vec![insert(doc! {"_id": 2})]);
    assert_eq!(db.at(before).map(drop).as_ref().err().and_then(code), Some(Code::SnapshotTooOld));
}

#[test]
fn what_a_transaction_may_take_is_bounded() {
    let options = crate::Options {
        transactions: crate::TransactionLimits { life_ms: 60_000, bytes_max: 1 << 16, open_max: 2 },
        ..crate::Options::default()
    };
    let db = Db::open(Location::Memory, Arc::new(millstream_storage::SystemClock), options).unwrap();
    write(&db, vec![insert(doc! {"_id": 0})]);
    let mut one = begin(&db, id(1, 1));
    let big = |id: i32| vec![insert(doc! {"_id": id, "text": "x".repeat(20_000)})];
    fine(&mut one, big(1));
    let error = run(&mut one, big(2)).unwrap_err();
    assert_eq!(code(&error), Some(Code::TransactionTooLarge));
    drop(one);
    let two = begin(&db, id(2, 1));
    let three = begin(&db, id(3, 1));
    assert_eq!(
        db.begin(id(4, 1), &db.now(), false).map(drop).as_ref().err().and_then(code),
        Some(Code::from_number(365))
    );
    drop((two, three));
    assert_eq!(db.transaction_counts().open, 2);
    db.set_transaction_life_ms(0);
    std::thread::sleep(Duration::from_millis(5));
    db.abort_expired();
    assert_eq!((db.transaction_counts().open, db.transaction_counts().aborted), (0, 3));
}

#[test]
fn ddl_waits_for_the_transactions_that_use_a_collection() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1})]);
    let mut one = begin(&db, id(1, 1));
    fine(&mut one, vec![insert(doc! {"_id": 2})]);
    drop(one);
    let other = db.clone();
    let dropper = std::thread::spawn(move || other.drop_collection(&ns()).map(drop));
    std::thread::sleep(Duration::from_millis(20));
    assert!(!dropper.is_finished());
    commit(&db, id(1, 1)).unwrap();
    dropper.join().unwrap().unwrap();
    assert!(db.collection_uuid(&ns()).is_none());
    // Not for those that use other ones.
    let mut two = begin(&db, id(1, 2));
    turn_creates(&mut two);
    db.create(&Namespace::new("shop", "other"), DocBuf::new()).unwrap();
}

fn turn_creates(turn: &mut Turn) {
    turn.reserve().unwrap();
    assert!(matches!(turn.create(&Namespace::new("shop", "mine"), &DocBuf::new()), Ok(Tried::Done(()))));
}

/// The checks that keep updates from being lost can be switched off, to see that tests would notice.
#[test]
fn without_checks_updates_are_lost() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1, "n": 1})]);
    for checks in [true, false] {
        db.set_conflict_checks(checks);
        let session = u8::from(checks);
        let mut one = begin(&db, id(session, 1));
        seen(&one.reader().unwrap(), doc! {});
        write(&db, vec![set(1, 7)]);
        let done = run(&mut one, vec![set(1, 8)]).map(drop);
        drop(one);
        let done = done.and_then(|()| commit(&db, id(session, 1)));
        assert_eq!(done.is_ok(), !checks);
    }
}

/// Holds up the commit loop, in the middle of a group.
struct Stop {
    reached: std::sync::mpsc::Sender<()>,
    go_on: std::sync::mpsc::Receiver<()>,
}

impl millstream_storage::Write for Stop {
    fn apply(&mut self, _: &mut millstream_storage::Commit<'_>) -> millstream_storage::Result<()> {
        self.reached.send(()).unwrap();
        self.go_on.recv().unwrap();
        Ok(())
    }

    fn finish(self: Box<Self>, _: millstream_storage::Result<()>) {}
}

fn stop(db: &Db) -> (std::sync::mpsc::Receiver<()>, std::sync::mpsc::Sender<()>) {
    let ((reached, is_reached), (go, go_on)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    db.store().submit(Box::new(Stop { reached, go_on }));
    (is_reached, go)
}

/// A write that was in the commit loop already when a transaction took the same document is not written over, wherever
/// the transaction moves.
#[test]
fn a_write_that_was_on_its_way_is_not_lost() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1, "n": 0}), insert(doc! {"_id": 2, "n": 0})]);
    let (first_reached, first_go) = stop(&db);
    first_reached.recv().unwrap();
    // In one group: two writes, and behind them what holds the group up.
    let add = |id: i32| update(doc! {"_id": id}, doc! {"$inc": {"n": 1}}, false, false);
    let mut plain = Box::pin(db.write(command(vec![add(1), add(2)], true, None)).complete());
    let context = &mut std::task::Context::from_waker(Waker::noop());
    assert!(plain.as_mut().poll(context).is_pending());
    let (reached, go) = stop(&db);
    first_go.send(()).unwrap();
    reached.recv().unwrap();
    let mut one = begin(&db, id(1, 1));
    fine(&mut one, vec![add(1)]);
    go.send(()).unwrap();
    while plain.as_mut().poll(context).is_pending() {
        std::thread::yield_now();
    }
    // The transaction has read nothing but what it holds: it may go over to the state in which the other document is new.
    let second = run(&mut one, vec![add(2)]);
    drop(one);
    let ended = second.and_then(|_| commit(&db, id(1, 1)));
    let expected = if ended.is_ok() { 2 } else { 1 };
    let all = [doc! {"_id": 1, "n": expected}, doc! {"_id": 2, "n": expected}];
    assert_eq!(read(&db, query(doc! {})), all, "{ended:?}");
}

/// What was there right behind a change of what exists can be read, also if others wrote at the same moment.
#[test]
fn a_change_of_what_exists_can_be_read_behind() {
    let db = open();
    let (reached, go) = stop(&db);
    reached.recv().unwrap();
    // Both wait for the loop at once; the first creates the collection.
    let insert = |id: i32| Box::pin(db.write(command(vec![insert(doc! {"_id": id})], true, None)).complete());
    let (mut first, mut second) = (insert(1), insert(2));
    let context = &mut std::task::Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(context).is_pending() && second.as_mut().poll(context).is_pending());
    go.send(()).unwrap();
    for (expected, write) in [&mut first, &mut second].into_iter().enumerate() {
        let time = loop {
            match write.as_mut().poll(context) {
                Poll::Ready(reply) => break reply.unwrap().time,
                Poll::Pending => std::thread::yield_now(),
            }
        };
        let count = db.at(time).unwrap().count(&ns(), &query(doc! {})).unwrap();
        assert_eq!(usize::try_from(count).unwrap(), expected + 1);
    }
}

/// What many want goes from hand to hand before the disk has it; nobody else sees it before.
#[test]
fn who_waits_goes_on_from_what_is_not_durable_yet() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1, "n": 0}), insert(doc! {"_id": 2, "n": 0})]);
    let add = |id: i32| update(doc! {"_id": id}, doc! {"$inc": {"n": 1}}, false, false);
    let mut one = begin(&db, id(1, 1));
    fine(&mut one, vec![add(1)]);
    drop(one);
    let mut two = begin(&db, id(2, 1));
    fine(&mut two, vec![add(2)]);
    let mut attempt = Attempt::new(command(vec![add(1)], true, None));
    let Tried::Held(held) = two.write(&mut attempt).unwrap() else { panic!("nobody has it") };
    let mut place = Box::pin(held.turn(false));
    let context = &mut std::task::Context::from_waker(Waker::noop());
    assert!(place.as_mut().poll(context).is_pending());

    // In one group: the commit, and behind it what holds the group up before it is durable.
    let (first_reached, first_go) = stop(&db);
    first_reached.recv().unwrap();
    let Poll::Ready(Ok(crate::Committing::Waits(pending))) = db.poll_commit(id(1, 1), Waker::noop()) else {
        panic!("it has written something")
    };
    let (reached, go) = stop(&db);
    first_go.send(()).unwrap();
    reached.recv().unwrap();
    assert!(place.as_mut().poll(context).is_ready());
    assert!(matches!(two.write(&mut attempt), Ok(Tried::Done(_))));
    drop(place);
    assert_eq!(seen(&two.reader().unwrap(), doc! {"_id": 1}), [doc! {"_id": 1, "n": 2}]);
    let before = [doc! {"_id": 1, "n": 0}, doc! {"_id": 2, "n": 0}];
    assert_eq!(seen(&db.now(), doc! {}), before, "what is not durable was seen");
    // Neither does the client of the second hear of it before.
    let leader = two.leader().unwrap();
    assert!(!leader.wait(Duration::from_millis(20)) && !two.is_durable().unwrap());
    go.send(()).unwrap();
    pending.wait().unwrap();
    assert!(leader.wait(Duration::from_secs(60)) && two.is_durable().unwrap());
    drop(two);
    commit(&db, id(2, 1)).unwrap();
    assert_eq!(seen(&db.now(), doc! {}), [doc! {"_id": 1, "n": 2}, doc! {"_id": 2, "n": 1}]);
}

struct SetClock(std::sync::atomic::AtomicU64);

impl millstream_storage::Clock for SetClock {
    fn now_ms(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// A read at one time keeps what was overwritten since, so it cannot last for ever.
#[test]
fn reads_at_a_time_end_with_the_window() {
    let clock = Arc::new(SetClock(1_755_427_520_000.into()));
    let db = Db::open(Location::Memory, Arc::clone(&clock) as _, crate::Options::default()).unwrap();
    let time = write(&db, vec![insert(doc! {"_id": 1})]).time;
    let keep = |at| {
        let rows = db.at(time).unwrap().find(&ns(), query(doc! {})).unwrap();
        let source = crate::Source::at(rows, crate::TimeLimit::default(), at);
        db.cursors().keep(source, "shop.orders".into(), crate::Owner::default(), true).unwrap()
    };
    let (fixed, plain) = (keep(Some(time)), keep(None));
    let lease = |id| match db.cursors().poll_lease(id, "shop.orders", crate::Owner::default(), Waker::noop()) {
        Poll::Ready(lease) => lease.map(|mut lease| {
            let count = lease.source().unwrap().batch(0).unwrap().documents.len();
            lease.give_back();
            count
        }),
        Poll::Pending => panic!("nobody has it"),
    };
    for (minutes, too_old) in [(4, false), (2, true)] {
        clock.0.fetch_add(minutes * 60_000, std::sync::atomic::Ordering::Relaxed);
        write(&db, vec![insert(doc! {"_id": i32::from(too_old) + 2})]);
        db.sweep(|_| true);
        assert_eq!(lease(fixed).as_ref().err().and_then(code), too_old.then_some(Code::SnapshotTooOld));
        assert!(lease(plain).is_ok());
    }
    assert_eq!(db.at(time).map(drop).as_ref().err().and_then(code), None, "the last state before the window is kept");
}

/// What is kept for reads at one time costs everybody who scans: where a lot is overwritten, the whole window is there
/// for those who use it.
#[test]
fn the_window_is_shorter_where_much_is_overwritten_for_nobody() {
    let clock = Arc::new(SetClock(1_755_427_520_000.into()));
    let db = Db::open(Location::Memory, Arc::clone(&clock) as _, crate::Options::default()).unwrap();
    let wait = |ms| clock.0.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
    let too_old = |time| db.at(time).map(drop).as_ref().err().and_then(code) == Some(Code::SnapshotTooOld);
    let next = |actions: Vec<Action>| {
        wait(1_000);
        write(&db, actions).time
    };
    // Nothing is overwritten: five minutes are there, although nobody has asked for them.
    let inserted = next(vec![insert(doc! {"_id": 0})]);
    for number in 1..250 {
        next(vec![insert(doc! {"_id": number, "n": 0})]);
    }
    let states = db.history().kept();
    assert!(states > 240, "only {states} states are kept");
    let busy = || {
        let all = |n: i32| update(doc! {}, doc! {"$set": {"n": n}}, true, false);
        for n in 1..=100 {
            next(vec![all(n)]);
        }
    };
    busy();
    let states = db.history().kept();
    assert!((70..90).contains(&states), "20,000 documents are 80 states, not {states}");
    // The first read at one time comes too late for this, and keeps what follows.
    assert!(too_old(inserted));
    let used = next(vec![insert(doc! {"_id": 1_000})]);
    busy();
    assert_eq!(db.at(used).unwrap().count(&ns(), &query(doc! {})).unwrap(), 251);
    for number in 2_000..2_300 {
        next(vec![insert(doc! {"_id": number})]);
    }
    assert!(too_old(used));
}
