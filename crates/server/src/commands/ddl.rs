//! What exists: collections, databases, indexes, and their options; views are in `views.rs`.
//!
//! Shape:  `{ create: <coll>, .. }`, `{ drop: <coll> }`, `{ dropDatabase: 1 }`, `{ renameCollection: <ns>, to: <ns> }`,
//!         `{ collMod: <coll>, .. }`, `{ createIndexes: <coll>, indexes: [..] }`, `{ dropIndexes: <coll>, index }`

use bytes::Bytes;
use millstream_db::{Dropped, HideIndex, Modification, OPLOG, Source, check_collection_name, parse_images};
use millstream_query::Collation;
use millstream_value::{Code, Doc, DocBuf, Namespace, Value, kind};

use super::cursor::Layout;
use super::{Command, Database, Fields, Handler, InTransactions};
use crate::arguments::Arguments;
use crate::context::Context;
use crate::errors;
use crate::failure::{Failure, Result};
use crate::own;
use crate::reply::Reply;
use crate::transaction;
use crate::write_concern;

pub(super) const COLL_MOD: Command = Command {
    name: "collMod",
    help: "changes a collection's options, or a view",
    fields: Fields::Only(&[
        "cappedMax",
        "cappedSize",
        "changeStreamPreAndPostImages",
        "expireAfterSeconds",
        "index",
        "pipeline",
        "timeseries",
        "validationAction",
        "validationLevel",
        "validator",
        "viewOn",
    ]),
    writes: true,
    handler: Handler::Blocking(coll_mod),
    ..Command::DEFAULT
};

/// What `collMod` can change in MongoDB and not here.
const COLL_MOD_REFUSED: &[&str] = &["cappedMax", "cappedSize", "expireAfterSeconds", "timeseries", "validator"];

pub(super) const CREATE: Command = Command {
    name: "create",
    help: "makes a collection or a view",
    fields: Fields::Only(&[
        "autoIndexId",
        "capped",
        "changeStreamPreAndPostImages",
        "clusteredIndex",
        "collation",
        "encryptedFields",
        "expireAfterSeconds",
        "flags",
        "idIndex",
        "indexOptionDefaults",
        "max",
        "pipeline",
        "size",
        "storageEngine",
        "temp",
        "timeseries",
        "validationAction",
        "validationLevel",
        "validator",
        "viewOn",
    ]),
    writes: true,
    in_transactions: InTransactions::Part,
    handler: Handler::Blocking(create),
    ..Command::DEFAULT
};

pub(super) const CREATE_INDEXES: Command = Command {
    name: "createIndexes",
    help: "builds indexes",
    fields: Fields::Only(&["commitQuorum", "ignoreUnknownIndexOptions", "indexes"]),
    writes: true,
    in_transactions: InTransactions::Part,
    handler: Handler::Blocking(create_indexes),
    ..Command::DEFAULT
};

pub(super) const DROP: Command = Command {
    name: "drop",
    help: "removes a collection or a view",
    fields: Fields::Only(&[]),
    writes: true,
    handler: Handler::Blocking(drop_collection),
    ..Command::DEFAULT
};

pub(super) const DROP_DATABASE: Command = Command {
    name: "dropDatabase",
    help: "removes a database",
    fields: Fields::Only(&[]),
    writes: true,
    handler: Handler::Blocking(drop_database),
    ..Command::DEFAULT
};

pub(super) const DROP_INDEXES: Command = Command {
    name: "dropIndexes",
    aliases: &["deleteIndexes"],
    help: "removes indexes",
    fields: Fields::Only(&["index"]),
    writes: true,
    handler: Handler::Blocking(drop_indexes),
    ..Command::DEFAULT
};

pub(super) const LIST_COLLECTIONS: Command = Command {
    name: "listCollections",
    help: "lists the collections and views of a database",
    fields: Fields::Only(&["authorizedCollections", "cursor", "filter", "nameOnly"]),
    handler: Handler::Blocking(list_collections),
    ..Command::DEFAULT
};

