//! A materialized view's state and what is done to it: a circuit, the copies of its sources, and where they are.
//!
//! Plain code that waits for nothing; [`crate::view`] reads and writes around it. The state may lie behind the collection,
//! never before it: what is missing is computed again, and comes to what is written already (SQL-19.1, SQL-19.3).

mod changes;
mod filling;
mod replaced;

use std::collections::BTreeSet;
use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use millstream_flow::{Change, Circuit, Committed, Delta, Output, Row, ScalarRef, Sealed, SourceId, Store};
use millstream_sql::expr::Context;
use millstream_sql::plan::{Plan, Source};
use millstream_sql::statement::Options;
use millstream_value::Doc;

pub(crate) use self::filling::Filling;

use crate::commit::{Commit, Place};
use crate::difference::{self, Write};
use crate::error::{Result, bug, of_flow};
use crate::held;
use crate::hub::Name;
use crate::images::Images;
use crate::mirror::{Effect, Mirror, mirrors};
use crate::wants::{Interest, Wants};

/// About so many bytes of state are held in memory before they are committed.
pub(crate) const UNCOMMITTED_MAX: usize = 16 << 20;
/// Which collections have no copy, a byte each.
const BY_IMAGES: &[u8] = b"i";

/// Where a view is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Position {
    /// Which definition's answer it is.
    pub(crate) generation: ObjectId,
    /// The number of the last epoch in it.
    pub(crate) step: i64,
    /// The place in the changes behind what is in the state.
    pub(crate) place: Place,
    /// The view's clock.
    pub(crate) clock_ms: i64,
    /// How far it is being built; `None`: it is whole.
    pub(crate) filling: Option<Filling>,
}

impl Position {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let place = self.place.to_bson();
        let mut kept = doc! {"generation": self.generation, "step": self.step, "place": place, "clock": self.clock_ms};
        if let Some(filling) = &self.filling {
            kept.insert("filling", filling.to_document());
        }
        RawDocumentBuf::try_from(&kept).map(RawDocumentBuf::into_bytes).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kept = Document::try_from(RawDocument::from_bytes(bytes).ok()?).ok()?;
        Some(Self {
            generation: kept.get_object_id("generation").ok()?,
            step: kept.get_i64("step").ok()?,
            place: Place::from_bson(kept.get("place")?)?,
            clock_ms: kept.get_i64("clock").ok()?,
            filling: match kept.get_document("filling") {
                Ok(filling) => Some(Filling::from_document(filling)?),
                Err(_) => None,
            },
        })
    }
}

/// A view's state.
pub(crate) struct Live {
    circuit: Circuit,
    /// Of each node of the circuit the operator that it is part of.
    owners: Vec<usize>,
    plan: Arc<Plan>,
    context: Arc<Context>,
    mirrors: Vec<Arc<Mirror>>,
    /// Which copy each source reads; none: it is driven by its changes.
    places: Vec<Option<usize>>,
    /// From here on the copies are of what drives it, for the documents before and after changes (SQL-12.6).
    of_driven: usize,
    /// Of each source what the row of a change must satisfy to matter, where changes are the rows.
    admissions: Vec<Option<ScalarRef>>,
    pub(crate) due_ms: Option<i64>,
    /// How many rows the answer has.
    pub(crate) rows: i64,
    /// The largest change time so far, where changes are the rows (SQL-12.3).
    time_ms: i64,
    missing_is_null: bool,
    /// Numbers of columns are stored as doubles (SQL-14.4).
    doubles: bool,
    /// How long outputs of changes are kept (SQL-14.8).
    retain_ms: Option<i64>,
    /// Its state is on disk, and ends with its owner.
    is_temporary: bool,
}

/// What some commits come to.
#[derive(Default)]
pub(crate) struct Epoch {
    /// Over tables, what the circuit has put out; over changes only its failures.
    pub(crate) output: Output,
    /// Over changes: the rows in their order.
    pub(crate) rows: Vec<Row>,
    /// Over changes: the watermark.
    pub(crate) clock_ms: i64,
    /// A collection has to be read anew.
    pub(crate) rebuild: bool,
}

