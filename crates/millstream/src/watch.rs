//! `millstream watch`: changes in a terminal, of any MongoDB.

mod arguments;
mod format;
mod printer;
mod reader;
mod summary;

pub(crate) use arguments::{Arguments, EXAMPLES, uri_or_default};
pub(crate) use format::{Format, Formatter, operation_colour};
pub(crate) use reader::run;
