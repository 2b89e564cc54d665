//! Sockets, commands and replies: the engine as MongoDB drivers see it.
//!
//! [`Listening::bind`] opens the port, [`Listening::run`] serves it until its [`Shutdown`] is
//! started. Everything a client can ask is a row of the table in `commands`.
//!
//! | file | idea |
//! |---|---|
//! | `listener` | the port: accepting, limits, stopping |
//! | `connection` | one socket: read a message, dispatch it, write the reply |
//! | `reader` | whole messages from a socket, with no buffer kept while idle |
//! | `dispatch` | from a request to its row, through the checks that all commands share |
//! | `commands` | the table, and a file per family of commands |
//! | `context` | what a handler gets to know |
//! | `arguments` | typed fields of a command, with MongoDB's errors |
//! | `reply` | what a handler returns, and the tail that every reply has |
//! | `failure` | a command's error as clients see it |
//! | `engine` | the database behind the commands, and its clients' sessions |
//! | `errors` | from the database's errors to the protocol's codes |
//! | `server` | what all connections share |
//! | `counters` | what `serverStatus` counts |
//! | `options` | what the operator chose |
//! | `sql` | SQL, which somebody else runs |
//! | `shutdown` | stopping, seen from everywhere |
//! | `write_concern` | what a client may ask of a write's durability |
//!
//! Not here: what commands on data mean (`db`), the bytes of messages (`wire`).

mod arguments;
mod commands;
mod connection;
mod context;
mod counters;
mod dispatch;
mod engine;
mod errors;
mod fail_point;
mod failure;
mod listener;
mod options;
mod own;
mod read_concern;
mod reader;
mod reply;
mod server;
mod shutdown;
mod sql;
mod transaction;
mod write_concern;

pub use commands::listing as commands;
pub use engine::Engine;
pub use listener::{Listening, Port, ServeError};
pub use options::Options;
pub use shutdown::Shutdown;
pub use sql::{Pending, SqlAnswer, SqlFailure, SqlRequest, SqlRows, SqlRunner};
