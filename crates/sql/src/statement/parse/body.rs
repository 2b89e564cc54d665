//! Bodies (SQL-15).

use sqlparser::ast;
use sqlparser::tokenizer::Token;

use super::super::reader::Reader;
use super::super::{Block, BodyStatement, Call, Declaration, RaiseLevel, limits};
use super::{did_you_mean, write};
use crate::{Result, SqlError};

/// `[DECLARE …] BEGIN … END`.
pub(super) fn block(reader: &mut Reader) -> Result<Block> {
    let mut declarations = Vec::new();
    if reader.take("DECLARE") {
        while !reader.at("BEGIN") {
            declarations.push(declaration(reader)?);
        }
    }
    Ok(Block { declarations, statements: inner(reader)? })
}

/// `BEGIN … END`.
fn inner(reader: &mut Reader) -> Result<Vec<BodyStatement>> {
    reader.expect("BEGIN")?;
    let statements = statements(reader, &["END"])?;
    reader.expect("END")?;
    Ok(statements)
}

/// `var type [:= e];`.
fn declaration(reader: &mut Reader) -> Result<Declaration> {
    let name = reader.identifier("a variable or BEGIN")?;
    let data_type = reader.data_type()?;
    let value = if reader.take_sign(&Token::Assignment) || reader.take_sign(&Token::Eq) || reader.take("DEFAULT") {
        Some(reader.expression()?)
    } else {
        None
    };
    reader.expect_sign(&Token::SemiColon)?;
    Ok(Declaration { name, data_type, value })
}

/// Statements up to one of these words.
fn statements(reader: &mut Reader, ends: &[&str]) -> Result<Vec<BodyStatement>> {
    let mut statements = Vec::new();
    while !ends.iter().any(|end| reader.at(end)) {
        if reader.is_at_end() {
            return Err(reader.unexpected(ends.last().copied().unwrap_or("END")));
        }
        reader.body_statements += 1;
        if reader.body_statements > limits::BODY_STATEMENTS_MAX {
            let message = format!("a body has {} statements at most", limits::BODY_STATEMENTS_MAX);
            return Err(SqlError::new("54000", message).at(reader.here()));
        }
        statements.push(statement(reader)?);
        reader.expect_sign(&Token::SemiColon)?;
    }
    Ok(statements)
}

type Parse = fn(&mut Reader) -> Result<BodyStatement>;

/// What begins a statement of a body.
// tidy: sorted by name
const STATEMENTS: &[(&str, Parse)] = &[
    ("BEGIN", |reader| Ok(BodyStatement::Block(Block { declarations: Vec::new(), statements: inner(reader)? }))),
    ("CALL", |reader| Ok(BodyStatement::Call(call(reader)?))),
    ("DELETE", |reader| Ok(BodyStatement::Delete(write::delete(reader)?.into()))),
    ("FOR", repeat),
    ("IF", condition),
    ("INSERT", |reader| Ok(BodyStatement::Insert(write::insert(reader)?.into()))),
    ("PERFORM", perform),
    ("RAISE", raise),
    ("RETURN", give_back),
    ("SELECT", select_into),
    ("UPDATE", |reader| Ok(BodyStatement::Update(write::update(reader)?.into()))),
    ("WITH", select_into),
];

fn statement(reader: &mut Reader) -> Result<BodyStatement> {
    if *reader.peek(1) == Token::Assignment {
        let variable = reader.identifier("a variable")?;
        reader.expect_sign(&Token::Assignment)?;
        return Ok(BodyStatement::Assign { variable, value: reader.expression()? });
    }
    let Some(word) = reader.word(0).map(str::to_ascii_uppercase) else {
        return Err(reader.unexpected("a statement"));
    };
    match STATEMENTS.iter().find(|(name, _)| *name == word) {
        Some((_, parse)) => parse(reader),
        None if super::STATEMENTS.iter().any(|(name, _)| *name == word) => {
            Err(SqlError::new("0A000", format!("{word} is not possible inside of a body")).at(reader.here()))
        }
        None => {
            let error = reader.unexpected("a statement");
            Err(did_you_mean(error, &word, STATEMENTS.iter().map(|(name, _)| *name)))
        }
    }
}

