//! Updates: their results, and the deltas that describe them.

use bson::{Bson, Document, doc};
use millstream_value::{from_bson, from_bson_document, to_bson, to_bson_document};

use super::delta::{apply_delta, describe};
use super::*;

/// What an update did to a document.
#[derive(Debug, PartialEq)]
enum Done {
    Nothing,
    /// The document, the updated fields and the removed ones.
    Update(Document, Document, Vec<String>),
    Replace(Document),
}

fn run_at(before: &Document, update: &Bson, filters: &[Document], index: Option<usize>) -> Result<Done> {
    let filters: Vec<DocBuf> = filters.iter().map(from_bson_document).collect();
    let filters: Vec<Doc<'_>> = filters.iter().map(DocBuf::as_doc).collect();
    let update = Update::parse(&from_bson(update), &filters, &Scope::at(1_000))?;
    let before = from_bson_document(before);
    let (after, delta) = match update.apply(before.as_doc(), Some(Position { index }), false)? {
        Outcome::Unchanged => return Ok(Done::Nothing),
        Outcome::Changed { after, delta: None } => return Ok(Done::Replace(to_bson_document(after.as_doc()))),
        Outcome::Changed { after, delta: Some(delta) } => (after, delta),
    };
    assert_eq!(apply_delta(before.as_doc(), delta.as_doc()), after, "the delta leads to the document");
    let description = describe(delta.as_doc());
    let removed = description.removed_fields.as_doc().values();
    let removed = removed.map(|path| path.as_str().unwrap_or_default().to_owned()).collect();
    assert!(description.truncated_arrays.is_empty(), "operators never truncate (CS-2.4.1)");
    Ok(Done::Update(to_bson_document(after.as_doc()), to_bson_document(description.updated_fields.as_doc()), removed))
}

fn run(before: Document, update: Document) -> Result<Done> {
    run_at(&before, &update.into(), &[], None)
}

/// The updated and removed fields of an update of the document that CS-2.4 uses.
fn reported(update: Document) -> (Document, Vec<String>) {
    reported_with(update, &[])
}

fn reported_with(update: Document, filters: &[Document]) -> (Document, Vec<String>) {
    let before = doc! {"_id": 1, "a": 1, "b": {"c": 1}, "arr": [10, 20, 30]};
    match run_at(&before, &update.into(), filters, None).unwrap() {
        Done::Update(_, updated, removed) => (updated, removed),
        other => panic!("an update was expected, not {other:?}"),
    }
}

fn updated(update: Document, fields: Document) {
    assert_eq!(reported(update), (fields, vec![]));
}

fn code(update: Document) -> i32 {
    run(doc! {"_id": 1, "a": 1, "b": {"c": 1}, "arr": [10, 20, 30]}, update).unwrap_err().code.number()
}

#[test]
fn smallest_path_is_reported() {
    // CS-2.4, row by row.
    updated(doc! {"$set": {"a": 2}}, doc! {"a": 2});
    updated(doc! {"$set": {"b.d": 2}}, doc! {"b.d": 2});
    updated(doc! {"$set": {"x.y.z": 1}}, doc! {"x": {"y": {"z": 1}}});
    updated(doc! {"$set": {"b": {"c": 2}}}, doc! {"b": {"c": 2}});
    assert_eq!(reported(doc! {"$unset": {"b.c": ""}}), (doc! {}, vec!["b.c".to_owned()]));
    updated(doc! {"$unset": {"arr.1": ""}}, doc! {"arr.1": null});
    updated(doc! {"$set": {"arr.1": 5}}, doc! {"arr.1": 5});
    updated(doc! {"$set": {"arr.5": 9}}, doc! {"arr.5": 9});
    updated(doc! {"$inc": {"arr.0": 1}}, doc! {"arr.0": 11});
    updated(doc! {"$push": {"arr": 40}}, doc! {"arr.3": 40});
    updated(doc! {"$push": {"arr": {"$each": [40, 50]}}}, doc! {"arr.3": 40, "arr.4": 50});
    updated(doc! {"$push": {"arr": {"$each": [5], "$position": 0}}}, doc! {"arr": [5, 10, 20, 30]});
    updated(doc! {"$push": {"arr": {"$each": [5], "$sort": 1}}}, doc! {"arr": [5, 10, 20, 30]});
    updated(doc! {"$push": {"arr": {"$each": [40], "$slice": -3}}}, doc! {"arr": [20, 30, 40]});
    updated(doc! {"$push": {"fresh": 1}}, doc! {"fresh": [1]});
    updated(doc! {"$addToSet": {"arr": 40}}, doc! {"arr.3": 40});
    updated(doc! {"$pull": {"arr": 20}}, doc! {"arr": [10, 30]});
    updated(doc! {"$pop": {"arr": 1}}, doc! {"arr": [10, 20]});
    assert_eq!(reported(doc! {"$rename": {"a": "z"}}), (doc! {"z": 1}, vec!["a".to_owned()]));
    updated(doc! {"$inc": {"a": 1}, "$set": {"n": 1}}, doc! {"a": 2, "n": 1});
}

