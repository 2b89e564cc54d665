//! Positions in a collection, one document a watcher.
//!
//! Shape: `{ _id: <watcher>, resumeToken: <token>, updatedAt: <Date>, servers, scope, pipeline }`

use bson::raw::cstr;
use bson::{DateTime, RawArrayBuf, RawDocument, RawDocumentBuf, doc, rawdoc};
use mongodb::Collection;

use super::{CheckpointStore, SourceId};
use crate::{Backoff, Connection, Error, Result, Token};

/// The collection that positions are kept in unless another one is named.
pub const TOKENS: &str = "change_stream_tokens";

/// The position of one watcher in a collection.
#[derive(Debug, Clone)]
pub struct CollectionCheckpoint {
    connection: Connection,
    collection: Collection<RawDocumentBuf>,
    watcher: String,
    source: SourceId,
    backoff: Backoff,
}

impl CollectionCheckpoint {
    /// Of a watcher, in a collection that is made when the first position is saved. The database may be on other
    /// servers than what is watched.
    #[must_use]
    pub fn new(connection: &Connection, database: &str, collection: &str, watcher: &str, source: SourceId) -> Self {
        let collection = connection.client().database(database).collection(collection);
        let (connection, backoff) = (connection.clone(), Backoff::default());
        Self { connection, collection, watcher: watcher.to_owned(), source, backoff }
    }

    /// How to come back after the servers were away.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// What a document is the position of.
    pub(crate) fn source_of(saved: &RawDocument) -> SourceId {
        let texts = |name: &str| -> Vec<String> {
            let texts = saved.get_array(name).ok().into_iter().flatten();
            texts.filter_map(|text| Some(text.ok()?.as_str()?.to_owned())).collect()
        };
        let scope = saved.get_str("scope").unwrap_or_default().to_owned();
        SourceId { servers: texts("servers"), scope, pipeline: texts("pipeline") }
    }

    /// The position in a document. None: a watcher has said that it is there, and knew no position yet.
    pub(crate) fn token_of(saved: &RawDocument) -> Option<Token> {
        saved.get_document("resumeToken").ok().map(Token::from_raw)
    }

    fn name(&self) -> String {
        format!("{} in {}", self.watcher, self.collection.namespace())
    }

    fn explain(&self, error: mongodb::error::Error) -> Error {
        self.connection.explain(error, &format!("the position of {}", self.name()))
    }
}

impl CheckpointStore for CollectionCheckpoint {
    async fn load(&mut self) -> Result<Option<Token>> {
        let found = self.collection.find_one(doc! {"_id": self.watcher.as_str()}).await;
        let Some(saved) = found.map_err(|error| self.explain(error))? else { return Ok(None) };
        self.source.check(&Self::source_of(&saved), &self.name())?;
        Ok(Self::token_of(&saved))
    }

    async fn save(&mut self, token: &Token) -> Result<()> {
        let texts = |texts: &[String]| -> RawArrayBuf { texts.iter().map(String::as_str).collect() };
        let mut row = rawdoc! {"_id": self.watcher.as_str()};
        row.append(cstr!("resumeToken"), token.as_raw().to_owned());
        row.append(cstr!("updatedAt"), DateTime::now());
        row.append(cstr!("servers"), texts(&self.source.servers));
        row.append(cstr!("scope"), self.source.scope.as_str());
        row.append(cstr!("pipeline"), texts(&self.source.pipeline));
        let which = doc! {"_id": self.watcher.as_str()};
        let mut tries = self.backoff.tries();
        loop {
            let saved = self.collection.replace_one(which.clone(), &row).upsert(true).await;
            match saved.map(drop).map_err(|error| self.explain(error)) {
                Err(error) if error.is_passing() && tries.again("saving a position", &error).await => {}
                other => return other,
            }
        }
    }

    /// A save that was acknowledged is as durable as the collection's writes are.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
