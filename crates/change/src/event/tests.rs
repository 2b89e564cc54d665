//! Events as they are assembled from entries of the log.

use bson::doc;
use millstream_storage::LogEntry;

use super::*;
use crate::entry::Entry;
use crate::testing::*;

fn read(bytes: Vec<u8>) -> Entry {
    Entry::read(LogEntry { time: millstream_value::ClusterTime::new(1_755_427_520, 1), bytes: bytes.into() })
}

fn event(bytes: Vec<u8>, expanded: bool) -> Vec<u8> {
    let entry = read(bytes);
    let change = entry.change(0).unwrap();
    shared(change, of(change).unwrap().unwrap(), Shape { expanded, raw_update: false }).to_vec()
}

#[test]
fn the_table_is_sorted() {
    assert!(EVENT_TYPES.is_sorted_by_key(|row| row.name));
}

/// CS-1.2.1 and CS-1.3.
#[test]
fn classic_events_have_their_fields_in_order() {
    let lamp = || doc! {"_id": 7, "item": "lamp", "qty": 2};
    let check = |bytes: Vec<u8>, expected: &str| {
        let event = event(bytes, false);
        assert_eq!(names(&event), expected);
        tree(&event)
    };
    let crud = "_id operationType clusterTime wallTime";
    let inserted = check(insert("shop.orders", lamp()), &format!("{crud} fullDocument ns documentKey"));
    assert_eq!(inserted.get_str("operationType").ok(), Some("insert"));
    assert_eq!(inserted.get_document("fullDocument").ok(), Some(&lamp()));
    assert_eq!(inserted.get_document("ns").ok(), Some(&doc! {"db": "shop", "coll": "orders"}));
    assert_eq!(inserted.get_document("documentKey").ok(), Some(&doc! {"_id": 7}));
    assert_eq!(inserted.get_timestamp("clusterTime").ok(), Some(bson::Timestamp { time: 1_755_427_520, increment: 1 }));
    assert_eq!(inserted.get_datetime("wallTime").unwrap().timestamp_millis(), 1_755_427_520_412);
    check(replace("shop.orders", lamp()), &format!("{crud} fullDocument ns documentKey"));
    check(delete("shop.orders", 7), &format!("{crud} ns documentKey"));
    let diff = doc! {"d": {"note": false}, "u": {"qty": 3}, "sship": {"u": {"city": "Oslo"}}, "stags": {"a": true, "u1": "new"}};
    let updated = check(update("shop.orders", 7, diff), &format!("{crud} ns documentKey updateDescription"));
    let expected = doc! {
        "updatedFields": {"qty": 3, "ship.city": "Oslo", "tags.1": "new"}, "removedFields": ["note"], "truncatedArrays": [],
    };
    assert_eq!(updated.get_document("updateDescription").ok(), Some(&expected));
    check(command("shop", doc! {"drop": "orders"}, None), &format!("{crud} ns"));
    let rename = doc! {"renameCollection": "shop.orders", "to": "shop.sold", "stayTemp": false};
    let renamed = check(command("shop", rename, None), &format!("to {crud} ns"));
    assert_eq!(renamed.get_document("to").ok(), Some(&doc! {"db": "shop", "coll": "sold"}));
    let dropped = check(command("shop", doc! {"dropDatabase": 1}, None), &format!("{crud} ns"));
    assert_eq!(dropped.get_document("ns").ok(), Some(&doc! {"db": "shop"}));
}

