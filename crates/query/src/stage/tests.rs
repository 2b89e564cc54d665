//! Pipelines: parsing, running, and the places where a stage may stand.

use bson::{Document, doc};
use millstream_value::{from_bson_document, to_bson_document};

use super::*;

fn parse(stages: &[Document], place: Place) -> Result<Pipeline> {
    let stages: Vec<Value<'static>> = stages.iter().map(|stage| from_bson_document(stage).into()).collect();
    Pipeline::parse(&stages, &Scope::at(7), place)
}

fn run(docs: &[Document], stages: &[Document]) -> Result<Vec<Document>> {
    let docs: Vec<DocBuf> = docs.iter().map(from_bson_document).collect();
    let pipeline = parse(stages, Place::Aggregate)?;
    pipeline.run(docs.into_iter().map(Ok)).map(|doc| Ok(to_bson_document(doc?.as_doc()))).collect()
}

fn numbers(count: i32) -> Vec<Document> {
    (0..count).map(|n| doc! {"_id": n, "k": n % 3}).collect()
}

fn code(stages: &[Document], place: Place) -> i32 {
    parse(stages, place).unwrap_err().code.number()
}

#[test]
fn rows_are_sorted_and_found() {
    assert!(STAGES.is_sorted_by_key(|row| row.name));
    assert!(STAGES.iter().all(|row| table::find(row.name).is_some()));
}

#[test]
fn sort_and_limit_keep_the_order_of_equals() {
    let sort = doc! {"$sort": {"k": -1}};
    let all = run(&numbers(9), std::slice::from_ref(&sort)).unwrap();
    let ids: Vec<i32> = all.iter().map(|doc| doc.get_i32("_id").unwrap()).collect();
    assert_eq!(ids, [2, 5, 8, 1, 4, 7, 0, 3, 6]);
    assert_eq!(run(&numbers(9), &[sort, doc! {"$limit": 4}]).unwrap(), all[..4]);
}

#[test]
fn groups_come_in_order_of_arrival() {
    let found = run(&numbers(7), &[doc! {"$group": {"_id": "$k", "n": {"$sum": 1}}}]).unwrap();
    assert_eq!(found, [doc! {"_id": 0, "n": 3}, doc! {"_id": 1, "n": 2}, doc! {"_id": 2, "n": 2}]);
    let found = run(&numbers(7), &[doc! {"$sortByCount": {"$mod": ["$_id", 2]}}]).unwrap();
    assert_eq!(found, [doc! {"_id": 0, "count": 4}, doc! {"_id": 1, "count": 3}]);
}

#[test]
fn skip_limit_and_count() {
    let found = run(&numbers(9), &[doc! {"$skip": 7}, doc! {"$limit": 5}, doc! {"$count": "n"}]).unwrap();
    assert_eq!(found, [doc! {"n": 2}]);
    assert_eq!(run(&[], &[doc! {"$count": "n"}]).unwrap(), Vec::<Document>::new());
}

#[test]
fn redact_goes_level_by_level() {
    let docs = [doc! {"_id": 1, "l": 1, "in": {"l": 5, "x": 1}, "list": [{"l": 1}, {"l": 9}, 3]}];
    let verdict = doc! {"$cond": [{"$lt": ["$l", 3]}, "$$DESCEND", "$$PRUNE"]};
    let found = run(&docs, &[doc! {"$redact": verdict}]).unwrap();
    assert_eq!(found, [doc! {"_id": 1, "l": 1, "list": [{"l": 1}, 3]}]);
}

#[test]
fn unwind_keeps_what_it_is_told_to() {
    let docs = [doc! {"_id": 1, "a": [1, 2]}, doc! {"_id": 2, "a": []}, doc! {"_id": 3}, doc! {"_id": 4, "a": 7}];
    let found = run(&docs, &[doc! {"$unwind": "$a"}]).unwrap();
    assert_eq!(found, [doc! {"_id": 1, "a": 1}, doc! {"_id": 1, "a": 2}, doc! {"_id": 4, "a": 7}]);
    let keep = doc! {"$unwind": {"path": "$a", "preserveNullAndEmptyArrays": true}};
    assert_eq!(run(&docs, &[keep]).unwrap().len(), 5);
}

