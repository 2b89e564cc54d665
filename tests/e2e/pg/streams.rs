//! Change queries and subscriptions: rows come while they happen, and end when nobody wants them any more.

use std::io::{BufRead, BufReader};
use std::pin::pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bson::doc;
use futures::StreamExt;
use tokio_postgres::NoTls;

use super::Desk;

/// For how long a busy machine may need for anything.
const WAIT_MAX: Duration = Duration::from_secs(60);

const CHANGES: &str = "SELECT _id::int AS id, CHANGE_TYPE() AS what FROM orders WHERE CHANGE_DETECTED()";

/// How many change streams the server has open.
fn streams(desk: &Desk) -> i64 {
    let status = desk.server.connect().command("admin", doc! {"serverStatus": 1}).unwrap();
    let cursors = status.get_document("metrics").unwrap().get_document("cursor").unwrap().get_document("open").unwrap();
    cursors.get_i64("total").or_else(|_| cursors.get_i32("total").map(i64::from)).unwrap()
}

fn wait_for_streams(desk: &Desk, wanted: impl Fn(i64) -> bool) {
    let began = Instant::now();
    while !wanted(streams(desk)) {
        assert!(began.elapsed() < WAIT_MAX, "{} cursors are open", streams(desk));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_changes_come_as_they_happen_and_a_cancel_ends_them() {
    let desk = Desk::new();
    let (client, writer) = (desk.connect().await, desk.connect().await);
    let before = streams(&desk);
    let rows = client.query_raw(CHANGES, Vec::<i32>::new()).await.unwrap();
    let mut rows = pin!(rows);
    writer.execute("INSERT INTO orders (_id) VALUES (4)", &[]).await.unwrap();
    let row = tokio::time::timeout(WAIT_MAX, rows.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, String>(1)), (4, "INSERT".to_owned()));
    writer.execute("DELETE FROM orders WHERE _id = 4", &[]).await.unwrap();
    let row = tokio::time::timeout(WAIT_MAX, rows.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(row.get::<_, String>(1), "DELETE");
    client.cancel_token().cancel_query(NoTls).await.unwrap();
    let ended = tokio::time::timeout(WAIT_MAX, rows.next()).await.unwrap().unwrap();
    assert_eq!(ended.unwrap_err().code().unwrap().code(), "57014");
    // The connection goes on.
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    drop((client, writer));
    wait_for_streams(&desk, |open| open <= before);
}

#[test]
fn a_client_that_goes_leaves_nothing_behind() {
    let desk = Desk::new();
    let before = streams(&desk);
    let mut child = desk.psql().args(["-c", CHANGES]).stdout(Stdio::null()).spawn().unwrap();
    wait_for_streams(&desk, |open| open > before);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for_streams(&desk, |open| open <= before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_wait_for_the_rows_that_are_asked_for() {
    let desk = Desk::new();
    let (client, writer) = (desk.connect().await, desk.connect().await);
    client.batch_execute("BEGIN; DECLARE c NO SCROLL CURSOR FOR SUBSCRIBE TO (SELECT customer, total FROM orders) WITH (snapshot = true)").await.unwrap();
    let first = client.query("FETCH FORWARD 3 FROM c", &[]).await.unwrap();
    assert_eq!(first.len(), 3);
    assert_eq!(first[0].columns()[0].name(), "_op");
    // The next is the mark that these were all.
    assert_eq!(client.query("FETCH c", &[]).await.unwrap().len(), 1);
    writer.execute("UPDATE orders SET total = 13 WHERE _id = 2", &[]).await.unwrap();
    let changed = tokio::time::timeout(WAIT_MAX, client.query("FETCH NEXT FROM c", &[])).await.unwrap().unwrap();
    assert_eq!(changed.len(), 1);
    client.batch_execute("CLOSE c; COMMIT").await.unwrap();
    let error = client.query("FETCH c", &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "34000");
    client
        .batch_execute("BEGIN; DECLARE d CURSOR FOR SELECT _id::int FROM orders ORDER BY 1; MOVE 1 FROM d")
        .await
        .unwrap();
    let rest = client.query("FETCH ALL FROM d", &[]).await.unwrap();
    assert_eq!(rest.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>(), [2, 3]);
    client.batch_execute("COMMIT").await.unwrap();
    let error = client.batch_execute("DECLARE e CURSOR FOR SELECT 1").await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "25P01");
}

#[test]
fn psql_shows_each_change_with_fetch_count() {
    let desk = Desk::new();
    let before = streams(&desk);
    let mut psql = desk.psql();
    psql.args(["--tuples-only", "--no-align", "--set", "FETCH_COUNT=1", "-c", CHANGES]).stdout(Stdio::piped());
    let mut child = psql.spawn().unwrap();
    wait_for_streams(&desk, |open| open > before);
    // A line ends when the next row comes.
    let third = "UPDATE orders SET total = 3 WHERE _id = 3";
    desk.run(&["UPDATE orders SET total = 1 WHERE _id = 1", "DELETE FROM orders WHERE _id = 2", third]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "1|UPDATE");
    assert_eq!(lines.next().unwrap().unwrap(), "2|DELETE");
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for_streams(&desk, |open| open <= before);
}
