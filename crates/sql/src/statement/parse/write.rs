//! `INSERT`, `UPDATE`, `DELETE`, `TRUNCATE` (SQL-10).

use sqlparser::ast;
use sqlparser::tokenizer::Token;

use super::super::reader::Reader;
use super::super::{Assignment, Conflict, ConflictAction, Delete, Insert, Path, Source, Statement, Update, Value};
use super::{alias, lifecycle};
use crate::{Result, SqlError};

pub(super) fn insert(reader: &mut Reader) -> Result<Insert> {
    reader.expect("INSERT INTO")?;
    let table = reader.name("a table")?;
    let alias = alias(reader, &["VALUES", "SELECT", "WITH", "TABLE", "DEFAULT"])?;
    let targets = if *reader.peek(0) == Token::LParen && !is_query(reader) {
        reader.parenthesised(Reader::path)?
    } else {
        Vec::new()
    };
    let source = source(reader)?;
    let conflict = conflict(reader)?;
    Ok(Insert { table, alias, targets, source, conflict, returning: returning(reader)? })
}

/// Whether a query stands in the parentheses that come next.
fn is_query(reader: &Reader) -> bool {
    let mut ahead = 1;
    while *reader.peek(ahead) == Token::LParen {
        ahead += 1;
    }
    reader
        .word(ahead)
        .is_some_and(|word| ["SELECT", "VALUES", "WITH", "TABLE"].iter().any(|start| word.eq_ignore_ascii_case(start)))
}

fn source(reader: &mut Reader) -> Result<Source> {
    if reader.take("DEFAULT VALUES") {
        return Ok(Source::Default);
    }
    if reader.take("VALUES") {
        return Ok(Source::Values(reader.list(|reader| reader.parenthesised(value))?));
    }
    if *reader.peek(0) == Token::LParen || ["SELECT", "WITH", "TABLE"].iter().any(|word| reader.at(word)) {
        return reader.query().map(Source::Query);
    }
    Err(reader.unexpected("VALUES, a query or DEFAULT VALUES"))
}

fn value(reader: &mut Reader) -> Result<Value> {
    let ends = matches!(reader.peek(1), Token::Comma | Token::RParen | Token::SemiColon | Token::EOF);
    let clause = reader
        .word(1)
        .is_some_and(|word| ["FROM", "WHERE", "RETURNING"].iter().any(|next| word.eq_ignore_ascii_case(next)));
    if (ends || clause) && reader.take("DEFAULT") {
        return Ok(Value::Default);
    }
    reader.expression().map(Value::Expr)
}

fn conflict(reader: &mut Reader) -> Result<Option<Conflict>> {
    if !reader.take("ON CONFLICT") {
        return Ok(None);
    }
    let targets = if *reader.peek(0) == Token::LParen { reader.parenthesised(Reader::path)? } else { Vec::new() };
    reader.expect("DO")?;
    if reader.take("NOTHING") {
        return Ok(Some(Conflict { targets, action: ConflictAction::Nothing }));
    }
    if !reader.take("UPDATE SET") {
        return Err(reader.unexpected("NOTHING or UPDATE SET"));
    }
    let set = assignments(reader)?;
    let filter = filter(reader)?;
    Ok(Some(Conflict { targets, action: ConflictAction::Update { set, filter } }))
}

pub(super) fn update(reader: &mut Reader) -> Result<Update> {
    reader.expect("UPDATE")?;
    let table = reader.name("a table")?;
    let alias = alias(reader, &["SET"])?;
    reader.expect("SET")?;
    let set = assignments(reader)?;
    let from = if reader.take("FROM") { reader.tables()? } else { Vec::new() };
    Ok(Update { table, alias, set, from, filter: filter(reader)?, returning: returning(reader)? })
}

/// What follows `SET`.
fn assignments(reader: &mut Reader) -> Result<Vec<Assignment>> {
    let groups = reader.list(|reader| {
        if *reader.peek(0) == Token::LParen {
            return tuple(reader);
        }
        let target = reader.path()?;
        reader.expect_sign(&Token::Eq)?;
        Ok(vec![Assignment { target, value: value(reader)? }])
    })?;
    Ok(groups.into_iter().flatten().collect())
}

/// `(x, y) = (e, f)`.
fn tuple(reader: &mut Reader) -> Result<Vec<Assignment>> {
    let targets: Vec<Path> = reader.parenthesised(Reader::path)?;
    reader.expect_sign(&Token::Eq)?;
    let at = reader.here();
    let _ = reader.take("ROW");
    if is_query(reader) {
        return Err(SqlError::new("0A000", "a query as the source of several targets is not supported").at(at));
    }
    let values = reader.parenthesised(value)?;
    if values.len() != targets.len() {
        let message = format!("{} targets, but {} values", targets.len(), values.len());
        return Err(SqlError::new("42601", message).at(at));
    }
    Ok(targets.into_iter().zip(values).map(|(target, value)| Assignment { target, value }).collect())
}

pub(super) fn delete_statement(reader: &mut Reader) -> Result<Statement> {
    if reader.at("DELETE DEAD LETTERS") {
        return lifecycle::delete_dead_letters(reader);
    }
    Ok(Statement::Delete(delete(reader)?.into()))
}

pub(super) fn delete(reader: &mut Reader) -> Result<Delete> {
    reader.expect("DELETE FROM")?;
    let table = reader.name("a table")?;
    let alias = alias(reader, &["USING", "WHERE", "RETURNING"])?;
    let using = if reader.take("USING") { reader.tables()? } else { Vec::new() };
    Ok(Delete { table, alias, using, filter: filter(reader)?, returning: returning(reader)? })
}

pub(super) fn truncate(reader: &mut Reader) -> Result<Statement> {
    reader.expect("TRUNCATE")?;
    let _ = reader.take("TABLE");
    Ok(Statement::Truncate(reader.name("a table")?))
}

/// `[WHERE e]`.
pub(super) fn filter(reader: &mut Reader) -> Result<Option<ast::Expr>> {
    if reader.take("WHERE") { reader.expression().map(Some) } else { Ok(None) }
}

fn returning(reader: &mut Reader) -> Result<Vec<ast::SelectItem>> {
    if reader.take("RETURNING") { reader.select_items() } else { Ok(Vec::new()) }
}
