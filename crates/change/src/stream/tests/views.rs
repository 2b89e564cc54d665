//! CS-1.7, CS-3.3.3 and CS-3.4.6: views, which are documents of `<db>.system.views` in the log.

use bson::{Bson, doc};

use super::*;

const HOME: &str = "shop.system.views";

fn definition(on: &str) -> bson::Document {
    doc! {"_id": "shop.cheap", "viewOn": on, "pipeline": [{"$match": {"qty": {"$lt": 5}}}]}
}

/// A view that comes, changes and goes.
fn log_a_life(world: &World) {
    world.log(insert(HOME, definition("orders")));
    world.log(replace(HOME, definition("sold")));
    world.log(delete(HOME, "shop.cheap"));
}

/// CS-1.7.1 and CS-1.4.5.
#[test]
fn views_make_expanded_events_of_databases_and_of_everything() {
    let world = World::new();
    let expanded = || doc! {"showExpandedEvents": true};
    let mut streams = ["shop.", ""].map(|scope| world.watch(scope, expanded(), vec![]));
    let hidden = ["shop.cheap", "shop.orders", "other."].map(|scope| world.watch(scope, expanded(), vec![]));
    let plain = ["shop.", ""].map(|scope| world.watch(scope, doc! {"showSystemEvents": true}, vec![]));
    log_a_life(&world);
    for mut stream in hidden.into_iter().chain(plain) {
        let batch = stream.next_batch(ALL).unwrap();
        assert!(batch.events.is_empty() && batch.at_end && !batch.closed);
    }
    for stream in &mut streams {
        let batch = stream.next_batch(ALL).unwrap();
        let fields = batch.events.iter().map(|event| names(event)).collect::<Vec<_>>();
        let common = "_id operationType clusterTime wallTime ns";
        let expected = ["operationDescription nsType", "operationDescription", ""];
        assert_eq!(fields, expected.map(|more| format!("{common} {more}").trim_end().to_owned()));
        let events = trees(&batch);
        assert_eq!(types(&events), "create modify drop");
        for (event, on) in events.iter().zip(["orders", "sold", ""]) {
            assert_eq!(event.get_document("ns").ok(), Some(&doc! {"db": "shop", "coll": "cheap"}));
            let mut described = definition(on);
            described.remove("_id");
            let described = Some(Bson::Document(described)).filter(|_| !on.is_empty());
            assert_eq!(event.get("operationDescription").cloned(), described);
        }
        assert_eq!(events[0].get_str("nsType").ok(), Some("view"));
    }
}

/// CS-1.6.9: their tokens name their place, also for the stream of everything.
#[test]
fn streams_resume_from_the_events_of_views() {
    let world = World::new();
    let options = doc! {"showExpandedEvents": true};
    let mut stream = world.watch("shop.", options.clone(), vec![]);
    log_a_life(&world);
    world.log(insert("shop.orders", doc! {"_id": 1}));
    let events = next(&mut stream);
    for (at, event) in events.iter().enumerate() {
        for scope in ["shop.", ""] {
            let mut options = options.clone();
            options.insert("resumeAfter", token(event));
            assert_eq!(next(&mut world.watch(scope, options, vec![])), events[at + 1..]);
        }
    }
    // CS-4.2.8: they have no UUID.
    let error = world.try_watch("shop.cheap", doc! {"resumeAfter": token(&events[0])}, vec![]).err().unwrap();
    assert_eq!(error.code().number(), 260);
}

/// A filter sees the events as they are shown, not the documents of `system.views`.
#[test]
fn filters_and_routing_go_by_the_event() {
    let world = World::new();
    let watch =
        |filter: bson::Document| world.watch("shop.", doc! {"showExpandedEvents": true}, vec![doc! {"$match": filter}]);
    let mut created = watch(doc! {"operationType": "create", "ns.coll": "cheap"});
    let mut inserted = watch(doc! {"operationType": "insert"});
    log_a_life(&world);
    assert!(created.subscription().is_ready());
    assert_eq!(types(&next(&mut created)), "create");
    assert_eq!(types(&next(&mut inserted)), "");
}

/// CS-3.4.6 and CS-1.7.2.
#[test]
fn system_events_show_the_home_of_views() {
    let world = World::new();
    let all = doc! {"showExpandedEvents": true, "showSystemEvents": true};
    let mut shown = world.watch("shop.", all, vec![]);
    let mut classic = world.watch("shop.", doc! {"showSystemEvents": true}, vec![]);
    let mut usual = world.watch("shop.", doc! {"showExpandedEvents": true}, vec![]);
    world.log(command("shop", doc! {"create": "system.views"}, None));
    log_a_life(&world);
    world.log(insert("shop.system.js", doc! {"_id": "f"}));
    world.log(insert("shop.system.users", doc! {"_id": 1}));
    world.log(command("shop", doc! {"drop": "system.views"}, None));
    assert_eq!(types(&next(&mut shown)), "create create modify drop insert drop");
    assert_eq!(types(&next(&mut classic)), "insert drop");
    assert_eq!(types(&next(&mut usual)), "create modify drop");
}

/// CS-3.4.5: only the collection of exactly that name holds views.
#[test]
fn collections_that_only_sound_like_it_are_plain() {
    let world = World::new();
    let mut stream = world.watch("shop.", doc! {"showExpandedEvents": true}, vec![]);
    world.log(insert("shop.my.system.views", definition("orders")));
    world.log(insert("shop.systems.views", definition("orders")));
    assert_eq!(types(&next(&mut stream)), "insert insert");
}
