//! `INSERT`, `UPDATE` and `DELETE` as they are done (SQL-10): a query says what to write, and its rows are written one by one
//! inside the transaction in which they were read.

mod buffer;

use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use jiff::tz::TimeZone;
use millstream_flow::{Datum, Row};
use millstream_sql::expr::{Context, Expr, Step, to_value};
use millstream_sql::plan::{Column, Conflict, Target, Write, WriteAction};
use millstream_sql::{Notice, SqlError};
use millstream_value::{Doc, DocBuf, Value};
use sha2::{Digest as _, Sha256};

pub(crate) use self::buffer::Buffer;
use crate::checkpoint::Kind;
use crate::error::{Result, bug, of_driver};
use crate::read::Moment;
use crate::value::{document, from_bson, to_bson};
use crate::{execute, target};

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
    buffer: &mut Buffer<'_>,
    write: &Write,
    context: &Arc<Context>,
    unique: &Unique,
    ids: &Ids,
) -> Result<Written> {
    let client = buffer.client();
    let session = if write.plan.sources.is_empty() { buffer.session_before() } else { buffer.session().await? };
    let rows = execute::rows_of(&client, &mut Moment::Transaction(session), &write.plan, context).await?;
    let mut work = Work { buffer, write, context, ids, done: Written::default() };
    match &write.action {
        WriteAction::Insert { targets, conflict } => {
            work.insert(&rows, targets.as_deref(), conflict.as_ref(), unique).await?
        }
        WriteAction::Update { targets } => work.update(&rows, targets).await?,
        WriteAction::Delete => work.delete(&rows).await?,
    }
    work.buffer.end().await?;
    Ok(work.done)
}

/// The columns of `RETURNING`.
pub(crate) fn returning_columns(write: &Write) -> Option<Vec<Column>> {
    let columns = write.returning.as_ref()?.iter();
    Some(columns.map(|(column, _)| column.clone()).collect())
}

struct Work<'w, 's> {
    buffer: &'w mut Buffer<'s>,
    write: &'w Write,
    context: &'w Arc<Context>,
    ids: &'w Ids,
    done: Written,
}

impl Work<'_, '_> {
    async fn insert(
        &mut self,
        rows: &[Row],
        targets: Option<&[Target]>,
        conflict: Option<&Conflict>,
        unique: &Unique,
    ) -> Result<()> {
        for (number, row) in rows.iter().enumerate() {
            let (new, unnamed) = new_document(row, targets, || self.ids.id(number))?;
            if let Some(conflict) = conflict {
                let new = document(Doc::new(new.as_bytes()));
                if let Some(there) = self.find_conflict(&new, conflict, unique).await? {
                    self.resolve(there, new, conflict).await?;
                    continue;
                }
            }
            self.returning(|| Datum::Document(Arc::from(new.as_bytes())))?;
            self.done.count += 1;
            if matches!(self.ids, Ids::Of(_)) && self.is_there(&new, unnamed).await? {
                continue;
            }
            self.push(Kind::Insert, &new).await?;
            self.done.changed += 1;
        }
        Ok(())
    }

