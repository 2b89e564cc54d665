//! Values that are one key but not the same: which of them are there, how often, and which one is shown (SQL-4.12).

use std::sync::Arc;

use crate::aggregate::compare_all_alike;
use crate::codec::{Reader, write_data, write_i64, write_len};
use crate::{Datum, Result};

/// Lists of values that are equal as keys, with their counts, the one that is shown first.
#[derive(Debug, Default)]
pub(super) struct Alike {
    counts: Vec<(Arc<[Datum]>, i64)>,
}

impl Alike {
    /// That of stored bytes, or of nothing.
    pub(super) fn of(bytes: Option<&[u8]>) -> Result<Self> {
        bytes.map_or_else(|| Ok(Self::default()), |bytes| Self::read(&mut Reader::new(bytes)))
    }

    /// Counts one of them so many times more.
    pub(super) fn change(&mut self, values: &[Datum], weight: i64) {
        let found = self.counts.iter().position(|(known, _)| **known == *values);
        match found.and_then(|at| Some((at, self.counts.get_mut(at)?))) {
            Some((at, (_, count))) if *count == -weight => drop(self.counts.remove(at)),
            Some((_, (_, count))) => *count += weight,
            None => {
                let place = self.counts.partition_point(|(known, _)| compare_all_alike(known, values).is_lt());
                self.counts.insert(place, (values.into(), weight));
            }
        }
    }

    /// The one that is shown.
    pub(super) fn first(&self) -> Option<&[Datum]> {
        self.counts.iter().find(|(_, count)| *count > 0).map(|(values, _)| values.as_ref())
    }

    /// All of them in their order, with their counts.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&Arc<[Datum]>, i64)> {
        self.counts.iter().map(|(values, count)| (values, (*count).max(0)))
    }

    /// How many there are.
    pub(super) fn total(&self) -> i64 {
        self.counts().map(|(_, count)| count).sum()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_len(self.counts.len(), out);
        for (values, count) in &self.counts {
            write_i64(*count, out);
            write_data(values, out);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let len = reader.len()?;
        let mut counts = Vec::with_capacity(len);
        for _ in 0..len {
            let count = reader.i64()?;
            counts.push((reader.data()?, count));
        }
        Ok(Self { counts })
    }
}
