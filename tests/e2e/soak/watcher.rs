//! A watcher as a careful application would be: it keeps its place, and comes back to it after whatever happens.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bson::{Document, RawDocumentBuf};
use mongodb::Client;
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ResumeToken;
use mongodb::error::Error;
use mongodb::options::{ChangeStreamOptions, FullDocumentType};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::history::digest;
use super::plan::{Plan, Scope};
use super::{Shared, is_outage, time_of};

/// How long one `getMore` may take, restarts included; far above what it needs.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// How often a slow watcher sleeps after an event, and for how long at most, in milliseconds.
const SLOW: (f64, u64) = (0.02, 800);
/// How often a watcher leaves its stream and opens another one, as if it had been restarted itself.
const REOPENS: f64 = 0.002;

pub(super) struct Watcher {
    number: usize,
    plan: Plan,
    batch: u32,
    wait: Duration,
    slow: bool,
    /// Whether it begins late and reads from the beginning, or at once and from then on.
    from_the_beginning: bool,
    random: StdRng,
    place: Place,
}

/// Where a watcher is.
#[derive(Default)]
struct Place {
    /// The stream's own position.
    position: Option<ResumeToken>,
    /// The last event's token, if the stream has not ended since.
    event: Option<ResumeToken>,
    /// The token that ended the stream before this one; only `startAfter` takes it.
    ended: Option<ResumeToken>,
}

pub(super) struct Seen {
    pub(super) token: Arc<str>,
    pub(super) digest: u64,
}

/// What a watcher has seen in the end.
pub(super) struct Record {
    pub(super) name: String,
    pub(super) plan: Plan,
    /// It saw what is after this token; without one, everything.
    pub(super) start: Option<String>,
    pub(super) seen: Vec<Seen>,
}

enum Pause {
    /// Another stream goes on from the watcher's place.
    Reopen,
    /// There is nothing more to come.
    Done,
}

impl Watcher {
    pub(super) fn chosen(number: usize, plan: Plan, mut random: StdRng) -> Self {
        Self {
            number,
            plan,
            batch: *[1, 2, 7, 101, 1000].choose(&mut random).expect("a size"),
            wait: Duration::from_millis(random.random_range(50..1000)),
            slow: random.random_bool(0.2),
            from_the_beginning: random.random_bool(0.4),
            random,
            place: Place::default(),
        }
    }

    pub(super) async fn run(mut self, client: Client, shared: Arc<Shared>) -> Result<Record, String> {
        let slow = if self.slow { ", slow" } else { "" };
        let name = format!("watcher {} ({:?}, batches of {}{slow})", self.number, self.plan, self.batch);
        let mut record = Record { name: name.clone(), plan: self.plan.clone(), start: None, seen: Vec::new() };
        self.follow(&client, &shared, &mut record).await.map_err(|failure| {
            let place = self.place.position.as_ref().map(token_text);
            format!("{name}: {failure}; it had seen {} events and was at {place:?}", record.seen.len())
        })?;
        Ok(record)
    }

    async fn follow(&mut self, client: &Client, shared: &Shared, record: &mut Record) -> Result<(), String> {
        if self.from_the_beginning {
            self.sleep(2000).await;
        }
        let mut deadline = None;
        loop {
            check(&mut deadline, shared)?;
            let mut stream = match tokio::time::timeout(ANSWER_MAX, self.open(client, shared)).await {
                Err(_) => return Err(format!("no stream in {ANSWER_MAX:?}")),
                Ok(Err(error)) => {
                    outage(&error)?;
                    self.sleep(50).await;
                    continue;
                }
                Ok(Ok(stream)) => stream,
            };
            shared.opened.fetch_add(1, Ordering::Relaxed);
            if self.place.position.is_none() && !self.from_the_beginning {
                // A first batch that has events already hides where it began.
                let Some(token) = stream.resume_token() else { continue };
                record.start = Some(token_text(&token)?);
                self.place.position = Some(token);
            }
            match self.read(&mut stream, shared, record, &mut deadline).await? {
                Pause::Done => return Ok(()),
                Pause::Reopen => {}
            }
        }
    }

