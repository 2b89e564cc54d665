//! Circuits over changes (SQL-13): each change is one step, as of itself.

use std::sync::Arc;

use bson::{Bson, RawDocumentBuf, doc};
use millstream_flow::{Change as Weighted, Datum, Delta, Failure, Row, RowError, SourceId};
use millstream_sql::plan::DrivenChange;
use millstream_value::Doc;
use millstream_watch::Event;
use mongodb::raw_batch_cursor::RawBatch;

use super::{Epoch, Live};
use crate::change::{change_time, fields, images, operation};
use crate::commit::Commit;
use crate::difference::{self, Write};
use crate::error::{Result, bug, of_flow};
use crate::hub::namespace;
use crate::images::with_images;
use crate::mirror::Effect;
use crate::read;

impl Live {
    /// What some commits put out. Without any: what the watermark closes.
    pub(super) fn changes(&mut self, commits: &[Commit], watermark_ms: i64) -> Result<Epoch> {
        self.time_ms = self.time_ms.max(watermark_ms);
        let mut epoch = Epoch { clock_ms: self.time_ms, ..Epoch::default() };
        if commits.is_empty() {
            self.push(Vec::new(), self.time_ms, &mut epoch)?;
        }
        for commit in commits {
            let first = epoch.rows.len();
            self.one_commit(commit, &mut epoch)?;
            // ORDER BY orders the outputs of one commit (SQL-13.10).
            if !self.plan.order.is_empty()
                && let Some(own) = epoch.rows.get_mut(first..)
            {
                self.plan.sort(own);
            }
        }
        epoch.clock_ms = self.time_ms;
        Ok(epoch)
    }

    /// Rows as they are appended.
    pub(crate) fn outputs(&mut self, rows: &[Row]) -> Result<Vec<Write>> {
        let mut writes = Vec::with_capacity(rows.len());
        for row in rows {
            let document = self.document(row)?;
            if self.retain_ms.is_some() {
                let time = self.plan.time.map(|column| row.value(column));
                let time_ms = if let Some(Datum::Instant(ms)) = time { *ms } else { self.time_ms };
                let id = RawDocumentBuf::try_from(&doc! {"_id": difference::id(&document)});
                let id = id.map_err(|error| bug(&error.to_string()))?;
                // Times are not negative, so that their bytes are in their order.
                let key = [AGES, &time_ms.to_be_bytes(), &difference::id_bytes(&document)].concat();
                self.circuit.notes().put(&key, id.as_bytes()).map_err(|error| of_flow(&error))?;
            }
            writes.push(Write::Append(document));
        }
        self.rows += i64::try_from(rows.len()).unwrap_or(0);
        Ok(writes)
    }