pub(super) const LIST_DATABASES: Command = Command {
    name: "listDatabases",
    help: "lists the databases",
    database: Database::Admin,
    fields: Fields::Only(&["authorizedDatabases", "filter", "nameOnly"]),
    handler: Handler::Blocking(list_databases),
    ..Command::DEFAULT
};

pub(super) const LIST_INDEXES: Command = Command {
    name: "listIndexes",
    help: "lists the indexes of a collection",
    fields: Fields::Only(&["cursor", "includeBuildUUIDs"]),
    handler: Handler::Blocking(list_indexes),
    ..Command::DEFAULT
};

pub(super) const RENAME_COLLECTION: Command = Command {
    name: "renameCollection",
    help: "gives a collection another name",
    database: Database::Admin,
    fields: Fields::Only(&["dropTarget", "stayTemp", "to"]),
    handler: Handler::Blocking(rename),
    ..Command::DEFAULT
};

/// The collection, fit to be made or removed.
fn target(context: &Context<'_>) -> Result<Namespace> {
    let namespace = super::find::namespace(context)?;
    check_collection_name(&namespace).map_err(errors::failure)?;
    Ok(namespace)
}

fn done(context: &Context<'_>, mut document: DocBuf) -> Result<Reply> {
    document.push_some("writeConcernError", write_concern::check(context)?);
    Ok(document.into())
}

fn create(context: &Context<'_>) -> Result<Reply> {
    let arguments = context.arguments();
    let namespace = target(context)?;
    let given = |option: &str| arguments.element(option).is_some();
    match arguments.flag("capped")?.unwrap_or(false) {
        true if !given("size") => {
            return Err(Failure::new(Code::InvalidOptions, "the 'size' field is required when 'capped' is true"));
        }
        false if given("size") || given("max") => {
            let message = "the 'capped' field needs to be true when either the 'size' or 'max' fields are present";
            return Err(Failure::new(Code::InvalidOptions, message));
        }
        _ => {}
    }
    context.server.engine.db().check_free(&namespace).map_err(errors::failure)?;
    if arguments.document("collation")?.is_some_and(Doc::is_empty) {
        return Err(Failure::new(Code::BadValue, "'collation' cannot be an empty document."));
    }
    if let Some(on) = arguments.str("viewOn")? {
        if context.turn.is_some() {
            let message = "Cannot create a view in a multi-document transaction.";
            return Err(Failure::new(Code::OperationNotSupportedInTransaction, message));
        }
        super::views::create(&arguments, context, &namespace, on)?;
        return done(context, DocBuf::new());
    }
    if given("pipeline") {
        return Err(Failure::new(Code::InvalidOptions, "'pipeline' requires 'viewOn' to also be specified"));
    }
    if given("timeseries") && given("changeStreamPreAndPostImages") {
        let message = "changeStreamPreAndPostImages is not allowed on time-series collections";
        return Err(Failure::new(Code::InvalidOptions, message));
    }
    refuse_options(
        &arguments,
        &["capped", "clusteredIndex", "encryptedFields", "expireAfterSeconds", "timeseries", "validator"],
    )?;
    let collation = super::find::collation(&arguments)?.flatten();
    let id_index = Arguments::new("create.idIndex", arguments.document("idIndex")?.unwrap_or(Doc::empty()));
    if super::find::collation(&id_index)?.is_some_and(|of_index| of_index != collation) {
        return Err(Failure::new(Code::BadValue, "'idIndex' must have the same collation as the collection."));
    }
    let mut options = DocBuf::new();
    if let Some(images) = arguments.element("changeStreamPreAndPostImages") {
        let enabled = parse_images("create", &images.value()).map_err(errors::failure)?;
        if enabled && namespace.is_internal() {
            let message = format!("changeStreamPreAndPostImages is not allowed on the '{}' database", namespace.db);
            return Err(Failure::new(Code::InvalidOptions, message));
        }
        if enabled {
            options.nest("changeStreamPreAndPostImages", |o| {
                o.push("enabled", true);
            });
        }
    }
    options.push_some("collation", collation.as_ref().map(Collation::spec));
    match context.turn {
        None => {
            transaction::make_way(context, |used| *used == namespace)?;
            context.server.engine.db().create(&namespace, options).map_err(errors::failure)?;
        }
        Some(turn) => {
            transaction::check_collection(context, &namespace)?;
            transaction::change(turn, |turn| turn.create(&namespace, &options))?;
        }
    }
    done(context, DocBuf::new())
}

