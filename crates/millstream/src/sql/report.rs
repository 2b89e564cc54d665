//! Errors and notices, with the place in the text.

use std::fmt::Write as _;

use millstream_sql::{Notice, SqlError};

use crate::exit;
use crate::terminal::plain;

/// So much of a line is shown around a mistake.
const WIDTH_MAX: usize = 100;

/// An error in a text that begins on a line: its class and words, the line with a caret, and the way out.
pub(super) fn error(error: &SqlError, text: &str, first_line: usize) -> String {
    let mut out = format!("ERROR {}: {}\n", error.state.0, error.message);
    if let Some((line, number, column)) = error.position.and_then(|position| place(text, position)) {
        let from = column.saturating_sub(WIDTH_MAX / 2);
        let shown: String = line.chars().skip(from).take(WIDTH_MAX).collect();
        let head = format!("LINE {}: {}", first_line + number, if from > 0 { "…" } else { "" });
        let indent = head.chars().count() + column - from;
        let _ = writeln!(out, "{head}{}\n{:indent$}^", plain(&shown), "");
    }
    if let Some(hint) = &error.hint {
        let _ = writeln!(out, "HINT: {hint}");
    }
    out
}

/// Something that a statement's author should know.
pub(super) fn notice(notice: &Notice) -> String {
    let mut out = format!("NOTICE: {}\n", notice.message);
    if let Some(hint) = &notice.hint {
        let _ = writeln!(out, "HINT: {hint}");
    }
    out
}

/// How the program ends for an error of this class.
pub(super) fn code(error: &SqlError) -> exit::Code {
    match error.state.0 {
        "08006" => exit::Code::Unreachable,
        "28000" | "42501" => exit::Code::Refused,
        "MS001" => exit::Code::PositionLost,
        _ => exit::Code::Failed,
    }
}

/// The line of a 1-based character, its number and the character in it, both from 0.
fn place(text: &str, position: usize) -> Option<(&str, usize, usize)> {
    let mut column = position.checked_sub(1)?;
    for (number, line) in text.split('\n').enumerate() {
        let len = line.chars().count();
        if column <= len {
            return Some((line.trim_end_matches('\r'), number, column));
        }
        column -= len + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: usize) -> SqlError {
        let mut error = SqlError::new("42601", "expected an expression").hint("look");
        error.position = Some(position);
        error
    }

    #[test]
    fn a_caret_is_under_the_mistake() {
        let text = "SELECT 'ü',\n\tx +\nFROM t";
        let shown = error(&at(text.find("FROM").unwrap()), text, 3);
        assert_eq!(shown, "ERROR 42601: expected an expression\nLINE 5: FROM t\n        ^\nHINT: look\n");
        let shown = error(&at(14), text, 1);
        assert_eq!(shown, "ERROR 42601: expected an expression\nLINE 2: \u{fffd}x +\n         ^\nHINT: look\n");
    }

    #[test]
    fn the_end_of_a_text_is_a_place_and_what_is_behind_it_is_none() {
        assert!(error(&at(7), "SELECT", 1).contains("LINE 1: SELECT\n              ^\n"));
        assert!(!error(&at(9), "SELECT", 1).contains("LINE"));
    }

    #[test]
    fn of_long_lines_the_part_around_the_mistake_is_shown() {
        let text = format!("SELECT {}+* 2", "1 + ".repeat(500));
        let shown = error(&at(text.find('*').unwrap() + 1), &text, 1);
        let [line, caret] = [1, 2].map(|n| shown.lines().nth(n).unwrap());
        assert!(line.starts_with("LINE 1: …"), "{line}");
        let under = line.chars().nth(caret.chars().count() - 1);
        assert_eq!(under, Some('*'));
    }
}
