//! Messages through the public door: round trips, every malformed form, random damage.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use bson::doc;
use bytes::{Buf, Bytes};
use millstream_wire::{
    Compressor, Envelope, Error, Flags, HEADER_BYTES, Header, MAX_DOCUMENT_BYTES, OpCode, Outgoing, Packing, Request,
    Result, encode_query,
};

fn bytes(document: &bson::Document) -> Vec<u8> {
    document.to_vec().unwrap()
}

/// What a connection does with a whole message.
fn receive(message: &[u8]) -> Result<Request> {
    let (header, body) = message.split_first_chunk::<HEADER_BYTES>().expect("a header");
    Request::decode(&Header::parse(header)?, Bytes::copy_from_slice(body))
}

/// A message of this kind around these bytes.
fn message(op_code: i32, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut message = i32::try_from(HEADER_BYTES + content.len()).unwrap().to_le_bytes().to_vec();
    message.extend(9i32.to_le_bytes());
    message.extend(0i32.to_le_bytes());
    message.extend(op_code.to_le_bytes());
    message.extend(content);
    message
}

const NO_FLAGS: &[u8] = &[0; 4];

fn insert() -> Vec<u8> {
    let body = bytes(&doc! { "insert": "orders", "$db": "shop" });
    let first = bytes(&doc! { "_id": 1, "text": "a".repeat(500) });
    let second = bytes(&doc! { "_id": 2, "list": [1, 2.5, "é", { "deep": true }] });
    Outgoing {
        request_id: 9,
        flags: Flags { checksum_present: true, ..Flags::default() },
        body: &body,
        sequences: &[("documents", &[&first, &second])],
        compressor: None,
    }
    .encode()
    .unwrap()
}

#[test]
fn a_command_with_a_sequence_arrives_as_slices_of_one_buffer() {
    let message = insert();
    let (header, rest) = message.split_first_chunk::<HEADER_BYTES>().unwrap();
    let buffer = Bytes::copy_from_slice(rest);
    let request = Request::decode(&Header::parse(header).unwrap(), buffer.clone()).unwrap();
    assert_eq!((request.id, request.legacy.as_deref(), request.compressor), (9, None, None));
    let documents = request.sequence("documents").unwrap();
    assert_eq!((documents.len(), documents.is_empty()), (2, false));
    let ids: Vec<i32> =
        documents.iter().map(|bytes| bson::Document::from_reader(bytes).unwrap().get_i32("_id").unwrap()).collect();
    assert_eq!(ids, [1, 2]);
    let inside = buffer.as_ptr_range();
    for document in documents.documents().chain([request.body.clone()]) {
        assert!(inside.contains(&document.as_ptr()), "a document was copied");
    }
    assert!(request.sequence("updates").is_none());
}

#[test]
fn sections_may_come_in_any_order() {
    let body = bytes(&doc! { "insert": "orders", "$db": "shop" });
    let one = bytes(&doc! { "_id": 1 });
    let length = i32::try_from(4 + 10 + one.len()).unwrap().to_le_bytes();
    let sequence = [&[1], &length[..], b"documents\0", &one].concat();
    let request = receive(&message(2013, &[NO_FLAGS, &sequence, &[0], &body])).unwrap();
    assert_eq!(request.body, body);
    assert_eq!(request.sequence("documents").unwrap().len(), 1);
}

#[test]
fn an_empty_sequence_is_a_sequence() {
    let body = bytes(&doc! { "insert": "orders" });
    let sequences: &[(&str, &[&[u8]])] = &[("documents", &[])];
    let message = Outgoing { body: &body, sequences, ..Outgoing::default() }.encode().unwrap();
    let request = receive(&message).unwrap();
    assert!(request.sequence("documents").unwrap().is_empty());
}

#[test]
fn flags_are_read() {
    let body = bytes(&doc! { "ping": 1 });
    for bits in 0..8 {
        let flags =
            Flags { checksum_present: bits & 1 != 0, more_to_come: bits & 2 != 0, exhaust_allowed: bits & 4 != 0 };
        let message = Outgoing { flags, body: &body, ..Outgoing::default() }.encode().unwrap();
        assert_eq!(receive(&message).unwrap().flags, flags);
    }
    // CS-13.16: unknown bits from 16 on are ignored, below they are errors.
    for bit in 0..32 {
        let flags = 1u32 << bit;
        let result = receive(&message(2013, &[&flags.to_le_bytes(), &[0], &body]));
        match bit {
            0 => assert!(matches!(result, Err(Error::Checksum { .. }))),
            1 | 16.. => assert!(result.is_ok(), "bit {bit}"),
            _ => assert!(matches!(result, Err(Error::Flags(f)) if f == flags), "bit {bit}"),
        }
    }
}

