//! The rows of one side with one join key.
//!
//! A few rows are one value, so that the usual join reads and writes one key a side. Many rows have a key each, behind a
//! value that counts them; they stay like that until all of them have gone.

use super::entry::{Entry, Matches};
use super::{Driver, Which};
use crate::codec::{Reader, write_i64};
use crate::store::State;
use crate::{Change, Result, Row, key};

/// From so many bytes on, rows have a key each.
const BYTES_MAX: usize = 2 << 10;

/// First bytes of keys: of a side's values, and of its many rows.
const VALUE: [u8; 2] = [0, 1];
const ROW: [u8; 2] = [2, 3];

/// What the value begins with.
const FEW: u8 = 0;
const MANY: u8 = 1;

pub(super) enum Bucket {
    /// In the order of their keys.
    Few(Vec<Entry>),
    /// How many.
    Many(i64),
}

impl Bucket {
    pub(super) fn load(which: Which, join_key: &[u8], state: &State<'_>) -> Result<Self> {
        let Some(bytes) = state.get(&place(VALUE, which, join_key))? else { return Ok(Self::Few(Vec::new())) };
        let mut reader = Reader::new(&bytes);
        if reader.byte()? == MANY {
            return Ok(Self::Many(reader.i64()?));
        }
        let mut entries = Vec::with_capacity(1);
        while !reader.is_empty() {
            entries.push(Entry::read(&mut reader)?);
        }
        Ok(Self::Few(entries))
    }

    /// All rows.
    pub(super) fn entries(self, which: Which, join_key: &[u8], state: &State<'_>) -> Result<Vec<Entry>> {
        match self {
            Self::Few(entries) => Ok(entries),
            Self::Many(_) => {
                let rows = state.prefix(&rows(which, join_key));
                rows.map(|stored| Entry::read(&mut Reader::new(&stored?.1))).collect()
            }
        }
    }

    /// Takes rows in and out, each with its matches.
    pub(super) fn change(
        &mut self,
        which: Which,
        join_key: &[u8],
        drivers: &[Driver<'_>],
        matches: &[Matches],
        state: &mut State<'_>,
    ) -> Result<()> {
        for (Driver { change: Change { row, weight }, is_coarse }, matches) in drivers.iter().zip(matches) {
            let entry = || Entry { is_coarse: *is_coarse, matches: *matches, row: row.clone() };
            match self {
                Self::Few(entries) => match (entries.binary_search_by(|entry| by_key(&entry.row, row)), *weight > 0) {
                    (Ok(at), true) => entries.get_mut(at).into_iter().for_each(|place| *place = entry()),
                    (Ok(at), false) => drop(entries.remove(at)),
                    (Err(at), true) => entries.insert(at, entry()),
                    (Err(_), false) => {}
                },
                Self::Many(count) => {
                    *count += weight.signum();
                    if *weight > 0 {
                        state.put(&row_place(which, join_key, row), entry().bytes())?;
                    } else {
                        state.remove(&row_place(which, join_key, row))?;
                    }
                }
            }
        }
        self.save(which, join_key, state)
    }

    /// Writes the value; what is not few any more gets a key each.
    pub(super) fn save(&mut self, which: Which, join_key: &[u8], state: &mut State<'_>) -> Result<()> {
        let place = place(VALUE, which, join_key);
        let mut bytes = Vec::with_capacity(64);
        match self {
            Self::Few(entries) if entries.is_empty() => return state.remove(&place),
            Self::Many(..=0) => return state.remove(&place),
            Self::Few(entries) => {
                bytes.push(FEW);
                entries.iter().for_each(|entry| entry.write(&mut bytes));
                if bytes.len() > BYTES_MAX && entries.len() > 1 {
                    for entry in &*entries {
                        state.put(&row_place(which, join_key, &entry.row), entry.bytes())?;
                    }
                    *self = Self::Many(i64::try_from(entries.len()).unwrap_or(i64::MAX));
                    return self.save(which, join_key, state);
                }
            }
            Self::Many(count) => {
                bytes.push(MANY);
                write_i64(*count, &mut bytes);
            }
        }
        state.put(&place, bytes)
    }
}

fn by_key(a: &Row, b: &Row) -> std::cmp::Ordering {
    key::compare_all(&a.key, &b.key)
}

fn place(kinds: [u8; 2], which: Which, join_key: &[u8]) -> Vec<u8> {
    let [left, right] = kinds;
    let mut place = Vec::with_capacity(join_key.len() + 16);
    place.push(if which == Which::Left { left } else { right });
    place.extend_from_slice(join_key);
    place
}

/// What the places of many rows begin with.
pub(super) fn rows(which: Which, join_key: &[u8]) -> Vec<u8> {
    place(ROW, which, join_key)
}

fn row_place(which: Which, join_key: &[u8], row: &Row) -> Vec<u8> {
    let mut place = rows(which, join_key);
    row.key.iter().for_each(|part| key::append(part, &mut place));
    place
}
