//! Watchers of all scopes over random histories, killed and resumed (CS-16.4, CS-5.6.9).

use std::collections::{BTreeMap, BTreeSet};

use bson::{Document, doc};
use bytes::Bytes;
use millstream_change::token::Token;
use millstream_query::update::delta;
use millstream_value::{Doc, Namespace};

use super::mirror::Mirror;
use super::watcher::{Watcher, data, scope, whole_history};
use super::{Random, World, runs};
use crate::{Find, PREIMAGES};

const SCOPES: [&str; 6] = ["", "shop", "other", "shop.a", "shop.b", "other.c"];

fn options(random: &mut Random) -> Document {
    let mut options = doc! {"showRawUpdateDescription": random.percent(50)};
    if random.percent(40) {
        options.insert("showExpandedEvents", true);
    }
    if random.percent(30) {
        options.insert("fullDocument", "whenAvailable");
    }
    if random.percent(30) {
        options.insert("fullDocumentBeforeChange", "whenAvailable");
    }
    options
}

fn from_the_start() -> Document {
    doc! {"startAtOperationTime": bson::Timestamp { time: 1, increment: 1 }}
}

/// CS-16.4.2, 16.4.4 and CS-5.6.9: whatever it is resumed from, a stream is the one history.
#[test]
fn killed_and_resumed_watchers_see_the_one_history() {
    runs(12, |random| {
        let world = World::with(random.percent(50), *random.pick(&[3_000, 32 << 20]));
        let mut watchers: Vec<_> = (0..12)
            .map(|_| {
                let options = options(random);
                (
                    options.clone(),
                    Watcher::new(scope(SCOPES[random.below(SCOPES.len())]), options, from_the_start(), vec![]),
                )
            })
            .collect();
        for _ in 0..400 {
            if random.percent(50) {
                world.history(random, 1);
            }
            let at = random.below(watchers.len());
            watchers[at].1.turn(&world, random);
        }
        for (options, watcher) in &mut watchers {
            watcher.is_up_to_date = false;
            while !watcher.is_up_to_date {
                watcher.turn(&world, random);
            }
            let expected = whole_history(&world, &watcher.scope, options);
            assert!(
                watcher.events == expected,
                "{:?} {options}: {}",
                watcher.scope,
                difference(&watcher.events, &expected)
            );
        }
        assert!(world.db.transaction_counts().committed > 3);
    });
}

fn difference(seen: &[Bytes], expected: &[Bytes]) -> String {
    let at = seen.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let show = |events: &[Bytes]| events.get(at).map(|event| format!("{:?}", Doc::new(event)));
    format!("{} and {}, first at {at}:\n{:?}\n{:?}", seen.len(), expected.len(), show(seen), show(expected))
}

/// CS-2.8.1, CS-2.8.2, CS-2.8.3 and CS-2.8.7: a transaction is one moment, in which nothing else happens; its operations come
/// in their order. One that was aborted is not there.
#[test]
fn a_transaction_is_one_moment_of_the_history() {
    runs(8, |random| {
        let world = World::with(true, *random.pick(&[3_000, 32 << 20]));
        world.history(random, 300);
        let options = doc! {"showExpandedEvents": true, "showRawUpdateDescription": true};
        // The number of the transaction and the place in it, by time.
        let mut moments = BTreeMap::<_, Vec<(Option<i64>, u32)>>::new();
        for event in whole_history(&world, &scope(""), &options) {
            let event = Doc::new(&event);
            let token = Token::from_doc(event.doc("_id").unwrap()).unwrap().read().unwrap();
            let number = event.get("txnNumber").and_then(|number| number.as_integer());
            assert_eq!(number.is_some(), event.doc("lsid").is_some());
            moments.entry((token.time.seconds, token.time.increment)).or_default().push((number, token.index));
        }
        let numbers: BTreeSet<i64> = moments.values().filter_map(|moment| moment[0].0).collect();
        for moment in moments.values() {
            let number = moment[0].0;
            assert!(moment.iter().all(|other| other.0 == number));
            assert!(moment.iter().map(|other| other.1).eq(0..u32::try_from(moment.len()).unwrap()));
            assert!(number.is_some() || moment.len() == 1);
        }
        let of_transactions = moments.values().filter(|moment| moment[0].0.is_some());
        assert_eq!(of_transactions.clone().count(), numbers.len());
        assert!(u64::try_from(numbers.len()).unwrap() <= world.db.transaction_counts().committed);
        assert!(of_transactions.filter(|moment| moment.len() > 3).count() > 1, "no chains");
    });
}