#[test]
fn samples_have_their_size() {
    let found = run(&numbers(50), &[doc! {"$sample": {"size": 5}}]).unwrap();
    let ids: std::collections::BTreeSet<i32> = found.iter().map(|doc| doc.get_i32("_id").unwrap()).collect();
    assert_eq!(ids.len(), 5);
}

#[test]
fn places_decide_what_is_allowed() {
    let matching = || doc! {"$match": {"a": 1}};
    let limit = || doc! {"$limit": 1};
    // CS-6.1.1.
    assert_eq!(code(&[limit()], Place::ChangeStream), 20);
    assert_eq!(code(&[doc! {"$changeStream": {}}, limit()], Place::Aggregate), 20);
    assert_eq!(code(&[doc! {"$changeStream": {}}, doc! {"$nope": 1}], Place::Aggregate), 40324);
    // CS-3.1.3.
    assert_eq!(code(&[matching(), doc! {"$changeStream": {}}], Place::Aggregate), 40602);
    assert_eq!(code(&[matching()], Place::Update), 72);
    assert_eq!(code(&[doc! {"$facet": {"a": [{"$facet": {"b": []}}]}}], Place::Aggregate), 40600);
    // CS-14.65: four places, four codes (the fourth is a view's, which is no place here).
    let nested = |stage: &str| doc! {stage: {"from": "c", "coll": "c", "as": "x", "pipeline": [{"$changeStream": {}}]}};
    assert_eq!(code(&[nested("$lookup")], Place::Aggregate), 51_047);
    assert_eq!(code(&[nested("$unionWith")], Place::Aggregate), 31_441);
    for stages in [vec![doc! {"$changeStream": {}}], vec![limit(), doc! {"$changeStream": {}}]] {
        assert_eq!(code(&[doc! {"$facet": {"a": stages}}], Place::Aggregate), 40600);
    }
    assert_eq!(code(&[doc! {"$lookup": {"from": "c", "pipeline": []}}], Place::Aggregate), 238);
    // CS-6.8.1.
    let split = || doc! {"$changeStreamSplitLargeEvent": {}};
    assert_eq!(code(&[split()], Place::Aggregate), 20);
    assert_eq!(code(&[doc! {"$changeStream": {}}, split(), matching()], Place::Aggregate), 7_182_802);
    let stream = [doc! {"$changeStream": {"fullDocument": "updateLookup"}}, matching(), split()];
    let pipeline = parse(&stream, Place::Aggregate).unwrap();
    assert_eq!(pipeline.change_stream().unwrap().str("fullDocument"), Some("updateLookup"));
    assert!(pipeline.leading_match().is_some() && pipeline.splits_large_events());
    assert!(pipeline.without_first(1).is_empty());
}

#[test]
fn the_prefix_is_what_a_plan_can_take() {
    let stages = [doc! {"$match": {"a": 1}}, doc! {"$sort": {"a": 1}}, doc! {"$limit": 3}, doc! {"$skip": 1}];
    let pipeline = parse(&stages, Place::Aggregate).unwrap();
    let prefix = pipeline.prefix();
    assert_eq!((prefix.stages, prefix.skip, prefix.limit), (3, None, Some(3)));
    assert!(prefix.predicate.is_some() && prefix.sort.is_some());
}

#[test]
fn single_documents_go_through() {
    let stages = [doc! {"$match": {"a": 1}}, doc! {"$set": {"b": 2}}, doc! {"$project": {"b": 1}}];
    let pipeline = parse(&stages, Place::ChangeStream).unwrap();
    let one =
        |doc| pipeline.apply_one(from_bson_document(&doc).as_doc()).unwrap().map(|doc| to_bson_document(doc.as_doc()));
    assert_eq!(one(doc! {"_id": 1, "a": 1}), Some(doc! {"_id": 1, "b": 2}));
    assert_eq!(one(doc! {"_id": 1, "a": 2}), None);
}

#[test]
fn statistics_come_first_and_take_a_document() {
    let stage = doc! {"$collStats": {"count": {}}};
    let pipeline = parse(std::slice::from_ref(&stage), Place::Aggregate).unwrap();
    assert!(pipeline.coll_stats.is_some());
    assert_eq!(code(&[doc! {"$match": {}}, stage], Place::Aggregate), 40602);
    assert_eq!(code(&[doc! {"$collStats": 1}], Place::Aggregate), 5_447_000);
}
