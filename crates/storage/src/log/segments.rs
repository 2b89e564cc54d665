//! The segments of the log and the tables of pre-images as the commit loop knows them: which exist, how full, when to
//! drop.

use std::{sync::Arc, time::Duration};

use super::{
    LogWindow,
    extent::{self, Extent},
};
use crate::{
    ClusterTime, Options, Result, Retain,
    engine::{Engine, Table, Use},
};

/// A segment is at least this large, however small the log is to be.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// The log is dropped in about this many steps.
const SEGMENTS: u64 = 16;
/// A segment is at least this old before its age alone closes it.
const SEGMENT_AGE_MIN_MS: f64 = 1000.0;

const LOG: &str = "log-";
const IMAGES: &str = "images-";

/// What readers need of a segment, or of a table of images.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) table: Table,
    /// Its entries are not before this; those of earlier segments are.
    pub(crate) floor: ClusterTime,
    /// Bytes of the log and of images before this segment. Only in [`LogState`].
    pub(crate) before: u64,
    /// When its last entry was written, once there comes no further one. Only in [`LogState`].
    pub(crate) last_wall_ms: u64,
}

impl Segment {
    pub(crate) fn new(table: Table, floor: ClusterTime) -> Self {
        Self { table, floor, before: 0, last_wall_ms: 0 }
    }
}

/// One state of the log for readers.
#[derive(Clone)]
pub(crate) struct LogState {
    pub(crate) segments: Arc<[Segment]>,
    pub(crate) images: Arc<[Segment]>,
    pub(crate) window: LogWindow,
}

impl LogState {
    /// Whether retention has dropped what was written at this time.
    pub(crate) fn has_lost(&self, time: ClusterTime) -> bool {
        self.window.lost_before.is_some_and(|lost| time < lost)
    }
}

