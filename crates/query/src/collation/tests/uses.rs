//! Everything that compares texts asks the collation.

use bson::{Bson, Document, bson, doc};
use millstream_value::{Doc, DocBuf, from_bson, from_bson_document, to_bson, to_bson_document};

use super::collation;
use crate::Result;
use crate::expression::{Expression, Scope};
use crate::predicate::Predicate;
use crate::sort::Sort;
use crate::stage::{Pipeline, Place};
use crate::update::{Outcome, Update};

fn loose() -> Scope {
    Scope { collation: Some(collation(doc! {"locale": "en", "strength": 2})), ..Scope::default() }
}

/// What a filter says without and with the collation.
fn matches(filter: Document, document: Document) -> (bool, bool) {
    let (filter, document) = (from_bson_document(&filter), from_bson_document(&document));
    let says = |scope| Predicate::parse(filter.as_doc(), &scope).unwrap().matches(document.as_doc()).unwrap();
    (says(Scope::default()), says(loose()))
}

#[test]
fn predicates() {
    let upper = || doc! {"a": "ABC", "n": 1, "l": ["X", {"k": "Y"}]};
    for filter in [
        doc! {"a": "abc"},
        doc! {"a": {"$eq": "Abc"}},
        doc! {"a": {"$gte": "abc", "$lte": "abc"}},
        doc! {"a": {"$in": ["abc", 5]}},
        doc! {"a": {"$in": ["b", "c", "d", "e", "f", "g", "h", "i", "abc"]}},
        doc! {"a": {"$not": {"$ne": "abc"}}},
        doc! {"a": {"$not": {"$nin": ["abc"]}}},
        doc! {"l": "x"},
        doc! {"l": ["x", {"k": "y"}]},
        doc! {"l": {"$all": ["x"]}},
        doc! {"l": {"$elemMatch": {"k": "y"}}},
        doc! {"l": {"$elemMatch": {"$eq": "x"}}},
        doc! {"$expr": {"$eq": ["$a", "abc"]}},
        doc! {"$or": [{"a": "abc"}, {"n": 2}]},
    ] {
        assert_eq!(matches(filter.clone(), upper()), (false, true), "{filter}");
    }
    for filter in [doc! {"a": {"$ne": "abc"}}, doc! {"a": {"$nin": ["abc"]}}] {
        assert_eq!(matches(filter.clone(), upper()), (true, false), "{filter}");
    }
    // Names of fields, regular expressions and what is no text stay as they are.
    for filter in [doc! {"A": "ABC"}, doc! {"a": {"$regex": "^abc"}}, doc! {"l.1": {"K": "Y"}}, doc! {"n": 2}] {
        assert_eq!(matches(filter.clone(), upper()), (false, false), "{filter}");
    }
    assert_eq!(matches(doc! {"n": 1.0}, upper()), (true, true));
}

#[test]
fn conditions_on_texts_are_told_apart() {
    let filter = from_bson_document(&doc! {"a": "x", "b": {"$in": [1, {"k": "x"}]}, "c": {"$lt": "x"}, "d": 1});
    let predicate = Predicate::parse(filter.as_doc(), &loose()).unwrap();
    let compare = predicate.conditions().iter().map(|c| (c.path.clone(), c.compares_texts())).collect::<Vec<_>>();
    let expected = [("a", true), ("b", true), ("c", true), ("d", false)].map(|(path, texts)| (path.to_owned(), texts));
    assert_eq!(compare, expected);
}

fn value(expression: Bson, scope: &Scope) -> Bson {
    let root = from_bson_document(&doc! {"a": "ABC", "l": ["b", "A", "C"], "docs": [{"k": "b"}, {"k": "A"}]});
    to_bson(&Expression::parse(&from_bson(&expression), scope).unwrap().eval(root.as_doc()).unwrap().unwrap())
}

