//! A change stream: the logical pipeline of CS-0.4 as something to pull batches from. It never waits: between batches
//! wait for [`ChangeStream::subscription`].

mod images;
mod resume;
mod snapshot;
mod source;
mod split;

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use millstream_query::expression::Scope as Variables;
use millstream_storage::{ClusterTime, Store};
use millstream_value::{Doc, DocBuf, Value, shell};

pub use self::images::Lookup;
use self::resume::{Resume, Seen};
pub use self::snapshot::{CollectionName, Contents, StoredDocuments};
use self::snapshot::{Next, Row, Snapshot};
use self::source::Source;
pub use self::split::large_events_split;
use crate::entry::{Change, Entry};
use crate::event::{self, Class, Draft, EventType, MadeBy};
use crate::options::{FullDocument, Options, Start};
use crate::pipeline::Stages;
use crate::route::{Interest, Subscription};
use crate::scope::Scope;
use crate::tail::{Allowance, Share, Tail};
use crate::token::place::{self, WHOLE};
use crate::token::{self, EventName, Token};
use crate::{Error, Result};

/// The size of the largest event: 16 KiB more than the largest document (CS-6.7.1).
pub const EVENT_BYTES_MAX: usize = 16_793_600;

/// How much of the log one call of [`ChangeStream::next_batch`] looks at, so that it ends in time also where nothing
/// matches.
const SCAN_BYTES_MAX: usize = 8 << 20;

/// No watcher takes more than this part of the memory that is left to all of them.
const SHARE_PART: usize = 16;

/// How much a reply may hold although the watchers' memory is used up.
const REPLY_BYTES_MIN: usize = 16 << 10;

/// What a stream is made from.
pub struct Spec<'a> {
    /// What it watches.
    pub scope: Scope,
    /// The value of `$changeStream`.
    pub options: Options,
    /// The stages after `$changeStream`.
    pub stages: &'a [Value<'a>],
    /// The variables and the time that the stages see.
    pub variables: &'a Variables,
}

/// How much one reply may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Events. 0: nothing is read at all, only the position is told (CS-4.3.1).
    pub documents: usize,
    /// Bytes of events; one event is returned whatever its size. Less if the watchers' memory is used up.
    pub bytes: usize,
}

/// One reply's worth of events.
#[derive(Debug)]
pub struct Batch {
    /// The events, each an encoded document.
    pub events: Vec<Bytes>,
    /// Where to resume after this batch (CS-5.6).
    pub post_batch_token: DocBuf,
    /// The watched thing is gone and the stream has ended (`cursor.invalidated`).
    pub invalidated: bool,
    /// Nothing more will ever come: the cursor's id is 0 from here on (CS-7.3).
    pub closed: bool,
    /// Whether everything that is in the log was looked at. If not, and there are no events, ask again at once.
    pub at_end: bool,
    /// The memory of the events: keep it until they are sent.
    pub share: Share,
}

/// A change stream.
pub struct ChangeStream {
    scope: Scope,
    options: Options,
    stages: Arc<Stages>,
    source: Source,
    lookup: Arc<dyn Lookup>,
    resume: Resume,
    /// Events that are ready and did not fit.
    ready: VecDeque<Bytes>,
    /// The position after everything that was returned.
    position: Token,
    /// The token of the invalidation that ends the stream after `ready`.
    ended: Option<Token>,
    /// What went wrong after `ready`.
    failed: Option<Error>,
    /// The memory of what is ready and of what was read from the log.
    held: Share,
    /// The documents that the stream begins with, until they are all delivered.
    snapshot: Option<Snapshot>,
    /// An operation that comes after them.
    behind: Option<(Entry, usize)>,
    /// Everything before this time was in the documents.
    covered: ClusterTime,
}

