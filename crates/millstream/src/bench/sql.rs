//! `millstream bench sql`: how fast views and triggers are, from a write to what comes of it.
//!
//! | file | idea |
//! |---|---|
//! | `arguments` | flags, and the sizes that they come down to |
//! | `case` | the table of cases |
//! | `cases/` | one file a case |
//! | `child` | the engine and the mill as processes of their own, and what they use of the processor |
//! | `lab` | an engine, a mill and a session for one case |
//! | `run` | case after case, with progress |
//! | `stream` | what all cases over a stream measure: the mill alone, beside a writer, how soon a change is visible |

mod arguments;
mod case;
mod cases;
mod child;
mod lab;
mod run;
mod stream;

pub(crate) use arguments::{Arguments, EXAMPLES};
pub(crate) use run::run;
