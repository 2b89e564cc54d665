//! `millstream demo`: the thing at work without a driver.

use crate::support::programs::Program;
use crate::support::server::millstream;

#[test]
fn it_shows_writes_beside_events_and_ends() {
    let mut demo = Program::start("demo", millstream().args(["demo", "--seconds", "2", "--rate", "20"]));
    let text = demo.succeed().join("\n");
    for word in ["models", "predictions", "metrics", "insert", "update"] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
}
