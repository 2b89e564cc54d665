//! A row in a join's state.

use super::Which;
use crate::codec::{Reader, write_i64, write_row};
use crate::{Datum, Result, Row, key};

/// How many rows of the other side a row goes together with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Matches {
    /// The condition is true.
    pub(super) sure: i64,
    /// It is NULL.
    pub(super) unknown: i64,
}

impl Matches {
    /// The column that `Mark` appends.
    pub(super) fn mark(self) -> Datum {
        match self {
            Self { sure: 0, unknown: 0 } => Datum::Bool(false),
            Self { sure: 0, .. } => Datum::Null,
            _ => Datum::Bool(true),
        }
    }
}

pub(super) struct Entry {
    pub(super) is_coarse: bool,
    pub(super) matches: Matches,
    pub(super) row: Row,
}

impl Entry {
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let is_coarse = reader.byte()? != 0;
        let matches = Matches { sure: reader.i64()?, unknown: reader.i64()? };
        Ok(Self { is_coarse, matches, row: reader.row()? })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(u8::from(self.is_coarse));
        write_i64(self.matches.sure, &mut bytes);
        write_i64(self.matches.unknown, &mut bytes);
        write_row(&self.row, &mut bytes);
        bytes
    }
}

/// What the places of all rows of a side with a join key begin with.
pub(super) fn prefix(which: Which, join_key: &[u8]) -> Vec<u8> {
    let mut place = Vec::with_capacity(join_key.len() + 16);
    place.push(if which == Which::Left { 0 } else { 1 });
    place.extend_from_slice(join_key);
    place
}

/// The place of a row.
pub(super) fn place(which: Which, join_key: &[u8], row: &Row) -> Vec<u8> {
    let mut place = prefix(which, join_key);
    row.key.iter().for_each(|part| key::append(part, &mut place));
    place
}
