//! The statement layer: from text to statements (SQL-1.3, SQL-1.5, SQL-2).
//!
//! [`script`] reads a whole text, [`Script`] statement by statement, [`complete`] tells a shell how much of what was typed is
//! there. A [`Statement`] is ours; the queries and expressions inside are `sqlparser`'s ([`ast`]). What that parser does not
//! know of a query is put into the tree in disguise, and [`exclusion`] and [`BETWEEN_SYMMETRIC`] say how to find it.
//!
//! **Positions.** Every span of the tree is on line 1, and its column is the 1-based character of the whole text: what
//! [`SqlError::position`] holds. So an error about an identifier is `error.at(ident.span.start)`.
//!
//! **Bodies.** A [`Block`] is `[DECLARE …] BEGIN … END`: declarations, then [`BodyStatement`]s, which nest. The query of a
//! `SELECT … INTO a, b` and of a `PERFORM` is an ordinary query: the `INTO` has been taken out. Embedded writes are the same
//! [`Insert`], [`Update`] and [`Delete`] as outside.
//!
//! **Options.** `WITH (name = value, …)` is [`Options`]: lower-case names to [`Literal`]s, in the order of names. Which names
//! an object knows is its maker's business ([`Options::check`]).
//!
//! **Printing.** `to_string()` gives the normalised text, which reads back as the same statement.

mod complete;
mod dialect;
mod disguise;
mod limits;
mod parse;
mod print;
mod reader;
mod tokens;
mod tree;

pub use complete::{Complete, complete};
pub use disguise::{BETWEEN_SYMMETRIC, Exclusion, exclusion};
pub use print::ident as quoted;
pub use sqlparser::ast;
pub use tree::*;

use std::collections::VecDeque;

use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::{Result, SqlError};
use tokens::Tokens;

/// Where a statement is in its text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// The byte after its last, without the semicolon.
    pub end: usize,
}

/// All statements of a text. The first error refuses all of it.
pub fn script(text: &str) -> Result<Vec<(Statement, Span)>> {
    Script::new(text)?.collect()
}

/// The one statement of a text.
pub fn statement(text: &str) -> Result<Statement> {
    let mut statements = script(text)?.into_iter();
    match (statements.next(), statements.next()) {
        (Some((statement, _)), None) => Ok(statement),
        (None, _) => Err(SqlError::new("42601", "there is no statement")),
        (_, Some(_)) => Err(SqlError::new("42601", "expected one statement, found several")),
    }
}

/// The parameters `$1`, `$2`… of a text, with their types where a cast or a LIMIT says them.
///
/// # Errors
/// The text cannot be taken apart.
pub fn parameters(text: &str) -> Result<Vec<Option<crate::Type>>> {
    let tokens = tokens::tokens(text, 0)?.tokens;
    let mut found: Vec<Option<crate::Type>> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Placeholder(name) = &token.token else { continue };
        let number = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        let Some(number) = number.filter(|number| (1..=usize::from(u16::MAX)).contains(number)) else {
            return Err(SqlError::new("42P02", format!("there is no parameter {name}")).at(token.span.start));
        };
        if found.len() < number {
            found.resize(number, None);
        }
        let behind = tokens.get(at + 1..).unwrap_or_default();
        let before = at.checked_sub(1).and_then(|at| tokens.get(at)).map(|token| &token.token);
        let counts = matches!(before, Some(Token::Word(word)) if matches!(word.value.to_ascii_uppercase().as_str(), "LIMIT" | "OFFSET"));
        let kind = match behind {
            [first, rest @ ..] if first.token == Token::DoubleColon => reader::cast_type(rest.to_vec()),
            _ if counts => Some(crate::Type::BigInt),
            _ => None,
        };
        if let Some(place) = found.get_mut(number - 1)
            && place.is_none()
        {
            *place = kind;
        }
    }
    Ok(found)
}

/// The statements of a text, one after the other: what stands before a mistake can be run before it is met.
pub struct Script<'a> {
    text: &'a str,
    /// Those that are left.
    tokens: VecDeque<TokenWithSpan>,
    /// What comes after them.
    error: Option<SqlError>,
    /// A character of the text and its byte, at or before the next token.
    place: (usize, usize),
}

impl<'a> Script<'a> {
    /// Takes the text apart into words.
    pub fn new(text: &'a str) -> Result<Self> {
        let Tokens { tokens, error } = tokens::tokens(text, 0)?;
        Ok(Self { text, tokens: tokens.into(), error, place: (1, 0) })
    }

    /// The byte of a character that is not before the last one.
    fn byte(&mut self, character: Location) -> usize {
        let (from, byte) = self.place;
        let wanted = usize::try_from(character.column).unwrap_or(usize::MAX);
        let rest = self.text.get(byte..).unwrap_or_default();
        let more = rest.char_indices().nth(wanted.saturating_sub(from)).map_or(rest.len(), |(index, _)| index);
        self.place = (wanted.max(from), byte + more);
        byte + more
    }
}

impl Iterator for Script<'_> {
    type Item = Result<(Statement, Span)>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.tokens.front().is_some_and(|token| token.token == Token::SemiColon) {
            self.tokens.pop_front();
        }
        let len = complete::statement_len(self.tokens.iter().map(|token| &token.token));
        let len = match (len, self.error.take()) {
            // Nothing ends the last statement but the end of the text, or what cannot be read.
            (None, Some(error)) => {
                self.tokens.clear();
                return Some(Err(error));
            }
            (len, error) => {
                self.error = error;
                len.unwrap_or(self.tokens.len())
            }
        };
        let tokens: Vec<TokenWithSpan> = self.tokens.drain(..len).collect();
        let (first, last) = (tokens.first()?.span.start, tokens.last()?.span.end);
        let span = Span { start: self.byte(first), end: self.byte(last) };
        let result = parse::parse(tokens).map(|statement| (statement, span));
        if result.is_err() {
            self.tokens.clear();
            self.error = None;
        }
        Some(result)
    }
}

#[cfg(test)]
mod tests;
