//! Behaviour as text: queries over collections, views that follow changes, change queries.
//!
//! ```text
//! # what this is about (SQL-9.3, E-19)
//! table t
//! {"_id": 1, "name": "bob"}
//!
//! > SELECT UPPER(name) AS n FROM t
//! {"n": "BOB"}
//!
//! > SELECT nope FROM (SELECT 1 AS one) s
//! ERROR 42703
//!
//! view v SELECT name FROM t
//! + {"_id": 1, "name": "bob"}
//!
//! put t {"_id": 1, "name": "Bob"}
//! ~ {"_id": 1, "name": "Bob"}
//!
//! remove t 1
//! - 1
//! ```
//!
//! `table` empties a collection and fills it. `view` makes a view of the tables; `put`, `remove` and `clock <time>` show what
//! each changes in it (`+`, `~`, `-` and the key, `!` and the SQLSTATE for a row that is left out, `=` for one that no longer
//! is), in the order of keys. `changes` makes a change query: then `put` and `remove` are changes at the clock's time, with
//! tokens `t1`, `t2`, …, and each output is shown as it comes. Documents are Extended JSON; what is shown is relaxed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod session;

use std::path::Path;

/// Every file below `sessions/`.
#[test]
fn sessions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let wanted = std::env::var("SESSION").ok();
    let failed: Vec<String> = files
        .iter()
        .filter(|file| wanted.as_ref().is_none_or(|wanted| file.to_string_lossy().contains(wanted)))
        .filter_map(|file| session::run(file).err())
        .collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}
