//! What a predicate lets through, by example.

use std::ops::Bound;

use bson::{Bson, Decimal128, Regex, doc};

use super::*;
use crate::expression::Scope;

fn bytes(value: &bson::Document) -> DocBuf {
    millstream_value::from_bson_document(value)
}

fn parse(filter: &bson::Document) -> Predicate {
    Predicate::parse(bytes(filter).as_doc(), &Scope::default()).unwrap()
}

#[track_caller]
fn passes(filter: &bson::Document, documents: &[bson::Document]) {
    for document in documents {
        assert!(parse(filter).matches(bytes(document).as_doc()).unwrap(), "{filter} lets {document} through");
    }
}

#[track_caller]
fn stops(filter: &bson::Document, documents: &[bson::Document]) {
    for document in documents {
        assert!(!parse(filter).matches(bytes(document).as_doc()).unwrap(), "{filter} stops {document}");
    }
}

#[track_caller]
fn fails(filter: &bson::Document, number: i32, message: &str) {
    let error = Predicate::parse(bytes(filter).as_doc(), &Scope::default()).unwrap_err();
    assert_eq!((error.code.number(), error.message.as_str()), (number, message), "{filter}");
}

fn regex(pattern: &str, options: &str) -> Regex {
    Regex { pattern: pattern.try_into().unwrap(), options: options.try_into().unwrap() }
}

#[test]
fn numbers_are_equal_across_types() {
    let one: Decimal128 = "1.0".parse().unwrap();
    let all = [doc! {"a": 1}, doc! {"a": 1_i64}, doc! {"a": 1.0}];
    for filter in [doc! {"a": 1}, doc! {"a": 1_i64}, doc! {"a": {"$in": [1.0]}}, doc! {"a": {"$gte": 1, "$lte": 1.0}}] {
        passes(&filter, &all);
    }
    passes(&doc! {"a": one}, &all);
    passes(&doc! {"a": -0.0}, &[doc! {"a": 0}]);
    let many: Vec<i32> = (0..20).collect();
    passes(&doc! {"a": {"$in": many}}, &all);
}

#[test]
fn ranges_keep_to_a_type() {
    stops(&doc! {"a": {"$lt": 5}}, &[doc! {"a": "1"}, doc! {"a": Bson::Null}, doc! {}, doc! {"a": f64::NAN}]);
    stops(&doc! {"a": {"$gt": ""}}, &[doc! {"a": 1}, doc! {"a": {}}]);
    passes(&doc! {"a": {"$gte": f64::NAN}}, &[doc! {"a": f64::NAN}]);
    passes(&doc! {"a": {"$lte": Bson::Null}}, &[doc! {}, doc! {"a": Bson::Null}]);
    stops(&doc! {"a": {"$lt": Bson::Null}}, &[doc! {}, doc! {"a": 1}]);
    passes(&doc! {"a": {"$lt": Bson::MaxKey}}, &[doc! {}, doc! {"a": "x"}, doc! {"a": Bson::MinKey}]);
    stops(&doc! {"a": {"$gt": Bson::MaxKey}}, &[doc! {"a": 1}]);
}

#[test]
fn null_is_null_or_missing_and_not_undefined() {
    passes(&doc! {"a": Bson::Null}, &[doc! {}, doc! {"a": Bson::Null}, doc! {"a": [Bson::Null]}]);
    stops(&doc! {"a": Bson::Null}, &[doc! {"a": Bson::Undefined}, doc! {"a": []}]);
    passes(&doc! {"a.b": Bson::Null}, &[doc! {"a": 1}, doc! {"a": {}}, doc! {"a": [{}]}]);
    stops(&doc! {"a.b": Bson::Null}, &[doc! {"a": [1]}, doc! {"a": []}]);
    passes(&doc! {"a": {"$in": [Bson::Null, 5]}}, &[doc! {}]);
    fails(&doc! {"a": Bson::Undefined}, 2, "cannot compare to undefined");
    fails(&doc! {"a": {"$in": [Bson::Undefined]}}, 2, "InMatchExpression equality cannot be undefined");
}

