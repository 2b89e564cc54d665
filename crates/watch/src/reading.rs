//! The documents that are there, as events: for servers that cannot begin a stream with them.
//!
//! Each is an `insert` with `snapshot: true`, in the order of the collections' names and, within one, of `_id`. The server
//! makes them, by an aggregation that ends with the watch's own stages, so that these see them as they see any event. Their
//! tokens hold the position from which the stream goes on, and the place among the documents:
//! `{ <the fields of the stream's token>, snapshot: { database, collection, after: <_id>, [compare: true] } }`.
//!
//! The stream's position is older than any of the documents. So nothing is missed; what changed while they were read is
//! seen in its newer state, and then once more as a change.

use std::collections::VecDeque;

use bson::{Bson, DateTime, RawDocument, RawDocumentBuf, Timestamp, doc};
use mongodb::Cursor;

use crate::backoff::Tries;
use crate::problem::is_passing;
use crate::pulse::Pulse;
use crate::{Backoff, Connection, Error, Event, Result, Scope, Source, Token};

/// The field of a token that holds a place among documents.
const PLACE: &str = "snapshot";

/// A place among the documents.
pub(crate) struct Place {
    /// Where the stream goes on.
    pub(crate) from: Token,
    /// Whether only differences are delivered.
    pub(crate) compare: bool,
    namespace: Namespace,
    after: Bson,
}

/// A collection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Namespace {
    pub(crate) database: String,
    pub(crate) collection: String,
}

/// What is read of a collection.
pub(crate) enum Part {
    All,
    After(Bson),
    /// Those with these values of `_id`, and of them nothing but their tokens.
    Only(Vec<Bson>),
}

impl Place {
    /// The place that a token holds, if it is one of these.
    pub(crate) fn of(token: &Token) -> Result<Option<Self>> {
        let mut fields = token.to_document()?;
        let Some(Bson::Document(place)) = fields.remove(PLACE) else { return Ok(None) };
        let text = |name: &str| place.get_str(name).map(str::to_owned).map_err(bad);
        Ok(Some(Self {
            from: Token::from_reply(&fields)?,
            compare: place.get_bool("compare").unwrap_or(false),
            namespace: Namespace { database: text("database")?, collection: text("collection")? },
            after: place.get("after").cloned().unwrap_or(Bson::MinKey),
        }))
    }

    /// `{ _id: … }` of the document that an event was made of.
    pub(crate) fn id_of(event: &RawDocument) -> Result<RawDocumentBuf> {
        let place = event.get_document("_id").and_then(|token| token.get_document(PLACE)).map_err(bad)?;
        let id = place.get("after").map_err(bad)?.ok_or(Error::NoToken)?;
        let mut key = RawDocumentBuf::new();
        key.append(bson::raw::cstr!("_id"), id);
        Ok(key)
    }
}

fn bad(reason: impl ToString) -> Error {
    Error::BadToken { reason: reason.to_string() }
}

/// Reads the documents of a source's collections.
pub(crate) struct Reading {
    connection: Connection,
    source: Source,
    backoff: Backoff,
    tries: Tries,
    from: Token,
    compare: bool,
    /// The collections that are not read to their ends; None before they are known.
    left: Option<VecDeque<Namespace>>,
    /// The last document that was handed out.
    last: Option<(Namespace, Bson)>,
    cursor: Option<Cursor<RawDocumentBuf>>,
}

impl Reading {
    /// From the first document on; the stream goes on from there.
    pub(crate) fn new(connection: &Connection, source: &Source, backoff: &Backoff, from: Token, compare: bool) -> Self {
        Self {
            connection: connection.clone(),
            source: source.clone(),
            backoff: backoff.clone(),
            tries: backoff.tries(),
            from,
            compare,
            left: None,
            last: None,
            cursor: None,
        }
    }

    /// From a place on.
    pub(crate) fn resumed(connection: &Connection, source: &Source, backoff: &Backoff, place: Place) -> Self {
        let last = Some((place.namespace, place.after));
        Self { last, ..Self::new(connection, source, backoff, place.from, place.compare) }
    }

    /// To be called after the future of [`Reading::next`] was dropped: nothing that was not handed out is lost.
    pub(crate) fn restart(&mut self) {
        self.cursor = None;
    }

    /// The next document; None behind the last one.
    pub(crate) async fn next(&mut self, pulse: &Pulse) -> Result<Option<Event>> {
        loop {
            match self.try_next().await {
                Ok(None) => return Ok(None),
                Ok(Some(raw)) => {
                    pulse.heard();
                    self.tries = self.backoff.tries();
                    let event = Event::new(raw)?;
                    let place = Place::of(event.token())?.ok_or(Error::NoToken)?;
                    self.last = Some((place.namespace, place.after));
                    return Ok(Some(event));
                }
                Err(error) => {
                    self.cursor = None;
                    self.wait(error, pulse).await?;
                }
            }
        }
    }

    /// Waits until it is time to try again; an error if that makes no sense.
    pub(crate) async fn wait(&mut self, error: mongodb::error::Error, pulse: &Pulse) -> Result<()> {
        pulse.lost();
        let passes = is_passing(&error);
        let refused = self.connection.explain(error, &self.source.scope.to_string());
        if !passes || !self.tries.again("reading the documents", &refused).await {
            return Err(refused);
        }
        pulse.back();
        Ok(())
    }

