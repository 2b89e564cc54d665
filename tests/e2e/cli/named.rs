//! `millstream watch --watcher`: positions in a collection.

use bson::doc;

use super::watch::{event, failure, settle, watch};
use crate::support::Server;
use crate::support::server::signal;

#[test]
fn a_named_watcher_goes_on_from_its_position() {
    let server = Server::durable();
    let mut connection = server.connect();
    let mut insert = |id: i32| {
        let insert = doc! {"insert": "orders", "documents": [{"_id": id}]};
        connection.command("shop", insert).unwrap();
    };
    // The whole database, in which the position lies too: it does not see its own.
    let flags = ["--db", "shop", "--format", "json", "--watcher", "mailer"];
    let mut seen = Vec::new();
    for round in 0..3 {
        let mut watch = watch(&server, &flags);
        settle(&mut watch);
        for id in round * 10..round * 10 + 5 {
            insert(id);
        }
        // The second round sees first what came while nobody watched.
        for _ in 0..if round == 0 { 5 } else { 7 } {
            let event = event(&watch.must_line());
            assert_eq!(event["ns"]["coll"], "orders");
            seen.push(event["documentKey"]["_id"].as_i64().unwrap());
        }
        signal(&watch.child, "-TERM");
        let (rest, status) = watch.finish();
        assert!(status.success() && rest.is_empty(), "{status} {rest:?}");
        for id in round * 10 + 5..round * 10 + 7 {
            insert(id);
        }
    }
    assert_eq!(seen, (0..7).chain(10..17).chain(20..25).collect::<Vec<_>>());
    let find = doc! {"find": "change_stream_tokens", "filter": {"_id": "mailer"}};
    let reply = connection.command("shop", find).unwrap();
    let rows = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    let row = rows[0].as_document().unwrap();
    assert_eq!(row.get_str("scope").unwrap(), "database shop");
    assert!(row.get_datetime("updatedAt").is_ok());

    // Another watch under the same name.
    let text = failure(&["watch", "--uri", &server.uri(), "--db", "shop", "-c", "x", "--watcher", "mailer"]);
    assert!(text.contains("was kept for another scope"), "{text}");
}
