//! One change of one document, as change queries and triggers see it (SQL-12).

use bson::{Bson, Document, RawDocument, RawDocumentBuf};
use millstream_flow::{Datum, key};
use millstream_sql::expr::Step;
use millstream_sql::statement::Path;
use millstream_watch::Event;

use crate::error::{Result, bug};
use crate::value::from_bson;
use crate::{patch, target};

/// A change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub(crate) operation: &'static str,
    pub(crate) old: Option<RawDocumentBuf>,
    pub(crate) new: Option<RawDocumentBuf>,
    /// `CHANGE_TIMESTAMP()`.
    pub(crate) time_ms: i64,
    /// `CHANGE_TOKEN()`.
    pub(crate) token: String,
    /// `CHANGE_FIELDS()`.
    pub(crate) fields: Vec<String>,
    pub(crate) event: Event,
}

impl Change {
    /// The change of an event, if it is one of a document. `since_ms` is the largest change time so far.
    pub(crate) fn of(event: &Event, since_ms: i64) -> Result<Option<Self>> {
        let Some(operation) = operation(event) else { return Ok(None) };
        let (old, new) = images(event);
        let fields = fields(event)?;
        let (old, new) = (old.map(RawDocument::to_owned), new.map(RawDocument::to_owned));
        let token = event.token().data().ok_or_else(|| bug("a token without text"))?.to_owned();
        let time_ms = change_time(event).max(since_ms);
        Ok(Some(Self { operation, old, new, time_ms, token, fields, event: event.clone() }))
    }

    /// `CHANGE_KEY()`.
    pub(crate) fn key(&self) -> Bson {
        let key = self.event.document_key().and_then(|key| Document::try_from(key).ok());
        key.map_or(Bson::Null, Bson::Document)
    }

    /// Which image should be there and is not: the one `before` or `after`.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        match self.operation {
            "DELETE" if self.old.is_none() => Some("before"),
            "UPDATE" if self.old.is_none() => Some("before"),
            "UPDATE" if self.new.is_none() => Some("after"),
            _ => None,
        }
    }

    /// `CHANGED(path)` (SQL-12.9).
    pub(crate) fn changed(&self, path: &Path) -> bool {
        let steps: Vec<Step> =
            std::iter::once(Step::Field(path.column.clone())).chain(path.steps.iter().cloned()).collect();
        let value = |raw: &Option<RawDocumentBuf>| {
            let document = raw.as_deref().and_then(|raw| Document::try_from(raw).ok());
            let value = document.as_ref().and_then(|document| target::get(document, &steps));
            // NULL and nothing are the same.
            value.map_or(Datum::Null, from_bson)
        };
        if self.old.is_some() && self.new.is_some() {
            let (old, new) = (value(&self.old), value(&self.new));
            return old.is_null() != new.is_null() || (!old.is_null() && key::compare(&old, &new).is_ne());
        }
        let path = target::dotted(&steps).unwrap_or_default();
        self.fields.iter().any(|field| {
            *field == path || field.starts_with(&format!("{path}.")) || path.starts_with(&format!("{field}."))
        })
    }
}

/// The time of an event before it is raised (SQL-12.3): the wall's, within the second of the cluster's.
pub(crate) fn change_time(event: &Event) -> i64 {
    let second = event.cluster_time().map(|time| i64::from(time.time) * 1_000);
    let wall = event.raw().get_datetime("wallTime").ok().map(|time| time.timestamp_millis());
    match (second, wall) {
        (Some(second), Some(wall)) if wall >= second => wall.min(second + 999),
        (Some(second), _) => second,
        (None, wall) => wall.unwrap_or(0),
    }
}

/// What happened to a document: `INSERT`, `UPDATE` or `DELETE`. `None`: the event is not about one.
pub(crate) fn operation(event: &Event) -> Option<&'static str> {
    match event.operation() {
        "insert" => Some("INSERT"),
        "update" | "replace" => Some("UPDATE"),
        "delete" => Some("DELETE"),
        _ => None,
    }
}

