//! Reading the log from any time, in both directions.

use std::ops::Bound;

use super::{
    LogBatch, LogEntry, LogRest,
    block::{self, Block},
    segments::LogState,
};
use crate::{
    ClusterTime, Error, Result,
    engine::{Range, Table, View},
};

/// Behind the keys of all blocks.
const END: Bound<&[u8]> = Bound::Excluded(b"c");

/// Where a look at the log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFrom {
    /// Anywhere.
    Within(ClusterTime),
    /// At [`LogBatch::next`] of a batch of whole blocks: the entry before this time ends its block, which need not be read
    /// once more.
    BlockAt(ClusterTime),
}

/// See [`crate::Store::read_log`].
pub(crate) fn forwards(view: &View, log: &LogState, from: ClusterTime, max_bytes: usize) -> Result<LogBatch> {
    check(log, from)?;
    let mut entries: Vec<LogEntry> = Vec::new();
    let mut bytes = 0;
    let start = position(log, from);
    for segment in log.segments.iter().skip(start) {
        for row in blocks_from(view, &segment.table, from)? {
            for entry in Block::new(row?.1)?.entries() {
                let entry = entry?;
                if entry.time < from {
                    continue;
                }
                let len = entry.bytes.len();
                if !entries.is_empty() && bytes + len > max_bytes {
                    return Ok(LogBatch { entries, next: entry.time, complete: false });
                }
                bytes += len;
                entries.push(entry);
            }
        }
    }
    let next = entries.last().map_or(from, |last| last.time.next());
    Ok(LogBatch { entries, next, complete: true })
}

/// See [`crate::Store::read_log_blocks`].
pub(crate) fn blocks(view: &View, log: &LogState, from: LogFrom, max_bytes: usize) -> Result<LogBatch> {
    let (LogFrom::Within(first) | LogFrom::BlockAt(first)) = from;
    check(log, first)?;
    let mut entries: Vec<LogEntry> = Vec::new();
    let mut bytes = 0;
    for segment in log.segments.iter().skip(position(log, first)) {
        let blocks = match from {
            LogFrom::Within(_) => blocks_from(view, &segment.table, first)?,
            LogFrom::BlockAt(_) => view.range(&segment.table, Bound::Included(&block::block_key(first)), END),
        };
        for row in blocks {
            for entry in Block::new(row?.1)?.entries() {
                let entry = entry?;
                if entry.time >= first {
                    bytes += entry.bytes.len();
                    entries.push(entry);
                }
            }
            if let Some(last) = entries.last().filter(|_| bytes >= max_bytes) {
                let next = last.time.next();
                return Ok(LogBatch { entries, next, complete: false });
            }
        }
    }
    let next = entries.last().map_or(first, |last| last.time.next());
    Ok(LogBatch { entries, next, complete: true })
}

/// See [`crate::Store::read_log_backwards`].
pub(crate) fn backwards(view: &View, log: &LogState, before: ClusterTime, count: usize) -> Result<Vec<LogEntry>> {
    let mut found = Vec::new();
    let high = block::block_key(before);
    for segment in log.segments.iter().rev().skip_while(|segment| segment.floor >= before) {
        for row in view.range(&segment.table, Bound::Included(b"b"), Bound::Excluded(&high)).rev() {
            if found.len() >= count {
                return Ok(found);
            }
            let entries: Result<Vec<_>> = Block::new(row?.1)?.entries().collect();
            let earlier = entries?.into_iter().rev().filter(|entry| entry.time < before);
            found.extend(earlier.take(count - found.len()));
        }
    }
    Ok(found)
}

/// See [`crate::Store::log_rest`].
pub(crate) fn rest(log: &LogState, from: ClusterTime) -> LogRest {
    let at = position(log, from);
    let before = log.segments.get(at).map_or(0, |segment| segment.before);
    // The newest segment has grown since its row was made.
    let sealed = log.segments.get(at).filter(|_| at + 1 < log.segments.len());
    LogRest {
        bytes: log.window.bytes.saturating_sub(before),
        last_wall_ms: sealed.map_or(log.window.newest_wall_ms, |segment| segment.last_wall_ms),
    }
}

fn check(log: &LogState, from: ClusterTime) -> Result<()> {
    if log.has_lost(from) {
        return Err(Error::HistoryLost { oldest: log.window.oldest });
    }
    Ok(())
}

/// The last segment that may hold `time`.
fn position(log: &LogState, time: ClusterTime) -> usize {
    log.segments.partition_point(|segment| segment.floor <= time).saturating_sub(1)
}

/// The blocks of a segment, from the one that may hold `from` on.
fn blocks_from(view: &View, table: &Table, from: ClusterTime) -> Result<Range> {
    let key = block::block_key(from);
    let before = view.range(table, Bound::Included(b"b"), Bound::Included(&key)).next_back();
    let start = before.transpose()?.map_or(key, |(key, _)| key);
    Ok(view.range(table, Bound::Included(&start), END))
}
