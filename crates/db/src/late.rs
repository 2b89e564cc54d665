//! Change streams that are about to fall out of the log: those who run them are told before it happens.

use std::collections::HashMap;

use millstream_storage::Retain;
use millstream_value::ClusterTime;

use crate::Db;

/// A stream is late when less than this share of the log is left to it.
const LATE_BELOW: f64 = 0.1;

/// How much of the log is kept.
pub(crate) struct Retention {
    pub(crate) bytes: u64,
    /// 0: age does not matter.
    age_ms: f64,
    retain: Retain,
}

/// What was said about each late stream, by its cursor's id.
pub(crate) type Late = HashMap<i64, Place>;

/// A change stream that may lose its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LateStream {
    /// Its cursor's id.
    pub cursor: i64,
    /// What it watches, as told to the client.
    pub namespace: String,
    /// The oldest time in the log that it still has to read.
    pub position: ClusterTime,
    /// How it stands.
    pub place: Place,
}

/// How a late stream stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// So much of the log may still be written until the place is dropped, as a share of the whole: below a tenth.
    Left(f64),
    /// It was dropped.
    Lost,
}

impl Retention {
    pub(crate) fn of(options: &millstream_storage::Options) -> Self {
        let age_ms = (options.oplog_hours * 3_600_000.0).max(0.0);
        Self { bytes: options.oplog_bytes, age_ms, retain: options.retain }
    }

    /// The share of the log that is left to what has `bytes` behind it, the first of them `age_ms` old.
    #[expect(clippy::cast_precision_loss, reason = "a share; a few bytes more or less do not matter")]
    fn left(&self, bytes: u64, age_ms: u64) -> f64 {
        let share = |used: f64, whole: f64| if whole > 0.0 { (1.0 - used / whole).max(0.0) } else { 0.0 };
        let by_size = share(bytes as f64, self.bytes as f64);
        if self.age_ms <= 0.0 {
            return by_size;
        }
        let by_age = share(age_ms as f64, self.age_ms);
        match self.retain {
            Retain::WhicheverKeepsMore => by_size.max(by_age),
            Retain::WhicheverKeepsLess => by_size.min(by_age),
        }
    }
}

impl Db {
    /// The open change streams that have lost their place in the log, or will soon.
    #[must_use]
    pub fn late_streams(&self) -> Vec<LateStream> {
        let window = self.window();
        // In most logs there is room for a long while: then nobody is asked.
        let oldest_ms = self.now_ms().saturating_sub(window.oldest_wall_ms);
        if window.lost_before.is_none() && self.retention().left(window.bytes, oldest_ms) >= LATE_BELOW {
            return Vec::new();
        }
        let streams = self.cursors().streams_behind();
        let late = streams.into_iter().filter_map(|(cursor, namespace, position)| {
            let place = self.place(position, window.lost_before)?;
            Some(LateStream { cursor, namespace, position, place })
        });
        late.collect()
    }

    /// Warns of streams that are late: once of each, until it has caught up.
    pub fn warn_of_late_streams(&self) {
        let streams = self.late_streams();
        let mut known = self.late().lock();
        for stream in &streams {
            let LateStream { cursor, namespace, position, place } = stream;
            match (known.get(cursor), place) {
                (None, Place::Left(left)) => tracing::warn!(
                    cursor,
                    namespace,
                    %position,
                    left_percent = (left * 100.0).floor(),
                    "a change stream is about to fall out of the log: read it faster, or keep a longer log \
                     (--oplog-bytes, --oplog-hours)"
                ),
                (None | Some(Place::Left(_)), Place::Lost) => tracing::warn!(
                    cursor,
                    namespace,
                    %position,
                    "a change stream has fallen out of the log, its next read will fail: keep a longer log \
                     (--oplog-bytes, --oplog-hours)"
                ),
                (Some(_), Place::Left(_)) | (Some(Place::Lost), Place::Lost) => {}
            }
        }
        *known = streams.into_iter().map(|stream| (stream.cursor, stream.place)).collect();
    }

    /// How a place in the log stands; none if it is safe for now.
    fn place(&self, position: ClusterTime, lost_before: Option<ClusterTime>) -> Option<Place> {
        // What is in memory is read from there, whatever becomes of the log.
        if self.tail().reaches(position) {
            return None;
        }
        if lost_before.is_some_and(|lost| position < lost) {
            return Some(Place::Lost);
        }
        let rest = self.store().log_rest(position);
        let left = self.retention().left(rest.bytes, self.now_ms().saturating_sub(rest.last_wall_ms));
        (left < LATE_BELOW).then_some(Place::Left(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_that_keeps_more_decides() {
        let hour = 3_600_000;
        let by = |oplog_bytes, oplog_hours, retain| {
            Retention::of(&millstream_storage::Options { oplog_bytes, oplog_hours, retain, ..Default::default() })
        };
        let size = by(1_000, 0.0, Retain::WhicheverKeepsMore);
        assert!((size.left(750, 0) - 0.25).abs() < 1e-9);
        assert!(size.left(2_000, 0) <= 0.0);
        let more = by(1_000, 10.0, Retain::WhicheverKeepsMore);
        assert!((more.left(2_000, 4 * hour) - 0.6).abs() < 1e-9);
        assert!((more.left(250, 20 * hour) - 0.75).abs() < 1e-9);
        let less = by(1_000, 10.0, Retain::WhicheverKeepsLess);
        assert!((less.left(250, 4 * hour) - 0.6).abs() < 1e-9);
    }
}
