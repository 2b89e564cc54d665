//! Collections and indexes with a collation: plans, identity, and what a restart finds.

use millstream_query::Collation;

use super::*;

/// A scope that compares in English at this strength; 0 is by bytes.
fn scope(strength: i32) -> Scope {
    let spec = from_bson_document(&spec(strength));
    Scope { collation: Collation::parse(spec.as_doc()).unwrap(), ..Scope::default() }
}

fn spec(strength: i32) -> bson::Document {
    if strength == 0 {
        doc! {"locale": "simple"}
    } else {
        doc! {"locale": "en", "strength": strength}
    }
}

fn create(db: &Db, strength: i32) {
    let mut options = DocBuf::new();
    options.push_some("collation", scope(strength).collation.as_ref().map(Collation::spec));
    db.create(&ns(), options).unwrap();
}

fn find(filter: bson::Document, order: &bson::Document, strength: i32) -> Find {
    let scope = scope(strength);
    let (filter, order) = (from_bson_document(&filter), from_bson_document(order));
    Find {
        filter: Arc::new(Predicate::parse(filter.as_doc(), &scope).unwrap()),
        sort: Some(Sort::parse(order.as_doc(), &scope).unwrap()),
        ..query(doc! {})
    }
}

fn ids(found: Vec<bson::Document>) -> Vec<bson::Bson> {
    found.into_iter().map(|doc| doc.get("_id").unwrap().clone()).collect()
}

#[test]
fn plans_give_what_a_scan_gives_under_every_collation() {
    let db = open();
    create(&db, 2);
    let texts = ["a", "A", "á", "ab", "aB", "b", "B", "", "é", "e", "Z"];
    let mut state = 7_usize;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for id in 0..120 {
        let (x, y, z) = (texts[random(11)], texts[random(11)], texts[random(11)]);
        let b: bson::Bson = if random(3) == 0 { bson::bson!([y, {"c": z}]) } else { bson::bson!({"c": y}) };
        let _ = db
            .write(command(vec![insert(doc! {"_id": format!("{x}{id}"), "a": z, "b": b, "n": id % 7})], true, None))
            .block();
    }
    // The collection's own, by bytes, and a third.
    for (name, key, collation) in [
        ("own", doc! {"a": 1, "n": 1}, None),
        ("bytes", doc! {"a": 1}, Some(spec(0))),
        ("weak", doc! {"a": -1}, Some(spec(1))),
        ("deep", doc! {"b.c": 1}, None),
        ("whole", doc! {"b": 1}, None),
    ] {
        let mut index_spec = doc! {"key": key, "name": name};
        index_spec.extend(collation.map(|collation| ("collation".to_owned(), collation.into())));
        index(&db, index_spec).unwrap();
    }
    let mut used = std::collections::HashSet::new();
    for round in 0..400 {
        let (x, y) = (texts[random(11)], texts[random(11)]);
        let filter = match round % 7 {
            0 => doc! {"a": x},
            1 => doc! {"a": {"$gte": x, "$lt": y}},
            2 => doc! {"a": {"$in": [x, y]}, "n": {"$lt": 5}},
            3 => doc! {"b.c": x},
            4 => doc! {"b": {"c": x}},
            5 => doc! {"_id": {"$gt": x}},
            _ => doc! {"_id": {"$in": [format!("{x}{}", random(120)), format!("{y}{}", random(120))]}},
        };
        let order = [doc! {"a": 1, "_id": 1}, doc! {"_id": -1}, doc! {"a": -1, "n": 1, "_id": 1}][random(3)].clone();
        for strength in 0..3 {
            let planned = find(filter.clone(), &order, strength);
            let plan = to_bson_document(db.now().explain(&ns(), &planned, Doc::empty(), false).unwrap().as_doc());
            let name =
                format!("{plan}").split("indexName\": \"").nth(1).and_then(|s| s.split('"').next().map(str::to_owned));
            used.insert((strength, name));
            let natural = Some(from_bson(&bson::Bson::Document(doc! {"$natural": 1})));
            let scan = Find { hint: natural, ..find(filter.clone(), &order, strength) };
            assert_eq!(
                ids(read(&db, planned)),
                ids(read(&db, scan)),
                "{filter} sorted by {order} at strength {strength}: {plan}"
            );
        }
    }
    for (strength, name) in [(0, "bytes"), (1, "weak"), (2, "own"), (2, "deep"), (2, "_id_")] {
        assert!(used.contains(&(strength, Some(name.to_owned()))), "{name} at strength {strength}: {used:?}");
    }
}

