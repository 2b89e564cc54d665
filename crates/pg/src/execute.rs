//! Running statements, and sending what they answer.

use bson::RawDocumentBuf;
use futures::FutureExt;
use jiff::tz::TimeZone;
use millstream_mill::{Answer, Outcome, Rows};
use millstream_sql::statement::Statement;
use pgwire::messages::response::CommandComplete;

use crate::connection::{Client, Connection, Failure};
use crate::shape::{self, Field};

/// Rows on their way, and what they look like.
pub(crate) struct Sending {
    pub(crate) fields: Vec<Field>,
    rows: Source,
    /// How many were sent.
    count: u64,
    /// What is said when they are all sent; `None`: the statement's word and their number.
    tag: Option<String>,
    word: &'static str,
}

enum Source {
    There(std::vec::IntoIter<RawDocumentBuf>),
    /// Rows that come as changes do.
    Coming(Rows),
}

/// What is left to send of an answer.
pub(crate) enum Outgoing {
    /// No rows: this is said.
    Done(String),
    Rows(Sending),
}

/// Whether there is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    All,
    Some,
}

impl Connection {
    /// Runs a statement of the simple protocol.
    pub(crate) async fn run_simple(&mut self, client: &mut Client, statement: &Statement) -> Result<(), Failure> {
        if let Statement::Deallocate(name) = statement {
            self.deallocate(name.as_deref())?;
            return Ok(client.output.put(&CommandComplete::new("DEALLOCATE".to_owned()))?);
        }
        self.session.set_values(Vec::new());
        match self.run(client, statement).await? {
            Outgoing::Done(tag) => client.output.put(&CommandComplete::new(tag))?,
            Outgoing::Rows(mut sending) => {
                client.output.put(&shape::description(&sending.fields))?;
                let zone = self.zone();
                sending.send(client, self, &zone, None).await?;
            }
        }
        Ok(())
    }

    /// Runs a statement; its notices are said.
    pub(crate) async fn run(&mut self, client: &mut Client, statement: &Statement) -> Result<Outgoing, Failure> {
        let answer = client.cancellable(&self.control, self.session.run(statement)).await?;
        let Answer { outcome, notices } = answer;
        client.output.notices(&notices)?;
        if matches!(statement, Statement::Discard) {
            self.statements.clear();
            self.portals.clear();
        }
        let word = word(statement);
        Ok(match outcome {
            Outcome::Rows(rows) => Outgoing::Rows(there(rows, word, None).await?),
            Outcome::Done { tag, returning: Some(rows), .. } => Outgoing::Rows(there(rows, word, Some(tag)).await?),
            Outcome::Done { tag, returning: None, .. } => Outgoing::Done(tag),
            Outcome::Subscription(rows) => {
                let columns = if shape::is_open(&rows.columns) {
                    let columns = self.session.columns(statement, &[]).await?;
                    columns.unwrap_or_else(|| rows.columns.clone())
                } else {
                    rows.columns.clone()
                };
                let fields = shape::known(&columns)?;
                Outgoing::Rows(Sending { fields, rows: Source::Coming(rows), count: 0, tag: None, word })
            }
        })
    }
}

/// Rows that are all there.
async fn there(rows: Rows, word: &'static str, tag: Option<String>) -> Result<Sending, Failure> {
    let columns = rows.columns.clone();
    let rows = rows.all().await?;
    let fields = shape::found(&columns, &rows)?;
    Ok(Sending { fields, rows: Source::There(rows.into_iter()), count: 0, tag, word })
}

/// The first word of the tag of rows.
fn word(statement: &Statement) -> &'static str {
    match statement {
        Statement::Explain(_) => "EXPLAIN",
        Statement::Fetch { .. } => "FETCH",
        Statement::Show(_) => "SHOW",
        Statement::Subscribe(_) => "SUBSCRIBE",
        _ => "SELECT",
    }
}

impl Sending {
    /// Sends rows, so many at most; after the last one their tag. Rows that are still to come are waited for.
    pub(crate) async fn send(
        &mut self,
        client: &mut Client,
        connection: &Connection,
        zone: &TimeZone,
        most: Option<u64>,
    ) -> Result<Sent, Failure> {
        let control = &connection.control;
        let mut sent = 0;
        while most.is_none_or(|most| sent < most) {
            let row = match &mut self.rows {
                Source::There(rows) => rows.next(),
                Source::Coming(rows) => match rows.next().now_or_never() {
                    Some(row) => row?,
                    None => {
                        client.flush(control).await?;
                        client.cancellable(control, rows.next()).await?
                    }
                },
            };
            let Some(row) = row else {
                let tag = self.tag.take().unwrap_or_else(|| match self.word {
                    word @ ("EXPLAIN" | "SHOW") => word.to_owned(),
                    word => format!("{word} {}", self.count),
                });
                client.output.put(&CommandComplete::new(tag))?;
                return Ok(Sent::All);
            };
            client.output.put(&shape::row(&self.fields, &row, zone)?)?;
            sent += 1;
            self.count += 1;
            if client.output.is_full() {
                client.flush(control).await?;
                control.check()?;
            }
        }
        Ok(Sent::Some)
    }
}
