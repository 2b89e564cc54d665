//! CS-5.7 to CS-5.9.

use bson::doc;
use millstream_storage::Options as StoreOptions;

use super::*;
use crate::TailOptions;

fn time(event: &bson::Document) -> bson::Bson {
    event.get("clusterTime").cloned().unwrap()
}

/// CS-4.6, CS-5.7, CS-14.2, CS-14.20 and CS-14.21.
#[test]
fn the_three_starts() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    for id in 0..3 {
        world.log(insert("shop.orders", doc! {"_id": id}));
    }
    world.log(command("shop", doc! {"drop": "orders"}, None));
    let events = next(&mut stream);
    assert_eq!(types(&events), "insert insert insert drop invalidate");
    let mut after = world.watch("shop.orders", doc! {}, vec![]);
    world.log(insert("shop.orders", doc! {"_id": 9}));
    let again = next(&mut after);
    for (event, at) in events.iter().zip(0..4) {
        for option in ["resumeAfter", "startAfter"] {
            let mut stream = world.watch("shop.orders", doc! {option: token(event)}, vec![]);
            assert_eq!(tree(stream.post_batch_token().as_bytes()), token(event));
            let batch = stream.next_batch(ALL).unwrap();
            assert_eq!(trees(&batch), events[at + 1..]);
            assert!(batch.closed);
        }
        let mut stream = world.watch("shop.orders", doc! {"startAtOperationTime": time(event)}, vec![]);
        assert_eq!(next(&mut stream), events[at..]);
    }
    let end = token(&events[4]);
    let error = world.try_watch("shop.orders", doc! {"resumeAfter": &end}, vec![]).err().unwrap();
    assert_eq!(error.code().number(), 260);
    let mut stream = world.watch("shop.orders", doc! {"startAfter": &end}, vec![]);
    assert_eq!(next(&mut stream), again);
    // CS-5.7.3.
    let inserts = vec![doc! {"$match": {"operationType": "insert"}}];
    let mut stream = world.watch("shop.orders", doc! {"startAfter": &end}, inserts);
    assert_eq!(next(&mut stream), again);
}

/// CS-5.8.3, CS-5.8.4, CS-5.8.7, CS-14.36 and CS-14.37.
#[test]
fn a_token_that_is_not_found_is_an_error_at_the_next_event() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    world.log(insert("shop.orders", doc! {"_id": 1}));
    let first = next(&mut stream).remove(0);
    let resume = || doc! {"resumeAfter": token(&first)};
    let filter = vec![doc! {"$match": {"documentKey._id": {"$gte": 2}}}];
    let not_there = token(&first).get_str("_data").unwrap().replace("696E73657274", "64656C657465");
    let mut wrong = world.watch("shop.orders", doc! {"resumeAfter": {"_data": not_there}}, vec![]);
    assert_eq!(wrong.next_batch(ALL).unwrap_err().code().number(), 280);
    let mut streams = [world.watch("shop.other", resume(), vec![]), world.watch("shop.", resume(), filter)];
    for stream in &mut streams {
        assert!(next(stream).is_empty());
    }
    world.log(insert("shop.other", doc! {"_id": 2}));
    for stream in &mut streams {
        let error = stream.next_batch(ALL).unwrap_err();
        assert_eq!((error.code().number(), error.label()), (280, Some("NonResumableChangeStreamError")));
        assert!(error.to_string().starts_with("cannot resume stream; the resume token was not found. {_data: \"82"));
    }
}

/// CS-5.6.8 and CS-14.35.
#[test]
fn a_start_in_the_future_waits_for_it() {
    let world = World::new();
    let future = ClusterTime::new(u32::MAX - 1, 1);
    let at = bson::Timestamp { time: future.seconds, increment: future.increment };
    let mut stream = world.watch("shop.orders", doc! {"startAtOperationTime": at}, vec![]);
    world.log(insert("shop.orders", doc! {"_id": 1}));
    let batch = stream.next_batch(ALL).unwrap();
    assert!(batch.events.is_empty() && batch.at_end);
    assert_eq!(batch.post_batch_token, Token::high_water_mark(future).to_doc());
}

/// CS-4.6.3, CS-5.9.1 to CS-5.9.4.
#[test]
fn history_that_is_gone() {
    let options = StoreOptions { oplog_bytes: 16 << 20, ..StoreOptions::default() };
    let world = World::with(TailOptions { bytes_max: 1 << 20, ..TailOptions::default() }, options);
    let from_the_start = || doc! {"startAtOperationTime": bson::Timestamp { time: 1, increment: 1 }};
    let mut behind = world.watch("shop.orders", doc! {}, vec![]);
    world.log(insert("shop.orders", doc! {"_id": -1}));
    // CS-14.38: as long as nothing was lost, any start is good.
    assert_eq!(next(&mut world.watch("shop.orders", from_the_start(), vec![])).len(), 1);
    let first = next(&mut behind).remove(0);
    let padding = "x".repeat(500_000);
    for id in 0..120 {
        world.log(insert("shop.orders", doc! {"_id": id, "padding": &padding}));
    }
    assert!(world.store.window().lost_before.is_some());
    for options in [from_the_start(), doc! {"resumeAfter": token(&first)}] {
        let mut stream = world.watch("shop.orders", options, vec![]);
        // CS-5.9.2 and CS-14.39: nothing is read, so nothing is missed.
        assert!(stream.next_batch(limit(0)).is_ok());
        let error = stream.next_batch(ALL).unwrap_err();
        // CS-5.9.1 and CS-5.9.4.
        assert_eq!((error.code().number(), error.label()), (286, Some("NonResumableChangeStreamError")));
    }
    // CS-5.9.3 and CS-14.40.
    let error = behind.next_batch(ALL).unwrap_err();
    assert_eq!((error.code().number(), error.label()), (136, None));
}
