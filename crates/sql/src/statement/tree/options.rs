//! `WITH (name = value, …)`.

use std::collections::BTreeMap;

use super::Path;
use crate::{Result, SqlError};

/// Options by their lower-case names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options(pub BTreeMap<String, Literal>);

/// The value of an option or a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `true`, `false`.
    Boolean(bool),
    /// `INTERVAL '…'`: its text, with the unit behind it if there is one.
    Interval(String),
    /// A number: its text, with its sign.
    Number(String),
    /// `(path, …)`.
    Paths(Vec<Path>),
    /// `'…'`, and any bare word.
    Text(String),
    /// `TIMESTAMPTZ '…'`, `TIMESTAMP '…'`, `DATE '…'`: its text.
    Time(String),
}

impl Options {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of an option.
    pub fn get(&self, name: &str) -> Option<&Literal> {
        self.0.get(name)
    }

    /// Refuses options that are not among these: 22023 (SQL-18.8).
    pub fn check(&self, known: &[&str]) -> Result<()> {
        for name in self.0.keys() {
            if !known.contains(&name.as_str()) {
                let error = SqlError::new("22023", format!("there is no option \"{name}\" here"));
                return Err(match crate::near::nearest(name, known.iter().copied()) {
                    Some(near) => error.hint(format!("did you mean \"{near}\"?")),
                    None => error.hint(format!("known here: {}", known.join(", "))),
                });
            }
        }
        Ok(())
    }

    /// The value of an option that is a text.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.get(name) {
            None => Ok(None),
            Some(Literal::Text(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(name, "a text")),
        }
    }

    /// The value of an option that is true or false.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>> {
        match self.get(name) {
            None => Ok(None),
            Some(Literal::Boolean(value)) => Ok(Some(*value)),
            Some(Literal::Text(word)) if word.eq_ignore_ascii_case("on") => Ok(Some(true)),
            Some(Literal::Text(word)) if word.eq_ignore_ascii_case("off") => Ok(Some(false)),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// The value of an option that is a whole number, not below zero.
    pub fn integer(&self, name: &str) -> Result<Option<u64>> {
        match self.get(name) {
            None => Ok(None),
            Some(Literal::Number(text)) => {
                text.replace('_', "").parse().map(Some).map_err(|_| wrong(name, "a whole number"))
            }
            Some(_) => Err(wrong(name, "a whole number")),
        }
    }

    /// The text of an option that is an interval; a plain text is taken for one.
    pub fn interval(&self, name: &str) -> Result<Option<&str>> {
        match self.get(name) {
            None => Ok(None),
            Some(Literal::Interval(text) | Literal::Text(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(name, "an interval")),
        }
    }
}

fn wrong(name: &str, kind: &str) -> SqlError {
    SqlError::new("22023", format!("option \"{name}\" takes {kind}"))
}