#[test]
fn arrays_pass_by_element_and_as_a_whole() {
    passes(&doc! {"a": 1}, &[doc! {"a": [2, 1]}]);
    passes(&doc! {"a": [1, 2]}, &[doc! {"a": [1, 2]}, doc! {"a": [[1, 2], 3]}]);
    stops(&doc! {"a": 1}, &[doc! {"a": [[1]]}]);
    passes(&doc! {"a.0": 1}, &[doc! {"a": [1]}, doc! {"a": {"0": 1}}, doc! {"a": [{"0": 1}]}]);
    stops(&doc! {"a.0": 1}, &[doc! {"a": [[1]]}, doc! {"a": [2, 1]}]);
    passes(&doc! {"a.0.b": 1}, &[doc! {"a": [{"b": [1]}]}, doc! {"a": [[{"b": 1}]]}]);
    stops(&doc! {"a.00": 1}, &[doc! {"a": [1]}]);
    passes(&doc! {"a.b": {"$gt": 5, "$lt": 3}}, &[doc! {"a": [{"b": 9}, {"b": 1}]}]);
}

#[test]
fn elem_match_asks_one_element() {
    let values = doc! {"a": {"$elemMatch": {"$gt": 5, "$lt": 8}}};
    passes(&values, &[doc! {"a": [1, 7]}]);
    stops(&values, &[doc! {"a": [1, 9]}, doc! {"a": 7}, doc! {"a": [[7]]}]);
    let documents = doc! {"a": {"$elemMatch": {"b": 1, "c": {"$ne": 2}}}};
    passes(&documents, &[doc! {"a": [{"b": 1, "c": 1}]}, doc! {"a": [{"b": [1]}]}]);
    stops(&documents, &[doc! {"a": [{"b": 1, "c": 2}, {"c": 1}]}, doc! {"a": {"b": 1}}]);
    passes(&doc! {"a": {"$elemMatch": {"$or": [{"b": 1}, {"b": 2}]}}}, &[doc! {"a": [{"b": 2}]}]);
    passes(&doc! {"a": {"$elemMatch": {"$not": {"$gt": 5}}}}, &[doc! {"a": [9, 5]}]);
    passes(&doc! {"a": {"$elemMatch": {"0": 7}}}, &[doc! {"a": [[7]]}]);
    passes(
        &doc! {"a": {"$all": [{"$elemMatch": {"b": 1}}, {"$elemMatch": {"c": 1}}]}},
        &[doc! {"a": [{"b": 1}, {"c": 1}]}],
    );
    fails(&doc! {"a": {"$all": [{"$elemMatch": {"b": 1}}, 5]}}, 2, "$all/$elemMatch has to be consistent");
    fails(&doc! {"a": {"$all": [{"$gt": 1}]}}, 2, "no $ expressions in $all");
    fails(&doc! {"a": {"$elemMatch": {"$expr": true}}}, 2, "$expr can only be applied to the top-level document");
}

#[test]
fn regular_expressions_find_and_equal() {
    passes(&doc! {"a": regex("^b", "i")}, &[doc! {"a": "Bob"}, doc! {"a": ["x", "b"]}]);
    passes(&doc! {"a": regex("^b", "i")}, &[doc! {"a": regex("^b", "i")}]);
    stops(&doc! {"a": regex("^b", "i")}, &[doc! {"a": regex("^b", "")}, doc! {"a": 1}, doc! {}]);
    passes(&doc! {"a": {"$not": regex("^b", "")}}, &[doc! {"a": "a"}, doc! {}, doc! {"a": 1}]);
    passes(&doc! {"a": {"$not": {"$regex": "^b"}}}, &[doc! {"a": "a"}]);
    passes(&doc! {"a": {"$options": "i", "$regex": "B"}}, &[doc! {"a": "b"}]);
    passes(&doc! {"a": {"$nin": [regex("b", ""), 1]}}, &[doc! {"a": "a"}, doc! {}]);
    passes(&doc! {"a": {"$eq": regex("b", "")}}, &[doc! {"a": regex("b", "")}]);
    stops(&doc! {"a": {"$eq": regex("b", "")}}, &[doc! {"a": "b"}]);
    fails(&doc! {"a": {"$options": "i"}}, 2, "$options needs a $regex");
    fails(&doc! {"a": {"$regex": 1}}, 2, "$regex has to be a string");
    fails(&doc! {"a": {"$ne": regex("b", "")}}, 2, "Can't have regex as arg to $ne.");
    let error = Predicate::parse(bytes(&doc! {"a": {"$regex": "("}}).as_doc(), &Scope::default()).unwrap_err();
    assert_eq!(error.code.number(), 51091);
}

