//! `WITH (name = value, …)`.

use sqlparser::tokenizer::Token;

use super::super::reader::Reader;
use super::super::{Literal, Options};
use crate::{Result, SqlError};

/// Takes `WITH (…)` if it comes next.
pub(super) fn with(reader: &mut Reader) -> Result<Options> {
    if reader.at("WITH") && *reader.peek(1) == Token::LParen {
        reader.expect("WITH")?;
        return parenthesised(reader);
    }
    Ok(Options::default())
}

/// `(name = value, …)`.
pub(super) fn parenthesised(reader: &mut Reader) -> Result<Options> {
    let mut options = Options::default();
    reader.expect_sign(&Token::LParen)?;
    loop {
        let at = reader.here();
        let name = reader.identifier("an option")?.to_lowercase();
        reader.expect_sign(&Token::Eq)?;
        let value = literal(reader)?;
        if options.0.insert(name.clone(), value).is_some() {
            return Err(SqlError::new("42601", format!("option \"{name}\" is given twice")).at(at));
        }
        if !reader.take_sign(&Token::Comma) {
            break;
        }
    }
    reader.expect_sign(&Token::RParen)?;
    Ok(options)
}

/// The value of an option or a setting.
pub(super) fn literal(reader: &mut Reader) -> Result<Literal> {
    let sign = if reader.take_sign(&Token::Minus) { "-" } else { "" };
    if let Token::Number(digits, _) = reader.peek(0) {
        let text = format!("{sign}{digits}");
        reader.skip();
        return Ok(Literal::Number(text));
    }
    if !sign.is_empty() {
        return Err(reader.unexpected("a number"));
    }
    if *reader.peek(0) == Token::LParen {
        return Ok(Literal::Paths(reader.parenthesised(Reader::path)?));
    }
    if reader.at("INTERVAL") && is_string(reader.peek(1)) {
        return interval(reader).map(Literal::Interval);
    }
    if ["TIMESTAMPTZ", "TIMESTAMP", "DATE"].iter().any(|word| reader.at(word)) && is_string(reader.peek(1)) {
        reader.skip();
        return reader.string("a time").map(Literal::Time);
    }
    if reader.take("TRUE") {
        return Ok(Literal::Boolean(true));
    }
    if reader.take("FALSE") {
        return Ok(Literal::Boolean(false));
    }
    if is_string(reader.peek(0)) {
        return reader.string("a value").map(Literal::Text);
    }
    reader.identifier("a value").map(Literal::Text)
}

/// `INTERVAL '…' [unit]`: its text.
pub(super) fn interval(reader: &mut Reader) -> Result<String> {
    reader.expect("INTERVAL")?;
    let text = reader.string("an interval")?;
    const UNITS: &[&str] = &["SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "YEAR"];
    match UNITS.iter().find(|unit| reader.take(unit)) {
        Some(unit) => Ok(format!("{text} {}", unit.to_ascii_lowercase())),
        None => Ok(text),
    }
}

fn is_string(token: &Token) -> bool {
    matches!(token, Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::DollarQuotedString(_))
}
