//! CS-4.4, CS-6.6.3, CS-6.7, CS-6.8, CS-9.

use bson::{Bson, doc};

use super::*;

#[test]
fn lookups_show_the_present_document() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {"fullDocument": "updateLookup"}, vec![]);
    world.log(update("shop.orders", 1, doc! {"u": {"a": 1}}));
    world.log(delete("shop.orders", 1));
    let key = ("shop.orders".to_owned(), buffer(&doc! {"_id": 1}).into_bytes());
    world.documents.0.lock().insert(key, buffer(&doc! {"_id": 1, "a": 5}).into_bytes());
    let events = next(&mut stream);
    assert_eq!(events[0].get_document("fullDocument").ok(), Some(&doc! {"_id": 1, "a": 5}));
    assert!(!events[1].contains_key("fullDocument"));
    // CS-14.16: not found is null, not absent.
    world.log(update("shop.orders", 2, doc! {"u": {"a": 1}}));
    let bytes = &stream.next_batch(ALL).unwrap().events[0];
    assert_eq!(names(bytes), "_id operationType clusterTime wallTime fullDocument ns documentKey updateDescription");
    assert_eq!(tree(bytes).get("fullDocument"), Some(&Bson::Null));
}

/// CS-9.3 and CS-9.4.
#[test]
fn images_before_and_after() {
    let world = World::new();
    let open =
        |mode: &str| world.watch("shop.orders", doc! {"fullDocument": mode, "fullDocumentBeforeChange": mode}, vec![]);
    let (mut when, mut required) = (open("whenAvailable"), open("required"));
    world.log(insert("shop.orders", doc! {"_id": 1, "a": 1}));
    world.log_with_image(update("shop.orders", 1, doc! {"u": {"a": 2}}), doc! {"_id": 1, "a": 1});
    world.log_with_image(delete("shop.orders", 1), doc! {"_id": 1, "a": 2});
    for stream in [&mut when, &mut required] {
        let events = next(stream);
        // CS-14.46: inserts need none.
        assert!(!events[0].contains_key("fullDocumentBeforeChange"));
        assert_eq!(events[1].get_document("fullDocument").ok(), Some(&doc! {"_id": 1, "a": 2}));
        assert_eq!(events[1].get_document("fullDocumentBeforeChange").ok(), Some(&doc! {"_id": 1, "a": 1}));
        assert_eq!(events[1].keys().last().map(String::as_str), Some("fullDocumentBeforeChange"));
        assert_eq!(events[2].get_document("fullDocumentBeforeChange").ok(), Some(&doc! {"_id": 1, "a": 2}));
    }
    world.log(update("shop.orders", 1, doc! {"u": {"a": 2}}));
    let event = next(&mut when).remove(0);
    assert_eq!(
        (event.get("fullDocument"), event.get("fullDocumentBeforeChange")),
        (Some(&Bson::Null), Some(&Bson::Null))
    );
    let error = required.next_batch(ALL).unwrap_err();
    assert_eq!((error.code().number(), error.label()), (47, None));
}

/// CS-9.2.3, CS-9.3.2 and CS-14.48.
#[test]
fn images_within_a_transaction_are_those_of_each_operation() {
    let world = World::new();
    let options = doc! {"fullDocument": "required", "fullDocumentBeforeChange": "required"};
    let mut stream = world.watch("shop.orders", options, vec![]);
    let steps = (1..3).map(|a| update("shop.orders", 1, doc! {"u": {"a": a + 1}}));
    let entry = group(&steps.collect::<Vec<_>>(), doc! {}, in_transaction(4, ClusterTime::ZERO));
    let images = vec![doc! {"_id": 1, "a": 1}, doc! {"_id": 1, "a": 2}];
    let time = world.log_all(vec![(entry, images.clone())]);
    let events = next(&mut stream);
    for (event, at) in events.iter().zip(0..) {
        assert_eq!(event.get_document("fullDocumentBeforeChange").ok(), images.get(at));
        assert_eq!(
            event.get_document("fullDocument").unwrap().get_i32("a").ok(),
            i32::try_from(at).ok().map(|a| a + 2)
        );
    }
    assert_eq!(events.len(), 2);
    let entry = world.store.read_log(time, 0).unwrap().entries.remove(0);
    let entry = crate::entry::Entry::read(entry);
    assert_eq!([0, 1, 2].map(|index| entry.owner_of_image(index)), [Some(UUID), Some(UUID), None]);
}

/// CS-6.6.3 and CS-14.47.
#[test]
fn a_required_image_is_required_only_of_what_passes() {
    let world = World::new();
    let options = doc! {"fullDocumentBeforeChange": "required"};
    let filters = [
        doc! {"$match": {"ns.coll": "orders"}},
        doc! {"$match": {"$and": [{"ns.coll": {"$ne": "other"}}, {"fullDocumentBeforeChange.a": 1}]}},
        doc! {"$match": {"fullDocumentBeforeChange.a": 1}},
    ];
    let mut streams = filters.map(|filter| world.watch("shop.", options.clone(), vec![filter]));
    world.log(delete("shop.other", 1));
    world.log_with_image(delete("shop.orders", 1), doc! {"_id": 1, "a": 1});
    world.log_with_image(delete("shop.orders", 2), doc! {"_id": 2, "a": 2});
    let [by_name, both, by_image] = &mut streams;
    assert_eq!(next(by_name).len(), 2);
    assert_eq!(next(both).len(), 1);
    assert_eq!(by_image.next_batch(ALL).unwrap_err().code().number(), 47);
}

