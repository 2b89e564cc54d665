//! `SHOW` (SQL-18.4).

use std::sync::Arc;

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use futures::TryStreamExt;
use millstream_sql::Type;
use millstream_sql::plan::Column;
use millstream_sql::statement::{Argument, Kind, Listing, Show, Statement};

use super::Session;
use super::settings::{SETTINGS, unknown};
use crate::answer::Answer;
use crate::catalog::{Catalog, routine};
use crate::checkpoint::{CHECKPOINTS, DATABASE};
use crate::commit::Place;
use crate::dead_letters::DEAD_LETTERS;
use crate::definition::Definition;
use crate::deployment::now_ms;
use crate::error::{Result, bug, of_driver};

impl Session {
    pub(super) async fn show(&mut self, show: &Show) -> Result<Answer> {
        match show {
            Show::Create(object) => {
                let definition = self.object(object).await?;
                table(&["name", "sql"], vec![doc! {"name": &definition.name, "sql": format!("{};", definition.sql)}])
            }
            Show::Setting(name) => {
                let value = self.setting(name).ok_or_else(|| unknown(name))?;
                table(&[name], vec![doc! {name: value}])
            }
            Show::List { listing, database, like } => {
                let database = database.clone().unwrap_or_else(|| self.database.clone());
                let mut rows = self.list(*listing, &database).await?;
                if let Some(like) = like {
                    rows.retain(|row| row.get_str("name").is_ok_and(|name| is_like(name, like)));
                }
                let columns: Vec<&str> = columns(*listing);
                table(&columns, rows)
            }
        }
    }

    async fn list(&mut self, listing: Listing, database: &str) -> Result<Vec<Document>> {
        let kind = match listing {
            Listing::Databases => {
                let names = Catalog::databases(&self.deployment).await?;
                return Ok(names.into_iter().map(|name| doc! {"name": name}).collect());
            }
            Listing::Settings => {
                let value = |name: &&str| doc! {"name": *name, "value": self.settings.get(name)};
                return Ok(SETTINGS.iter().map(value).collect());
            }
            Listing::Tables => return self.tables(database).await,
            Listing::DeadLetters => return self.dead_letters().await,
            Listing::Functions => Kind::Function,
            Listing::MaterializedViews => Kind::MaterializedView,
            Listing::Procedures => Kind::Procedure,
            Listing::Triggers => Kind::Trigger,
            Listing::Views => Kind::View,
            Listing::Connections => Kind::Connection,
            Listing::Dashboards => Kind::Dashboard,
            Listing::Sinks => Kind::Sink,
            Listing::Syncs => Kind::Sync,
            Listing::Subscriptions => return crate::subscriptions::list(&self.deployment, database).await,
        };
        self.planning().await?;
        let mut definitions: Vec<Arc<Definition>> = self
            .catalog
            .all()
            .filter(|definition| definition.kind == kind && definition.database == database)
            .cloned()
            .collect();
        let count = |definition: &Definition| routine(definition).map_or(0, |routine| routine.arguments.len());
        definitions.sort_by(|a, b| (&a.name, count(a)).cmp(&(&b.name, count(b))));
        let mut rows = Vec::new();
        for definition in definitions {
            rows.push(self.describe_object(&definition).await?);
        }
        Ok(rows)
    }

    async fn tables(&mut self, database: &str) -> Result<Vec<Document>> {
        let names = self.deployment.client().database(database).list_collection_names().await;
        let mut names = names.map_err(|error| of_driver(&error))?;
        self.planning().await?;
        names.sort_unstable();
        names.retain(|name| {
            !name.starts_with("system.") && self.catalog.get(database, Kind::MaterializedView, name).is_none()
        });
        Ok(names.into_iter().map(|name| doc! {"name": name}).collect())
    }

    async fn dead_letters(&self) -> Result<Vec<Document>> {
        let rows = self.deployment.client().database(DATABASE).collection::<Document>(DEAD_LETTERS);
        let found = rows.find(doc! {}).sort(doc! {"_id": 1}).limit(1_000).await.map_err(|error| of_driver(&error))?;
        let found: Vec<Document> = found.try_collect().await.map_err(|error| of_driver(&error))?;
        let row = |row: Document| {
            let id = row.get_document("_id").cloned().unwrap_or_default();
            let error = row.get_document("error").cloned().unwrap_or_default();
            doc! {
                "name": id.get("object").cloned().unwrap_or(Bson::Null),
                "key": id.get("key").cloned().unwrap_or(Bson::Null),
                "sqlstate": error.get("sqlstate").cloned().unwrap_or(Bson::Null),
                "message": error.get("message").cloned().unwrap_or(Bson::Null),
                "attempts": row.get("attempts").cloned().unwrap_or(Bson::Null),
                "last_at": row.get("last_at").cloned().unwrap_or(Bson::Null),
            }
        };
        Ok(found.into_iter().map(row).collect())
    }

