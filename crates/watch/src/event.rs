//! One change event, as the bytes that came.

use std::sync::{Arc, OnceLock};

use bson::{DateTime, RawBsonRef, RawDocument, RawDocumentBuf, Timestamp};
use millstream_value::{Doc, Value, kind};

use crate::{Result, Token};

/// A change event. It stays raw so that nothing of it is lost or reordered; where its usual fields are is found out once.
/// Clones share the bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Event(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    raw: RawDocumentBuf,
    places: [Place; FIELDS.len()],
    /// Taken out when somebody asks for it.
    token: OnceLock<Token>,
}

impl PartialEq for Inner {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

/// The fields whose places are kept.
const FIELDS: [&[u8]; 11] = [
    b"_id",
    b"clusterTime",
    b"documentKey",
    b"fullDocument",
    b"fullDocumentBeforeChange",
    b"lsid",
    b"ns",
    b"operationType",
    b"to",
    b"txnNumber",
    b"updateDescription",
];

/// One of them, by its place in [`FIELDS`].
#[derive(Clone, Copy)]
enum Field {
    Id,
    ClusterTime,
    DocumentKey,
    FullDocument,
    Before,
    Lsid,
    Ns,
    OperationType,
    To,
    TxnNumber,
    UpdateDescription,
}

/// Where the value of a field is in the bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    at: u32,
    len: u32,
    /// 0: there is no such field.
    kind: u8,
}

fn places(raw: &RawDocument) -> [Place; FIELDS.len()] {
    let mut places = [Place::default(); FIELDS.len()];
    // Behind the length.
    let mut at = 4;
    for element in Doc::new(raw.as_bytes()).elements() {
        let name = element.key_bytes();
        // Behind the type, the name and its end.
        at += name.len() + 2;
        if let Some(number) = FIELDS.iter().position(|field| *field == name)
            && let Some(place) = places.get_mut(number)
            && place.kind == 0
            && let (Ok(at), Ok(len)) = (u32::try_from(at), u32::try_from(element.bytes().len()))
        {
            *place = Place { at, len, kind: element.kind() };
        }
        at += element.bytes().len();
    }
    places
}

impl Event {
    /// Takes the event as it came; fails if it has no `_id`.
    pub fn new(raw: RawDocumentBuf) -> Result<Self> {
        let places = places(&raw);
        let event = Self(Arc::new(Inner { raw, places, token: OnceLock::new() }));
        if event.document(Field::Id).is_none() {
            // Says why.
            Token::of_event(event.raw())?;
        }
        Ok(event)
    }

    /// The whole event.
    pub fn raw(&self) -> &RawDocument {
        &self.0.raw
    }

    /// The position just after this event.
    pub fn token(&self) -> &Token {
        let token = || self.document(Field::Id).map_or_else(Token::empty, Token::from_raw);
        self.0.token.get_or_init(token)
    }

    /// The hexadecimal text of its token, see [`Token::data`].
    pub fn token_data(&self) -> Option<&str> {
        Doc::new(self.document(Field::Id)?.as_bytes()).str("_data")
    }

    /// `insert`, `update`, …; `?` if a pipeline took the field away.
    pub fn operation(&self) -> &str {
        let text = self.bytes(Field::OperationType).filter(|(kind, _)| *kind == kind::STRING);
        // Between its length and its end.
        let text = text.and_then(|(_, bytes)| bytes.get(4..bytes.len().saturating_sub(1)));
        text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or("?")
    }

    /// `ns`: the database and the collection.
    pub fn ns(&self) -> Option<&RawDocument> {
        self.document(Field::Ns)
    }

    /// `to`: the new names of a renamed collection.
    pub fn to(&self) -> Option<&RawDocument> {
        self.document(Field::To)
    }

    /// `database.collection`, or `database` for events on a whole database, or nothing.
    pub fn namespace(&self) -> String {
        names(self.ns())
    }

    /// Where a renamed collection went, as `database.collection`.
    pub fn renamed_to(&self) -> Option<String> {
        Some(names(Some(self.to()?)))
    }

    /// The `documentKey`, for events on one document.
    pub fn document_key(&self) -> Option<&RawDocument> {
        self.document(Field::DocumentKey)
    }

    /// The `fullDocument`, if the event has one.
    pub fn full_document(&self) -> Option<&RawDocument> {
        self.document(Field::FullDocument)
    }

    /// The `fullDocumentBeforeChange`, if the event has one.
    pub fn before(&self) -> Option<&RawDocument> {
        self.document(Field::Before)
    }

    /// The `updateDescription` of an update.
    pub fn update_description(&self) -> Option<&RawDocument> {
        self.document(Field::UpdateDescription)
    }

    /// The session and the number of the transaction that it is of (CS-8).
    pub fn transaction(&self) -> Option<(&RawDocument, i64)> {
        let number = match self.value(Field::TxnNumber)? {
            Value::Int64(number) => number,
            Value::Int32(number) => i64::from(number),
            _ => return None,
        };
        Some((self.document(Field::Lsid)?, number))
    }

    /// One field of the event, if it is there.
    pub fn field(&self, name: &str) -> Option<RawBsonRef<'_>> {
        self.raw().get(name).ok().flatten()
    }

    /// The cluster time of the change.
    pub fn cluster_time(&self) -> Option<Timestamp> {
        match self.value(Field::ClusterTime) {
            Some(Value::Timestamp(time)) => Some(Timestamp { time: time.seconds, increment: time.increment }),
            _ => None,
        }
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

    fn bytes(&self, field: Field) -> Option<(u8, &[u8])> {
        let place = self.0.places.get(field as usize).filter(|place| place.kind != 0)?;
        let (at, len) = (usize::try_from(place.at).ok()?, usize::try_from(place.len).ok()?);
        Some((place.kind, self.0.raw.as_bytes().get(at..at.checked_add(len)?)?))
    }

    fn value(&self, field: Field) -> Option<Value<'_>> {
        self.bytes(field).map(|(kind, bytes)| Value::decode(kind, bytes))
    }

    fn document(&self, field: Field) -> Option<&RawDocument> {
        let (_, bytes) = self.bytes(field).filter(|(kind, _)| *kind == kind::DOCUMENT)?;
        RawDocument::from_bytes(bytes).ok()
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
