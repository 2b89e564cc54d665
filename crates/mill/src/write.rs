//! `INSERT`, `UPDATE` and `DELETE` as they are done (SQL-10): a query says what to write, and its rows are written one by one
//! inside the transaction in which they were read.

use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf, doc};
use millstream_flow::{Datum, Row};
use millstream_sql::expr::{Context, Expr, Step};
use millstream_sql::plan::{Column, Conflict, Target, Write, WriteAction};
use millstream_sql::{Notice, SqlError};
use mongodb::ClientSession;
use sha2::{Digest as _, Sha256};

use crate::checkpoint::run;
use crate::error::{Result, bug, of_driver};
use crate::read::Moment;
use crate::value::{document, from_bson, to_bson};
use crate::{execute, target};

/// Statements in one command.
const STATEMENTS_MAX: usize = 1_000;
/// Bytes in one command.
const BYTES_MAX: usize = 12 << 20;

/// What a write did.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// How many rows counted: also those that were as they should be already.
    pub(crate) count: u64,
    /// How many documents were changed.
    pub(crate) changed: u64,
    /// The rows of `RETURNING`.
    pub(crate) returning: Vec<RawDocumentBuf>,
    pub(crate) notices: Vec<Notice>,
}

/// The indexes by which a conflict can be found; the first is that of `_id`.
pub(crate) type Unique = Vec<Vec<String>>;

/// The `_id`s of new documents that have none.
#[derive(Clone, Debug)]
pub(crate) enum Ids {
    /// New ones.
    New,
    /// The same whenever the same statement runs again (SQL-15.5); what is there already is then left as it is.
    Of(String),
}

impl Ids {
    /// That of a row.
    fn id(&self, row: usize) -> ObjectId {
        let Self::Of(statement) = self else { return ObjectId::new() };
        let hash = Sha256::digest(format!("{statement}#{row}"));
        let first = hash.first_chunk::<12>();
        first.map_or_else(ObjectId::new, |bytes| ObjectId::from_bytes(*bytes))
    }
}

/// Does a write in the session's transaction; without one its commands are on their own, as many documents at a time as
/// go into a command (SQL-10.1).
pub(crate) async fn write(
    session: &mut ClientSession,
    write: &Write,
    context: &Arc<Context>,
    unique: &Unique,
    ids: &Ids,
) -> Result<Written> {
    let client = session.client();
    let rows = execute::rows_of(&client, &mut Moment::Transaction(session), &write.plan, context).await?;
    let mut work = Work { session, write, context, ids, statements: Vec::new(), bytes: 0, done: Written::default() };
    match &write.action {
        WriteAction::Insert { targets, conflict } => {
            work.insert(&rows, targets.as_deref(), conflict.as_ref(), unique).await?
        }
        WriteAction::Update { targets } => work.update(&rows, targets).await?,
        WriteAction::Delete => work.delete(&rows).await?,
    }
    work.flush().await?;
    Ok(work.done)
}

/// The columns of `RETURNING`.
pub(crate) fn returning_columns(write: &Write) -> Option<Vec<Column>> {
    let columns = write.returning.as_ref()?.iter();
    Some(columns.map(|(column, _)| column.clone()).collect())
}

struct Work<'w> {
    session: &'w mut ClientSession,
    write: &'w Write,
    context: &'w Arc<Context>,
    ids: &'w Ids,
    /// Statements of one command.
    statements: Vec<Bson>,
    bytes: usize,
    done: Written,
}