impl ChangeStream {
    /// Opens a stream. `now` is the newest entry of the log: without a start of its own the stream begins right after.
    ///
    /// # Errors
    /// Everything of CS-4.2 that concerns the options together, tokens, and the stages of the pipeline.
    pub fn open(
        tail: &Arc<Tail>,
        store: Store,
        lookup: Arc<dyn Lookup>,
        spec: Spec<'_>,
        now: ClusterTime,
    ) -> Result<Self> {
        let Spec { scope, options, stages, variables } = spec;
        let start = options.start(&scope)?;
        let stages = tail.pipelines().compile(stages, &options, variables)?;
        let mut snapshot = None;
        let mut seen = (ClusterTime::ZERO, 0);
        let (from, resume, position) = match start {
            Start::Now => (now.next(), Resume::done(), Token::high_water_mark(now.next())),
            Start::At(time) => (time, Resume::done(), Token::high_water_mark(time)),
            Start::After(token, parts) => {
                seen = (parts.time, parts.index);
                (parts.time, Resume::new(&token, &parts, stages.split)?, token)
            }
            Start::Snapshot => {
                let first = snapshot.insert(Snapshot::new(lookup.contents()?));
                (first.time().next(), Resume::done(), first.start())
            }
            Start::Within(token, parts, position) => {
                let resumed = snapshot.insert(Snapshot::resume(lookup.contents()?, &parts, position));
                if parts.time > resumed.time() {
                    let found = Token::high_water_mark(resumed.time()).data().to_owned();
                    return Err(Error::TokenNotFound { found });
                }
                let whole = parts.index == WHOLE;
                (if whole { parts.time.next() } else { parts.time }, Resume::done(), token)
            }
        };
        let (registration, end) = tail.subscribe(Interest::of(&scope, &options, &stages));
        let source = Source::new(registration, store, from, end, seen);
        Ok(Self {
            scope,
            options,
            stages,
            source,
            lookup,
            resume,
            ready: VecDeque::new(),
            position,
            ended: None,
            snapshot,
            behind: None,
            failed: None,
            held: tail.allowance().take(0),
            covered: ClusterTime::ZERO,
        })
    }

    /// What to wait on when a batch came back empty.
    #[must_use]
    pub fn subscription(&self) -> &Arc<Subscription> {
        self.source.subscription()
    }

    /// Whether the next batch is read from disk: it may take long, where others come from memory.
    #[must_use]
    pub fn reads_disk(&self) -> bool {
        self.snapshot.is_some() || self.source.reads_disk()
    }

    /// Where to resume after everything that was returned so far.
    #[must_use]
    pub fn post_batch_token(&self) -> DocBuf {
        self.position.to_doc()
    }

    /// The events that are there now and fit. Never waits. After an error the stream is of no more use.
    ///
    /// # Errors
    /// 280, 286 and 136 if the place to continue from cannot be found; 47, 10334 and those of the stages if an event
    /// cannot be made.
    pub fn next_batch(&mut self, limits: BatchLimits) -> Result<Batch> {
        let mut events = Vec::new();
        if limits.documents == 0 {
            return Ok(self.batch(events, false));
        }
        self.catch_up()?;
        let bytes_max = limits.bytes.min((self.allowance().left() / SHARE_PART).max(REPLY_BYTES_MIN));
        let mut bytes = 0;
        let mut full = false;
        while !full {
            let Some(event) = self.next_event()? else { break };
            if !events.is_empty() && bytes + event.len() > bytes_max {
                self.ready.push_front(event);
                full = true;
            } else {
                bytes += event.len();
                events.push(event);
                full = events.len() >= limits.documents;
            }
        }
        if let Some(token) = events.last().and_then(|last| token::of_event(Doc::new(last))) {
            self.position = token;
        }
        if self.ready.is_empty()
            && let Some(reached) = self.snapshot.as_ref().and_then(|snapshot| snapshot.reached(self.source.scanned()))
        {
            self.position = self.position.clone().max(reached);
        }
        if full || self.snapshot.is_some() {
            return Ok(self.batch(events, false));
        }
        if let Some(token) = &self.ended {
            self.position = token.clone();
            return Ok(self.batch(events, true));
        }
        // What was looked at without an event moves the position on, but never back (CS-5.6.4 to 5.6.6).
        let scanned = self.source.scanned().max(self.covered);
        self.position = self.position.clone().max(Token::high_water_mark(scanned));
        Ok(self.batch(events, false))
    }

    fn batch(&mut self, events: Vec<Bytes>, closed: bool) -> Batch {
        let nothing_behind = self.snapshot.is_none() && self.behind.is_none() && self.source.at_end();
        let at_end = self.ready.is_empty() && self.failed.is_none() && (closed || nothing_behind);
        let post_batch_token = self.position.to_doc();
        let share = self.allowance().take(events.iter().map(Bytes::len).sum());
        self.account();
        Batch { events, post_batch_token, invalidated: closed, closed, at_end, share }
    }

    /// Makes events ready that were not asked for yet, while the client works on the last batch.
    ///
    /// Nothing that a client sees depends on it: what would have to be looked up in the current data is left alone, and an
    /// error waits until the events before it are delivered.
    pub fn read_ahead(&mut self, bytes: usize) {
        let looks_up = self.options.full_document == FullDocument::UpdateLookup;
        if looks_up || self.failed.is_some() || self.allowance().left() / SHARE_PART < bytes {
            return;
        }
        self.failed = self.fill(bytes).err();
        self.account();
    }

