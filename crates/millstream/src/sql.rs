//! `millstream sql`: statements, from a terminal, a file or the command line, on any MongoDB.
//!
//! | file | idea |
//! |---|---|
//! | `arguments` | the flags |
//! | `complete` | what the Tab key offers |
//! | `input` | a script is statements, and lines that begin with a backslash |
//! | `meta` | those lines |
//! | `output` | where rows go |
//! | `print` | rows as a table, as JSON, as CSV |
//! | `report` | errors and notices, with the place in the text |
//! | `run` | from the flags to the end |
//! | `runner` | one statement after the other |
//! | `shell` | a person at a terminal |

mod arguments;
mod complete;
mod input;
mod meta;
mod output;
mod print;
mod report;
mod run;
mod runner;
mod shell;

pub(crate) use arguments::{Arguments, EXAMPLES};
pub(crate) use run::run;
