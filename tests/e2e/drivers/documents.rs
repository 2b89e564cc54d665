//! Documents in and out: CRUD, bulk writes, retryable writes, indexes, collations.

use bson::{Document, doc};
use futures::{StreamExt, TryStreamExt};
use mongodb::IndexModel;
use mongodb::error::{ErrorKind, WriteFailure};
use mongodb::options::{
    Collation, CollationStrength, DeleteOneModel, IndexOptions, InsertOneModel, ReplaceOneModel, ReturnDocument,
    UpdateManyModel, UpdateOneModel, WriteModel,
};

use super::{collection, fresh};

#[tokio::test]
async fn what_is_written_is_read_back() {
    let (_server, orders) = collection().await;
    let many = (0..250).map(|id| doc! {"_id": id, "qty": id % 10, "tags": ["a", "b"]});
    let inserted = orders.insert_many(many).await.unwrap();
    assert_eq!(inserted.inserted_ids.len(), 250);
    assert_eq!(orders.count_documents(doc! {}).await.unwrap(), 250);
    assert_eq!(orders.estimated_document_count().await.unwrap(), 250);

    // More than the first batch of 101, so that getMore has a part in it.
    let found: Vec<Document> =
        orders.find(doc! {"qty": {"$gte": 3}}).sort(doc! {"_id": -1}).await.unwrap().try_collect().await.unwrap();
    assert_eq!(found.len(), 175);
    assert_eq!(found[0].get_i32("_id").ok(), Some(249));

    let found = orders.find_one(doc! {"_id": 7}).projection(doc! {"qty": 1}).await.unwrap();
    assert_eq!(found, Some(doc! {"_id": 7, "qty": 7}));

    let updated = orders.update_many(doc! {"qty": 3}, doc! {"$inc": {"qty": 100}}).await.unwrap();
    assert_eq!((updated.matched_count, updated.modified_count), (25, 25));
    let replaced = orders.replace_one(doc! {"_id": 1}, doc! {"new": true}).await.unwrap();
    assert_eq!(replaced.modified_count, 1);
    let upserted = orders.update_one(doc! {"_id": "new"}, doc! {"$set": {"a": 1}}).upsert(true).await.unwrap();
    assert_eq!(upserted.upserted_id, Some("new".into()));
    let before = orders
        .find_one_and_update(doc! {"_id": 2}, doc! {"$push": {"tags": "c"}})
        .return_document(ReturnDocument::After)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(before.get_array("tags").unwrap().len(), 3);
    let gone = orders.find_one_and_delete(doc! {"_id": 2}).await.unwrap();
    assert!(gone.is_some());
    let deleted = orders.delete_many(doc! {"qty": {"$lt": 5}}).await.unwrap();
    // 0, 1, 2 and 4 of each ten; 1 was replaced, 2 deleted.
    assert_eq!(deleted.deleted_count, 98);
    let mut distinct = orders.distinct("qty", doc! {}).await.unwrap();
    distinct.sort_by_key(|qty| qty.as_i32());
    assert_eq!(distinct, [5, 6, 7, 8, 9, 103].map(bson::Bson::Int32));
}