    /// Whether a document was inserted by an earlier run of the same statement.
    async fn is_there(&mut self, new: &RawDocument, unnamed: bool) -> Result<bool> {
        let new = document(Doc::new(new.as_bytes()));
        let collection = self.buffer.client().database(&self.write.database);
        let collection = collection.collection::<Document>(&self.write.collection);
        let id = new.get("_id").cloned().unwrap_or(Bson::Null);
        // Two equal rows of one run are none of an earlier one.
        let found = collection.find_one(doc! {"_id": {"$eq": id}}).session(self.buffer.session_before()).await;
        let found = found.map_err(|error| of_driver(&error))?;
        Ok(found.is_some_and(|found| unnamed || found == new))
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
        let collection = self.buffer.client().database(&self.write.database);
        let collection = collection.collection::<Document>(&self.write.collection);
        for index in by {
            let mut filter = Document::new();
            for name in &index {
                let path: Vec<Step> = name.split('.').map(|name| Step::Field(name.to_owned())).collect();
                let value = target::get(new, &path).cloned().unwrap_or(Bson::Null);
                filter.insert(name.clone(), doc! {"$eq": value});
            }
            // What this statement has inserted so far may be what is in the way.
            let found = collection.find_one(filter).session(self.buffer.session().await?).await;
            if let Some(found) = found.map_err(|error| of_driver(&error))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn resolve(&mut self, there: Document, new: Document, conflict: &Conflict) -> Result<()> {
        let Some(update) = &conflict.update else { return Ok(()) };
        let both = Row::new(vec![], vec![datum(&there), datum(&new)]);
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
        self.returning(|| datum(&changed))?;
        self.done.count += 1;
        if changed != there {
            self.done.changed += 1;
            let id = there.get("_id").cloned().unwrap_or(Bson::Null);
            self.push(Kind::Update, &raw(&doc! {"q": {"_id": id}, "u": changed})?).await?;
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
            self.returning(|| datum(&after))?;
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
            self.push(Kind::Update, &raw(&doc! {"q": {"_id": id(&before)}, "u": change})?).await?;
        }
        self.note_several(rows);
        Ok(())
    }

    async fn delete(&mut self, rows: &[Row]) -> Result<()> {
        for row in rows {
            let before = whole(row.value(0))?;
            self.returning(|| datum(&before))?;
            self.push(Kind::Delete, &raw(&doc! {"q": {"_id": id(&before)}, "limit": 1})?).await?;
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

    fn returning(&mut self, written: impl FnOnce() -> Datum) -> Result<()> {
        let Some(columns) = &self.write.returning else { return Ok(()) };
        let row = Row::new(vec![], vec![written()]);
        let mut answer = Document::new();
        for (column, value) in columns {
            let value = to_bson(&self.eval(value, &row)?);
            match value {
                Bson::Document(fields) if column.spread => answer.extend(fields),
                value => drop(answer.insert(column.name.clone(), value)),
            }
        }
        self.done.returning.push(raw(&answer)?);
        Ok(())
    }

    fn eval(&self, value: &Expr, row: &Row) -> Result<Datum> {
        Ok(value.compile(self.context).eval(row)?)
    }

    async fn push(&mut self, kind: Kind, statement: &RawDocument) -> Result<()> {
        self.buffer.push(kind, (&self.write.database, &self.write.collection), statement).await
    }
}

/// The document that a row becomes, and whether its `_id` is made here.
fn new_document(
    row: &Row,
    targets: Option<&[Target]>,
    id: impl FnOnce() -> ObjectId,
) -> Result<(RawDocumentBuf, bool)> {
    let fields = match targets {
        None => match row.values.first() {
            None => DocBuf::new(),
            Some(Datum::Document(bytes)) => DocBuf::from_bytes(bytes.to_vec()),
            Some(_) => return Err(no_document()),
        },
        Some(targets) if targets.iter().all(|target| name(target).is_some()) => {
            let mut fields = DocBuf::new();
            for (name, value) in targets.iter().filter_map(name).zip(row.values.iter()) {
                // DEFAULT leaves the field out.
                if !matches!(value, Datum::Missing) {
                    fields.push(name, to_value(value, &TimeZone::UTC));
                }
            }
            fields
        }
        Some(targets) => {
            let mut new = Document::new();
            for (path, value) in targets.iter().zip(row.values.iter()) {
                if !matches!(value, Datum::Missing) {
                    target::set(&mut new, path, Some(to_bson(value)))?;
                }
            }
            DocBuf::from_bytes(raw(&new)?.into_bytes())
        }
    };
    let unnamed = !fields.as_doc().has("_id");
    let whole = if unnamed {
        let mut with = DocBuf::with_capacity(fields.size() + 17);
        with.push("_id", Value::ObjectId(id().bytes())).extend(fields.as_doc());
        with
    } else {
        fields
    };
    let whole = RawDocumentBuf::from_bytes(whole.into_bytes()).map_err(|error| bug(&error.to_string()))?;
    Ok((whole, unnamed))
}

/// The field of a target that is just that.
fn name(target: &Target) -> Option<&str> {
    match target.as_slice() {
        [Step::Field(name)] if !name.contains('\0') => Some(name),
        _ => None,
    }
}

fn whole(datum: &Datum) -> Result<Document> {
    match datum {
        Datum::Document(bytes) => Ok(document(Doc::new(bytes))),
        _ => Err(no_document()),
    }
}

fn no_document() -> SqlError {
    SqlError::new("42804", "what is inserted without a list of columns has to be a document")
}

fn raw(document: &Document) -> Result<RawDocumentBuf> {
    RawDocumentBuf::try_from(document).map_err(|error| SqlError::new("22023", error.to_string()))
}

fn datum(document: &Document) -> Datum {
    from_bson(&Bson::from(document.clone()))
}

fn id(document: &Document) -> Bson {
    document.get("_id").cloned().unwrap_or(Bson::Null)
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn made(targets: Option<&[&[&str]]>, values: Vec<Datum>) -> (RawDocumentBuf, bool) {
        let steps = |path: &&[&str]| path.iter().map(|name| Step::Field((*name).to_owned())).collect();
        let targets: Option<Vec<Target>> = targets.map(|targets| targets.iter().map(steps).collect());
        let id = || ObjectId::from_bytes([7; 12]);
        new_document(&Row::new(vec![], values), targets.as_deref(), id).unwrap()
    }

    /// SQL-10.2, SQL-10.4
    #[test]
    fn a_row_becomes_a_document() {
        let id = ObjectId::from_bytes([7; 12]);
        let text = || Datum::text("x");
        let (plain, unnamed) = made(Some(&[&["a"], &["b"], &["c"]]), vec![Datum::Int(1), Datum::Missing, text()]);
        assert_eq!((plain, unnamed), (rawdoc! {"_id": id, "a": 1, "c": "x"}, true));
        let (named, unnamed) = made(Some(&[&["a"], &["_id"]]), vec![Datum::Null, Datum::Long(5)]);
        assert_eq!((named, unnamed), (rawdoc! {"a": null, "_id": 5_i64}, false));
        let (deep, _) = made(Some(&[&["a", "b"], &["a", "c"]]), vec![Datum::Int(1), text()]);
        assert_eq!(deep, rawdoc! {"_id": id, "a": {"b": 1, "c": "x"}});
        let whole = Datum::Document(Arc::from(rawdoc! {"_id": 3, "z": [1]}.as_bytes()));
        assert_eq!(made(None, vec![whole]), (rawdoc! {"_id": 3, "z": [1]}, false));
        assert_eq!(made(None, vec![]), (rawdoc! {"_id": id}, true));
        assert!(new_document(&Row::new(vec![], vec![text()]), None, ObjectId::new).is_err());
    }
}
