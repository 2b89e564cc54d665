//! Views: definitions, what they lead to, and what they refuse.

use millstream_query::stage::{Pipeline, Place};

use super::*;
use crate::Dropped;

fn named(coll: &str) -> Namespace {
    Namespace::new("shop", coll)
}

fn stages(stages: &[bson::Document]) -> DocBuf {
    let mut list = millstream_value::ArrayBuf::new();
    for stage in stages {
        list.push(from_bson_document(stage));
    }
    DocBuf::from_bytes(list.into_bytes())
}

fn create(db: &Db, view: &str, on: &str, pipeline: &[bson::Document]) -> crate::Result<()> {
    db.create_view(&named(view), on, stages(pipeline).as_doc(), None)
}

fn code(result: crate::Result<()>) -> i32 {
    match result {
        Err(Error::Invalid { code, .. }) => code.number(),
        other => panic!("{other:?}"),
    }
}

/// The documents of a view, after some more stages.
fn through(db: &Db, view: &str, more: &[bson::Document]) -> Vec<bson::Document> {
    let resolved = db.now().resolve_view(&named(view)).unwrap().unwrap();
    let more = more.iter().map(|stage| from_bson(&stage.clone().into())).collect();
    let pipeline = Pipeline::parse(&resolved.pipeline(more), &Scope::default(), Place::Aggregate).unwrap();
    let rows = db.now().aggregate(&resolved.collection, &pipeline, None, &crate::TimeLimit::default()).unwrap();
    rows.map(|doc| to_bson_document(Doc::new(&doc.unwrap()))).collect()
}

#[test]
fn a_view_is_a_pipeline_over_what_is_below() {
    let db = open();
    write(&db, (0..6).map(|id| insert(doc! {"_id": id, "even": id % 2 == 0})).collect());
    create(&db, "even", "orders", &[doc! {"$match": {"even": true}}]).unwrap();
    create(&db, "late", "even", &[doc! {"$match": {"_id": {"$gte": 2}}}, doc! {"$unset": "even"}]).unwrap();
    assert_eq!(through(&db, "late", &[]), [doc! {"_id": 2}, doc! {"_id": 4}]);
    assert_eq!(through(&db, "late", &[doc! {"$match": {"_id": 4}}]), [doc! {"_id": 4}]);
    db.modify_view(&named("even"), None, Some(stages(&[]).as_doc())).unwrap();
    assert_eq!(through(&db, "late", &[]).len(), 4);
    db.modify_view(&named("even"), Some("nothing"), None).unwrap();
    assert_eq!(through(&db, "late", &[]).len(), 0);
    assert!(db.now().resolve_view(&ns()).unwrap().is_none());
}

/// Filters that follow each other are one, so that an index of either is used.
#[test]
fn the_filters_of_views_and_readers_are_planned_together() {
    let db = open();
    create(&db, "dear", "orders", &[doc! {"$match": {"qty": {"$gt": 5}}}]).unwrap();
    let resolved = db.now().resolve_view(&named("dear")).unwrap().unwrap();
    let filter = || from_bson(&doc! {"$match": {"_id": 3}}.into());
    let joined = doc! {"$match": {"$and": [{"qty": {"$gt": 5}}, {"_id": 3}]}};
    let pipeline = resolved.pipeline(vec![filter()]);
    assert_eq!(pipeline, [from_bson(&joined.into())]);
    write(&db, (0..9).map(|id| insert(doc! {"_id": id, "qty": id})).collect());
    let pipeline = Pipeline::parse(&pipeline, &Scope::default(), Place::Aggregate).unwrap();
    let find = Find { filter: Arc::new(pipeline.prefix().predicate.unwrap().clone()), ..query(doc! {}) };
    let plan = db.now().explain(&resolved.collection, &find, Doc::empty(), true).unwrap();
    let plan = to_bson_document(plan.as_doc());
    assert_eq!(plan.get_document("executionStats").unwrap().get_i64("totalDocsExamined").ok(), Some(1));
    let sort = || from_bson(&doc! {"$sort": {"a": 1}}.into());
    assert_eq!(resolved.pipeline(vec![sort(), filter()])[1..], [sort(), filter()]);
}

