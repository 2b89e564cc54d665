//! The segments of the log as the commit loop knows them: which exist, how full, when to drop.

use std::{ops::Bound, sync::Arc};

use super::{LogWindow, block};
use crate::{
    ClusterTime, Options, Result, Retain,
    engine::{Engine, Table, Use, View},
};

/// A segment is at least this large, however small the log is to be.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// The log is dropped in about this many steps.
const SEGMENTS: u64 = 16;
/// A segment is at least this old before its age alone closes it.
const SEGMENT_AGE_MIN_MS: f64 = 1000.0;

/// What readers need of a segment.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) table: Table,
    /// Its entries are not before this; those of earlier segments are.
    pub(crate) floor: ClusterTime,
}

/// One state of the log for readers.
#[derive(Clone)]
pub(crate) struct LogState {
    pub(crate) segments: Arc<[Segment]>,
    pub(crate) window: LogWindow,
}

/// What retention needs of a segment.
#[derive(Clone, Copy, Default)]
struct Extent {
    number: u64,
    bytes: u64,
    /// The first entry's time, and when it and the last one were written.
    first: Option<ClusterTime>,
    first_wall_ms: u64,
    last_wall_ms: u64,
}

/// The commit loop's side of the log.
pub(crate) struct Log {
    segments: Vec<(Segment, Extent)>,
    /// What readers get; rebuilt when a segment comes or goes.
    shared: Arc<[Segment]>,
    newest: ClusterTime,
    lost_before: Option<ClusterTime>,
    limits: Limits,
}

struct Limits {
    bytes: u64,
    segment_bytes: u64,
    /// Nothing: age does not matter.
    age_ms: Option<f64>,
    retain: Retain,
}

impl Log {
    /// Finds the segments. `lost_before` is what was last recorded by retention: segments before it
    /// were about to be dropped, and are now.
    pub(crate) fn open(engine: &mut Engine, lost_before: Option<ClusterTime>, options: &Options) -> Result<Self> {
        let mut numbers: Vec<u64> =
            engine.names().iter().filter_map(|name| name.strip_prefix("log-")?.parse().ok()).collect();
        numbers.sort_unstable();
        let newest =
            lost_before.map_or(ClusterTime::ZERO, |lost| ClusterTime::from_u64(lost.to_u64().saturating_sub(1)));
        let mut log =
            Self { segments: Vec::new(), shared: Arc::new([]), newest, lost_before, limits: Limits::new(options) };
        let view = engine.view();
        for number in numbers {
            let table = engine.table(&name(number), Use::Log)?;
            let (extent, last) = measure(&view, &table, number)?;
            if last.is_some_and(|last| lost_before.is_some_and(|lost| last < lost)) {
                engine.drop_table(table)?;
                continue;
            }
            let floor = extent.first.unwrap_or(log.newest.next());
            log.newest = log.newest.max(last.unwrap_or_default());
            log.segments.push((Segment { table, floor }, extent));
        }
        if log.segments.is_empty() {
            log.add_segment(engine, 1)?;
        }
        for (segment, _) in log.segments.iter().rev().skip(1) {
            engine.seal(&segment.table)?;
        }
        log.share();
        Ok(log)
    }

    /// The table that takes new entries.
    pub(crate) fn table(&self) -> Option<&Table> {
        self.segments.last().map(|(segment, _)| &segment.table)
    }

