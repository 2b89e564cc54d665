//! A script is statements, and lines that begin with a backslash between them.

use millstream_sql::statement::complete;

/// What comes next in a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A line for the shell, with its backslash.
    Meta(String),
    /// Whole statements.
    Statements {
        /// Their text.
        text: String,
        /// The line that it begins on, from 1.
        line: usize,
    },
}

/// Takes a script apart. Statements come as soon as they are complete, so that what is before a mistake is run.
pub(super) struct Inputs<'a> {
    lines: std::str::SplitInclusive<'a, char>,
    /// What of a statement is there.
    pending: String,
    /// Where that begins, and where we are.
    first: usize,
    line: usize,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { lines: text.split_inclusive('\n'), pending: String::new(), first: 1, line: 0 }
    }

    /// Gives what is there, up to a place in it.
    fn give(&mut self, len: usize) -> Input {
        let rest = self.pending.split_off(len);
        let text = std::mem::replace(&mut self.pending, rest);
        let line = self.first;
        self.first += text.matches('\n').count();
        Input::Statements { text, line }
    }
}

impl Iterator for Inputs<'_> {
    type Item = Input;

    fn next(&mut self) -> Option<Input> {
        for line in self.lines.by_ref() {
            self.line += 1;
            if self.pending.trim().is_empty() {
                self.pending.clear();
                self.first = self.line;
                if line.trim_start().starts_with('\\') {
                    return Some(Input::Meta(line.trim().to_owned()));
                }
            }
            self.pending.push_str(line);
            // Only a semicolon ends a statement; looking for it in every line would read long ones again and again.
            if line.contains(';') {
                let found = complete(&self.pending);
                let whole = self.pending.len() - found.rest.len();
                if whole > 0 {
                    return Some(self.give(whole));
                }
            }
        }
        // The last statement needs no semicolon.
        let len = self.pending.len();
        (!self.pending.trim().is_empty()).then(|| self.give(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(text: &str, line: usize) -> Input {
        Input::Statements { text: text.to_owned(), line }
    }

    #[test]
    fn statements_and_lines_for_the_shell_take_turns() {
        let text = "\\x\n\nSELECT 1; SELECT\n 2;\n  \\dt  \nSELECT ';\n\\no\n';\nSELECT 3";
        let inputs: Vec<Input> = Inputs::new(text).collect();
        let meta = |text: &str| Input::Meta(text.to_owned());
        assert_eq!(
            inputs,
            [
                meta("\\x"),
                statements("SELECT 1;", 3),
                statements(" SELECT\n 2;", 3),
                meta("\\dt"),
                statements("SELECT ';\n\\no\n';", 6),
                statements("SELECT 3", 9),
            ]
        );
    }
}