#[test]
fn several_elements_are_reported_as_the_array() {
    let zero = doc! {"$set": {"arr.$[e]": 0}};
    let one = [doc! {"e": 20}];
    assert_eq!(reported_with(zero.clone(), &one), (doc! {"arr.1": 0}, vec![]));
    let two = [doc! {"e": {"$gt": 10}}];
    assert_eq!(reported_with(zero, &two), (doc! {"arr": [10, 0, 0]}, vec![]));
    updated(doc! {"$inc": {"arr.$[]": 1}}, doc! {"arr": [11, 21, 31]});
    updated(doc! {"$min": {"arr.$[]": 20}}, doc! {"arr.2": 20});
}

#[test]
fn operators_run_in_path_order() {
    // CS-2.4.2: numbers as numbers, whatever the order sent.
    updated(doc! {"$set": {"z": 1, "n10": 1, "n9": 1}}, doc! {"n10": 1, "n9": 1, "z": 1});
    updated(doc! {"$set": {"10": 1, "9": 1}}, doc! {"9": 1, "10": 1});
    updated(doc! {"$set": {"x.b": 1, "x.a": 2}}, doc! {"x": {"a": 2, "b": 1}});
    updated(doc! {"$set": {"b.z": 1, "arr.4": 1}, "$inc": {"arr.3": 2}}, doc! {"arr.3": 2, "arr.4": 1, "b.z": 1});
}

#[test]
fn what_changes_nothing_is_no_change() {
    // CS-2.3.1 and CS-2.3.2.
    let before = || doc! {"_id": 1, "n": 1, "a": [1, 2]};
    for update in [
        doc! {"$set": {"n": 1}},
        doc! {"$inc": {"n": 0}},
        doc! {"$mul": {"n": 1}},
        doc! {"$min": {"n": 2}},
        doc! {"$max": {"n": 1.0}},
        doc! {"$bit": {"n": {"or": 1}}},
        doc! {"$pull": {"a": 9}},
        doc! {"$pullAll": {"a": [9]}},
        doc! {"$addToSet": {"a": 2.0}},
        doc! {"$unset": {"x.y": ""}},
        doc! {"$setOnInsert": {"x": 1}},
        doc! {"$rename": {"x": "y"}},
        doc! {"$set": {}},
        doc! {"_id": 1, "n": 1, "a": [1, 2]},
    ] {
        assert_eq!(run(before(), update.clone()).unwrap(), Done::Nothing, "{update}");
    }
    assert!(matches!(run(before(), doc! {"$set": {"n": 1.0}}).unwrap(), Done::Update(..)));
    // CS-2.3.3: without `_id` it is never recognised.
    assert_eq!(run(before(), doc! {"n": 1, "a": [1, 2]}).unwrap(), Done::Replace(before()));
}

#[test]
fn errors_have_their_codes() {
    for (expected, update) in [
        (40, doc! {"$set": {"a": 1}, "$inc": {"a": 1}}),
        (40, doc! {"$set": {"b": 1, "b.c": 2}}),
        (40, doc! {"$rename": {"a": "b.x"}, "$set": {"a": 1}}),
        (40, doc! {"$set": {"arr.$[]": 1, "arr.0": 2}}),
        (28, doc! {"$set": {"a.x": 1}}),
        (28, doc! {"$set": {"arr.x": 1}}),
        (28, doc! {"$pop": {"a.x": 1}}),
        (66, doc! {"$set": {"_id": 2}}),
        (66, doc! {"$unset": {"_id": 1}}),
        (66, doc! {"_id": 2}),
        (56, doc! {"$set": {"": 1}}),
        (52, doc! {"$set": {"$x": 1}}),
        (9, doc! {"$set": 5}),
        (9, doc! {"$nope": {"a": 1}}),
        (2, doc! {"$set": {"arr.$": 1}}),
        (2, doc! {"$set": {"x.$[]": 1}}),
        (2, doc! {"$set": {"a.$.b.$": 1}}),
        (2, doc! {"$set": {"arr.9999999": 1}}),
    ] {
        assert_eq!(code(update.clone()), expected, "{update}");
    }
    let unused = run_at(&doc! {"_id": 1}, &doc! {"$set": {"a": 1}}.into(), &[doc! {"x": 1}], None);
    assert_eq!(unused.unwrap_err().code.number(), 9);
}

