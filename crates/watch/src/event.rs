//! One change event, as the bytes that came.

use std::sync::Arc;

use bson::{DateTime, RawBsonRef, RawDocument, RawDocumentBuf, Timestamp};

use crate::{Result, Token};

/// A change event. It stays raw so that nothing of it is lost or reordered; the accessors look
/// fields up when asked. Clones share the bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Event(Arc<Inner>);

#[derive(Debug, PartialEq)]
struct Inner {
    raw: RawDocumentBuf,
    token: Token,
}

impl Event {
    /// Takes the event as it came; fails if it has no `_id`.
    pub fn new(raw: RawDocumentBuf) -> Result<Self> {
        let token = Token::of_event(&raw)?;
        Ok(Self(Arc::new(Inner { raw, token })))
    }

    /// The whole event.
    pub fn raw(&self) -> &RawDocument {
        &self.0.raw
    }

    /// The position just after this event.
    pub fn token(&self) -> &Token {
        &self.0.token
    }

    /// `insert`, `update`, …; `?` if a pipeline took the field away.
    pub fn operation(&self) -> &str {
        self.raw().get_str("operationType").unwrap_or("?")
    }

    /// `database.collection`, or `database` for events on a whole database, or nothing.
    pub fn namespace(&self) -> String {
        names(self.raw().get_document("ns").ok())
    }

    /// Where a renamed collection went, as `database.collection`.
    pub fn renamed_to(&self) -> Option<String> {
        let to = self.raw().get_document("to").ok()?;
        Some(names(Some(to)))
    }

    /// The `documentKey`, for events on one document.
    pub fn document_key(&self) -> Option<&RawDocument> {
        self.raw().get_document("documentKey").ok()
    }

    /// One field of the event, if it is there.
    pub fn field(&self, name: &str) -> Option<RawBsonRef<'_>> {
        self.raw().get(name).ok().flatten()
    }

    /// The cluster time of the change.
    pub fn cluster_time(&self) -> Option<Timestamp> {
        self.raw().get_timestamp("clusterTime").ok()
    }

    /// The server's clock at the change (6.0 and later), else the second of the cluster time.
    pub fn wall_time(&self) -> Option<DateTime> {
        self.raw()
            .get_datetime("wallTime")
            .ok()
            .or_else(|| self.cluster_time().map(|time| DateTime::from_millis(i64::from(time.time) * 1000)))
    }

    /// Whether the stream ends after this event (CS-7.2).
    pub fn is_invalidate(&self) -> bool {
        self.operation() == "invalidate"
    }
}

fn names(namespace: Option<&RawDocument>) -> String {
    let Some(namespace) = namespace else {
        return String::new();
    };
    let database = namespace.get_str("db").unwrap_or_default();
    match namespace.get_str("coll") {
        Ok(collection) => format!("{database}.{collection}"),
        Err(_) => database.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;
    use crate::Error;

    #[test]
    fn reads_the_usual_fields() {
        let event = Event::new(rawdoc! {
            "to": {"db": "shop", "coll": "sold"},
            "_id": {"_data": "82AB"},
            "operationType": "rename",
            "clusterTime": Timestamp { time: 1_755_427_520, increment: 1 },
            "ns": {"db": "shop", "coll": "orders"},
        })
        .unwrap();
        assert_eq!(event.operation(), "rename");
        assert_eq!(event.namespace(), "shop.orders");
        assert_eq!(event.renamed_to().as_deref(), Some("shop.sold"));
        assert_eq!(event.token().data(), Some("82AB"));
        assert_eq!(event.wall_time().unwrap().timestamp_millis(), 1_755_427_520_000);
        assert!(!event.is_invalidate());
    }

    /// CS-1.3: `dropDatabase` names only the database, `invalidate` nothing.
    #[test]
    fn namespaces_may_be_short() {
        let drop = Event::new(rawdoc! {"_id": {"_data": "82"}, "ns": {"db": "shop"}}).unwrap();
        assert_eq!(drop.namespace(), "shop");
        let end = Event::new(rawdoc! {"_id": {"_data": "82"}, "operationType": "invalidate"}).unwrap();
        assert_eq!(end.namespace(), "");
        assert!(end.is_invalidate());
    }

    /// CS-5.10.5: without `_id` there is no resuming.
    #[test]
    fn an_event_without_id_is_refused() {
        let result = Event::new(rawdoc! {"operationType": "insert"});
        assert!(matches!(result, Err(Error::NoToken)));
    }
}
