//! What projections make of documents, by example.

use bson::{Bson, doc};

use super::*;

fn bytes(value: &bson::Document) -> DocBuf {
    millstream_value::from_bson_document(value)
}

fn project(kind: Kind, spec: bson::Document, document: bson::Document) -> bson::Document {
    let projection = Projection::parse(bytes(&spec).as_doc(), &Scope::default(), kind).unwrap();
    millstream_value::to_bson_document(projection.apply(bytes(&document).as_doc()).unwrap().as_doc())
}

fn find(spec: bson::Document, document: bson::Document) -> bson::Document {
    project(Kind::Find, spec, document)
}

fn error(kind: Kind, spec: bson::Document) -> i32 {
    Projection::parse(bytes(&spec).as_doc(), &Scope::default(), kind).unwrap_err().code.number()
}

#[test]
fn named_fields_stay_in_the_documents_order() {
    let document = doc! {"_id": 1, "a": 1, "b": {"c": 2, "d": 3}, "e": [{"f": 1, "g": 2}, 5, [{"f": 2}]]};
    assert_eq!(find(doc! {"b.c": 1, "a": true}, document.clone()), doc! {"_id": 1, "a": 1, "b": {"c": 2}});
    assert_eq!(find(doc! {"e": {"f": 1}, "_id": 0}, document.clone()), doc! {"e": [{"f": 1}, [{"f": 2}]]});
    assert_eq!(find(doc! {"a.x": 1}, document.clone()), doc! {"_id": 1});
    assert_eq!(find(doc! {"_id": 1}, document.clone()), doc! {"_id": 1});
    assert_eq!(find(doc! {}, document.clone()), document);
}

#[test]
fn what_is_kept_is_kept_as_it_was() {
    let spec = doc! {"a": 1, "b.c": 1, "b.d.e": 1, "f.g": 1, "h": 1, "i.j": 1, "k.l": 1};
    let document = doc! {
        "z": 1, "_id": 1, "h": {"x": [1]}, "b": {"y": 0, "c": {"w": 1}, "d": {"e": [1, {"f": 2}], "f": 3}, "v": 1},
        "f": [{"g": 1, "h": 2}, 3], "i": 5, "k": {"m": 1}, "a": "text", "y": Bson::Null,
    };
    let kept = doc! {
        "_id": 1, "h": {"x": [1]}, "b": {"c": {"w": 1}, "d": {"e": [1, {"f": 2}]}},
        "f": [{"g": 1}], "k": {}, "a": "text",
    };
    for kind in [Kind::Find, Kind::Aggregate] {
        assert_eq!(project(kind, spec.clone(), document.clone()), kept);
        let fields: Vec<_> = kept.clone().into_iter().collect();
        let other_way: bson::Document = fields.into_iter().rev().collect();
        assert_eq!(project(kind, spec.clone(), other_way.clone()), other_way);
        assert_eq!(project(kind, doc! {"a": 1, "_id": 0}, document.clone()), doc! {"a": "text"});
        assert_eq!(project(kind, doc! {"nothing": 1, "_id": 0}, document.clone()), doc! {});
    }
    // Names of which there are many.
    let many: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
    let spec: bson::Document = many.iter().map(|name| (name.clone(), Bson::from(1))).collect();
    let all: bson::Document = many.iter().rev().map(|name| (name.clone(), Bson::from(name.as_str()))).collect();
    let mut more = all.clone();
    more.insert("other", 1);
    assert_eq!(project(Kind::Aggregate, spec, more), all);
}

#[test]
fn named_fields_go() {
    let document = doc! {"_id": 1, "a": 1, "e": [{"f": 1, "g": 2}, 5, [{"f": 2}]]};
    assert_eq!(find(doc! {"e.f": 0}, document.clone()), doc! {"_id": 1, "a": 1, "e": [{"g": 2}, 5, [{}]]});
    assert_eq!(find(doc! {"_id": 0, "e": false}, document.clone()), doc! {"a": 1});
    assert_eq!(find(doc! {"_id": 1, "e": 0}, document), doc! {"_id": 1, "a": 1});
}

