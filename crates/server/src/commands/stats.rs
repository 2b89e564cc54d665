//! Sizes: `collStats` and `dbStats`, as far as the tools that show them need.
//!
//! Shape:  `{ collStats: <coll>, [scale] }`, `{ dbStats: 1, [scale] }`
//! Result: counts are counted when asked for; sizes of single collections are not kept, only the log's

use std::sync::Arc;

use millstream_db::{Find, OPLOG};
use millstream_query::predicate::Predicate;
use millstream_value::{Code, DocBuf, Namespace};

use super::{Command, Handler};
use crate::context::Context;
use crate::errors;
use crate::failure::{Failure, Result};
use crate::reply::Reply;

pub(super) const COLL_STATS: Command = Command {
    name: "collStats",
    aliases: &["collstats"],
    help: "tells the size of a collection",
    handler: Handler::Blocking(coll_stats),
    ..Command::DEFAULT
};

pub(super) const DB_STATS: Command = Command {
    name: "dbStats",
    aliases: &["dbstats"],
    help: "tells the size of a database",
    handler: Handler::Blocking(db_stats),
    ..Command::DEFAULT
};

fn scale(context: &Context<'_>) -> Result<i64> {
    match context.arguments().i64("scale")? {
        None => Ok(1),
        Some(scale) if scale > 0 => Ok(scale),
        Some(_) => Err(Failure::new(Code::BadValue, "scale has to be > 0")),
    }
}

fn count(context: &Context<'_>, namespace: &Namespace) -> Result<i64> {
    let all = Find {
        filter: Arc::new(Predicate::always_true()),
        sort: None,
        projection: None,
        skip: 0,
        limit: None,
        hint: None,
    };
    let count = context.server.engine.db().count(namespace, &all).map_err(errors::failure)?;
    Ok(i64::try_from(count).unwrap_or(i64::MAX))
}

fn coll_stats(context: &Context<'_>) -> Result<Reply> {
    let namespace = super::find::namespace(context)?;
    let scale = scale(context)?;
    let db = context.server.engine.db();
    let mut document = DocBuf::new();
    document.push("ns", namespace.to_string());
    if namespace.to_string() == OPLOG {
        let window = db.window();
        let options = db.collections("local").into_iter().find(|c| c.namespace == namespace).map(|c| c.options);
        let most = options.and_then(|o| o.as_doc().get("size").and_then(|s| s.as_integer())).unwrap_or(0);
        let bytes = i64::try_from(window.bytes).unwrap_or(i64::MAX);
        document.push("size", bytes / scale).push("storageSize", bytes / scale).push("capped", true);
        document.push("max", -1).push("maxSize", most / scale).push("nindexes", 0);
        return Ok(document.into());
    }
    document.push("count", count(context, &namespace)?);
    let indexes = db.list_indexes(&namespace).map_or(0, |list| list.len());
    document.push("capped", false).push("nindexes", i32::try_from(indexes).unwrap_or(i32::MAX));
    document.push("scaleFactor", scale);
    Ok(document.into())
}

fn db_stats(context: &Context<'_>) -> Result<Reply> {
    let scale = scale(context)?;
    let db = context.server.engine.db();
    let collections = db.collections(context.database);
    let (mut objects, mut indexes) = (0_i64, 0_usize);
    for info in collections.iter().filter(|c| c.uuid.is_some()) {
        objects = objects.saturating_add(count(context, &info.namespace)?);
        indexes += db.list_indexes(&info.namespace).map_or(0, |list| list.len());
    }
    let mut document = DocBuf::new();
    document.push("db", context.database).push("collections", i32::try_from(collections.len()).unwrap_or(i32::MAX));
    document.push("views", 0).push("objects", objects);
    document.push("indexes", i32::try_from(indexes).unwrap_or(i32::MAX)).push("scaleFactor", scale);
    Ok(document.into())
}
