//! `{sql: …}` as the engine's clients send it (SQL-1.4): each is a session of its own on the engine, by its own address.

use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use bson::{Document, RawDocument, RawDocumentBuf};
use bytes::Bytes;
use millstream_db::{BATCH_BYTES_MAX, Batch, Tail};
use millstream_mill::{Answer, Outcome, Rows, Session, Sessions, mongodb_code};
use millstream_server::{Pending, SqlAnswer, SqlFailure, SqlRequest, SqlRows, SqlRunner};
use millstream_sql::plan::Column;
use millstream_sql::{Notice, SqlError, statement};
use millstream_value::{ArrayBuf, Code, DocBuf};

/// Runs SQL for clients of the engine in this process.
#[derive(Debug, Default)]
pub(crate) struct SqlCommand {
    /// On the engine, from when it listens.
    sessions: OnceLock<Sessions>,
}

impl SqlCommand {
    /// The engine listens: a client's address for it.
    pub(crate) fn reach(&self, uri: String) {
        // It is told once.
        let _ = self.sessions.set(Sessions::new(uri));
    }

    async fn session(&self, database: &str) -> Result<Session, SqlError> {
        let sessions = self.sessions.get().ok_or_else(|| SqlError::new("08006", "the engine is not ready yet"))?;
        sessions.session(database).await
    }

    async fn answer(&self, request: SqlRequest) -> Result<Answer, (SqlError, Option<usize>)> {
        let script = statement::script(&request.text).map_err(|error| (error, None))?;
        let mut session = self.session(&request.database).await.map_err(|error| (error, None))?;
        session.set_parameters(parameters(&request.parameters));
        let number = |at: usize| (script.len() > 1).then_some(at + 1);
        let mut last = None;
        for (at, (statement, _)) in script.iter().enumerate() {
            last = Some(session.run(statement).await.map_err(|error| (error, number(at)))?);
        }
        if session.in_transaction() {
            let open = SqlError::new("25000", "the text ends inside of a transaction, which is rolled back");
            return Err((SqlError { hint: Some("COMMIT belongs into the same command".to_owned()), ..open }, None));
        }
        last.ok_or_else(|| (SqlError::new("42601", "there is no statement in the text"), None))
    }
}

impl SqlRunner for SqlCommand {
    fn run(&self, request: SqlRequest) -> Pending<'_> {
        Box::pin(async move {
            match self.answer(request).await {
                Ok(answer) => reply(answer).await.map_err(|error| failure(&error, None)),
                Err((error, number)) => Err(failure(&error, number)),
            }
        })
    }
}

/// The values of a document that is an array.
fn parameters(array: &DocBuf) -> Vec<bson::Bson> {
    let values = RawDocument::from_bytes(array.as_bytes()).and_then(Document::try_from);
    values.unwrap_or_default().into_iter().map(|(_, value)| value).collect()
}

async fn reply(answer: Answer) -> Result<SqlAnswer, SqlError> {
    let mut fields = DocBuf::new();
    let rows = match answer.outcome {
        Outcome::Rows(rows) => {
            push_columns(&mut fields, &rows.columns);
            let rows = rows.all().await?;
            Some(SqlRows::There(rows.into_iter().map(bytes).collect()))
        }
        Outcome::Subscription(rows) => {
            push_columns(&mut fields, &rows.columns);
            Some(SqlRows::Coming(Box::new(Coming { rows, held: None, ended: false })))
        }
        Outcome::Done { tag, count, returning } => {
            fields.push("command", tag.as_str());
            if let Some(count) = count {
                fields.push("n", i64::try_from(count).unwrap_or(i64::MAX));
            }
            if let Some(returning) = returning {
                push_columns(&mut fields, &returning.columns);
                let rows = returning.all().await?;
                fields.array("rows", |list| {
                    for row in &rows {
                        list.push_document(row.as_bytes());
                    }
                });
            }
            None
        }
    };
    push_notices(&mut fields, &answer.notices);
    Ok(SqlAnswer { rows, fields })
}

fn push_columns(fields: &mut DocBuf, columns: &[Column]) {
    let columns: ArrayBuf = columns
        .iter()
        .map(|column| {
            let mut row = DocBuf::new();
            row.push("name", column.name.as_str());
            // Without a static type it may hold anything (SQL-1.6).
            row.push("type", column.kind.as_ref().map_or_else(|| "jsonb".to_owned(), ToString::to_string).as_str());
            row
        })
        .collect();
    fields.push("columns", columns);
}

fn push_notices(fields: &mut DocBuf, notices: &[Notice]) {
    let notices: ArrayBuf = notices
        .iter()
        .map(|notice| {
            let mut row = DocBuf::new();
            row.push("sqlstate", notice.state.0).push("message", notice.message.as_str());
            if let Some(hint) = &notice.hint {
                row.push("hint", hint.as_str());
            }
            row
        })
        .collect();
    fields.push("notices", notices);
}

fn failure(error: &SqlError, number: Option<usize>) -> SqlFailure {
    let number_of = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let mut details = DocBuf::new();
    details.push("sqlstate", error.state.0);
    if let Some(hint) = &error.hint {
        details.push("hint", hint.as_str());
    }
    if let Some(position) = error.position {
        details.push("position", number_of(position));
    }
    if let Some(number) = number {
        details.push("statement", number_of(number));
    }
    let is_transient = error.state.0 == "40001";
    SqlFailure { code: mongodb_code(error), message: error.message.clone(), details, is_transient }
}

fn bytes(row: RawDocumentBuf) -> Bytes {
    Bytes::from(row.into_bytes())
}

/// The rows of a subscription.
struct Coming {
    rows: Rows,
    /// It has come, and was not yet taken.
    held: Option<Result<Bytes, SqlError>>,
    ended: bool,
}

impl Coming {
    /// The next, if it has come.
    fn look(&mut self, waker: &Waker) {
        if self.held.is_none() && !self.ended {
            match self.rows.poll_next(&mut Context::from_waker(waker)) {
                Poll::Pending => {}
                Poll::Ready(Ok(Some(row))) => self.held = Some(Ok(bytes(row))),
                Poll::Ready(Ok(None)) => self.ended = true,
                Poll::Ready(Err(error)) => {
                    self.held = Some(Err(error));
                    self.ended = true;
                }
            }
        }
    }
}

impl Tail for Coming {
    fn batch(&mut self, count: usize) -> millstream_db::Result<Batch> {
        let mut batch = Batch::default();
        let mut size = 0;
        while batch.documents.len() < count {
            self.look(Waker::noop());
            let fits = |row: &Bytes| batch.documents.is_empty() || size + row.len() <= BATCH_BYTES_MAX;
            match self.held.take() {
                Some(Ok(row)) if fits(&row) => {
                    size += row.len();
                    batch.documents.push(row);
                }
                Some(Err(error)) if batch.documents.is_empty() => {
                    let message = format!("{} (SQLSTATE {})", error.message, error.state.0);
                    return Err(millstream_db::Error::invalid(Code::from_number(mongodb_code(&error)), message));
                }
                other => {
                    self.held = other;
                    break;
                }
            }
        }
        batch.exhausted = self.ended && self.held.is_none();
        Ok(batch)
    }

    fn poll_ready(&mut self, waker: &Waker) -> bool {
        self.look(waker);
        self.held.is_some() || self.ended
    }
}
