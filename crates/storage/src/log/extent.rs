//! How much a table of the log spans: for retention, which does not look into tables.

use std::ops::Bound;

use super::{block, images};
use crate::{
    ClusterTime, Result,
    engine::{Table, View},
};

/// What retention needs of a segment, or of a table of images.
#[derive(Clone, Copy, Default)]
pub(crate) struct Extent {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    /// The first entry's time, and when it and the last one were written.
    pub(crate) first: Option<ClusterTime>,
    pub(crate) first_wall_ms: u64,
    pub(crate) last_wall_ms: u64,
}

impl Extent {
    /// Takes up what a group has added.
    pub(crate) fn grow(&mut self, times: Option<(ClusterTime, ClusterTime)>, bytes: u64, wall_ms: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        let Some((first, _)) = times else { return };
        if self.first.is_none() {
            self.first = Some(first);
            self.first_wall_ms = wall_ms;
        }
        self.last_wall_ms = wall_ms;
    }
}

/// The extent of a stored segment, and its last entry's time.
pub(crate) fn of_segment(view: &View, table: &Table, number: u64) -> Result<(Extent, Option<ClusterTime>)> {
    let mut blocks = view.range(table, Bound::Included(b"b"), Bound::Excluded(b"c"));
    let mut extent = Extent { number, ..Extent::default() };
    let Some(last) = blocks.next_back().transpose()? else {
        return Ok((extent, None));
    };
    let first = match blocks.next().transpose()? {
        Some(first) => first,
        None => last.clone(),
    };
    extent.first = Some(block::first_time(&first.0)?);
    extent.first_wall_ms = block::Block::new(first.1)?.wall_ms();
    let last = block::Block::new(last.1)?;
    extent.bytes = last.segment_bytes();
    extent.last_wall_ms = last.wall_ms();
    let time = last.entries().last().transpose()?.map(|entry| entry.time);
    Ok((extent, time))
}

/// The extent of a stored table of images, and the time of its last one.
pub(crate) fn of_images(view: &View, table: &Table, number: u64) -> Result<(Extent, Option<ClusterTime>)> {
    let mut rows = view.range(table, Bound::Unbounded, Bound::Unbounded);
    let mut extent = Extent { number, ..Extent::default() };
    let Some((key, value)) = rows.next_back().transpose()? else {
        return Ok((extent, None));
    };
    extent.bytes = images::table_bytes(&value);
    let last = images::read(&key, value)?;
    let first = rows.next().transpose()?.map(|(key, value)| images::read(&key, value)).transpose()?;
    let first = first.unwrap_or_else(|| last.clone());
    extent.first = Some(first.time);
    extent.first_wall_ms = first.wall_ms;
    extent.last_wall_ms = last.wall_ms;
    Ok((extent, Some(last.time)))
}
