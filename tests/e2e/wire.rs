//! What the server refuses at the level of messages, and that nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bson::spec::BinarySubtype;
use bson::{Binary, doc};

use crate::support::Server;

#[test]
fn malformed_messages_close_their_connection_only() {
    let server = Server::memory();
    let mut healthy = server.connect();
    let header = |length: i32, code: i32| {
        let mut bytes = Vec::new();
        for word in [length, 1, 0, code] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    };
    let with = |mut bytes: Vec<u8>, rest: &[u8]| {
        bytes.extend_from_slice(rest);
        bytes
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a length below a header", header(3, 2013)),
        ("a negative length", header(-1, 2013)),
        ("a length of 2 GB", header(i32::MAX, 2013)),
        ("an unknown operation", with(header(20, 4242), &[0; 4])),
        ("no section at all", with(header(20, 2013), &[0; 4])),
        ("an unknown section", with(header(26, 2013), &[0, 0, 0, 0, 9, 5, 0, 0, 0, 0])),
        ("a document longer than its message", with(header(26, 2013), &[0, 0, 0, 0, 0, 99, 0, 0, 0, 0])),
        ("a negative document length", with(header(26, 2013), &[0, 0, 0, 0, 0, 255, 255, 255, 255, 0])),
        ("an unknown required flag", with(header(26, 2013), &[4, 0, 0, 0, 0, 5, 0, 0, 0, 0])),
        ("an unknown compressor", with(header(30, 2012), &[0xDD, 7, 0, 0, 5, 0, 0, 0, 200, 0, 0, 0, 0, 0])),
        ("a bomb", with(header(30, 2012), &[0xDD, 7, 0, 0, 255, 255, 255, 127, 2, 0, 0, 0, 0, 0])),
        ("text", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in cases {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut rest = Vec::new();
        // Closed at once, with or without an answer; a reset is a close too.
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{what}: {error}"),
        }
        let reply = healthy.command("admin", doc! {"ping": 1}).unwrap();
        assert_eq!(reply.get_f64("ok").ok(), Some(1.0), "after {what}");
    }
}

#[test]
fn random_bytes_and_broken_documents_do_no_harm() {
    use rand::{RngCore, SeedableRng};
    let server = Server::memory();
    let mut random = rand::rngs::StdRng::seed_from_u64(42);
    for _ in 0..200 {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let mut body = vec![0; 64];
        random.fill_bytes(&mut body);
        let mut message = Vec::new();
        for word in [16 + 5 + 64, 1, 0, 2013, 0] {
            message.extend_from_slice(&i32::to_le_bytes(word));
        }
        message.push(0);
        body[..4].copy_from_slice(&64_i32.to_le_bytes());
        body[63] = 0;
        message.extend_from_slice(&body);
        // The server may close before everything is written.
        let _ = stream.write_all(&message);
    }
    let reply = server.connect().command("admin", doc! {"ping": 1}).unwrap();
    assert_eq!(reply.get_f64("ok").ok(), Some(1.0));
}

#[test]
fn the_first_message_may_be_an_old_query() {
    let server = Server::memory();
    let body = doc! {"isMaster": 1, "helloOk": true}.to_vec().unwrap();
    let mut message = Vec::new();
    let name = b"admin.$cmd\0";
    let total = 16 + 4 + name.len() + 8 + body.len();
    for word in [i32::try_from(total).unwrap(), 1, 0, 2004, 0] {
        message.extend_from_slice(&word.to_le_bytes());
    }
    message.extend_from_slice(name);
    message.extend_from_slice(&0_i32.to_le_bytes());
    message.extend_from_slice(&(-1_i32).to_le_bytes());
    message.extend_from_slice(&body);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(&message).unwrap();
    let mut header = [0; 36];
    stream.read_exact(&mut header).unwrap();
    let word = |at: usize| i32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i]));
    assert_eq!((word(8), word(12)), (1, 1), "responseTo, and OP_REPLY");
    let mut reply = vec![0; usize::try_from(word(0)).unwrap() - 36];
    stream.read_exact(&mut reply).unwrap();
    let reply = bson::Document::from_reader(reply.as_slice()).unwrap();
    assert_eq!(reply.get_bool("ismaster").ok(), Some(true));
    assert_eq!(reply.get_bool("helloOk").ok(), Some(true));
}

