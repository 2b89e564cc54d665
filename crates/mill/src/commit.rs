//! Events that belong together (SQL-12.2): those of one transaction, or a single one.

use std::ops::Range;
use std::sync::Arc;

use bson::Timestamp;
use millstream_watch::{Event, Token};

/// What was committed at once: at least one event. Clones share them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Commit(Events);

#[derive(Clone, Debug, PartialEq)]
enum Events {
    One(Event),
    /// Those at some places.
    Several(Arc<[Event]>, Range<usize>),
}

impl Commit {
    /// Events, in their order. `None`: there are none.
    pub(crate) fn of(events: Vec<Event>) -> Option<Self> {
        match <[Event; 1]>::try_from(events) {
            Ok([one]) => Some(Self(Events::One(one))),
            Err(events) if events.is_empty() => None,
            Err(several) => Self::several(several.into(), 0..usize::MAX),
        }
    }

    fn several(events: Arc<[Event]>, at: Range<usize>) -> Option<Self> {
        let at = at.start..at.end.min(events.len());
        (!at.is_empty()).then_some(Self(Events::Several(events, at)))
    }

    /// Its events, in their order.
    pub(crate) fn events(&self) -> &[Event] {
        match &self.0 {
            Events::One(event) => std::slice::from_ref(event),
            Events::Several(events, at) => events.get(at.clone()).unwrap_or_default(),
        }
    }

    /// The first event of all that was committed with these.
    pub(crate) fn first(&self) -> Option<&Event> {
        match &self.0 {
            Events::One(event) => Some(event),
            Events::Several(events, _) => events.first(),
        }
    }

    /// Those of its events that are behind a place.
    pub(crate) fn behind(&self, place: &Place) -> Option<Self> {
        self.part(self.events().partition_point(|event| !place.is_before(event)), usize::MAX)
    }

    /// Those of its events that are not behind a place.
    pub(crate) fn up_to(&self, place: &Place) -> Option<Self> {
        self.part(0, self.events().partition_point(|event| !place.is_before(event)))
    }

    fn part(&self, from: usize, to: usize) -> Option<Self> {
        match &self.0 {
            Events::One(_) => (from == 0 && to > 0).then(|| self.clone()),
            Events::Several(events, at) => {
                let to = at.start.saturating_add(to).min(at.end);
                Self::several(Arc::clone(events), at.start + from..to)
            }
        }
    }

    /// The place behind it.
    pub(crate) fn place(&self) -> Place {
        self.events().last().map_or(Place::BEGINNING, |last| Place::Token(last.token().clone()))
    }
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
    /// Before everything.
    pub(crate) const BEGINNING: Self = Self::Time(Timestamp { time: 0, increment: 0 });

    /// Whether an event is behind this place.
    pub(crate) fn is_before(&self, event: &Event) -> bool {
        match self {
            Self::Token(token) => event.token_data() > token.data(),
            Self::Time(time) => event.cluster_time().is_none_or(|at| at >= *time),
        }
    }

    /// Whether it is not before another place.
    pub(crate) fn has_reached(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Token(here), Self::Token(there)) => here.data() >= there.data(),
            // Before everything at a time is before what is behind an event at that time.
            (Self::Time(here), Self::Token(there)) => Some(*here) > there.time(),
            (_, Self::Time(there)) => self.time() >= Some(*there),
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
pub(crate) struct Gathering(Vec<Event>);

impl Gathering {
    /// Takes the next event; gives the commits that are over by this.
    pub(crate) fn add(&mut self, event: Event, over: &mut Vec<Commit>) {
        let id = event.transaction();
        if id.is_none() || self.0.last().is_some_and(|last| last.transaction() != id) {
            over.extend(self.finish());
        }
        match id {
            Some(_) => self.0.push(event),
            // It is one by itself.
            None => over.push(Commit(Events::One(event))),
        }
    }

    /// Gives the commit under way.
    pub(crate) fn finish(&mut self) -> Option<Commit> {
        Commit::of(std::mem::take(&mut self.0))
    }
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
        let (mut gathering, mut over) = (Gathering::default(), Vec::new());
        let events = [
            ("8201", None),
            ("8202", Some(1)),
            ("8203", Some(1)),
            ("8204", Some(2)),
            ("8205", None),
            ("8206", Some(3)),
        ];
        for (data, transaction) in events {
            gathering.add(event(data, transaction), &mut over);
        }
        let lengths: Vec<usize> = over.iter().map(|commit| commit.events().len()).collect();
        assert_eq!(lengths, [1, 2, 1, 1]);
        assert_eq!(over[1].place(), Place::Token(event("8203", None).token().clone()));
        assert_eq!(gathering.finish().unwrap().events().len(), 1);
        assert_eq!(gathering.finish(), None);
    }

    /// SQL-12.2
    #[test]
    fn a_commit_is_cut_at_a_place() {
        let all = ["8202", "8203", "8204"].map(|data| event(data, Some(1)));
        let commit = Commit::of(all.to_vec()).unwrap();
        let at = |data| Place::Token(event(data, None).token().clone());
        let behind = commit.behind(&at("8203")).unwrap();
        assert_eq!((behind.events(), behind.first()), (&all[2..], Some(&all[0])));
        assert_eq!(behind.place(), at("8204"));
        let before = commit.up_to(&at("8203")).unwrap();
        assert_eq!((before.events(), before.behind(&at("8202")).unwrap().events()), (&all[..2], &all[1..2]));
        assert_eq!((commit.behind(&at("8204")), commit.up_to(&at("8201"))), (None, None));
        assert_eq!((commit.behind(&at("8201")), commit.up_to(&at("8204"))), (Some(commit.clone()), Some(commit)));
        let one = Commit::of(vec![all[0].clone()]).unwrap();
        assert_eq!((one.behind(&at("8201")), one.behind(&at("8202"))), (Some(one.clone()), None));
        assert_eq!((one.up_to(&at("8201")), one.up_to(&at("8202"))), (None, Some(one)));
    }

    #[test]
    fn a_place_is_kept_and_compared() {
        let token = Place::Token(event("8202", None).token().clone());
        assert!(token.is_before(&event("8203", None)));
        assert!(!token.is_before(&event("8202", None)));
        let time = Place::Time(Timestamp { time: 7, increment: 1 });
        // Behind an event at a time, before everything at it, and before everything later.
        let at = |increment| Place::Time(Timestamp { time: 7, increment });
        let (before, next) = (at(1), at(2));
        let behind = Place::Token(event("82000000070000000129295A1004", None).token().clone());
        assert!(behind.has_reached(&before) && !before.has_reached(&behind));
        assert!(next.has_reached(&behind) && !behind.has_reached(&next));
        assert!(next.has_reached(&before) && behind.has_reached(&behind.clone()));
        for place in [token, time, behind] {
            assert_eq!(Place::from_bson(&place.to_bson()), Some(place));
        }
    }
}