#[test]
fn computed_fields_follow() {
    let document = doc! {"_id": 1, "a": {"b": 1, "c": 2}, "z": [{"y": 1}, 2]};
    let spec = doc! {"n": "x", "a.d": "new", "a.b": 1};
    assert_eq!(find(spec, document.clone()), doc! {"_id": 1, "a": {"b": 1, "d": "new"}, "n": "x"});
    assert_eq!(find(doc! {"q.r": "v"}, document.clone()), doc! {"_id": 1, "q": {"r": "v"}});
    assert_eq!(find(doc! {"z.k": "v"}, document), doc! {"_id": 1, "z": [{"k": "v"}]});
}

#[test]
fn slices_and_matches() {
    let document = doc! {"_id": 1, "a": [1, 2, 3, 4], "k": [{"n": 1}, {"n": 2, "m": 1}], "z": 1};
    let slice = |argument: Bson| find(doc! {"a": {"$slice": argument}, "z": 1}, document.clone());
    let want = |values: &[i32]| doc! {"_id": 1, "a": values.to_vec(), "z": 1};
    assert_eq!(slice(2.into()), want(&[1, 2]));
    assert_eq!(slice((-3).into()), want(&[2, 3, 4]));
    assert_eq!(slice(vec![-3, 2].into()), want(&[2, 3]));
    assert_eq!(slice(vec![1, 9].into()), want(&[2, 3, 4]));
    assert_eq!(slice(vec![-9, 1].into()), want(&[1]));
    assert_eq!(slice(i64::MIN.into()), want(&[1, 2, 3, 4]));
    assert_eq!(
        find(doc! {"a": {"$slice": 0}}, document.clone()),
        doc! {
            "_id": 1, "a": [], "k": [{"n": 1}, {"n": 2, "m": 1}], "z": 1,
        }
    );
    let matched = doc! {"k": {"$elemMatch": {"n": {"$gt": 1}}}, "z": 1};
    assert_eq!(find(matched, document.clone()), doc! {"_id": 1, "z": 1, "k": [{"n": 2, "m": 1}]});
    assert_eq!(find(doc! {"a": {"$elemMatch": {"$gt": 2}}}, document.clone()), doc! {"_id": 1, "a": [3]});
    assert_eq!(find(doc! {"a": {"$elemMatch": {"$gt": 9}}}, document), doc! {"_id": 1});
}

#[test]
fn the_matched_element() {
    let projection = Projection::parse(bytes(&doc! {"a.b.$": 1}).as_doc(), &Scope::default(), Kind::Find).unwrap();
    assert!(projection.needs_position());
    let at = |document: bson::Document, index: Option<usize>| {
        let projected = projection.apply_at(bytes(&document).as_doc(), Position { index });
        projected.map(|doc| millstream_value::to_bson_document(doc.as_doc())).map_err(|error| error.code.number())
    };
    assert_eq!(at(doc! {"a": {"b": [1, 2, 3], "c": 1}, "x": 1}, Some(1)), Ok(doc! {"a": {"b": [2]}}));
    assert_eq!(at(doc! {"a": [{"b": 1, "c": 1}, {"b": 2}]}, Some(1)), Ok(doc! {"a": [{"b": 2}]}));
    assert_eq!(at(doc! {"a": {"b": 1}}, Some(1)), Ok(doc! {"a": {"b": 1}}));
    assert_eq!(at(doc! {"a": {"b": [1]}}, None), Err(51246));
    assert_eq!(at(doc! {"a": {"b": [1]}}, Some(1)), Err(51247));
}

