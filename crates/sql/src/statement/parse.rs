//! From tokens to statements: one file for each family.

mod body;
mod cursor;
mod define;
mod exchange;
mod lifecycle;
mod options;
mod routine;
mod trigger;
mod write;

use sqlparser::ast;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::reader::Reader;
use super::{Alteration, Kind, Name, Object, Statement, limits};
use crate::{Result, SqlError};

/// Deeper statements than this are read on a stack of their own.
const DEPTH_HERE_MAX: usize = 16;
/// Enough for the deepest statement that `limits` lets through; only what is used of it is ever there.
const STACK_BYTES: usize = 256 << 20;

/// Reads the one statement of these tokens.
pub(super) fn parse(tokens: Vec<TokenWithSpan>) -> Result<Statement> {
    let depth = limits::depth(&tokens)?;
    let has_body = tokens
        .iter()
        .any(|token| matches!(&token.token, Token::Word(word) if word.value.eq_ignore_ascii_case("BEGIN")));
    if depth <= DEPTH_HERE_MAX && !has_body {
        return whole(tokens);
    }
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("sql".to_owned()).stack_size(STACK_BYTES);
        match builder.spawn_scoped(scope, || whole(tokens)).map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            _ => Err(SqlError::new("XX000", "no thread to read a deep statement on")),
        }
    })
}

fn whole(tokens: Vec<TokenWithSpan>) -> Result<Statement> {
    let mut reader = Reader::new(tokens);
    let statement = statement(&mut reader)?;
    reader.expect_end()?;
    Ok(statement)
}

type Parse = fn(&mut Reader) -> Result<Statement>;

/// What begins a statement, in the order of names.
// tidy: sorted by name
const STATEMENTS: &[(&str, Parse)] = &[
    ("ABORT", rollback),
    ("ALTER", alter),
    ("BEGIN", begin),
    ("CALL", |reader| Ok(Statement::Call(body::call(reader)?))),
    ("CANCEL", lifecycle::cancel),
    ("CLOSE", cursor::close),
    ("COMMIT", commit),
    ("CREATE", define::create),
    ("DEALLOCATE", cursor::deallocate),
    ("DECLARE", cursor::declare),
    ("DELETE", write::delete_statement),
    ("DESC", lifecycle::describe),
    ("DESCRIBE", lifecycle::describe),
    ("DISCARD", cursor::discard),
    ("DROP", define::drop),
    ("END", commit),
    ("EXPLAIN", lifecycle::explain),
    ("FETCH", cursor::fetch),
    ("INSERT", |reader| Ok(Statement::Insert(write::insert(reader)?.into()))),
    ("MOVE", cursor::fetch),
    ("PAUSE", lifecycle::pause),
    ("REFRESH", define::refresh),
    ("RESET", lifecycle::reset),
    ("RESUME", lifecycle::resume),
    ("RETRY", lifecycle::retry),
    ("ROLLBACK", rollback),
    ("SELECT", query),
    ("SET", lifecycle::set),
    ("SHOW", lifecycle::show),
    ("START", start),
    ("SUBSCRIBE", lifecycle::subscribe),
    ("TABLE", query),
    ("TRUNCATE", write::truncate),
    ("UPDATE", |reader| Ok(Statement::Update(write::update(reader)?.into()))),
    ("VALUES", query),
    ("WAIT", lifecycle::wait),
    ("WITH", query),
];

/// What begins statements of PostgreSQL that there are none of here.
// tidy: sorted by name
const ABSENT: &[&str] = &[
    "ANALYZE",
    "CLUSTER",
    "COMMENT",
    "COPY",
    "DO",
    "EXECUTE",
    "GRANT",
    "IMPORT",
    "LISTEN",
    "LOCK",
    "MERGE",
    "NOTIFY",
    "PREPARE",
    "RELEASE",
    "REVOKE",
    "SAVEPOINT",
    "VACUUM",
];

/// One statement.
pub(super) fn statement(reader: &mut Reader) -> Result<Statement> {
    if *reader.peek(0) == Token::LParen {
        return query(reader);
    }
    let Some(word) = reader.word(0).map(str::to_ascii_uppercase) else {
        return Err(reader.unexpected("a statement"));
    };
    if let Some((_, parse)) = STATEMENTS.iter().find(|(name, _)| *name == word) {
        return parse(reader);
    }
    if ABSENT.contains(&word.as_str()) {
        return Err(SqlError::new("0A000", format!("{word} is not supported")).at(reader.here()));
    }
    let error = reader.unexpected("a statement");
    Err(did_you_mean(error, &word, STATEMENTS.iter().map(|(name, _)| *name)))
}

fn query(reader: &mut Reader) -> Result<Statement> {
    let at = reader.here();
    let query = reader.query()?;
    let into = match &*query.body {
        ast::SetExpr::Select(select) => select.into.is_some(),
        _ => false,
    };
    if into {
        let error = SqlError::new("0A000", "SELECT INTO is for bodies of triggers and procedures");
        return Err(error.hint("write INSERT INTO … SELECT …").at(at));
    }
    Ok(Statement::Query(query))
}

fn begin(reader: &mut Reader) -> Result<Statement> {
    reader.expect("BEGIN")?;
    let _ = reader.take("WORK") || reader.take("TRANSACTION");
    modes(reader);
    Ok(Statement::Begin)
}

