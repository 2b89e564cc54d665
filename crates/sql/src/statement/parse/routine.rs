//! `CREATE FUNCTION`, `CREATE PROCEDURE` (SQL-16).

use sqlparser::tokenizer::{Location, Token};

use super::super::reader::Reader;
use super::super::{Argument, CreateRoutine, RoutineBody, RoutineKind, Statement, Volatility, tokens};
use super::{body, options};
use crate::{Result, SqlError};

/// What follows `CREATE [OR REPLACE]`.
pub(super) fn create(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    let kind = if reader.take("FUNCTION") {
        RoutineKind::Function
    } else {
        reader.expect("PROCEDURE")?;
        RoutineKind::Procedure
    };
    let name = reader.name("the routine's name")?;
    let arguments = arguments(reader, argument)?;
    let mut parts = Parts::default();
    while !reader.is_at_end() {
        parts.read(reader, kind)?;
    }
    let end = reader.here();
    let missing = |what: &str| SqlError::new("42601", format!("{what} is missing")).at(end);
    if kind == RoutineKind::Function && parts.returns.is_none() {
        return Err(missing("RETURNS type"));
    }
    let language = parts.language.ok_or_else(|| missing("LANGUAGE"))?;
    let body = parts.body.ok_or_else(|| missing("the body"))?;
    let fits = match language {
        Language::Sql => matches!(body, RoutineBody::Block(_) | RoutineBody::Expression(_) | RoutineBody::Query(_)),
        Language::Native => matches!(body, RoutineBody::Native(_)),
        Language::Webhook => matches!(body, RoutineBody::Webhook(_)),
    };
    if !fits {
        return Err(SqlError::new("42601", "this body is not of that language").at(end));
    }
    let Parts { returns, volatility, strict, .. } = parts;
    let routine = CreateRoutine {
        kind,
        name,
        or_replace,
        arguments,
        returns,
        volatility: volatility.unwrap_or_default(),
        strict,
        body,
    };
    Ok(Statement::CreateRoutine(routine.into()))
}

/// `([argument, …])`.
pub(super) fn arguments<T>(reader: &mut Reader, argument: impl FnMut(&mut Reader) -> Result<T>) -> Result<Vec<T>> {
    if *reader.peek(0) == Token::LParen && *reader.peek(1) == Token::RParen {
        reader.skip();
        reader.skip();
        return Ok(Vec::new());
    }
    reader.parenthesised(argument)
}

/// `arg type [DEFAULT e]`.
fn argument(reader: &mut Reader) -> Result<Argument> {
    for mode in ["OUT", "INOUT", "VARIADIC"] {
        if reader.at(mode) && matches!(reader.peek(1), Token::Word(_)) && matches!(reader.peek(2), Token::Word(_)) {
            return Err(super::unsupported(reader, &format!("{mode} of an argument")));
        }
    }
    let name = reader.identifier("an argument")?;
    let data_type = reader.data_type()?;
    let default =
        if reader.take("DEFAULT") || reader.take_sign(&Token::Eq) { Some(reader.expression()?) } else { None };
    Ok(Argument { name, data_type, default })
}

#[derive(Clone, Copy)]
enum Language {
    Native,
    Sql,
    Webhook,
}

/// What follows the arguments, in any order.
#[derive(Default)]
struct Parts {
    returns: Option<sqlparser::ast::DataType>,
    language: Option<Language>,
    volatility: Option<Volatility>,
    strict: bool,
    body: Option<RoutineBody>,
}

impl Parts {
    fn read(&mut self, reader: &mut Reader, kind: RoutineKind) -> Result<()> {
        const VOLATILITY: &[(&str, Volatility)] =
            &[("IMMUTABLE", Volatility::Immutable), ("STABLE", Volatility::Stable), ("VOLATILE", Volatility::Volatile)];
        if kind == RoutineKind::Function && reader.take("RETURNS") {
            self.returns = Some(reader.data_type()?);
        } else if reader.take("LANGUAGE") {
            self.language = Some(language(reader)?);
        } else if reader.take("STRICT") || reader.take("RETURNS NULL ON NULL INPUT") {
            self.strict = true;
        } else if let Some((_, volatility)) = VOLATILITY.iter().find(|(word, _)| reader.take(word)) {
            self.volatility = Some(*volatility);
        } else if self.body.is_none() && reader.at("WITH") {
            self.body = Some(RoutineBody::Webhook(options::with(reader)?));
        } else if self.body.is_none() && kind == RoutineKind::Function && reader.take("RETURN") {
            self.body = Some(RoutineBody::Expression(reader.expression()?));
        } else if self.body.is_none() && reader.take("AS") {
            self.body = Some(self.text_body(reader, kind)?);
        } else {
            return Err(reader.unexpected("LANGUAGE, an attribute or the body"));
        }
        Ok(())
    }

    fn text_body(&self, reader: &mut Reader, kind: RoutineKind) -> Result<RoutineBody> {
        let at = reader.here();
        let quote = match reader.peek(0) {
            Token::DollarQuotedString(string) => string.tag.as_deref().map_or(0, |tag| tag.chars().count()) + 2,
            Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) => 1,
            _ if kind == RoutineKind::Procedure => return body::block(reader).map(RoutineBody::Block),
            _ => return Err(reader.unexpected("a body in quotes")),
        };
        let text = reader.string("a body")?;
        // PostgreSQL lets the language follow its text.
        let native = matches!(self.language, Some(Language::Native))
            || (self.language.is_none() && reader.at("LANGUAGE NATIVE"));
        if native {
            return Ok(RoutineBody::Native(text));
        }
        let mut inner = inside(&text, at, quote)?;
        let body = match kind {
            RoutineKind::Procedure => RoutineBody::Block(body::block(&mut inner)?),
            RoutineKind::Function => RoutineBody::Query(inner.query()?),
        };
        let _ = inner.take_sign(&Token::SemiColon);
        inner.expect_end()?;
        Ok(body)
    }
}

fn language(reader: &mut Reader) -> Result<Language> {
    if reader.take("SQL") {
        Ok(Language::Sql)
    } else if reader.take("WEBHOOK") {
        Ok(Language::Webhook)
    } else if reader.take("NATIVE") {
        Ok(Language::Native)
    } else if matches!(reader.peek(0), Token::Word(_)) {
        Err(super::unsupported(reader, &format!("language {}", reader.peek(0)))
            .hint("languages are SQL, WEBHOOK and NATIVE"))
    } else {
        Err(reader.unexpected("SQL, WEBHOOK or NATIVE"))
    }
}

/// Reads what is inside of a string; errors are told where it is in the outer text.
fn inside(text: &str, at: Location, quote: usize) -> Result<Reader> {
    let offset = usize::try_from(at.column).unwrap_or_default().saturating_sub(1) + quote;
    let tokens = tokens::tokens(text, offset)?;
    match tokens.error {
        Some(error) => Err(error),
        None => {
            super::limits::depth(&tokens.tokens)?;
            Ok(Reader::new(tokens.tokens))
        }
    }
}