/// The commit loop's side of the log.
pub(crate) struct Log {
    segments: Vec<(Segment, Extent)>,
    images: Vec<(Segment, Extent)>,
    /// Whether the newest table of images takes further ones.
    images_open: bool,
    /// What readers get; rebuilt when a segment comes or goes.
    shared: Arc<[Segment]>,
    shared_images: Arc<[Segment]>,
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
        let newest =
            lost_before.map_or(ClusterTime::ZERO, |lost| ClusterTime::from_u64(lost.to_u64().saturating_sub(1)));
        let mut log = Self {
            segments: Vec::new(),
            images: Vec::new(),
            images_open: false,
            shared: Arc::new([]),
            shared_images: Arc::new([]),
            newest,
            lost_before,
            limits: Limits::new(options),
        };
        let view = engine.view();
        for number in numbers(engine, LOG) {
            let table = engine.table(&name(LOG, number), Use::Log)?;
            let (extent, last) = extent::of_segment(&view, &table, number)?;
            if last.is_some_and(|last| lost_before.is_some_and(|lost| last < lost)) {
                engine.drop_table(table)?;
                continue;
            }
            let floor = extent.first.unwrap_or(log.newest.next());
            log.newest = log.newest.max(last.unwrap_or_default());
            log.segments.push((Segment::new(table, floor), extent));
        }
        if log.segments.is_empty() {
            log.add_segment(engine, 1)?;
        }
        for number in numbers(engine, IMAGES) {
            let table = engine.table(&name(IMAGES, number), Use::Log)?;
            let (extent, last) = extent::of_images(&view, &table, number)?;
            // One that is empty was made for a group that never became durable.
            let kept = last.is_some_and(|last| lost_before.is_none_or(|lost| last >= lost));
            match extent.first.filter(|_| kept) {
                Some(first) => log.images.push((Segment::new(table, first), extent)),
                None => engine.drop_table(table)?,
            }
        }
        let current = log.segments.last().map_or(ClusterTime::ZERO, |(segment, _)| segment.floor);
        log.images_open = log.images.last().is_some_and(|(images, _)| images.floor >= current);
        let sealed = log.images.len() - usize::from(log.images_open);
        let past_images = log.images.iter().take(sealed);
        for (segment, _) in log.segments.iter().rev().skip(1).chain(past_images) {
            engine.seal(&segment.table)?;
        }
        log.share();
        Ok(log)
    }

    /// The table that takes new images, made when the first one comes.
    pub(crate) fn images_table(&mut self, engine: &mut Engine) -> Result<Table> {
        if let (true, Some((images, _))) = (self.images_open, self.images.last()) {
            return Ok(images.table.clone());
        }
        let number = self.images.last().map_or(1, |(_, extent)| extent.number + 1);
        let table = engine.table(&name(IMAGES, number), Use::Log)?;
        let segment = Segment::new(table.clone(), self.newest.next());
        self.images.push((segment, Extent { number, ..Extent::default() }));
        self.images_open = true;
        self.share();
        Ok(table)
    }

    /// Bytes in the table that takes new images.
    pub(crate) fn images_bytes(&self) -> u64 {
        self.images.last().filter(|_| self.images_open).map_or(0, |(_, extent)| extent.bytes)
    }

    /// Records what a group has added to the images.
    pub(crate) fn grow_images(&mut self, times: Option<(ClusterTime, ClusterTime)>, bytes: u64, wall_ms: u64) {
        if let (true, Some((_, extent))) = (times.is_some(), self.images.last_mut()) {
            extent.grow(times, bytes, wall_ms);
        }
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
        if let Some((_, extent)) = self.segments.last_mut() {
            extent.grow(times, bytes, wall_ms);
        }
        if let Some((_, last)) = times {
            self.newest = last;
        }
    }

    pub(crate) fn state(&self) -> LogState {
        let filled = || self.segments.iter().map(|(_, extent)| extent).filter(|e| e.first.is_some());
        let first = filled().next();
        let window = LogWindow {
            oldest: first.and_then(|extent| extent.first).unwrap_or(self.newest.next()),
            newest: self.newest,
            bytes: self.bytes(),
            image_bytes: self.images.iter().map(|(_, extent)| extent.bytes).sum(),
            lost_before: self.lost_before,
            oldest_wall_ms: first.map_or(0, |extent| extent.first_wall_ms),
            newest_wall_ms: filled().next_back().map_or(0, |extent| extent.last_wall_ms),
        };
        LogState { segments: Arc::clone(&self.shared), images: Arc::clone(&self.shared_images), window }
    }

    /// Starts a new segment if the current one is large or old enough. True if it did.
    pub(crate) fn roll_over(&mut self, engine: &mut Engine, wall_ms: u64) -> Result<bool> {
        let Some((segment, extent)) = self.segments.last() else {
            return Ok(false);
        };
        let images = self.images_between(segment.floor, ClusterTime::MAX);
        if extent.first.is_none() || !self.limits.is_full(extent, images, wall_ms) {
            return Ok(false);
        }
        let (number, full) = (extent.number + 1, segment.table.clone());
        self.add_segment(engine, number)?;
        engine.seal(&full)?;
        self.close_images(engine)?;
        self.share();
        Ok(true)
    }

    /// Starts a new table of images if the current one spans a good part of their life, so that they can go in some
    /// steps; and takes out the tables of which nothing is left alive. They are the caller's to drop.
    pub(crate) fn expire_images(&mut self, engine: &mut Engine, life: Duration, wall_ms: u64) -> Result<Vec<Table>> {
        let life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        if let (true, Some((_, extent))) = (self.images_open, self.images.last())
            && since(wall_ms, extent.first_wall_ms) >= step_ms(life.as_secs_f64() * 1000.0)
        {
            self.close_images(engine)?;
        }
        let dead = |extent: &Extent| extent.last_wall_ms.saturating_add(life_ms) <= wall_ms;
        let sealed = self.images.len() - usize::from(self.images_open);
        let count = self.images.iter().take(sealed).take_while(|(_, extent)| dead(extent)).count();
        if count == 0 {
            return Ok(Vec::new());
        }
        let gone = self.images.drain(..count).map(|(segment, _)| segment.table).collect();
        self.share();
        Ok(gone)
    }

    /// What retention wants gone: how many of the oldest segments, and the time before which
    /// entries are then lost. The newest entry stays whatever its size: the log tells its place.
    pub(crate) fn excess(&self, wall_ms: u64) -> Option<(usize, ClusterTime)> {
        let mut bytes = self.bytes();
        let mut count = 0;
        let mut lost = None;
        for ((segment, extent), (next, following)) in self.segments.iter().zip(self.segments.iter().skip(1)) {
            if following.first.is_none() || !self.limits.is_excess(bytes, extent, wall_ms) {
                break;
            }
            let images = self.images_between(segment.floor, next.floor);
            bytes = bytes.saturating_sub(extent.bytes.saturating_add(images));
            count += 1;
            lost = Some(next.floor);
        }
        Some((count, lost?))
    }

    /// Forgets the oldest segments and their images; the tables are the caller's to drop.
    pub(crate) fn forget(&mut self, count: usize, lost_before: ClusterTime) -> Vec<Table> {
        let images = self.images.partition_point(|(images, _)| images.floor < lost_before);
        let gone = self.segments.drain(..count.min(self.segments.len()));
        let tables = gone.chain(self.images.drain(..images)).map(|(segment, _)| segment.table).collect();
        self.lost_before = Some(lost_before);
        self.share();
        tables
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().chain(&self.images).map(|(_, extent)| extent.bytes).sum()
    }

    /// Bytes of the images that belong to a segment.
    fn images_between(&self, floor: ClusterTime, next: ClusterTime) -> u64 {
        let belongs = |images: &Segment| (floor..next).contains(&images.floor);
        self.images.iter().filter(|(images, _)| belongs(images)).map(|(_, extent)| extent.bytes).sum()
    }

    fn close_images(&mut self, engine: &mut Engine) -> Result<()> {
        match self.images.last() {
            Some((images, _)) if std::mem::take(&mut self.images_open) => engine.seal(&images.table),
            _ => Ok(()),
        }
    }

    fn add_segment(&mut self, engine: &mut Engine, number: u64) -> Result<()> {
        let table = engine.table(&name(LOG, number), Use::Log)?;
        let floor = self.newest.next();
        self.segments.push((Segment::new(table, floor), Extent { number, ..Extent::default() }));
        Ok(())
    }

    fn share(&mut self) {
        let mut before = 0;
        let nexts = self.segments.iter().skip(1).map(|(next, _)| next.floor).chain([ClusterTime::MAX]);
        let rows = self.segments.iter().zip(nexts).map(|((segment, extent), next)| {
            let row = Segment { before, last_wall_ms: extent.last_wall_ms, ..segment.clone() };
            before += extent.bytes + self.images_between(segment.floor, next);
            row
        });
        self.shared = rows.collect();
        self.shared_images = self.images.iter().map(|(segment, _)| segment.clone()).collect();
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

    /// `images` are the bytes of those that belong to the segment.
    fn is_full(&self, extent: &Extent, images: u64, wall_ms: u64) -> bool {
        extent.bytes.saturating_add(images) >= self.segment_bytes
            || self.age_ms.is_some_and(|age| since(wall_ms, extent.first_wall_ms) >= step_ms(age))
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

/// What is to go by age spans this much at most.
#[expect(clippy::cast_precision_loss, reason = "there are 16 steps")]
fn step_ms(age_ms: f64) -> f64 {
    (age_ms / SEGMENTS as f64).max(SEGMENT_AGE_MIN_MS)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of ages far below 2^53")]
fn since(now_ms: u64, then_ms: u64) -> f64 {
    now_ms.saturating_sub(then_ms) as f64
}

fn name(kind: &str, number: u64) -> String {
    format!("{kind}{number:010}")
}

/// The numbers of the tables of a kind, in order.
fn numbers(engine: &Engine, kind: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> =
        engine.names().iter().filter_map(|name| name.strip_prefix(kind)?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}
