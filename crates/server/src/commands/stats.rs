//! Sizes: `collStats`, the stage `$collStats`, and `dbStats`, as far as the tools that show them need.
//!
//! Shape:  `{ collStats: <coll>, [scale] }`, `{ dbStats: 1, [scale] }`
//! Result: documents and their bytes; what they and the indexes take on disk is not known

use std::sync::Arc;

use millstream_db::{Find, OPLOG, Size};
use millstream_query::predicate::Predicate;
use millstream_value::{Code, Doc, DocBuf, Namespace, Value};

use super::{Command, Handler};
use crate::arguments::Arguments;
use crate::context::Context;
use crate::errors;
use crate::failure::{Failure, Result};
use crate::reply::Reply;
use crate::server::now_ms;

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

/// The document of a `$collStats` stage.
pub(super) fn stage(context: &Context<'_>, namespace: &Namespace, options: Doc<'_>) -> Result<DocBuf> {
    let mut document = DocBuf::new();
    document.push("ns", namespace.to_string());
    document.push("host", context.connection.address.as_str()).push("localTime", Value::Date(now_ms()));
    if options.has("storageStats") || options.has("count") {
        refuse_view(context, namespace)?;
    }
    let Some(storage) = options.element("storageStats") else {
        if options.has("count") {
            document.push("count", measure(context, namespace)?.0);
        }
        return Ok(document);
    };
    let Some(storage) = storage.as_doc() else {
        let found = millstream_value::type_name(storage.kind());
        let message = format!("storageStats argument must be an object, but got {found}");
        return Err(Failure::new(Code::Location(40_279), message));
    };
    let mut sizes = DocBuf::new();
    push_sizes(context, namespace, scale(&Arguments::new("$collStats.storageStats", storage))?, &mut sizes)?;
    if let (true, Some(count)) = (options.has("count"), sizes.as_doc().element("count")) {
        document.push("count", count.value());
    }
    document.push("storageStats", sizes);
    Ok(document)
}

fn coll_stats(context: &Context<'_>) -> Result<Reply> {
    let namespace = super::find::namespace(context)?;
    refuse_view(context, &namespace)?;
    let mut document = DocBuf::new();
    document.push("ns", namespace.to_string());
    push_sizes(context, &namespace, scale(&context.arguments())?, &mut document)?;
    Ok(document.into())
}

/// A view has no size of its own.
fn refuse_view(context: &Context<'_>, namespace: &Namespace) -> Result<()> {
    match context.server.engine.db().is_view(namespace) {
        true => Err(errors::failure(millstream_db::Error::IsView(namespace.clone()))),
        false => Ok(()),
    }
}

fn db_stats(context: &Context<'_>) -> Result<Reply> {
    let scale = scale(&context.arguments())?;
    let db = context.server.engine.db();
    let (views, collections): (Vec<_>, Vec<_>) = db.collections(context.database).into_iter().partition(|c| c.is_view);
    let (mut objects, mut bytes, mut indexes) = (0_i64, 0_i64, 0_usize);
    for info in collections.iter().filter(|c| c.uuid.is_some()) {
        let (count, size) = measure(context, &info.namespace)?;
        objects = objects.saturating_add(count);
        bytes = bytes.saturating_add(size);
        indexes += db.list_indexes(&info.namespace).map_or(0, |list| list.len());
    }
    let mut document = DocBuf::new();
    document.push("db", context.database).push("collections", i32::try_from(collections.len()).unwrap_or(i32::MAX));
    document
        .push("views", i32::try_from(views.len()).unwrap_or(i32::MAX))
        .push("objects", objects)
        .push("avgObjSize", average(bytes, objects));
    document.push("dataSize", bytes / scale);
    document.push("indexes", i32::try_from(indexes).unwrap_or(i32::MAX)).push("scaleFactor", scale);
    Ok(document.into())
}

fn scale(arguments: &Arguments<'_>) -> Result<i64> {
    match arguments.i64("scale")? {
        None => Ok(1),
        Some(scale) if scale > 0 => Ok(scale),
        Some(_) => Err(Failure::new(Code::BadValue, "scale has to be > 0")),
    }
}

fn push_sizes(context: &Context<'_>, namespace: &Namespace, scale: i64, document: &mut DocBuf) -> Result<()> {
    let db = context.server.engine.db();
    if namespace.to_string() == OPLOG {
        let options = db.collections("local").into_iter().find(|c| c.namespace == *namespace).map(|c| c.options);
        let most = options.and_then(|o| o.as_doc().get("size").and_then(|s| s.as_integer())).unwrap_or(0);
        let window = db.window();
        let [bytes, images] = [window.bytes, window.image_bytes].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        document.push("size", bytes / scale).push("storageSize", bytes / scale).push("capped", true);
        document.push("max", -1).push("maxSize", most / scale).push("nindexes", 0).push("scaleFactor", scale);
        // Ours alone: in MongoDB the images are outside of the log and of its limit.
        document.push("preImagesSize", images / scale);
        return Ok(());
    }
    let (count, bytes) = measure(context, namespace)?;
    let indexes = db.list_indexes(namespace).map_or(0, |list| list.len());
    document.push("size", bytes / scale).push("count", count).push("avgObjSize", average(bytes, count));
    document.push("storageSize", bytes / scale).push("capped", false);
    document.push("nindexes", i32::try_from(indexes).unwrap_or(i32::MAX));
    document.push("totalSize", bytes / scale).push("scaleFactor", scale);
    Ok(())
}

/// The number of documents, and their bytes.
fn measure(context: &Context<'_>, namespace: &Namespace) -> Result<(i64, i64)> {
    if let Some(Size { documents, bytes }) = context.server.engine.db().size(namespace).map_err(errors::failure)? {
        return Ok((documents, bytes));
    }
    let all = Find::all(Arc::new(Predicate::always_true()));
    let (mut count, mut bytes) = (0_i64, 0_i64);
    for document in context.server.engine.db().now().find(namespace, all).map_err(errors::failure)? {
        count += 1;
        bytes = bytes.saturating_add(i64::try_from(document.map_err(errors::failure)?.len()).unwrap_or(i64::MAX));
    }
    Ok((count, bytes))
}

fn average(bytes: i64, count: i64) -> i64 {
    bytes.checked_div(count).unwrap_or(0)
}