fn start(reader: &mut Reader) -> Result<Statement> {
    reader.expect("START TRANSACTION")?;
    modes(reader);
    Ok(Statement::Begin)
}

/// What is said of a transaction. Each of them reads one moment, and fails where another was faster: that is what the levels
/// allow.
pub(super) fn modes(reader: &mut Reader) {
    const MODES: &[&str] = &[
        "ISOLATION LEVEL READ COMMITTED",
        "ISOLATION LEVEL READ UNCOMMITTED",
        "ISOLATION LEVEL REPEATABLE READ",
        "READ WRITE",
    ];
    while MODES.iter().any(|words| reader.take(words)) {
        reader.take_sign(&Token::Comma);
    }
}

fn commit(reader: &mut Reader) -> Result<Statement> {
    reader.skip();
    let _ = reader.take("WORK") || reader.take("TRANSACTION");
    Ok(Statement::Commit)
}

fn rollback(reader: &mut Reader) -> Result<Statement> {
    reader.skip();
    let _ = reader.take("WORK") || reader.take("TRANSACTION");
    Ok(Statement::Rollback)
}

/// `ALTER TABLE t RENAME TO u`, `ALTER kind name {SET (…) | RENAME TO n}`.
fn alter(reader: &mut Reader) -> Result<Statement> {
    reader.expect("ALTER")?;
    if reader.take("TABLE") {
        let from = reader.name("a table")?;
        if !reader.at("RENAME TO") {
            let error = SqlError::new("0A000", "ALTER TABLE can only RENAME TO");
            return Err(error.hint("collections have no columns to alter").at(reader.here()));
        }
        reader.expect("RENAME TO")?;
        return Ok(Statement::RenameTable { from, to: reader.name("a new name")? });
    }
    let object = object(reader)?;
    let alteration = if reader.take("SET") {
        Alteration::Set(options::parenthesised(reader)?)
    } else if reader.take("RENAME TO") {
        Alteration::Rename(reader.name("a new name")?)
    } else {
        return Err(reader.unexpected("SET or RENAME TO"));
    };
    Ok(Statement::Alter { object, alteration })
}

/// The kinds of objects by their words.
const KINDS: &[(&str, Kind)] = &[
    ("CONNECTION", Kind::Connection),
    ("DASHBOARD", Kind::Dashboard),
    ("FUNCTION", Kind::Function),
    ("MATERIALIZED VIEW", Kind::MaterializedView),
    ("PROCEDURE", Kind::Procedure),
    ("SINK", Kind::Sink),
    ("SYNC", Kind::Sync),
    ("TRIGGER", Kind::Trigger),
    ("VIEW", Kind::View),
];

/// A kind, if one comes next.
fn take_kind(reader: &mut Reader) -> Option<Kind> {
    KINDS.iter().find(|(words, _)| reader.take(words)).map(|(_, kind)| *kind)
}

fn kind(reader: &mut Reader) -> Result<Kind> {
    match take_kind(reader) {
        Some(kind) => Ok(kind),
        None => {
            let error = reader.unexpected("a kind of object");
            Err(match reader.word(0) {
                Some(word) => did_you_mean(error, &word.to_ascii_uppercase(), KINDS.iter().map(|(name, _)| *name)),
                None => error,
            })
        }
    }
}

/// `kind name`.
fn object(reader: &mut Reader) -> Result<Object> {
    let kind = kind(reader)?;
    named(reader, kind)
}

/// The name of an object of this kind; of a routine perhaps with its arguments.
fn named(reader: &mut Reader, kind: Kind) -> Result<Object> {
    let name = reader.name("its name")?;
    let is_routine = matches!(kind, Kind::Function | Kind::Procedure);
    let arguments = if is_routine && *reader.peek(0) == Token::LParen {
        Some(routine::arguments(reader, Reader::argument_type)?)
    } else {
        None
    };
    Ok(Object { kind, name, arguments })
}

/// A clause that there is none of here.
fn unsupported(reader: &Reader, what: &str) -> SqlError {
    SqlError::new("0A000", format!("{what} is not supported")).at(reader.here())
}

/// `[AS] alias`, but not one of the words that go on with the statement.
fn alias(reader: &mut Reader, not: &[&str]) -> Result<Option<String>> {
    if reader.take("AS") {
        return reader.identifier("an alias").map(Some);
    }
    match reader.peek(0) {
        Token::Word(_) if !not.iter().any(|word| reader.at(word)) => reader.identifier("an alias").map(Some),
        _ => Ok(None),
    }
}

fn if_not_exists(reader: &mut Reader) -> bool {
    reader.take("IF NOT EXISTS")
}

/// `[IF EXISTS] name`.
fn if_exists(reader: &mut Reader) -> Result<(bool, Name)> {
    let if_exists = reader.take("IF EXISTS");
    Ok((if_exists, reader.name("its name")?))
}

/// `[CASCADE | RESTRICT]`.
fn cascade(reader: &mut Reader) -> bool {
    let cascade = reader.take("CASCADE");
    let _ = !cascade && reader.take("RESTRICT");
    cascade
}

fn did_you_mean<'a>(error: SqlError, word: &str, known: impl Iterator<Item = &'a str>) -> SqlError {
    match crate::near::nearest(word, known) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error,
    }
}