/// CS-13.17: lists of documents may come in sections of their own, before the command or after it.
#[test]
fn sections_may_come_in_any_order() {
    let server = Server::memory();
    let mut connection = server.connect();
    let documents = [doc! {"_id": 1}, doc! {"_id": 2}, doc! {"_id": 3}];
    let reply = connection.command_with("shop", doc! {"insert": "c"}, "documents", &documents).unwrap();
    assert_eq!(reply.get_i32("n").ok(), Some(3), "{reply}");
    let updates = [doc! {"q": {}, "u": {"$set": {"a": 1}}, "multi": true}];
    let reply = connection.command_with("shop", doc! {"update": "c"}, "updates", &updates).unwrap();
    assert_eq!(reply.get_i32("nModified").ok(), Some(3), "{reply}");
    let deletes = [doc! {"q": {"_id": 1}, "limit": 1}, doc! {"q": {"_id": 2}, "limit": 1}];
    let reply = connection.command_with("shop", doc! {"delete": "c"}, "deletes", &deletes).unwrap();
    assert_eq!(reply.get_i32("n").ok(), Some(2), "{reply}");
    let bulk = doc! {"bulkWrite": 1, "nsInfo": [{"ns": "shop.c"}]};
    let ops = [doc! {"insert": 0, "document": {"_id": 9}}];
    let reply = connection.command_with("admin", bulk, "ops", &ops).unwrap();
    assert_eq!(reply.get_i32("nInserted").ok(), Some(1), "{reply}");
    let reply = connection.command_with("shop", doc! {"insert": "c"}, "others", &documents).unwrap();
    assert_eq!(reply.get_i32("code").ok(), Some(40415), "{reply}");
}

#[test]
fn a_retried_write_runs_once() {
    let server = Server::durable();
    let mut connection = server.connect();
    let session = doc! {"id": Binary {subtype: BinarySubtype::Uuid, bytes: vec![7; 16]}};
    let watch = doc! {"aggregate": "c", "pipeline": [{"$changeStream": {}}], "cursor": {}};
    let opened = connection.command("shop", watch).unwrap();
    let cursor = opened.get_document("cursor").unwrap().get_i64("id").unwrap();
    let insert = doc! {"insert": "c", "documents": [{"_id": 1}], "lsid": session.clone(), "txnNumber": 1_i64};
    let update = doc! {
        "update": "c",
        "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}],
        "lsid": session,
        "txnNumber": 2_i64,
    };
    for command in [&insert, &insert, &update, &update] {
        let reply = connection.command("shop", command.clone()).unwrap();
        assert_eq!(reply.get_i32("n").ok(), Some(1), "{reply}");
        assert!(reply.get("writeErrors").is_none(), "{reply}");
    }
    let stored = connection.command("shop", doc! {"find": "c"}).unwrap();
    let stored = stored.get_document("cursor").unwrap().get_array("firstBatch").unwrap().clone();
    assert_eq!(stored, [bson::Bson::Document(doc! {"_id": 1, "n": 1})]);
    let more = doc! {"getMore": cursor, "collection": "c", "maxTimeMS": 1};
    let events = connection.command("shop", more).unwrap();
    let events = events.get_document("cursor").unwrap().get_array("nextBatch").unwrap();
    assert_eq!(events.len(), 2, "one insert, one update: {events:?}");
    // A number from before is refused.
    let reply = connection.command("shop", insert).unwrap();
    assert_eq!(reply.get_i32("code").ok(), Some(225), "{reply}");
}

/// CS-13.7, CS-14.45.
#[test]
fn a_retry_after_a_crash_runs_once() {
    let mut server = Server::durable();
    let session = doc! {"id": Binary {subtype: BinarySubtype::Uuid, bytes: vec![9; 16]}};
    let update = doc! {
        "update": "c",
        "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}, "upsert": true}],
        "lsid": session,
        "txnNumber": 1_i64,
    };
    let reply = server.connect().command("shop", update.clone()).unwrap();
    assert_eq!(reply.get_i32("n").ok(), Some(1), "{reply}");
    server.kill();
    server.start_again();
    let mut connection = server.connect();
    let reply = connection.command("shop", update).unwrap();
    assert_eq!(reply.get_i32("n").ok(), Some(1), "{reply}");
    let stored = connection.command("shop", doc! {"find": "c"}).unwrap();
    let stored = stored.get_document("cursor").unwrap().get_array("firstBatch").unwrap().clone();
    assert_eq!(stored, [bson::Bson::Document(doc! {"_id": 1, "n": 1})]);
}
