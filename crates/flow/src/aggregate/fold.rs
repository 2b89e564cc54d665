//! Aggregates from the arguments of all rows, one row after the other.

use std::collections::HashMap;

use millstream_value::{DocBuf, Value};

use super::{Accumulator, compare_alike, compare_shown, percentile};
use crate::{AggregateFunction as Function, Datum, RowError, key};

/// What an aggregate may answer at most (SQL-22.1).
const BYTES_MAX: usize = 16 << 20;

/// An aggregate in the making. The arguments have passed [`super::check`]; rows come in the aggregate's order.
pub(crate) struct Fold {
    function: Function,
    state: State,
}

enum State {
    Accumulator(Accumulator),
    /// `ANY_VALUE`, `MIN`, `MAX`.
    Extreme(Option<Datum>),
    /// `ARRAY_AGG`; what takes more bytes than may be is not kept.
    Array {
        values: Vec<Datum>,
        bytes: usize,
    },
    /// `JSONB_OBJECT_AGG`: the places of the names.
    Object {
        fields: Vec<(String, Value<'static>)>,
        places: HashMap<String, usize>,
        bytes: usize,
    },
    /// `MODE`: the best so far, and the run of equal values that is being counted.
    Mode {
        best: Option<(Datum, u64)>,
        run: Option<(Datum, u64)>,
    },
    /// Percentiles: the fraction of the first row, and the values.
    Values {
        at: Option<Datum>,
        values: Vec<Datum>,
    },
    /// `STRING_AGG`.
    Text(Option<String>),
}

impl Fold {
    /// Of no rows.
    pub(crate) fn new(function: Function) -> Self {
        let state = match (Accumulator::new(function), function) {
            (Some(accumulator), _) => State::Accumulator(accumulator),
            (None, Function::ArrayAgg) => State::Array { values: Vec::new(), bytes: 0 },
            (None, Function::JsonbObjectAgg) => State::Object { fields: Vec::new(), places: HashMap::new(), bytes: 0 },
            (None, Function::Mode) => State::Mode { best: None, run: None },
            (None, Function::PercentileCont | Function::PercentileDisc) => {
                State::Values { at: None, values: Vec::new() }
            }
            (None, Function::StringAgg) => State::Text(None),
            (None, _) => State::Extreme(None),
        };
        Self { function, state }
    }

    /// Takes in the arguments of the next row.
    pub(crate) fn push(&mut self, arguments: &[Datum]) {
        let first = arguments.first().unwrap_or(&Datum::Null);
        match &mut self.state {
            State::Accumulator(accumulator) => accumulator.add(arguments),
            State::Extreme(best) => {
                let wanted =
                    if self.function == Function::Max { std::cmp::Ordering::Greater } else { std::cmp::Ordering::Less };
                let is_better = best.as_ref().is_none_or(|best| match key::compare(first, best) {
                    std::cmp::Ordering::Equal => compare_alike(first, best).is_lt(),
                    order => order == wanted,
                });
                if !first.is_null() && is_better {
                    *best = Some(first.clone());
                }
            }
            State::Array { values, bytes } => {
                *bytes += size(first);
                if *bytes <= BYTES_MAX {
                    values.push(if first.is_null() { Datum::Null } else { first.clone() });
                }
            }
            State::Object { fields, places, bytes } => {
                let Some(name) = field_name(first) else { return };
                let value = arguments.get(1).unwrap_or(&Datum::Null);
                *bytes += name.len() + size(value);
                if *bytes > BYTES_MAX {
                    return;
                }
                let place = *places.entry(name.clone()).or_insert(fields.len());
                match fields.get_mut(place) {
                    Some((_, old)) => *old = value.to_value(),
                    None => fields.push((name, value.to_value())),
                }
            }
            State::Mode { best, run } => {
                if !first.is_null() {
                    count(first, best, run);
                }
            }
            State::Values { at, values } => {
                let Some(value) = arguments.get(1) else { return };
                at.get_or_insert_with(|| first.clone());
                if !value.is_null() {
                    values.push(value.clone());
                }
            }
            State::Text(text) => {
                let Datum::Text(part) = first else { return };
                match (text, arguments.get(1)) {
                    (Some(text), _) if text.len() > BYTES_MAX => {}
                    (Some(text), Some(Datum::Text(separator))) => {
                        text.push_str(separator);
                        text.push_str(part);
                    }
                    (Some(text), _) => text.push_str(part),
                    (text, _) => *text = Some(part.as_ref().to_owned()),
                }
            }
        }
    }