/// Fails if one of these options is asked for.
fn refuse_options(arguments: &Arguments<'_>, refused: &[&str]) -> Result<()> {
    match refused.iter().find(|option| arguments.element(option).is_some_and(|e| e.value().is_truthy())) {
        None => Ok(()),
        Some(option) => {
            let message = format!("the collection option '{option}' is not supported");
            Err(Failure::new(Code::NotImplemented, message))
        }
    }
}

fn coll_mod(context: &Context<'_>) -> Result<Reply> {
    let namespace = target(context)?;
    let db = context.server.engine.db();
    let arguments = context.arguments();
    if db.is_view(&namespace) {
        super::views::modify(&arguments, context, &namespace)?;
        return done(context, DocBuf::new());
    }
    if db.collection_uuid(&namespace).is_none() {
        return Err(errors::failure(millstream_db::Error::NoCollection(namespace)));
    }
    if let Some(option) = ["viewOn", "pipeline"].into_iter().find(|option| arguments.element(option).is_some()) {
        let message = format!("'{option}' option only supported on a view");
        return Err(Failure::new(Code::InvalidOptions, message));
    }
    refuse_options(&arguments, COLL_MOD_REFUSED)?;
    let mut change = Modification::default();
    if let Some(index) = arguments.document("index")? {
        change.hide = Some(hide_index(index)?);
    }
    if let Some(images) = context.arguments().element("changeStreamPreAndPostImages") {
        change.images = Some(parse_images("collMod", &images.value()).map_err(errors::failure)?);
    }
    let hidden = change.hide.as_ref().map(|hide| hide.hidden);
    transaction::make_way(context, |used| *used == namespace)?;
    let before = db.modify(&namespace, change).map_err(errors::failure)?;
    let mut document = DocBuf::new();
    if let Some((old, new)) = before.zip(hidden).filter(|(old, new)| old != new) {
        document.push("hidden_old", old).push("hidden_new", new);
    }
    done(context, document)
}

/// `index: {name | keyPattern, hidden}`.
fn hide_index(index: Doc<'_>) -> Result<HideIndex> {
    let arguments = Arguments::new("collMod.index", index);
    arguments.only(&["expireAfterSeconds", "hidden", "keyPattern", "name", "prepareUnique", "unique"])?;
    refuse_options(&arguments, &["expireAfterSeconds", "prepareUnique", "unique"])?;
    let invalid = |message| Failure::new(Code::InvalidOptions, message);
    let which = match (arguments.str("name")?, arguments.document("keyPattern")?) {
        (Some(name), None) => Value::from(name).into_owned(),
        (None, Some(key)) => Value::from(key).into_owned(),
        (Some(_), Some(_)) => return Err(invalid("Cannot specify both key pattern and name.")),
        (None, None) => return Err(invalid("Must specify either index name or key pattern.")),
    };
    let hidden = arguments.flag("hidden")?;
    let hidden = hidden.ok_or_else(|| invalid("no expireAfterSeconds, hidden, unique, or prepareUnique field"))?;
    Ok(HideIndex { index: which, hidden })
}