    /// Bytes in the segment that takes new entries.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segments.last().map_or(0, |(_, extent)| extent.bytes)
    }

    pub(crate) fn newest(&self) -> ClusterTime {
        self.newest
    }

    /// Records what a group has added.
    pub(crate) fn grow(&mut self, times: Option<(ClusterTime, ClusterTime)>, bytes: u64, wall_ms: u64) {
        let Some((_, extent)) = self.segments.last_mut() else {
            return;
        };
        extent.bytes = extent.bytes.saturating_add(bytes);
        let Some((first, last)) = times else { return };
        if extent.first.is_none() {
            extent.first = Some(first);
            extent.first_wall_ms = wall_ms;
        }
        extent.last_wall_ms = wall_ms;
        self.newest = last;
    }

    pub(crate) fn state(&self) -> LogState {
        let filled = || self.segments.iter().map(|(_, extent)| extent).filter(|e| e.first.is_some());
        let first = filled().next();
        let window = LogWindow {
            oldest: first.and_then(|extent| extent.first).unwrap_or(self.newest.next()),
            newest: self.newest,
            bytes: self.bytes(),
            lost_before: self.lost_before,
            oldest_wall_ms: first.map_or(0, |extent| extent.first_wall_ms),
            newest_wall_ms: filled().next_back().map_or(0, |extent| extent.last_wall_ms),
        };
        LogState { segments: Arc::clone(&self.shared), window }
    }

    /// Starts a new segment if the current one is large or old enough. True if it did.
    pub(crate) fn roll_over(&mut self, engine: &mut Engine, wall_ms: u64) -> Result<bool> {
        let Some((segment, extent)) = self.segments.last() else {
            return Ok(false);
        };
        if extent.first.is_none() || !self.limits.is_full(extent, wall_ms) {
            return Ok(false);
        }
        let (number, full) = (extent.number + 1, segment.table.clone());
        self.add_segment(engine, number)?;
        engine.seal(&full)?;
        self.share();
        Ok(true)
    }

    /// What retention wants gone: how many of the oldest segments, and the time before which
    /// entries are then lost.
    pub(crate) fn excess(&self, wall_ms: u64) -> Option<(usize, ClusterTime)> {
        let mut bytes = self.bytes();
        let mut count = 0;
        let mut lost = None;
        for ((_, extent), (next, _)) in self.segments.iter().zip(self.segments.iter().skip(1)) {
            if !self.limits.is_excess(bytes, extent, wall_ms) {
                break;
            }
            bytes = bytes.saturating_sub(extent.bytes);
            count += 1;
            lost = Some(next.floor);
        }
        Some((count, lost?))
    }

    /// Forgets the oldest segments; their tables are the caller's to drop.
    pub(crate) fn forget(&mut self, count: usize, lost_before: ClusterTime) -> Vec<Table> {
        let gone = self.segments.drain(..count.min(self.segments.len()));
        let tables = gone.map(|(segment, _)| segment.table).collect();
        self.lost_before = Some(lost_before);
        self.share();
        tables
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|(_, extent)| extent.bytes).sum()
    }

    fn add_segment(&mut self, engine: &mut Engine, number: u64) -> Result<()> {
        let table = engine.table(&name(number), Use::Log)?;
        let floor = self.newest.next();
        self.segments.push((Segment { table, floor }, Extent { number, ..Extent::default() }));
        Ok(())
    }

    fn share(&mut self) {
        self.shared = self.segments.iter().map(|(segment, _)| segment.clone()).collect();
    }
}

impl Limits {
    fn new(options: &Options) -> Self {
        let age_ms = options.oplog_hours * 3_600_000.0;
        Self {
            bytes: options.oplog_bytes,
            segment_bytes: (options.oplog_bytes / SEGMENTS).max(SEGMENT_BYTES_MIN),
            age_ms: (age_ms > 0.0).then_some(age_ms),
            retain: options.retain,
        }
    }

    fn is_full(&self, extent: &Extent, wall_ms: u64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "there are fewer than 16 steps")]
        let step = |age: f64| (age / SEGMENTS as f64).max(SEGMENT_AGE_MIN_MS);
        extent.bytes >= self.segment_bytes
            || self.age_ms.is_some_and(|age| since(wall_ms, extent.first_wall_ms) >= step(age))
    }

    fn is_excess(&self, bytes: u64, extent: &Extent, wall_ms: u64) -> bool {
        let large = bytes > self.bytes;
        let old = self.age_ms.map(|age| since(wall_ms, extent.last_wall_ms) > age);
        match (old, self.retain) {
            (None, _) => large,
            (Some(old), Retain::WhicheverKeepsMore) => large && old,
            (Some(old), Retain::WhicheverKeepsLess) => large || old,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of ages far below 2^53")]
fn since(now_ms: u64, then_ms: u64) -> f64 {
    now_ms.saturating_sub(then_ms) as f64
}

fn name(number: u64) -> String {
    format!("log-{number:010}")
}

/// The extent of a stored segment, and its last entry's time.
fn measure(view: &View, table: &Table, number: u64) -> Result<(Extent, Option<ClusterTime>)> {
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