#[test]
fn added_fields_replace_in_place() {
    let add = |spec: bson::Document, document: bson::Document| {
        let add = AddFields::parse(bytes(&spec).as_doc(), &Scope::default()).unwrap();
        millstream_value::to_bson_document(add.apply(bytes(&document).as_doc()).unwrap().as_doc())
    };
    let document = doc! {"_id": 1, "a": 1, "b": {"c": 1}, "d": [{"e": 1}, 5]};
    assert_eq!(
        add(doc! {"n": 7, "a": "x", "b.c": 2, "b.k": 3, "d.e": true}, document),
        doc! {"_id": 1, "a": "x", "b": {"c": 2, "k": 3}, "d": [{"e": true}, {"e": true}], "n": 7}
    );
    assert_eq!(add(doc! {"a": {"b": {"c": 1}}}, doc! {"a": 5}), doc! {"a": {"b": {"c": 1}}});
    for (spec, number, message) in [
        (
            doc! {"a": 1, "a.b": 1},
            40176,
            "specification contains two conflicting paths. Cannot specify both 'a.b' and 'a'",
        ),
        (
            doc! {"a.b": 1, "a": 1},
            40176,
            "specification contains two conflicting paths. Cannot specify both 'a' and 'a.b'",
        ),
        (doc! {"a": {}}, 40180, "an empty object is not a valid value. Found empty object at path a"),
        (doc! {}, 40177, "specification must have at least one field"),
        (doc! {"a..b": 1}, 15998, "FieldPath field names may not be empty strings."),
    ] {
        let error = AddFields::parse(bytes(&spec).as_doc(), &Scope::default()).unwrap_err();
        assert_eq!((error.code.number(), error.message.as_str()), (number, message));
    }
}

#[test]
fn unset_takes_a_path_or_several() {
    let unset = |spec: Bson| Unset::parse(&millstream_value::from_bson(&spec)).map_err(|error| error.code.number());
    let gone = unset(Bson::from(vec!["a", "b.c"])).unwrap();
    let document = bytes(&doc! {"a": 1, "b": [{"c": 1, "d": 1}], "e": 1});
    assert_eq!(
        millstream_value::to_bson_document(gone.apply(document.as_doc()).as_doc()),
        doc! {"b": [{"d": 1}], "e": 1}
    );
    for (spec, number) in [
        (Bson::Int32(1), 31002),
        (Bson::Array(vec![]), 31119),
        (Bson::from(vec![1]), 31120),
        (Bson::from(""), 40352),
        (Bson::from("a."), 40353),
    ] {
        assert_eq!(unset(spec).err(), Some(number));
    }
}

#[test]
fn mistakes_have_their_codes() {
    for (spec, number) in [
        (doc! {"a": 0, "b": 1}, 31253),
        (doc! {"a": 1, "b": 0}, 31254),
        (doc! {"a": 1, "a.b": 1}, 31249),
        (doc! {"a.b": 1, "a": 1}, 31250),
        (doc! {"a": 0, "b": "x"}, 31252),
        (doc! {"a": {}}, 51270),
        (doc! {"a": {"b": 1, "$c": 1}}, 16410),
        (doc! {"a.$": 1, "b.$": 1}, 31276),
        (doc! {"a.$": 0}, 31395),
        (doc! {"a.$": "x"}, 31308),
        (doc! {"a.$": {"$slice": 1}}, 31271),
        (doc! {"a.$.b": 1}, 31394),
        (doc! {"a": {"$elemMatch": 1}}, 31274),
        (doc! {"a.b": {"$elemMatch": {}}}, 31275),
        (doc! {"a": {"$elemMatch": {}}, "b.$": 1}, 31256),
        (doc! {"b.$": 1, "a": {"$elemMatch": {}}}, 31255),
        (doc! {"a": {"$meta": "textScore"}}, 40218),
        (doc! {"a": {"$meta": "x"}}, 17308),
    ] {
        assert_eq!(error(Kind::Find, spec.clone()), number, "{spec}");
    }
    assert_eq!(error(Kind::Aggregate, doc! {}), 51272);
    assert_eq!(error(Kind::Aggregate, doc! {"a.$": 1}), 31324);
    assert_eq!(
        error(
            Kind::Aggregate,
            doc! {"a": vec!["x"; 201].join(".")}
                .into_iter()
                .map(|(_, path)| (path.as_str().unwrap().to_owned(), Bson::Int32(1)))
                .collect()
        ),
        15
    );
}

#[test]
fn many_names_are_found() {
    let spec: bson::Document = (0..50).map(|n| (format!("f{n}"), Bson::Int32(1))).collect();
    let document: bson::Document = (0..100).map(|n| (format!("f{n}"), Bson::Int32(n))).collect();
    assert_eq!(find(spec, document).len(), 50);
}