fn drop_collection(context: &Context<'_>) -> Result<Reply> {
    let coll = super::find::collection_name(context)?;
    if coll.is_empty() {
        let message = format!("Invalid namespace specified '{}.'", context.database);
        return Err(Failure::new(Code::InvalidNamespace, message));
    }
    // Any other name is fine: what cannot exist is not there.
    let namespace = Namespace::new(context.database, coll);
    if namespace.to_string() == OPLOG {
        return Err(Failure::new(Code::IllegalOperation, "can't drop live oplog while replicating"));
    }
    own::check_view(context, &namespace)?;
    let mut document = DocBuf::new();
    transaction::make_way(context, |used| *used == namespace)?;
    let dropped = context.server.engine.db().drop_collection(&namespace).map_err(errors::failure)?;
    if let Dropped::Collection { indexes } = dropped {
        document.push("nIndexesWas", i32::try_from(indexes).unwrap_or(i32::MAX));
    }
    if dropped != Dropped::Nothing {
        document.push("ns", namespace.to_string());
    }
    done(context, document)
}

fn drop_database(context: &Context<'_>) -> Result<Reply> {
    if matches!(context.database, "admin" | "config" | "local") {
        let message = format!("Cannot drop '{}' database while replication is active", context.database);
        return Err(Failure::new(Code::IllegalOperation, message));
    }
    transaction::make_way(context, |used| used.db == context.database)?;
    context.server.engine.db().drop_database(context.database).map_err(errors::failure)?;
    done(context, DocBuf::new())
}

fn rename(context: &Context<'_>) -> Result<Reply> {
    let arguments = context.arguments();
    let from = arguments.required("renameCollection", arguments.str("renameCollection")?)?;
    let to = arguments.required("to", arguments.str("to")?)?;
    let (from, to) = (Namespace::parse(from), Namespace::parse(to));
    if from.coll.is_empty() || to.coll.is_empty() {
        let bad = if from.coll.is_empty() { from } else { to };
        return Err(Failure::new(Code::InvalidNamespace, format!("Invalid namespace specified '{bad}'")));
    }
    for namespace in [&from, &to] {
        own::check(context.connection, &namespace.db)?;
        own::check_view(context, namespace)?;
    }
    let replace = match arguments.element("dropTarget") {
        // Between servers the field is the UUID of what to drop.
        Some(e) => e.kind() == kind::BINARY || e.value().is_truthy(),
        None => false,
    };
    transaction::make_way(context, |used| *used == from || *used == to)?;
    context.server.engine.db().rename(&from, &to, replace).map_err(errors::failure)?;
    done(context, DocBuf::new())
}

fn create_indexes(context: &Context<'_>) -> Result<Reply> {
    let arguments = context.arguments();
    let namespace = target(context)?;
    let specs = arguments.required("indexes", arguments.array("indexes")?)?;
    let mut indexes = Vec::new();
    for (position, element) in specs.elements().enumerate() {
        let spec = element.as_doc().ok_or_else(|| {
            crate::arguments::wrong_type(&format!("createIndexes.indexes.{position}"), element.kind(), "object")
        })?;
        indexes.push(spec.to_buf());
    }
    if indexes.is_empty() {
        return Err(Failure::new(Code::BadValue, "Must specify at least one index to create"));
    }
    let created = match context.turn {
        None => {
            let db = context.server.engine.db();
            if !db.has_indexes(&namespace, &indexes) {
                transaction::make_way(context, |used| *used == namespace)?;
            }
            db.create_indexes(&namespace, &indexes).map_err(errors::failure)?
        }
        Some(turn) => {
            transaction::check_collection(context, &namespace)?;
            transaction::change(turn, |turn| turn.create_indexes(&namespace, &indexes))?
        }
    };
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let mut document = DocBuf::new();
    document.push("numIndexesBefore", count(created.before)).push("numIndexesAfter", count(created.after));
    if created.before == created.after {
        document.push("note", "all indexes already exist");
    } else {
        document.push("createdCollectionAutomatically", created.created_collection);
        // In a transaction nothing is built that others would have to vote for.
        document.push_some("commitQuorum", context.turn.is_none().then_some("votingMembers"));
    }
    done(context, document)
}

