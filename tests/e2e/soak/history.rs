//! What the log says, and how a watcher's history differs from it.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use bson::{Document, RawDocumentBuf, Timestamp};
use mongodb::Client;

use super::time_of;
use super::watcher::{Record, token_text};

/// Every token once, however many watchers saw it.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashSet<Arc<str>>>);

impl Tokens {
    pub(super) fn get(&self, token: &str) -> Arc<str> {
        let mut known = self.0.lock().expect("the tokens");
        if let Some(known) = known.get(token) {
            return known.clone();
        }
        let token: Arc<str> = token.into();
        known.insert(token.clone());
        token
    }
}

/// What is needed of an event to tell who should see it.
#[derive(Clone, Debug, Default)]
pub(super) struct Event {
    pub(super) token: String,
    /// A digest of the whole event.
    pub(super) digest: u64,
    pub(super) kind: String,
    pub(super) db: String,
    pub(super) coll: Option<String>,
    pub(super) to: Option<String>,
    pub(super) key: Option<i64>,
    pub(super) group: Option<i32>,
    pub(super) group_changed: bool,
    pub(super) mark: Option<i64>,
}

impl Event {
    fn of(raw: &RawDocumentBuf) -> Result<Self, String> {
        let event = Document::try_from(raw).map_err(|error| error.to_string())?;
        let part = |name: &str| event.get_document(name).ok();
        let text = |of: Option<&Document>, name: &str| of.and_then(|of| of.get_str(name).ok()).map(str::to_owned);
        let changed = part("updateDescription").and_then(|part| part.get_document("updatedFields").ok());
        Ok(Self {
            token: text(part("_id"), "_data").ok_or("an event without a token")?,
            digest: digest(raw),
            kind: text(Some(&event), "operationType").ok_or("an event without a type")?,
            db: text(part("ns"), "db").ok_or("an event without a namespace")?,
            coll: text(part("ns"), "coll"),
            to: text(part("to"), "coll"),
            key: part("documentKey").and_then(|key| key.get_i64("_id").ok()),
            group: part("fullDocument").and_then(|full| full.get_i32("group").ok()),
            group_changed: changed.is_some_and(|changed| changed.contains_key("group")),
            mark: part("fullDocument").and_then(|full| full.get_i64("mark").ok()),
        })
    }

    /// The `invalidate` that this event causes (CS-5.2.1): the same token but for one flag. A change has a time of its
    /// own, so the flag's place is always the same (CS-5.3.5).
    fn invalidate(&self) -> Self {
        let token = format!("{}6F{}", &self.token[..30], &self.token[32..]);
        assert_eq!(&self.token[30..32], "6E", "the flag of {}", self.token);
        Self { token, kind: "invalidate".to_owned(), ..Self::default() }
    }
}

pub(super) fn digest(event: &RawDocumentBuf) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.as_bytes().hash(&mut hasher);
    hasher.finish()
}

pub(super) struct History {
    pub(super) events: Vec<Event>,
    /// When the document with a mark was inserted.
    inserted: HashMap<i64, u64>,
}

impl History {
    /// One stream over everything, from `start` to `last`; it is read until its place is `end`.
    pub(super) async fn read(client: &Client, start: Timestamp, last: u64, end: u64) -> Result<Self, String> {
        let opened = client.watch().start_at_operation_time(start).batch_size(1000).await;
        let mut stream = opened.map_err(|error| error.to_string())?.with_type::<RawDocumentBuf>();
        let (mut events, mut inserted): (Vec<Event>, _) = (Vec::new(), HashMap::new());
        loop {
            match stream.next_if_any().await.map_err(|error| error.to_string())? {
                Some(raw) => {
                    let event = Event::of(&raw)?;
                    let time = time_of(&event.token)?;
                    if time <= last {
                        inserted.extend(event.mark.filter(|_| event.kind == "insert").map(|mark| (mark, time)));
                        events.push(event);
                    }
                }
                None => {
                    let token = stream.resume_token().ok_or("no position")?;
                    if time_of(&token_text(&token)?)? >= end {
                        return Ok(Self { events, inserted });
                    }
                }
            }
        }
    }

