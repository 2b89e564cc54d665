//! Changes joined with a relation as it is when they come (SQL-13.6). See [`crate::Node::Lookup`].
//!
//! The caller puts the changes of one source into a step. So when the left side has any, the right side either has none or
//! is made of the same source; then its differences are those that the changes themselves made, and they come first: a
//! lookup sees every change that precedes its own, and its own.
//!
//! State: the rows of the right side by the keys that are compared.

use super::{is_true, order};
use crate::codec::{self, Reader};
use crate::operator::{Operator, Step};
use crate::store::State;
use crate::{Datum, JoinKind, Result, Row, RowError, ScalarRef};

pub(super) struct Lookup {
    pub(super) kind: JoinKind,
    pub(super) left_keys: Vec<ScalarRef>,
    pub(super) right_keys: Vec<ScalarRef>,
    pub(super) residual: Option<ScalarRef>,
    /// Columns and key components of a right row.
    pub(super) right_width: (usize, usize),
}

impl Lookup {
    /// One difference of the relation.
    fn relation(&self, step: &mut Step<'_>, row: &Row, weight: i64) -> Result<()> {
        let Some(key) = step.or_fail(compared(&self.right_keys, row), row, weight) else { return Ok(()) };
        // NULL matches nothing, so such rows are never looked for.
        let Some(mut key) = key else { return Ok(()) };
        order::append_row_key(row, &mut key);
        if weight > 0 { step.state.put(&key, codec::row_bytes(row)) } else { step.state.remove(&key) }
    }

    /// The rows that one change puts out.
    fn change(&self, state: &State<'_>, left: &Row) -> Result<Result<Vec<Row>, RowError>> {
        let key = match compared(&self.left_keys, left) {
            Ok(key) => key,
            Err(error) => return Ok(Err(error)),
        };
        let mut matches = Vec::new();
        let mut unknown = false;
        let entries = key.iter().flat_map(|key| state.prefix(key));
        for entry in entries {
            let right = Reader::new(&entry?.1).row()?;
            match self.residual.as_ref().map_or(Ok(Some(true)), |residual| truth(residual, &pair(left, &right))) {
                Ok(Some(true)) if matches!(self.kind, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark) => {
                    matches.push(right);
                    break;
                }
                Ok(Some(true)) => matches.push(right),
                Ok(Some(false)) => {}
                Ok(None) => unknown = true,
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(self.outputs(left, &matches, unknown))
    }

    fn outputs(&self, left: &Row, matches: &[Row], unknown: bool) -> Result<Vec<Row>, RowError> {
        let padding = || Row::new(vec![Datum::Null; self.right_width.1], vec![Datum::Null; self.right_width.0]);
        let keyed_left = |row: Row| Row { key: left.key.clone(), values: row.values };
        Ok(match (self.kind, matches) {
            (JoinKind::Semi, [_, ..]) | (JoinKind::Anti, []) => vec![left.clone()],
            (JoinKind::Semi | JoinKind::Anti, _) => vec![],
            (JoinKind::Mark, _) => {
                let mark = match (matches, unknown) {
                    ([_, ..], _) => Datum::Bool(true),
                    ([], true) => Datum::Null,
                    ([], false) => Datum::Bool(false),
                };
                vec![Row { key: left.key.clone(), values: left.values.iter().cloned().chain([mark]).collect() }]
            }
            (JoinKind::Single, []) => vec![keyed_left(pair(left, &padding()))],
            (JoinKind::Single, [only]) => vec![keyed_left(pair(left, only))],
            (JoinKind::Single, _) => return Err(RowError::new("21000", "a subquery used as a value has several rows")),
            (JoinKind::Left | JoinKind::Full, []) => vec![pair(left, &padding())],
            (JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full, _) => {
                matches.iter().map(|right| pair(left, right)).collect()
            }
        })
    }
}

impl Operator for Lookup {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        for change in step.input(1) {
            self.relation(step, &change.row, change.weight)?;
        }
        for change in step.input(0) {
            let outputs = self.change(&step.state, &change.row)?;
            for row in step.or_fail(outputs, &change.row, change.weight).unwrap_or_default() {
                step.emit(row, change.weight);
            }
        }
        Ok(())
    }
}

/// The keys that are compared, as bytes; `None`: one of them is NULL.
pub(super) fn compared(keys: &[ScalarRef], row: &Row) -> Result<Option<Vec<u8>>, RowError> {
    let mut out = Vec::with_capacity(32);
    for key in keys {
        let value = key.eval(row)?;
        if value.is_null() {
            return Ok(None);
        }
        crate::key::append(&value, &mut out);
    }
    Ok(Some(out))
}

/// A left and a right row as one.
pub(super) fn pair(left: &Row, right: &Row) -> Row {
    Row {
        key: left.key.iter().chain(right.key.iter()).cloned().collect(),
        values: left.values.iter().chain(right.values.iter()).cloned().collect(),
    }
}

/// A condition; `None`: NULL.
fn truth(condition: &ScalarRef, row: &Row) -> Result<Option<bool>, RowError> {
    match condition.eval(row)? {
        Datum::Bool(value) => Ok(Some(value)),
        Datum::Missing | Datum::Null => Ok(None),
        _ => is_true(condition, row).map(Some),
    }
}
