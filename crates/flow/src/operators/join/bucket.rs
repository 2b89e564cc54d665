//! The rows of both sides with one join key.
//!
//! Of each side a few rows stand in the one value of the key, so that the usual join reads and writes one key for a change.
//! Many rows, and large ones, have a key each, and their count stands in that value; they stay like that until all of them
//! have gone.

use super::entry::{Entry, Matches};
use super::{Driver, Which};
use crate::codec::{Reader, write_i64, write_len};
use crate::store::State;
use crate::{Change, Result, Row, key};

/// From so many bytes on, the rows of a side have a key each: soon in tests, so that their histories go both ways.
const BYTES_MAX: usize = if cfg!(test) { 48 } else { 2 << 10 };
/// And a single row, so that it is not written again with every change of the other side.
const ROW_BYTES_MAX: usize = if cfg!(test) { 96 } else { 32 << 10 };

/// First bytes of keys: of the value of a join key, and of the many rows of each side.
const VALUE: u8 = 0;
const LEFT_ROW: u8 = 2;
const RIGHT_ROW: u8 = 3;

/// What the value begins with says of each side whether its rows are many.
const LEFT_IS_MANY: u8 = 1;
const RIGHT_IS_MANY: u8 = 2;

/// The rows of both sides with one join key.
pub(super) struct Buckets {
    left: Bucket,
    right: Bucket,
    /// The bytes of the value in the state, if there is one.
    stored: Option<usize>,
}

/// The rows of one side with one join key.
pub(super) enum Bucket {
    /// In the order of their keys.
    Few(Vec<Entry>),
    /// How many.
    Many(i64),
}

impl Buckets {
    pub(super) fn load(join_key: &[u8], state: &State<'_>) -> Result<Self> {
        let Some(bytes) = state.get(&place(VALUE, join_key))? else {
            return Ok(Self { left: Bucket::Few(Vec::new()), right: Bucket::Few(Vec::new()), stored: None });
        };
        let mut reader = Reader::new(&bytes);
        let kinds = reader.byte()?;
        let left = Bucket::read(kinds & LEFT_IS_MANY != 0, &mut reader)?;
        let right = Bucket::read(kinds & RIGHT_IS_MANY != 0, &mut reader)?;
        Ok(Self { left, right, stored: Some(bytes.len()) })
    }

    /// The rows of a side.
    pub(super) fn of(&mut self, which: Which) -> &mut Bucket {
        match which {
            Which::Left => &mut self.left,
            Which::Right => &mut self.right,
        }
    }

    /// Writes the value; what is not few any more gets a key each.
    pub(super) fn save(mut self, join_key: &[u8], state: &mut State<'_>) -> Result<()> {
        let place = place(VALUE, join_key);
        if self.left.is_empty() && self.right.is_empty() {
            return if self.stored.is_some() { state.replace(&place, self.stored, None) } else { Ok(()) };
        }
        let mut bytes = Vec::with_capacity(128);
        bytes.push(0);
        let mut kinds = 0;
        for (which, is_many) in [(Which::Left, LEFT_IS_MANY), (Which::Right, RIGHT_IS_MANY)] {
            let bucket = self.of(which);
            let start = bytes.len();
            bucket.write(&mut bytes);
            let size = bytes.len() - start;
            let is_much = size > ROW_BYTES_MAX || (size > BYTES_MAX && bucket.is_several());
            if is_much && bucket.spread(which, join_key, state)? {
                bytes.truncate(start);
                bucket.write(&mut bytes);
            }
            kinds |= if matches!(bucket, Bucket::Many(_)) { is_many } else { 0 };
        }
        if let Some(first) = bytes.first_mut() {
            *first = kinds;
        }
        state.replace(&place, self.stored, Some(bytes.into()))
    }
}

impl Bucket {
    fn read(is_many: bool, reader: &mut Reader<'_>) -> Result<Self> {
        if is_many {
            return Ok(Self::Many(reader.i64()?));
        }
        let count = reader.len()?;
        (0..count).map(|_| Entry::read(reader)).collect::<Result<_>>().map(Self::Few)
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Few(entries) => {
                write_len(entries.len(), out);
                entries.iter().for_each(|entry| entry.write(out));
            }
            Self::Many(count) => write_i64(*count, out),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Few(entries) => entries.is_empty(),
            Self::Many(count) => *count <= 0,
        }
    }

    /// All rows.
    pub(super) fn entries(&self, which: Which, join_key: &[u8], state: &State<'_>) -> Result<Vec<Entry>> {
        match self {
            Self::Few(entries) => Ok(entries.clone()),
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
        // From now on the next ones are few again.
        if matches!(self, Self::Many(..=0)) {
            *self = Self::Few(Vec::new());
        }
        Ok(())
    }

    fn is_several(&self) -> bool {
        matches!(self, Self::Few(entries) if entries.len() > 1)
    }

    /// Gives each row a key of its own. False: each has one already.
    fn spread(&mut self, which: Which, join_key: &[u8], state: &mut State<'_>) -> Result<bool> {
        let Self::Few(entries) = self else { return Ok(false) };
        for entry in &*entries {
            state.put(&row_place(which, join_key, &entry.row), entry.bytes())?;
        }
        *self = Self::Many(i64::try_from(entries.len()).unwrap_or(i64::MAX));
        Ok(true)
    }
}

fn by_key(a: &Row, b: &Row) -> std::cmp::Ordering {
    key::compare_all(&a.key, &b.key)
}

fn place(kind: u8, join_key: &[u8]) -> Vec<u8> {
    let mut place = Vec::with_capacity(join_key.len() + 16);
    place.push(kind);
    place.extend_from_slice(join_key);
    place
}

/// What the places of many rows begin with.
pub(super) fn rows(which: Which, join_key: &[u8]) -> Vec<u8> {
    place(if which == Which::Left { LEFT_ROW } else { RIGHT_ROW }, join_key)
}

fn row_place(which: Which, join_key: &[u8], row: &Row) -> Vec<u8> {
    let mut place = rows(which, join_key);
    row.key.iter().for_each(|part| key::append(part, &mut place));
    place
}
