//! DDL on collections (SQL-10.8).

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use millstream_sql::expr::Step;
use millstream_sql::statement::{Column, CreateIndex, CreateTable, Name, Path};
use millstream_sql::{Notice, SqlError, Type};

use super::Session;
use super::define::table_id;
use super::write::command;
use crate::answer::{Answer, not_offered};
use crate::error::{Result, code, of_driver};
use crate::run::check_writable;
use crate::target::dotted;

/// The code of an option that a server does not have.
const NOT_IMPLEMENTED: i32 = 238;

impl Session {
    pub(super) async fn create_table(&mut self, create: &CreateTable) -> Result<Answer> {
        self.not_in_transaction("CREATE TABLE")?;
        let (database, name) = self.resolve(&create.name)?;
        check_writable(&database)?;
        self.planning().await?;
        let taken = self.catalog.has_table(&database, &name) || self.is_table(&database, &name).is_err();
        if taken && create.if_not_exists {
            let notice = Notice::new(format!("{name} exists already"));
            return Ok(Answer::done("CREATE TABLE", vec![notice]));
        }
        if taken {
            return Err(SqlError::new("42P07", format!("{name} exists already")));
        }
        let mut make = doc! {"create": &name};
        if let Some(schema) = schema(&create.columns)? {
            make.insert("validator", doc! {"$jsonSchema": schema});
        }
        let rows = self.deployment.client().database(&database);
        let mut notices = Vec::new();
        match rows.run_command(make).await {
            Ok(_) => {}
            Err(error) if code(&error) == Some(NOT_IMPLEMENTED) => {
                command(self, &database, doc! {"create": &name}).await?;
                notices.push(Notice::new("types and NOT NULL are not checked: the deployment has no validators"));
            }
            Err(error) => return Err(of_driver(&error)),
        }
        let unique =
            create.columns.iter().filter(|column| column.unique || (column.primary_key && column.name != "_id"));
        let indexes: Vec<Bson> = unique
            .map(|column| {
                doc! {"key": {&column.name: 1}, "name": format!("{}_key", column.name), "unique": true}.into()
            })
            .collect();
        if !indexes.is_empty() {
            command(self, &database, doc! {"createIndexes": &name, "indexes": indexes}).await?;
        }
        Ok(Answer::done("CREATE TABLE", notices))
    }

    pub(super) async fn create_index(&mut self, create: &CreateIndex) -> Result<Answer> {
        self.not_in_transaction("CREATE INDEX")?;
        if create.filter.is_some() {
            return Err(not_offered("a partial index"));
        }
        let (database, table) = self.resolve(&create.table)?;
        check_writable(&database)?;
        let mut keys = Document::new();
        for field in &create.fields {
            keys.insert(path(&field.path)?, if field.descending { -1 } else { 1 });
        }
        let own: Vec<String> = keys.iter().map(|(name, down)| format!("{name}_{down}")).collect();
        let name = create.name.clone().unwrap_or_else(|| own.join("_"));
        let index = doc! {"key": keys, "name": name, "unique": create.unique};
        match command(self, &database, doc! {"createIndexes": &table, "indexes": [index]}).await {
            Err(error) if error.state.0 == "42710" && create.if_not_exists => {
                Ok(Answer::done("CREATE INDEX", vec![Notice::new(error.message)]))
            }
            Err(error) => Err(error),
            Ok(_) => Ok(Answer::done("CREATE INDEX", Vec::new())),
        }
    }

    pub(super) async fn drop_index(&mut self, name: &Name, on: Option<&Name>, if_exists: bool) -> Result<Answer> {
        self.not_in_transaction("DROP INDEX")?;
        let (database, index) = self.resolve(name)?;
        check_writable(&database)?;
        self.planning().await?;
        let tables: Vec<String> = match on {
            Some(on) => vec![self.resolve(on)?.1],
            None => self.catalog.tables(&database).cloned().collect(),
        };
        for table in tables {
            let rows = self.deployment.client().database(&database).collection::<Document>(&table);
            let names = match rows.list_index_names().await {
                Ok(names) => names,
                Err(error) if code(&error) == Some(26) || code(&error) == Some(166) => continue,
                Err(error) => return Err(of_driver(&error)),
            };
            if names.contains(&index) {
                command(self, &database, doc! {"dropIndexes": &table, "index": &index}).await?;
                return Ok(Answer::done("DROP INDEX", Vec::new()));
            }
        }
        if if_exists {
            return Ok(Answer::done("DROP INDEX", vec![Notice::new(format!("there is no index {index}"))]));
        }
        Err(SqlError::new("42704", format!("there is no index {index}")))
    }

    pub(super) async fn drop_table(&mut self, name: &Name, if_exists: bool, cascade: bool) -> Result<Answer> {
        self.not_in_transaction("DROP TABLE")?;
        let (database, table) = self.resolve(name)?;
        self.planning().await?;
        self.is_table(&database, &table)?;
        if database != self.database || !self.catalog.has_table(&database, &table) {
            let rows = self.deployment.client().database(&database);
            let names = rows.list_collection_names().filter(doc! {"name": &table}).await;
            if names.map_err(|error| of_driver(&error))?.is_empty() {
                let message = format!("there is no table {table}");
                return if if_exists {
                    Ok(Answer::done("DROP TABLE", vec![Notice::new(message)]))
                } else {
                    Err(SqlError::new("42P01", message))
                };
            }
        }
        for dependant in self.with_dependants(&table_id(&database, &table), cascade)?.iter().rev() {
            self.remove(dependant).await?;
        }
        command(self, &database, doc! {"drop": &table}).await?;
        Ok(Answer::done("DROP TABLE", Vec::new()))
    }

