//! A body as it runs, statement after statement, inside of one transaction (SQL-15.2).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bson::Document;
use millstream_flow::{Datum, Row};
use millstream_sql::expr::Context;
use millstream_sql::plan::{Computed, Plan};
use millstream_sql::statement::RaiseLevel;
use millstream_sql::{Expr, Notice, SqlError, Type};
use mongodb::ClientSession;

use super::plan::{Body, Planned, Step, Webhook};
use crate::change::Change;
use crate::error::Result;
use crate::hosted::Surroundings;
use crate::native::{Native, failed, unregistered};
use crate::outbox::{self, Waiting};
use crate::read::Moment;
use crate::value::to_bson;
use crate::write::{Buffer, Ids, Unique};
use crate::{execute, webhook, write};

/// Documents that one run of a body may write (SQL-22.1).
const WRITES_MAX: u64 = 1_000;

/// One run of a body.
pub(crate) struct Run<'r> {
    pub(crate) buffer: Buffer<'r>,
    pub(crate) surroundings: &'r Surroundings,
    pub(crate) cause: Cause<'r>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) written: u64,
    /// Writes are refused: the loop has become too deep (SQL-15.7).
    pub(crate) too_deep: bool,
    /// It may run again after it has written, and should then write the same (SQL-15.5).
    pub(crate) repeats: bool,
    /// How many statements have written.
    writes: u64,
    /// How many webhooks were called.
    webhooks: u64,
}

/// Why a body runs. Its key makes those of webhooks.
#[derive(Clone, Copy)]
pub(crate) enum Cause<'c> {
    /// Somebody has called it, and waits: webhooks are called at once (SQL-16.4).
    Call { key: &'c str },
    /// A change: webhooks are called when it is committed, in the order of the changes of its document (SQL-15.4).
    Change { object: &'c str, planned: &'c Planned, change: &'c Change },
}

impl Cause<'_> {
    fn key(self) -> String {
        match self {
            Self::Call { key } => key.to_owned(),
            Self::Change { object, change, .. } => format!("{object}:{}", change.token),
        }
    }
}

/// Whether a body goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Return,
}

type Running<'f> = Pin<Box<dyn Future<Output = Result<Flow>> + Send + 'f>>;

impl<'r> Run<'r> {
    /// Nothing was done yet.
    pub(crate) fn new(buffer: Buffer<'r>, surroundings: &'r Surroundings, cause: Cause<'r>) -> Self {
        let notices = Vec::new();
        Self {
            buffer,
            surroundings,
            cause,
            notices,
            written: 0,
            too_deep: false,
            repeats: false,
            writes: 0,
            webhooks: 0,
        }
    }

    /// Runs a body with the values of its first variables.
    pub(crate) async fn body(&mut self, body: &Body, mut values: Vec<Datum>) -> Result<()> {
        values.resize(body.slots, Datum::Null);
        self.steps(&body.steps, &mut values).await.map(drop)
    }

