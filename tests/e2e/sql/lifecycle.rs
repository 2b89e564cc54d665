//! What becomes of defined objects (SQL-18), and mills that share them.

use std::time::Duration;

use bson::{Document, doc};
use millstream_mill::{Mill, MillOptions};
use mongodb::Client;
use mongodb::error::ErrorKind;

use super::{Lab, column, eventually};

/// SQL-18.2
#[tokio::test]
async fn objects_are_paused_and_go_on() {
    let mut lab = Lab::with_mill().await;
    lab.tag("CREATE MATERIALIZED VIEW v AS SELECT a FROM t").await;
    lab.tag("CREATE TRIGGER copy ON t FOR INSERT AS BEGIN INSERT INTO u (_id) VALUES (NEW._id); END").await;
    lab.settle().await;
    lab.tag("PAUSE ALL").await;
    let states = lab.rows("SHOW MATERIALIZED VIEWS").await;
    assert_eq!(column(&states, "state"), ["paused".into()]);
    assert_eq!(lab.fails("WAIT FOR MATERIALIZED VIEW v").await, "55000");
    lab.collection("t").insert_one(doc! {"_id": 1, "a": 1}).await.unwrap();
    lab.tag("RESUME ALL").await;
    lab.settle().await;
    assert_eq!(lab.documents("v").await, [doc! {"_id": 1, "a": 1}]);
    assert_eq!(lab.documents("u").await, [doc! {"_id": 1}]);
}

/// SQL-18.1, SQL-18.3, SQL-18.4
#[tokio::test]
async fn definitions_are_shown_and_dropped() {
    let mut lab = Lab::with_mill().await;
    lab.tag("CREATE VIEW plain AS SELECT a FROM t; CREATE MATERIALIZED VIEW v AS SELECT a FROM plain").await;
    assert_eq!(lab.fails("CREATE VIEW plain AS SELECT 1 AS one").await, "42P07");
    assert_eq!(lab.fails("DROP VIEW plain").await, "2BP01");
    let shown = lab.rows("SHOW CREATE MATERIALIZED VIEW v").await;
    let sql = shown[0].get_str("sql").unwrap();
    assert!(sql.starts_with("CREATE MATERIALIZED VIEW v AS SELECT a FROM plain"), "{sql}");
    lab.settle().await;
    let row = &lab.rows("SHOW MATERIALIZED VIEWS LIKE 'v%'").await[0];
    assert_eq!((row.get_str("state").unwrap(), row.get_i64("errors").unwrap()), ("running", 0));
    lab.tag("DROP VIEW plain CASCADE").await;
    assert!(lab.rows("SHOW VIEWS").await.is_empty());
    let names = lab.client.database("shop").list_collection_names().await.unwrap();
    assert!(!names.contains(&"v".to_owned()), "{names:?}");
    assert_eq!(lab.fails("SHOW CREATE VIEW plain").await, "42704");
}

/// A view that fails says why (SQL-18.2).
#[tokio::test]
async fn a_view_that_cannot_be_written_has_failed() {
    let mut lab = Lab::with_mill().await;
    lab.tag("CREATE MATERIALIZED VIEW v AS SELECT a FROM t").await;
    lab.settle().await;
    lab.tag("CREATE UNIQUE INDEX only_one ON v (a)").await;
    lab.collection("t").insert_many([doc! {"_id": 1, "a": 1}, doc! {"_id": 2, "a": 1}]).await.unwrap();
    let definitions = lab.client.database("millstream").collection::<Document>("definitions");
    eventually("it has failed", async || {
        definitions.find_one(doc! {"name": "v"}).await.unwrap().unwrap().get_str("state").unwrap() == "failed"
    })
    .await;
    assert_eq!(lab.fails("WAIT FOR MATERIALIZED VIEW v").await, "55000");
}