    fn fill(&mut self, bytes: usize) -> Result<()> {
        self.catch_up()?;
        let mut made: usize = self.ready.iter().map(Bytes::len).sum();
        while made < bytes && self.ended.is_none() {
            let known = self.ready.len();
            if !self.advance()? {
                break;
            }
            made += self.ready.iter().skip(known).map(Bytes::len).sum::<usize>();
        }
        Ok(())
    }

    fn allowance(&self) -> &Arc<Allowance> {
        self.source.allowance()
    }

    /// Counts what the stream keeps until it is asked again, and keeps less if there is no memory for it.
    fn account(&mut self) {
        let ready: usize = self.ready.iter().map(Bytes::len).sum();
        let ahead = self.source.ahead_bytes();
        self.held.resize(ready + ahead);
        if self.allowance().left() == 0 {
            self.source.let_go();
            self.held.resize(ready);
        }
        self.source.leave_off();
    }

    fn next_event(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if self.ended.is_some() {
                return Ok(None);
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// Learns what has come, and allows for another call's worth of work.
    fn catch_up(&mut self) -> Result<()> {
        self.source.catch_up(SCAN_BYTES_MAX)?;
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.allow(SCAN_BYTES_MAX);
        }
        Ok(())
    }

    /// Looks at the next operation, or at the next document of the snapshot. False if there is none for now.
    fn advance(&mut self) -> Result<bool> {
        if self.snapshot.as_ref().is_some_and(|snapshot| !snapshot.is_catching_up()) {
            return self.next_document();
        }
        let next = match self.behind.take() {
            Some(behind) => Some(behind),
            None => self.source.next_change()?,
        };
        if let Some(snapshot) = &mut self.snapshot {
            let change = next.as_ref().and_then(|(entry, at)| entry.change(*at));
            let up_to = change.map_or(self.source.scanned(), Change::time);
            if up_to > snapshot.time() || (next.is_none() && up_to == snapshot.time()) {
                let (scope, show_system) = (&self.scope, self.options.show_system_events);
                // Nothing is read where the filter lets no document through.
                let wanted = self.stages.may_pass(event::INSERT_NAME);
                snapshot.begin(|name| wanted && scope.admits_collection(&name.db, &name.coll, show_system));
                self.behind = next;
                return Ok(true);
            }
        }
        let Some((entry, at)) = next else {
            return Ok(false);
        };
        if let Some(change) = entry.change(at) {
            self.look_at(change)?;
        }
        Ok(true)
    }

    /// Makes the event of the next document of the snapshot. False if there is none for now.
    fn next_document(&mut self) -> Result<bool> {
        let Some(snapshot) = &mut self.snapshot else { return Ok(true) };
        match snapshot.next()? {
            Next::Pause => return Ok(false),
            Next::Row(row) => self.offer_document(&row)?,
            Next::End => {
                self.covered = snapshot.time().next();
                self.snapshot = None;
            }
        }
        Ok(true)
    }

    fn offer_document(&mut self, row: &Row) -> Result<()> {
        let Some(snapshot) = &self.snapshot else { return Ok(()) };
        let plain = snapshot.event(row, self.options.show_expanded_events);
        if !self.stages.passes_early(Doc::new(&plain), false)? {
            return Ok(());
        }
        let time = snapshot.time();
        let Some(event) = self.transform(plain.clone(), Doc::new(&plain))? else {
            return Ok(());
        };
        if !self.stages.split {
            return self.push(event);
        }
        let fragments = split::fragments(event, |n| place::of_document(&row.position, time, Some(n)), 0)?;
        if fragments.len() > 1
            && let Some(snapshot) = &mut self.snapshot
        {
            snapshot.note_fragments();
        }
        self.ready.extend(fragments);
        Ok(())
    }

    /// Turns one operation into the events that it makes for this stream, none to several.
    fn look_at(&mut self, change: Change<'_>) -> Result<()> {
        if !self.scope.admits(change, self.options.show_system_events) {
            return Ok(());
        }
        let event_type = match event::of(change) {
            Ok(None) => return Ok(()),
            Ok(Some(event_type)) => event_type,
            // An entry that cannot be an event is no error where the filter removes it (CS-6.6.2).
            Err(_) if !self.stages.may_pass("update") && !self.stages.may_pass("replace") => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.scope.is_ended_by(change) {
            // With what it watches the rest of the snapshot is gone.
            self.snapshot = None;
        }
        if self.snapshot.as_ref().is_some_and(|snapshot| !snapshot.admits(change)) {
            return Ok(());
        }
        let shown = event_type.class == Class::Classic || self.options.show_expanded_events;
        // What cannot pass is not made: a stream of a few collections goes by those that others write to.
        let may_pass = match event_type.made_by {
            MadeBy::Form(_) => self.stages.may_pass_from(change, event_type.name),
            _ => self.stages.may_pass(event_type.name),
        };
        if shown && may_pass {
            self.offer(change, event_type)?;
        }
        if self.scope.is_ended_by(change) {
            self.end(change, event_type)?;
        }
        Ok(())
    }

    /// Takes an event through the filter, the resume check, the images and the stages, in this order.
    fn offer(&mut self, change: Change<'_>, event_type: &'static EventType) -> Result<()> {
        let shape = self.options.shape();
        let version = self.resume.version_for(change);
        let place = self.snapshot.as_ref().map(Snapshot::position);
        let draft = || Draft::new(change, event_type, version).at(place.as_deref());
        let made = OnceCell::new();
        let plain = || {
            made.get_or_init(|| {
                if version == token::VERSION && place.is_none() {
                    event::shared(change, event_type, shape)
                } else {
                    Bytes::from(draft().assemble(shape, event::Images::default()))
                }
            })
        };
        let wanted = images::wanted(event_type, &self.options);
        // Results are shared by those who see the same bytes; images are looked up by each.
        let shared = (version == token::VERSION && !wanted.any()).then(|| change.results());
        let passes = || {
            let may_pass = self.stages.may_pass_with(change, &self.options);
            Ok(may_pass && self.stages.passes_early(Doc::new(plain()), wanted.any())?)
        };
        let passes = match shared {
            Some(results) if self.stages.filters() => results.passes(&self.stages, passes)?,
            _ => passes()?,
        };
        if !passes {
            return Ok(());
        }
        let plain = plain();
        let first_fragment = match self.resume.check(Doc::new(plain))? {
            Seen::Deliver => self.snapshot.as_ref().map_or(0, |snapshot| snapshot.first_fragment(change)),
            Seen::Swallow => return Ok(()),
            Seen::Fragment(next) => next,
        };
        let event = if wanted.any() {
            let images = images::find(change, &draft(), wanted, &self.source, &*self.lookup, plain)?;
            let event = Bytes::from(draft().assemble(shape, images.as_ref()));
            if !self.stages.passes_late(Doc::new(&event))? {
                return Ok(());
            }
            event
        } else {
            plain.clone()
        };
        let transform = || self.transform(event, Doc::new(plain));
        let event = match shared {
            Some(results) if self.stages.transforms() => results.transformed(&self.stages, transform)?,
            _ => transform()?,
        };
        let Some(event) = event else { return Ok(()) };
        if self.stages.split {
            let id = |fragment| EventName { fragment: Some(fragment), ..draft().name() }.encode();
            self.ready.extend(split::fragments(event, id, first_fragment)?);
            return Ok(());
        }
        self.push(event)
    }

    /// The user's stages; `plain` has the `_id` that must come out of them (CS-6.4).
    fn transform(&self, event: Bytes, plain: Doc<'_>) -> Result<Option<Bytes>> {
        if !self.stages.transforms() {
            return Ok(Some(event));
        }
        let Some(event) = self.stages.apply(Doc::new(&event))? else {
            return Ok(None);
        };
        let (wanted, found) = (plain.element("_id"), event.as_doc().element("_id"));
        if found.zip(wanted).is_none_or(|(found, wanted)| !found.same_value(wanted)) {
            let only = |id: Option<millstream_value::Element<'_>>| {
                let mut doc = DocBuf::new();
                if let Some(id) = id {
                    doc.push_element(id);
                }
                shell::document(doc.as_doc())
            };
            return Err(Error::IdModified { expected: only(wanted), found: only(found) });
        }
        Ok(Some(event.into_bytes().into()))
    }

    fn push(&mut self, event: Bytes) -> Result<()> {
        if event.len() > EVENT_BYTES_MAX {
            return Err(Error::EventTooLarge { bytes: event.len(), max: EVENT_BYTES_MAX });
        }
        self.ready.push_back(event);
        Ok(())
    }

    /// Ends the stream with an `invalidate`, unless the client has seen that one (CS-5.7, CS-7).
    fn end(&mut self, change: Change<'_>, event_type: &'static EventType) -> Result<()> {
        let draft = Draft::new(change, event_type, self.resume.version_for(change));
        let plain = Bytes::from(draft.invalidation());
        if self.resume.check(Doc::new(&plain))? != Seen::Deliver {
            return Ok(());
        }
        self.ended = token::of_event(Doc::new(&plain));
        if self.stages.may_pass("invalidate")
            && self.stages.passes_early(Doc::new(&plain), false)?
            && let Some(event) = self.transform(plain.clone(), Doc::new(&plain))?
        {
            self.push(event)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
