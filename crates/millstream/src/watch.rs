//! `millstream watch`: changes in a terminal, or handed to other programs, of any MongoDB.
//!
//! | file | idea |
//! |---|---|
//! | `arguments` | the flags and what they come down to |
//! | `config` | flags in a file, for several watchers |
//! | `envelope` | what an event is wrapped in |
//! | `exec` | a command for each event |
//! | `format`, `printer` | events on standard output |
//! | `live`, `summary` | numbers while it runs, and at the end |
//! | `run` | from the flags to the end: opening, stopping |
//! | `session` | one watch, delivered by the library |
//! | `sink` | what to do with an event if it is not printed |
//! | `webhook` | an HTTP request for each event |

mod arguments;
mod config;
mod envelope;
mod exec;
mod format;
mod live;
mod printer;
mod run;
mod session;
mod sink;
mod summary;
mod webhook;

pub(crate) use arguments::{Arguments, EXAMPLES, OwnCollection, Target, Where, own_name, uri_or_default};
pub(crate) use envelope::{About, Envelope, Wrapper, by_name as envelope_by_name};
pub(crate) use exec::Children;
pub(crate) use format::{Format, Formatter, operation_colour};
pub(crate) use run::run;
pub(crate) use sink::{Form, Sink};