/// Several mills share the objects; those of one that is gone are taken over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mills_share_the_work() {
    let mut lab = Lab::with_mill().await;
    let folder = tempfile::tempdir().unwrap();
    let mut options = MillOptions::new(folder.path());
    options.lease = Duration::from_secs(1);
    let other = Mill::start(&lab.server.uri(), options).await.unwrap();
    for name in ["a", "b", "c", "d"] {
        lab.tag(&format!("CREATE MATERIALIZED VIEW {name} AS SELECT COUNT(*) AS n FROM t")).await;
    }
    let leases = lab.client.database("millstream").collection::<Document>("leases");
    let owners = async || {
        use futures::TryStreamExt;
        let rows: Vec<Document> =
            leases.find(doc! {"owner": {"$exists": true}}).await.unwrap().try_collect().await.unwrap();
        let mut owners: Vec<String> = rows.iter().map(|row| row.get_str("owner").unwrap().to_owned()).collect();
        owners.sort_unstable();
        owners
    };
    eventually("both have two", async || {
        let owners = owners().await;
        owners.len() == 4 && owners[0] == owners[1] && owners[2] == owners[3] && owners[1] != owners[2]
    })
    .await;
    lab.settle().await;
    lab.collection("t").insert_one(doc! {"_id": 1}).await.unwrap();
    lab.settle().await;
    drop(other);
    lab.collection("t").insert_one(doc! {"_id": 2}).await.unwrap();
    eventually("one has all", async || {
        let owners = owners().await;
        owners.len() == 4 && owners[0] == owners[3]
    })
    .await;
    lab.settle().await;
    for name in ["a", "b", "c", "d"] {
        assert_eq!(lab.documents(name).await, [doc! {"_id": {}, "n": 2_i64}], "{name}");
    }
}

/// SQL-18.8, SQL-15.5: an option is unknown, or not offered, or it does what it says; also when it is changed later.
#[tokio::test]
async fn options_without_an_effect_are_refused() {
    let mut lab = Lab::new().await;
    assert_eq!(lab.fails("CREATE MATERIALIZED VIEW v WITH (colour = 'red') AS SELECT 1 AS one").await, "22023");
    for option in ["numeric_as = 'float'", "on_error = 'never'", "retain = 'soon'"] {
        assert_eq!(lab.fails(&format!("CREATE MATERIALIZED VIEW v WITH ({option}) AS SELECT a FROM t")).await, "22023");
    }
    lab.tag("CREATE MATERIALIZED VIEW v WITH (on_error = 'skip') AS SELECT a FROM t").await;
    assert_eq!(lab.fails("ALTER MATERIALIZED VIEW v SET (images = 'lookup')").await, "0A000");
    assert_eq!(lab.fails("ALTER MATERIALIZED VIEW v SET (colour = 'red')").await, "22023");
    let body = "AS BEGIN DELETE FROM u; END";
    assert_eq!(lab.fails(&format!("CREATE TRIGGER g ON t FOR INSERT WITH (parallel = 0) {body}")).await, "22023");
    assert_eq!(lab.fails(&format!("CREATE TRIGGER g ON t FOR INSERT WITH (images = 'x') {body}")).await, "22023");
}

/// A mill writes only when there is something to share, and tidies up behind itself.
#[tokio::test]
async fn a_mill_without_definitions_writes_nothing() {
    let mut lab = Lab::with_mill().await;
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert!(lab.client.database("millstream").list_collection_names().await.unwrap().is_empty());
    lab.tag("CREATE MATERIALIZED VIEW v AS SELECT a FROM t").await;
    lab.settle().await;
    let leases = lab.client.database("millstream").collection::<Document>("leases");
    assert_eq!(leases.count_documents(doc! {}).await.unwrap(), 2);
    lab.tag("DROP MATERIALIZED VIEW v").await;
    super::eventually("nothing is left", async || leases.count_documents(doc! {}).await.unwrap() == 0).await;
}