#[test]
fn views_lead_to_a_collection_within_twenty_steps() {
    let db = open();
    assert_eq!(code(create(&db, "a", "a", &[])), 5);
    create(&db, "a", "b", &[]).unwrap();
    create(&db, "b", "c", &[]).unwrap();
    assert_eq!(code(create(&db, "c", "a", &[])), 5);
    assert_eq!(code(db.modify_view(&named("b"), Some("a"), None)), 5);
    // One on the other, from v1 up to v20.
    for at in 1..=20 {
        create(&db, &format!("v{at}"), &format!("v{}", at - 1), &[]).unwrap();
    }
    assert_eq!(code(create(&db, "v21", "v20", &[])), 165);
    assert_eq!(code(create(&db, "v0", "orders", &[])), 165);
    assert_eq!(code(db.modify_view(&named("b"), Some("v19"), None)), 165);
    assert_eq!(db.now().resolve_view(&named("v20")).unwrap().unwrap().collection, named("v0"));
    db.drop_collection(&named("v10")).unwrap();
    create(&db, "v0", "orders", &[]).unwrap();
    assert_eq!(code(create(&db, "v10", "v9", &[])), 165);
}

#[test]
fn nothing_is_written_to_a_view() {
    let db = open();
    create(&db, "orders", "others", &[]).unwrap();
    let change = |filter, upsert| update(filter, doc! {"$set": {"a": 1}}, false, upsert);
    let actions = vec![
        insert(doc! {"_id": 1}),
        change(doc! {"_id": 1}, false),
        change(doc! {"a": 1}, true),
        delete(doc! {"a": 1}, true),
    ];
    let before = log_length(&db);
    let reply = db.write(command(actions, false, None)).block().unwrap();
    assert_eq!(reply.outcomes.len(), 4);
    for outcome in &reply.outcomes {
        assert!(matches!(outcome.error, Some(Error::IsView(_))), "{:?}", outcome.error);
    }
    assert!(matches!(index(&db, doc! {"key": {"a": 1}, "name": "a"}), Err(Error::IsView(_))));
    assert!(matches!(db.list_indexes(&ns()), Err(Error::IsView(_))));
    assert!(matches!(db.rename(&ns(), &named("other"), true), Err(Error::IsView(_))));
    assert_eq!(log_length(&db), before);
    // Neither takes the other's name.
    assert_eq!(code(db.create(&ns(), DocBuf::new())), 48);
    db.create(&named("plain"), DocBuf::new()).unwrap();
    assert!(matches!(create(&db, "plain", "x", &[]), Err(Error::NamespaceExists(_))));
    assert_eq!(code(db.rename(&named("plain"), &ns(), true).map(drop)), 48);
}

/// CS-1.7.2.
#[test]
fn views_survive_a_restart_and_go_with_their_home() {
    let folder = tempfile::tempdir().unwrap();
    let location = || Location::Folder(folder.path().join("data"));
    let db = open_in(location());
    create(&db, "cheap", "orders", &[doc! {"$match": {"qty": 1}}]).unwrap();
    create(&db, "gone", "orders", &[]).unwrap();
    assert_eq!(db.drop_collection(&named("gone")).unwrap(), Dropped::View);
    db.close().unwrap();
    drop(db);
    let db = open_in(location());
    assert!(db.is_view(&named("cheap")) && !db.is_view(&named("gone")));
    let listed = db.collections("shop");
    let listed: Vec<_> = listed.iter().map(|info| (info.namespace.coll.as_str(), info.is_view)).collect();
    assert_eq!(listed, [("cheap", true), ("system.views", false)]);
    let forms = db.oplog(predicate(&doc! {"ns": "shop.system.views"}), false, crate::TimeLimit::default());
    let forms: Vec<_> = forms.map(|doc| Doc::new(&doc.unwrap()).str("op").unwrap().to_owned()).collect();
    assert_eq!(forms, ["i", "i", "d"]);
    assert_eq!(db.size(&named("system.views")).unwrap().map(|size| size.documents), Some(1));
    assert_eq!(db.drop_collection(&named("system.views")).unwrap(), Dropped::Collection { indexes: 1 });
    assert!(!db.is_view(&named("cheap")));
    create(&db, "cheap", "orders", &[]).unwrap();
    assert!(db.drop_database("shop").unwrap() && !db.is_view(&named("cheap")));
    assert_eq!(db.drop_collection(&named("cheap")).unwrap(), Dropped::Nothing);
}