    pub(super) async fn describe_object(&self, definition: &Definition) -> Result<Document> {
        let mut row = doc! {"name": &definition.name, "state": definition.state.name()};
        if let Some(routine) = routine(definition) {
            let argument = |argument: &Argument| format!("{} {}", argument.name, argument.data_type);
            row.insert("arguments", routine.arguments.iter().map(argument).collect::<Vec<_>>().join(", "));
        }
        if !matches!(definition.kind, Kind::MaterializedView | Kind::Trigger) {
            return Ok(row);
        }
        let own = self.deployment.client().database(DATABASE);
        // Of several lanes the one that is behind the others.
        let checkpoints = own.collection::<Document>(CHECKPOINTS);
        let lanes = checkpoints.find(doc! {"_id": {"$in": definition.checkpoints()}}).sort(doc! {"as_of": 1}).await;
        let lanes: Vec<Document> = match lanes {
            Ok(lanes) => lanes.try_collect().await.map_err(|error| of_driver(&error))?,
            Err(error) => return Err(of_driver(&error)),
        };
        let state_bytes: Option<i64> =
            lanes.iter().map(|lane| lane.get_i64("state_bytes").ok()).fold(None, |sum, lane| match (sum, lane) {
                (None, lane) => lane,
                (Some(sum), lane) => Some(sum + lane.unwrap_or(0)),
            });
        let checkpoint = lanes.into_iter().next().unwrap_or_default();
        let letters = own.collection::<Document>(DEAD_LETTERS);
        let letters = letters.count_documents(doc! {"_id.object": &definition.id}).await;
        let errors = letters.map_err(|error| of_driver(&error))?;
        let place = checkpoint.get("place").and_then(Place::from_bson);
        let as_of = checkpoint.get_datetime("as_of").copied().ok();
        let lag = as_of.map(|as_of| now_ms().saturating_sub(as_of.timestamp_millis()).max(0));
        if let Ok(percent) = checkpoint.get_i32("loading") {
            row.insert("state", format!("building, loading {percent} %"));
        }
        let place = match place {
            Some(Place::Token(token)) => token.data().map_or(Bson::Null, Bson::from),
            Some(Place::Time(time)) => time.into(),
            None => Bson::Null,
        };
        row.insert("lag", lag.map_or(Bson::Null, |lag| Bson::from(format!("{lag} ms"))));
        row.insert("place", place);
        row.insert("as_of", as_of.map_or(Bson::Null, |as_of: DateTime| Bson::from(as_of)));
        row.insert("rows", checkpoint.get("rows").cloned().unwrap_or(Bson::Null));
        row.insert("state_bytes", state_bytes.map_or(Bson::Null, Bson::from));
        row.insert("errors", i64::try_from(errors).unwrap_or(i64::MAX));
        let guarantee = match definition.statement.as_ref() {
            Statement::CreateTrigger(_) => definition.options.text("guarantee")?.unwrap_or("exactly_once").to_owned(),
            _ => "exactly_once".to_owned(),
        };
        row.insert("guarantee", guarantee);
        let error = definition.error.as_ref().map(|(state, message)| format!("{state}: {message}"));
        row.insert("error", error.map_or(Bson::Null, Bson::from));
        Ok(row)
    }
}

fn columns(listing: Listing) -> Vec<&'static str> {
    match listing {
        Listing::Databases | Listing::Tables => vec!["name"],
        Listing::Settings => vec!["name", "value"],
        Listing::Subscriptions => vec!["name", "state", "program", "query", "since"],
        Listing::Functions | Listing::Procedures => vec!["name", "arguments", "state"],
        Listing::DeadLetters => vec!["name", "key", "sqlstate", "message", "attempts", "last_at"],
        Listing::MaterializedViews | Listing::Triggers => {
            vec!["name", "state", "lag", "place", "as_of", "rows", "state_bytes", "errors", "guarantee", "error"]
        }
        _ => vec!["name", "state"],
    }
}

/// Rows with the columns of these names.
pub(super) fn table(columns: &[&str], rows: Vec<Document>) -> Result<Answer> {
    let column = |name: &&str| Column { name: (*name).to_owned(), kind: kind(name, &rows), spread: false };
    let columns: Vec<Column> = columns.iter().map(column).collect();
    let rows: Result<Vec<RawDocumentBuf>> = rows
        .iter()
        .map(|row| {
            let row: Document = columns
                .iter()
                .map(|column| (column.name.clone(), row.get(&column.name).cloned().unwrap_or(Bson::Null)))
                .collect();
            RawDocumentBuf::try_from(&row).map_err(|error| bug(&error.to_string()))
        })
        .collect();
    Ok(Answer::rows(columns, rows?, Vec::new()))
}

/// The type that all values of a column have.
fn kind(name: &str, rows: &[Document]) -> Option<Type> {
    let mut kinds = rows.iter().filter_map(|row| row.get(name)).filter_map(|value| match value {
        Bson::Null => None,
        Bson::String(_) => Some(Some(Type::Text(None))),
        Bson::Int32(_) => Some(Some(Type::Integer)),
        Bson::Int64(_) => Some(Some(Type::BigInt)),
        Bson::DateTime(_) => Some(Some(Type::Timestamptz)),
        _ => Some(None),
    });
    let Some(first) = kinds.next() else { return Some(Type::Text(None)) };
    if kinds.all(|kind| kind == first) { first } else { None }
}

/// `LIKE`, with `%` and `_`.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut pattern = pattern.chars();
    match pattern.next() {
        None => text.is_empty(),
        Some('%') => {
            let rest = pattern.as_str();
            text.char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .any(|at| text.get(at..).is_some_and(|text| is_like(text, rest)))
        }
        Some(wanted) => {
            let mut text = text.chars();
            text.next().is_some_and(|c| wanted == '_' || c == wanted) && is_like(text.as_str(), pattern.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched() {
        assert!(is_like("orders", "ord%") && is_like("orders", "%er_") && is_like("", "%"));
        assert!(!is_like("orders", "ord") && !is_like("orders", "_"));
    }
}
