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
//! | `engine` | what these commands need from the database |
//! | `server` | what all connections share |
//! | `counters` | what `serverStatus` counts |
//! | `options` | what the operator chose |
//! | `shutdown` | stopping, seen from everywhere |
//!
//! Not here: what commands on data mean (`db`), the bytes of messages (`wire`).

mod arguments;
mod commands;
mod connection;
mod context;
mod counters;
mod dispatch;
mod engine;
mod failure;
mod listener;
mod options;
mod reader;
mod reply;
mod server;
mod shutdown;

pub use engine::{Engine, LogTimes, SessionId};
pub use listener::{Listening, ServeError};
pub use options::Options;
pub use shutdown::Shutdown;
