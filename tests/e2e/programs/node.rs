//! The Node.js driver.

use serde_json::{Value, json};

use crate::support::{Server, programs};

#[test]
fn orders_come_with_their_priority() {
    let server = Server::memory();
    let mut watcher = programs::node(&server.uri(), "node-orders/watch.js", &["--until", "shipped"]);
    // It says so when the stream is open.
    watcher.wait_for_error_line("watching");
    programs::node(&server.uri(), "node-orders/write.js", &[]).succeed();
    let events: Vec<Value> =
        watcher.succeed().iter().map(|line| serde_json::from_str(line).expect("a change as JSON")).collect();
    let outline: Vec<Value> = events
        .iter()
        .map(|event| json!([event["operationType"], event["documentKey"]["_id"], event["priorityLevel"]]))
        .collect();
    assert_eq!(
        outline,
        [
            json!(["insert", 2, "medium"]),
            json!(["insert", 3, "high"]),
            json!(["update", 2, "medium"]),
            json!(["delete", 1, "normal"]),
            json!(["update", 3, "high"]),
        ]
    );
    let paid = &events[2];
    assert_eq!(paid["updateDescription"]["updatedFields"], json!({"status": "paid"}));
    assert_eq!(paid["fullDocument"]["item"], "desk");
    assert_eq!(paid["fullDocumentBeforeChange"]["status"], "new");
    assert_eq!(events[3]["fullDocumentBeforeChange"]["item"], "lamp");
    let tokens: Vec<&str> = events.iter().filter_map(|event| event["_id"]["_data"].as_str()).collect();
    assert_eq!(tokens.len(), events.len());
    assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "tokens go up");
}