/// Whoever has a mill's folder knows that the one before is gone, and does not wait for its lease.
#[tokio::test]
async fn a_mill_follows_itself_at_once() {
    let mut lab = Lab::new().await;
    lab.tag("CREATE MATERIALIZED VIEW v AS SELECT a FROM t").await;
    let folder = tempfile::tempdir().unwrap();
    for n in 0..3 {
        let mut options = millstream_mill::MillOptions::new(folder.path());
        options.lease = std::time::Duration::from_secs(600);
        let mill = millstream_mill::Mill::start(&lab.server.uri(), options).await.unwrap();
        lab.collection("t").insert_one(doc! {"_id": n, "a": n}).await.unwrap();
        lab.settle().await;
        assert_eq!(lab.documents("v").await.len(), usize::try_from(n + 1).unwrap());
        drop(mill);
    }
}

/// SQL-18.1: what mills keep for themselves can be read by clients, and is not written by them. Mills are known by their driver's
/// name, whatever they call themselves; whoever has to repair something says so.
#[tokio::test]
async fn clients_read_the_own_database_and_do_not_write_it() {
    let mut lab = Lab::new().await;
    lab.mill_name = Some("shop".to_owned());
    lab.start_mill().await;
    lab.tag("CREATE MATERIALIZED VIEW v AS SELECT a FROM t").await;
    lab.settle().await;
    let definitions = lab.client.database("millstream").collection::<Document>("definitions");
    assert_eq!(definitions.count_documents(doc! {}).await.unwrap(), 1);
    assert_eq!(lab.rows("SELECT _id FROM millstream.definitions").await.len(), 1);
    lab.collection("t").insert_one(doc! {"_id": 1, "a": 1}).await.unwrap();

    let refused = |done: mongodb::error::Result<Document>| {
        let error = done.unwrap_err();
        assert!(matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == 13), "{error}");
    };
    let own = lab.client.database("millstream");
    for command in [
        doc! {"insert": "definitions", "documents": [{"_id": 1}]},
        doc! {"update": "definitions", "updates": [{"q": {}, "u": {"$set": {"a": 1}}}]},
        doc! {"delete": "definitions", "deletes": [{"q": {}, "limit": 0}]},
        doc! {"findAndModify": "definitions", "query": {}, "remove": true},
        doc! {"create": "mine"},
        doc! {"createIndexes": "definitions", "indexes": [{"key": {"a": 1}, "name": "a"}]},
        doc! {"dropIndexes": "definitions", "index": "*"},
        doc! {"collMod": "definitions", "changeStreamPreAndPostImages": {"enabled": true}},
        doc! {"drop": "definitions"},
        doc! {"dropDatabase": 1},
    ] {
        refused(own.run_command(command).await);
    }
    let admin = lab.client.database("admin");
    refused(admin.run_command(doc! {"renameCollection": "millstream.definitions", "to": "shop.mine"}).await);
    refused(admin.run_command(doc! {"renameCollection": "shop.t", "to": "millstream.t"}).await);
    let one = doc! {"insert": 0, "document": {"_id": 1}};
    refused(admin.run_command(doc! {"bulkWrite": 1, "ops": [one], "nsInfo": [{"ns": "millstream.definitions"}]}).await);
    for statement in [
        "INSERT INTO millstream.definitions (_id) VALUES (1)",
        "UPDATE millstream.definitions SET a = 1",
        "DELETE FROM millstream.leases",
        "TRUNCATE TABLE millstream.definitions",
        "DROP TABLE millstream.definitions",
        "CREATE TABLE millstream.mine (a integer)",
        "CREATE INDEX i ON millstream.definitions (a)",
        "ALTER TABLE t RENAME TO millstream.t",
        "CREATE MATERIALIZED VIEW w WITH (target = 'millstream.w') AS SELECT a FROM t",
        "CREATE TRIGGER g ON t FOR INSERT AS BEGIN DELETE FROM millstream.definitions; END",
    ] {
        assert_eq!(lab.fails(statement).await, "42501", "{statement}");
    }
    lab.settle().await;
    assert_eq!(lab.documents("v").await, [doc! {"_id": 1, "a": 1}]);

    let repairing = Client::with_uri_str(format!("{}&appName=millstream", lab.server.uri())).await.unwrap();
    let notes = repairing.database("millstream").collection::<Document>("notes");
    notes.insert_one(doc! {"_id": 1}).await.unwrap();
    notes.drop().await.unwrap();
}