impl Epoch {
    /// Takes over what the next commits come to.
    pub(crate) fn extend(&mut self, next: Self) {
        self.output.extend(next.output);
        self.rows.extend(next.rows);
        self.clock_ms = next.clock_ms;
        self.rebuild |= next.rebuild;
    }
}

impl Live {
    /// The state in a store.
    pub(crate) fn open(plan: Arc<Plan>, context: Arc<Context>, store: Store) -> Result<Self> {
        let (nodes, output) = plan.circuit(&context)?;
        let mut circuit = Circuit::new(nodes, output, store).map_err(|error| of_flow(&error))?;
        let owners = plan.owners(&context)?;
        let (mut mirrors, places) = mirrors(&plan.sources);
        let by_images = circuit.notes().get(BY_IMAGES).map_err(|error| of_flow(&error))?.unwrap_or_default();
        for (mirror, by_images) in mirrors.iter_mut().zip(by_images) {
            mirror.by_images = by_images == 1;
        }
        let mirrors: Vec<_> = mirrors.into_iter().map(Arc::new).collect();
        let of_driven = mirrors.len();
        let admission = |source: &Source| source.admission().map(|condition| condition.compile(&context));
        let admissions = plan.sources.iter().map(admission).collect();
        let (missing_is_null, doubles, retain_ms) = (false, false, None);
        Ok(Self {
            circuit,
            owners,
            plan,
            context,
            mirrors,
            places,
            of_driven,
            admissions,
            due_ms: None,
            rows: 0,
            time_ms: 0,
            missing_is_null,
            doubles,
            retain_ms,
            is_temporary: false,
        })
    }

    /// The collections that are read, and how their documents before and after a change are known.
    pub(crate) fn mirrors(&self) -> &[Arc<Mirror>] {
        &self.mirrors
    }

    /// Of some collections the deployment keeps images, so that no copies are needed. To be said before anything is read.
    pub(crate) fn go_by_images(&mut self, kept: &BTreeSet<Name>) -> Result<()> {
        for mirror in &mut self.mirrors {
            Arc::make_mut(mirror).by_images = kept.contains(&mirror.name);
        }
        let by_images: Vec<u8> = self.mirrors.iter().map(|mirror| u8::from(mirror.by_images)).collect();
        self.circuit.notes().put(BY_IMAGES, &by_images).map_err(|error| of_flow(&error))
    }

    /// Keeps copies of the collections whose changes need the documents before or after them. To be said when it is opened.
    pub(crate) fn copy_driven(&mut self) {
        self.mirrors.truncate(self.of_driven);
        let names: BTreeSet<Name> = imaged(&self.plan);
        for name in names {
            self.mirrors.push(Arc::new(Mirror::of_all(self.mirrors.len(), name)));
        }
    }

    /// Whether some collections have no copy.
    pub(crate) fn goes_by_images(&self) -> bool {
        self.mirrors.iter().any(|mirror| mirror.by_images)
    }

    /// Where it is, if it was ever complete.
    pub(crate) fn position(&self) -> Result<Option<Position>> {
        let kept = self.circuit.position().map_err(|error| of_flow(&error))?;
        Ok(kept.and_then(|bytes| Position::from_bytes(&bytes)))
    }

    /// Makes everything so far durable.
    pub(crate) fn commit(&mut self, position: &Position) -> Result<()> {
        self.circuit.commit(&position.to_bytes()).map_err(|error| of_flow(&error))
    }

    /// Its state is on disk, and ends with its owner.
    pub(crate) fn end_with_owner(&mut self) {
        self.is_temporary = true;
    }

    /// Has the store hold less in memory, if that is much and nobody will ask how far the files are.
    pub(crate) fn make_room(&mut self) -> Result<()> {
        if self.is_temporary && self.is_large() {
            self.circuit.commit(&[]).map_err(|error| of_flow(&error))?;
        }
        Ok(())
    }

    /// Takes what was computed since the last commit, to be committed while more is computed.
    pub(crate) fn seal(&mut self) -> Result<Sealed> {
        self.circuit.seal().map_err(|error| of_flow(&error))
    }

    /// What was sealed is committed.
    pub(crate) fn settle(&mut self, committed: Committed) {
        self.circuit.settle(committed);
    }