    async fn read(
        &mut self,
        stream: &mut ChangeStream<RawDocumentBuf>,
        shared: &Shared,
        record: &mut Record,
        deadline: &mut Option<Instant>,
    ) -> Result<Pause, String> {
        let mut before = stream.resume_token().as_ref().map(token_text).transpose()?.unwrap_or_default();
        loop {
            check(deadline, shared)?;
            let next = tokio::time::timeout(ANSWER_MAX, stream.next_if_any()).await;
            let event = match next.map_err(|_| format!("no answer in {ANSWER_MAX:?}"))? {
                Ok(event) => event,
                Err(error) => {
                    outage(&error)?;
                    return Ok(Pause::Reopen);
                }
            };
            let Some(token) = stream.resume_token() else {
                // A stream that was just opened from a time and has shown nothing.
                if event.is_some() {
                    return Err("an event without a position".to_owned());
                }
                continue;
            };
            let text = token_text(&token)?;
            let time = time_of(&text)?;
            // CS-5.6.5.
            if text < before {
                return Err(format!("the position went back from {before} to {text}"));
            }
            before.clone_from(&text);
            shared.places[self.number].store(time, Ordering::Relaxed);
            let ends = match &event {
                None => !stream.is_alive(),
                Some(event) => {
                    shared.events.fetch_add(1, Ordering::Relaxed);
                    let own = event.get_document("_id").and_then(|id| id.get_str("_data")).ok();
                    if own != Some(text.as_str()) {
                        return Err(format!("the position after {own:?} is {text}"));
                    }
                    record.seen.push(Seen { token: shared.tokens.get(&text), digest: digest(event) });
                    event.get_str("operationType").is_ok_and(|kind| kind == "invalidate")
                }
            };
            if ends {
                shared.invalidated.fetch_add(1, Ordering::Relaxed);
                self.place = Place { position: Some(token.clone()), event: None, ended: Some(token) };
                return Ok(Pause::Reopen);
            }
            self.place.position = Some(token.clone());
            let end = shared.end.load(Ordering::SeqCst);
            if event.is_some() {
                self.place.event = Some(token);
            } else if end > 0 && time >= end {
                return Ok(Pause::Done);
            }
            if end == 0 && self.slow && (event.is_none() || self.random.random_bool(SLOW.0)) {
                self.sleep(SLOW.1).await;
            }
            if self.random.random_bool(REOPENS) {
                return Ok(Pause::Reopen);
            }
        }
    }

    /// Opens a stream at the watcher's place.
    async fn open(&mut self, client: &Client, shared: &Shared) -> Result<ChangeStream<RawDocumentBuf>, Error> {
        let mut options = ChangeStreamOptions::default();
        options.batch_size = Some(self.batch);
        options.max_await_time = Some(self.wait);
        options.full_document = self.plan.lookup.then_some(FullDocumentType::UpdateLookup);
        // Both places are as good: nothing that the watcher should see is between them.
        let from_event = self.random.random_bool(0.5);
        let token = self.place.event.clone().filter(|_| from_event).or_else(|| self.place.position.clone());
        match token {
            Some(token) if self.place.ended.as_ref() == Some(&token) => options.start_after = Some(token),
            Some(token) if self.random.random_bool(0.3) => options.start_after = Some(token),
            Some(token) => options.resume_after = Some(token),
            None if self.from_the_beginning => options.start_at_operation_time = Some(shared.start),
            None => {}
        }
        let stages = self.plan.filter.stages();
        let stream = match self.plan.scope {
            Scope::Collection(db, coll) => {
                let collection = client.database(db).collection::<Document>(coll);
                collection.watch().pipeline(stages).with_options(options).await?
            }
            Scope::Database(db) => client.database(db).watch().pipeline(stages).with_options(options).await?,
            Scope::Cluster => client.watch().pipeline(stages).with_options(options).await?,
        };
        Ok(stream.with_type())
    }

    async fn sleep(&mut self, ms_max: u64) {
        let ms = self.random.random_range(0..ms_max);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// The text of a token, by which tokens are ordered.
pub(super) fn token_text(token: &ResumeToken) -> Result<String, String> {
    let token = bson::serialize_to_document(token).map_err(|error| error.to_string())?;
    token.get_str("_data").map(str::to_owned).map_err(|error| format!("the token {token}: {error}"))
}

/// Fails if the rest takes too long.
fn check(deadline: &mut Option<Instant>, shared: &Shared) -> Result<(), String> {
    if shared.end.load(Ordering::SeqCst) == 0 {
        return Ok(());
    }
    let deadline = deadline.get_or_insert_with(|| Instant::now() + shared.drain);
    if Instant::now() > *deadline {
        return Err(format!("it did not come to the end within {:?}", shared.drain));
    }
    Ok(())
}

/// Fails if an error says anything else than that the server was gone.
fn outage(error: &Error) -> Result<(), String> {
    if is_outage(error) { Ok(()) } else { Err(format!("{error}")) }
}
