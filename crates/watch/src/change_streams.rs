//! The beginning of every watch: a connection, and what to watch on it.

use bson::{Bson, Document, doc};

use crate::{
    BeforeMode, CollectionCheckpoint, Condition, Connection, FullDocumentMode, Result, Scope, Source, SourceId, TOKENS,
    Watch,
};

/// The change streams of some servers.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use millstream_watch::{ChangeStreams, Event, eq};
///
/// let streams = ChangeStreams::connect("mongodb://127.0.0.1:27017/?replicaSet=rs0").await?;
/// let handle = streams
///     .watch_collection("shop", "orders")
///     .operations(["insert", "update"])
///     .where_field("status", eq("paid"))
///     .keep_position("shop", "mailer")
///     .for_each(|event: Event| async move {
///         println!("{} {}", event.operation(), event.namespace());
///         Ok::<_, std::io::Error>(())
///     })
///     .await?;
/// handle.join().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ChangeStreams {
    connection: Connection,
}

impl ChangeStreams {
    /// Connects, and makes sure that somebody answers.
    ///
    /// # Errors
    /// A URI that cannot be used; nobody there; no rights.
    pub async fn connect(uri: &str) -> Result<Self> {
        let connection = Connection::new(uri).await?;
        connection.ping().await?;
        Ok(Self { connection })
    }

    /// On a connection that is there.
    #[must_use]
    pub fn on(connection: &Connection) -> Self {
        Self { connection: connection.clone() }
    }

    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Watches one collection.
    #[must_use]
    pub fn watch_collection(&self, database: &str, collection: &str) -> Watch {
        self.watch(Scope::Collection { database: database.to_owned(), collection: collection.to_owned() })
    }

    /// Watches several collections of a database, in one order.
    #[must_use]
    pub fn watch_collections<'n>(&self, database: &str, collections: impl IntoIterator<Item = &'n str>) -> Watch {
        let names: Vec<&str> = collections.into_iter().collect();
        self.watch(Scope::Database(database.to_owned())).stage(doc! {"$match": {"ns.coll": {"$in": names}}})
    }

    /// Watches all collections of a database.
    #[must_use]
    pub fn watch_database(&self, database: &str) -> Watch {
        self.watch(Scope::Database(database.to_owned()))
    }

    /// Watches everything.
    #[must_use]
    pub fn watch_cluster(&self) -> Watch {
        self.watch(Scope::Cluster)
    }

    fn watch(&self, scope: Scope) -> Watch {
        Watch::new(&self.connection, Source::new(scope))
    }
}

/// What is watched.
impl Watch {
    /// Only these kinds of changes.
    #[must_use]
    pub fn operations<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.source_mut().options.operations = names.into_iter().map(Into::into).collect();
        self
    }

    /// Only events whose `fullDocument` has such a field. Updates have that document only with a [`FullDocumentMode`],
    /// deletions never.
    #[must_use]
    pub fn where_field(mut self, path: &str, condition: Condition) -> Self {
        let source = self.source_mut();
        *source = std::mem::replace(source, Source::new(Scope::Cluster)).where_field(path, condition);
        self
    }

    /// Only events for which an expression is true.
    #[must_use]
    pub fn where_expr(self, expression: impl Into<Bson>) -> Self {
        self.stage(doc! {"$match": {"$expr": expression.into()}})
    }

    /// Only these fields of events; `_id` stays.
    #[must_use]
    pub fn project(self, fields: Document) -> Self {
        self.stage(doc! {"$project": fields})
    }

    /// One more stage that the server applies to every event.
    #[must_use]
    pub fn stage(mut self, stage: Document) -> Self {
        self.source_mut().pipeline.push(stage);
        self
    }

    /// What an update shows of the document after it.
    #[must_use]
    pub fn full_document(mut self, mode: FullDocumentMode) -> Self {
        self.source_mut().options.full_document = mode;
        self
    }

    /// What an event shows of the document before it.
    #[must_use]
    pub fn before(mut self, mode: BeforeMode) -> Self {
        self.source_mut().options.before = mode;
        self
    }

    /// Events in one reply, at most.
    #[must_use]
    pub fn batch_size(mut self, events: u32) -> Self {
        self.source_mut().options.batch_size = Some(events);
        self
    }

    /// Takes events that are larger than a reply in fragments, and makes them whole again (MongoDB 7.0 and later). Without
    /// it such an event ends the watch.
    #[must_use]
    pub fn split_large(mut self, split: bool) -> Self {
        self.source_mut().options.split_large = split;
        self
    }

    /// Keeps the position under the watcher's name in `change_stream_tokens` of a database on the same servers. To be
    /// called last: a position belongs to all that was said before about what is watched.
    #[must_use]
    pub fn keep_position(self, database: &str, watcher: &str) -> Self {
        let source = SourceId::new(self.connection(), self.source());
        let store = CollectionCheckpoint::new(self.connection(), database, TOKENS, watcher, source);
        let mut watch = self.checkpoint(store);
        watch.kept_in = Some((database.to_owned(), watcher.to_owned()));
        watch.name.get_or_insert_with(|| watcher.to_owned());
        watch
    }
}