    async fn try_next(&mut self) -> mongodb::error::Result<Option<RawDocumentBuf>> {
        if self.left.is_none() {
            let mut all = self.collections().await?;
            if let Some((namespace, _)) = &self.last {
                all.retain(|one| one >= namespace);
            }
            self.left = Some(all.into());
        }
        loop {
            let Some(namespace) = self.left.as_ref().and_then(VecDeque::front).cloned() else { return Ok(None) };
            if self.cursor.is_none() {
                let part = match &self.last {
                    Some((of, after)) if *of == namespace => Part::After(after.clone()),
                    _ => Part::All,
                };
                self.cursor = Some(self.open(&namespace, part).await?);
            }
            if let Some(cursor) = &mut self.cursor
                && cursor.advance().await?
            {
                return Ok(Some(cursor.current().to_owned()));
            }
            self.cursor = None;
            if let Some(left) = &mut self.left {
                left.pop_front();
            }
        }
    }

    /// The documents of one collection, as events.
    pub(crate) async fn open(
        &mut self,
        namespace: &Namespace,
        part: Part,
    ) -> mongodb::error::Result<Cursor<RawDocumentBuf>> {
        let Namespace { database, collection } = namespace;
        let mut stages = Vec::new();
        let only_tokens = matches!(part, Part::Only(_));
        match part {
            Part::All => {}
            // The order of all types, which a plain `$gt` does not leave its own.
            Part::After(id) => stages.push(doc! {"$match": {"$expr": {"$gt": ["$_id", {"$literal": id}]}}}),
            Part::Only(ids) => stages.push(doc! {"$match": {"_id": {"$in": ids}}}),
        }
        let mut place = doc! {
            "database": {"$literal": database},
            "collection": {"$literal": collection},
            "after": "$_id",
        };
        if self.compare {
            place.insert("compare", doc! {"$literal": true});
        }
        let from = self.from.to_document().map_err(mongodb::error::Error::custom)?;
        stages.extend([
            doc! {"$sort": {"_id": 1}},
            doc! {"$replaceWith": {
                "_id": {"$mergeObjects": [{"$literal": from}, {PLACE: place}]},
                "operationType": {"$literal": "insert"},
                "clusterTime": {"$literal": self.time()},
                "wallTime": {"$literal": DateTime::now()},
                "fullDocument": "$$ROOT",
                "ns": {"$literal": {"db": database, "coll": collection}},
                "documentKey": {"_id": "$_id"},
                "snapshot": {"$literal": true},
            }},
        ]);
        stages.extend(self.source.pipeline.iter().cloned());
        if only_tokens {
            stages.push(doc! {"$project": {"_id": 1}});
        }
        let collection = self.connection.client().database(database).collection::<RawDocumentBuf>(collection);
        collection.aggregate(stages).with_type::<RawDocumentBuf>().await
    }

    /// The time of the position from which the stream goes on.
    pub(crate) fn time(&self) -> Timestamp {
        self.from.time().unwrap_or(Timestamp { time: 0, increment: 0 })
    }

    /// A token for what has no document any more.
    pub(crate) fn token_of(&self, namespace: &Namespace, id: Bson) -> Result<Token> {
        let mut fields = self.from.to_document()?;
        let Namespace { database, collection } = namespace;
        let place = doc! {"database": database, "collection": collection, "after": id, "compare": true};
        fields.insert(PLACE, place);
        Token::from_reply(&fields)
    }

    /// What is watched, in the order of names.
    async fn collections(&mut self) -> mongodb::error::Result<Vec<Namespace>> {
        let client = self.connection.client();
        let databases = match &self.source.scope {
            Scope::Collection { database, collection } => {
                return Ok(vec![Namespace { database: database.clone(), collection: collection.clone() }]);
            }
            Scope::Database(database) => vec![database.clone()],
            Scope::Cluster => {
                let mut names = client.list_database_names().await?;
                names.retain(|name| !matches!(name.as_str(), "admin" | "config" | "local"));
                names
            }
        };
        let named = named(&self.source);
        let mut all = Vec::new();
        for database in databases {
            let names = client.database(&database).list_collection_names().filter(doc! {"type": "collection"}).await?;
            let names = names.into_iter().filter(|name| !name.starts_with("system."));
            let names = names.filter(|name| named.as_ref().is_none_or(|named| named.contains(name)));
            let left_out = |name: &String| self.source.options.leave_out.contains(&(database.clone(), name.clone()));
            let names = names.filter(|name| !left_out(name));
            all.extend(names.map(|collection| Namespace { database: database.clone(), collection }));
        }
        all.sort_unstable();
        Ok(all)
    }
}

/// The collections that the first stage names, if it names some: the others need not be read.
pub(crate) fn named(source: &Source) -> Option<Vec<String>> {
    let first = source.pipeline.first()?.get_document("$match").ok()?;
    let names = first.get_document("ns.coll").ok()?.get_array("$in").ok()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_the_place_and_the_position_of_the_stream() {
        let token = Token::parse(
            r#"{"_data": "82AB", "snapshot": {"database": "shop", "collection": "a.b", "after": {"k": 1}, "compare": true}}"#,
        );
        let place = Place::of(&token.unwrap()).unwrap().unwrap();
        assert_eq!(place.from, Token::parse("82AB").unwrap());
        assert_eq!((place.namespace.collection.as_str(), place.compare), ("a.b", true));
        assert!(Place::of(&Token::parse("82AB").unwrap()).unwrap().is_none());
    }

    #[test]
    fn only_the_collections_that_are_named_are_read() {
        let mut source = Source::new(Scope::Database("shop".into()));
        assert_eq!(named(&source), None);
        source.pipeline = vec![doc! {"$match": {"ns.coll": {"$in": ["a", "b"]}}}];
        assert_eq!(named(&source), Some(vec!["a".to_owned(), "b".to_owned()]));
    }
}