#[test]
fn types_and_existence() {
    passes(&doc! {"a": {"$type": ["string", 16]}}, &[doc! {"a": "x"}, doc! {"a": 1}, doc! {"a": [1]}]);
    passes(&doc! {"a": {"$type": "array"}}, &[doc! {"a": []}]);
    passes(&doc! {"a": {"$type": -1}}, &[doc! {"a": Bson::MinKey}]);
    stops(&doc! {"a": {"$type": "null"}}, &[doc! {}]);
    passes(&doc! {"a": {"$exists": true}}, &[doc! {"a": []}, doc! {"a": Bson::Null}]);
    passes(&doc! {"a.b": {"$exists": false}}, &[doc! {"a": [1]}, doc! {"a": {}}, doc! {}]);
    for (wanted, number) in [
        (Bson::Int32(0), 2),
        (Bson::Int32(255), 2),
        (Bson::Double(1.5), 2),
        (Bson::Boolean(true), 14),
        (Bson::Array(vec![]), 9),
    ] {
        let filter = bytes(&doc! {"a": {"$type": wanted}});
        let error = Predicate::parse(filter.as_doc(), &Scope::default()).unwrap_err();
        assert_eq!(error.code.number(), number);
    }
}

#[test]
fn numbers_by_remainder_and_bits() {
    passes(&doc! {"a": {"$mod": [4, 1.9]}}, &[doc! {"a": 5}, doc! {"a": 5.9}, doc! {"a": [2, 9_i64]}]);
    passes(&doc! {"a": {"$mod": [-1, 0]}}, &[doc! {"a": i64::MIN}]);
    stops(&doc! {"a": {"$mod": [4, 1]}}, &[doc! {"a": f64::INFINITY}, doc! {"a": "5"}, doc! {"a": -3}]);
    passes(&doc! {"a": {"$bitsAllSet": [0, 2, 200]}}, &[doc! {"a": -1}]);
    stops(&doc! {"a": {"$bitsAnySet": [200]}}, &[doc! {"a": 1}, doc! {"a": 1.5}, doc! {"a": "x"}]);
    passes(&doc! {"a": {"$bitsAllClear": 0}}, &[doc! {"a": 1}]);
    passes(&doc! {"a": {"$bitsAnyClear": 3}}, &[doc! {"a": 1}]);
    fails(&doc! {"a": {"$bitsAllSet": -1}}, 9, "Expected a non-negative number in: $bitsAllSet: -1");
    fails(&doc! {"a": {"$bitsAllSet": [-1]}}, 2, "bit positions must be >= 0 but got: -1");
}

#[test]
fn logic_nests() {
    let filter = doc! {"$or": [{"a": 1}, {"$and": [{"b": 1}, {"$nor": [{"c": 1}, {"d": 1}]}]}]};
    passes(&filter, &[doc! {"a": 1}, doc! {"b": 1}]);
    stops(&filter, &[doc! {"b": 1, "d": 1}, doc! {}]);
    passes(&doc! {"a": {"$not": {"$gt": 5, "$lt": 7}}}, &[doc! {"a": 5}, doc! {}]);
    fails(&doc! {"$and": []}, 2, "$and/$or/$nor must be a nonempty array");
    fails(&doc! {"$or": 1}, 2, "$or must be an array");
    fails(&doc! {"a": {"$not": {}}}, 2, "$not cannot be empty");
    fails(&doc! {"a": {"$not": 1}}, 2, "$not needs a regex or a document");
    fails(&doc! {"a": {"$and": []}}, 2, "unknown operator: $and");
    assert!(parse(&doc! {}).is_always_true());
    assert!(parse(&doc! {"$comment": 1, "$and": [{}]}).is_always_true());
    assert!(parse(&doc! {"a": {"$in": []}, "b": 1}).is_always_false());
}

#[test]
fn a_reference_is_a_value() {
    let reference = doc! {"$ref": "c", "$id": 1};
    passes(&doc! {"a": reference.clone()}, &[doc! {"a": reference}]);
    passes(&doc! {"a": {"b": 1, "$gt": 5}}, &[doc! {"a": {"b": 1, "$gt": 5}}]);
}

