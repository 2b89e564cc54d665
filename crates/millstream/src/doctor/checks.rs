//! What can be found out without writing anything.

use std::time::{Duration, Instant};

use bson::{DateTime, Document, doc};
use millstream_watch::{Backoff, Connection, LogWindow, Scope, Source, StartAt, Watcher};

use super::report::Finding;
use crate::parse::{show_duration, show_size};

/// Clocks further apart than this make times in events and lags misleading.
const SKEW_MAX: Duration = Duration::from_secs(1);
/// Whoever is away for a night should be able to go on in the morning.
const LOG_SHORT: Duration = Duration::from_secs(24 * 3_600);
/// Whoever is away for a lunch break, too.
const LOG_TOO_SHORT: Duration = Duration::from_secs(3_600);

/// What a server says about itself.
pub(super) struct Server {
    servers: String,
    hello: Document,
    version: String,
    took: Duration,
    /// How far its clock is from ours, whichever is ahead.
    skew: Duration,
}

impl Server {
    /// Asks it.
    pub(super) async fn reach(connection: &Connection) -> Result<Self, millstream_watch::Error> {
        let admin = connection.client().database("admin");
        let ask = |command: Document| async {
            admin.run_command(command).await.map_err(|error| connection.explain(error, "the server"))
        };
        // The first command makes the connection, the second one is timed.
        ask(doc! {"ping": 1}).await?;
        let before = DateTime::now();
        let began = Instant::now();
        // The old name is known to all versions.
        let hello = ask(doc! {"isMaster": 1}).await?;
        let took = began.elapsed();
        let build = ask(doc! {"buildInfo": 1}).await?;
        let middle = before.timestamp_millis() + i64::try_from(took.as_millis() / 2).unwrap_or(0);
        let skew = hello.get_datetime("localTime").map_or(0, |there| there.timestamp_millis().abs_diff(middle));
        Ok(Self {
            servers: connection.servers().join(", "),
            version: build.get_str("version").unwrap_or_default().to_owned(),
            hello,
            took,
            skew: Duration::from_millis(skew),
        })
    }

    pub(super) fn reached(&self) -> Finding {
        Finding::ok("reachable", format!("{} answers in {:.1} ms", self.servers, self.took.as_secs_f64() * 1000.0))
    }

    pub(super) fn version(&self) -> Finding {
        let mut parts = self.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let number = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        let text = format!("MongoDB {}", self.version);
        match number {
            (0..=3, _) | (4, 0..=1) => {
                Finding::fail("version", text, Some("a watcher needs MongoDB 4.2 or newer".to_owned()))
            }
            (4 | 5, _) => Finding::warn(
                "version",
                text,
                "there are no images of documents before a change, and no expanded events, before 6.0",
            ),
            _ => Finding::ok("version", text),
        }
    }

    pub(super) fn topology(&self) -> Finding {
        let set = self.hello.get_str("setName");
        match set {
            Ok(set) => {
                let hosts = self.hello.get_array("hosts").map_or(0, Vec::len);
                Finding::ok("topology", format!("replica set {set} of {hosts}"))
            }
            Err(_) if self.is_router() => Finding::ok("topology", "sharded cluster"),
            Err(_) => Finding::fail(
                "topology",
                "a standalone server, which has no change streams",
                Some("start it with --replSet rs0 and run rs.initiate() once, or use `millstream serve`".to_owned()),
            ),
        }
    }

    pub(super) fn clock(&self) -> Finding {
        if self.skew <= SKEW_MAX {
            return Finding::ok("clock", format!("within {} ms of this machine's", self.skew.as_millis().max(1)));
        }
        Finding::warn(
            "clock",
            format!("{} from this machine's", show_duration(self.skew)),
            "ages and lags are wrong by that much: let NTP set both clocks",
        )
    }

    /// Whether it keeps a log that can be asked for here; a router does not.
    pub(super) fn has_own_log(&self) -> bool {
        self.hello.get_str("setName").is_ok()
    }

    fn is_router(&self) -> bool {
        self.hello.get_str("msg").ok() == Some("isdbgrid")
    }
}

/// Whether a stream can be opened.
pub(super) async fn rights(connection: &Connection, scope: Scope) -> Finding {
    let words = scope.to_string();
    match Watcher::open(connection.clone(), Source::new(scope), StartAt::Now, Backoff::default()).await {
        Ok(_) => Finding::ok("rights", format!("{words} can be watched")),
        Err(error) => Finding::fail("rights", error.to_string(), None),
    }
}

/// How far back the log reaches, and how long that lasts.
pub(super) async fn log(connection: &Connection) -> Vec<Finding> {
    match connection.log_window().await {
        Ok(window) => vec![size_of_log(&window)],
        Err(error) => vec![Finding::warn("log", "it cannot be looked at", error.to_string())],
    }
}

