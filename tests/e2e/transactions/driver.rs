//! The Rust driver's own helpers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bson::{Document, doc};
use futures::TryStreamExt;
use mongodb::error::{Error, ErrorKind, Result};
use mongodb::options::{InsertOneModel, ReadConcern, WriteConcern, WriteModel};
use mongodb::{Client, ClientSession, Collection};

use crate::support::Server;

async fn fresh() -> (Server, Client, Collection<Document>) {
    let server = Server::with(&["--memory", "--test-commands"]);
    let client = Client::with_uri_str(server.uri()).await.expect("a client");
    let things = client.database("shop").collection("things");
    things.insert_one(doc! {"_id": 1, "n": 0}).await.expect("a document");
    (server, client, things)
}

async fn all(things: &Collection<Document>) -> Vec<Document> {
    things.find(doc! {}).await.unwrap().try_collect().await.unwrap()
}

async fn all_in(things: &Collection<Document>, session: &mut ClientSession) -> Result<Vec<Document>> {
    let mut cursor = things.find(doc! {}).batch_size(2).session(&mut *session).await?;
    cursor.stream(session).try_collect().await
}

fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

#[tokio::test]
async fn a_transaction_commits_as_a_whole_or_leaves_nothing() {
    #[derive(Debug, PartialEq)]
    struct Mine;

    let (_server, client, things) = fresh().await;
    let mut session = client.start_session().await.unwrap();
    for commits in [false, true] {
        let copy = things.clone();
        let outcome = session
            .start_transaction()
            .and_run2(async move |session| {
                copy.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}).session(&mut *session).await?;
                copy.insert_many((2..8).map(|id| doc! {"_id": id})).session(&mut *session).await?;
                assert_eq!(all_in(&copy, session).await?.len(), 7);
                assert_eq!(all(&copy).await, [doc! {"_id": 1, "n": 0}]);
                if commits { Ok("done") } else { Err(Error::custom(Mine)) }
            })
            .await;
        if commits {
            assert_eq!(outcome.unwrap(), "done");
        } else {
            assert_eq!(outcome.unwrap_err().get_custom(), Some(&Mine));
        }
    }
    let found = all(&things).await;
    assert_eq!((found.len(), &found[0]), (7, &doc! {"_id": 1, "n": 1}));
}

#[tokio::test]
async fn a_callback_runs_again_after_a_conflict_and_sees_fresh_data() {
    let (_server, client, things) = fresh().await;
    let runs = Arc::new(AtomicU32::new(0));
    let (copy, counted) = (things.clone(), Arc::clone(&runs));
    let mut session = client.start_session().await.unwrap();
    let seen = session
        .start_transaction()
        .and_run2(async move |session| {
            let found = copy.find_one(doc! {"_id": 1}).session(&mut *session).await?.unwrap_or_default();
            let n = found.get_i32("n").map_err(Error::custom)?;
            if counted.fetch_add(1, Ordering::Relaxed) == 0 {
                copy.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 10}}).await?;
            }
            copy.update_one(doc! {"_id": 1}, doc! {"$set": {"n": n + 1}}).session(session).await?;
            Ok(n)
        })
        .await
        .unwrap();
    assert_eq!((seen, runs.load(Ordering::Relaxed)), (10, 2));
    assert_eq!(all(&things).await, [doc! {"_id": 1, "n": 11}]);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_asked_for_again() {
    let (_server, client, things) = fresh().await;
    let admin = client.database("admin");
    let mut session = client.start_session().await.unwrap();
    for command in ["commitTransaction", "insert"] {
        let data = doc! {"failCommands": [command], "closeConnection": true};
        admin
            .run_command(doc! {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data})
            .await
            .unwrap();
        let copy = things.clone();
        session
            .start_transaction()
            .write_concern(WriteConcern::majority())
            .and_run2(async move |session| copy.insert_one(doc! {"_id": command}).session(session).await.map(drop))
            .await
            .unwrap();
    }
    assert_eq!(all(&things).await.len(), 3);
    // By hand as often as one likes.
    session.commit_transaction().await.unwrap();
    session.commit_transaction().await.unwrap();
}

#[tokio::test]
async fn collections_are_made_inside_and_bulk_writes_run_there() {
    let (_server, client, things) = fresh().await;
    let mut session = client.start_session().await.unwrap();
    session.start_transaction().read_concern(ReadConcern::snapshot()).await.unwrap();
    let made = client.database("elsewhere").collection::<Document>("made");
    client.database("elsewhere").create_collection("made").session(&mut session).await.unwrap();
    let models: Vec<WriteModel> = [made.namespace(), things.namespace()]
        .map(|namespace| InsertOneModel::builder().namespace(namespace).document(doc! {"_id": "bulk"}).build().into())
        .into();
    let result = client.bulk_write(models).session(&mut session).await.unwrap();
    assert_eq!(result.inserted_count, 2);
    let changed = things.find_one_and_update(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}).session(&mut session).await;
    assert_eq!(changed.unwrap(), Some(doc! {"_id": 1, "n": 0}));
    let mut distinct = things.distinct("_id", doc! {}).session(&mut session).await.unwrap();
    distinct.sort_by_key(|id| id.as_i32());
    assert_eq!(distinct, [bson::Bson::from("bulk"), 1.into()]);
    assert!(client.database("elsewhere").list_collection_names().await.unwrap().is_empty());
    session.commit_transaction().await.unwrap();
    assert_eq!(all(&made).await, [doc! {"_id": "bulk"}]);

    session.start_transaction().await.unwrap();
    things.insert_one(doc! {"_id": 2}).session(&mut session).await.unwrap();
    let error = things.drop().session(&mut session).await.unwrap_err();
    assert_eq!(code(&error), Some(263), "{error}");
    session.abort_transaction().await.unwrap();
    assert_eq!(all(&things).await.len(), 2);
}

#[tokio::test]
async fn snapshot_and_causal_sessions_read_as_promised() {
    let (_server, client, things) = fresh().await;
    let mut snapshot = client.start_session().snapshot(true).await.unwrap();
    assert_eq!(all_in(&things, &mut snapshot).await.unwrap().len(), 1);
    things.insert_many((2..9).map(|id| doc! {"_id": id})).await.unwrap();
    assert_eq!(all_in(&things, &mut snapshot).await.unwrap().len(), 1);
    assert_eq!(things.count_documents(doc! {}).session(&mut snapshot).await.unwrap(), 1);
    assert!(snapshot.snapshot_time().is_some());

    let mut writer = client.start_session().causal_consistency(true).await.unwrap();
    things.insert_one(doc! {"_id": 9}).session(&mut writer).await.unwrap();
    let mut reader = client.start_session().causal_consistency(true).await.unwrap();
    reader.advance_cluster_time(writer.cluster_time().expect("a cluster time"));
    reader.advance_operation_time(writer.operation_time().expect("an operation time"));
    assert_eq!(all_in(&things, &mut reader).await.unwrap().len(), 9);
}