    /// Whether memory holds so much that was not yet committed or sealed that it is time.
    pub(crate) fn is_large(&self) -> bool {
        self.circuit.uncommitted_bytes() >= UNCOMMITTED_MAX
    }

    /// The bytes of its state.
    pub(crate) fn state_bytes(&self) -> u64 {
        self.circuit.stats().iter().map(|node| node.bytes).sum()
    }

    /// How much each operator holds.
    pub(crate) fn held(&self) -> Document {
        held::to_document(&self.circuit.stats(), &self.owners, self.circuit.notes_stats())
    }

    /// What whole commits come to, or the time alone if there are none.
    pub(crate) fn epoch(&mut self, commits: &[Commit], clock_ms: i64) -> Result<Epoch> {
        if self.plan.changes {
            return self.changes(commits, clock_ms);
        }
        let Some(inputs) = self.inputs(commits, false)? else { return Ok(Epoch { rebuild: true, ..Epoch::default() }) };
        let output = self.circuit.step(inputs, clock_ms).map_err(|error| of_flow(&error))?;
        self.due_ms = output.due_ms;
        Ok(Epoch { output, clock_ms, ..Epoch::default() })
    }

    /// What an epoch over tables changes in the answer: rows that go and rows that come, as they are stored.
    pub(crate) fn difference(&mut self, epoch: &mut Epoch) -> Result<(Vec<RawDocumentBuf>, Vec<RawDocumentBuf>)> {
        epoch.output.net();
        let (going, coming) = self.stored(&epoch.output.rows)?;
        self.rows += i64::try_from(coming.len()).unwrap_or(0) - i64::try_from(going.len()).unwrap_or(0);
        Ok((going, coming))
    }

    /// What an epoch changes in the collection.
    pub(crate) fn writes(&mut self, epoch: &mut Epoch) -> Result<Vec<Write>> {
        let (going, coming) = self.difference(epoch)?;
        if !self.plan.changes {
            return Ok(difference::writes(going, coming));
        }
        let mut writes = self.outputs(&epoch.rows)?;
        if let Some(retain_ms) = self.retain_ms {
            self.retire(retain_ms, &mut writes)?;
        }
        Ok(writes)
    }

    /// What commits do to the sources; `repeated`: some may be in the copies already. `None`: a collection has to be read anew.
    fn inputs(&mut self, commits: &[Commit], repeated: bool) -> Result<Option<Vec<(SourceId, Delta)>>> {
        let mut inputs = Vec::new();
        for event in commits.iter().flat_map(Commit::events) {
            for number in 0..self.mirrors.len() {
                let Some(mirror) = self.mirrors.get(number).cloned() else { continue };
                match mirror.apply(&mut self.circuit, event, repeated)? {
                    Effect::Document(before, after) => {
                        self.feed(number, before.as_deref(), after.as_deref(), &mut inputs);
                    }
                    Effect::Cleared => self.clear(number, &mirror, &mut inputs)?,
                    Effect::Replaced => return Ok(None),
                    Effect::Nothing => {}
                }
            }
        }
        Ok(Some(inputs))
    }

    /// The collections that are read.
    pub(crate) fn names(&self) -> BTreeSet<Name> {
        self.plan.sources.iter().map(|source| (source.database.clone(), source.collection.clone())).collect()
    }

    /// What it has to see of changes (SQL-20.3).
    pub(crate) fn wants(&self) -> Wants {
        let copies = self.mirrors.get(self.of_driven..).unwrap_or_default();
        let images = copies.is_empty() && !imaged(&self.plan).is_empty();
        let mut wants = Wants { images: images || self.goes_by_images(), ..Wants::default() };
        for (source, place) in self.plan.sources.iter().zip(&self.places) {
            let name = (source.database.clone(), source.collection.clone());
            let copy = copies.iter().find(|copy| copy.name == name);
            let interest = match copy.or_else(|| self.mirrors.get((*place)?)) {
                // The event of an update lacks what a copy is asked for.
                Some(mirror) if !mirror.by_images => Interest::new(None, mirror.fields.clone()),
                _ => Interest::of(source, &self.context),
            };
            wants.add(name, &interest);
        }
        wants
    }

