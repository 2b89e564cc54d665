//! `CREATE` and `DROP`; tables, indexes and views (SQL-10.8, SQL-14).

use sqlparser::tokenizer::Token;

use super::super::reader::Reader;
use super::super::{Column, CreateIndex, CreateTable, CreateView, IndexField, Kind, Statement};
use super::{
    cascade, did_you_mean, exchange, if_exists, if_not_exists, kind, named, options, routine, trigger, unsupported,
    write,
};
use crate::{Result, SqlError};

/// What can be created, as it is written.
const CREATED: &[&str] = &[
    "CONNECTION",
    "DASHBOARD",
    "FUNCTION",
    "INDEX",
    "MATERIALIZED",
    "PROCEDURE",
    "SINK",
    "SYNC",
    "TABLE",
    "TRIGGER",
    "UNIQUE",
    "VIEW",
];

/// What PostgreSQL creates besides.
const ABSENT: &[&str] = &[
    "AGGREGATE",
    "CAST",
    "COLLATION",
    "DATABASE",
    "DOMAIN",
    "EXTENSION",
    "OPERATOR",
    "POLICY",
    "ROLE",
    "RULE",
    "SCHEMA",
    "SEQUENCE",
    "TEMP",
    "TEMPORARY",
    "TYPE",
    "UNLOGGED",
    "USER",
];

pub(super) fn create(reader: &mut Reader) -> Result<Statement> {
    reader.expect("CREATE")?;
    let at = reader.here();
    let or_replace = reader.take("OR REPLACE");
    if or_replace && ["TABLE", "INDEX", "UNIQUE"].iter().any(|word| reader.at(word)) {
        return Err(SqlError::new("0A000", "OR REPLACE is for views, triggers and routines").at(at));
    }
    if reader.take("MATERIALIZED VIEW") {
        return view(reader, or_replace, true);
    }
    if reader.take("VIEW") {
        return view(reader, or_replace, false);
    }
    if reader.take("TRIGGER") {
        return trigger::create(reader, or_replace);
    }
    if reader.take("TABLE") {
        return table(reader);
    }
    if reader.take("UNIQUE INDEX") {
        return index(reader, true);
    }
    if reader.take("INDEX") {
        return index(reader, false);
    }
    if reader.at("FUNCTION") || reader.at("PROCEDURE") {
        return routine::create(reader, or_replace);
    }
    if let Some(created) = exchange::create(reader, or_replace) {
        return created;
    }
    let Some(word) = reader.word(0).map(str::to_ascii_uppercase) else {
        return Err(reader.unexpected("what to create"));
    };
    if ABSENT.contains(&word.as_str()) {
        return Err(unsupported(reader, &format!("CREATE {word}")));
    }
    Err(did_you_mean(reader.unexpected("what to create"), &word, CREATED.iter().copied()))
}

fn view(reader: &mut Reader, or_replace: bool, materialized: bool) -> Result<Statement> {
    let if_not_exists = if_not_exists(reader);
    let name = reader.name("the view's name")?;
    let columns = if *reader.peek(0) == Token::LParen {
        reader.parenthesised(|reader| reader.identifier("a column"))?
    } else {
        Vec::new()
    };
    let at = reader.here();
    let options = options::with(reader)?;
    if !materialized && !options.is_empty() {
        return Err(SqlError::new("42601", "only a materialized view has options").at(at));
    }
    reader.expect("AS")?;
    let query = reader.query()?;
    let with_data = !(materialized && reader.take("WITH NO DATA"));
    let _ = materialized && reader.take("WITH DATA");
    let view = CreateView { name, or_replace, materialized, if_not_exists, columns, options, query, with_data };
    Ok(Statement::CreateView(view.into()))
}

/// `REFRESH MATERIALIZED VIEW v`.
pub(super) fn refresh(reader: &mut Reader) -> Result<Statement> {
    reader.expect("REFRESH MATERIALIZED VIEW")?;
    Ok(Statement::Refresh(reader.name("a view")?))
}