/// `CALL p(e, …)`.
pub(super) fn call(reader: &mut Reader) -> Result<Call> {
    reader.expect("CALL")?;
    routine_call(reader)
}

/// `p(e, …)`.
pub(super) fn routine_call(reader: &mut Reader) -> Result<Call> {
    let name = reader.name("a routine")?;
    if *reader.peek(0) == Token::LParen && *reader.peek(1) == Token::RParen {
        reader.skip();
        reader.skip();
        return Ok(Call { name, arguments: Vec::new() });
    }
    Ok(Call { name, arguments: reader.parenthesised(Reader::expression)? })
}

fn condition(reader: &mut Reader) -> Result<BodyStatement> {
    reader.expect("IF")?;
    let mut branches = Vec::new();
    loop {
        let condition = reader.expression()?;
        reader.expect("THEN")?;
        branches.push((condition, statements(reader, &["ELSIF", "ELSEIF", "ELSE", "END"])?));
        if !(reader.take("ELSIF") || reader.take("ELSEIF")) {
            break;
        }
    }
    let otherwise = if reader.take("ELSE") { statements(reader, &["END"])? } else { Vec::new() };
    reader.expect("END IF")?;
    Ok(BodyStatement::If { branches, otherwise })
}

fn repeat(reader: &mut Reader) -> Result<BodyStatement> {
    reader.expect("FOR")?;
    let variable = reader.identifier("a variable")?;
    reader.expect("IN")?;
    let query = reader.query()?;
    reader.expect("LOOP")?;
    let body = statements(reader, &["END"])?;
    reader.expect("END LOOP")?;
    Ok(BodyStatement::For { variable, query, body })
}

/// `PERFORM query`: its `SELECT` may be left out, as in PostgreSQL.
fn perform(reader: &mut Reader) -> Result<BodyStatement> {
    reader.expect("PERFORM")?;
    if ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| reader.at(word)) || *reader.peek(0) == Token::LParen {
        return reader.query().map(BodyStatement::Perform);
    }
    reader.query_without_select().map(BodyStatement::Perform)
}

fn give_back(reader: &mut Reader) -> Result<BodyStatement> {
    reader.expect("RETURN")?;
    // PostgreSQL's triggers end with one of these; here, after the commit, it says nothing.
    let _ = reader.take("NEW") || reader.take("OLD") || reader.take("NULL");
    Ok(BodyStatement::Return)
}

fn raise(reader: &mut Reader) -> Result<BodyStatement> {
    reader.expect("RAISE")?;
    let level = if reader.take("NOTICE") {
        RaiseLevel::Notice
    } else if reader.take("EXCEPTION") {
        RaiseLevel::Exception
    } else {
        return Err(reader.unexpected("NOTICE or EXCEPTION"));
    };
    let at = reader.here();
    let format = reader.string("a format")?;
    let arguments = if reader.take_sign(&Token::Comma) { reader.list(Reader::expression)? } else { Vec::new() };
    let places = format.replace("%%", "").matches('%').count();
    if places != arguments.len() {
        let message = format!("the format has {places} places for arguments, but there are {}", arguments.len());
        return Err(SqlError::new("42601", message).at(at));
    }
    Ok(BodyStatement::Raise { level, format, arguments })
}

fn select_into(reader: &mut Reader) -> Result<BodyStatement> {
    let at = reader.here();
    let mut query = reader.query()?;
    let into = match &mut *query.body {
        ast::SetExpr::Select(select) => select.into.take(),
        _ => None,
    };
    let Some(into) = into else {
        let error = SqlError::new("42601", "the rows of this query go nowhere");
        return Err(error.hint("write SELECT … INTO variable, … or PERFORM").at(at));
    };
    let mut variables = Vec::new();
    for target in into.targets {
        match target {
            ast::Expr::Identifier(name) => variables.push(name.value),
            other => return Err(SqlError::new("42601", format!("expected a variable, found \"{other}\"")).at(at)),
        }
    }
    Ok(BodyStatement::SelectInto { query, variables })
}