fn size_of_log(window: &LogWindow) -> Finding {
    let size = match window.bytes_max {
        Some(max) => format!("{} of {}", show_size(window.bytes), show_size(max)),
        None => show_size(window.bytes),
    };
    let lasts = window.bytes_max.and_then(|max| window.rate().time_for(max as f64));
    let reach = format!("reaches back {} ({size})", show_duration(window.span()));
    let Some(lasts) = lasts else { return Finding::ok("log", reach) };
    let text = format!("{reach}; at the present rate it holds {}", show_duration(lasts));
    let advice = "a watcher that is away for longer loses changes: make the log larger (oplogSizeMB, replSetResizeOplog, --oplog-bytes)";
    if lasts < LOG_TOO_SHORT {
        Finding::fail("log", text, Some(advice.to_owned()))
    } else if lasts < LOG_SHORT {
        Finding::warn("log", text, advice)
    } else {
        Finding::ok("log", text)
    }
}

/// Which collections keep images of documents before and after a change.
pub(super) async fn images(connection: &Connection, database: &str) -> Finding {
    let list = connection.client().database(database).list_collections().await;
    let mut found = match list {
        Ok(found) => found,
        Err(error) => {
            let error = connection.explain(error, &format!("the collections of {database}"));
            return Finding::warn("images", "the collections cannot be listed", error.to_string());
        }
    };
    let (mut with, mut all) = (Vec::new(), 0);
    loop {
        match found.advance().await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                let error = connection.explain(error, &format!("the collections of {database}"));
                return Finding::warn("images", "the collections cannot be listed", error.to_string());
            }
        }
        let Ok(row) = Document::try_from(found.current()) else { continue };
        let name = row.get_str("name").unwrap_or_default();
        if row.get_str("type").is_ok_and(|kind| kind != "collection") || name.starts_with("system.") {
            continue;
        }
        all += 1;
        let images =
            row.get_document("options").and_then(|options| options.get_document("changeStreamPreAndPostImages"));
        if images.is_ok_and(|images| images.get_bool("enabled").unwrap_or(false)) {
            with.push(name.to_owned());
        }
    }
    let text = match with.as_slice() {
        _ if all == 0 => format!("{database} has no collections yet"),
        [] => {
            format!("none of the {all} collections of {database} keeps images: --before and whenAvailable show nothing")
        }
        some => format!("{} of {all} collections of {database} keep images: {}", some.len(), some.join(", ")),
    };
    Finding::ok("images", text)
}

#[cfg(test)]
mod tests {
    use bson::Timestamp;
    use millstream_watch::{LogEnd, LogRate};

    use super::super::report::Level;
    use super::*;

    fn server(version: &str, hello: Document, skew_ms: u64) -> Server {
        let skew = Duration::from_millis(skew_ms);
        Server { servers: "a:1".into(), hello, version: version.into(), took: Duration::from_millis(1), skew }
    }

    #[test]
    fn versions_and_topologies_are_judged() {
        let level = |version: &str| server(version, doc! {}, 0).version().level;
        assert_eq!(
            ["4.0.28", "4.2.0", "5.0.7", "6.0.1", "8.0.0", "?"].map(level),
            [Level::Fail, Level::Warn, Level::Warn, Level::Ok, Level::Ok, Level::Fail]
        );
        let topology = |hello| server("8.0.0", hello, 0).topology();
        assert_eq!(topology(doc! {}).level, Level::Fail);
        assert_eq!(topology(doc! {"msg": "isdbgrid"}).text, "sharded cluster");
        assert_eq!(topology(doc! {"setName": "rs0", "hosts": ["a"]}).text, "replica set rs0 of 1");
    }

    #[test]
    fn clocks_may_be_a_second_apart() {
        assert_eq!(server("8.0.0", doc! {}, 900).clock().level, Level::Ok);
        assert_eq!(server("8.0.0", doc! {}, 90_000).clock().level, Level::Warn);
    }

    #[test]
    fn a_log_that_lasts_for_minutes_is_too_short() {
        let window = |per_hour: u64| {
            let end = LogEnd { time: Timestamp { time: 1, increment: 1 }, wall: DateTime::from_millis(1_000) };
            let whole = LogRate { over: Duration::from_secs(3_600), bytes: per_hour };
            let now = DateTime::from_millis(3_601_000);
            let bytes_max = Some(1 << 30);
            LogWindow {
                oldest: end,
                newest: end,
                is_whole: false,
                now,
                bytes: 1 << 20,
                bytes_max,
                entries: None,
                whole,
                recent: None,
            }
        };
        let level = |per_hour| size_of_log(&window(per_hour)).level;
        assert_eq!([level(1 << 20), level(1 << 27), level(1 << 31)], [Level::Ok, Level::Warn, Level::Fail]);
        assert_eq!(size_of_log(&LogWindow { bytes_max: None, ..window(1) }).level, Level::Ok);
    }
}
