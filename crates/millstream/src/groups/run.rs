//! Reads the groups' documents, and says how they are.

use bson::{Document, doc};
use millstream_watch::{Connection, Group, GroupStatus};

use super::Arguments;
use super::arguments::{Format, What};
use super::report;
use crate::watch::{OwnCollection, uri_or_default};
use crate::{exit, terminal};

/// Shows groups.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    let connection = Connection::new(&uri_or_default(arguments.place.uri.as_deref())).await?;
    let own = arguments.place.collection(&arguments.groups, connection.default_database());
    match arguments.what {
        What::List => {
            let mut groups = Vec::new();
            for name in names(&connection, &own).await? {
                groups.extend(status(&connection, &own, &name).await?);
            }
            if groups.is_empty() {
                eprintln!("there are no groups in {own}");
                return Ok(exit::Code::Done);
            }
            terminal::say(&match arguments.format {
                Format::Table => report::list(&groups),
                Format::Json => groups.iter().map(|group| format!("{}\n", report::json(group))).collect(),
            });
        }
        What::Show { group } => {
            let Some(status) = status(&connection, &own, &group).await? else {
                eprintln!("millstream: there is no group `{group}` in {own}");
                return Ok(exit::Code::PositionLost);
            };
            terminal::say(&match arguments.format {
                Format::Table => report::show(&status),
                Format::Json => format!("{}\n", report::json(&status)),
            });
        }
    }
    Ok(exit::Code::Done)
}

async fn status(
    connection: &Connection,
    own: &OwnCollection,
    name: &str,
) -> Result<Option<GroupStatus>, millstream_watch::Error> {
    GroupStatus::of(connection, &Group::new(name, &own.database).collection(&own.collection)).await
}

/// Every group has a document of the key `NAME/group`.
async fn names(connection: &Connection, own: &OwnCollection) -> Result<Vec<String>, millstream_watch::Error> {
    let explain = |error| connection.explain(error, &format!("the groups in {own}"));
    let rows = connection.client().database(&own.database).collection::<Document>(&own.collection);
    let which = doc! {"_id": {"$regex": "^[^/]+/group$"}};
    let mut found = rows.find(which).projection(doc! {"_id": 1}).sort(doc! {"_id": 1}).await.map_err(explain)?;
    let mut names = Vec::new();
    while found.advance().await.map_err(explain)? {
        let name = found.current().get_str("_id").ok().and_then(|key| key.strip_suffix("/group"));
        names.extend(name.map(str::to_owned));
    }
    Ok(names)
}
