//! Resume tokens: their layout, byte by byte, and what is refused.

use millstream_value::{Doc, DocBuf};

use super::*;

/// CS-0.5.
const TIME: ClusterTime = ClusterTime::new(1_755_427_520, 1);
const UUID: [u8; 16] = *b"\x2f\x6c\x1d\x9e\x7a\x40\x4b\x53\x9c\x1e\x5d\x0f\x3a\x8b\x7e\x21";
const OID: [u8; 12] = *b"\x68\xa1\xb2\xc0\xd4\xe5\xf6\x07\x18\x29\x3a\x4b";

fn key<'v>(id: impl Into<Value<'v>>) -> DocBuf {
    let mut doc = DocBuf::new();
    doc.push("_id", id);
    doc
}

fn name<'a>(operation: &'a str, detail: Detail<'a>) -> EventName<'a> {
    EventName {
        time: TIME,
        version: 2,
        index: 0,
        from_invalidate: false,
        uuid: Some(UUID),
        operation,
        detail,
        fragment: None,
    }
}

/// `T`, `U` and `K` of CS-5.3.5, without the spaces.
fn expand(text: &str) -> String {
    text.replace('T', "8268A1B2C000000001")
        .replace('U', "5A10042F6C1D9E7A404B539C1E5D0F3A8B7E21")
        .replace('K', "463C6F7065726174696F6E54797065003C")
        .replace(' ', "")
}

#[track_caller]
fn check(token: &Token, data: &str, bits: Option<&[u8]>) -> Parts {
    assert_eq!(token.data(), expand(data));
    assert_eq!(token.type_bits.as_deref(), bits);
    let read = Token::from_doc(token.to_doc().as_doc()).unwrap();
    assert_eq!(&read, token);
    read.read().unwrap()
}

/// CS-5.3.5 and CS-5.3.6.
#[test]
fn tokens_are_mongodbs_to_the_byte() {
    let seven = key(7);
    let insert = name("insert", Detail::Key(seven.as_doc()));
    let data = "T 2B04 2C0100 29 6E U K 696E7365727400 46646F63756D656E744B657900 46 1E5F696400 2B0E 00 00 04";
    let full = "8268A1B2C0000000012B042C0100296E5A10042F6C1D9E7A404B539C1E5D0F3A8B7E21463C6F7065726174696F6E54797065003C696E736572740046646F63756D656E744B657900461E5F6964002B0E000004";
    assert_eq!(insert.token().data(), full);
    let parts = check(&insert.token(), data, None);
    assert_eq!((parts.time, parts.version, parts.index, parts.uuid), (TIME, 2, 0, Some(UUID)));
    assert_eq!((parts.kind, parts.from_invalidate, parts.fragment), (TokenKind::Event, false, None));

    let long = key(7_i64);
    check(&name("insert", Detail::Key(long.as_doc())).token(), data, Some(&[0x82, 0x00, 0x01]));
    let double = key(7.0);
    let double_name = name("insert", Detail::Key(double.as_doc()));
    check(&double_name.token(), data, Some(&[0x82, 0x80, 0x00]));
    let old = EventName { version: 1, ..double_name };
    check(&old.token(), "T 2B02 2C0100 29 6E U 46 1E5F696400 2B0E 00 04", Some(&[0x40]));

    let text = key("k1");
    let data = "T 2B04 2C0100 29 6E U K 696E7365727400 46646F63756D656E744B657900 46 3C5F696400 3C6B3100 00 00 04";
    check(&name("insert", Detail::Key(text.as_doc())).token(), data, None);

    let oid = key(Value::ObjectId(OID));
    let third = EventName { index: 3, ..name("insert", Detail::Key(oid.as_doc())) };
    let data = "T 2B04 2C0100 2B06 6E U K 696E7365727400 46646F63756D656E744B657900 46 645F696400 6468A1B2C0D4E5F60718293A4B 00 00 04";
    assert_eq!(check(&third.token(), data, None).index, 3);

    let fragment = EventName { fragment: Some(1), ..name("update", Detail::Key(oid.as_doc())) };
    let data = "T 2B04 2C0100 29 6E U K 75706461746500 46646F63756D656E744B657900 46 645F696400 6468A1B2C0D4E5F60718293A4B 00 00 2B02 04";
    let parts = check(&fragment.token(), data, None);
    assert_eq!(parts.fragment, Some(1));
    let whole = EventName { fragment: None, ..fragment }.token();
    assert_eq!(fragment.token().without_fragment(parts.base_bytes), whole);

    let drop = name("drop", Detail::None);
    check(&drop.token(), "T 2B04 2C0100 29 6E U K 64726F7000 00 04", None);
    let invalidate = EventName { from_invalidate: true, ..drop };
    let parts = check(&invalidate.token(), "T 2B04 2C0100 29 6F U K 64726F7000 00 04", None);
    assert!(parts.from_invalidate && invalidate.token() > drop.token());
    let drop_database = EventName { uuid: None, ..name("dropDatabase", Detail::None) };
    let parts = check(&drop_database.token(), "T 2B04 2C0100 29 6E 14 K 64726F70446174616261736500 00 04", None);
    assert_eq!(parts.uuid, None);

    // CS-5.2.2.
    let mark = Token::high_water_mark(TIME);
    assert_eq!(check(&mark, "T 2B04 29 29 6E 14 04", None).kind, TokenKind::HighWaterMark);
    // CS-5.4.2.
    assert!(mark < insert.token() && insert.token() < Token::high_water_mark(TIME.next()));
    let old_mark = Token { data: expand("T 2B02 29 29 6E 04"), type_bits: None };
    let parts = old_mark.read().unwrap();
    assert_eq!((parts.kind, parts.version, parts.uuid), (TokenKind::HighWaterMark, 1, None));
}

