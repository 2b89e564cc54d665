//! Routines of the program (SQL-16.5).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bson::{Bson, Document, doc};
use millstream_mill::{Natives, Volatility};

use super::Lab;

fn natives(outside: &Arc<AtomicU32>) -> Natives {
    let outside = Arc::clone(outside);
    Natives::new()
        .function("reversed", Volatility::Immutable, |arguments| match arguments {
            [Bson::String(text)] => Ok(text.chars().rev().collect::<String>().into()),
            _ => Err("reversed takes a text".into()),
        })
        .procedure("booked", |session, arguments| {
            Box::pin(async move {
                let rows = session.client().database("shop").collection::<Document>("bookings");
                rows.insert_one(doc! {"_id": arguments.first()}).session(session).await?;
                Ok(())
            })
        })
        .outside_procedure("counted", move |_| {
            outside.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Ok(()) })
        })
}

/// SQL-16.5
#[tokio::test]
async fn native_routines_run() {
    let mut lab = Lab::new().await;
    let outside = Arc::default();
    lab.register(natives(&outside));
    lab.start_mill().await;
    lab.tag(
        "CREATE FUNCTION backwards(t text) RETURNS text LANGUAGE NATIVE AS 'reversed';
         CREATE PROCEDURE book(n any) LANGUAGE NATIVE AS 'booked';
         CREATE PROCEDURE note() LANGUAGE NATIVE AS 'counted'",
    )
    .await;
    assert_eq!(lab.rows("SELECT Backwards('abc') AS b").await, [doc! {"b": "cba"}]);
    assert_eq!(lab.fails("SELECT backwards(NULL)").await, "P0001");
    assert_eq!(lab.tag("CALL book(1)").await, "CALL");
    // In the transaction of the call.
    lab.tag("CREATE PROCEDURE fails(n any) LANGUAGE SQL AS BEGIN CALL book(n); RAISE EXCEPTION 'no'; END").await;
    assert_eq!(lab.fails("CALL fails(2)").await, "P0001");
    assert_eq!(lab.documents("bookings").await, [doc! {"_id": 1}]);
    assert_eq!(lab.tag("CALL note()").await, "CALL");
    assert_eq!(outside.load(Ordering::SeqCst), 1);
    // A view, and a trigger that the mill runs.
    lab.tag(
        "CREATE MATERIALIZED VIEW v AS SELECT _id, backwards(name) AS b FROM people;
         CREATE TRIGGER t ON people FOR INSERT AS BEGIN CALL book(backwards(NEW.name)); END",
    )
    .await;
    lab.collection("people").insert_one(doc! {"_id": 1, "name": "Ann"}).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.documents("v").await, [doc! {"_id": 1, "b": "nnA"}]);
    assert_eq!(lab.documents("bookings").await, [doc! {"_id": 1}, doc! {"_id": "nnA"}]);
}

/// SQL-16.5: what is not registered is unknown.
#[tokio::test]
async fn unknown_natives_are_refused() {
    let mut lab = Lab::new().await;
    assert_eq!(lab.fails("CREATE FUNCTION f() RETURNS text LANGUAGE NATIVE AS 'nothing'").await, "42883");
    lab.register(natives(&Arc::default()));
    assert_eq!(lab.fails("CREATE PROCEDURE p() LANGUAGE NATIVE AS 'reversed'").await, "42883");
    lab.tag("CREATE FUNCTION f(t text) RETURNS text LANGUAGE NATIVE AS 'reversed'").await;
    lab.tag("CREATE PROCEDURE p(n any) LANGUAGE NATIVE AS 'booked'").await;
    // Another program, which does not have them.
    lab.register(Natives::new());
    assert_eq!(lab.fails("SELECT f('a')").await, "42883");
    assert_eq!(lab.fails("CALL p(1)").await, "42883");
}

/// SQL-16.5: a mill without a native routine leaves what uses it to one that has it.
#[tokio::test]
async fn objects_run_where_their_routines_are() {
    let mut lab = Lab::with_mill().await;
    lab.session.set_natives(natives(&Arc::default()));
    lab.tag(
        "CREATE PROCEDURE book(n any) LANGUAGE NATIVE AS 'booked';
         CREATE TRIGGER a ON people FOR INSERT AS BEGIN INSERT INTO seen (_id) VALUES (NEW._id); END;
         CREATE TRIGGER b ON people FOR INSERT AS BEGIN CALL book(NEW._id); END",
    )
    .await;
    lab.collection("people").insert_one(doc! {"_id": 1}).await.unwrap();
    lab.tag("WAIT FOR TRIGGER a").await;
    assert_eq!(lab.fails("WAIT FOR TRIGGER b TIMEOUT INTERVAL '300 milliseconds'").await, "57014");
    let folder = tempfile::tempdir().unwrap();
    let mut options = millstream_mill::MillOptions::new(folder.path());
    options.natives = natives(&Arc::default());
    let other = millstream_mill::Mill::start(&lab.server.uri(), options).await.unwrap();
    lab.tag("WAIT FOR TRIGGER b").await;
    assert_eq!(lab.documents("bookings").await, [doc! {"_id": 1}]);
    other.stop().await.unwrap();
}

/// The example: a function in a view, a procedure in a trigger (SQL-16.5).
#[test]
fn the_example_runs() {
    let server = crate::support::Server::with(&["--memory", "--mill", "off"]);
    let lines = crate::support::programs::rust_example(&server.uri(), "rust-native-routines", &[]).succeed();
    let expected = [
        r#"{ "title": "Dust" }"#,
        r#"{ "title": "Rust" }"#,
        r#"{ "author": "Ann", "n": 3 }"#,
        r#"{ "author": "Bob", "n": 1 }"#,
    ];
    assert_eq!(lines, expected);
}
