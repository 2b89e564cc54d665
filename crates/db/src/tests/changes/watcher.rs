//! A watcher that reads in batches of random sizes, dies at random moments and resumes from where it was.

use bson::{Document, doc};
use bytes::Bytes;
use millstream_change::{Batch, BatchLimits, ChangeStream, Options, Scope, Spec};
use millstream_query::expression::Scope as Variables;
use millstream_value::{Doc, Namespace, Value, from_bson, from_bson_document, to_bson_document};

use super::{Random, World};

/// A scope by its name: `shop.a`, `shop` or nothing for everything.
pub(super) fn scope(name: &str) -> Scope {
    match name.split_once('.') {
        Some((db, coll)) => Scope::Collection(Namespace::new(db, coll)),
        None if name.is_empty() => Scope::Cluster,
        None => Scope::Database(name.to_owned()),
    }
}

pub(super) fn open(
    world: &World,
    scope: &Scope,
    options: &Document,
    stages: &[Document],
) -> crate::Result<ChangeStream> {
    let options = Options::parse(&Value::from(&from_bson_document(options)))?;
    let stages: Vec<Value<'static>> = stages.iter().map(|stage| from_bson(&stage.clone().into())).collect();
    let variables = Variables::default();
    world.db.watch(Spec { scope: scope.clone(), options, stages: &stages, variables: &variables })
}

pub(super) fn data(event: &[u8]) -> String {
    Doc::new(event).doc("_id").and_then(|id| id.str("_data")).unwrap().to_owned()
}

pub(super) fn token(event: &[u8]) -> Document {
    to_bson_document(Doc::new(event).doc("_id").unwrap())
}

pub(super) fn limits(random: &mut Random) -> BatchLimits {
    let bytes = *random.pick(&[100, 2_000, 1 << 20]);
    BatchLimits { documents: random.below(7), bytes }
}

/// Everything that a stream has now.
pub(super) fn drain(stream: &mut ChangeStream) -> Vec<Bytes> {
    let mut events = Vec::new();
    loop {
        let batch = stream.next_batch(BatchLimits { documents: 50, bytes: 1 << 20 }).unwrap();
        let done = batch.closed || (batch.at_end && batch.events.is_empty());
        events.extend(batch.events);
        if done {
            return events;
        }
    }
}

/// Everything from the beginning of the log on, over all invalidations.
pub(super) fn whole_history(world: &World, scope: &Scope, options: &Document) -> Vec<Bytes> {
    let start = doc! {"startAtOperationTime": bson::Timestamp { time: 1, increment: 1 }};
    let with = |more: Document| options.clone().into_iter().chain(more).collect::<Document>();
    let mut events = drain(&mut open(world, scope, &with(start), &[]).unwrap());
    let is_end = |event: &Bytes| Doc::new(event).str("operationType") == Some("invalidate");
    while let Some(last) = events.last().filter(|last| is_end(last)) {
        let next = drain(&mut open(world, scope, &with(doc! {"startAfter": token(last)}), &[]).unwrap());
        if next.is_empty() {
            break;
        }
        events.extend(next);
    }
    events
}

/// What a consumer knows of its stream.
pub(super) struct Watcher {
    pub(super) scope: Scope,
    /// How it opens its first stream.
    first: Document,
    /// What it always asks for.
    always: Document,
    stages: Vec<Document>,
    stream: Option<ChangeStream>,
    /// Where to go on.
    place: Option<Document>,
    /// Everything it has dealt with since it began anew.
    pub(super) events: Vec<Bytes>,
    /// The newest token it was told of.
    newest: String,
    /// Whether its last batch said that there is nothing more.
    pub(super) is_up_to_date: bool,
}

impl Watcher {
    pub(super) fn new(scope: Scope, always: Document, first: Document, stages: Vec<Document>) -> Self {
        let (events, newest) = (Vec::new(), String::new());
        Self { scope, first, always, stages, stream: None, place: None, events, newest, is_up_to_date: false }
    }

    /// Opens its stream if it has none.
    pub(super) fn stream(&mut self, world: &World, random: &mut Random) -> &mut ChangeStream {
        let stream = self.stream.take().unwrap_or_else(|| {
            let mut options = self.always.clone();
            match &self.place {
                None => options.extend(self.first.clone()),
                Some(place) => {
                    let ended = self.has_ended();
                    let name = if ended || random.percent(50) { "startAfter" } else { "resumeAfter" };
                    options.insert(name, place.clone());
                }
            }
            open(world, &self.scope, &options, &self.stages).unwrap_or_else(|error| panic!("{error}: {options}"))
        });
        let fresh = self.place.is_none();
        let stream = self.stream.insert(stream);
        if fresh {
            self.place = Some(to_bson_document(stream.post_batch_token().as_doc()));
        }
        stream
    }

    pub(super) fn has_ended(&self) -> bool {
        self.events.last().is_some_and(|last| Doc::new(last).str("operationType") == Some("invalidate"))
    }

    /// Reads one batch, deals with some or all of its events, and maybe dies. Gives what it dealt with.
    pub(super) fn turn(&mut self, world: &World, random: &mut Random) -> Vec<Bytes> {
        let (limits, ahead) = (limits(random), random.percent(40).then(|| random.below(5_000)));
        let stream = self.stream(world, random);
        let Batch { mut events, post_batch_token, closed, at_end, .. } = stream.next_batch(limits).unwrap();
        if let Some(bytes) = ahead {
            stream.read_ahead(bytes);
        }
        self.is_up_to_date = limits.documents > 0 && at_end && events.is_empty() && !closed;
        for event in &events {
            assert!(self.newest < data(event), "tokens go up (CS-16.4.4)");
            self.newest = data(event);
        }
        let position = to_bson_document(post_batch_token.as_doc());
        let text = position.get_str("_data").unwrap();
        assert!(self.newest.as_str() <= text, "no position before an event that was told (CS-5.6.4)");
        if random.percent(25) {
            // Killed in the middle of the batch.
            events.truncate(random.below(events.len() + 1));
            self.stream = None;
            self.newest = events.last().map(|last| data(last)).unwrap_or_else(|| self.data_of_place());
            if let Some(last) = events.last() {
                self.place = Some(token(last));
            }
        } else {
            self.newest = text.to_owned();
            self.place = Some(position);
            if closed || random.percent(15) {
                self.stream = None;
            }
        }
        self.events.extend(events.iter().cloned());
        events
    }

    fn data_of_place(&self) -> String {
        self.place.as_ref().map_or_else(String::new, |place| place.get_str("_data").unwrap().to_owned())
    }
}
