//! A trigger's own copy of its table (`images = 'mirror'`, SQL-12.6), by which it knows each document before and after a change.
//!
//! It is a state of the mill, committed with the place that it is at after that place is in the checkpoint: so it may be older
//! than the checkpoint, never younger, and goes over the changes between the two. A copy that is lost is read again as of the
//! checkpoint's place. Where the deployment no longer has that moment it is read as of now; of the changes until then only what
//! they bring themselves is known, and what is missing is missing as an image that has expired (SQL-12.8).

use std::convert::Infallible;

use bson::{Bson, Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use millstream_flow::{Circuit, Node, Store, StoreOptions};
use millstream_sql::SqlError;
use millstream_watch::Event;
use mongodb::raw_batch_cursor::RawBatch;
use tokio::sync::mpsc;

use super::{Lane, Planned};
use crate::commit::Place;
use crate::error::{Result, bug, of_flow};
use crate::hub::{Name, is_named};
use crate::images::{copied_at, with_images};
use crate::live::UNCOMMITTED_MAX;
use crate::mirror::{Effect, Mirror};
use crate::object::Object;
use crate::read::{self, Find, Moment, is_moment_over};
use crate::run::blocking;
use crate::view::STATE_BYTES_MAX;

/// The copy, and where it is.
pub(super) struct Copy {
    circuit: Circuit,
    whole: Mirror,
    /// What the changes themselves have told of documents, until the copy is right.
    told: Mirror,
    name: Name,
    lane: Lane,
    /// Something in it may be as young as this.
    until: Option<Timestamp>,
    /// Where it is; `None`: it was not read to its end.
    place: Option<Place>,
    _open: IsOpen,
}

/// Held by a copy as long as its files are in use, also by work that nobody waits for any more.
pub(super) type IsOpen = mpsc::Sender<Infallible>;

/// How far a copy was read.
enum Read {
    Whole,
    /// The trigger was asked to stop.
    Stopped,
    /// The deployment does not have the moment.
    Over(SqlError),
}

/// What an event is with a copy.
pub(super) enum Completed {
    /// It has the documents before and after it.
    With(Event),
    /// It stays as it came.
    Same,
    /// All documents are gone: the copy has to be cleared.
    Cleared,
    /// Another collection has taken the name: the copy has to be read as of then.
    Replaced,
}

impl Copy {
    /// The copy that a mill has of a trigger's table, or an empty one.
    pub(super) fn open(object: &Object, planned: &Planned, lane: Lane, is_open: &IsOpen) -> Result<Self> {
        let name = (planned.database.clone(), planned.collection.clone());
        let state = state(object, lane);
        let open = || {
            let options = StoreOptions {
                fingerprint: format!("a copy of {}", planned.namespace()).into_bytes(),
                limit_bytes: object.definition.options.integer("max_state_bytes")?.unwrap_or(STATE_BYTES_MAX),
                // After a loss of power it may be older.
                flush: false,
                ..StoreOptions::default()
            };
            let store = object.stores.store(&state, options).map_err(|error| of_flow(&error))?;
            Self::with(store, name.clone(), lane, is_open.clone())
        };
        match open() {
            Ok(copy) if copy.place.is_some() => Ok(copy),
            // That of another table, or one that was not read to its end.
            _ => {
                object.stores.remove(&state).map_err(|error| of_flow(&error))?;
                open()
            }
        }
    }

    fn with(store: Store, name: Name, lane: Lane, is_open: IsOpen) -> Result<Self> {
        let circuit = Circuit::new(vec![Node::Values(Vec::new())], 0, store).map_err(|error| of_flow(&error))?;
        let kept = circuit.position().map_err(|error| of_flow(&error))?;
        let kept = kept.and_then(|bytes| Document::try_from(RawDocument::from_bytes(&bytes).ok()?).ok());
        let place = kept.as_ref().and_then(|kept| Place::from_bson(kept.get("place")?));
        let until = kept.as_ref().and_then(|kept| kept.get_timestamp("until").ok());
        let (whole, told) = (Mirror::of_all(0, name.clone()), Mirror::of_all(1, name.clone()));
        Ok(Self { circuit, whole, told, name, lane, until, place, _open: is_open })
    }

    /// Removes that of a trigger that needs none any more.
    pub(super) fn remove(object: &Object, lane: Lane) -> Result<()> {
        object.stores.remove(&state(object, lane)).map_err(|error| of_flow(&error))
    }

    /// Whether it is still before a place.
    pub(super) fn is_before(&self, place: &Place) -> bool {
        self.place.as_ref().is_some_and(|own| !own.has_reached(place))
    }

    /// What is between it and a place is lost: it is read again as of there.
    pub(super) async fn begin_again(mut self, object: &Object, place: &Place) -> Result<(Self, Place)> {
        self.place = None;
        self.begin(object, place).await
    }

    /// Brings it to where changes can be followed from so that it is right behind `place`: there.
    pub(super) async fn begin(self, object: &Object, place: &Place) -> Result<(Self, Place)> {
        match self.place.clone() {
            Some(own) if place.has_reached(&own) => return Ok((self, own)),
            Some(_) => {
                tracing::warn!(object = %object.definition.id, "its copy is younger than its place: it is read again")
            }
            None => {}
        }
        let (time, from) = copied_at(place)?;
        let copy = self.read(object, time, from.clone()).await?;
        let (copy, ()) = blocking(copy, Self::commit).await?;
        Ok((copy, from))
    }

    /// Reads it as of a time, just before a place, or as of now.
    pub(super) async fn read(self, object: &Object, time: Timestamp, place: Place) -> Result<Self> {
        let mut until = None;
        let (mut copy, mut read) = self.read_at(object, Some(time)).await?;
        if let Read::Over(error) = &read {
            let id = &object.definition.id;
            tracing::warn!(object = %id, "some images will be missing, as the copy is read as of now: {error}");
            (copy, read) = copy.read_at(object, object.deployment.time().await?).await?;
            if let Read::Over(_) = read {
                (copy, read) = copy.read_at(object, None).await?;
            }
            until = object.deployment.time().await?;
        }
        match read {
            Read::Whole => (copy.place, copy.until) = (Some(place), until),
            Read::Stopped => {}
            Read::Over(error) => return Err(error),
        }
        Ok(copy)
    }

    /// Reads it as of a time, or as it is meanwhile.
    async fn read_at(self, object: &Object, time: Option<Timestamp>) -> Result<(Self, Read)> {
        let clearing = blocking(self, |copy| {
            (copy.place, copy.until) = (None, None);
            copy.clear()
        });
        let (mut copy, ()) = clearing.await?;
        let client = object.deployment.client();
        let mut moment = time.map_or(Moment::Now, Moment::Time);
        let find = Find::all(&copy.name.0, &copy.name.1);
        let mut reading = match find.open(client, &mut moment).await {
            Err(error) if is_moment_over(&error) => return Ok((copy, Read::Over(error))),
            reading => reading?,
        };
        loop {
            let reply = match reading.next(&mut moment).await {
                Err(error) if is_moment_over(&error) => return Ok((copy, Read::Over(error))),
                reply => reply?,
            };
            let Some(reply) = reply else { return Ok((copy, Read::Whole)) };
            (copy, ()) = blocking(copy, move |copy| copy.load(&reply)).await?;
            if object.stop.is_stopped() {
                return Ok((copy, Read::Stopped));
            }
        }
    }

    /// Documents that were read.
    fn load(&mut self, reply: &RawBatch) -> Result<()> {
        read::documents(reply, &mut |document| {
            if self.lane.has(Some(document)) {
                self.whole.put(&mut self.circuit, document)?;
            }
            Ok(())
        })?;
        self.check()?;
        if self.is_due() {
            self.circuit.commit(&[]).map_err(|error| of_flow(&error))?;
        }
        Ok(())
    }

    /// Whether it was read to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.place.is_some()
    }

    /// Whether it is right from an event on, and was not before.
    pub(super) fn is_right_from(&self, event: &Event) -> bool {
        self.until.is_some_and(|until| event.cluster_time() > Some(until))
    }

    /// It is right from here on: what the changes have told is of no more use.
    pub(super) fn is_right(&mut self) -> Result<()> {
        self.until = None;
        forget(&mut self.circuit, &self.told)
    }

    /// Takes an event in; gives it with the documents before and after it. It is to be told before if it
    /// [is right from it on](Self::is_right_from).
    pub(super) fn complete(&mut self, event: &Event) -> Result<Completed> {
        let is_of_document = event.document_key().is_some();
        let is_renamed = event.to().is_some_and(|to| is_named(to, &self.name));
        let is_own = event.ns().is_some_and(|ns| is_named(ns, &self.name));
        if !is_renamed && (!is_own || (is_of_document && !self.lane.has(event.document_key()))) {
            return Ok(Completed::Same);
        }
        let effect = if self.until.is_some() {
            // Done again in their order, the changes lead to the same documents.
            self.whole.apply(&mut self.circuit, event, true)?;
            self.told.apply(&mut self.circuit, event, true)?
        } else {
            self.whole.apply(&mut self.circuit, event, false)?
        };
        match effect {
            Effect::Document(old, new) => with_images(event, old, new).map(Completed::With),
            Effect::Cleared => Ok(Completed::Cleared),
            Effect::Replaced => Ok(Completed::Replaced),
            Effect::Nothing => Ok(Completed::Same),
        }
    }

    /// An error if it has become too large.
    pub(super) fn check(&mut self) -> Result<()> {
        self.circuit.step(Vec::new(), 0).map(drop).map_err(|error| of_flow(&error))
    }

    /// Everything up to a place was taken in, and dealt with.
    pub(super) fn reached(&mut self, place: &Place) {
        if let Some(own) = &mut self.place {
            own.clone_from(place);
        }
    }

    /// Makes it durable where it is, which the checkpoint has reached.
    pub(super) fn commit(&mut self) -> Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let kept = doc! {"place": place.to_bson(), "until": self.until.map_or(Bson::Null, Bson::from)};
        let kept = RawDocumentBuf::try_from(&kept).map_err(|error| bug(&error.to_string()))?;
        self.circuit.commit(kept.as_bytes()).map_err(|error| of_flow(&error))
    }

    /// How much it holds.
    pub(super) fn bytes(&self) -> i64 {
        i64::try_from(self.circuit.notes_stats().bytes).unwrap_or(i64::MAX)
    }

    /// Whether much of it is not committed.
    pub(super) fn is_due(&self) -> bool {
        self.circuit.uncommitted_bytes() >= UNCOMMITTED_MAX
    }

    /// Empties it.
    pub(super) fn clear(&mut self) -> Result<()> {
        forget(&mut self.circuit, &self.whole)?;
        forget(&mut self.circuit, &self.told)
    }
}

/// The name of a lane's state.
fn state(object: &Object, lane: Lane) -> String {
    let generation = object.definition.generation.to_hex();
    if lane.of == 1 { generation } else { format!("{generation}-{}", lane.number) }
}

/// Empties a copy. What is in the files meanwhile is none, so that it would be read again.
fn forget(circuit: &mut Circuit, copy: &Mirror) -> Result<()> {
    let mut past: Option<Vec<u8>> = None;
    loop {
        let page = copy.page(circuit, past.as_deref())?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        past = Some(last.clone());
        for (key, _) in &page {
            copy.forget(circuit, key)?;
        }
        if circuit.uncommitted_bytes() >= UNCOMMITTED_MAX {
            circuit.commit(&[]).map_err(|error| of_flow(&error))?;
        }
    }
}