    /// Takes away outputs that are too old (SQL-14.8).
    pub(super) fn retire(&mut self, retain_ms: i64, writes: &mut Vec<Write>) -> Result<()> {
        loop {
            let page = self.circuit.notes().page(AGES, None, AGES_PAGE).map_err(|error| of_flow(&error))?;
            let whole = page.len() == AGES_PAGE;
            for (key, id) in page {
                let time = key.get(AGES.len()..AGES.len() + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
                let due_ms = time.map_or(0, i64::from_be_bytes).saturating_add(retain_ms);
                if due_ms >= self.time_ms {
                    // It wakes when this one is to go.
                    self.due_ms = Some(self.due_ms.map_or(due_ms + 1, |due| due.min(due_ms + 1)));
                    return Ok(());
                }
                let id = RawDocumentBuf::from_bytes(id).map_err(|_| bug("a kept key is damaged"))?;
                writes.push(Write::delete(&id));
                self.circuit.notes().remove(&key).map_err(|error| of_flow(&error))?;
                self.rows -= 1;
            }
            if !whole {
                return Ok(());
            }
        }
    }

    /// An existing document, delivered as an INSERT with the snapshot's time (SQL-13.12).
    pub(crate) fn existing(&mut self, source: SourceId, document: Doc<'_>, time_ms: i64) -> Result<Vec<Row>> {
        let mut epoch = Epoch::default();
        let Some(known) = self.plan.sources.get(source) else { return Err(bug("no such source")) };
        let mut key = millstream_value::DocBuf::new();
        if let Some(id) = document.get("_id") {
            key.push("_id", id);
        }
        let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
        let token = format!("snapshot:{hex}");
        let fields: Vec<String> = document.elements().map(|element| element.key().to_owned()).collect();
        let empty = millstream_value::DocBuf::new();
        let change = DrivenChange {
            operation: "INSERT",
            old: None,
            new: Some(document),
            time_ms,
            token: &token,
            key: key.as_doc(),
            fields: &fields,
            event: empty.as_doc(),
        };
        let row = known.change_row(&change);
        self.push(vec![(source, vec![Weighted { row, weight: 1 }])], time_ms, &mut epoch)?;
        Ok(epoch.rows)
    }

    /// Existing documents as outputs, and the `_id` of the last.
    pub(crate) fn first_outputs(
        &mut self,
        source: SourceId,
        reply: &RawBatch,
        time_ms: i64,
    ) -> Result<(Vec<Write>, Option<Bson>)> {
        self.time_ms = self.time_ms.max(time_ms);
        let (mut rows, mut last) = (Vec::new(), None);
        read::documents(reply, &mut |document| {
            rows.extend(self.existing(source, read::doc(document), time_ms)?);
            last = Some(difference::id(document));
            Ok(())
        })?;
        Ok((self.outputs(&rows)?, last))
    }

    fn one_commit(&mut self, commit: &Commit, epoch: &mut Epoch) -> Result<()> {
        for event in commit.events() {
            let completed = self.completed(event)?;
            let event = completed.as_ref().unwrap_or(event);
            let time_ms = change_time(event).max(self.time_ms);
            let inputs = self.driven_rows(event, time_ms, epoch)?;
            if !inputs.is_empty() {
                self.time_ms = time_ms;
                // What the watermark closes comes before the change that raised it (SQL-12.5).
                if self.due_ms.is_some_and(|due| due <= self.time_ms) {
                    self.push(Vec::new(), self.time_ms, epoch)?;
                }
                self.push(inputs, self.time_ms, epoch)?;
            }
            self.look_up(event, epoch)?;
        }
        Ok(())
    }

    /// The rows that an event is for the sources that are driven by changes.
    fn driven_rows(&self, event: &Event, time_ms: i64, epoch: &mut Epoch) -> Result<Vec<(SourceId, Delta)>> {
        let mut inputs: Vec<(SourceId, Delta)> = Vec::new();
        let (Some(operation), Some(namespace)) = (operation(event), namespace(event)) else { return Ok(inputs) };
        for (number, source) in self.plan.sources.iter().enumerate() {
            let Some(driven) = source.driven else { continue };
            let [inserts, updates, deletes] = driven.operations;
            let passes = match operation {
                "INSERT" => inserts,
                "UPDATE" => updates,
                _ => deletes,
            };
            if !passes || namespace != (source.database.as_str(), source.collection.as_str()) {
                continue;
            }
            let token = event.token_data().ok_or_else(|| bug("a token without text"))?;
            let (old, new) = images(event);
            let lacks_old = driven.old && operation != "INSERT" && old.is_none();
            let lacks_new = driven.new && operation == "UPDATE" && new.is_none();
            if (lacks_old || lacks_new) && !self.missing_is_null {
                epoch.output.failures.push(missing(token));
                continue;
            }
            let change = DrivenChange {
                operation,
                old: old.map(read::doc),
                new: new.map(read::doc),
                time_ms,
                token,
                key: event.document_key().map_or(Doc::empty(), read::doc),
                fields: &if source.wants_fields() { fields(event)? } else { Vec::new() },
                event: read::doc(event.raw()),
            };
            let row = source.change_row(&change);
            // Others may have asked for it. What does not matter does not move the time either, so that it is the same
            // whoever asks (SQL-12.3).
            let admission = self.admissions.get(number).and_then(Option::as_ref);
            if admission
                .is_none_or(|admission| !matches!(admission.eval(&row), Ok(value) if value != Datum::Bool(true)))
            {
                inputs.push((number, vec![Weighted { row, weight: 1 }]));
            }
        }
        Ok(inputs)
    }

    /// Brings the copies of looked-up tables up to an event.
    fn look_up(&mut self, event: &Event, epoch: &mut Epoch) -> Result<()> {
        let mut inputs = Vec::new();
        for number in 0..self.of_driven {
            let Some(mirror) = self.mirrors.get(number).cloned() else { continue };
            match mirror.apply(&mut self.circuit, event, false)? {
                Effect::Document(before, after) => self.feed(number, before.as_deref(), after.as_deref(), &mut inputs),
                // What has taken its name is read behind the commit.
                Effect::Cleared | Effect::Replaced => self.clear(number, &mirror, &mut inputs)?,
                Effect::Nothing => {}
            }
        }
        if inputs.is_empty() { Ok(()) } else { self.push(inputs, self.time_ms, epoch) }
    }

    /// A change with the documents before and after it, where a copy has them.
    fn completed(&mut self, event: &Event) -> Result<Option<Event>> {
        for number in self.of_driven..self.mirrors.len() {
            let Some(mirror) = self.mirrors.get(number).cloned() else { continue };
            match mirror.apply(&mut self.circuit, event, false)? {
                Effect::Document(old, new) => return with_images(event, old, new).map(Some),
                Effect::Cleared | Effect::Replaced => self.clear(number, &mirror, &mut Vec::new())?,
                Effect::Nothing => {}
            }
        }
        Ok(None)
    }

    /// Takes a commit into the copies alone.
    pub(super) fn absorb(&mut self, commit: &Commit) -> Result<Vec<Failure>> {
        let mut epoch = Epoch::default();
        for event in commit.events() {
            self.completed(event)?;
            self.look_up(event, &mut epoch)?;
        }
        Ok(epoch.output.failures)
    }

    fn push(&mut self, inputs: Vec<(SourceId, Delta)>, watermark_ms: i64, epoch: &mut Epoch) -> Result<()> {
        let output = self.circuit.step(inputs, watermark_ms).map_err(|error| of_flow(&error))?;
        self.due_ms = output.due_ms;
        epoch.rows.extend(output.rows.into_iter().map(|change| change.row));
        epoch.output.failures.extend(output.failures);
        Ok(())
    }
}

/// When outputs were made, and their `_id`s.
const AGES: &[u8] = b"o";
/// So many are looked at together.
const AGES_PAGE: usize = 1_000;

/// SQL-12.8
fn missing(token: &str) -> Failure {
    let message = "a document before or after the change is not kept any more";
    Failure { key: Arc::from([Datum::text(token)]), error: RowError::new("MS002", message), weight: 1 }
}