    fn steps<'f>(&'f mut self, steps: &'f [Step], values: &'f mut Vec<Datum>) -> Running<'f> {
        Box::pin(async move {
            for step in steps {
                if self.step(step, values).await? == Flow::Return {
                    return Ok(Flow::Return);
                }
            }
            Ok(Flow::On)
        })
    }

    async fn step(&mut self, step: &Step, values: &mut Vec<Datum>) -> Result<Flow> {
        match step {
            Step::Assign(slot, kind, value) => {
                let value = self.value(value, values).await?;
                self.assign(values, *slot, kind.as_ref(), value)?;
            }
            Step::Call(body, arguments) => {
                let mut inner: Vec<Datum> =
                    values.iter().take(arguments.first().map_or(0, |(slot, _, _)| *slot)).cloned().collect();
                inner.resize(body.slots, Datum::Null);
                for (slot, kind, argument) in arguments {
                    let value = self.value(argument, values).await?;
                    self.assign(&mut inner, *slot, kind.as_ref(), value)?;
                }
                self.steps(&body.steps, &mut inner).await?;
            }
            Step::For(slot, plan, steps) => {
                let context = self.surroundings.context(values.clone());
                for row in self.rows(plan, &context).await? {
                    let document = plan.result(&row, &context);
                    if let Some(value) = values.get_mut(*slot) {
                        *value = Datum::Document(Arc::from(document.into_bytes()));
                    }
                    if self.steps(steps, values).await? == Flow::Return {
                        return Ok(Flow::Return);
                    }
                }
            }
            Step::If(branches, otherwise) => {
                for (condition, steps) in branches {
                    // NULL is false.
                    if self.value(condition, values).await? == Datum::Bool(true) {
                        return self.steps(steps, values).await;
                    }
                }
                return self.steps(otherwise, values).await;
            }
            Step::Perform(plan) => {
                let context = self.surroundings.context(values.clone());
                self.rows(plan, &context).await?;
            }
            Step::Raise(level, format, arguments) => {
                let message = self.message(format, arguments, values).await?;
                match level {
                    RaiseLevel::Exception => return Err(SqlError::new("P0001", message)),
                    RaiseLevel::Notice => self.notices.push(Notice::new(message)),
                }
            }
            Step::Return => return Ok(Flow::Return),
            Step::SelectInto(plan, slots) => {
                let context = self.surroundings.context(values.clone());
                let first = self.rows(plan, &context).await?.into_iter().next();
                for (column, slot) in slots.iter().enumerate() {
                    let value = first.as_ref().map_or(Datum::Null, |row| row.value(column).clone());
                    if let Some(variable) = values.get_mut(*slot) {
                        *variable = value;
                    }
                }
            }
            Step::Native(name, arguments) => {
                let mut given = Vec::with_capacity(arguments.len());
                for (kind, value) in arguments {
                    let value = self.value(value, values).await?;
                    given.push(to_bson(&self.cast(kind.as_ref(), value)?));
                }
                let natives = &self.surroundings.host.natives;
                match natives.get(name) {
                    Some(Native::Procedure(code)) => code(self.buffer.session().await?, given).await.map_err(failed)?,
                    Some(Native::Outside(code)) => code(given).await.map_err(failed)?,
                    Some(Native::Function(..)) | None => return Err(unregistered(name)),
                }
            }
            Step::Webhook(webhook) => {
                let mut given = Document::new();
                for (name, kind, value) in &webhook.arguments {
                    let value = self.value(value, values).await?;
                    given.insert(name.clone(), to_bson(&self.cast(kind.as_ref(), value)?));
                }
                self.webhook(webhook, given).await?;
            }
            Step::Write(planned) => {
                let context = self.surroundings.context(values.clone());
                let unique = Unique::from([vec!["_id".to_owned()]]);
                self.writes += 1;
                let statement = || format!("{}#{}", self.cause.key(), self.writes);
                let ids = if self.repeats { Ids::Of(statement()) } else { Ids::New };
                let written = write::write(&mut self.buffer, planned, &context, &unique, &ids).await?;
                self.notices.extend(written.notices);
                self.written += written.changed;
                if self.written > WRITES_MAX {
                    return Err(SqlError::new("54000", format!("a body writes at most {WRITES_MAX} documents")));
                }
                if self.too_deep && written.changed > 0 {
                    return Err(SqlError::new("54001", "the changes of triggers have gone deeper than max_depth"));
                }
            }
        }
        Ok(Flow::On)
    }

    async fn rows(&mut self, plan: &Arc<Plan>, context: &Arc<Context>) -> Result<Vec<Row>> {
        let (client, session) = (self.buffer.client(), self.session_for(plan).await?);
        execute::rows(&client, &mut Moment::Transaction(session), plan, context).await
    }

    /// The session for a plan: whatever it reads sees what was written before.
    async fn session_for(&mut self, plan: &Plan) -> Result<&mut ClientSession> {
        if plan.sources.is_empty() { Ok(self.buffer.session_before()) } else { self.buffer.session().await }
    }

    /// The value of an expression.
    pub(crate) async fn value(&mut self, computed: &Computed, values: &[Datum]) -> Result<Datum> {
        let context = self.surroundings.context(values.to_vec());
        match computed {
            Computed::Plain(expression) => Ok(expression.compile(&context).eval(&Row::new(vec![], vec![]))?),
            Computed::Query(plan) => {
                let (client, session) = (self.buffer.client(), self.session_for(plan).await?);
                let rows = execute::rows_of(&client, &mut Moment::Transaction(session), plan, &context).await?;
                Ok(rows.first().map_or(Datum::Null, |row| row.value(0).clone()))
            }
        }
    }

    fn assign(&self, values: &mut [Datum], slot: usize, kind: Option<&Type>, value: Datum) -> Result<()> {
        let value = self.cast(kind, value)?;
        if let Some(variable) = values.get_mut(slot) {
            *variable = value;
        }
        Ok(())
    }

    fn cast(&self, kind: Option<&Type>, value: Datum) -> Result<Datum> {
        let Some(kind) = kind else { return Ok(value) };
        let cast = Expr::Cast { value: Box::new(Expr::Constant(value)), to: kind.clone(), attempt: false };
        Ok(cast.compile(&self.surroundings.context(Vec::new())).eval(&Row::new(vec![], vec![]))?)
    }

    /// Each `%` of the format is an argument, `%%` is itself.
    async fn message(&mut self, format: &str, arguments: &[Computed], values: &[Datum]) -> Result<String> {
        let mut message = String::new();
        let mut arguments = arguments.iter();
        let mut letters = format.chars().peekable();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                message.push(letter);
            } else if letters.peek() == Some(&'%') {
                letters.next();
                message.push('%');
            } else if let Some(argument) = arguments.next() {
                let value = self.value(argument, values).await?;
                match self.cast(Some(&Type::Text(None)), value)? {
                    Datum::Text(text) => message.push_str(&text),
                    _ => message.push_str("<NULL>"),
                }
            }
        }
        Ok(message)
    }

    async fn webhook(&mut self, webhook: &Webhook, arguments: Document) -> Result<()> {
        self.webhooks += 1;
        let key = format!("{}#{}", self.cause.key(), self.webhooks);
        match self.cause {
            Cause::Call { .. } => {
                let retries = webhook::retries_of_procedure(&webhook.options)?;
                let call = (webhook.name.as_str(), &arguments, key.as_str());
                let requests = self.surroundings.host.requests();
                webhook::call(requests, &webhook.options, retries, call).await.map(drop)
            }
            Cause::Change { planned, change, .. } => {
                let waiting = Waiting {
                    key: &key,
                    procedure: &webhook.procedure,
                    arguments,
                    namespace: &planned.namespace(),
                    document_key: &change.key(),
                    // As text, later ones are behind earlier ones.
                    place: format!("{}#{:06}", change.token, self.webhooks),
                };
                outbox::put(&mut self.buffer, waiting).await
            }
        }
    }
}