/// CS-5.3.3 and CS-5.3.4: decimals keep their place among the numbers, and every type bit its place among the others, so that
/// what follows a key is read right.
#[test]
fn numbers_in_keys_keep_their_order_and_their_types() {
    let decimal = |text: &str| Value::Decimal(millstream_value::Decimal::parse(text).unwrap());
    let rising = [
        decimal("-1E400"),
        Value::Int64(i64::MIN),
        decimal("-2.5"),
        Value::Double(-0.1),
        decimal("-0.1"),
        Value::Double(-0.0),
        decimal("0.1"),
        Value::Double(0.1),
        Value::Int32(1),
        decimal("1.5"),
        Value::Int64(2),
        decimal("1E30"),
        Value::Double(1e300),
    ];
    let mut last = String::new();
    for id in rising {
        let key = key(id.clone());
        let name = EventName { fragment: Some(7), ..name("insert", Detail::Key(key.as_doc())) };
        let token = name.token();
        assert!(token.data() > last.as_str(), "{id:?}");
        assert_eq!(token, name.token());
        assert_eq!(token.read().map(|parts| parts.fragment), Ok(Some(7)), "{id:?}");
        last = token.data().to_owned();
    }
    // Five bits for a negative zero: those of a decimal, then which one; the flags after it are where they were.
    let zero = key(-0.0);
    let name = name("insert", Detail::Key(zero.as_doc()));
    assert_eq!(name.token().type_bits.as_deref(), Some([0x82, 0x80, 0x01].as_slice()));
    // So many numbers that their bits take the long form.
    let mut many = DocBuf::new();
    for _ in 0..2_000 {
        many.push("n", 1.5);
    }
    let key = key(many);
    let name = EventName { fragment: Some(7), detail: Detail::Key(key.as_doc()), ..name };
    assert_eq!(name.token().type_bits.as_deref().map(|bits| bits[0]), Some(0x80));
    assert_eq!(name.token().read().map(|parts| parts.fragment), Ok(Some(7)));
}

/// CS-5.5.
#[test]
fn every_malformed_token_has_its_code() {
    let code = |data: &str| {
        let token = Token { data: expand(data), type_bits: None };
        token.read().unwrap_err().code().number()
    };
    for (data, expected) in [
        ("xyz", 9),
        ("8", 9),
        ("", 40_649),
        ("ABCD", 50_811),
        ("T", 50_796),
        ("T 6E", 50_854),
        ("T 2B06", 50_795),
        ("T 2B04", 51_055),
        ("T 2B04 6E", 51_056),
        ("T 2B04 2B02", 51_057),
        ("T 2B04 29", 50_793),
        ("T 2B04 29 6E", 50_855),
        ("T 2B04 29 27FD", 50_794),
        ("T 2B04 29 29", 50_872),
        ("T 2B04 29 29 29", 50_870),
        ("T 2B04 29 29 6E 04", 6_189_500),
        ("T 2B04 29 29 6E 14 4600 04", 6_189_504),
        ("T 2B04 2C0100 29 6E U 04", 6_189_501),
        ("T 2B04 2C0100 29 6E U 29 04", 6_189_503),
        ("T 2B04 2C0100 29 6E U 4600 27FD 04", 7_182_501),
        ("T 2B04 2C0100 29 6E U 4600 29 29 04", 40_646),
        ("T 2B04 2C01", 50_810),
    ] {
        assert_eq!(code(data), expected, "{data}");
    }
    let outer = |doc: DocBuf| Token::from_doc(doc.as_doc()).unwrap_err().code().number();
    assert_eq!(outer(DocBuf::new()), 40_647);
    assert_eq!(outer(key(1)), 40_647);
    let mut doc = DocBuf::new();
    doc.push("_data", "82").push("_typeBits", 1);
    assert_eq!(outer(doc), 40_648);
}