    /// The aggregate's value.
    ///
    /// # Errors
    /// It is out of range or too large, or the types of the rows do not go together.
    pub(crate) fn finish(self) -> Result<Datum, RowError> {
        let too_large = || RowError::new("54000", format!("{} exceeds 16 MiB", super::name(self.function)));
        match self.state {
            State::Accumulator(accumulator) => accumulator.value(),
            State::Extreme(best) => Ok(best.unwrap_or(Datum::Null)),
            State::Array { bytes, .. } | State::Object { bytes, .. } if bytes > BYTES_MAX => Err(too_large()),
            State::Array { values, .. } if values.is_empty() => Ok(Datum::Null),
            State::Array { values, .. } => Ok(Datum::Array(values.into())),
            State::Object { fields, .. } if fields.is_empty() => Ok(Datum::Null),
            State::Object { fields, .. } => {
                let mut document = DocBuf::new();
                for (name, value) in fields {
                    document.push(&name, value);
                }
                Ok(Datum::Document(document.into_bytes().into()))
            }
            State::Mode { mut best, mut run } => {
                settle(&mut best, run.take());
                Ok(best.map_or(Datum::Null, |(value, _)| value))
            }
            State::Values { at, values } => percentile::percentile(self.function, &at.unwrap_or(Datum::Null), &values),
            State::Text(Some(text)) if text.len() > BYTES_MAX => Err(too_large()),
            State::Text(text) => Ok(text.map_or(Datum::Null, Datum::text)),
        }
    }
}

/// Computes an aggregate over rows that are there already.
#[cfg(test)]
pub(crate) fn fold<'a>(function: Function, rows: impl IntoIterator<Item = &'a [Datum]>) -> Result<Datum, RowError> {
    let mut fold = Fold::new(function);
    rows.into_iter().for_each(|arguments| fold.push(arguments));
    fold.finish()
}

/// Counts one more value for the mode.
fn count(value: &Datum, best: &mut Option<(Datum, u64)>, run: &mut Option<(Datum, u64)>) {
    match run {
        Some((shown, count)) if key::equal(shown, value) => {
            *count += 1;
            if compare_alike(value, shown).is_lt() {
                *shown = value.clone();
            }
        }
        _ => settle(best, run.replace((value.clone(), 1))),
    }
}

/// Ends a run: it is the mode if there is none that is more frequent, or as frequent and smaller.
fn settle(best: &mut Option<(Datum, u64)>, run: Option<(Datum, u64)>) {
    let Some((value, count)) = run else { return };
    let is_better = best
        .as_ref()
        .is_none_or(|(shown, most)| count.cmp(most).reverse().then_with(|| compare_shown(&value, shown)).is_lt());
    if is_better {
        *best = Some((value, count));
    }
}

/// About as many bytes as a value takes.
fn size(value: &Datum) -> usize {
    match value {
        Datum::Text(v) => v.len() + 8,
        Datum::Document(v) | Datum::Binary(_, v) => v.len() + 8,
        Datum::Array(values) => values.iter().map(size).sum::<usize>() + 8,
        _ => 16,
    }
}

/// The name of a field in a document that an aggregate builds.
pub(super) fn field_name(value: &Datum) -> Option<String> {
    match value {
        Datum::Text(v) => Some(v.as_ref().to_owned()),
        Datum::Int(v) => Some(v.to_string()),
        Datum::Long(v) => Some(v.to_string()),
        Datum::Bool(v) => Some(v.to_string()),
        Datum::ObjectId(v) => Some(v.iter().map(|byte| format!("{byte:02x}")).collect()),
        _ => None,
    }
}