/// CS-6.7.1.
#[test]
fn an_event_that_no_reply_holds_is_an_error() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {"fullDocumentBeforeChange": "required"}, vec![]);
    world.log(insert("shop.orders", doc! {"_id": 0}));
    let before = next(&mut stream).remove(0);
    let big = doc! {"_id": 1, "a": "x".repeat(9 << 20)};
    world.log_with_image(replace("shop.orders", big.clone()), big);
    world.log(insert("shop.orders", doc! {"_id": 2}));
    assert_eq!(stream.next_batch(ALL).unwrap_err().code().number(), 10_334);
    // Resuming before it fails again, and gets past it without what makes it large.
    let options = || doc! {"fullDocumentBeforeChange": "required", "resumeAfter": token(&before)};
    let mut again = world.watch("shop.orders", options(), vec![]);
    assert_eq!(again.next_batch(ALL).unwrap_err().code().number(), 10_334);
    let mut smaller = world.watch("shop.orders", options(), vec![doc! {"$unset": "fullDocument"}]);
    assert_eq!(types(&next(&mut smaller)), "replace insert");
}

/// CS-6.7.2.
#[test]
fn the_largest_document_fits_an_event() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    let sized = |text: usize| doc! {"_id": 1, "a": "x".repeat(text)};
    let overhead = buffer(&sized(0)).into_bytes().len();
    let largest = sized((16 << 20) - overhead);
    assert_eq!(buffer(&largest).into_bytes().len(), 16 << 20);
    world.log(insert("shop.orders", largest));
    assert_eq!(next(&mut stream).len(), 1);
}

/// CS-6.8.2 to CS-6.8.6, CS-5.8.5 and CS-14.56.
#[test]
fn large_events_are_split() {
    let world = World::new();
    let stage = || vec![doc! {"$changeStreamSplitLargeEvent": {}}];
    let options = || doc! {"fullDocumentBeforeChange": "required"};
    let mut stream = world.watch("shop.orders", options(), stage());
    let big = doc! {"_id": 1, "a": "x".repeat(9 << 20)};
    world.log(insert("shop.orders", doc! {"_id": 0}));
    world.log_with_image(replace("shop.orders", big.clone()), big.clone());
    world.log(insert("shop.orders", doc! {"_id": 2}));
    let events = next(&mut stream);
    assert_eq!(events.len(), 4);
    assert!(!events[0].contains_key("splitEvent") && !events[3].contains_key("splitEvent"));
    assert_eq!(events[1].get_document("splitEvent").ok(), Some(&doc! {"fragment": 1, "of": 2}));
    assert_eq!(events[2].get_document("splitEvent").ok(), Some(&doc! {"fragment": 2, "of": 2}));
    // CS-6.8.3 and CS-6.8.4: small fields come first; those of the same size stand in the order of their names.
    assert_eq!(events[1].get_document("fullDocument").ok(), Some(&big));
    assert_eq!(events[2].keys().collect::<Vec<_>>(), ["_id", "splitEvent", "fullDocumentBeforeChange"]);
    assert!(
        events.windows(2).all(|pair| token(&pair[0]).get_str("_data").ok() < token(&pair[1]).get_str("_data").ok())
    );
    assert!(events[1].contains_key("operationType") && events[1].contains_key("ns") && !events[2].contains_key("ns"));
    // CS-6.8.6: stages before it see the whole event.
    let whole = doc! {"$set": {"both": {"$eq": ["$fullDocument", "$fullDocumentBeforeChange"]}}};
    let start = doc! {"fullDocumentBeforeChange": "required", "resumeAfter": token(&events[0])};
    let mut marked = world.watch("shop.orders", start, vec![whole, stage().remove(0)]);
    assert_eq!(next(&mut marked)[0].get_bool("both").ok(), Some(true));
    // CS-6.8.5: fragments count as documents of a batch.
    let start = doc! {"fullDocumentBeforeChange": "required", "resumeAfter": token(&events[0])};
    let mut one = world.watch("shop.orders", start, stage());
    for expected in &events[1..] {
        assert_eq!(trees(&one.next_batch(limit(1)).unwrap()), std::slice::from_ref(expected));
    }
    let resume = |event: &bson::Document| {
        let mut options = options();
        options.insert("resumeAfter", token(event));
        options
    };
    for (event, at) in events.iter().zip(0..) {
        let mut stream = world.watch("shop.orders", resume(event), stage());
        assert_eq!(next(&mut stream), events[at + 1..]);
    }
    let error = world.try_watch("shop.orders", resume(&events[1]), vec![]).err().unwrap();
    assert_eq!(error.code().number(), 280);
    let mut smaller = world.watch("shop.orders", doc! {"resumeAfter": token(&events[1])}, stage());
    assert_eq!(smaller.next_batch(ALL).unwrap_err().code().number(), 280);
}
