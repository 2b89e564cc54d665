//! SQL as a command of the MongoDB protocol (SQL-1.4), with a driver that knows nothing of it.

use std::time::Duration;

use bson::{Bson, Document, doc};
use futures::{StreamExt, TryStreamExt};
use mongodb::Database;
use mongodb::error::{Error, ErrorKind};

use super::{Lab, column, eventually};
use crate::support::Server;

async fn lab() -> (Lab, Database) {
    let lab = Lab::new().await;
    let rows = [
        doc! {"_id": 1, "customer": "Ann", "total": 30},
        doc! {"_id": 2, "customer": "Bob", "total": 12.5},
        doc! {"_id": 3, "customer": "Ann", "total": 5},
    ];
    lab.collection("orders").insert_many(rows).await.unwrap();
    let database = lab.client.database("shop");
    (lab, database)
}

fn refused(error: &Error) -> (i32, String, Document) {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => {
            let reply = error.server_response().map(|raw| Document::try_from(raw).unwrap()).unwrap_or_default();
            (command.code, command.message.clone(), reply)
        }
        other => panic!("{other:?}"),
    }
}

/// SQL-1.4: the answer to a query is a cursor, with the columns and their types beside it.
#[tokio::test]
async fn a_query_answers_with_a_cursor() {
    let (_lab, database) = lab().await;
    let text = "SELECT customer, COUNT(*) AS n, SUM(total) AS spent FROM orders WHERE total >= $1 GROUP BY customer";
    let command = doc! {"sql": format!("{text} ORDER BY customer"), "params": [6], "cursor": {"batchSize": 1}};
    let reply = database.run_command(command.clone()).await.unwrap();
    let cursor = reply.get_document("cursor").unwrap();
    assert_eq!(cursor.get_str("ns").unwrap(), "shop.$cmd.sql");
    assert_eq!(
        cursor.get_array("firstBatch").unwrap(),
        &[doc! {"customer": "Ann", "n": 1_i64, "spent": 30_i64}.into()]
    );
    let columns = reply.get_array("columns").unwrap();
    let types = |field| columns.iter().map(|c| c.as_document().unwrap().get_str(field).unwrap()).collect::<Vec<_>>();
    assert_eq!(types("name"), ["customer", "n", "spent"]);
    assert_eq!(types("type")[..2], ["jsonb", "bigint"]);
    assert_eq!(reply.get_array("notices").unwrap().len(), 0);
    // What a driver makes of it.
    let rows: Vec<Document> = database.run_cursor_command(command).await.unwrap().try_collect().await.unwrap();
    assert_eq!(column(&rows, "customer"), ["Ann".into(), "Bob".into()]);
}

/// SQL-1.4, SQL-1.5: writes say how many and what, definitions that they are there; a script is answered by its last.
#[tokio::test]
async fn whatever_is_no_query_says_what_it_did() {
    let (_lab, database) = lab().await;
    let run = async |text: &str| database.run_command(doc! {"sql": text}).await.unwrap();
    let reply = run("UPDATE orders SET total = total + 1 WHERE customer = 'Ann' RETURNING _id, total").await;
    assert_eq!((reply.get_str("command").unwrap(), reply.get_i64("n").unwrap()), ("UPDATE 2", 2));
    let rows: Vec<Bson> = reply.get_array("rows").unwrap().clone();
    assert_eq!(rows, [doc! {"_id": 1, "total": 31}.into(), doc! {"_id": 3, "total": 6}.into()]);
    assert_eq!(
        run("CREATE VIEW small AS SELECT * FROM orders WHERE total < 10").await.get_str("command").unwrap(),
        "CREATE VIEW"
    );
    let text =
        "BEGIN; DELETE FROM orders WHERE _id = 1; INSERT INTO orders (_id, total) VALUES (9, 1); COMMIT; TABLE small";
    let reply = run(text).await;
    assert_eq!(reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap().len(), 2);
}