fn table(reader: &mut Reader) -> Result<Statement> {
    let if_not_exists = if_not_exists(reader);
    let name = reader.name("the table's name")?;
    let columns = if *reader.peek(0) != Token::LParen {
        Vec::new()
    } else if *reader.peek(1) == Token::RParen {
        reader.skip();
        reader.skip();
        Vec::new()
    } else {
        reader.parenthesised(column)?
    };
    if reader.at("AS") {
        return Err(
            unsupported(reader, "CREATE TABLE … AS").hint("write INSERT INTO … SELECT …, or a materialized view")
        );
    }
    Ok(Statement::CreateTable(CreateTable { name, if_not_exists, columns }))
}

fn column(reader: &mut Reader) -> Result<Column> {
    for word in ["CONSTRAINT", "PRIMARY KEY", "UNIQUE", "FOREIGN KEY", "CHECK", "EXCLUDE"] {
        let is_constraint =
            reader.at(word) && matches!(reader.peek(word.split(' ').count()), Token::LParen | Token::Word(_));
        if is_constraint && !(word == "UNIQUE" && matches!(reader.peek(1), Token::Word(_))) {
            return Err(unsupported(reader, &format!("{word} over several columns")).hint("use CREATE UNIQUE INDEX"));
        }
    }
    let name = reader.identifier("a column")?;
    let data_type = reader.data_type()?;
    let mut column = Column { name, data_type, not_null: false, unique: false, primary_key: false };
    loop {
        if reader.take("NOT NULL") {
            column.not_null = true;
        } else if reader.take("NULL") {
        } else if reader.take("UNIQUE") {
            column.unique = true;
        } else if reader.take("PRIMARY KEY") {
            column.primary_key = true;
        } else {
            match reader.word(0).map(str::to_ascii_uppercase) {
                Some(word)
                    if ["CHECK", "COLLATE", "CONSTRAINT", "DEFAULT", "GENERATED", "REFERENCES"]
                        .contains(&word.as_str()) =>
                {
                    return Err(unsupported(reader, &format!("{word} of a column")));
                }
                _ => return Ok(column),
            }
        }
    }
}

fn index(reader: &mut Reader, unique: bool) -> Result<Statement> {
    let if_not_exists = if_not_exists(reader);
    let name = if reader.at("ON") { None } else { Some(reader.identifier("a name or ON")?) };
    reader.expect("ON")?;
    let table = reader.name("a table")?;
    if reader.at("USING") {
        return Err(unsupported(reader, "USING").hint("there is one kind of index"));
    }
    let fields = reader.parenthesised(|reader| {
        let path = reader.path()?;
        let descending = reader.take("DESC");
        let _ = !descending && reader.take("ASC");
        Ok(IndexField { path, descending })
    })?;
    let filter = write::filter(reader)?;
    Ok(Statement::CreateIndex(CreateIndex { name, if_not_exists, unique, table, fields, filter }))
}

pub(super) fn drop(reader: &mut Reader) -> Result<Statement> {
    reader.expect("DROP")?;
    if reader.take("TABLE") {
        let (if_exists, name) = if_exists(reader)?;
        return Ok(Statement::DropTable { if_exists, name, cascade: cascade(reader) });
    }
    if reader.take("INDEX") {
        let (if_exists, name) = if_exists(reader)?;
        let on = if reader.take("ON") { Some(reader.name("a table")?) } else { None };
        return Ok(Statement::DropIndex { if_exists, name, on });
    }
    let kind = kind(reader)?;
    let if_exists = reader.take("IF EXISTS");
    let object = named(reader, kind)?;
    let on = if kind == Kind::Trigger && reader.take("ON") { Some(reader.name("a table")?) } else { None };
    Ok(Statement::Drop { object, if_exists, on, cascade: cascade(reader) })
}