/// CS-16.4.1: all events from the first entry on give the present documents.
#[test]
fn replaying_everything_gives_the_documents() {
    runs(12, |random| {
        let world = World::new();
        world.history(random, 250);
        for name in ["", "shop", "other"] {
            let events = whole_history(&world, &scope(name), &doc! {"showRawUpdateDescription": true});
            let mut mirror = Mirror::default();
            for event in &events {
                mirror.apply(Doc::new(event));
            }
            mirror.must_be(&Mirror::of(&world.db, &scope(name)));
        }
    });
}

/// CS-16.4.3: a narrower scope gives a part of a wider one, with the same bytes.
#[test]
fn a_narrow_scope_is_a_part_of_a_wide_one() {
    runs(8, |random| {
        let world = World::with(true, 32 << 20);
        world.history(random, 200);
        let options = options(random);
        let is_end = |event: &&Bytes| Doc::new(event).str("operationType") == Some("invalidate");
        let history = |name: &str| whole_history(&world, &scope(name), &options);
        let everything = history("");
        assert!(everything.windows(2).all(|pair| data(&pair[0]) < data(&pair[1])));
        for (narrow, wide) in [("shop", ""), ("other", ""), ("shop.a", "shop"), ("shop.a", ""), ("other.b", "other")] {
            let wide = history(wide);
            let mut rest = wide.iter();
            for event in history(narrow).iter().filter(|event| !is_end(event)) {
                assert!(rest.any(|other| other == event), "{:?} is not in the wider stream", Doc::new(event));
            }
        }
    });
}

/// CS-16.4.6: the image before a change, and the change, give the image after it, which is the next one's before.
#[test]
fn images_fit_together() {
    runs(8, |random| {
        let world = World::with(true, 32 << 20);
        world.history(random, 250);
        let options = doc! {
            "showRawUpdateDescription": true,
            "showExpandedEvents": true,
            "fullDocument": "whenAvailable",
            "fullDocumentBeforeChange": "whenAvailable",
        };
        // By collection, which keeps its UUID when it is renamed, and key.
        let mut present: BTreeMap<(Vec<u8>, Vec<u8>), Vec<u8>> = BTreeMap::new();
        let mut befores = Vec::new();
        for event in whole_history(&world, &scope(""), &options) {
            let event = Doc::new(&event);
            let (Some(uuid), Some(key)) = (event.element("collectionUUID"), event.doc("documentKey")) else { continue };
            let id = millstream_value::key::of(&key.get("_id").unwrap());
            let place = (uuid.bytes().to_vec(), id);
            let before = event.doc("fullDocumentBeforeChange").map(|doc| doc.as_bytes().to_vec());
            assert_eq!(before, present.remove(&place), "{event:?}");
            befores.extend(before.clone());
            let after = event.doc("fullDocument").map(|doc| doc.as_bytes().to_vec());
            if let (Some(raw), Some(before)) = (event.doc("rawUpdateDescription"), &before) {
                let after = after.as_deref().unwrap();
                assert_eq!(Doc::new(after), delta::apply_delta(Doc::new(before), raw.doc("diff").unwrap()).as_doc());
            }
            if let Some(after) = after {
                present.insert(place, after);
            }
        }
        assert!(befores.len() > 20);
        // They are shown in the same order, those of a transaction too (CS-9.2.3).
        let find = Find::all(super::predicate(&doc! {}));
        let stored = world.db.now().find(&Namespace::parse(PREIMAGES), find).unwrap();
        let stored = stored.map(|row| Doc::new(&row.unwrap()).doc("preImage").unwrap().as_bytes().to_vec());
        assert_eq!(stored.collect::<Vec<_>>(), befores);
    });
}