#[test]
fn a_wrong_checksum_is_noticed_wherever_the_damage_is() {
    let whole = insert();
    assert!(receive(&whole).is_ok());
    // Bytes 4-15 are not looked at before the checksum is, and the length and kind are.
    for at in (4..12).chain(20..whole.len()) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        assert!(matches!(receive(&damaged), Err(Error::Checksum { .. })), "byte {at}");
    }
}

#[test]
fn requests_are_uncompressed() {
    let body = bytes(&doc! { "find": "orders", "filter": { "text": "long ".repeat(3_000) } });
    for compressor in [Compressor::Noop, Compressor::Snappy, Compressor::Zlib, Compressor::Zstd] {
        for checksum_present in [false, true] {
            let flags = Flags { checksum_present, ..Flags::default() };
            let outgoing = Outgoing { request_id: 5, flags, body: &body, sequences: &[], compressor: Some(compressor) };
            let message = outgoing.encode().unwrap();
            let shrunk = message.len() < body.len();
            assert_eq!(shrunk, compressor != Compressor::Noop, "{compressor:?}");
            let request = receive(&message).unwrap();
            assert_eq!((request.id, request.compressor), (5, Some(compressor)));
            assert_eq!(request.body, body);
        }
    }
}

#[test]
fn replies_survive_every_packing() {
    let document = bytes(&doc! { "ok": 1.0, "text": "long ".repeat(300) });
    for compressor in
        [None, Some(Compressor::Noop), Some(Compressor::Snappy), Some(Compressor::Zlib), Some(Compressor::Zstd)]
    {
        for checksum_present in [false, true] {
            let flags = Flags { checksum_present, more_to_come: true, ..Flags::default() };
            let packing = Packing::Message(flags);
            let envelope = Envelope { request_id: 3, response_to: 9, packing, compressor };
            let mut packed = envelope.pack(document.clone()).unwrap();
            let message = packed.copy_to_bytes(packed.remaining());
            let header = Header::parse(message.first_chunk().unwrap()).unwrap();
            assert_eq!((header.length, header.response_to), (message.len(), 9));
            // A reply is a request by another name, so the decoder checks the checksum too.
            let reply = receive(&message).unwrap();
            assert_eq!((reply.id, &reply.body[..], reply.compressor), (3, &document[..], compressor));
            assert_eq!(reply.flags.checksum_present, checksum_present && compressor.is_none());
            assert!(reply.flags.more_to_come);
        }
    }
}

#[test]
fn a_legacy_reply_holds_one_document() {
    let document = bytes(&doc! { "ok": 1.0 });
    let envelope = Envelope { request_id: 3, response_to: 9, packing: Packing::Legacy, compressor: None };
    let mut packed = envelope.pack(document.clone()).unwrap();
    let message = packed.copy_to_bytes(packed.remaining());
    let header = Header::parse(message.first_chunk().unwrap()).unwrap();
    assert_eq!(header, Header { length: 36 + document.len(), request_id: 3, response_to: 9, op_code: OpCode::Reply });
    assert_eq!(message[32..36], 1i32.to_le_bytes());
    assert_eq!(message[36..], document);
    assert!(matches!(receive(&message), Err(Error::OpCode(1))), "nobody may send us a reply");
}

#[test]
fn a_legacy_query_is_a_request() {
    let command = doc! { "isMaster": 1, "helloOk": true };
    let request = receive(&encode_query(4, "admin.$cmd", &bytes(&command)).unwrap()).unwrap();
    assert_eq!((request.id, request.legacy.as_deref()), (4, Some("admin.$cmd")));
    assert_eq!(request.body, bytes(&command));

    let wrapped = doc! { "$query": command.clone(), "$readPreference": { "mode": "nearest" } };
    let request = receive(&encode_query(4, "admin.$cmd", &bytes(&wrapped)).unwrap()).unwrap();
    assert_eq!(request.body, bytes(&command));
}

