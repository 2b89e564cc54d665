//! Lifecycle and catalogue (SQL-13.12, SQL-18).

use sqlparser::tokenizer::Token;

use super::super::reader::Reader;
use super::super::{
    DeadLetters, Explain, ExplainFormat, Explained, From, Listing, Literal, Show, Statement, Subscribe, Subscribed,
    Which,
};
use super::{did_you_mean, kind, named, object, options, statement, take_kind, unsupported, write};
use crate::Result;

pub(super) fn subscribe(reader: &mut Reader) -> Result<Statement> {
    reader.expect("SUBSCRIBE")?;
    let _ = reader.take("TO");
    let to = if *reader.peek(0) == Token::LParen {
        Subscribed::Query(reader.subquery()?)
    } else {
        Subscribed::Name(reader.name("a view, a table or a query in parentheses")?)
    };
    Ok(Statement::Subscribe(Subscribe { to, options: options::with(reader)? }))
}

pub(super) fn cancel(reader: &mut Reader) -> Result<Statement> {
    reader.expect("CANCEL SUBSCRIPTION")?;
    reader.string("the subscription's id").map(Statement::CancelSubscription)
}

pub(super) fn pause(reader: &mut Reader) -> Result<Statement> {
    reader.expect("PAUSE")?;
    which(reader).map(Statement::Pause)
}

pub(super) fn resume(reader: &mut Reader) -> Result<Statement> {
    reader.expect("RESUME")?;
    let which = which(reader)?;
    let from = if !reader.take("FROM") {
        None
    } else if reader.take("NOW") {
        Some(From::Now)
    } else if reader.take("SNAPSHOT") {
        Some(From::Snapshot)
    } else {
        Some(From::Token(reader.string("NOW, SNAPSHOT or a token")?))
    };
    Ok(Statement::Resume { which, from })
}

/// `ALL`, `kind ALL`, `kind name`.
fn which(reader: &mut Reader) -> Result<Which> {
    if reader.take("ALL") {
        return Ok(Which::All);
    }
    let kind = kind(reader)?;
    if reader.take("ALL") {
        return Ok(Which::Kind(kind));
    }
    named(reader, kind).map(Which::Object)
}

pub(super) fn wait(reader: &mut Reader) -> Result<Statement> {
    reader.expect("WAIT FOR")?;
    let object = if reader.take("ALL") { None } else { Some(object(reader)?) };
    let timeout = if reader.take("TIMEOUT") { Some(options::interval(reader)?) } else { None };
    Ok(Statement::WaitFor { object, timeout })
}

pub(super) fn retry(reader: &mut Reader) -> Result<Statement> {
    reader.expect("RETRY DEAD LETTERS")?;
    dead_letters(reader).map(Statement::RetryDeadLetters)
}

pub(super) fn delete_dead_letters(reader: &mut Reader) -> Result<Statement> {
    reader.expect("DELETE DEAD LETTERS")?;
    dead_letters(reader).map(Statement::DeleteDeadLetters)
}

fn dead_letters(reader: &mut Reader) -> Result<DeadLetters> {
    let object = if reader.take("FOR") { Some(object(reader)?) } else { None };
    Ok(DeadLetters { object, filter: write::filter(reader)? })
}

pub(super) fn describe(reader: &mut Reader) -> Result<Statement> {
    reader.skip();
    let _ = reader.take("TABLE");
    reader.name("a table").map(Statement::Describe)
}

pub(super) fn explain(reader: &mut Reader) -> Result<Statement> {
    reader.expect("EXPLAIN")?;
    let mut format = ExplainFormat::default();
    let mut analyze = reader.take("ANALYZE");
    if *reader.peek(0) == Token::LParen
        && (["FORMAT", "ANALYZE"].iter().any(|word| reader.word(1).is_some_and(|w| w.eq_ignore_ascii_case(word))))
    {
        reader.parenthesised(|reader| {
            if reader.take("ANALYZE") {
                analyze = !reader.take("FALSE");
                let _ = reader.take("TRUE");
                Ok(())
            } else if reader.take("FORMAT JSON") {
                format = ExplainFormat::Json;
                Ok(())
            } else if reader.take("FORMAT TEXT") {
                format = ExplainFormat::Text;
                Ok(())
            } else {
                Err(reader.unexpected("FORMAT TEXT, FORMAT JSON or ANALYZE"))
            }
        })?;
    }
    let subject = match take_kind(reader) {
        Some(kind) => Explained::Object(named(reader, kind)?),
        None => {
            if reader.at("EXPLAIN") {
                return Err(unsupported(reader, "EXPLAIN of EXPLAIN"));
            }
            Explained::Statement(statement(reader)?)
        }
    };
    Ok(Statement::Explain(Explain { format, analyze, subject }.into()))
}

