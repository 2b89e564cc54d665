//! How far back a server's log reaches: what it holds, how fast it fills, and where a position stands in it.
//!
//! It asks with commands that every MongoDB of a replica set has: `collStats` of `local.oplog.rs`, and its entries from
//! both ends (CS-11.4.5). None of them takes longer on a larger log.

use std::time::Duration;

use bson::{Bson, DateTime, Document, Timestamp, doc};
use mongodb::options::FindOptions;

use crate::{Connection, Error, Problem, ProblemKind, Result};

/// The present rate is that of these newest minutes, or of a tenth of the log if that is less, but not of less than a
/// minute.
const RECENT: Duration = Duration::from_secs(600);
const RECENT_MIN: Duration = Duration::from_secs(60);
/// Entries that are read for it, at most: one short reply.
const RECENT_ENTRIES: i64 = 5_000;

/// What the log of a server holds.
#[derive(Debug, Clone, PartialEq)]
pub struct LogWindow {
    /// Its first entry.
    pub oldest: LogEnd,
    /// Its last one.
    pub newest: LogEnd,
    /// It still has the first entry that the server ever wrote: nothing was lost yet, and every start is good.
    pub is_whole: bool,
    /// The server's clock.
    pub now: DateTime,
    /// What it takes.
    pub bytes: u64,
    /// What it may take, as far as the server says.
    pub bytes_max: Option<u64>,
    /// How many entries it has, if the server knows.
    pub entries: Option<u64>,
    /// What was written since the oldest entry.
    pub whole: LogRate,
    /// What was written of late; none if the server does not tell the size of entries.
    pub recent: Option<LogRate>,
}

/// One end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// Its place in the order of changes.
    pub time: Timestamp,
    /// When it was written.
    pub wall: DateTime,
}

/// What was written in some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRate {
    /// The time, up to now.
    pub over: Duration,
    /// Bytes of the log.
    pub bytes: u64,
}

/// Where a position stands in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can be resumed from, for so long at the present rate; none: no end is in sight.
    Inside(Option<Duration>),
    /// It is older than the log.
    Lost,
    /// It is newer than the log: of another server, or from the future.
    Ahead,
}

impl LogRate {
    /// Bytes a second.
    pub fn per_second(&self) -> f64 {
        self.bytes as f64 / self.over.as_secs_f64().max(0.001)
    }

    /// How long it takes to write so many bytes; none if nothing is written, or it takes more than a thousand years.
    pub fn time_for(&self, bytes: f64) -> Option<Duration> {
        const FOREVER_SECONDS: f64 = 1000.0 * 366.0 * 86_400.0;
        let seconds = bytes.max(0.0) / self.per_second();
        (seconds < FOREVER_SECONDS).then(|| Duration::from_secs_f64(seconds))
    }
}

impl LogWindow {
    /// The time between its ends.
    pub fn span(&self) -> Duration {
        between(self.oldest.wall, self.newest.wall)
    }

    /// The time since a moment, by the server's clock.
    pub fn age(&self, then: DateTime) -> Duration {
        between(then, self.now)
    }

    /// The rate of late, or that of the whole log where that is all there is.
    pub fn rate(&self) -> LogRate {
        self.recent.unwrap_or(self.whole)
    }

    /// Where a position stands. The time that is left is an estimate: how much of the log lies behind the position is
    /// told from its time, and how fast more comes from the present rate.
    pub fn standing(&self, position: Timestamp) -> Standing {
        // A server's word for "nothing up to here" may name the tick that comes next.
        if position > next_tick(self.newest.time) {
            return Standing::Ahead;
        }
        if position < self.oldest.time && !self.is_whole {
            return Standing::Lost;
        }
        let Some(bytes_max) = self.bytes_max else { return Standing::Inside(None) };
        let behind = self.bytes_since(DateTime::from_millis(i64::from(position.time) * 1000));
        Standing::Inside(self.rate().time_for(bytes_max as f64 - behind))
    }

    /// About how many bytes were written since then.
    fn bytes_since(&self, then: DateTime) -> f64 {
        let recent = self.rate();
        let age = self.age(then).as_secs_f64();
        let recently = recent.over.as_secs_f64();
        if age <= recently {
            return recent.per_second() * age;
        }
        let earlier = self.whole.over.as_secs_f64() - recently;
        let share = if earlier > 0.0 { ((age - recently) / earlier).min(1.0) } else { 1.0 };
        let (all, recent) = (self.bytes as f64, recent.bytes as f64);
        recent + (all - recent).max(0.0) * share
    }
}

