//! `millstream doctor`: whether a server is fit to be watched, and what to do if not.

mod arguments;
mod checks;
mod report;
mod round_trip;
mod run;

pub(crate) use arguments::{Arguments, EXAMPLES};
pub(crate) use run::run;
