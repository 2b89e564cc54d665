//! `SET` and `SHOW` of settings (SQL-18.9).

use std::time::Duration;

use millstream_sql::SqlError;
use millstream_sql::statement::Literal;

use super::Session;
use crate::answer::Answer;
use crate::definition::Kept;
use crate::error::Result;
use crate::interval;
use crate::planning::time_zone;

/// The names of settings.
// Sorted by name.
pub(super) static SETTINGS: &[&str] = &["atomic", "statement_timeout", "strict_columns", "strict_tables", "time_zone"];

/// The settings of a session.
pub(super) struct Settings {
    pub(super) kept: Kept,
    pub(super) atomic: bool,
    /// Zero: none.
    pub(super) statement_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let kept = Kept { time_zone: "UTC".to_owned(), strict_tables: false, strict_columns: false };
        Self { kept, atomic: true, statement_timeout: Duration::ZERO }
    }
}

impl Settings {
    /// The value of a setting, as text.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let on = |value: bool| if value { "on".to_owned() } else { "off".to_owned() };
        match name {
            "atomic" => Some(on(self.atomic)),
            "statement_timeout" => Some(format!("{}ms", self.statement_timeout.as_millis())),
            "strict_columns" => Some(on(self.kept.strict_columns)),
            "strict_tables" => Some(on(self.kept.strict_tables)),
            "time_zone" => Some(self.kept.time_zone.clone()),
            _ => None,
        }
    }

    fn set(&mut self, name: &str, value: Option<&Literal>) -> Result<()> {
        let default = Self::default();
        match name {
            "atomic" => self.atomic = boolean(name, value)?.unwrap_or(default.atomic),
            "statement_timeout" => {
                self.statement_timeout = match value {
                    None => default.statement_timeout,
                    // As in PostgreSQL, a bare number is of milliseconds.
                    Some(Literal::Number(text)) => {
                        Duration::from_millis(text.parse().map_err(|_| wrong(name, "a number of milliseconds"))?)
                    }
                    Some(Literal::Interval(text) | Literal::Text(text)) => interval::duration(text)?,
                    Some(_) => return Err(wrong(name, "a length of time")),
                };
            }
            "strict_columns" => self.kept.strict_columns = boolean(name, value)?.unwrap_or(false),
            "strict_tables" => self.kept.strict_tables = boolean(name, value)?.unwrap_or(false),
            "time_zone" | "timezone" => {
                self.kept.time_zone = match value {
                    None => default.kept.time_zone,
                    Some(Literal::Text(text)) => {
                        time_zone(text)?;
                        text.clone()
                    }
                    Some(_) => return Err(wrong(name, "the name of a time zone")),
                };
            }
            _ => return Err(unknown(name)),
        }
        Ok(())
    }
}

impl Session {
    pub(super) fn set(&mut self, name: &str, value: Option<&Literal>) -> Result<Answer> {
        self.set_text(name, value)?;
        Ok(Answer::done("SET", Vec::new()))
    }

    pub(super) fn set_text(&mut self, name: &str, value: Option<&Literal>) -> Result<()> {
        if self.set_client(name, value)? { Ok(()) } else { self.settings.set(name, value) }
    }
}

/// There is no such setting.
pub(super) fn unknown(name: &str) -> SqlError {
    SqlError::new("42704", format!("there is no setting \"{name}\"")).hint(format!("known: {}", SETTINGS.join(", ")))
}

fn boolean(name: &str, value: Option<&Literal>) -> Result<Option<bool>> {
    match value {
        None => Ok(None),
        Some(Literal::Boolean(value)) => Ok(Some(*value)),
        Some(Literal::Text(text)) if text.eq_ignore_ascii_case("on") => Ok(Some(true)),
        Some(Literal::Text(text)) if text.eq_ignore_ascii_case("off") => Ok(Some(false)),
        Some(_) => Err(wrong(name, "on or off")),
    }
}

fn wrong(name: &str, kind: &str) -> SqlError {
    SqlError::new("22023", format!("{name} takes {kind}"))
}
