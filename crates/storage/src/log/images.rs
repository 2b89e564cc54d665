//! Pre-images: how documents were before changes.
//!
//! They lie in tables of their own beside the segments of the log, because they may expire before the log's entries
//! leave, and then go whole tables at a time. A table of images belongs to one segment: it never outlives it.
//!
//! Key:   cluster time (8 bytes), index (u32), big-endian
//! Value: bytes of the table before this image (u64), unix milliseconds of the group (u64), the document

use std::ops::Bound;

use super::segments::LogState;
use crate::{ClusterTime, Error, Result, Slice, engine::View};

/// Bytes before the document.
const HEADER: usize = 16;

/// How a document was before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Of the change's log entry.
    pub time: ClusterTime,
    /// Tells the changes of one entry apart.
    pub index: u32,
    /// When the change was written, in unix milliseconds.
    pub wall_ms: u64,
    /// The document.
    pub before: Slice,
}

/// The row of an image, and how many bytes it adds to its table.
pub(crate) fn row(time: ClusterTime, index: u32, before: &[u8], above: u64, wall_ms: u64) -> (Slice, Slice, u64) {
    let mut value = Vec::with_capacity(HEADER + before.len());
    value.extend_from_slice(&above.to_be_bytes());
    value.extend_from_slice(&wall_ms.to_be_bytes());
    value.extend_from_slice(before);
    let added = value.len() as u64;
    (key(time, index), value.into(), added)
}

/// One image; nothing if none was kept or the part of the log that it belongs to is gone.
pub(crate) fn find(view: &View, log: &LogState, time: ClusterTime, index: u32) -> Result<Option<Image>> {
    if log.has_lost(time) {
        return Ok(None);
    }
    let place = log.images.partition_point(|table| table.floor <= time).checked_sub(1);
    let Some(table) = place.and_then(|place| log.images.get(place)) else { return Ok(None) };
    let key = key(time, index);
    view.get(&table.table, &key)?.map(|value| read(&key, value)).transpose()
}

/// Images from a place on, in their order: at least one if there is any, and no more once there are `max_bytes` of
/// them. Those for which `is_gone` holds do not count.
pub(crate) fn from(
    view: &View,
    log: &LogState,
    place: (ClusterTime, u32),
    max_bytes: usize,
    is_gone: impl Fn(u64) -> bool,
) -> Result<Vec<Image>> {
    let mut found = Vec::new();
    let mut bytes = 0;
    let (time, index) = place;
    let start = log.images.partition_point(|table| table.floor <= time).saturating_sub(1);
    let low = key(time, index);
    for table in log.images.iter().skip(start) {
        for row in view.range(&table.table, Bound::Included(&low), Bound::Unbounded) {
            let (key, value) = row?;
            let image = read(&key, value)?;
            if log.has_lost(image.time) || is_gone(image.wall_ms) {
                continue;
            }
            bytes += image.before.len();
            found.push(image);
            if bytes >= max_bytes {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

fn key(time: ClusterTime, index: u32) -> Slice {
    let mut key = Vec::with_capacity(12);
    key.extend_from_slice(&time.to_be_bytes());
    key.extend_from_slice(&index.to_be_bytes());
    key.into()
}

/// The image of a row.
pub(crate) fn read(key: &[u8], value: Slice) -> Result<Image> {
    let damaged = || Error::Corrupt("a pre-image".into());
    let (time, index) = key.split_first_chunk::<8>().ok_or_else(damaged)?;
    let index = <[u8; 4]>::try_from(index).map_err(|_| damaged())?;
    Ok(Image {
        time: ClusterTime::from_u64(u64::from_be_bytes(*time)),
        index: u32::from_be_bytes(index),
        wall_ms: number(&value, 8).ok_or_else(damaged)?,
        before: value.slice(HEADER..),
    })
}

/// Bytes of the table up to the end of this row.
pub(crate) fn table_bytes(value: &[u8]) -> u64 {
    number(value, 0).unwrap_or(0).saturating_add(value.len() as u64)
}

fn number(value: &[u8], at: usize) -> Option<u64> {
    if value.len() < HEADER {
        return None;
    }
    value.get(at..at + 8)?.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_what_it_was_made_of_and_damage_is_an_error() {
        let (key, value, added) = row(ClusterTime::new(5, 7), 3, b"document", 100, 9_000);
        let image = read(&key, value.clone()).unwrap();
        let expected =
            Image { time: ClusterTime::new(5, 7), index: 3, wall_ms: 9_000, before: Slice::from_static(b"document") };
        assert_eq!(image, expected);
        assert_eq!(table_bytes(&value), 100 + added);
        assert!(matches!(read(&key[1..], value.clone()), Err(Error::Corrupt(_))));
        assert!(matches!(read(&key, value.slice(..HEADER - 1)), Err(Error::Corrupt(_))));
    }
}
