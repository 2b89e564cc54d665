//! `CREATE TRIGGER` (SQL-15).

use sqlparser::ast;
use sqlparser::tokenizer::Token;

use super::super::reader::Reader;
use super::super::{CreateTrigger, Options, Path, Statement, TriggerAction, TriggerEvent};
use super::{body, options, unsupported};
use crate::{Result, SqlError};

/// What follows `CREATE [OR REPLACE] TRIGGER`.
pub(super) fn create(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    let name = reader.name("the trigger's name")?;
    for word in ["BEFORE", "INSTEAD OF"] {
        if reader.at(word) {
            return Err(unsupported(reader, word).hint("triggers run after the commit: write AFTER"));
        }
    }
    let (table, events) = if reader.take("AFTER") {
        let events = events(reader, |reader| reader.take("OR"))?;
        reader.expect("ON")?;
        (reader.name("a table")?, events)
    } else if reader.take("ON") {
        let table = reader.name("a table")?;
        reader.expect("FOR")?;
        (table, events(reader, |reader| reader.take_sign(&Token::Comma))?)
    } else {
        return Err(reader.unexpected("ON or AFTER"));
    };
    let (when, options) = conditions(reader)?;
    let action = if reader.take("AS") {
        TriggerAction::Block(body::block(reader)?)
    } else if reader.take("EXECUTE") {
        if !(reader.take("FUNCTION") || reader.take("PROCEDURE")) {
            return Err(reader.unexpected("FUNCTION or PROCEDURE"));
        }
        TriggerAction::Execute(body::routine_call(reader)?)
    } else {
        return Err(reader.unexpected("AS … BEGIN or EXECUTE"));
    };
    Ok(Statement::CreateTrigger(CreateTrigger { name, or_replace, table, events, when, options, action }.into()))
}

/// `[FOR EACH ROW] [WHEN (cond)] [WITH (options)]`, in any order.
fn conditions(reader: &mut Reader) -> Result<(Option<ast::Expr>, Options)> {
    let mut when = None;
    let mut options = Options::default();
    loop {
        if reader.at("FOR EACH STATEMENT") || reader.at("FOR STATEMENT") {
            return Err(unsupported(reader, "FOR EACH STATEMENT"));
        } else if reader.take("FOR EACH ROW") || reader.take("FOR ROW") {
        } else if when.is_none() && reader.take("WHEN") {
            reader.expect_sign(&Token::LParen)?;
            when = Some(reader.expression()?);
            reader.expect_sign(&Token::RParen)?;
        } else if options.is_empty() && reader.at("WITH") {
            options = options::with(reader)?;
        } else {
            return Ok((when, options));
        }
    }
}

fn events(reader: &mut Reader, mut more: impl FnMut(&mut Reader) -> bool) -> Result<Vec<TriggerEvent>> {
    let mut events: Vec<TriggerEvent> = Vec::new();
    loop {
        let at = reader.here();
        let event = if reader.take("INSERT") {
            TriggerEvent::Insert
        } else if reader.take("DELETE") {
            TriggerEvent::Delete
        } else if reader.take("UPDATE") {
            TriggerEvent::Update(if reader.take("OF") { paths(reader)? } else { Vec::new() })
        } else if reader.at("TRUNCATE") {
            return Err(unsupported(reader, "TRUNCATE").hint("TRUNCATE deletes document by document: use DELETE"));
        } else {
            return Err(reader.unexpected("INSERT, UPDATE or DELETE"));
        };
        if events.iter().any(|other| std::mem::discriminant(other) == std::mem::discriminant(&event)) {
            return Err(SqlError::new("42601", "an event is listed twice").at(at));
        }
        events.push(event);
        if !more(reader) {
            return Ok(events);
        }
    }
}

/// The paths of `UPDATE OF`, up to the next event.
fn paths(reader: &mut Reader) -> Result<Vec<Path>> {
    let mut paths = vec![reader.path()?];
    let is_event = |reader: &Reader| {
        reader
            .word(1)
            .is_some_and(|word| ["INSERT", "UPDATE", "DELETE"].iter().any(|event| word.eq_ignore_ascii_case(event)))
    };
    while *reader.peek(0) == Token::Comma && !is_event(reader) {
        reader.skip();
        paths.push(reader.path()?);
    }
    Ok(paths)
}