#[test]
fn expressions() {
    for (expression, plain, collated) in [
        (bson!({"$eq": ["$a", "abc"]}), bson!(false), bson!(true)),
        (bson!({"$eq": ["ABC", "abc"]}), bson!(false), bson!(true)),
        (bson!({"$cmp": ["$a", "abc"]}), bson!(-1), bson!(0)),
        (bson!({"$lt": ["b", "$a"]}), bson!(false), bson!(false)),
        (bson!({"$gt": ["B", {"$toLower": "$a"}]}), bson!(false), bson!(true)),
        (bson!({"$in": ["B", "$l"]}), bson!(false), bson!(true)),
        (bson!({"$indexOfArray": ["$l", "a"]}), bson!(-1), bson!(1)),
        (bson!({"$max": "$l"}), bson!("b"), bson!("C")),
        (bson!({"$min": ["b", "C"]}), bson!("C"), bson!("b")),
        (bson!({"$maxN": {"n": 1, "input": "$l"}}), bson!(["b"]), bson!(["C"])),
        (bson!({"$sortArray": {"input": "$l", "sortBy": 1}}), bson!(["A", "C", "b"]), bson!(["A", "b", "C"])),
        (
            bson!({"$sortArray": {"input": "$docs", "sortBy": {"k": -1}}}),
            bson!([{"k": "b"}, {"k": "A"}]),
            bson!([{"k": "b"}, {"k": "A"}]),
        ),
        (bson!({"$setUnion": ["$l", ["a"]]}), bson!(["A", "C", "a", "b"]), bson!(["A", "b", "C"])),
        (bson!({"$setIntersection": ["$l", ["a"]]}), bson!([]), bson!(["A"])),
        (bson!({"$setDifference": ["$l", ["a"]]}), bson!(["b", "A", "C"]), bson!(["b", "C"])),
        (bson!({"$setIsSubset": [["a"], "$l"]}), bson!(false), bson!(true)),
        (bson!({"$setEquals": [["a", "B", "c"], "$l"]}), bson!(false), bson!(true)),
        (bson!({"$filter": {"input": "$l", "cond": {"$eq": ["$$this", "a"]}}}), bson!([]), bson!(["A"])),
        // These look at the text itself.
        (bson!({"$indexOfBytes": ["$a", "bc"]}), bson!(-1), bson!(-1)),
        (bson!({"$strcasecmp": ["é", "e"]}), bson!(1), bson!(1)),
    ] {
        assert_eq!(value(expression.clone(), &Scope::default()), plain, "{expression}");
        assert_eq!(value(expression.clone(), &loose()), collated, "{expression}");
    }
}

fn run(docs: &[Document], stages: &[Document]) -> Vec<Document> {
    let stages: Vec<_> = stages.iter().map(|stage| from_bson_document(stage).into()).collect();
    let pipeline = Pipeline::parse(&stages, &loose(), Place::Aggregate).unwrap();
    let docs: Vec<DocBuf> = docs.iter().map(from_bson_document).collect();
    let found: Result<Vec<_>> = pipeline.run(docs.into_iter().map(Ok)).collect();
    found.unwrap().iter().map(|doc| to_bson_document(doc.as_doc())).collect()
}

