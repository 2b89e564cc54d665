//! The beginning of a stream that first delivers the documents that are there.
//!
//! Drivers do not know the option, but they need not: the stream is opened with a command, which returns nothing but its
//! position, and the token of that is all that a driver needs to read and to resume it.

use bson::{Bson, Document, doc};

use crate::{Connection, Error, Result, Scope, Source, Token};

/// The place before the first document.
pub(crate) async fn begin(connection: &Connection, source: &Source) -> Result<Token> {
    let (database, collection, all) = match &source.scope {
        Scope::Collection { database, collection } => (database.as_str(), Some(collection.as_str()), false),
        Scope::Database(database) => (database.as_str(), None, false),
        Scope::Cluster => ("admin", None, true),
    };
    let explain = |error| connection.explain(error, &source.scope.to_string());
    let mut options = doc! {"millstream": {"snapshot": true}};
    if all {
        options.insert("allChangesForCluster", true);
    }
    let open = doc! {
        "aggregate": collection.map_or(Bson::Int32(1), Bson::from),
        "pipeline": [{"$changeStream": options}],
        "cursor": {"batchSize": 0},
    };
    let database = connection.client().database(database);
    let reply = database.run_command(open).await.map_err(explain)?;
    let cursor = reply.get_document("cursor").map_err(|_| Error::NoToken)?;
    let token = Token::from_reply(cursor.get_document("postBatchResumeToken").map_err(|_| Error::NoToken)?)?;
    let kill: Document = doc! {
        "killCursors": collection.unwrap_or("$cmd.aggregate"),
        "cursors": [cursor.get("id").cloned().unwrap_or_default()],
    };
    database.run_command(kill).await.map_err(explain)?;
    Ok(token)
}