/// `SET [SESSION] x {= | TO} v`, `SET TIME ZONE v`.
pub(super) fn set(reader: &mut Reader) -> Result<Statement> {
    reader.expect("SET")?;
    if reader.at("LOCAL") && matches!(reader.peek(1), Token::Word(_)) {
        return Err(unsupported(reader, "SET LOCAL"));
    }
    if reader.at("SESSION CHARACTERISTICS AS TRANSACTION") {
        reader.expect("SESSION CHARACTERISTICS AS TRANSACTION")?;
        let at = reader.here();
        super::modes(reader);
        return if reader.is_at_end() && reader.here() != at {
            let value = Literal::Text("repeatable read".to_owned());
            Ok(Statement::Set { name: "default_transaction_isolation".to_owned(), value: Some(value) })
        } else {
            Err(unsupported(reader, "this kind of transaction"))
        };
    }
    if reader.at("SESSION") && matches!(reader.peek(1), Token::Word(_)) {
        reader.skip();
    }
    if reader.take("NAMES") {
        let value = reader.string("an encoding").map(Literal::Text)?;
        return Ok(Statement::Set { name: "client_encoding".to_owned(), value: Some(value) });
    }
    let name = if reader.take("TIME ZONE") {
        "time_zone".to_owned()
    } else {
        let name = setting(reader)?;
        if !(reader.take_sign(&Token::Eq) || reader.take("TO")) {
            return Err(reader.unexpected("= or TO"));
        }
        name
    };
    let value = if reader.take("DEFAULT") { None } else { Some(setting_value(reader)?) };
    Ok(Statement::Set { name, value })
}

/// `RESET x`.
pub(super) fn reset(reader: &mut Reader) -> Result<Statement> {
    reader.expect("RESET")?;
    let name = if reader.take("TIME ZONE") { "time_zone".to_owned() } else { setting(reader)? };
    Ok(Statement::Set { name, value: None })
}

fn setting(reader: &mut Reader) -> Result<String> {
    let name = reader.identifier("a setting")?.to_lowercase();
    // PostgreSQL's name of it.
    Ok(if name == "timezone" { "time_zone".to_owned() } else { name })
}

/// One value, or several with commas, as `search_path` has.
fn setting_value(reader: &mut Reader) -> Result<Literal> {
    // `SET x = on`
    if reader.take("ON") {
        return Ok(Literal::Text("on".to_owned()));
    }
    let first = options::literal(reader)?;
    let Literal::Text(mut all) = first else { return Ok(first) };
    while reader.take_sign(&Token::Comma) {
        let Literal::Text(next) = options::literal(reader)? else { return Err(reader.unexpected("a name")) };
        all.push_str(", ");
        all.push_str(&next);
    }
    Ok(Literal::Text(all))
}

/// What there are lists of, by their words.
const LISTINGS: &[(&str, Listing)] = &[
    ("CONNECTIONS", Listing::Connections),
    ("DASHBOARDS", Listing::Dashboards),
    ("DATABASES", Listing::Databases),
    ("DEAD LETTERS", Listing::DeadLetters),
    ("FUNCTIONS", Listing::Functions),
    ("MATERIALIZED VIEWS", Listing::MaterializedViews),
    ("PROCEDURES", Listing::Procedures),
    ("SETTINGS", Listing::Settings),
    ("SINKS", Listing::Sinks),
    ("SUBSCRIPTIONS", Listing::Subscriptions),
    ("SYNCS", Listing::Syncs),
    ("TABLES", Listing::Tables),
    ("TRIGGERS", Listing::Triggers),
    ("VIEWS", Listing::Views),
];

pub(super) fn show(reader: &mut Reader) -> Result<Statement> {
    reader.expect("SHOW")?;
    if reader.take("CREATE") {
        return Ok(Statement::Show(Show::Create(object(reader)?)));
    }
    if reader.take("TIME ZONE") {
        return Ok(Statement::Show(Show::Setting("time_zone".to_owned())));
    }
    if reader.take("TRANSACTION ISOLATION LEVEL") {
        return Ok(Statement::Show(Show::Setting("transaction_isolation".to_owned())));
    }
    let found = LISTINGS.iter().find(|(words, _)| reader.take(words)).map(|(_, listing)| *listing);
    let listing = match found {
        Some(listing) => listing,
        None if reader.take("ALL") => Listing::Settings,
        None => {
            let word = reader.word(0).unwrap_or_default().to_ascii_uppercase();
            let setting = setting(reader)?;
            if reader.is_at_end() {
                return Ok(Statement::Show(Show::Setting(setting)));
            }
            return Err(did_you_mean(
                reader.unexpected("the end of the statement"),
                &word,
                LISTINGS.iter().map(|(words, _)| *words),
            ));
        }
    };
    let database = if reader.take("IN") || reader.take("FROM") { Some(reader.identifier("a database")?) } else { None };
    let like = if reader.take("LIKE") { Some(reader.string("a pattern")?) } else { None };
    Ok(Statement::Show(Show::List { listing, database, like }))
}
