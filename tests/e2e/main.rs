//! End-to-end tests: the real binary, the real drivers, recorded behaviour.
//!
//! `sessions` runs the text files of `conformance/`, `vectors` the recorded cases beside them; `drivers`
//! uses the Rust driver, `programs` runs everything in `examples/`, `applications` those in Rust that live on changes; `history` is about watchers that were away,
//! `isolation` about what transactions see, `transactions` about how they meet and end, `load` has many writers at once,
//! `soak` many watchers and restarts besides; `crash` and `torn` end the server in the ways that a machine can; `cli` is
//! about the binary's own commands, `delivery` about the client library, `stores` about where it keeps positions,
//! `exactly_once` about effects that are committed with them, `groups` about processes that share a stream;
//! `law` compares views that follow random histories with PostgreSQL;
//! `sql` is about queries, writes, views, change queries and triggers, and the mill that runs them;
//! `pg` is about the PostgreSQL protocol;
//! `cursors` has several connections at one cursor, `limits` goes to where things end;
//! `wire` sends what it should refuse.

mod applications;
mod cli;
mod crash;
mod cursors;
mod delivery;
mod drivers;
mod exactly_once;
mod groups;
mod history;
mod isolation;
mod law;
mod limits;
mod load;
mod pg;
mod programs;
mod sessions;
mod soak;
mod sql;
mod stores;
mod support;
mod torn;
mod transaction_events;
mod transactions;
mod vectors;
mod wire;