/// SQL-21.1: an error has the class and the place besides MongoDB's code.
#[tokio::test]
async fn an_error_says_where_and_of_which_class() {
    let (_lab, database) = lab().await;
    let fails = async |command: Document| refused(&database.run_command(command).await.unwrap_err());
    let (code, message, reply) = fails(doc! {"sql": "SELECT 1 AS one; SELECT two FROM (SELECT 1 AS one) s"}).await;
    assert_eq!(
        (code, reply.get_str("sqlstate").unwrap(), reply.get_i32("statement").unwrap()),
        (2, "42703", 2),
        "{message}"
    );
    assert_eq!(reply.get_str("codeName").unwrap(), "BadValue");
    let (code, _, reply) = fails(doc! {"sql": "SELECT FROM WHERE"}).await;
    assert_eq!((code, reply.get_str("sqlstate").unwrap()), (9, "42601"));
    assert!(reply.get_i32("position").is_ok(), "{reply}");
    let (code, _, reply) = fails(doc! {"sql": "BEGIN; INSERT INTO orders (_id) VALUES (77)"}).await;
    assert_eq!((code, reply.get_str("sqlstate").unwrap()), (20, "25000"));
    assert_eq!(database.collection::<Document>("orders").count_documents(doc! {"_id": 77}).await.unwrap(), 0);
    let (code, _, _) = fails(doc! {"sql": 5}).await;
    assert_eq!(code, 14);
    let slow =
        "SELECT COUNT(*) FROM orders a, orders b, orders c, orders d, orders e, orders f, orders g, orders h, orders i";
    let (code, _, reply) =
        fails(doc! {"sql": format!("{slow}, orders j, orders k, orders l, orders m"), "maxTimeMS": 50}).await;
    assert_eq!((code, reply.get_str("sqlstate").unwrap()), (50, "57014"));
}

/// SQL-1.4, SQL-13.12: a subscription is a cursor that waits for what comes, until it is killed.
#[tokio::test]
async fn changes_come_through_a_cursor() {
    let (lab, database) = lab().await;
    let text = "SELECT _id, CHANGE_TYPE() AS what, total FROM orders WHERE CHANGE_DETECTED()";
    let mut changes = database.run_cursor_command(doc! {"sql": text}).await.unwrap();
    lab.collection("orders").insert_one(doc! {"_id": 4, "total": 1}).await.unwrap();
    lab.collection("orders").delete_one(doc! {"_id": 2}).await.unwrap();
    let mut next = async || {
        let row = tokio::time::timeout(Duration::from_secs(60), changes.next()).await.expect("a row in time");
        row.expect("a row").unwrap()
    };
    assert_eq!(next().await, doc! {"_id": 4, "what": "INSERT", "total": 1});
    assert_eq!(next().await, doc! {"_id": 2, "what": "DELETE", "total": 12.5});
    drop(changes);
    // An empty batch when nothing comes; and what is killed is gone.
    let reply = database.run_command(doc! {"sql": text}).await.unwrap();
    let id = reply.get_document("cursor").unwrap().get_i64("id").unwrap();
    let more = doc! {"getMore": id, "collection": "$cmd.sql", "maxTimeMS": 20};
    let reply = database.run_command(more.clone()).await.unwrap();
    assert!(reply.get_document("cursor").unwrap().get_array("nextBatch").unwrap().is_empty());
    let killed = database.run_command(doc! {"killCursors": "$cmd.sql", "cursors": [id]}).await.unwrap();
    assert_eq!(killed.get_array("cursorsKilled").unwrap().len(), 1);
    assert_eq!(refused(&database.run_command(more).await.unwrap_err()).0, 43);
}

/// SQL-12.6: the copy of a subscription is gone with it, and that of a program which was killed when the next one starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_subscription() {
    let mut lab = Lab::on(Server::with(&["--memory"])).await;
    lab.collection("t").insert_one(doc! {"_id": 1}).await.unwrap();
    let text = "SUBSCRIBE TO (SELECT OLD.n AS was FROM t WHERE CHANGE_DETECTED()) WITH (images = 'mirror')";
    let subscribe = async |lab: &Lab| {
        let reply = lab.client.database("shop").run_command(doc! {"sql": text}).await.unwrap();
        reply.get_document("cursor").unwrap().get_i64("id").unwrap()
    };
    let id = subscribe(&lab).await;
    assert_eq!(lab.server.temporary().len(), 1);
    let kill = doc! {"killCursors": "$cmd.sql", "cursors": [id]};
    lab.client.database("shop").run_command(kill).await.unwrap();
    eventually("it is gone", async || lab.server.temporary().is_empty()).await;
    subscribe(&lab).await;
    lab.server.kill();
    let left = lab.server.temporary();
    assert_eq!(left.len(), 1);
    lab.server.start_again();
    eventually("what was left is gone", async || !left[0].exists()).await;
    subscribe(&lab).await;
    assert_eq!(lab.server.temporary().len(), 1);
}