#[test]
fn malformed_sections_are_refused() {
    let body = &bytes(&doc! { "ping": 1 })[..];
    let msg = |parts: &[&[u8]]| receive(&message(2013, &[&[NO_FLAGS], parts].concat()));
    assert!(matches!(receive(&message(2013, &[&[0, 0]])), Err(Error::Truncated(_))));
    assert!(matches!(receive(&message(2013, &[&[1, 0, 0, 0], &[0, 0]])), Err(Error::Truncated(_))));
    assert!(matches!(msg(&[]), Err(Error::Bodies(0))));
    assert!(matches!(msg(&[&[0], body, &[0], body]), Err(Error::Bodies(2))));
    assert!(matches!(msg(&[&[2], body]), Err(Error::SectionKind(2))));
    assert!(matches!(msg(&[&[0], body, &[0]]), Err(Error::Truncated(_))));
    assert!(matches!(msg(&[&[0], &body[..body.len() - 1]]), Err(Error::Truncated(_))));
    let sequence = |length: i32, rest: &[u8]| msg(&[&[0], body, &[1], &length.to_le_bytes(), rest]);
    assert!(sequence(6, b"a\0").is_ok());
    assert!(matches!(sequence(-1, b"a\0"), Err(Error::SectionLength(-1))));
    assert!(matches!(sequence(3, b"a\0"), Err(Error::SectionLength(3))));
    assert!(matches!(sequence(7, b"a\0"), Err(Error::Truncated(_))));
    assert!(matches!(sequence(i32::MAX, b"a\0"), Err(Error::Truncated(_))));
    assert!(matches!(sequence(5, b"ab\0"), Err(Error::Name(_))), "the name must end in its section");
    assert!(matches!(sequence(6, b"\xff\0"), Err(Error::Name(_))));
    assert!(sequence(260, &[b"a".repeat(255), vec![0]].concat()).is_ok());
    assert!(matches!(sequence(261, &[b"a".repeat(256), vec![0]].concat()), Err(Error::Name(_))));
    assert!(matches!(sequence(9, b"a\0\x05\0\0"), Err(Error::Truncated(_))));
    assert!(matches!(sequence(9, b"ping\0"), Err(Error::DuplicateSequence(_))));
    let one: &[u8] = b"\x01\x06\0\0\0a\0";
    assert!(matches!(msg(&[&[0], body, one, one]), Err(Error::DuplicateSequence(_))));
    let many: Vec<u8> = (b'a'..=b'p').flat_map(|name| [1, 6, 0, 0, 0, name, 0]).collect();
    assert!(matches!(msg(&[&[0], body, &many]), Err(Error::Sections)));
}

#[test]
fn malformed_documents_are_refused() {
    let msg = |document: &[u8]| receive(&message(2013, &[NO_FLAGS, &[0], document]));
    for length in [i32::MIN, -1, 0, 4, i32::try_from(MAX_DOCUMENT_BYTES).unwrap() + 1, i32::MAX] {
        let document = [&length.to_le_bytes()[..], &[0]].concat();
        assert!(matches!(msg(&document), Err(Error::DocumentLength(l)) if l == length));
    }
    assert!(matches!(msg(b"\x06\0\0\0\0\0"), Err(Error::Document(_))));
    assert!(matches!(msg(b"\x0d\0\0\0\x02a\0\x01\0\0\0\xff\0"), Err(Error::Document(_))));
    assert!(matches!(msg(b"\x08\0\0\0\x20a\0\0"), Err(Error::Document(_))), "unknown type");
    let mut deep = doc! {};
    for _ in 0..250 {
        deep = doc! { "a": deep };
    }
    assert!(matches!(msg(&bytes(&deep)), Err(Error::Document(_))));
}

#[test]
fn malformed_queries_are_refused() {
    let body = &bytes(&doc! { "isMaster": 1 })[..];
    let counts = [0; 8];
    let query = |parts: &[&[u8]]| receive(&message(2004, parts));
    assert!(query(&[NO_FLAGS, b"admin.$cmd\0", &counts, body]).is_ok());
    assert!(query(&[NO_FLAGS, b"admin.$cmd\0", &counts, body, body]).is_ok(), "a field selector");
    assert!(matches!(query(&[NO_FLAGS, b"admin.$cmd\0", &counts, body, body, &[0]]), Err(Error::Trailing(1))));
    assert!(matches!(query(&[NO_FLAGS, b"admin.$cmd"]), Err(Error::Name(_))));
    assert!(matches!(query(&[NO_FLAGS, &b"a".repeat(300), &[0]]), Err(Error::Name(_))));
    assert!(matches!(query(&[NO_FLAGS, b"admin.$cmd\0", &[0; 6]]), Err(Error::Truncated(_))));
}