#[test]
fn the_position_is_that_of_the_outer_array() {
    let at = |filter: bson::Document, document: bson::Document| {
        parse(&filter).matches_at(bytes(&document).as_doc()).unwrap().map(|position| position.index)
    };
    assert_eq!(at(doc! {"a": 5}, doc! {"a": [1, 5]}), Some(Some(1)));
    assert_eq!(at(doc! {"a": 5}, doc! {"a": 5}), Some(None));
    assert_eq!(at(doc! {"a": 5}, doc! {"a": 6}), None);
    assert_eq!(at(doc! {"a.b.c": 5}, doc! {"a": [{}, {"b": [{}, {}, {"c": 5}]}]}), Some(Some(1)));
    assert_eq!(at(doc! {"a": {"$elemMatch": {"b": 1}}}, doc! {"a": [{}, {}, {"b": 1}]}), Some(Some(2)));
    assert_eq!(at(doc! {"a": {"$not": {"$gt": 5}}}, doc! {"a": [1]}), Some(None));
    assert_eq!(at(doc! {"x": 1, "a": 5}, doc! {"x": [0, 0, 1], "a": [5]}), Some(Some(0)), "the last one counts");
}

#[test]
fn conditions_on_one_value() {
    let condition =
        |value: Bson| Predicate::parse_condition(&millstream_value::from_bson(&value), &Scope::default()).unwrap();
    let value = |value: Bson| millstream_value::from_bson(&value);
    let range = condition(doc! {"$gte": 3, "$lt": 5}.into());
    assert!(range.matches_value(&value(3.into())).unwrap());
    assert!(!range.matches_value(&value(5.into())).unwrap());
    assert!(condition(regex("^a", "").into()).matches_value(&value("ab".into())).unwrap());
    assert!(condition(doc! {"a": 1}.into()).matches_value(&value(doc! {"a": 1}.into())).unwrap());
    let filter = parse(&doc! {"a": {"$gt": 1}});
    assert!(filter.matches_value(&value(doc! {"a": 2}.into())).unwrap());
    assert!(!filter.matches_value(&value(2.into())).unwrap());
    let array_filter = parse(&doc! {"x.a": {"$gt": 1}});
    assert!(array_filter.matches_as("x", &value(doc! {"a": 2}.into())).unwrap());
}

#[test]
fn conditions_are_what_every_match_satisfies() {
    let found = parse(&doc! {
        "a": 1, "$and": [{"b": {"$gt": 2, "$lte": 9}}], "$or": [{"c": 1}, {"c": {"$in": [2, 3]}}],
        "d": {"$ne": 1}, "e": regex("^ab", ""), "f": Bson::Null, "g": {"$exists": true},
    })
    .conditions();
    let named = |path: &str, test: Test, plain: bool| Condition { path: path.to_owned(), test, plain };
    let int = Value::Int32;
    let range = |lower, upper| Test::Range { lower, upper };
    assert_eq!(
        found,
        [
            named("a", Test::Eq(int(1)), true),
            named("b", range(Bound::Excluded(int(2)), Bound::Unbounded), true),
            named("b", range(Bound::Unbounded, Bound::Included(int(9))), true),
            named("c", Test::In(vec![int(1), int(2), int(3)]), true),
            named("e", Test::Prefix("ab".into()), false),
            named("f", Test::Eq(Value::Null), false),
            named("g", Test::Exists, true),
        ]
    );
}

#[test]
fn every_match_satisfies_one_of_the_ways() {
    let shown = |filter: &bson::Document, max| {
        let ways = parse(filter).ways(max);
        let named = |way: &Vec<Condition>| way.iter().map(|c| c.path.as_str()).collect::<Vec<_>>().join(" ");
        ways.iter().map(named).collect::<Vec<_>>().join(" | ")
    };
    let filter = doc! {"a": 1, "$or": [{"b": 1, "c": 2}, {"$or": [{"d": 1}, {"e": 1}]}, {"f": 1}]};
    assert_eq!(shown(&filter, 10), "a b c | a d | a e | a f");
    assert_eq!(shown(&filter, 3), "a");
    let filter = doc! {"$and": [{"$or": [{"a": 1}, {"b": 1}]}, {"$or": [{"c": 1}, {"d": 1}]}, {"e": 1}]};
    assert_eq!(shown(&filter, 4), "a c e | a d e | b c e | b d e");
    assert_eq!(shown(&filter, 3), "a e | b e");
    assert_eq!(shown(&doc! {"$or": [{"a": 1}, {"a": {"$in": [2, 3]}}]}, 4), "a");
    assert_eq!(shown(&doc! {"$or": [{"a": 1}, {"$expr": {"$eq": ["$b", 1]}}]}, 4), "a | ");
    assert_eq!(shown(&doc! {"$nor": [{"a": 1}]}, 4), "");
    assert_eq!(shown(&doc! {}, 4), "");
}

