//! A body as it runs, statement after statement, inside of one transaction (SQL-15.2).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bson::{Bson, DateTime, Document, doc};
use millstream_flow::{Datum, Row};
use millstream_sql::expr::Context;
use millstream_sql::plan::Computed;
use millstream_sql::statement::RaiseLevel;
use millstream_sql::{Expr, Notice, SqlError, Type};
use mongodb::ClientSession;

use super::plan::{Body, Step};
use crate::checkpoint::{self, DATABASE};
use crate::error::Result;
use crate::planning::context;
use crate::read::Moment;
use crate::value::to_bson;
use crate::write::Unique;
use crate::{execute, write};

/// Documents that one run of a body may write (SQL-22.1).
const WRITES_MAX: u64 = 1_000;

/// The collection of webhooks that are to be called.
pub(crate) const OUTBOX: &str = "outbox";

/// One run of a body.
pub(crate) struct Run<'r> {
    pub(crate) session: &'r mut ClientSession,
    pub(crate) zone: &'r str,
    /// What makes the keys of webhooks: of the object and the change.
    pub(crate) key: String,
    /// The key of the changed document, by which webhooks keep their order.
    pub(crate) document_key: Bson,
    pub(crate) notices: Vec<Notice>,
    pub(crate) written: u64,
    pub(crate) webhooks: u64,
    /// Writes are refused: the loop has become too deep (SQL-15.7).
    pub(crate) too_deep: bool,
}

/// Whether a body goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Return,
}

type Running<'f> = Pin<Box<dyn Future<Output = Result<Flow>> + Send + 'f>>;

impl Run<'_> {
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
                let context = context(self.zone, values.clone())?;
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
                let context = context(self.zone, values.clone())?;
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
                let context = context(self.zone, values.clone())?;
                let first = self.rows(plan, &context).await?.into_iter().next();
                for (column, slot) in slots.iter().enumerate() {
                    let value = first.as_ref().map_or(Datum::Null, |row| row.value(column).clone());
                    if let Some(variable) = values.get_mut(*slot) {
                        *variable = value;
                    }
                }
            }
            Step::Webhook(name, arguments) => {
                let mut given = Document::new();
                for (name, value) in arguments {
                    given.insert(name.clone(), to_bson(&self.value(value, values).await?));
                }
                self.webhook(name, given).await?;
            }
            Step::Write(planned) => {
                let context = context(self.zone, values.clone())?;
                let unique = Unique::from([vec!["_id".to_owned()]]);
                let written = write::write(self.session, planned, &context, &unique).await?;
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

    async fn rows(&mut self, plan: &Arc<millstream_sql::plan::Plan>, context: &Arc<Context>) -> Result<Vec<Row>> {
        let client = self.session.client();
        execute::rows(&client, &mut Moment::Transaction(self.session), plan, context).await
    }

    /// The value of an expression.
    pub(crate) async fn value(&mut self, computed: &Computed, values: &[Datum]) -> Result<Datum> {
        let context = context(self.zone, values.to_vec())?;
        match computed {
            Computed::Plain(expression) => Ok(expression.compile(&context).eval(&Row::new(vec![], vec![]))?),
            Computed::Query(plan) => {
                let client = self.session.client();
                let rows = execute::rows_of(&client, &mut Moment::Transaction(self.session), plan, &context).await?;
                Ok(rows.first().map_or(Datum::Null, |row| row.value(0).clone()))
            }
        }
    }

    fn assign(&self, values: &mut [Datum], slot: usize, kind: Option<&Type>, value: Datum) -> Result<()> {
        let value = match kind {
            None => value,
            Some(kind) => {
                let cast = Expr::Cast { value: Box::new(Expr::Constant(value)), to: kind.clone(), attempt: false };
                cast.compile(&context(self.zone, Vec::new())?).eval(&Row::new(vec![], vec![]))?
            }
        };
        if let Some(variable) = values.get_mut(slot) {
            *variable = value;
        }
        Ok(())
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
                let to = Type::Text(None);
                let cast = Expr::Cast { value: Box::new(Expr::Constant(value)), to, attempt: false };
                match cast.compile(&context(self.zone, Vec::new())?).eval(&Row::new(vec![], vec![]))? {
                    Datum::Text(text) => message.push_str(&text),
                    _ => message.push_str("<NULL>"),
                }
            }
        }
        Ok(message)
    }

    async fn webhook(&mut self, routine: &str, arguments: Document) -> Result<()> {
        self.webhooks += 1;
        let call = doc! {
            "_id": format!("{}#{}", self.key, self.webhooks),
            "routine": routine,
            "args": arguments,
            "document_key": self.document_key.clone(),
            "created_at": DateTime::now(),
            "attempts": 0,
        };
        checkpoint::run(self.session, DATABASE, doc! {"insert": OUTBOX, "documents": [call]}).await.map(drop)
    }
}
