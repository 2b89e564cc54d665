//! Where statements end, for texts that are still being written.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::dialect::Sql;
use super::tokens::is_open;

/// What of a text is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete<'a> {
    /// Complete statements, without their semicolons.
    pub statements: Vec<&'a str>,
    /// What is behind the last semicolon that ends a statement. It is blank when nothing waits for more.
    pub rest: &'a str,
}

/// Splits a text at the semicolons that end statements: not at those in strings, comments and bodies.
pub fn complete(text: &str) -> Complete<'_> {
    let mut tokens = Vec::new();
    let failed = Tokenizer::new(&Sql, text).tokenize_with_location_into_buf(&mut tokens).err();
    let mut statements = Vec::new();
    let mut scan = Scan::default();
    let mut start = 0;
    let mut at = Place::default();
    for token in &tokens {
        if !matches!(token.token, Token::Whitespace(_)) && scan.ends_at(&token.token) {
            let end = at.byte(text, token.span.start.line, token.span.start.column);
            let statement = text.get(start..end).unwrap_or_default().trim();
            if !statement.is_empty() {
                statements.push(statement);
            }
            start = end + 1;
            scan = Scan::default();
        }
    }
    let mut rest = text.get(start..).unwrap_or_default();
    // What can never be read is no matter of waiting for more: it is handed over to fail.
    if failed.is_some_and(|error| !is_open(&error)) && !rest.trim().is_empty() {
        statements.push(rest.trim());
        rest = "";
    }
    Complete { statements, rest }
}

/// How many tokens there are before the semicolon that ends the first statement.
pub(super) fn statement_len<'a>(mut tokens: impl Iterator<Item = &'a Token>) -> Option<usize> {
    let mut scan = Scan::default();
    tokens.position(|token| scan.ends_at(token))
}

/// The words before a statement that is explained.
const EXPLAINS: [&str; 7] = ["ANALYZE", "EXPLAIN", "FALSE", "FORMAT", "JSON", "TEXT", "TRUE"];

/// Goes along a statement's tokens.
#[derive(Default)]
struct Scan {
    /// The first words say whether the statement can have a body.
    words: usize,
    creates: bool,
    may_have_body: bool,
    /// `DECLARE` was seen, but not yet its `BEGIN`.
    declares: bool,
    /// How many `END`s are to come.
    depth: usize,
    last: Last,
}

/// What stood before.
#[derive(Clone, Copy, Default, PartialEq)]
enum Last {
    #[default]
    Other,
    Dot,
    End,
    /// Here a statement of a body begins.
    Start,
}

impl Scan {
    /// Whether this token is the semicolon that ends the statement.
    fn ends_at(&mut self, token: &Token) -> bool {
        let last = std::mem::take(&mut self.last);
        match token {
            Token::SemiColon if self.depth == 0 && !self.declares => return true,
            Token::SemiColon => self.last = Last::Start,
            Token::Period => self.last = Last::Dot,
            Token::Word(word) if word.quote_style.is_none() && last != Last::Dot => {
                self.words += 1;
                self.word(&word.value, word.keyword, last);
            }
            _ => {}
        }
        false
    }

    fn word(&mut self, text: &str, keyword: Keyword, last: Last) {
        let is = |other: &str| text.eq_ignore_ascii_case(other);
        // What is explained is a statement, too.
        if self.words == 1 && EXPLAINS.into_iter().any(is) {
            self.words = 0;
            return;
        }
        if self.words <= 4 {
            self.creates |= self.words == 1 && is("CREATE");
            self.may_have_body |= self.creates && (is("TRIGGER") || is("PROCEDURE") || is("FUNCTION"));
        }
        // A transaction's `BEGIN;` has no body, and neither has a query, whose `CASE` ends itself.
        if !self.may_have_body {
            return;
        }
        match keyword {
            Keyword::DECLARE if self.depth == 0 => self.declares = true,
            Keyword::BEGIN => {
                self.declares = false;
                self.depth += 1;
                self.last = Last::Start;
            }
            _ if self.depth == 0 => {}
            Keyword::END => {
                self.depth -= 1;
                self.last = Last::End;
            }
            Keyword::CASE if last != Last::End => self.depth += 1,
            Keyword::IF if last == Last::Start => self.depth += 1,
            Keyword::THEN | Keyword::ELSE => self.last = Last::Start,
            _ if is("LOOP") && last != Last::End => {
                self.depth += 1;
                self.last = Last::Start;
            }
            _ => {}
        }
    }
}

/// A place in a text, by line and column and by byte; it only goes on.
struct Place {
    line: u64,
    column: u64,
    byte: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self { line: 1, column: 1, byte: 0 }
    }
}

impl Place {
    fn byte(&mut self, text: &str, line: u64, column: u64) -> usize {
        for ch in text.get(self.byte..).unwrap_or_default().chars() {
            if self.line == line && self.column == column {
                break;
            }
            self.byte += ch.len_utf8();
            if ch == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.byte
    }
}
