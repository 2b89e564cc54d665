//! Windows over changes that are ordered by something else than the sequence (SQL-13.5).
//!
//! A row may come as late as `lateness` behind its partition's greatest key, and is computed at its place. So the rows within
//! that are kept, and what frames reach back to from there; everything before is summed up in a [`Base`].

use crate::codec::{self, Reader};
use crate::operator::Step;
use crate::operators::order;
use crate::operators::watermark::too_late;
use crate::operators::window::{
    Base, Calls, Current, Evaluation, Inputs, Partition, back, earlier, entry_bytes, group_before, level_key,
};
use crate::store::State;
use crate::{Datum, LateOrder, Offset, OrderKey, Result, Row, RowError, ScalarRef};

/// First byte of the state's keys: partition to how far it has come. Lesser ones are levels.
const PARTITION: u8 = 0x80;

pub(in crate::operators) struct Late {
    partition: Vec<ScalarRef>,
    by: OrderKey,
    lateness: i64,
    calls: Calls,
}

/// How far a partition has come.
struct Progress {
    /// How many rows have come: the next one's number.
    rows: u64,
    greatest: Datum,
    /// How many rows `LAG` has looked back.
    steps: u64,
    base: Base,
}

impl Late {
    pub(super) fn new(partition: Vec<ScalarRef>, order: LateOrder, calls: Calls) -> Self {
        let by = OrderKey { value: order.key, descending: false, nulls_first: false };
        Self { partition, by, lateness: order.lateness, calls }
    }

    pub(super) fn row(&self, step: &mut Step<'_>, row: &Row) -> Result<()> {
        let Some((partition, key, inputs)) = step.or_fail(self.read(row), row, 1) else { return Ok(()) };
        let progress_key = level_key(PARTITION, &partition, &[]);
        let mut progress = match step.state.get(&progress_key)? {
            Some(bytes) => Progress::read(&bytes, &self.calls)?,
            None => Progress { rows: 0, greatest: key.clone(), steps: 0, base: Base::new(&self.calls) },
        };
        if self.limit(&progress.greatest).is_some_and(|limit| crate::key::compare(&key, &limit).is_lt()) {
            step.fail(row, too_late(), 1);
            return Ok(());
        }
        let mut place = Vec::with_capacity(24);
        order::append_key(&self.by, &key, &mut place);
        let order = place.len();
        place.extend_from_slice(&progress.rows.to_be_bytes());
        step.state.put(&level_key(0, &partition, &place), entry_bytes(order, &key, &inputs, &self.calls))?;

        let view = Partition { state: &step.state, calls: &self.calls, key: &partition, base: Some(&progress.base) };
        let current = Current { place: &place, order: place.get(..order).unwrap_or_default(), key: &key };
        let wanted = vec![true; self.calls.len()];
        let values = Evaluation::new(Some(&self.by), &self.calls).values(view, current, &inputs, &wanted, &[])?;
        super::put_out(step, row, values);

        progress.rows += 1;
        progress.steps = progress.steps.max(self.calls.steps(&inputs));
        if crate::key::compare(&key, &progress.greatest).is_gt() {
            progress.greatest = key;
        }
        self.prune(&mut step.state, &partition, &mut progress)?;
        step.state.put(&progress_key, progress.bytes())
    }

    fn read(&self, row: &Row) -> Result<(Vec<u8>, Datum, Inputs), RowError> {
        let mut partition = Vec::with_capacity(16);
        order::append_values(&self.partition, row, &mut partition)?;
        let key = self.by.value.eval(row)?;
        match &key {
            Datum::Missing | Datum::Null => Err(RowError::new("22004", "the key of a window over changes is NULL")),
            Datum::Int(_) | Datum::Long(_) | Datum::Double(_) | Datum::Decimal(_) => Ok(()),
            Datum::Instant(_) | Datum::Timestamp(_) | Datum::Date(_) => Ok(()),
            _ => Err(RowError::new("42804", "the key of a window over changes must be a time or a number")),
        }?;
        Ok((partition, key, self.calls.inputs(row)?))
    }

    /// The least key that is not too late.
    fn limit(&self, greatest: &Datum) -> Option<Datum> {
        earlier(greatest, self.lateness)
    }

    /// Sums up the rows that no frame of a row to come reaches.
    fn prune(&self, state: &mut State<'_>, partition: &[u8], progress: &mut Progress) -> Result<()> {
        let Some(limit) = self.limit(&progress.greatest) else { return Ok(()) };
        let keep_from = {
            let view = Partition { state, calls: &self.calls, key: partition, base: None };
            self.keep_from(view, &limit, progress.steps)?
        };
        let Some(keep_from) = keep_from else { return Ok(()) };
        let view = Partition { state, calls: &self.calls, key: partition, base: None };
        let mut settled = Vec::new();
        for row in view.between(&[], Some(&keep_from)) {
            let row = row?;
            let next = view.nth_after(row.place(), 1)?;
            let ends_group = next.is_none_or(|next| next.order().ok() != row.order().ok());
            progress.base.add(&row.inputs(&self.calls)?, &self.calls, ends_group, progress.steps);
            settled.push(row.place().to_vec());
        }
        for place in settled {
            state.remove(&level_key(0, partition, &place))?;
        }
        Ok(())
    }

    /// The first place that a row to come may reach; `None`: every row is kept.
    fn keep_from(&self, view: Partition<'_, '_>, limit: &Datum, steps: u64) -> Result<Option<Vec<u8>>> {
        if self.calls.keeps_all() {
            return Ok(None);
        }
        let mut from = Vec::with_capacity(16);
        order::append_key(&self.by, limit, &mut from);
        let mut keep = from.clone();
        for offset in self.calls.offsets() {
            let reached = match offset {
                Offset::Count(n) => group_before(view, &from, *n)?.unwrap_or_default(),
                distance => match back(limit, distance) {
                    Some(reached) => {
                        let mut place = Vec::with_capacity(16);
                        order::append_key(&self.by, &reached, &mut place);
                        place
                    }
                    None => continue,
                },
            };
            keep = keep.min(reached);
        }
        if steps > 0 {
            let reached = view.nth_before(&from, steps)?.map(|row| row.place().to_vec()).unwrap_or_default();
            keep = keep.min(reached);
        }
        Ok(Some(keep))
    }
}

impl Progress {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        codec::write_u64(self.rows, &mut out);
        codec::write_datum(&self.greatest, &mut out);
        codec::write_u64(self.steps, &mut out);
        self.base.write(&mut out);
        out
    }

    fn read(bytes: &[u8], calls: &Calls) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            rows: reader.u64()?,
            greatest: reader.datum()?,
            steps: reader.u64()?,
            base: Base::read(&mut reader, calls)?,
        })
    }
}
