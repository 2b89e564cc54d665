//! Collation documents, what their options mean, and that keys and comparison agree.

mod uses;

use std::cmp::Ordering::{self, Equal, Greater, Less};

use bson::doc;
use millstream_value::{compare_by, from_bson_document, key};

use super::*;

fn parse(spec: bson::Document) -> Result<Option<Collation>> {
    Collation::parse(from_bson_document(&spec).as_doc())
}

fn collation(spec: bson::Document) -> Collation {
    parse(spec).unwrap().unwrap()
}

/// The comparison and the keys of two texts agree; this is what both say.
fn compared(collation: &Collation, a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    collation.append_key(a, &mut left);
    collation.append_key(b, &mut right);
    let order = collation.compare(a, b);
    assert_eq!(left.cmp(&right), order, "keys of {a:?} and {b:?} under {collation:?}");
    order
}

#[test]
fn options_mean_what_they_say() {
    for (spec, a, b, order) in [
        (doc! {"locale": "en"}, "a", "B", Less),
        (doc! {"locale": "en"}, "a", "A", Less),
        (doc! {"locale": "en", "strength": 1}, "Éva", "eva", Equal),
        (doc! {"locale": "en", "strength": 2}, "ABC", "abc", Equal),
        (doc! {"locale": "en", "strength": 2}, "abc", "åbc", Less),
        (doc! {"locale": "en", "strength": 2.0}, "eva", "éva", Less),
        (doc! {"locale": "en", "strength": 1, "caseLevel": true}, "eva", "Eva", Less),
        (doc! {"locale": "en", "strength": 1, "caseLevel": true}, "eva", "éva", Equal),
        (doc! {"locale": "en", "caseFirst": "upper"}, "a", "A", Greater),
        (doc! {"locale": "en"}, "a10", "a9", Less),
        (doc! {"locale": "en", "numericOrdering": true}, "a10", "a9", Greater),
        (doc! {"locale": "en", "alternate": "shifted"}, "co-op", "coop", Equal),
        (doc! {"locale": "en", "alternate": "shifted", "maxVariable": "space"}, "co-op", "coop", Less),
        (doc! {"locale": "en", "alternate": "shifted", "strength": 4}, "co-op", "coop", Less),
        (doc! {"locale": "en", "strength": 5}, "a", "a\u{0}", Less),
        (doc! {"locale": "sv"}, "ö", "z", Greater),
        (doc! {"locale": "de"}, "ö", "z", Less),
        (doc! {"locale": "de@collation=phonebook", "strength": 1}, "Göbel", "Goebel", Equal),
        (doc! {"locale": "fr"}, "coté", "côte", Less),
        (doc! {"locale": "fr_CA"}, "coté", "côte", Greater),
        (doc! {"locale": "es@collation=traditional"}, "chico", "cuna", Greater),
        (doc! {"locale": "zh"}, "阿", "八", Less),
        (doc! {"locale": "zh_Hant"}, "一", "丁", Less),
        (doc! {"locale": "en_US_POSIX"}, "B", "a", Less),
    ] {
        let collation = collation(spec);
        assert_eq!(compared(&collation, a, b), order, "{a:?} and {b:?} under {collation:?}");
        assert_eq!(compared(&collation, b, a), order.reverse());
    }
}

#[test]
fn keys_agree_with_comparison() {
    let texts = [
        "",
        " ",
        "a",
        "A",
        "á",
        "a\u{301}",
        "ab",
        "a b",
        "a-b",
        "a\u{0}b",
        "B",
        "co-op",
        "coop",
        "10",
        "9",
        "010",
        "ñ",
        "n",
        "ß",
        "ss",
        "æ",
        "ae",
        "日本",
        "にほん",
        "ニホン",
        "\u{1F600}",
        "x1y",
        "x01y",
        "\u{FFFE}",
        "\u{10FFFF}",
    ];
    for locale in ["en", "sv", "fr_CA", "ja", "th", "tr", "da", "vi", "zh_Hant"] {
        for strength in 1..=5 {
            for extra in [
                doc! {},
                doc! {"caseLevel": true},
                doc! {"numericOrdering": true},
                doc! {"alternate": "shifted"},
                doc! {"caseFirst": "upper", "caseLevel": true},
            ] {
                let mut spec = doc! {"locale": locale, "strength": strength};
                spec.extend(extra);
                let collation = collation(spec);
                for a in texts {
                    for b in texts {
                        compared(&collation, a, b);
                    }
                }
            }
        }
    }
}