#[test]
fn equalities_start_an_upsert() {
    let found = parse(&doc! {"b": {"$in": [2]}, "a": {"$all": [1]}, "$and": [{"c.d": {"$eq": 3}}], "e": {"$gt": 1}});
    let found: Vec<_> = found.equalities().unwrap().into_iter().map(|(path, _)| path).collect();
    assert_eq!(found, ["a", "b", "c.d"]);
    for (filter, number, message) in [
        (doc! {"_id": 9, "_id.x": 1}, 54, "cannot infer query fields to set, both paths '_id.x' and '_id' are matched"),
        (doc! {"a": {"$all": [1, 2]}}, 54, "cannot infer query fields to set, path 'a' is matched twice"),
        (doc! {"$expr": "$a"}, 224, "$expr is not allowed in the query predicate for an upsert"),
    ] {
        let error = parse(&filter).equalities().unwrap_err();
        assert_eq!((error.code.number(), error.message.as_str()), (number, message));
    }
}

#[test]
fn what_is_not_offered_says_so() {
    fails(&doc! {"$where": "true"}, 2, "no globalScriptEngine in $where parsing");
    fails(&doc! {"$text": {"$search": "x"}}, 27, "text index required for $text query");
    fails(&doc! {"a": {"$near": [1, 2]}}, 291, "unable to find index for $geoNear query");
    fails(&doc! {"$jsonSchema": {"type": "object"}}, 2, "$jsonSchema is not supported");
}

#[test]
fn a_sample_takes_its_share() {
    let sample = parse(&doc! {"$sampleRate": 0.25});
    let taken = (0..2000).filter(|n| sample.matches(bytes(&doc! {"_id": n}).as_doc()).unwrap()).count();
    assert!((400..600).contains(&taken), "{taken}");
}

#[test]
fn no_argument_is_too_strange() {
    let strange = [
        Bson::Null,
        Bson::Undefined,
        Bson::MinKey,
        Bson::Double(f64::NAN),
        Bson::Double(1e300),
        Bson::Int64(i64::MIN),
        Bson::Int32(-1),
        Bson::from("$"),
        Bson::from(vec![Bson::Null, Bson::Int64(i64::MAX)]),
        Bson::from(vec![-1, -1]),
        Bson::from(doc! {"$not": {"$elemMatch": {"$size": 0}}}),
        Bson::from(doc! {"": {"$": []}}),
        Bson::from(regex("(", "")),
        Bson::Decimal128("1E+6000".parse::<Decimal128>().unwrap()),
        Bson::Binary(bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![0xFF; 20] }),
    ];
    let named = |name: &str| {
        let fields = strange.iter().enumerate().map(|(at, value)| (format!("{name}{at}"), value.clone()));
        bytes(&fields.chain([(name.to_owned(), Bson::from(strange.to_vec()))]).collect())
    };
    let document = named("a");
    for argument in &strange {
        let fields = operators::OPERATORS.iter().map(|row| doc! {"a": {row.name: argument.clone()}});
        let tops = operators::TOP_OPERATORS.iter().map(|row| doc! {row.name: argument.clone()});
        for filter in fields.chain(tops).chain([doc! {"a": argument.clone()}]) {
            // Errors are fine; only that nothing panics counts here.
            let Ok(predicate) = Predicate::parse(bytes(&filter).as_doc(), &Scope::default()) else {
                continue;
            };
            let _ = predicate.matches_at(document.as_doc());
            let _ = (predicate.conditions(), predicate.equalities(), predicate.paths());
        }
    }
}