/// CS-1.5 and CS-1.6.
#[test]
fn expanded_events_say_more() {
    let crud = "_id operationType clusterTime collectionUUID wallTime";
    let check = |bytes: Vec<u8>, expected: &str| {
        let event = event(bytes, true);
        assert_eq!(names(&event), expected);
        tree(&event)
    };
    let diff = doc! {"sa": {"u": {"0": 2}}};
    let updated = check(update("shop.orders", 7, diff), &format!("{crud} ns documentKey updateDescription"));
    let description = updated.get_document("updateDescription").unwrap();
    assert_eq!(description.get_document("disambiguatedPaths").ok(), Some(&doc! {"a.0": ["a", "0"]}));

    let uuid = bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![9; 16] };
    let rename = doc! {"renameCollection": "shop.orders", "to": "shop.sold", "dropTarget": &uuid};
    let renamed = check(command("shop", rename, None), &format!("to {crud} ns operationDescription"));
    let expected = doc! {"to": {"db": "shop", "coll": "sold"}, "dropTarget": &uuid};
    assert_eq!(renamed.get_document("operationDescription").ok(), Some(&expected));

    let id_index = doc! {"v": 2, "key": {"_id": 1}, "name": "_id_"};
    let create = doc! {"create": "orders", "capped": true, "idIndex": &id_index};
    let created = check(command("shop", create, None), &format!("{crud} ns operationDescription nsType"));
    assert_eq!(created.get_document("operationDescription").ok(), Some(&doc! {"capped": true, "idIndex": &id_index}));
    assert_eq!(created.get_str("nsType").ok(), Some("collection"));

    let sku = doc! {"v": 2, "key": {"sku": 1}, "name": "sku_1"};
    let one = doc! {"createIndexes": "orders", "v": 2, "key": {"sku": 1}, "name": "sku_1"};
    let built = doc! {"commitIndexBuild": "orders", "indexBuildUUID": &uuid, "indexes": [&sku]};
    let dropped = command("shop", doc! {"dropIndexes": "orders", "index": "sku_1"}, Some(sku.clone()));
    for bytes in [command("shop", one, None), command("shop", built, None), dropped] {
        let event = check(bytes, &format!("{crud} ns operationDescription"));
        assert_eq!(event.get_document("operationDescription").ok(), Some(&doc! {"indexes": [&sku]}));
    }
    let arguments = doc! {"index": {"name": "sku_1", "hidden": true}};
    let mut modify = doc! {"collMod": "orders"};
    modify.extend(arguments.clone());
    let before = doc! {"collectionOptions_old": {"uuid": &uuid}, "indexOptions_old": {"hidden": false}};
    let event =
        check(command("shop", modify, Some(before)), &format!("{crud} ns operationDescription stateBeforeChange"));
    assert_eq!(event.get_document("operationDescription").ok(), Some(&arguments));
    let expected = doc! {"collectionOptions": {"uuid": &uuid}, "indexOptions": {"hidden": false}};
    assert_eq!(event.get_document("stateBeforeChange").ok(), Some(&expected));
}

/// CS-1.3.2 and CS-5.2.1.
#[test]
fn an_invalidation_has_four_fields() {
    let entry = read(command("shop", doc! {"drop": "orders"}, None));
    let change = entry.change(0).unwrap();
    let draft = Draft::new(change, of(change).unwrap().unwrap(), 2);
    let event = draft.invalidation();
    assert_eq!(names(&event), "_id operationType clusterTime wallTime");
    let cause = tree(&draft.assemble(Shape::default(), Images::default()));
    let data = |event: &bson::Document| token(event).get_str("_data").unwrap().to_owned();
    assert!(data(&tree(&event)) > data(&cause));
}

/// CS-2.1.2 and CS-3.4.9.
#[test]
fn what_makes_no_event() {
    let of = |bytes: Vec<u8>| of(read(bytes).change(0).unwrap()).map(|row| row.map(|row| row.name));
    assert_eq!(of(crate::entry::noop(STAMP, "periodic noop")).unwrap(), None);
    assert_eq!(of(command("shop", doc! {"startIndexBuild": "orders"}, None)).unwrap(), None);
    let broken = insert("shop.orders", doc! {"_id": 1, "$v": 1});
    let broken = broken.iter().zip(0..).map(|(byte, at)| if at == 12 { b'u' } else { *byte }).collect();
    assert_eq!(of(broken).unwrap_err().code().number(), 6_741_200);
}

/// Whatever is in the log, reading it does not panic.
#[test]
fn damaged_entries_are_errors() {
    let whole = group(&[insert("a.b", doc! {"_id": 1}), delete("a.b", 1)], doc! {}, doc! {});
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xFF] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let entry = read(bytes);
            let Ok(changes) = entry.changes() else { continue };
            for change in changes {
                if let Ok(Some(row)) = super::of(change) {
                    shared(change, row, Shape::default());
                }
            }
        }
    }
}