impl Connection {
    /// Looks at the server's log.
    pub async fn log_window(&self) -> Result<LogWindow> {
        let now = self.server_clock().await?;
        let sizes = self.log_sizes().await?;
        let oldest = self.log_entry(1).await?;
        let newest = self.log_entry(-1).await?;
        let (Some(oldest_entry), Some(newest_entry)) = (oldest, newest) else {
            return Err(self.no_log("has an empty log: is it a member of a replica set that was initiated?"));
        };
        let (oldest, newest) = (end(&oldest_entry), end(&newest_entry));
        // Clocks are read at different moments: an entry is not from the future.
        let now = now.max(newest.wall);
        let message = oldest_entry.get_document("o").ok().and_then(|o| o.get_str("msg").ok());
        let mut window = LogWindow {
            oldest,
            newest,
            is_whole: message == Some("initiating set"),
            now,
            bytes: sizes.bytes,
            bytes_max: sizes.bytes_max,
            entries: sizes.entries,
            whole: LogRate { over: between(oldest.wall, now), bytes: sizes.bytes },
            recent: None,
        };
        window.recent = self.recent_rate(&window, sizes.images).await?;
        Ok(window)
    }

    /// The server's clock, once it is known to be one that has a log.
    async fn server_clock(&self) -> Result<DateTime> {
        // The old name is known to all versions.
        let hello = self.client().database("admin").run_command(doc! {"isMaster": 1}).await;
        let hello = hello.map_err(|error| self.explain(error, "the log"))?;
        if hello.get_str("msg").ok() == Some("isdbgrid") {
            return Err(self.no_log(
                "is the router of a sharded cluster, and each shard has a log of its own: give the URI of a shard",
            ));
        }
        if hello.get_str("setName").is_err() {
            return Err(self.no_log(
                "is a standalone MongoDB, which has no log: start it with --replSet rs0 and run rs.initiate() once",
            ));
        }
        Ok(hello.get_datetime("localTime").copied().unwrap_or_else(|_| DateTime::now()))
    }

    async fn log_sizes(&self) -> Result<Sizes> {
        let stats = self.client().database("local").run_command(doc! {"collStats": "oplog.rs"}).await;
        let stats = stats.map_err(|error| self.refused(error))?;
        let number = |name| stats.get(name).and_then(whole_number);
        Ok(Sizes {
            bytes: number("size").unwrap_or(0),
            bytes_max: number("maxSize").filter(|max| *max > 0),
            entries: number("count"),
            images: number("preImagesSize").unwrap_or(0),
        })
    }

    async fn log_entry(&self, direction: i32) -> Result<Option<Document>> {
        let log = self.client().database("local").collection::<Document>("oplog.rs");
        let found = log
            .find_one(doc! {})
            .sort(doc! {"$natural": direction})
            .projection(doc! {"ts": 1, "wall": 1, "o.msg": 1})
            .await;
        found.map_err(|error| self.refused(error))
    }

    async fn recent_rate(&self, window: &LogWindow, images: u64) -> Result<Option<LogRate>> {
        let over = RECENT.min((window.whole.over / 10).max(RECENT_MIN)).min(window.whole.over);
        let options = FindOptions::builder()
            .sort(doc! {"$natural": -1})
            .limit(RECENT_ENTRIES)
            .projection(doc! {"_id": 0, "ts": 1, "wall": 1, "size": {"$bsonSize": "$$ROOT"}})
            .batch_size(1_000)
            .build();
        let log = self.client().database("local").collection::<Document>("oplog.rs");
        // Before 4.4 there is no $bsonSize.
        let Ok(mut entries) = log.find(doc! {}).with_options(options).await else { return Ok(None) };
        let (mut bytes, mut count) = (0_u64, 0_i64);
        let mut reached = window.now;
        while entries.advance().await.map_err(|error| self.refused(error))? {
            let entry = entries.deserialize_current().map_err(|error| self.refused(error))?;
            let wall = end(&entry).wall;
            if window.age(wall) > over {
                break;
            }
            reached = wall;
            count += 1;
            bytes = bytes.saturating_add(entry.get("size").and_then(whole_number).unwrap_or(0));
        }
        // Where images count to the log, they come with the entries, in about the same proportion.
        let entries_only = window.bytes.saturating_sub(images).max(1);
        let factor = window.bytes.max(1) as f64 / entries_only as f64;
        let over = if count == RECENT_ENTRIES { window.age(reached) } else { over };
        Ok(Some(LogRate { over, bytes: rounded(bytes as f64 * factor) }))
    }

    fn no_log(&self, reason: &'static str) -> Error {
        Error::NoLog { servers: self.servers().join(", "), reason }
    }