/// Keys are stored: as those of records in collections with a collation, and in indexes. When an update of the
/// collation data changes them, the format on disk changes, and what is stored has to be made again.
#[test]
fn keys_stay_what_they_are() {
    let hex = |spec: bson::Document, text: &str| {
        let mut key = Vec::new();
        collation(spec).append_key(text, &mut key);
        key.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let stored = [
        hex(doc! {"locale": "en"}, "Oslo 10"),
        hex(doc! {"locale": "en", "strength": 1, "numericOrdering": true}, "Éva 10"),
        hex(doc! {"locale": "sv", "strength": 2}, "Ångström"),
        hex(doc! {"locale": "de@collation=phonebook", "strength": 5}, "Größe"),
        hex(doc! {"locale": "ja"}, "日本ニホン"),
        hex(doc! {"locale": "zh"}, "北京"),
        hex(doc! {"locale": "fr_CA"}, "côté"),
    ];
    let expected = [
        "474f4147041412010b01dc0a",
        "33552b04100c",
        "5e7f0245374f514d5e7f0443010c",
        "374d47334f4f33014347700601dcc5dcc5e0d305010178a3a0d4c12e893095",
        "c723c8db5f32426c01090109",
        "4da5686601060106",
        "2f4751330188448e06010a",
    ];
    assert_eq!(stored, expected);
}

#[test]
fn values_compare_by_it_also_inside_others() {
    let collation = collation(doc! {"locale": "en", "strength": 2});
    let order = Some(&collation as &dyn TextOrder);
    for (a, b, wanted) in [
        (doc! {"a": "X"}, doc! {"a": "x"}, Equal),
        (doc! {"a": ["x", {"b": "Y"}]}, doc! {"a": ["X", {"b": "y"}]}, Equal),
        (doc! {"A": "x"}, doc! {"a": "x"}, Less),
        (doc! {"a": bson::Bson::JavaScriptCode("F".into())}, doc! {"a": bson::Bson::JavaScriptCode("f".into())}, Less),
        (doc! {"a": 1, "b": "X"}, doc! {"a": 1.0, "b": "x"}, Equal),
    ] {
        let (a, b) = (from_bson_document(&a), from_bson_document(&b));
        let (a, b) = (Value::from(a.as_doc()), Value::from(b.as_doc()));
        assert_eq!(compare_by(&a, &b, order), wanted, "{a:?} {b:?}");
        assert_eq!(key::of_by(&a, order).cmp(&key::of_by(&b, order)), wanted, "{a:?} {b:?}");
    }
}

#[test]
fn all_options_are_shown() {
    let shown = |spec| millstream_value::to_bson_document(collation(spec).spec());
    assert_eq!(
        shown(doc! {"strength": 2, "locale": "en"}),
        doc! {
            "locale": "en", "caseLevel": false, "caseFirst": "off", "strength": 2, "numericOrdering": false,
            "alternate": "non-ignorable", "maxVariable": "punct", "normalization": false, "backwards": false,
            "version": "57.1",
        }
    );
    assert_eq!(shown(doc! {"locale": "da"}).get_str("caseFirst").unwrap(), "upper");
    assert_eq!(shown(doc! {"locale": "th"}).get_str("alternate").unwrap(), "shifted");
    assert!(shown(doc! {"locale": "fr_CA"}).get_bool("backwards").unwrap());
    let en = collation(doc! {"locale": "en"});
    assert_eq!(parse(shown(doc! {"locale": "en"})).unwrap().unwrap(), en);
    assert_ne!(collation(doc! {"locale": "en", "strength": 1}), en);
}

#[test]
fn the_simple_collation_is_none() {
    assert!(parse(doc! {}).unwrap().is_none());
    assert!(parse(doc! {"locale": "simple"}).unwrap().is_none());
}

#[test]
fn mistakes_have_their_codes() {
    for (spec, number) in [
        (doc! {"strength": 1}, 40414),
        (doc! {"locale": "en", "bogus": 1}, 40415),
        (doc! {"locale": 1}, 14),
        (doc! {"locale": "en", "strength": "x"}, 14),
        (doc! {"locale": "en", "caseLevel": 1}, 14),
        (doc! {"locale": "en", "strength": 0}, 51024),
        (doc! {"locale": "en", "strength": 9}, 51024),
        (doc! {"locale": "en", "caseFirst": "x"}, 2),
        (doc! {"locale": "en", "alternate": "x"}, 2),
        (doc! {"locale": "en", "maxVariable": "x"}, 2),
        (doc! {"locale": "en", "strength": 1, "backwards": true}, 2),
        (doc! {"locale": "en", "strength": 2, "caseFirst": "upper"}, 2),
        (doc! {"locale": ""}, 2),
        (doc! {"locale": "xx"}, 2),
        (doc! {"locale": "en-US"}, 2),
        (doc! {"locale": "en_us"}, 2),
        (doc! {"locale": "EN"}, 2),
        (doc! {"locale": "en@collation=phonebook"}, 2),
        (doc! {"locale": "de@collation=search"}, 238),
        (doc! {"locale": "en", "backwards": true}, 238),
        (doc! {"locale": "en", "version": "1"}, 161),
        (doc! {"locale": "simple", "strength": 1}, 9),
    ] {
        let error = parse(spec.clone()).unwrap_err();
        assert_eq!(error.code.number(), number, "{spec}: {error}");
    }
}
