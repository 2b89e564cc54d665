//! Blocks: entries that were committed together, as one row.
//!
//! Key:   `b`, first cluster time (8 bytes, big-endian)
//! Value: bytes of the segment before this block (u64), unix milliseconds of the group (u64), then
//!        per entry its cluster time (u64) and its BSON, which carries its own length. Big-endian
//!        but for the BSON.

use bytes::Bytes;

use super::LogEntry;
use crate::{ClusterTime, Error, Result, Slice};

/// A block is full at this size; an entry that is larger has one of its own.
pub(crate) const BLOCK_BYTES: usize = 256 << 10;

/// Bytes before the first entry.
const HEADER: usize = 16;
/// Bytes before the BSON of the first entry.
const FIRST: usize = HEADER + 8;
/// The least bytes of a BSON document.
const BSON_MIN: usize = 5;

/// The key of the block that starts at `first`.
pub(crate) fn block_key(first: ClusterTime) -> Slice {
    let mut key = Vec::with_capacity(9);
    key.push(b'b');
    key.extend_from_slice(&first.to_be_bytes());
    key.into()
}

/// The first time in a block, from its key.
pub(crate) fn first_time(key: &[u8]) -> Result<ClusterTime> {
    match key.split_first() {
        Some((b'b', time)) if time.len() == 8 => Ok(ClusterTime::from_u64(number(time))),
        _ => Err(Error::Corrupt("the key of a log block".into())),
    }
}

/// Whether these bytes are as long as the BSON document they start with.
pub(crate) fn is_delimited(entry: &[u8]) -> bool {
    entry.len() >= BSON_MIN && bson_len(entry) == Some(entry.len())
}

fn bson_len(bytes: &[u8]) -> Option<usize> {
    let head = bytes.first_chunk::<4>()?;
    usize::try_from(i32::from_le_bytes(*head)).ok()
}

/// A block that is being filled.
pub(crate) struct Builder {
    buffer: Vec<u8>,
    /// Where each entry's BSON starts and ends.
    entries: Vec<(ClusterTime, usize, usize)>,
}

impl Builder {
    pub(crate) fn new(first_entry_bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(FIRST + first_entry_bytes);
        buffer.resize(HEADER, 0);
        Self { buffer, entries: Vec::new() }
    }

    /// A buffer in which everything before an entry has its place; the entry is to be written behind it.
    pub(crate) fn room(entry_bytes: usize) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(FIRST + entry_bytes);
        buffer.resize(FIRST, 0);
        buffer
    }

    /// The entry that was written into a room.
    pub(crate) fn entry_in(buffer: &[u8]) -> &[u8] {
        buffer.get(FIRST..).unwrap_or_default()
    }

    /// A block that begins with the entry that was written into a room.
    pub(crate) fn with(time: ClusterTime, mut buffer: Vec<u8>) -> Self {
        if let Some(place) = buffer.get_mut(HEADER..FIRST) {
            place.copy_from_slice(&time.to_be_bytes());
        }
        let entries = vec![(time, FIRST, buffer.len())];
        Self { buffer, entries }
    }

    pub(crate) fn has_room(&self, entry_bytes: usize) -> bool {
        self.entries.is_empty() || self.buffer.len() + 8 + entry_bytes <= BLOCK_BYTES
    }

    pub(crate) fn push(&mut self, time: ClusterTime, entry: &[u8]) {
        // A second entry is a sign of more to come: growing step by step would copy everything several times.
        if self.buffer.capacity() - self.buffer.len() < 8 + entry.len() {
            let wanted = (self.buffer.len() * 8).clamp(8 + entry.len(), BLOCK_BYTES.max(8 + entry.len()));
            self.buffer.reserve(wanted);
        }
        self.buffer.extend_from_slice(&time.to_be_bytes());
        let start = self.buffer.len();
        self.buffer.extend_from_slice(entry);
        self.entries.push((time, start, self.buffer.len()));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Drops all but the first `count` entries.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.entries.truncate(count);
        let end = self.entries.last().map_or(HEADER, |(_, _, end)| *end);
        self.buffer.truncate(end);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.buffer.len() as u64
    }

    /// The finished row, and its entries as slices of it. Nothing if no entry is left.
    pub(crate) fn finish(mut self, before: u64, wall_ms: u64) -> Option<(Slice, Slice, Vec<LogEntry>)> {
        let (first, ..) = *self.entries.first()?;
        for (to, from) in self.buffer.iter_mut().zip(before.to_be_bytes().into_iter().chain(wall_ms.to_be_bytes())) {
            *to = from;
        }
        self.buffer.shrink_to_fit();
        let value = Bytes::from(self.buffer);
        let slices = self.entries.into_iter();
        let entries = slices.map(|(time, start, end)| LogEntry { time, bytes: value.slice(start..end) }).collect();
        Some((block_key(first), value, entries))
    }
}

/// A stored block.
pub(crate) struct Block {
    value: Bytes,
}

impl Block {
    pub(crate) fn new(value: Bytes) -> Result<Self> {
        if value.len() < HEADER {
            return Err(damaged());
        }
        Ok(Self { value })
    }

    /// Bytes of the segment up to the end of this block.
    pub(crate) fn segment_bytes(&self) -> u64 {
        number(self.value.get(..8).unwrap_or_default()).saturating_add(self.value.len() as u64)
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        number(self.value.get(8..HEADER).unwrap_or_default())
    }

    /// Its entries in order.
    pub(crate) fn entries(&self) -> Entries {
        Entries { value: self.value.clone(), at: HEADER }
    }
}

/// The entries of a block.
pub(crate) struct Entries {
    value: Bytes,
    at: usize,
}

impl Iterator for Entries {
    type Item = Result<LogEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.value.get(self.at..).filter(|rest| !rest.is_empty())?;
        let found = (|| {
            let (time, bson) = rest.split_at_checked(8)?;
            let len = bson_len(bson).filter(|len| (BSON_MIN..=bson.len()).contains(len))?;
            Some((ClusterTime::from_u64(number(time)), len))
        })();
        let Some((time, len)) = found else {
            self.at = self.value.len();
            return Some(Err(damaged()));
        };
        let start = self.at + 8;
        self.at = start + len;
        Some(Ok(LogEntry { time, bytes: self.value.slice(start..self.at) }))
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn damaged() -> Error {
    Error::Corrupt("a block of the log".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_blocks_are_errors() {
        let mut builder = Builder::new(5);
        builder.push(ClusterTime::new(1, 1), &[5, 0, 0, 0, 0]);
        builder.push(ClusterTime::new(1, 2), &[5, 0, 0, 0, 0]);
        let (_, value, entries) = builder.finish(0, 7).unwrap();
        let read =
            |value: &[u8]| -> Result<Vec<LogEntry>> { Block::new(Bytes::copy_from_slice(value))?.entries().collect() };
        assert_eq!(read(&value).unwrap(), entries);
        for end in 0..value.len() {
            match read(&value[..end]) {
                Ok(read) => assert!(entries.starts_with(&read) && read.len() < 2),
                Err(error) => assert!(matches!(error, Error::Corrupt(_))),
            }
        }
        for at in HEADER..value.len() {
            let mut bytes = value.to_vec();
            bytes[at] ^= 0xff;
            let _ = read(&bytes);
        }
    }
}