fn drop_indexes(context: &Context<'_>) -> Result<Reply> {
    let arguments = context.arguments();
    let namespace = target(context)?;
    let which = arguments.required("index", arguments.element("index"))?.value().into_owned();
    let all = which.as_str() == Some("*");
    transaction::make_way(context, |used| *used == namespace)?;
    let before = context.server.engine.db().drop_indexes(&namespace, which).map_err(errors::failure)?;
    let mut document = DocBuf::new();
    document.push("nIndexesWas", i32::try_from(before).unwrap_or(i32::MAX));
    if all {
        document.push("msg", "non-_id indexes dropped for collection");
    }
    done(context, document)
}

fn list_collections(context: &Context<'_>) -> Result<Reply> {
    let arguments = context.arguments();
    let name_only = arguments.flag("nameOnly")?.unwrap_or(false);
    let mut rows = Vec::new();
    for info in context.server.engine.db().collections(context.database) {
        let mut row = DocBuf::new();
        row.push("name", &info.namespace.coll).push("type", if info.is_view { "view" } else { "collection" });
        if !name_only {
            row.push("options", &info.options);
            row.nest("info", |i| {
                i.push("readOnly", info.is_view);
                if let Some(uuid) = info.uuid {
                    i.push("uuid", Value::Binary(4, uuid.to_vec().into()));
                }
            });
            row.push_some("idIndex", info.id_index.clone());
        }
        rows.push(row);
    }
    let rows = filtered(context, rows)?;
    let mut document = DocBuf::new();
    let source = Source::documents(Box::new(rows.into_iter().map(Ok)));
    let namespace = format!("{}.$cmd.listCollections", context.database);
    super::find::open_cursor(context, source, namespace, Layout::Listing, &mut document)?;
    Ok(document.into())
}

fn list_databases(context: &Context<'_>) -> Result<Reply> {
    let name_only = context.arguments().flag("nameOnly")?.unwrap_or(false);
    let mut rows = Vec::new();
    for info in context.server.engine.db().databases().map_err(errors::failure)? {
        let bytes = i64::try_from(info.bytes).unwrap_or(i64::MAX);
        let mut row = DocBuf::new();
        row.push("name", &info.name);
        if !name_only {
            row.push("sizeOnDisk", bytes).push("empty", false);
        }
        rows.push(row);
    }
    let rows = filtered(context, rows)?;
    let mut document = DocBuf::new();
    document.array("databases", |list| {
        for row in &rows {
            list.push_document(row);
        }
    });
    if !name_only {
        let size = |row: &Bytes| Doc::new(row).get("sizeOnDisk").and_then(|size| size.as_integer());
        let total: i64 = rows.iter().filter_map(size).sum();
        document.push("totalSize", total).push("totalSizeMb", total / (1024 * 1024));
    }
    Ok(document.into())
}

/// The rows that pass the command's `filter`.
fn filtered(context: &Context<'_>, rows: Vec<DocBuf>) -> Result<Vec<Bytes>> {
    let scope = super::find::scope(context, None)?;
    let filter = context.arguments().document("filter")?.unwrap_or(Doc::empty());
    let filter = millstream_query::predicate::Predicate::parse(filter, &scope).map_err(errors::query)?;
    let mut out = Vec::new();
    for row in rows {
        if filter.matches(row.as_doc()).map_err(errors::query)? {
            out.push(Bytes::from(row.into_bytes()));
        }
    }
    Ok(out)
}

fn list_indexes(context: &Context<'_>) -> Result<Reply> {
    let namespace = super::find::namespace(context)?;
    let indexes = context.server.engine.db().list_indexes(&namespace).map_err(errors::failure)?;
    let rows = indexes.into_iter().map(|spec| Ok(Bytes::from(spec.into_bytes())));
    let mut document = DocBuf::new();
    super::find::open_cursor(
        context,
        Source::documents(Box::new(rows)),
        namespace.to_string(),
        Layout::Listing,
        &mut document,
    )?;
    Ok(document.into())
}
