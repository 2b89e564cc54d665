//! Events that belong together (SQL-12.2): those of one transaction, or a single one.

use bson::Timestamp;
use millstream_value::Value;
use millstream_watch::{Event, Token};

use crate::read;

/// What was committed at once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Commit {
    /// Its events, in their order; at least one.
    pub(crate) events: Vec<Event>,
    /// The place behind it.
    pub(crate) place: Place,
}

/// A place in the changes of a deployment: behind an event, or a time at which nothing was yet seen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// Behind a token.
    Token(Token),
    /// Before everything at this time or later.
    Time(Timestamp),
}

impl Place {
    /// Whether an event is behind this place.
    pub(crate) fn is_before(&self, event: &Event) -> bool {
        match self {
            Self::Token(token) => event.token().data() > token.data(),
            Self::Time(time) => event.cluster_time().is_none_or(|at| at >= *time),
        }
    }

    /// The time from which on a stream shows everything behind this place.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        match self {
            Self::Token(token) => token.time(),
            Self::Time(time) => Some(*time),
        }
    }

    /// As it is kept.
    pub(crate) fn to_bson(&self) -> bson::Bson {
        match self {
            Self::Token(token) => {
                bson::Document::try_from(token.as_raw()).map_or(bson::Bson::Null, bson::Bson::Document)
            }
            Self::Time(time) => (*time).into(),
        }
    }

    /// From how it is kept.
    pub(crate) fn from_bson(kept: &bson::Bson) -> Option<Self> {
        match kept {
            bson::Bson::Timestamp(time) => Some(Self::Time(*time)),
            bson::Bson::Document(token) => {
                bson::RawDocumentBuf::try_from(token).ok().map(|raw| Self::Token(Token::from_raw(&raw)))
            }
            _ => None,
        }
    }
}

/// Makes commits of events.
#[derive(Default)]
pub(crate) struct Gathering {
    events: Vec<Event>,
}

impl Gathering {
    /// Takes the next event; gives the commit before it, if that is over by this.
    pub(crate) fn add(&mut self, event: Event) -> Option<Commit> {
        let goes_on = match (self.events.last(), transaction(&event)) {
            (Some(last), Some(id)) => transaction(last) == Some(id),
            _ => false,
        };
        let before = if goes_on { None } else { self.finish() };
        self.events.push(event);
        before
    }

    /// Whether the commit under way can have no more events.
    pub(crate) fn is_whole(&self) -> bool {
        self.events.last().is_some_and(|event| transaction(event).is_none())
    }

    /// Gives the commit under way.
    pub(crate) fn finish(&mut self) -> Option<Commit> {
        let place = Place::Token(self.events.last()?.token().clone());
        Some(Commit { events: std::mem::take(&mut self.events), place })
    }
}

/// The transaction of an event, if it is of one.
fn transaction(event: &Event) -> Option<(&[u8], i64)> {
    let raw = read::doc(event.raw());
    let number = match raw.get("txnNumber")? {
        Value::Int64(number) => number,
        Value::Int32(number) => i64::from(number),
        _ => return None,
    };
    raw.doc("lsid").map(|lsid| (lsid.as_bytes(), number))
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn event(data: &str, transaction: Option<i64>) -> Event {
        let mut raw = rawdoc! {"_id": {"_data": data}, "operationType": "insert"};
        if let Some(number) = transaction {
            raw.append(bson::raw::cstr!("lsid"), rawdoc! {"id": 1});
            raw.append(bson::raw::cstr!("txnNumber"), number);
        }
        Event::new(raw).unwrap()
    }

    /// SQL-12.2
    #[test]
    fn a_transaction_is_one_commit() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.add(event("8201", None)), None);
        assert!(gathering.is_whole());
        assert_eq!(gathering.add(event("8202", Some(1))).unwrap().events.len(), 1);
        assert!(!gathering.is_whole());
        assert_eq!(gathering.add(event("8203", Some(1))), None);
        let commit = gathering.add(event("8204", Some(2))).unwrap();
        assert_eq!(commit.events.len(), 2);
        assert_eq!(commit.place, Place::Token(event("8203", None).token().clone()));
        assert_eq!(gathering.finish().unwrap().events.len(), 1);
        assert_eq!(gathering.finish(), None);
    }

    #[test]
    fn a_place_is_kept_and_compared() {
        let token = Place::Token(event("8202", None).token().clone());
        assert!(token.is_before(&event("8203", None)));
        assert!(!token.is_before(&event("8202", None)));
        let time = Place::Time(Timestamp { time: 7, increment: 1 });
        for place in [token, time] {
            assert_eq!(Place::from_bson(&place.to_bson()), Some(place));
        }
    }
}