/// A version that is a double is not an int, which only the type bits tell (CS-5.3.4).
#[test]
fn type_bits_tell_an_int_from_a_double() {
    let token = Token { data: expand("T 2B04 29 29 6E 14 04"), type_bits: Some(vec![0x01]) };
    assert_eq!(token.read(), Err(TokenError::VersionType));
}

#[test]
fn every_value_is_walked_over_and_every_cut_is_survived() {
    let mut inner = DocBuf::new();
    inner.push("d", 1.5).push("n", -300).push("l", 1_i64 << 60).push("f", -1234.5678).push("nan", f64::NAN);
    inner.push("big", 1e300).push("small", -1e-9).push("t", "a\0b").push("null", Value::Null).push("b", true);
    inner.push("dec", millstream_value::Decimal::parse("0.1").unwrap());
    inner.push("dec2", millstream_value::Decimal::parse("-12345678901234567890.5").unwrap());
    inner.push("bin", Value::Binary(0, vec![7; 300].into())).push("date", Value::Date(-5));
    inner.push("re", Value::Regex("a.c".into(), "i".into())).push("oid", Value::ObjectId(OID));
    inner.push("code", Value::Code("x".into())).push("min", Value::MinKey).push("max", Value::MaxKey);
    inner.array("list", |list| {
        list.push(1).push("x").push(Doc::empty());
    });
    let key = key(inner);
    let name = EventName { fragment: Some(5), ..name("insert", Detail::Key(key.as_doc())) };
    let token = name.token();
    assert_eq!(token.read().unwrap().fragment, Some(5));
    for cut in 0..token.data().len() {
        let token = Token { data: token.data()[..cut].to_owned(), type_bits: None };
        assert!(token.read().is_err() || cut + 2 >= name.token().data().len() - 8);
    }
    let mut state = 1_u64;
    for _ in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(state >> 33).unwrap() % token.data().len();
        let mut data = token.data().to_owned().into_bytes();
        data[at] = b"0123456789ABCDEF"[usize::try_from(state & 15).unwrap()];
        let _ = Token { data: String::from_utf8(data).unwrap(), type_bits: None }.read();
    }
}

/// A place in a snapshot is a token like others, and sorts as a stream meets it.
#[test]
fn places_in_a_snapshot() {
    use super::place::{self, Position, WHOLE};

    let at = |id: Value<'_>| Position { uuid: UUID, key: key::of(&id), inclusive: true, collated: false };
    let seven = at(Value::Int64(7));
    let document = |position: &Position, fragment| place::of_document(position, TIME, fragment).to_token();
    let snapshot = "T 2B04 2C0100 2EFFFFFFFE 6E U K 736E617073686F7400";
    let data = format!("{snapshot} 46646F63756D656E744B657900 46 1E5F696400 2B0E 00 00 04");
    let parts = check(&document(&seven, None), &data, None);
    assert_eq!((parts.index, parts.position), (WHOLE, Some(seven.clone())));
    let parts = check(
        &Position::start().name(TIME, WHOLE).token(),
        &expand(&format!("{snapshot} 00 04")).replace(&expand("U"), &format!("5A1004{}", "0".repeat(32))),
        None,
    );
    assert_eq!(parts.position, Some(Position::start()));

    // Before everything, in the order of the documents; a part of a document is not the document, the last one is.
    let before = Position { inclusive: false, ..seven.clone() };
    let ladder = [
        (Token::high_water_mark(TIME), None),
        (name("insert", Detail::Key(key(7).as_doc())).token(), None),
        (before.name(TIME, 3).token(), Some(before.clone())),
        (seven.name(TIME, 3).token(), Some(seven.clone())),
        (Position::start().name(TIME, WHOLE).token(), Some(Position::start())),
        (before.name(TIME, WHOLE).token(), Some(before.clone())),
        (document(&at(6.5.into()), None), Some(at(6.5.into()))),
        (document(&seven, None), Some(seven.clone())),
        (document(&seven, Some(0)), Some(before.clone())),
        (document(&seven, Some(1)), Some(before)),
        (seven.behind_fragments(TIME), Some(seven)),
        (document(&at("".into()), None), Some(at("".into()))),
        (document(&at(true.into()), None), Some(at(true.into()))),
        (Token::high_water_mark(TIME.next()), None),
        (
            Position { collated: true, ..at("b".into()) }.name(TIME.next(), 0).token(),
            Some(Position { collated: true, ..at("b".into()) }),
        ),
    ];
    for pair in ladder.windows(2) {
        assert!(pair[0].0 < pair[1].0, "{pair:?}");
    }
    for (token, position) in &ladder {
        assert_eq!(&token.read().unwrap().position, position, "{token:?}");
    }
}