#[tokio::test]
async fn a_duplicate_key_names_the_key() {
    let (_server, orders) = collection().await;
    orders.insert_one(doc! {"_id": 1}).await.unwrap();
    let error = orders.insert_one(doc! {"_id": 1}).await.unwrap_err();
    match error.kind.as_ref() {
        ErrorKind::Write(WriteFailure::WriteError(error)) => assert_eq!(error.code, 11000),
        other => panic!("{other:?}"),
    }
    let error =
        orders.insert_many([doc! {"_id": 2}, doc! {"_id": 1}, doc! {"_id": 3}]).ordered(false).await.unwrap_err();
    match error.kind.as_ref() {
        ErrorKind::InsertMany(failure) => {
            let errors = failure.write_errors.as_ref().unwrap();
            assert_eq!((errors.len(), errors[0].index, errors[0].code), (1, 1, 11000));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(orders.count_documents(doc! {}).await.unwrap(), 3, "the rest was inserted");
}

#[tokio::test]
async fn a_client_bulk_write_spans_collections() {
    let (_server, client) = fresh().await;
    let a = client.database("shop").collection::<Document>("a");
    let b = client.database("shop").collection::<Document>("b");
    b.insert_many([doc! {"_id": 1, "n": 1}, doc! {"_id": 2, "n": 1}]).await.unwrap();
    let models: Vec<WriteModel> = vec![
        InsertOneModel::builder().namespace(a.namespace()).document(doc! {"_id": 1}).build().into(),
        UpdateManyModel::builder()
            .namespace(b.namespace())
            .filter(doc! {"n": 1})
            .update(doc! {"$inc": {"n": 1}})
            .build()
            .into(),
        UpdateOneModel::builder()
            .namespace(a.namespace())
            .filter(doc! {"_id": 9})
            .update(doc! {"$set": {"x": 1}})
            .upsert(true)
            .build()
            .into(),
        ReplaceOneModel::builder()
            .namespace(a.namespace())
            .filter(doc! {"_id": 1})
            .replacement(doc! {"y": 2})
            .build()
            .into(),
        DeleteOneModel::builder().namespace(b.namespace()).filter(doc! {"_id": 1}).build().into(),
    ];
    let result = client.bulk_write(models).verbose_results().await.unwrap();
    let summary = &result.summary;
    assert_eq!((summary.inserted_count, summary.upserted_count, summary.deleted_count), (1, 1, 1));
    assert_eq!((summary.matched_count, summary.modified_count), (3, 3));
    assert_eq!(result.insert_results.len(), 1);
    assert_eq!(result.update_results.len(), 3);
    assert_eq!(a.find_one(doc! {"_id": 1}).await.unwrap(), Some(doc! {"_id": 1, "y": 2}));
    assert_eq!(b.find_one(doc! {}).await.unwrap(), Some(doc! {"_id": 2, "n": 2}));
}

#[tokio::test]
async fn indexes_are_unique_and_listed() {
    let (_server, orders) = collection().await;
    let unique = IndexOptions::builder().unique(true).build();
    let index = IndexModel::builder().keys(doc! {"sku": 1, "shop": -1}).options(unique).build();
    let created = orders.create_index(index).await.unwrap();
    assert_eq!(created.index_name, "sku_1_shop_-1");
    assert_eq!(orders.list_index_names().await.unwrap(), ["_id_", "sku_1_shop_-1"]);
    orders.insert_one(doc! {"_id": 1, "sku": "a", "shop": 1}).await.unwrap();
    orders.insert_one(doc! {"_id": 2, "sku": "a", "shop": 2}).await.unwrap();
    assert!(orders.insert_one(doc! {"_id": 3, "sku": "a", "shop": 2}).await.is_err());
    let explained = orders
        .client()
        .database("shop")
        .run_command(doc! {"explain": {"find": "orders", "filter": {"sku": "a"}}})
        .await
        .unwrap();
    assert!(explained.to_string().contains("sku_1_shop_-1"), "{explained}");
    orders.drop_index("sku_1_shop_-1").await.unwrap();
    assert_eq!(orders.list_index_names().await.unwrap(), ["_id_"]);
}

#[tokio::test]
async fn an_aggregation_groups_and_sorts() {
    let (_server, orders) = collection().await;
    orders
        .insert_many([
            doc! {"_id": 1, "item": "lamp", "qty": 2, "price": 10.5},
            doc! {"_id": 2, "item": "desk", "qty": 1, "price": 100.0},
            doc! {"_id": 3, "item": "lamp", "qty": 3, "price": 10.5},
        ])
        .await
        .unwrap();
    let pipeline = [
        doc! {"$match": {"qty": {"$gt": 0}}},
        doc! {"$group": {"_id": "$item", "n": {"$sum": "$qty"}, "worth": {"$sum": {"$multiply": ["$qty", "$price"]}}}},
        doc! {"$sort": {"worth": -1}},
    ];
    let found: Vec<Document> = orders.aggregate(pipeline).await.unwrap().try_collect().await.unwrap();
    assert_eq!(found, [doc! {"_id": "desk", "n": 1, "worth": 100.0}, doc! {"_id": "lamp", "n": 5, "worth": 52.5},]);
}

#[tokio::test]
async fn texts_compare_as_a_collation_says() {
    let (_server, orders) = collection().await;
    let loose = || Collation::builder().locale("en").strength(CollationStrength::Secondary).build();
    let cities = ["Oslo", "oslo", "Århus", "bergen"];
    let mut stream =
        orders.watch().pipeline([doc! {"$match": {"fullDocument.city": "OSLO"}}]).collation(loose()).await.unwrap();
    orders
        .insert_many(cities.iter().enumerate().map(|(id, city)| doc! {"_id": i32::try_from(id).unwrap(), "city": city}))
        .await
        .unwrap();
    for id in 0..2 {
        assert_eq!(stream.next().await.unwrap().unwrap().document_key, Some(doc! {"_id": id}));
    }

    assert_eq!(orders.count_documents(doc! {"city": "OSLO"}).collation(loose()).await.unwrap(), 2);
    let sorted: Vec<Document> = orders
        .find(doc! {})
        .sort(doc! {"city": -1, "_id": 1})
        .collation(loose())
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let ids: Vec<i32> = sorted.iter().map(|doc| doc.get_i32("_id").unwrap()).collect();
    assert_eq!(ids, [0, 1, 3, 2]);
    let updated =
        orders.update_many(doc! {"city": "BERGEN"}, doc! {"$set": {"hit": true}}).collation(loose()).await.unwrap();
    assert_eq!(updated.modified_count, 1);
    assert_eq!(orders.delete_many(doc! {"city": "OSLO"}).collation(loose()).await.unwrap().deleted_count, 2);

    // A collection of its own collation, where texts that are equal are one `_id`.
    let database = orders.client().database("shop");
    database.create_collection("people").collation(loose()).await.unwrap();
    let people = database.collection::<Document>("people");
    people.insert_one(doc! {"_id": "Ann"}).await.unwrap();
    let clash = people.insert_one(doc! {"_id": "ANN"}).await.unwrap_err();
    assert!(
        matches!(*clash.kind, ErrorKind::Write(WriteFailure::WriteError(ref error)) if error.code == 11000),
        "{clash}"
    );
    assert_eq!(people.find_one(doc! {"_id": "ann"}).await.unwrap(), Some(doc! {"_id": "Ann"}));
}