    fn refused(&self, error: mongodb::error::Error) -> Error {
        match self.explain(error, "the log") {
            Error::Server { problem, source } if problem.kind == ProblemKind::NotAuthorized => {
                let sentence = "the user of the URI may not look at the log: grant it the role read on the database local and the role clusterMonitor, or use another user".to_owned();
                Error::Server { problem: Problem { sentence, ..problem }, source }
            }
            other => other,
        }
    }
}

struct Sizes {
    bytes: u64,
    bytes_max: Option<u64>,
    entries: Option<u64>,
    /// Those of the bytes that are pre-images; only Millstream keeps them in the log.
    images: u64,
}

fn end(entry: &Document) -> LogEnd {
    let time = entry.get_timestamp("ts").unwrap_or(Timestamp { time: 0, increment: 0 });
    let second = DateTime::from_millis(i64::from(time.time) * 1000);
    LogEnd { time, wall: entry.get_datetime("wall").copied().unwrap_or(second) }
}

fn next_tick(time: Timestamp) -> Timestamp {
    match time.increment.checked_add(1) {
        Some(increment) => Timestamp { increment, ..time },
        None => Timestamp { time: time.time.saturating_add(1), increment: 0 },
    }
}

fn between(then: DateTime, now: DateTime) -> Duration {
    let ms = now.timestamp_millis().saturating_sub(then.timestamp_millis());
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// Servers give sizes as any type of number.
fn whole_number(value: &Bson) -> Option<u64> {
    match value {
        Bson::Int32(number) => u64::try_from(*number).ok(),
        Bson::Int64(number) => u64::try_from(*number).ok(),
        Bson::Double(number) if *number >= 0.0 => Some(rounded(*number)),
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes; the cast saturates")]
fn rounded(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u32 = 1_755_000_000;

    fn end_at(second: u32) -> LogEnd {
        let time = START + second;
        LogEnd { time: Timestamp { time, increment: 1 }, wall: DateTime::from_millis(i64::from(time) * 1000) }
    }

    /// 1000 seconds with 10,000 bytes, of which 2,000 were written in the last 100; full at 20,000.
    fn window() -> LogWindow {
        let (oldest, newest) = (end_at(0), end_at(1_000));
        LogWindow {
            oldest,
            newest,
            is_whole: false,
            now: newest.wall,
            bytes: 10_000,
            bytes_max: Some(20_000),
            entries: None,
            whole: LogRate { over: Duration::from_secs(1_000), bytes: 10_000 },
            recent: Some(LogRate { over: Duration::from_secs(100), bytes: 2_000 }),
        }
    }

    fn at(second: u32) -> Timestamp {
        end_at(second).time
    }

    #[test]
    fn the_time_left_follows_the_present_rate() {
        let window = window();
        let left = |position| match window.standing(position) {
            Standing::Inside(Some(left)) => left.as_secs(),
            other => panic!("{other:?}"),
        };
        // 20 bytes a second now, about 8.9 a second before.
        assert_eq!(left(at(1_000)), 1_000);
        assert_eq!(left(at(950)), 950);
        assert_eq!(left(at(900)), 900);
        assert_eq!(left(at(450)), 700);
        assert_eq!(left(at(0)), 500);
        assert_eq!(window.rate().time_for(20_000.0), Some(Duration::from_secs(1_000)));
        assert_eq!(window.whole.time_for(20_000.0), Some(Duration::from_secs(2_000)));
    }

    /// CS-5.9.1.
    #[test]
    fn positions_outside_of_the_log() {
        let mut window = window();
        let before = Timestamp { increment: 0, ..at(0) };
        assert_eq!(window.standing(before), Standing::Lost);
        assert!(matches!(window.standing(Timestamp { increment: 2, ..at(1_000) }), Standing::Inside(Some(_))));
        assert_eq!(window.standing(Timestamp { increment: 3, ..at(1_000) }), Standing::Ahead);
        window.is_whole = true;
        assert!(matches!(window.standing(before), Standing::Inside(Some(_))));
    }

    #[test]
    fn a_quiet_or_unlimited_log_has_no_end_in_sight() {
        let mut quiet = window();
        quiet.recent = Some(LogRate { over: Duration::from_secs(100), bytes: 0 });
        assert_eq!(quiet.standing(at(500)), Standing::Inside(None));
        let unlimited = LogWindow { bytes_max: None, ..window() };
        assert_eq!(unlimited.standing(at(500)), Standing::Inside(None));
        let old_server = LogWindow { recent: None, ..window() };
        assert_eq!(old_server.standing(at(500)), Standing::Inside(Some(Duration::from_secs(1_500))));
    }
}
