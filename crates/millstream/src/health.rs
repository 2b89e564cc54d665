//! How the watchers of this process are doing, for those who look after it.
//!
//! `/livez`   200 as long as the program runs
//! `/readyz`  200 if every watcher is well, else 503; a JSON object says how each is
//! `/metrics` numbers for Prometheus

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use millstream_watch::{Control, METRICS, MetricKind, Stats, Status};
use parking_lot::Mutex;
use serde_json::json;

/// Bounds in seconds for how long it takes to deal with an event: from a local command to a webhook far away.
const BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];
/// A server that has nothing to tell says so every second.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// How often samples that nobody has asked for are put together.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The watchers of this process, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board(Arc<Mutex<BTreeMap<String, Entry>>>);

#[derive(Debug, Clone)]
struct Entry {
    /// None as long as its stream is not open.
    control: Option<Control>,
    lag_max: Duration,
}

impl Board {
    /// A watcher that is about to begin.
    pub(crate) fn expect(&self, name: &str, lag_max: Duration) {
        self.0.lock().insert(name.to_owned(), Entry { control: None, lag_max });
    }

    /// It has begun.
    pub(crate) fn began(&self, name: &str, control: Control) {
        if let Some(entry) = self.0.lock().get_mut(name) {
            entry.control = Some(control);
        }
    }

    /// What is wrong with each; nothing, if it is well.
    fn problems(&self) -> BTreeMap<String, Option<String>> {
        let problem = |entry: &Entry| match &entry.control {
            None => Some("its stream is not open".to_owned()),
            Some(control) => problem(&control.stats(), entry.lag_max),
        };
        self.0.lock().iter().map(|(name, entry)| (name.clone(), problem(entry))).collect()
    }
}

fn problem(stats: &Stats, lag_max: Duration) -> Option<String> {
    match stats.status {
        Status::Failed => Some(format!("it has failed: {}", stats.last_error.as_deref().unwrap_or("no reason given"))),
        Status::Ended => Some("it has ended".to_owned()),
        Status::Stalled => Some(format!("the server has said nothing for {} s", stats.silent_for.as_secs())),
        Status::Reconnecting => Some("the server is away".to_owned()),
        // Whoever waits for a store that is away reads nothing, and does not know how far behind it is.
        Status::Running if stats.silent_for > lag_max.max(SILENT_MAX) => {
            Some(format!("nothing was heard of the server for {} s", stats.silent_for.as_secs()))
        }
        Status::Running | Status::Paused => {
            let lag = Duration::from_millis(stats.lag_ms);
            (lag > lag_max).then(|| format!("it is {:.1} s behind", lag.as_secs_f64()))
        }
    }
}

/// Something that answers questions about health.
pub(crate) struct Health {
    board: Board,
    metrics: PrometheusHandle,
}

impl Health {
    /// Collects numbers from now on; watchers that began before are not in them.
    pub(crate) fn new(board: Board) -> anyhow::Result<Self> {
        let builder = PrometheusBuilder::new().set_buckets(BUCKETS).context("could not set up metrics")?;
        let metrics = builder.install_recorder().context("could not set up metrics")?;
        for metric in METRICS {
            match metric.kind {
                MetricKind::Counter => metrics::describe_counter!(metric.name, metric.help),
                MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
                MetricKind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
            }
        }
        Ok(Self { board, metrics })
    }

    /// Listens, and answers in the background; gives the address with the port that was picked.
    pub(crate) async fn serve(self, address: SocketAddr) -> anyhow::Result<SocketAddr> {
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("could not listen on {address} for --health"))?;
        let address = listener.local_addr()?;
        let metrics = self.metrics.clone();
        drop(tokio::spawn(async move {
            let mut tick = tokio::time::interval(UPKEEP_EVERY);
            loop {
                tick.tick().await;
                metrics.run_upkeep();
            }
        }));
        let router = Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(numbers))
            .with_state(Arc::new(self));
        drop(tokio::spawn(async move { axum::serve(listener, router).await }));
        Ok(address)
    }
}

async fn ready(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let problems = health.board.problems();
    let well = !problems.is_empty() && problems.values().all(Option::is_none);
    let code = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({"ready": well, "watchers": problems})))
}

async fn numbers(State(health): State<Arc<Health>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], health.metrics.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let max = Duration::from_secs(60);
        let problem = |status, lag_ms| problem(&Stats { status, lag_ms, ..Stats::default() }, max);
        assert_eq!(problem(Status::Running, 59_000), None);
        assert_eq!(problem(Status::Running, 61_500).as_deref(), Some("it is 61.5 s behind"));
        assert!(problem(Status::Stalled, 0).is_some());
        assert!(problem(Status::Failed, 0).unwrap().contains("no reason given"));
        let silent = Stats { silent_for: Duration::from_secs(61), ..Stats::default() };
        assert!(super::problem(&silent, max).unwrap().contains("61 s"));
        let board = Board::default();
        board.expect("mailer", max);
        assert!(board.problems()["mailer"].is_some());
    }
}