    /// What is wrong with the history itself: its order, inserts that were lost or made twice.
    pub(super) fn complaints(&self, acknowledged: &[i64]) -> Vec<String> {
        let mut complaints = Vec::new();
        for pair in self.events.windows(2).filter(|pair| pair[0].token >= pair[1].token) {
            complaints.push(format!("the log's tokens do not go up: {pair:?}"));
        }
        let mut inserted = HashSet::new();
        for event in self.events.iter().filter(|event| event.kind == "insert") {
            if event.mark.is_some_and(|mark| !inserted.insert(mark)) {
                complaints.push(format!("inserted twice: {event:?}"));
            }
        }
        let lost: Vec<i64> = acknowledged.iter().copied().filter(|mark| !inserted.contains(mark)).collect();
        if !lost.is_empty() {
            complaints.push(format!("{} acknowledged inserts are not in the log: marks {:?}", lost.len(), lost));
        }
        complaints
    }

    /// What is wrong with a transaction: it is there in part, at several times, or although it was aborted.
    pub(super) fn torn(&self, marks: &[i64], is_committed: bool) -> Option<String> {
        let of_one = |mark: &i64| self.inserted.get(mark).copied();
        let times: Vec<Option<u64>> = marks.iter().map(of_one).collect();
        let whole = times.windows(2).all(|pair| pair[0] == pair[1]);
        let aborted = !is_committed && times.iter().any(Option::is_some);
        let fine = whole && !aborted;
        (!fine).then(|| format!("a transaction, committed: {is_committed}, its marks {marks:?} inserted at {times:?}"))
    }

    /// Where a watcher's history first differs from what its plan says, up to the time `last`.
    pub(super) fn difference(&self, record: &Record, last: u64) -> Option<String> {
        let expected = self.expected(record);
        let seen: Vec<_> =
            record.seen.iter().filter(|seen| time_of(&seen.token).is_ok_and(|time| time <= last)).collect();
        let same = |at: usize| match (seen.get(at), expected.get(at)) {
            (Some(seen), Some(event)) => {
                *seen.token == *event.token
                    && (event.kind == "invalidate" || record.plan.lookup || seen.digest == event.digest)
            }
            (None, None) => true,
            _ => false,
        };
        let at = (0..seen.len().max(expected.len())).find(|at| !same(*at))?;
        let known: HashMap<&str, &Event> = self.events.iter().map(|event| (event.token.as_str(), event)).collect();
        let got = seen.get(at).map(|seen| &*seen.token);
        let what = match (got, expected.get(at)) {
            (Some(got), Some(event)) if *got == *event.token => "the event has other bytes",
            (Some(got), _) if seen[..at].iter().any(|earlier| &*earlier.token == got) => "an event came again",
            (Some(got), Some(event)) if *got > *event.token => "an event is missing",
            (None, _) => "an event is missing at the end",
            _ => "an event came that should not have",
        };
        Some(format!(
            "{}: {what}, at {at} of {} seen and {} expected\n  expected {:?}\n  seen     {got:?} {:?}\n  before   {:?}",
            record.name,
            seen.len(),
            expected.len(),
            expected.get(at),
            got.and_then(|got| known.get(got)),
            at.checked_sub(1).and_then(|before| expected.get(before)),
        ))
    }

    fn expected(&self, record: &Record) -> Vec<Event> {
        let plan = &record.plan;
        let mut expected = Vec::new();
        for event in &self.events {
            if record.start.as_ref().is_some_and(|start| event.token <= *start) || !plan.scope.admits(event) {
                continue;
            }
            let invalidate = plan.scope.is_ended_by(event).then(|| event.invalidate());
            let both = std::iter::once(event.clone()).chain(invalidate);
            expected.extend(both.filter(|event| plan.filter.accepts(event)));
        }
        expected
    }
}
