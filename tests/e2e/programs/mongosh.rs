//! The shell.

use crate::support::{Server, programs, root};

/// CS-11.4.2, CS-11.4.5, CS-11.4.6.
#[test]
fn a_session_finds_a_healthy_primary_and_works() {
    let server = Server::memory();
    let script = root().join("examples/mongosh/session.js");
    let mut shell = programs::mongosh(&server.uri(), &["--file", &script.to_string_lossy()]);
    let lines = shell.succeed();
    assert_eq!(lines[0], "state 1 PRIMARY health 1");
    assert!(
        ["initiate AlreadyInitialized", "initiate 1"].contains(&lines[1].as_str()),
        "rs.initiate() changes nothing: {}",
        lines[1]
    );
    assert_eq!(
        lines[2..],
        [
            "insert 1",
            r#"find [{"_id":3,"item":"lamp","qty":5},{"_id":1,"item":"lamp","qty":2}]"#,
            "count 3",
            "index item_1",
            r#"indexes ["_id_","item_1"]"#,
            r#"group [{"_id":"desk","n":1},{"_id":"lamp","n":7}]"#,
            r#"change update {"_id":1}"#,
            r#"change delete {"_id":2}"#,
            r#"collections ["orders"]"#,
            "stats 2 documents",
            "log 1024 MB",
            "databases true",
        ]
    );
}

#[test]
fn all_forms_of_the_uri_connect_without_a_warning() {
    let server = Server::memory();
    let base = format!("mongodb://{}/", server.address());
    for uri in [base.clone(), format!("{base}?directConnection=true"), format!("{base}?replicaSet=rs0")] {
        // Not --quiet: what the shell says while connecting is what this test is about.
        let mut shell = programs::mongosh(&uri, &["--eval", "db.hello().isWritablePrimary"]);
        let text = shell.succeed().join("\n") + &shell.errors.join("\n");
        assert!(text.contains("true"), "{uri}: {text}");
        let lower = text.to_lowercase();
        for word in ["warning", "unknown", "not genuine", "error"] {
            assert!(!lower.contains(word), "{uri}: {word} in {text}");
        }
    }
}

#[test]
fn a_session_makes_transactions() {
    let server = Server::memory();
    let script = "
        const session = db.getMongo().startSession();
        const things = session.getDatabase('shop').things;
        things.insertOne({_id: 1, n: 0});
        session.startTransaction();
        things.updateOne({_id: 1}, {$inc: {n: 1}});
        print('inside', things.findOne().n, 'outside', db.getSiblingDB('shop').things.findOne().n);
        session.abortTransaction();
        session.withTransaction(() => { things.updateOne({_id: 1}, {$inc: {n: 10}}); things.insertOne({_id: 2}); });
        session.startTransaction({readConcern: {level: 'snapshot'}, writeConcern: {w: 'majority'}});
        things.insertOne({_id: 3});
        session.commitTransaction();
        print(EJSON.stringify(things.find().toArray()));
        session.endSession();
    ";
    let lines = programs::mongosh(&server.uri(), &["--quiet", "--eval", script]).succeed();
    assert_eq!(lines, ["inside 1 outside 0", r#"[{"_id":1,"n":10},{"_id":2},{"_id":3}]"#]);
}
