//! Where things end (CS-15).

use bson::{Bson, Document, doc};

use crate::support::{Connection, Server};

#[test]
fn a_first_batch_has_101_documents_and_the_next_all_the_others() {
    let server = Server::memory();
    let mut connection = server.connect();
    insert(&mut connection, (0..500).map(|id| doc! {"_id": id}).collect());
    let first = connection.command("shop", doc! {"find": "c"}).unwrap();
    let cursor = first.get_document("cursor").unwrap();
    assert_eq!(cursor.get_array("firstBatch").unwrap().len(), 101);
    let more = doc! {"getMore": cursor.get_i64("id").unwrap(), "collection": "c"};
    let rest = connection.command("shop", more).unwrap();
    let cursor = rest.get_document("cursor").unwrap();
    assert_eq!(cursor.get_array("nextBatch").unwrap().len(), 399);
    assert_eq!(cursor.get("id"), Some(&Bson::Int64(0)));
}

#[test]
fn a_command_has_a_hundred_thousand_writes_at_most() {
    let server = Server::memory();
    let mut connection = server.connect();
    let reply = insert(&mut connection, (0..100_000).map(|id| doc! {"_id": id}).collect());
    assert_eq!(reply.get_i32("n").ok(), Some(100_000), "{reply}");
    let reply = insert(&mut connection, (0..100_001).map(|id| doc! {"_id": -id}).collect());
    assert_eq!(reply.get_i32("code").ok(), Some(16), "{reply}");
    let reply = connection.command("shop", doc! {"count": "c"}).unwrap();
    assert_eq!(reply.get_i32("n").ok(), Some(100_000), "nothing of the refused command was done");
}

#[test]
fn a_document_has_16_mib_at_most() {
    let server = Server::memory();
    let mut connection = server.connect();
    // `{_id: <int32>, pad: <string>}` takes 24 bytes beside the text.
    let largest = 16 * 1024 * 1024 - 24;
    for (id, bytes, fits) in [(1, largest, true), (2, largest + 1, false)] {
        let document = doc! {"_id": id, "pad": "x".repeat(bytes)};
        let reply = insert(&mut connection, vec![document]);
        let refused = reply.get_i32("code").ok().or_else(|| {
            let error = reply.get_array("writeErrors").ok()?.first()?.as_document()?;
            error.get_i32("code").ok()
        });
        assert_eq!(refused, (!fits).then_some(10334), "{bytes}: {reply}");
    }
}

#[test]
fn a_message_has_48_million_bytes_at_most() {
    let server = Server::memory();
    let mut connection = server.connect();
    let documents = |pad: usize| (0..3).map(|id| doc! {"_id": id, "pad": "x".repeat(pad)}).collect::<Vec<_>>();
    let mut insert = |pad| connection.command_with("shop", doc! {"insert": "c"}, "documents", &documents(pad));
    let reply = insert(15_999_900).unwrap();
    assert_eq!(reply.get_i32("n").ok(), Some(3), "{reply}");
    // It may hang up before everything is written.
    let sent = insert(16_000_100);
    assert!(sent.is_err(), "{sent:?}");
    assert!(server.connect().command("shop", doc! {"ping": 1}).is_ok());
}

#[test]
fn a_document_is_180_levels_deep_at_most() {
    let server = Server::memory();
    let mut connection = server.connect();
    let nested = |levels: usize| (1..levels).fold(doc! {}, |inner, _| doc! {"a": inner});
    for (levels, fits) in [(100, true), (179, true), (300, false)] {
        let reply = match connection.command("shop", doc! {"insert": "deep", "documents": [nested(levels)]}) {
            Ok(reply) => reply,
            // A message that is nested too deeply is no message.
            Err(_) => {
                connection = server.connect();
                doc! {}
            }
        };
        let done = reply.get_i32("n").ok() == Some(1) && reply.get("writeErrors").is_none();
        assert_eq!(done, fits, "{levels}: {reply}");
    }
}

#[test]
fn a_name_has_255_bytes_at_most() {
    let server = Server::memory();
    let mut connection = server.connect();
    for (bytes, fits) in [(255 - "shop.".len(), true), (256 - "shop.".len(), false)] {
        let reply = connection.command("shop", doc! {"create": "n".repeat(bytes)}).unwrap();
        let code = reply.get_i32("code").ok();
        assert_eq!(code, (!fits).then_some(73), "{bytes}: {reply}");
    }
    let reply = connection.command(&"d".repeat(64), doc! {"ping": 1}).unwrap();
    assert_eq!(reply.get_i32("code").ok(), Some(73), "{reply}");
    assert!(connection.command(&"d".repeat(63), doc! {"ping": 1}).unwrap().get_i32("code").is_err());
}

fn insert(connection: &mut Connection, documents: Vec<Document>) -> Document {
    connection.command("shop", doc! {"insert": "c", "documents": documents}).unwrap()
}
