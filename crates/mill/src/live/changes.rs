//! Circuits over changes (SQL-13): each change is one step, as of itself.

use std::sync::Arc;

use bson::RawDocumentBuf;
use millstream_flow::{Change as Weighted, Delta, Failure, Row, RowError, SourceId};
use millstream_sql::plan::DrivenChange;
use millstream_value::Doc;

use super::{Epoch, Live};
use crate::change::Change;
use crate::commit::Commit;
use crate::difference::Write;
use crate::error::{Result, bug, of_flow};
use crate::hub::names;
use crate::mirror::Effect;

impl Live {
    /// What some commits put out. Without any: what the watermark closes.
    pub(super) fn changes(&mut self, commits: &[Arc<Commit>], watermark_ms: i64) -> Result<Epoch> {
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
        for row in &epoch.rows {
            let document = self.plan.document(row, &self.context).into_bytes();
            let document = RawDocumentBuf::from_bytes(document).map_err(|_| bug("a row is no document"))?;
            epoch.writes.push(Write::Append(document));
        }
        self.rows += i64::try_from(epoch.rows.len()).unwrap_or(0);
        Ok(epoch)
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

    fn one_commit(&mut self, commit: &Commit, epoch: &mut Epoch) -> Result<()> {
        for event in &commit.events {
            let of = names(event);
            let change = Change::of(event, self.time_ms)?;
            let mut inputs: Vec<(SourceId, Delta)> = Vec::new();
            if let Some(change) = &change {
                for (number, source) in self.plan.sources.iter().enumerate() {
                    let Some(driven) = source.driven else { continue };
                    let named = of
                        .first()
                        .is_some_and(|(database, name)| *database == source.database && *name == source.collection);
                    let [inserts, updates, deletes] = driven.operations;
                    let passes = match change.operation {
                        "INSERT" => inserts,
                        "UPDATE" => updates,
                        _ => deletes,
                    };
                    if !named || !passes {
                        continue;
                    }
                    let lacks_old = driven.old && change.operation != "INSERT" && change.old.is_none();
                    let lacks_new = driven.new && change.operation == "UPDATE" && change.new.is_none();
                    if (lacks_old || lacks_new) && !self.missing_is_null {
                        epoch.failures.push(missing(change));
                        continue;
                    }
                    inputs.push((number, vec![Weighted { row: source.change_row(&driven_change(change)), weight: 1 }]));
                }
            }
            if let Some(change) = change.filter(|_| !inputs.is_empty()) {
                self.time_ms = change.time_ms;
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

    /// Brings the copies of looked-up tables up to an event.
    fn look_up(&mut self, event: &millstream_watch::Event, epoch: &mut Epoch) -> Result<()> {
        let mut inputs = Vec::new();
        for number in 0..self.mirrors.len() {
            let Some(mirror) = self.mirrors.get(number).cloned() else { continue };
            match mirror.apply(&mut self.circuit, event)? {
                Effect::Document(before, after) => self.feed(number, before.as_deref(), after.as_deref(), &mut inputs),
                Effect::Cleared => self.clear(number, &mirror, &mut inputs)?,
                Effect::Replaced => epoch.rebuild = true,
                Effect::Nothing => {}
            }
        }
        if inputs.is_empty() { Ok(()) } else { self.push(inputs, self.time_ms, epoch) }
    }

    fn push(&mut self, inputs: Vec<(SourceId, Delta)>, watermark_ms: i64, epoch: &mut Epoch) -> Result<()> {
        let output = self.circuit.step(inputs, watermark_ms).map_err(|error| of_flow(&error))?;
        self.due_ms = output.due_ms;
        epoch.rows.extend(output.rows.into_iter().map(|change| change.row));
        epoch.failures.extend(output.failures);
        Ok(())
    }
}

fn driven_change(change: &Change) -> DrivenChange<'_> {
    DrivenChange {
        operation: change.operation,
        old: change.old.as_ref().map(|raw| Doc::new(raw.as_bytes())),
        new: change.new.as_ref().map(|raw| Doc::new(raw.as_bytes())),
        time_ms: change.time_ms,
        token: &change.token,
        key: change.event.document_key().map_or(Doc::empty(), |raw| Doc::new(raw.as_bytes())),
        fields: &change.fields,
        event: Doc::new(change.event.raw().as_bytes()),
    }
}

/// SQL-12.8
fn missing(change: &Change) -> Failure {
    let message = "a document before or after the change is not kept any more";
    Failure {
        key: Arc::from([millstream_flow::Datum::text(&change.token)]),
        error: RowError::new("MS002", message),
        weight: 1,
    }
}
