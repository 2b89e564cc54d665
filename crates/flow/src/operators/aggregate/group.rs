//! The state of one group.

use super::call::{Call, Kept};
use crate::aggregate::{Accumulator, Fold};
use crate::codec::{Reader, write_datum, write_i64};
use crate::operators::alike::Alike;
use crate::store::State;
use crate::{AggregateFunction as Function, Datum, Result, RowError, key};

/// First byte of the keys of groups, and of the keys of entries.
const GROUP: u8 = 0;
const ENTRY: u8 = 1;

pub(super) struct Group {
    /// How many rows it has.
    pub(super) count: i64,
    /// The grouping values.
    pub(super) shown: Alike,
    calls: Vec<Small>,
}

/// What a row gives to a call, or takes back.
pub(super) struct Given<'a> {
    pub(super) arguments: &'a [Datum],
    /// The place of its entry.
    pub(super) place: &'a [u8],
    pub(super) weight: i64,
}

/// What one call keeps in the group's row.
enum Small {
    Sums(Accumulator),
    Extreme {
        value: Option<Datum>,
        /// Whether it has to be looked up among the entries.
        is_lost: bool,
    },
    Nothing,
}

impl Group {
    pub(super) fn new(calls: &[Call]) -> Self {
        let calls = calls.iter().map(|call| match (Accumulator::new(call.function()), call.kept) {
            (Some(accumulator), _) => Small::Sums(accumulator),
            (None, Kept::Extreme) => Small::Extreme { value: None, is_lost: false },
            (None, _) => Small::Nothing,
        });
        Self { count: 0, shown: Alike::default(), calls: calls.collect() }
    }

    pub(super) fn load(id: &[u8], calls: &[Call], state: &State<'_>) -> Result<Option<Self>> {
        let Some(bytes) = state.get(&group_key(id))? else { return Ok(None) };
        let mut reader = Reader::new(&bytes);
        let mut group = Self::new(calls);
        group.count = reader.i64()?;
        group.shown = Alike::read(&mut reader)?;
        for small in &mut group.calls {
            match small {
                Small::Sums(accumulator) => accumulator.read(&mut reader)?,
                Small::Extreme { value, .. } => *value = Some(reader.datum()?).filter(|value| !value.is_null()),
                Small::Nothing => {}
            }
        }
        Ok(Some(group))
    }

    pub(super) fn save(&self, id: &[u8], state: &mut State<'_>) -> Result<()> {
        let mut bytes = Vec::with_capacity(64);
        write_i64(self.count, &mut bytes);
        self.shown.write(&mut bytes);
        for small in &self.calls {
            match small {
                Small::Sums(accumulator) => accumulator.write(&mut bytes),
                Small::Extreme { value, .. } => write_datum(value.as_ref().unwrap_or(&Datum::Null), &mut bytes),
                Small::Nothing => {}
            }
        }
        state.put(&group_key(id), bytes)
    }

    pub(super) fn remove(id: &[u8], state: &mut State<'_>) -> Result<()> {
        state.remove(&group_key(id))
    }

    /// Takes what a call takes of one row, or gives it back.
    pub(super) fn apply(
        &mut self,
        at: usize,
        call: &Call,
        given: &Given<'_>,
        id: &[u8],
        state: &mut State<'_>,
    ) -> Result<()> {
        let Some(small) = self.calls.get_mut(at) else { return Ok(()) };
        if let (Small::Sums(accumulator), Kept::Sums) = (&mut *small, call.kept) {
            accumulator.apply(given.arguments, given.weight);
            return Ok(());
        }
        let entry = [&entry_prefix(id, at), given.place].concat();
        let mut alike = Alike::of(state.get(&entry)?.as_deref())?;
        let old = alike.first().map(<[Datum]>::to_vec);
        alike.change(given.arguments, given.weight);
        let new = alike.first();
        if old.as_deref() != new {
            match small {
                Small::Sums(accumulator) => {
                    old.iter().for_each(|arguments| accumulator.remove(arguments));
                    new.iter().for_each(|arguments| accumulator.add(arguments));
                }
                Small::Extreme { value, is_lost } => {
                    replace(call.function(), value, is_lost, given.arguments, new.and_then(<[Datum]>::first));
                }
                Small::Nothing => {}
            }
        }
        if alike.is_empty() {
            return state.remove(&entry);
        }
        let mut bytes = Vec::new();
        alike.write(&mut bytes);
        state.put(&entry, bytes)
    }

    /// Looks up the extremes that have gone.
    pub(super) fn settle(&mut self, id: &[u8], calls: &[Call], state: &State<'_>) -> Result<()> {
        for (at, (small, call)) in self.calls.iter_mut().zip(calls).enumerate() {
            let Small::Extreme { value, is_lost: is_lost @ true } = small else { continue };
            *is_lost = false;
            *value = None;
            let prefix = entry_prefix(id, at);
            let mut entries = state.prefix(&prefix);
            loop {
                let next = if call.function() == Function::Max { entries.next_back() } else { entries.next() };
                let Some(entry) = next.transpose()? else { break };
                *value = Alike::of(Some(&entry.1))?.first().and_then(<[Datum]>::first).cloned();
                if value.is_some() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The value of a call.
    pub(super) fn value(
        &self,
        at: usize,
        call: &Call,
        id: &[u8],
        state: &State<'_>,
    ) -> Result<Result<Datum, RowError>> {
        match self.calls.get(at) {
            Some(Small::Sums(accumulator)) => Ok(accumulator.value()),
            Some(Small::Extreme { value, .. }) => Ok(Ok(value.clone().unwrap_or(Datum::Null))),
            _ => {
                let mut fold = Fold::new(call.function());
                for entry in state.prefix(&entry_prefix(id, at)) {
                    if let Some(arguments) = Alike::of(Some(&entry?.1))?.first() {
                        fold.push(arguments);
                    }
                }
                Ok(fold.finish())
            }
        }
    }
}

/// What a change of one entry means for the extreme: `new` is what is shown of the entry now.
fn replace(function: Function, value: &mut Option<Datum>, is_lost: &mut bool, entry: &[Datum], new: Option<&Datum>) {
    let Some(entry) = entry.first() else { return };
    let order = value.as_ref().map(|value| key::compare(entry, value));
    let is_before = match order {
        None => true,
        Some(order) if function == Function::Max => order.is_gt(),
        Some(order) => order.is_lt(),
    };
    match new {
        Some(new) if is_before || order.is_some_and(std::cmp::Ordering::is_eq) => *value = Some(new.clone()),
        None if order.is_some_and(std::cmp::Ordering::is_eq) => *is_lost = true,
        _ => {}
    }
}

fn group_key(id: &[u8]) -> Vec<u8> {
    [&[GROUP], id].concat()
}

fn entry_prefix(id: &[u8], call: usize) -> Vec<u8> {
    let call = u16::try_from(call).unwrap_or(u16::MAX).to_be_bytes();
    [&[ENTRY], id, call.as_slice()].concat()
}