/// The document before and after a change, where the event has them.
pub(crate) fn images(event: &Event) -> (Option<&RawDocument>, Option<&RawDocument>) {
    (event.before(), event.full_document().filter(|_| event.operation() != "delete"))
}

/// `CHANGE_FIELDS()`: the names of the changed fields, of updates their paths.
pub(crate) fn fields(event: &Event) -> Result<Vec<String>> {
    let (old, new) = images(event);
    let names = |document: &RawDocument| -> Vec<String> {
        document.iter().flatten().map(|(name, _)| name.as_str().to_owned()).collect()
    };
    let mut fields = match event.operation() {
        "insert" => new.map(names).unwrap_or_default(),
        "update" => {
            let description = event.update_description().ok_or_else(|| bug("an update says not what"))?;
            let description = Document::try_from(description).map_err(|error| bug(&error.to_string()))?;
            return Ok(patch::paths(&description));
        }
        "replace" => {
            let (old, new) = (old.map(Document::try_from), new.map(Document::try_from));
            let document = |found: Option<std::result::Result<Document, _>>| found.and_then(std::result::Result::ok);
            let (old, new) = (document(old).unwrap_or_default(), document(new).unwrap_or_default());
            let all = old.keys().chain(new.keys());
            all.filter(|name| old.get(*name) != new.get(*name)).cloned().collect()
        }
        _ => Vec::new(),
    };
    fields.sort_unstable();
    fields.dedup();
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use bson::{DateTime, Timestamp, rawdoc};

    use super::*;

    fn event(seconds: u32, wall_ms: Option<i64>) -> Event {
        let mut raw = rawdoc! {
            "_id": {"_data": "82AA"},
            "operationType": "insert",
            "clusterTime": Timestamp { time: seconds, increment: 1 },
            "fullDocument": {"_id": 1, "b": 1, "a": 2},
        };
        if let Some(wall) = wall_ms {
            raw.append(bson::raw::cstr!("wallTime"), DateTime::from_millis(wall));
        }
        Event::new(raw).unwrap()
    }

    /// SQL-12.3
    #[test]
    fn times_lie_in_their_second_and_never_go_back() {
        assert_eq!(change_time(&event(100, None)), 100_000);
        assert_eq!(change_time(&event(100, Some(100_250))), 100_250);
        assert_eq!(change_time(&event(100, Some(99_999))), 100_000);
        assert_eq!(change_time(&event(100, Some(101_500))), 100_999);
        assert_eq!(Change::of(&event(100, Some(100_250)), 100_700).unwrap().unwrap().time_ms, 100_700);
    }

    /// SQL-12.9, SQL-4.5: a value that is equal to what was there has not changed.
    #[test]
    fn equal_values_are_unchanged() {
        let changed = |old: Bson, new: Bson| {
            let document = |value| RawDocumentBuf::try_from(&bson::doc! {"a": value}).unwrap();
            let change = Change::of(&event(100, None), 0).unwrap().unwrap();
            let change = Change { old: Some(document(old)), new: Some(document(new)), ..change };
            change.changed(&Path { column: "a".to_owned(), steps: vec![] })
        };
        assert!(!changed(f64::NAN.into(), f64::NAN.into()) && !changed(1.into(), 1.0.into()));
        assert!(
            !changed(Bson::Null, Bson::Undefined) && changed(Bson::Null, 0.into()) && changed(1.into(), "1".into())
        );
    }

    /// SQL-12.9
    #[test]
    fn an_insert_changes_all_fields() {
        let change = Change::of(&event(100, None), 0).unwrap().unwrap();
        assert_eq!(change.fields, ["_id", "a", "b"]);
        assert_eq!((change.operation, change.token.as_str()), ("INSERT", "82AA"));
    }
}
