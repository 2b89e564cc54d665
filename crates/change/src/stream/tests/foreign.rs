//! Tokens that this server did not make, or would not make any more: older versions, other servers, the future.

use bson::doc;
use millstream_value::ClusterTime;

use super::*;
use crate::token::{Detail, EventName};

/// What names an event, in the words of another version.
fn older(event: &bson::Document, version: u8) -> bson::Document {
    let parts = Token::from_doc(buffer(&token(event)).as_doc()).unwrap().read().unwrap();
    let operation = event.get_str("operationType").unwrap();
    let key = event.get_document("documentKey").map(buffer);
    let detail = key.as_ref().map_or(Detail::None, |key| Detail::Key(key.as_doc()));
    let (time, index, uuid) = (parts.time, parts.index, parts.uuid);
    let from_invalidate = operation == "invalidate";
    let name = EventName { time, version, index, from_invalidate, uuid, operation, detail, fragment: None };
    tree(name.token().to_doc().as_bytes())
}

/// CS-5.2.3, CS-5.8.1 and CS-14.3: inside of a group, and what follows has tokens as they are made today.
#[test]
fn tokens_of_older_versions_are_found() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    let operations: Vec<_> = (0..5_i64).map(|id| insert("shop.orders", doc! {"_id": id})).collect();
    world.log(group(&operations, doc! {}, doc! {}));
    world.log(update("shop.orders", 1, doc! {"u": {"a": 1}}));
    let events = next(&mut stream);
    for version in [0, 1] {
        for (event, at) in events.iter().zip(1..) {
            let old = older(event, version);
            let mut resumed = world.watch("shop.orders", doc! {"resumeAfter": &old}, vec![]);
            assert_eq!(tree(resumed.post_batch_token().as_bytes()), old);
            assert_eq!(next(&mut resumed), events[at..], "version {version}, after {at}");
        }
    }
}

/// CS-5.2.3 and CS-5.7.1: an invalidation has the version of the token that is resumed after, and can be started after.
#[test]
fn an_old_drop_is_followed_by_an_old_invalidation() {
    let world = World::new();
    let mut stream = world.watch("shop.orders", doc! {}, vec![]);
    world.log(command("shop", doc! {"drop": "orders"}, None));
    world.log(insert("shop.orders", doc! {"_id": 1}));
    let events = next(&mut stream);
    let mut resumed = world.watch("shop.orders", doc! {"resumeAfter": older(&events[0], 1)}, vec![]);
    let invalidation = next(&mut resumed).remove(0);
    assert_eq!(token(&invalidation), older(&events[1], 1));
    let mut anew = world.watch("shop.orders", doc! {"startAfter": token(&invalidation)}, vec![]);
    assert_eq!(types(&next(&mut anew)), "insert");
}

fn named(time: ClusterTime, uuid: [u8; 16]) -> bson::Document {
    let key = buffer(&doc! {"_id": 1});
    let (operation, detail) = ("delete", Detail::Key(key.as_doc()));
    let (version, index, from_invalidate) = (2, 0, false);
    let name = EventName { time, version, index, from_invalidate, uuid: Some(uuid), operation, detail, fragment: None };
    tree(name.token().to_doc().as_bytes())
}

/// CS-5.8.6, CS-5.8.7 and CS-5.9.4: neither the future nor another server is refused before something later comes.
#[test]
fn what_this_server_did_not_log_is_not_found() {
    let world = World::new();
    let now = world.log(insert("shop.orders", doc! {"_id": 1}));
    let far = ClusterTime::new(u32::MAX - 1, 1);
    let open = |token| world.watch("shop.orders", doc! {"resumeAfter": token}, vec![]);
    let (mut soon, mut never) = (open(named(now.next(), UUID)), open(named(far, UUID)));
    // The event of this very time sorts behind it: a delete, and an insert.
    let mut other = open(named(now, [9; 16]));
    for stream in [&mut soon, &mut never, &mut other] {
        assert!(next(stream).is_empty());
    }
    world.log(insert("shop.orders", doc! {"_id": 2}));
    assert!(next(&mut never).is_empty());
    for stream in [&mut soon, &mut other] {
        let error = stream.next_batch(ALL).unwrap_err();
        assert_eq!((error.code().number(), error.label()), (280, Some("NonResumableChangeStreamError")));
    }
}
