//! A row in a join's state.

use crate::codec::{Reader, write_i64, write_row};
use crate::{Datum, Result, Row};

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

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) is_coarse: bool,
    pub(super) matches: Matches,
    pub(super) row: Row,
}

impl Entry {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let is_coarse = reader.byte()? != 0;
        let matches = Matches { sure: reader.i64()?, unknown: reader.i64()? };
        Ok(Self { is_coarse, matches, row: reader.row()? })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_coarse));
        write_i64(self.matches.sure, out);
        write_i64(self.matches.unknown, out);
        write_row(&self.row, out);
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        self.write(&mut bytes);
        bytes
    }
}
