//! The numbers of a delivery for the program's exporter, over the `metrics` crate: nothing happens without one.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
    /// Many values, by their size.
    Histogram,
}

/// One metric. Each has the label `watcher`, the name of the watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// What it says.
    pub help: &'static str,
}

/// Every metric of this crate. `millstream_watch_events_total` has the label `operation` besides.
// tidy: sorted by name
pub static METRICS: &[Metric] = &[
    counter("millstream_watch_delivered_total", "Events that were dealt with"),
    counter("millstream_watch_events_total", "Events that came, by operation"),
    counter("millstream_watch_failures_total", "Tries that failed"),
    counter("millstream_watch_given_up_total", "Events that were given up"),
    histogram("millstream_watch_handling_seconds", "How long it took to deal with an event or a batch"),
    counter("millstream_watch_histories_lost_total", "How often the server had forgotten what comes next"),
    gauge("millstream_watch_lag_seconds", "How old the oldest event is that is not dealt with"),
    counter("millstream_watch_reconnects_total", "How often the stream went on after an error"),
    counter("millstream_watch_repeated_total", "Events that were left out because they had come before"),
    counter("millstream_watch_retries_total", "Tries that were made again"),
    counter("millstream_watch_saves_total", "How often the position was saved"),
    counter("millstream_watch_stalls_total", "How often the stream had stalled"),
    gauge("millstream_watch_token_age_seconds", "How old the saved position is"),
    gauge("millstream_watch_under_way", "Events under way"),
];

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, help }
}

/// The metrics of one delivery.
pub(super) struct Meters {
    watcher: String,
    delivered: Counter,
    pub(super) failures: Counter,
    pub(super) retries: Counter,
    pub(super) given_up: Counter,
    pub(super) repeated: Counter,
    pub(super) saves: Counter,
    pub(super) reconnects: Counter,
    pub(super) histories_lost: Counter,
    pub(super) stalls: Counter,
    handling: Histogram,
    lag: Gauge,
    token_age: Gauge,
    under_way: Gauge,
}

impl Meters {
    /// Those of a watch, at the exporter that is there now.
    pub(super) fn new(watcher: &str) -> Self {
        for metric in METRICS {
            let unit = if metric.name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
            match metric.kind {
                MetricKind::Counter => metrics::describe_counter!(metric.name, unit, metric.help),
                MetricKind::Gauge => metrics::describe_gauge!(metric.name, unit, metric.help),
                MetricKind::Histogram => metrics::describe_histogram!(metric.name, unit, metric.help),
            }
        }
        let counter = |name: &'static str| metrics::counter!(name, "watcher" => watcher.to_owned());
        let gauge = |name: &'static str| metrics::gauge!(name, "watcher" => watcher.to_owned());
        Self {
            watcher: watcher.to_owned(),
            delivered: counter("millstream_watch_delivered_total"),
            failures: counter("millstream_watch_failures_total"),
            retries: counter("millstream_watch_retries_total"),
            given_up: counter("millstream_watch_given_up_total"),
            repeated: counter("millstream_watch_repeated_total"),
            saves: counter("millstream_watch_saves_total"),
            reconnects: counter("millstream_watch_reconnects_total"),
            histories_lost: counter("millstream_watch_histories_lost_total"),
            stalls: counter("millstream_watch_stalls_total"),
            handling: metrics::histogram!("millstream_watch_handling_seconds", "watcher" => watcher.to_owned()),
            lag: gauge("millstream_watch_lag_seconds"),
            token_age: gauge("millstream_watch_token_age_seconds"),
            under_way: gauge("millstream_watch_under_way"),
        }
    }

    /// The counter of one kind of events.
    pub(super) fn came(&self, operation: &str) -> Counter {
        let labels = [("watcher", self.watcher.clone()), ("operation", operation.to_owned())];
        metrics::counter!("millstream_watch_events_total", &labels)
    }

    pub(super) fn delivered(&self, events: u64, took: Duration) {
        self.delivered.increment(events);
        self.handling.record(took);
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    pub(super) fn show(&self, under_way: u64, lag_ms: u64, token_age: Option<Duration>) {
        self.under_way.set(under_way as f64);
        self.lag.set(lag_ms as f64 / 1000.0);
        if let Some(age) = token_age {
            self.token_age.set(age.as_secs_f64());
        }
    }
}