    /// Takes over the options that matter to what is made of changes and rows (SQL-18.8).
    pub(crate) fn set_options(&mut self, options: &Options) -> Result<()> {
        let images = if self.plan.changes { Images::of(options)? } else { Images::Kept };
        if images == Images::Mirror {
            self.copy_driven();
        }
        let looks_up = images == Images::Lookup;
        self.missing_is_null(looks_up || options.text("missing_image")? == Some("null"));
        self.doubles = options.text("numeric_as")? == Some("double");
        self.retain_ms = options.interval("retain")?.map(crate::interval::millis).transpose()?;
        Ok(())
    }

    /// The collections whose changes are the rows.
    pub(crate) fn driven(&self) -> BTreeSet<Name> {
        let driven = self.plan.sources.iter().filter(|source| source.driven.is_some());
        driven.map(|source| (source.database.clone(), source.collection.clone())).collect()
    }

    /// What was missing of a change is NULL (SQL-12.8).
    pub(crate) fn missing_is_null(&mut self, is_null: bool) {
        self.missing_is_null = is_null;
    }

    /// A row as it is stored.
    fn document(&self, row: &Row) -> Result<RawDocumentBuf> {
        let document = self.plan.document(row, &self.context).into_bytes();
        let document = RawDocumentBuf::from_bytes(document).map_err(|_| bug("a row is no document"))?;
        if self.doubles { with_doubles(&document) } else { Ok(document) }
    }

    fn clear(&mut self, number: usize, mirror: &Mirror, inputs: &mut Vec<(SourceId, Delta)>) -> Result<()> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = mirror.page(&mut self.circuit, after.as_deref())?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, document) in &page {
                self.feed(number, Some(document), None, inputs);
                mirror.forget(&mut self.circuit, key)?;
            }
        }
    }

    /// The rows of a document before and after a change, for each source that reads its collection.
    fn feed(
        &self,
        mirror: usize,
        before: Option<&RawDocument>,
        after: Option<&RawDocument>,
        inputs: &mut Vec<(SourceId, Delta)>,
    ) {
        if let (Some(before), Some(after)) = (before, after)
            && before.as_bytes() == after.as_bytes()
        {
            return;
        }
        for (number, source) in self.plan.sources.iter().enumerate() {
            if self.places.get(number) != Some(&Some(mirror)) {
                continue;
            }
            let row = |document: &RawDocument| -> Row { source.row(Doc::new(document.as_bytes())) };
            let place = match inputs.iter().position(|(known, _)| *known == number) {
                Some(place) => place,
                None => {
                    inputs.push((number, Delta::new()));
                    inputs.len() - 1
                }
            };
            if let Some((_, delta)) = inputs.get_mut(place) {
                delta.extend(before.map(|document| Change { row: row(document), weight: -1 }));
                delta.extend(after.map(|document| Change { row: row(document), weight: 1 }));
            }
        }
    }

    /// Rows that go and rows that come, as they are stored.
    fn stored(&self, rows: &Delta) -> Result<(Vec<RawDocumentBuf>, Vec<RawDocumentBuf>)> {
        let (mut going, mut coming) = (Vec::new(), Vec::new());
        for change in rows {
            let document = self.document(&change.row)?;
            if change.weight < 0 { going.push(document) } else { coming.push(document) }
        }
        Ok((going, coming))
    }
}

/// The collections of whose changes the documents before or after are needed (SQL-12.7).
pub(crate) fn imaged(plan: &Plan) -> BTreeSet<Name> {
    let needed = |source: &&Source| source.driven.is_some_and(|driven| driven.old || driven.new);
    plan.sources.iter().filter(needed).map(|source| (source.database.clone(), source.collection.clone())).collect()
}

/// A stored row whose decimal columns are doubles.
fn with_doubles(row: &RawDocument) -> Result<RawDocumentBuf> {
    let mut stored = Document::try_from(row).map_err(|error| bug(&error.to_string()))?;
    for (name, value) in stored.iter_mut() {
        if let Bson::Decimal128(number) = value
            && name != "_id"
        {
            *value = Bson::Double(number.to_string().parse().map_err(|_| bug("a decimal is no number"))?);
        }
    }
    RawDocumentBuf::try_from(&stored).map_err(|error| bug(&error.to_string()))
}