    pub(super) async fn rename_table(&mut self, from: &Name, to: &Name) -> Result<Answer> {
        self.not_in_transaction("ALTER TABLE")?;
        let ((database, table), (to_database, to)) = (self.resolve(from)?, self.resolve(to)?);
        self.planning().await?;
        self.is_table(&database, &table)?;
        check_writable(&to_database)?;
        let rename = doc! {
            "renameCollection": format!("{database}.{table}"),
            "to": format!("{}.{to}", if to_database == self.database { &database } else { &to_database }),
        };
        command(self, "admin", rename).await?;
        Ok(Answer::done("ALTER TABLE", Vec::new()))
    }

    /// Paths and types seen in a sample (SQL-18.4).
    pub(super) async fn describe(&mut self, name: &Name) -> Result<Answer> {
        let (database, table) = self.resolve(name)?;
        let rows = self.deployment.client().database(&database).collection::<Document>(&table);
        let mut sample = rows.aggregate(vec![doc! {"$sample": {"size": 1_000}}]).await.map_err(|e| of_driver(&e))?;
        let mut seen: Vec<(String, Vec<&'static str>, u64)> = Vec::new();
        let mut total = 0_u64;
        while let Some(document) = sample.try_next().await.map_err(|error| of_driver(&error))? {
            total += 1;
            note("", &document, &mut seen, 0);
        }
        let rows = seen.iter().map(|(path, types, count)| {
            doc! {
                "path": path,
                "types": types.join(", "),
                "documents": i64::try_from(*count).unwrap_or(i64::MAX),
                "of": i64::try_from(total).unwrap_or(i64::MAX),
            }
        });
        super::show::table(&["path", "types", "documents", "of"], rows.collect())
    }
}

/// Deeper fields are described by the document that they are in.
const DESCRIBED_DEPTH: usize = 4;

fn note(prefix: &str, document: &Document, seen: &mut Vec<(String, Vec<&'static str>, u64)>, depth: usize) {
    for (name, value) in document {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let kind = sql_type(value);
        match seen.iter_mut().find(|(known, _, _)| *known == path) {
            Some((_, types, count)) => {
                *count += 1;
                if !types.contains(&kind) {
                    types.push(kind);
                }
            }
            None => seen.push((path.clone(), vec![kind], 1)),
        }
        if let Bson::Document(inner) = value
            && depth < DESCRIBED_DEPTH
        {
            note(&path, inner, seen, depth + 1);
        }
    }
}

/// The SQL type of a stored value (SQL-4.2).
fn sql_type(value: &Bson) -> &'static str {
    match value {
        Bson::Double(_) => "double precision",
        Bson::Int32(_) => "integer",
        Bson::Int64(_) => "bigint",
        Bson::Decimal128(_) => "numeric",
        Bson::String(_) | Bson::Symbol(_) => "text",
        Bson::Boolean(_) => "boolean",
        Bson::DateTime(_) => "timestamptz",
        Bson::Timestamp(_) => "bson_timestamp",
        Bson::ObjectId(_) => "objectid",
        Bson::Binary(binary) if binary.subtype == bson::spec::BinarySubtype::Uuid => "uuid",
        Bson::Binary(_) => "bytea",
        Bson::Document(_) => "document",
        Bson::Array(_) => "array",
        Bson::Null | Bson::Undefined => "null",
        _ => "opaque",
    }
}

fn schema(columns: &[Column]) -> Result<Option<Document>> {
    let mut properties = Document::new();
    let mut required = Vec::new();
    for column in columns {
        if let Some(kind) = crate::trigger::type_of(&column.data_type)? {
            let mut types: Vec<Bson> = bson_types(&kind).iter().map(|name| Bson::from(*name)).collect();
            if !types.is_empty() {
                if !column.not_null {
                    types.push("null".into());
                }
                properties.insert(column.name.clone(), doc! {"bsonType": types});
            }
        }
        if column.not_null {
            required.push(Bson::from(column.name.clone()));
        }
    }
    if properties.is_empty() && required.is_empty() {
        return Ok(None);
    }
    let mut schema = doc! {"bsonType": "object", "properties": properties};
    if !required.is_empty() {
        schema.insert("required", required);
    }
    Ok(Some(schema))
}

fn bson_types(kind: &Type) -> &'static [&'static str] {
    match kind {
        Type::Integer => &["int"],
        Type::BigInt => &["int", "long"],
        Type::Numeric(_) | Type::Double => &["int", "long", "double", "decimal"],
        Type::Text(_) | Type::Time | Type::Interval => &["string"],
        Type::Boolean => &["bool"],
        Type::Date | Type::Timestamp | Type::Timestamptz => &["date"],
        Type::BsonTimestamp => &["timestamp"],
        Type::ObjectId => &["objectId"],
        Type::Bytea | Type::Uuid => &["binData"],
        Type::Document => &["object"],
        Type::Array(_) => &["array"],
    }
}

fn path(path: &Path) -> Result<String> {
    let steps: Vec<Step> =
        std::iter::once(Step::Field(path.column.clone())).chain(path.steps.iter().cloned()).collect();
    dotted(&steps).ok_or_else(|| SqlError::new("42602", format!("{} cannot be indexed", path.column)))
}
