//! The normalised text of statements: one line, keywords in capitals, names quoted only where they must be.

mod define;
mod lifecycle;
mod write;

use std::fmt::{self, Display, Formatter};

use super::{Alteration, Kind, Literal, Name, Object, Options, Path, Rows, Statement, disguise, tokens};
use crate::expr::Step;

/// A name as it is written in a statement: in quotes if it must be.
pub fn ident(name: &str) -> String {
    if tokens::is_plain(name) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A string.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A part of `sqlparser`'s tree.
fn tree(part: &impl Display) -> String {
    disguise::reveal(part.to_string())
}

/// Items with a comma between them.
fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    items.iter().map(show).collect::<Vec<_>>().join(", ")
}

/// `word` if it is so.
fn when(condition: bool, word: &'static str) -> &'static str {
    if condition { word } else { "" }
}

fn with(options: &Options) -> String {
    if options.is_empty() { String::new() } else { format!(" WITH {options}") }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alter { object, alteration } => write!(f, "ALTER {object} {alteration}"),
            Self::Begin => f.write_str("BEGIN"),
            Self::Call(call) => write!(f, "CALL {call}"),
            Self::CancelSubscription(id) => write!(f, "CANCEL SUBSCRIPTION {}", text(id)),
            Self::Close(name) => write!(f, "CLOSE {}", name.as_deref().map_or_else(|| "ALL".to_owned(), ident)),
            Self::Commit => f.write_str("COMMIT"),
            Self::CreateConnection(connection) => connection.fmt(f),
            Self::CreateDashboard(dashboard) => dashboard.fmt(f),
            Self::CreateIndex(index) => index.fmt(f),
            Self::CreateRoutine(routine) => routine.fmt(f),
            Self::CreateSink(sink) => sink.fmt(f),
            Self::CreateSync(sync) => sync.fmt(f),
            Self::CreateTable(table) => table.fmt(f),
            Self::CreateTrigger(trigger) => trigger.fmt(f),
            Self::CreateView(view) => view.fmt(f),
            Self::Deallocate(name) => {
                write!(f, "DEALLOCATE {}", name.as_deref().map_or_else(|| "ALL".to_owned(), ident))
            }
            Self::Declare { name, hold, query } => {
                write!(f, "DECLARE {} CURSOR {}FOR {query}", ident(name), when(*hold, "WITH HOLD "))
            }
            Self::Delete(delete) => delete.fmt(f),
            Self::DeleteDeadLetters(letters) => write!(f, "DELETE DEAD LETTERS{letters}"),
            Self::Describe(name) => write!(f, "DESCRIBE {name}"),
            Self::Discard => f.write_str("DISCARD ALL"),
            Self::Drop { object, if_exists, on, cascade } => {
                write!(f, "DROP {} {}{}", object.kind, when(*if_exists, "IF EXISTS "), object.name)?;
                f.write_str(&types(object))?;
                if let Some(table) = on {
                    write!(f, " ON {table}")?;
                }
                f.write_str(when(*cascade, " CASCADE"))
            }
            Self::DropIndex { if_exists, name, on } => {
                write!(f, "DROP INDEX {}{name}", when(*if_exists, "IF EXISTS "))?;
                on.as_ref().map_or(Ok(()), |table| write!(f, " ON {table}"))
            }
            Self::DropTable { if_exists, name, cascade } => {
                write!(f, "DROP TABLE {}{name}{}", when(*if_exists, "IF EXISTS "), when(*cascade, " CASCADE"))
            }
            Self::Explain(explain) => explain.fmt(f),
            Self::Fetch { name, rows, skip } => {
                let rows = match rows {
                    Rows::All => "ALL".to_owned(),
                    Rows::Some(rows) => rows.to_string(),
                };
                write!(f, "{} {rows} FROM {}", if *skip { "MOVE" } else { "FETCH" }, ident(name))
            }
            Self::Insert(insert) => insert.fmt(f),
            Self::Pause(which) => write!(f, "PAUSE {which}"),
            Self::Query(query) => f.write_str(&tree(query)),
            Self::Refresh(name) => write!(f, "REFRESH MATERIALIZED VIEW {name}"),
            Self::RenameTable { from, to } => write!(f, "ALTER TABLE {from} RENAME TO {to}"),
            Self::Resume { which, from } => {
                write!(f, "RESUME {which}")?;
                from.as_ref().map_or(Ok(()), |from| write!(f, " FROM {from}"))
            }
            Self::RetryDeadLetters(letters) => write!(f, "RETRY DEAD LETTERS{letters}"),
            Self::Rollback => f.write_str("ROLLBACK"),
            Self::Set { name, value: None } => write!(f, "SET {} = DEFAULT", ident(name)),
            Self::Set { name, value: Some(value) } => write!(f, "SET {} = {value}", ident(name)),
            Self::Show(show) => show.fmt(f),
            Self::Subscribe(subscribe) => subscribe.fmt(f),
            Self::Truncate(name) => write!(f, "TRUNCATE {name}"),
            Self::Update(update) => update.fmt(f),
            Self::WaitFor { object, timeout } => {
                match object {
                    Some(object) => write!(f, "WAIT FOR {object}")?,
                    None => f.write_str("WAIT FOR ALL")?,
                }
                timeout.as_ref().map_or(Ok(()), |timeout| write!(f, " TIMEOUT INTERVAL {}", text(timeout)))
            }
        }
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for part in [&self.connection, &self.database].into_iter().flatten() {
            write!(f, "{}.", ident(part))?;
        }
        f.write_str(&ident(&self.name))
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "CONNECTION",
            Self::Dashboard => "DASHBOARD",
            Self::Function => "FUNCTION",
            Self::MaterializedView => "MATERIALIZED VIEW",
            Self::Procedure => "PROCEDURE",
            Self::Sink => "SINK",
            Self::Sync => "SYNC",
            Self::Trigger => "TRIGGER",
            Self::View => "VIEW",
        })
    }
}

impl Display for Object {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.kind, self.name, types(self))
    }
}

/// The types of a routine's arguments, where they are said.
fn types(object: &Object) -> String {
    object.arguments.as_ref().map_or_else(String::new, |types| format!("({})", list(types, ToString::to_string)))
}

impl Display for Alteration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rename(name) => write!(f, "RENAME TO {name}"),
            Self::Set(options) => write!(f, "SET {options}"),
        }
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&ident(&self.column))?;
        for step in &self.steps {
            match step {
                Step::Field(name) => write!(f, ".{}", ident(name))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Display for Options {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let options: Vec<String> = self.0.iter().map(|(name, value)| format!("{} = {value}", ident(name))).collect();
        write!(f, "({})", options.join(", "))
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Interval(interval) => write!(f, "INTERVAL {}", text(interval)),
            Self::Number(digits) => f.write_str(digits),
            Self::Paths(paths) => write!(f, "({})", list(paths, Path::to_string)),
            Self::Text(value) => f.write_str(&text(value)),
            Self::Time(time) => write!(f, "TIMESTAMPTZ {}", text(time)),
        }
    }
}