#[test]
fn one_document_for_texts_that_are_equal() {
    let db = open();
    create(&db, 2);
    write(&db, vec![insert(doc! {"_id": "abc", "n": 1}), insert(doc! {"_id": "åbc", "n": 1})]);
    let clash = db.write(command(vec![insert(doc! {"_id": "ABC"})], true, None)).block().unwrap();
    assert!(matches!(clash.outcomes[0].error, Some(Error::DuplicateKey(_))));
    let change = |id: &str, strength| {
        let (filter, update) = (from_bson_document(&doc! {"_id": id}), from_bson(&doc! {"$inc": {"n": 1}}.into()));
        Action::Update(Box::new(Change {
            filter: Arc::new(Predicate::parse(filter.as_doc(), &scope(strength)).unwrap()),
            id: Some(id.to_owned().into()),
            update: Update::parse(&update, &[], &scope(strength)).unwrap(),
            multi: true,
            upsert: false,
            sort: None,
            hint: None,
            image: Image::None,
        }))
    };
    // By the collection's own collation, by bytes, and by one for which both are equal.
    for (id, strength, n) in [("ABC", 2, 1), ("ABC", 0, 0), ("abc", 0, 1), ("ABC", 1, 2)] {
        assert_eq!(write(&db, vec![change(id, strength)]).outcomes[0].n, n, "{id} at strength {strength}");
    }
    // Several in one command, those that have to be searched for among them.
    let reply = write(&db, vec![change("ABC", 2), change("Abc", 1), change("ÅBC", 2), change("x", 1)]);
    assert_eq!(reply.outcomes.iter().map(|outcome| outcome.n).collect::<Vec<_>>(), [1, 2, 1, 0]);
}

#[test]
fn unique_indexes_compare_by_their_collation() {
    let db = open();
    write(&db, vec![insert(doc! {"_id": 1, "a": "x"}), insert(doc! {"_id": 2, "a": "X"})]);
    let unique =
        |name: &str, strength| doc! {"key": {"a": 1}, "name": name, "unique": true, "collation": spec(strength)};
    assert!(matches!(index(&db, unique("loose", 2)), Err(Error::DuplicateKey(_))));
    index(&db, unique("exact", 3)).unwrap();
    index(&db, unique("bytes", 0)).unwrap();
    let names: Vec<_> = db.list_indexes(&ns()).unwrap().iter().map(|spec| to_bson_document(spec.as_doc())).collect();
    assert_eq!(names.len(), 3);
    assert_eq!(names[1].get_document("collation").unwrap().get_i32("strength").unwrap(), 3);
    assert!(!names[2].contains_key("collation"));
    // Two of one key: a name has to say which.
    assert!(db.drop_indexes(&ns(), from_bson(&doc! {"a": 1}.into())).is_err());
    assert_eq!(db.drop_indexes(&ns(), "exact".into()).unwrap(), 3);
}

#[test]
fn a_restart_finds_documents_by_the_same_keys() {
    let folder = tempfile::tempdir().unwrap();
    let place = || Location::Folder(folder.path().join("data"));
    let db = open_in(place());
    create(&db, 2);
    write(&db, vec![insert(doc! {"_id": "abc", "s": "Oslo"})]);
    index(&db, doc! {"key": {"s": 1}, "name": "s"}).unwrap();
    db.rename(&ns(), &Namespace::new("shop", "other"), false).unwrap();
    db.rename(&Namespace::new("shop", "other"), &ns(), false).unwrap();
    db.close().unwrap();
    drop(db);
    let db = open_in(place());
    assert_eq!(db.now().default_collation(&ns()), scope(2).collation);
    let by = doc! {"_id": 1};
    assert_eq!(read(&db, find(doc! {"_id": "ABC"}, &by, 2)).len(), 1);
    assert_eq!(read(&db, find(doc! {"s": "OSLO"}, &by, 2)).len(), 1);
    assert_eq!(read(&db, find(doc! {"s": "OSLO"}, &by, 0)).len(), 0);
}
