//! Cursors, and what belongs to a connection: its prepared statements, its state.

use sqlparser::tokenizer::Token;

use super::super::reader::Reader;
use super::super::{Rows, Statement};
use super::{statement, unsupported};
use crate::{Result, SqlError};

/// `DECLARE c [BINARY] [INSENSITIVE] [[NO] SCROLL] CURSOR [{WITH | WITHOUT} HOLD] FOR query`.
pub(super) fn declare(reader: &mut Reader) -> Result<Statement> {
    reader.expect("DECLARE")?;
    let name = reader.identifier("the name of a cursor")?;
    if reader.at("BINARY") || reader.at("SCROLL") {
        return Err(unsupported(reader, "a cursor that is BINARY or can SCROLL"));
    }
    let _ = reader.take("INSENSITIVE") || reader.take("ASENSITIVE");
    let _ = reader.take("NO SCROLL");
    reader.expect("CURSOR")?;
    let hold = reader.take("WITH HOLD");
    let _ = !hold && reader.take("WITHOUT HOLD");
    reader.expect("FOR")?;
    let at = reader.here();
    let query = statement(reader)?;
    if !matches!(query, Statement::Query(_) | Statement::Subscribe(_)) {
        return Err(SqlError::new("42601", "a cursor is for a query or a subscription").at(at));
    }
    Ok(Statement::Declare { name, hold, query: Box::new(query) })
}

/// `FETCH [NEXT | [FORWARD] [n | ALL]] [FROM | IN] c`, and the same for `MOVE`.
pub(super) fn fetch(reader: &mut Reader) -> Result<Statement> {
    let skip = reader.at("MOVE");
    reader.skip();
    for backwards in ["PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "BACKWARD"] {
        if reader.at(backwards) && matches!(reader.peek(1), Token::Word(_) | Token::Number(..) | Token::Minus) {
            return Err(unsupported(reader, "a cursor that goes back"));
        }
    }
    let named = |reader: &Reader| matches!(reader.peek(1), Token::Word(_) | Token::Number(..));
    let _ = (reader.at("NEXT") && named(reader) && reader.take("NEXT"))
        || (reader.at("FORWARD") && named(reader) && reader.take("FORWARD"));
    let rows = if let Token::Number(digits, _) = reader.peek(0) {
        let rows = digits.parse().map_err(|_| reader.unexpected("a number of rows"))?;
        reader.skip();
        Rows::Some(rows)
    } else if reader.at("ALL") && named(reader) && reader.take("ALL") {
        Rows::All
    } else {
        Rows::Some(1)
    };
    let _ = named(reader) && (reader.take("FROM") || reader.take("IN"));
    Ok(Statement::Fetch { name: reader.identifier("the name of a cursor")?, rows, skip })
}

/// `CLOSE c`, `CLOSE ALL`.
pub(super) fn close(reader: &mut Reader) -> Result<Statement> {
    reader.expect("CLOSE")?;
    one_or_all(reader, "the name of a cursor").map(Statement::Close)
}

/// `DEALLOCATE [PREPARE] s`, `DEALLOCATE ALL`.
pub(super) fn deallocate(reader: &mut Reader) -> Result<Statement> {
    reader.expect("DEALLOCATE")?;
    let _ = matches!(reader.peek(1), Token::Word(_)) && reader.take("PREPARE");
    one_or_all(reader, "the name of a prepared statement").map(Statement::Deallocate)
}

/// `DISCARD ALL`.
pub(super) fn discard(reader: &mut Reader) -> Result<Statement> {
    reader.expect("DISCARD ALL")?;
    Ok(Statement::Discard)
}

fn one_or_all(reader: &mut Reader, what: &str) -> Result<Option<String>> {
    if reader.take("ALL") { Ok(None) } else { reader.identifier(what).map(Some) }
}
