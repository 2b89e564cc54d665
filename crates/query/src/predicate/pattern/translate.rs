//! PCRE syntax to that of the `regex` crate, where the two read the same text differently.
//!
//! - `\d \w \s` and `\b` are those of ASCII, while letters and case are Unicode's.
//! - `$` stands at the end and before a last line end.
//! - `{` that starts no count, `[` in a class and spaces in a class of an extended pattern are themselves.
//! - `\Q...\E`, `\h`, `\Z`, `\R`, `(?#...)` are spelled out.

use std::iter::Peekable;
use std::str::Chars;

/// The options that change how a pattern is read.
#[derive(Clone, Copy)]
pub(super) struct Flags {
    pub(super) multi_line: bool,
    pub(super) extended: bool,
}

/// The result.
pub(super) struct Translated {
    pub(super) text: String,
    /// It repeats possessively, which the linear engine reads as something else.
    pub(super) backtracks: bool,
}

/// Rewrites `source`. Mistakes in it are left for the engine to name.
pub(super) fn translate(source: &str, flags: Flags) -> Translated {
    let mut state = State { rest: source.chars().peekable(), out: String::with_capacity(source.len() + 16), flags };
    // A flag inside the pattern may turn lines on for a part of it; then a plain dollar sign is the safer reading.
    if inline_flags(source).any(|flag| flag == 'm') {
        state.flags.multi_line = true;
    }
    if inline_flags(source).any(|flag| flag == 'x') {
        state.flags.extended = true;
    }
    let mut backtracks = false;
    let mut repeats = false;
    while let Some(c) = state.rest.next() {
        let repeated = repeats;
        repeats = false;
        match c {
            '\\' => state.escape(),
            '[' => state.class(),
            '$' if !state.flags.multi_line => state.out.push_str(r"(?:\n?\z)"),
            '{' => repeats = state.brace(),
            '*' | '+' | '?' => {
                backtracks |= repeated && c == '+';
                // After a count of repetitions, `?` and `+` say how; they cannot be repeated again.
                repeats = !repeated;
                state.out.push(c);
            }
            '(' => state.group(),
            '#' if state.flags.extended => state.comment(),
            other => state.out.push(other),
        }
    }
    Translated { text: state.out, backtracks }
}

/// The text that every match of an anchored pattern without options starts with.
pub(super) fn prefix(source: &str) -> Option<String> {
    let rest = source.strip_prefix('^').or_else(|| source.strip_prefix(r"\A"))?;
    if source.contains('|') || source.contains("(?") {
        return None;
    }
    let mut text = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' | '{' => {
                // The character before may be absent.
                text.pop();
                break;
            }
            '\\' => match chars.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => text.push(escaped),
                _ => break,
            },
            '.' | '[' | '(' | '+' | '$' | '^' | ')' => break,
            plain => text.push(plain),
        }
    }
    (!text.is_empty()).then_some(text)
}

fn inline_flags(source: &str) -> impl Iterator<Item = char> {
    source.split("(?").skip(1).flat_map(|part| part.chars().take_while(|c| c.is_ascii_lowercase()))
}

struct State<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    flags: Flags,
}

impl State<'_> {
    fn escape(&mut self) {
        let Some(c) = self.rest.next() else {
            return self.out.push('\\');
        };
        match c {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str(r"[\t\n\x0B\x0C\r ]"),
            'S' => self.out.push_str(r"[^\t\n\x0B\x0C\r ]"),
            'h' => self.out.push_str(r"[\t \x{A0}]"),
            'H' => self.out.push_str(r"[^\t \x{A0}]"),
            'v' => self.out.push_str(r"[\n\x0B\x0C\r\x{85}\x{2028}\x{2029}]"),
            'N' => self.out.push_str(r"[^\n]"),
            'R' => self.out.push_str(r"(?:\r\n|[\n\x0B\x0C\r\x{85}\x{2028}\x{2029}])"),
            'b' => self.out.push_str(r"(?-u:\b)"),
            'Z' => self.out.push_str(r"(?:\n?\z)"),
            'e' => self.out.push_str(r"\x1B"),
            'Q' => self.quoted(),
            'E' => {}
            '<' | '>' => self.out.push(c),
            ' ' => self.out.push_str(r"\x20"),
            other => {
                self.out.push('\\');
                self.out.push(other);
            }
        }
    }

    fn quoted(&mut self) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.peek() == Some(&'E') {
                self.rest.next();
                return;
            }
            self.literal(c);
        }
    }

    fn literal(&mut self, c: char) {
        if c.is_whitespace() {
            self.out.push_str(&format!(r"\x{{{:X}}}", u32::from(c)));
            return;
        }
        if c.is_ascii_punctuation() && c != '<' && c != '>' {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    fn class(&mut self) {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        if self.rest.next_if_eq(&']').is_some() {
            self.out.push_str(r"\]");
        }
        while let Some(c) = self.rest.next() {
            match c {
                ']' => return self.out.push(']'),
                '[' if self.rest.peek() == Some(&':') && self.posix() => {}
                '[' => self.out.push_str(r"\["),
                '&' | '~' => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                // Two dashes in a row would subtract classes.
                '-' if self.rest.peek() == Some(&'-') => self.out.push_str(r"\-"),
                '\\' => self.class_escape(),
                c if c.is_whitespace() => self.literal(c),
                '#' => self.out.push_str(r"\#"),
                other => self.out.push(other),
            }
        }
    }

    fn class_escape(&mut self) {
        match self.rest.peek() {
            Some('b') => {
                self.rest.next();
                self.out.push_str(r"\x08");
            }
            Some('Q') => {
                self.rest.next();
                self.quoted();
            }
            Some('R' | 'Z') => self.out.push('\\'),
            _ => self.escape(),
        }
    }

    /// `[:digit:]` inside a class.
    fn posix(&mut self) -> bool {
        let mut ahead = self.rest.clone();
        ahead.next();
        let name: String = ahead.by_ref().take_while(|c| c.is_ascii_lowercase() || *c == '^').collect();
        if ahead.next() != Some(']') || name.is_empty() {
            return false;
        }
        self.out.push_str(&format!("[:{name}:]"));
        self.rest = ahead;
        true
    }

    /// Whether it starts a count; otherwise it is itself.
    fn brace(&mut self) -> bool {
        let ahead: String = self.rest.clone().take_while(|c| *c != '}').take(16).collect();
        let closed = self.rest.clone().take(17).any(|c| c == '}');
        let (low, high) = ahead.split_once(',').unwrap_or((&ahead, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if closed && !low.is_empty() && digits(low) && digits(high) {
            self.out.push('{');
            for c in self.rest.by_ref() {
                self.out.push(c);
                if c == '}' {
                    break;
                }
            }
            return true;
        }
        self.out.push_str(r"\{");
        false
    }

    fn group(&mut self) {
        let mut ahead = self.rest.clone();
        if ahead.next() == Some('?') && ahead.next() == Some('#') {
            for c in self.rest.by_ref() {
                if c == ')' {
                    return;
                }
            }
        }
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_some() {
            // Consumed here so that it is not taken for a repetition.
            self.out.push('?');
        }
    }

    fn comment(&mut self) {
        for c in self.rest.by_ref() {
            if c == '\n' {
                return;
            }
        }
    }
}
