//! The Rust driver's change stream as a `Stream`.

use crate::support::{Server, programs};

#[test]
fn a_stream_gives_the_events_in_order() {
    let server = Server::memory();
    let lines = programs::rust_example(&server.uri(), "rust-watch", &[]).succeed();
    assert_eq!(
        lines,
        ["Insert { \"_id\": 1 }", "Insert { \"_id\": 2 }", "Insert { \"_id\": 3 }", "Update { \"_id\": 2 }",]
    );
}
