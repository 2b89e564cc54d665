//! `CREATE CONNECTION`, `SYNC`, `SINK`, `DASHBOARD` (SQL-17).

use sqlparser::tokenizer::Token;

use super::super::reader::Reader;
use super::super::{
    Chart, CreateConnection, CreateDashboard, CreateSink, CreateSync, Panel, SinkInto, SinkSource, Statement,
    SyncSource,
};
use super::options;
use crate::Result;

/// What follows `CREATE [OR REPLACE]`, if it is one of these.
pub(super) fn create(reader: &mut Reader, or_replace: bool) -> Option<Result<Statement>> {
    if reader.take("CONNECTION") {
        Some(connection(reader, or_replace))
    } else if reader.take("SYNC") {
        Some(sync(reader, or_replace))
    } else if reader.take("SINK") {
        Some(sink(reader, or_replace))
    } else if reader.take("DASHBOARD") {
        Some(dashboard(reader, or_replace))
    } else {
        None
    }
}

fn connection(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    let name = reader.name("the connection's name")?;
    reader.expect("TO")?;
    let url = reader.string("a URL")?;
    Ok(Statement::CreateConnection(CreateConnection { name, or_replace, url, options: options::with(reader)? }))
}

fn sync(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    let name = reader.name("the sync's name")?;
    reader.expect("FROM")?;
    let source = if reader.take("TABLE") {
        SyncSource::Tables(reader.list(|reader| reader.name("a table"))?)
    } else if reader.take("DATABASE") {
        SyncSource::Database(reader.identifier("a database")?)
    } else if *reader.peek(0) == Token::LParen {
        SyncSource::Query(reader.subquery()?)
    } else {
        return Err(reader.unexpected("TABLE, DATABASE or a query in parentheses"));
    };
    reader.expect("TO")?;
    let target = reader.name("a connection")?;
    // The last part of a name is always there; here it is the first that is.
    let target = [target.connection, target.database, Some(target.name)].into_iter().flatten().collect();
    Ok(Statement::CreateSync(CreateSync { name, or_replace, source, target, options: options::with(reader)? }))
}

fn sink(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    const KINDS: &[(&str, SinkInto)] = &[
        ("FILE", SinkInto::File),
        ("KAFKA", SinkInto::Kafka),
        ("NATS", SinkInto::Nats),
        ("REDIS", SinkInto::Redis),
        ("WEBHOOK", SinkInto::Webhook),
    ];
    let name = reader.name("the sink's name")?;
    reader.expect("FROM")?;
    let source = if *reader.peek(0) == Token::LParen {
        SinkSource::Query(reader.subquery()?)
    } else {
        SinkSource::Name(reader.name("a table or a query in parentheses")?)
    };
    reader.expect("INTO")?;
    let Some((_, into)) = KINDS.iter().find(|(word, _)| reader.take(word)) else {
        return Err(reader.unexpected("WEBHOOK, REDIS, NATS, KAFKA or FILE"));
    };
    let address = reader.string("its address")?;
    Ok(Statement::CreateSink(CreateSink {
        name,
        or_replace,
        source,
        into: *into,
        address,
        options: options::with(reader)?,
    }))
}

fn dashboard(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    const CHARTS: &[(&str, Chart)] =
        &[("BAR", Chart::Bar), ("LINE", Chart::Line), ("NUMBER", Chart::Number), ("TABLE", Chart::Table)];
    let name = reader.name("the dashboard's name")?;
    let options = options::with(reader)?;
    reader.expect("AS")?;
    let panels = reader.list(|reader| {
        reader.expect("PANEL")?;
        let title = reader.string("a title")?;
        let Some((_, chart)) = CHARTS.iter().find(|(word, _)| reader.take(word)) else {
            return Err(reader.unexpected("NUMBER, LINE, BAR or TABLE"));
        };
        Ok(Panel { title, chart: *chart, query: reader.subquery()? })
    })?;
    Ok(Statement::CreateDashboard(CreateDashboard { name, or_replace, options, panels }))
}