#[test]
fn stages() {
    let docs =
        [doc! {"_id": 1, "a": "b"}, doc! {"_id": 2, "a": "A"}, doc! {"_id": 3, "a": "B"}, doc! {"_id": 4, "a": "c"}];
    let ids = |found: Vec<Document>| found.iter().map(|doc| doc.get_i32("_id").unwrap()).collect::<Vec<_>>();
    assert_eq!(ids(run(&docs, &[doc! {"$sort": {"a": 1, "_id": -1}}])), [2, 3, 1, 4]);
    assert_eq!(ids(run(&docs, &[doc! {"$match": {"a": "B"}}])), [1, 3]);
    assert_eq!(
        run(
            &docs,
            &[doc! {"$group": {
                "_id": "$a", "set": {"$addToSet": "$a"}, "all": {"$push": "$a"}, "least": {"$min": "$a"},
            }}]
        ),
        [
            doc! {"_id": "b", "set": ["b"], "all": ["b", "B"], "least": "b"},
            doc! {"_id": "A", "set": ["A"], "all": ["A"], "least": "A"},
            doc! {"_id": "c", "set": ["c"], "all": ["c"], "least": "c"},
        ]
    );
    assert_eq!(
        run(
            &docs,
            &[doc! {"$group": {
                "_id": null, "most": {"$maxN": {"n": 2, "input": "$a"}}, "top": {"$top": {"sortBy": {"a": 1, "_id": 1}, "output": "$_id"}},
            }}]
        ),
        [doc! {"_id": null, "most": ["c", "b"], "top": 2}]
    );
    assert_eq!(run(&docs, &[doc! {"$sortByCount": "$a"}])[0], doc! {"_id": "b", "count": 2});
    assert_eq!(
        run(&docs, &[doc! {"$bucket": {"groupBy": "$a", "boundaries": ["a", "B", "d"]}}]),
        [doc! {"_id": "a", "count": 1}, doc! {"_id": "B", "count": 3}]
    );
    let facet = run(&docs, &[doc! {"$facet": {"f": [{"$match": {"a": "C"}}]}}]);
    assert_eq!(facet, [doc! {"f": [{"_id": 4, "a": "c"}]}]);
}

#[test]
fn sort_orders_differ_by_it() {
    let spec = from_bson_document(&doc! {"a": 1});
    let (plain, collated) = (Sort::parse(spec.as_doc(), &Scope::default()), Sort::parse(spec.as_doc(), &loose()));
    assert_ne!(plain.unwrap(), collated.unwrap());
}

/// The document after an update under the collation.
fn updated(before: Document, update: Document, filters: &[Document]) -> Document {
    let filters: Vec<DocBuf> = filters.iter().map(from_bson_document).collect();
    let filters: Vec<Doc<'_>> = filters.iter().map(DocBuf::as_doc).collect();
    let update = Update::parse(&from_bson(&update.into()), &filters, &loose()).unwrap();
    match update.apply(from_bson_document(&before).as_doc(), None, false).unwrap() {
        Outcome::Unchanged => before,
        Outcome::Changed { after, .. } => to_bson_document(after.as_doc()),
    }
}

#[test]
fn updates() {
    let before = || doc! {"_id": 1, "s": "b", "l": ["A", "b"]};
    for (update, after) in [
        (doc! {"$addToSet": {"l": "a"}}, before()),
        (doc! {"$addToSet": {"l": {"$each": ["c", "C"]}}}, doc! {"_id": 1, "s": "b", "l": ["A", "b", "c"]}),
        (doc! {"$pull": {"l": "a"}}, doc! {"_id": 1, "s": "b", "l": ["b"]}),
        (doc! {"$pull": {"l": {"$in": ["B", 1]}}}, doc! {"_id": 1, "s": "b", "l": ["A"]}),
        (doc! {"$pullAll": {"l": ["a", "B"]}}, doc! {"_id": 1, "s": "b", "l": []}),
        (doc! {"$max": {"s": "C"}}, doc! {"_id": 1, "s": "C", "l": ["A", "b"]}),
        (doc! {"$min": {"s": "C"}}, before()),
        (doc! {"$max": {"s": "B"}}, before()),
        (
            doc! {"$push": {"l": {"$each": ["C", "aa"], "$sort": 1}}},
            doc! {"_id": 1, "s": "b", "l": ["A", "aa", "b", "C"]},
        ),
    ] {
        assert_eq!(updated(before(), update.clone(), &[]), after, "{update}");
    }
    let changed = updated(before(), doc! {"$set": {"l.$[e]": 0}}, &[doc! {"e": "B"}]);
    assert_eq!(changed, doc! {"_id": 1, "s": "b", "l": ["A", 0]});
}
