//! `millstream bench`: measurements of any MongoDB-compatible server.
//!
//! | file | idea |
//! |---|---|
//! | `arguments` | flags, and the plan that they come down to |
//! | `case` | the table of cases, and what each job measures |
//! | `cases/` | one file a case |
//! | `target` | one server: clients, its database, its memory |
//! | `guard` | never touch a database that was there before |
//! | `measure` | figures, their units, medians and ratios |
//! | `report` | the table and the JSON lines |
//! | `run` | rounds over jobs over targets, with progress |
//! | `sql` | views and triggers: another set of cases |

mod arguments;
mod case;
mod cases;
mod guard;
mod limits;
mod measure;
mod report;
mod run;
mod sql;
mod target;

pub(crate) use arguments::{Arguments, EXAMPLES};
pub(crate) use run::run;