impl Work<'_> {
    async fn insert(
        &mut self,
        rows: &[Row],
        targets: Option<&[Target]>,
        conflict: Option<&Conflict>,
        unique: &Unique,
    ) -> Result<()> {
        for (number, row) in rows.iter().enumerate() {
            let mut new = match targets {
                None if row.values.is_empty() => Document::new(),
                None => whole(row.value(0))?,
                Some(targets) => {
                    let mut new = Document::new();
                    for (column, path) in targets.iter().enumerate() {
                        // DEFAULT leaves the field out.
                        if !matches!(row.value(column), Datum::Missing) {
                            target::set(&mut new, path, Some(to_bson(row.value(column))))?;
                        }
                    }
                    new
                }
            };
            let unnamed = !new.contains_key("_id");
            if unnamed {
                let mut with = doc! {"_id": self.ids.id(number)};
                with.extend(new);
                new = with;
            }
            if let Some(conflict) = conflict {
                // What this statement has inserted so far may be what is in the way.
                self.flush().await?;
                if let Some(there) = self.find_conflict(&new, conflict, unique).await? {
                    self.resolve(there, new, conflict).await?;
                    continue;
                }
            }
            self.returning(&new)?;
            self.done.count += 1;
            if matches!(self.ids, Ids::Of(_)) && self.is_there(&new, unnamed).await? {
                continue;
            }
            self.push(new.into()).await?;
            self.done.changed += 1;
        }
        Ok(())
    }

    /// Whether a document was inserted by an earlier run of the same statement.
    async fn is_there(&mut self, new: &Document, unnamed: bool) -> Result<bool> {
        let collection = self.session.client().database(&self.write.database);
        let collection = collection.collection::<Document>(&self.write.collection);
        let id = new.get("_id").cloned().unwrap_or(Bson::Null);
        let found = collection.find_one(doc! {"_id": {"$eq": id}}).session(&mut *self.session).await;
        let found = found.map_err(|error| of_driver(&error))?;
        Ok(found.is_some_and(|found| unnamed || found == *new))
    }

    /// The document that is in the way of a new one.
    async fn find_conflict(
        &mut self,
        new: &Document,
        conflict: &Conflict,
        unique: &Unique,
    ) -> Result<Option<Document>> {
        let by: Vec<Vec<String>> = if conflict.targets.is_empty() {
            unique.clone()
        } else {
            let names: Option<Vec<String>> = conflict.targets.iter().map(|path| target::dotted(path)).collect();
            let names = names.unwrap_or_default();
            let mut sorted = names.clone();
            sorted.sort_unstable();
            let known = unique.iter().any(|index| {
                let mut index = index.clone();
                index.sort_unstable();
                index == sorted
            });
            if !known {
                let message = format!("there is no unique index on ({})", names.join(", "));
                return Err(SqlError::new("42P10", message).hint("CREATE UNIQUE INDEX makes one"));
            }
            vec![names]
        };
        let collection = self.session.client().database(&self.write.database);
        let collection = collection.collection::<Document>(&self.write.collection);
        for index in by {
            let mut filter = Document::new();
            for name in &index {
                let path: Vec<Step> = name.split('.').map(|name| Step::Field(name.to_owned())).collect();
                let value = target::get(new, &path).cloned().unwrap_or(Bson::Null);
                filter.insert(name.clone(), doc! {"$eq": value});
            }
            let found = collection.find_one(filter).session(&mut *self.session).await;
            if let Some(found) = found.map_err(|error| of_driver(&error))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn resolve(&mut self, there: Document, new: Document, conflict: &Conflict) -> Result<()> {
        let Some(update) = &conflict.update else { return Ok(()) };
        let both = Row::new(vec![], vec![from_bson(&Bson::from(there.clone())), from_bson(&Bson::from(new))]);
        if let Some(condition) = &conflict.condition
            && self.eval(condition, &both)? != Datum::Bool(true)
        {
            return Ok(());
        }
        let mut changed = there.clone();
        for (path, value) in update {
            let value = value.as_ref().map(|value| self.eval(value, &both)).transpose()?;
            target::set(&mut changed, path, value.map(|value| to_bson(&value)))?;
        }
        self.returning(&changed)?;
        self.done.count += 1;
        if changed != there {
            self.done.changed += 1;
            let id = there.get("_id").cloned().unwrap_or(Bson::Null);
            let statement = doc! {"q": {"_id": id}, "u": changed};
            let command = doc! {"update": &self.write.collection, "updates": [statement]};
            run(self.session, &self.write.database, command).await?;
        }
        Ok(())
    }

    async fn update(&mut self, rows: &[Row], targets: &[(Target, bool)]) -> Result<()> {
        for row in rows {
            let before = whole(row.value(0))?;
            let mut after = before.clone();
            let (mut set, mut unset, mut plain) = (Document::new(), Document::new(), true);
            for (number, (path, assigned)) in targets.iter().enumerate() {
                let value = assigned.then(|| to_bson(row.value(number + 2)));
                target::set(&mut after, path, value.clone())?;
                if target::get(&before, path) == value.as_ref() {
                    continue;
                }
                match (target::dotted(path), value) {
                    (Some(path), Some(value)) => drop(set.insert(path, value)),
                    (Some(path), None) => drop(unset.insert(path, 1)),
                    (None, _) => plain = false,
                }
            }
            self.returning(&after)?;
            self.done.count += 1;
            if after == before {
                continue;
            }
            self.done.changed += 1;
            let mut change = Document::new();
            if plain {
                for (operator, fields) in [("$set", set), ("$unset", unset)] {
                    if !fields.is_empty() {
                        change.insert(operator, fields);
                    }
                }
            } else {
                change = after;
            }
            self.push(doc! {"q": {"_id": id(&before)}, "u": change}.into()).await?;
        }
        self.note_several(rows);
        Ok(())
    }

    async fn delete(&mut self, rows: &[Row]) -> Result<()> {
        for row in rows {
            let before = whole(row.value(0))?;
            self.returning(&before)?;
            self.push(doc! {"q": {"_id": id(&before)}, "limit": 1}.into()).await?;
            self.done.count += 1;
            self.done.changed += 1;
        }
        self.note_several(rows);
        Ok(())
    }

    /// SQL-10.5
    fn note_several(&mut self, rows: &[Row]) {
        let several = rows.iter().filter(|row| matches!(row.value(1), Datum::Int(2..) | Datum::Long(2..))).count();
        if several > 0 {
            let rows = if several == 1 { "row" } else { "rows" };
            let notice = Notice::new(format!("{several} {rows} had several matches"));
            self.done.notices.push(Notice {
                hint: Some("only the first of them counts; aggregate them in a subquery to add them up".to_owned()),
                ..notice
            });
        }
    }

    fn returning(&mut self, written: &Document) -> Result<()> {
        let Some(columns) = &self.write.returning else { return Ok(()) };
        let row = Row::new(vec![], vec![from_bson(&Bson::from(written.clone()))]);
        let mut answer = Document::new();
        for (column, value) in columns {
            let value = to_bson(&self.eval(value, &row)?);
            match value {
                Bson::Document(fields) if column.spread => answer.extend(fields),
                value => drop(answer.insert(column.name.clone(), value)),
            }
        }
        self.done.returning.push(RawDocumentBuf::try_from(&answer).map_err(|error| bug(&error.to_string()))?);
        Ok(())
    }

    fn eval(&self, value: &Expr, row: &Row) -> Result<Datum> {
        Ok(value.compile(self.context).eval(row)?)
    }

    async fn push(&mut self, statement: Bson) -> Result<()> {
        let size = statement.as_document().and_then(|statement| RawDocumentBuf::try_from(statement).ok());
        self.bytes += size.map_or(0, |raw| raw.as_bytes().len());
        self.statements.push(statement);
        if self.statements.len() >= STATEMENTS_MAX || self.bytes >= BYTES_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if self.statements.is_empty() {
            return Ok(());
        }
        let (command, field) = match self.write.action {
            WriteAction::Insert { .. } => ("insert", "documents"),
            WriteAction::Update { .. } => ("update", "updates"),
            WriteAction::Delete => ("delete", "deletes"),
        };
        let statements = std::mem::take(&mut self.statements);
        self.bytes = 0;
        let command = doc! {command: &self.write.collection, field: statements, "ordered": true};
        run(self.session, &self.write.database, command).await.map(drop)
    }
}

fn whole(datum: &Datum) -> Result<Document> {
    match datum {
        Datum::Document(bytes) => Ok(document(millstream_value::Doc::new(bytes))),
        _ => Err(SqlError::new("42804", "what is inserted without a list of columns has to be a document")),
    }
}

fn id(document: &Document) -> Bson {
    document.get("_id").cloned().unwrap_or(Bson::Null)
}
