//! The options of `$changeStream`: what is read, and what is refused with which error.

use bson::doc;
use millstream_value::{from_bson, from_bson_document};

use super::*;

fn parse(options: bson::Bson) -> Result<Options> {
    Options::parse(&from_bson(&options))
}

#[track_caller]
fn refused(options: bson::Document, code: i32) -> String {
    let error = parse(options.clone().into()).and_then(|options| options.start(&Scope::Database("shop".into())));
    let error = error.unwrap_err();
    assert_eq!(error.code().number(), code, "{options}");
    error.to_string()
}

/// CS-4.2.1, CS-4.2.2 and CS-4.2.3.
#[test]
fn options_are_checked_one_by_one() {
    assert_eq!(parse(1.into()).unwrap_err().code().number(), 6_188_500);
    let text = refused(doc! {"bogus": 1}, 40_415);
    assert_eq!(text, "BSON field '$changeStream.bogus' is an unknown field.");
    let text = refused(doc! {"resumeAfter": 5}, 14);
    assert_eq!(text, "BSON field '$changeStream.resumeAfter' is the wrong type 'int', expected type 'object'");
    let text = refused(doc! {"startAtOperationTime": "x"}, 14);
    assert_eq!(
        text,
        "BSON field '$changeStream.startAtOperationTime' is the wrong type 'string', expected type 'timestamp'"
    );
    let text = refused(doc! {"fullDocument": "always"}, 2);
    assert_eq!(text, "Enumeration value 'always' for field '$changeStream.fullDocument' is not a valid value.");
    refused(doc! {"fullDocumentBeforeChange": "default"}, 2);
    refused(doc! {"showExpandedEvents": 1}, 14);
    refused(doc! {"showExpandedEvents": bson::Bson::Null}, 14);
    // A document with a repeated field cannot be written as a map.
    let mut twice = millstream_value::DocBuf::new();
    twice.push("fullDocument", "default").push("fullDocument", "default");
    assert_eq!(Options::parse(&Value::from(&twice)).unwrap_err().code().number(), 40_413);
}

/// CS-4.2.4, CS-4.2.5 and CS-14.59.
#[test]
fn null_counts_as_absent() {
    let options = parse(doc! {"resumeAfter": null, "fullDocument": null, "startAfter": null}.into());
    assert_eq!(options.unwrap().start(&Scope::Cluster).unwrap(), Start::Now);
    assert!(parse(doc! {}.into()).is_ok());
}

/// Beyond MongoDB: a date is the beginning of its second, so that nothing at or after it is left out.
#[test]
fn a_start_time_may_be_a_date() {
    let start = |ms: i64| {
        let date = bson::DateTime::from_millis(ms);
        parse(doc! {"startAtOperationTime": date}.into()).unwrap().start(&Scope::Cluster).unwrap()
    };
    let at = |seconds| Start::At(ClusterTime::new(seconds, 0));
    assert_eq!(start(1_755_427_520_000), at(1_755_427_520));
    assert_eq!(start(1_755_427_520_999), at(1_755_427_520));
    assert_eq!((start(-1), start(0), start(999)), (at(0), at(0), at(0)));
    assert_eq!(start(i64::MAX), at(u32::MAX));
}

/// CS-4.2.6 to CS-4.2.8, in the order of CS-4.2.10.
#[test]
fn options_are_checked_together() {
    let token = doc! {"_data": "8268A1B2C0000000012B042C0100296E5A10042F6C1D9E7A404B539C1E5D0F3A8B7E21463C6F7065726174696F6E54797065003C64726F70000004"};
    let invalidate = doc! {"_data": "8268A1B2C0000000012B042C0100296F5A10042F6C1D9E7A404B539C1E5D0F3A8B7E21463C6F7065726174696F6E54797065003C64726F70000004"};
    let no_uuid = doc! {"_data": "8268A1B2C0000000012B042C0100296E14463C6F7065726174696F6E54797065003C64726F704461746162617365000004"};
    let mark = doc! {"_data": "8268A1B2C0000000012B0429296E1404"};
    let time = bson::Timestamp { time: 1, increment: 1 };
    refused(doc! {"resumeAfter": {}}, 40_647);
    refused(doc! {"resumeAfter": {"_data": "82"}, "startAfter": {}}, 40_647);
    refused(doc! {"resumeAfter": {"_data": "xyz"}, "startAfter": &token}, 50_865);
    refused(doc! {"resumeAfter": {"_data": "xyz"}, "startAtOperationTime": time}, 9);
    refused(doc! {"resumeAfter": &invalidate, "startAtOperationTime": time}, 40_674);
    let text = refused(doc! {"resumeAfter": &invalidate}, 260);
    assert!(text.starts_with("Attempting to resume a change stream using 'resumeAfter' is not allowed"));
    let start = |options: &bson::Document, scope| {
        Options::parse(&Value::from(&from_bson_document(options))).unwrap().start(&scope)
    };
    assert!(start(&doc! {"startAfter": &invalidate}, Scope::Cluster).is_ok());
    let collection = || Scope::Collection(millstream_value::Namespace::new("shop", "orders"));
    let error = start(&doc! {"resumeAfter": &no_uuid}, collection()).unwrap_err();
    assert_eq!(error.code().number(), 260);
    assert!(start(&doc! {"resumeAfter": &no_uuid}, Scope::Cluster).is_ok());
    assert!(start(&doc! {"resumeAfter": &mark}, collection()).is_ok());
    assert!(start(&doc! {"resumeAfter": &token}, collection()).is_ok());
}

/// CS-3.2.
#[test]
fn scopes_are_checked() {
    let plain = Options::default();
    let all = Options { all_changes_for_cluster: true, ..Options::default() };
    let code = |scope: Result<Scope>| scope.unwrap_err().code().number();
    assert_eq!(Scope::of("admin", None, &all).unwrap(), Scope::Cluster);
    assert_eq!(code(Scope::of("admin", Some("c"), &all)), 72);
    assert_eq!(code(Scope::of("shop", None, &all)), 72);
    assert_eq!(code(Scope::of("admin", None, &plain)), 73);
    assert_eq!(code(Scope::of("local", Some("oplog.rs"), &plain)), 73);
    assert_eq!(code(Scope::of("config", None, &plain)), 73);
    assert_eq!(code(Scope::of("shop", Some("system.views"), &plain)), 73);
    for db in ["admin1", "local_", "myconfig"] {
        assert!(Scope::of(db, None, &plain).is_ok());
    }
    assert!(Scope::of("shop", Some("systems"), &plain).is_ok());
}