#[test]
fn malformed_compression_is_refused() {
    let content = [NO_FLAGS, &[0], &bytes(&doc! { "ping": 1 })].concat();
    let size = i32::try_from(content.len()).unwrap();
    let wrapped = |op_code: i32, size: i32, compressor: u8, content: &[u8]| {
        receive(&message(2012, &[&op_code.to_le_bytes(), &size.to_le_bytes(), &[compressor], content]))
    };
    assert!(wrapped(2013, size, 0, &content).is_ok());
    for op_code in [0, 1, 2001, 2012, 2014] {
        assert!(matches!(wrapped(op_code, size, 0, &content), Err(Error::CompressedOpCode(_))));
    }
    for compressor in [4, 5, 255] {
        assert!(matches!(wrapped(2013, size, compressor, &content), Err(Error::Compressor(_))));
    }
    for size in [-1, i32::MIN, 48_000_000, i32::MAX] {
        for compressor in 0..4 {
            let result = wrapped(2013, size, compressor, &content);
            assert!(matches!(result, Err(Error::UncompressedLength(_))));
        }
    }
    let zeros = vec![0; 1_000];
    let packed = [
        content,
        snap::raw::Encoder::new().compress_vec(&zeros).unwrap(),
        {
            use std::io::Write;
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&zeros).unwrap();
            encoder.finish().unwrap()
        },
        zstd::bulk::compress(&zeros, 1).unwrap(),
    ];
    for (compressor, packed) in (0u8..).zip(&packed) {
        for size in [0, 1, 999, 1_001, 40_000_000] {
            let result = wrapped(2013, size, compressor, packed);
            assert!(matches!(result, Err(Error::Compressed(_))), "{compressor} as {size}: {result:?}");
        }
        let result = wrapped(2013, 1_000, compressor, b"garbage in");
        assert!(matches!(result, Err(Error::Compressed(_))), "{compressor}");
        assert!(matches!(wrapped(2013, 1_000, compressor, &[]), Err(Error::Compressed(_))));
    }
    assert!(matches!(receive(&message(2012, &[&[0; 8]])), Err(Error::Truncated(_))));
}

#[test]
fn a_body_of_another_length_than_stated_is_refused() {
    let whole = insert();
    let header = Header::parse(whole.first_chunk().unwrap()).unwrap();
    let short = Bytes::copy_from_slice(&whole[HEADER_BYTES..whole.len() - 1]);
    assert!(matches!(Request::decode(&header, short), Err(Error::Truncated(_))));
}

#[test]
fn random_damage_never_panics() {
    // xorshift: the same damage on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let body = bytes(&doc! { "insert": "orders", "n": { "list": [1, "two", { "three": 3.0 }] } });
    let one = bytes(&doc! { "_id": 1, "text": "x".repeat(40) });
    let plain = |compressor| {
        let sequences: &[(&str, &[&[u8]])] = &[("documents", &[&one, &one])];
        Outgoing { body: &body, sequences, compressor, ..Outgoing::default() }.encode().unwrap()
    };
    let seeds = [
        insert(),
        plain(None),
        plain(Some(Compressor::Noop)),
        plain(Some(Compressor::Snappy)),
        plain(Some(Compressor::Zlib)),
        plain(Some(Compressor::Zstd)),
        encode_query(1, "admin.$cmd", &body).unwrap(),
    ];
    let mut accepted = 0;
    for round in 0..30_000 {
        let mut damaged = seeds[round % seeds.len()].clone();
        for _ in 0..=random(4) {
            match random(4) {
                0 => {
                    let at = random(damaged.len());
                    damaged[at] = u8::try_from(random(256)).unwrap();
                }
                1 => {
                    let at = random(damaged.len());
                    damaged[at] ^= 1 << random(8);
                }
                2 if damaged.len() > HEADER_BYTES + 1 => {
                    let keep = HEADER_BYTES + random(damaged.len() - HEADER_BYTES);
                    damaged.truncate(keep);
                }
                _ => {
                    let at = HEADER_BYTES + random(damaged.len() - HEADER_BYTES + 1);
                    damaged.insert(at.min(damaged.len()), 0xff);
                }
            }
        }
        // Half of the time the length is put right, so that the damage reaches the inside.
        if random(2) == 0 {
            let length = i32::try_from(damaged.len()).unwrap().to_le_bytes();
            damaged[..4].copy_from_slice(&length);
        }
        if let Ok(request) = receive(&damaged) {
            accepted += 1;
            let documents = request.sequences.iter().map(|sequence| sequence.iter().count());
            let _ = documents.sum::<usize>();
        }
    }
    assert!(accepted > 0, "some damage is harmless");
}