#[test]
fn deep_paths_are_refused() {
    let path = vec!["a"; 100_000].join(".");
    assert_eq!(code(doc! {"$set": {path: 1}}), 15);
}

#[test]
fn the_positional_element_is_the_one_that_matched() {
    let before = doc! {"_id": 1, "docs": [{"k": 1}, {"k": 2}]};
    let done = run_at(&before, &doc! {"$set": {"docs.$.v": 5}}.into(), &[], Some(1)).unwrap();
    let after = doc! {"_id": 1, "docs": [{"k": 1}, {"k": 2, "v": 5}]};
    assert_eq!(done, Done::Update(after, doc! {"docs.1.v": 5}, vec![]));
    let both = doc! {"$set": {"docs.$.v": 5, "docs.1.w": 6}};
    let Done::Update(_, updated, _) = run_at(&before, &both.into(), &[], Some(1)).unwrap() else { panic!() };
    assert_eq!(updated, doc! {"docs.1.v": 5, "docs.1.w": 6});
    let twice = doc! {"$set": {"docs.$": 5, "docs.1": 6}};
    assert_eq!(run_at(&before, &twice.into(), &[], Some(1)).unwrap_err().code.number(), 40);
}

#[test]
fn pushes_sort_by_fields() {
    let before = doc! {"_id": 1, "s": [{"k": 2, "o": {"x": 1}}, {"k": 1, "o": {"x": 9}}]};
    let push = doc! {"$push": {"s": {"$each": [{"k": 2, "o": {"x": 0}}], "$sort": {"k": -1, "o.x": 1}}}};
    let Done::Update(_, updated, _) = run(before, push).unwrap() else { panic!() };
    assert_eq!(updated, doc! {"s": [{"k": 2, "o": {"x": 0}}, {"k": 2, "o": {"x": 1}}, {"k": 1, "o": {"x": 9}}]});
}

#[test]
fn pipelines_give_computed_deltas() {
    let pad = "x".repeat(50);
    let before = doc! {"_id": 1, "a": 1, "pad": &pad};
    let set = Bson::Array(vec![doc! {"$set": {"b": {"$add": ["$a", 1]}}}.into(), doc! {"$unset": "a"}.into()]);
    let done = run_at(&before, &set, &[], None).unwrap();
    let after = doc! {"_id": 1, "pad": &pad, "b": 2};
    assert_eq!(done, Done::Update(after, doc! {"b": 2}, vec!["a".to_owned()]));
    let root = Bson::Array(vec![doc! {"$replaceWith": {"x": 1}}.into()]);
    assert_eq!(run_at(&before, &root, &[], None).unwrap(), Done::Replace(doc! {"_id": 1, "x": 1}));
    let group = Bson::Array(vec![doc! {"$group": {"_id": 1}}.into()]);
    assert_eq!(run_at(&before, &group, &[], None).unwrap_err().code, Code::InvalidOptions);
}

#[test]
fn upserts_start_from_the_query() {
    let new = |query: Document, update: Document| {
        let predicate = Predicate::parse(from_bson_document(&query).as_doc(), &Scope::default())?;
        let update = Update::parse(&from_bson(&update.into()), &[], &Scope::default())?;
        update.new_document(&predicate).map(|doc| to_bson_document(doc.as_doc()))
    };
    let found = new(doc! {"k": 3, "o.p": 4, "_id": 9, "z": {"$gt": 1}}, doc! {"$setOnInsert": {"x": 1}}).unwrap();
    assert_eq!(found, doc! {"_id": 9, "k": 3, "o": {"p": 4}, "x": 1});
    assert_eq!(new(doc! {"k": 3}, doc! {"x": 1}).unwrap(), doc! {"x": 1});
    assert_eq!(new(doc! {"_id": 3}, doc! {"$set": {"_id": 4}}).unwrap_err().code, Code::ImmutableField);
    assert_eq!(new(doc! {"k": 3}, doc! {"$set": {"_id": [1]}}).unwrap_err().code, Code::InvalidIdField);
    assert_eq!(to_bson(&Value::Null), Bson::Null);
}

#[test]
fn updates_can_be_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<Update>();
    check::<Pipeline>();
}
