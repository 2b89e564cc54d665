//! What is written by the programs of Millstream alone: the database in which they keep what is theirs, as definitions, places,
//! leases, tokens (SQL-18.1), and materialized views (SQL-14.5). Clients may read both.
//!
//! It keeps mistakes away, not enemies: whoever writes is known by what it says of itself in its first `hello`. Our programs and
//! libraries add their name to the driver's (`driver.name`); an operator who has to repair something connects with
//! `appName=millstream`.

use std::collections::HashSet;
use std::sync::Arc;

use millstream_db::{Db, Find, Mark, TimeLimit};
use millstream_query::predicate::Predicate;
use millstream_value::{Code, Doc, Namespace};
use parking_lot::RwLock;

use crate::context::{Connection, Context};
use crate::errors;
use crate::failure::{Failure, Result};

const DATABASE: &str = "millstream";
const DEFINITIONS: &str = "definitions";
/// What our programs call themselves.
const NAME: &str = "millstream";

/// Refuses a write to a database if it is ours and the client is not.
pub(crate) fn check(connection: &Connection, database: &str) -> Result<()> {
    if database != DATABASE || is_ours(connection) {
        return Ok(());
    }
    let message = "the database millstream can be read, but not written: it is what views, triggers and watchers go on by. \
                   To repair it, connect with appName=millstream";
    Err(Failure::new(Code::Unauthorized, message))
}

/// The collections of materialized views, as the definitions say that were read last.
#[derive(Default)]
pub(crate) struct Views(RwLock<Option<(Mark, HashSet<Namespace>)>>);

impl Views {
    fn has(&self, db: &Db, namespace: &Namespace) -> Result<bool> {
        if let Some((mark, views)) = self.0.read().as_ref()
            && db.is_as(mark)
        {
            return Ok(views.contains(namespace));
        }
        let definitions = Namespace::new(DATABASE, DEFINITIONS);
        let reader = db.now();
        // From before they are read, so that nothing is missed.
        let mark = reader.mark(&definitions);
        let mut views = HashSet::new();
        for definition in reader.find(&definitions, everything()).map_err(errors::failure)? {
            views.extend(view_of(Doc::new(&definition.map_err(errors::failure)?)));
        }
        let is_one = views.contains(namespace);
        *self.0.write() = Some((mark, views));
        Ok(is_one)
    }
}

/// Refuses a write to a materialized view by a client that is not ours.
pub(crate) fn check_view(context: &Context<'_>, namespace: &Namespace) -> Result<()> {
    if !context.server.views.has(context.server.engine.db(), namespace)? || is_ours(context.connection) {
        return Ok(());
    }
    let message = format!("{namespace} is a materialized view: it is written by what keeps it right");
    Err(Failure::new(Code::CommandNotSupportedOnView, message))
}

fn everything() -> Find {
    Find {
        filter: Arc::new(Predicate::always_true()),
        sort: None,
        projection: None,
        skip: 0,
        limit: None,
        hint: None,
        time: TimeLimit::default(),
    }
}

/// Where a definition's rows are, if it is a materialized view.
fn view_of(definition: Doc<'_>) -> Option<Namespace> {
    if definition.str("kind")? != "materialized_view" {
        return None;
    }
    let (db, name) = (definition.str("db")?, definition.str("name")?);
    let target = definition.doc("options").and_then(|options| options.doc("target")).and_then(|it| it.str("text"));
    Some(match target.map(|target| target.split_once('.').unwrap_or((db, target))) {
        Some((db, name)) => Namespace::new(db, name),
        None => Namespace::new(db, name),
    })
}

fn is_ours(connection: &Connection) -> bool {
    // Drivers put the names of what is built on them behind their own: `mongo-rust-driver|millstream`.
    let driver = connection.driver_name().unwrap_or_default();
    driver.split('|').any(|name| name.trim() == NAME) || connection.app_name() == Some(NAME)
}

#[cfg(test)]
mod tests {
    use millstream_value::DocBuf;

    use super::*;

    fn connection(driver: &str, application: Option<&str>) -> Connection {
        let connection = Connection::new(1, "127.0.0.1:1".parse().unwrap(), String::new());
        let mut metadata = DocBuf::new();
        metadata.nest("driver", |it| {
            it.push("name", driver);
        });
        if let Some(application) = application {
            metadata.nest("application", |it| {
                it.push("name", application);
            });
        }
        connection.set_metadata(metadata.as_doc()).unwrap();
        connection
    }

    /// SQL-18.1
    #[test]
    fn our_database_is_written_by_us() {
        let others = [connection("nodejs|mongosh", Some("mongosh 2")), connection("millstreams", Some("millstream-x"))];
        for other in others {
            assert_eq!(check(&other, "millstream").unwrap_err().code, Code::Unauthorized);
            assert!(check(&other, "millstream2").is_ok());
        }
        let ours = [connection("mongo-rust-driver|sync|millstream", Some("shop")), connection("x", Some("millstream"))];
        for own in ours {
            assert!(check(&own, "millstream").is_ok());
        }
    }
}
