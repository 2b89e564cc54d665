//! What was found, line by line.

use serde_json::json;

use crate::terminal::{Colour, paint, plain};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) name: &'static str,
    /// How bad it is.
    pub(crate) level: Level,
    /// What was found.
    pub(crate) text: String,
    /// What to do about it.
    pub(crate) advice: Option<String>,
}

impl Finding {
    /// As it should be.
    pub(crate) fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, level: Level::Ok, text: text.into(), advice: None }
    }

    /// Good enough for now.
    pub(crate) fn warn(name: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, level: Level::Warn, text: text.into(), advice: Some(advice.into()) }
    }

    /// It will not work.
    pub(crate) fn fail(name: &'static str, text: impl Into<String>, advice: Option<String>) -> Self {
        Self { name, level: Level::Fail, text: text.into(), advice }
    }

    /// A line for a person, and one more with what to do.
    pub(crate) fn table(&self, colour: bool) -> String {
        let (word, shade) = match self.level {
            Level::Ok => ("ok  ", Colour::Green),
            Level::Warn => ("warn", Colour::Yellow),
            Level::Fail => ("fail", Colour::Red),
        };
        let mut text = format!("{}  {:<14}  {}\n", paint(word, shade, colour), self.name, plain(&self.text));
        if let Some(advice) = &self.advice {
            text.push_str(&format!("{:22}{}\n", "", paint(&plain(advice), Colour::Faint, colour)));
        }
        text
    }

    /// An object for a program, on a line.
    pub(crate) fn json(&self) -> String {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        format!("{}\n", json!({"check": self.name, "level": level, "text": self.text, "advice": self.advice}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_stands_below() {
        let finding = Finding::warn("clock", "2 s apart", "run ntp");
        assert_eq!(finding.table(false), "warn  clock           2 s apart\n                      run ntp\n");
        let value: serde_json::Value = serde_json::from_str(&finding.json()).unwrap();
        assert_eq!((&value["level"], &value["advice"]), (&json!("warn"), &json!("run ntp")));
        assert!(Level::Ok < Level::Warn && Level::Warn < Level::Fail);
    }
}
