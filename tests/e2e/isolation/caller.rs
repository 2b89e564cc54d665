//! A client of the server that knows what became of what it sent: every attempt and every answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mongodb::error::{Error, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;
use mongodb::{Client, ClientSession};

use super::history::Outcome;
use crate::soak::{code, is_outage, number_of};

/// How long a commit is retried, over restarts of the server; far above what it needs.
const COMMIT_MAX: Duration = Duration::from_secs(60);

/// What the driver sends by itself, whenever it likes.
const ASIDE: [&str; 3] = ["abortTransaction", "endSessions", "killCursors"];

/// The test's own clock, by which everything that clients did is in one order.
#[derive(Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    pub(super) fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).expect("a short test")
    }
}

/// What went over the wire since it was last asked; the driver retries by itself.
#[derive(Default)]
struct Wire {
    sent: AtomicU32,
    /// The `operationTime` of the last reply, as a number; 0 if there was none.
    time: AtomicU64,
}

impl Wire {
    fn note(&self, event: &CommandEvent) {
        match event {
            CommandEvent::Started(event) if !ASIDE.contains(&event.command_name.as_str()) => {
                self.sent.fetch_add(1, Ordering::SeqCst);
            }
            CommandEvent::Succeeded(event) if !ASIDE.contains(&event.command_name.as_str()) => {
                let time = event.reply.get_timestamp("operationTime").map_or(0, number_of);
                self.time.store(time, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

#[derive(Clone)]
pub(super) struct Caller {
    pub(super) client: Client,
    pub(super) clock: Clock,
    wire: Arc<Wire>,
}

/// The end of a transaction.
pub(super) struct End {
    pub(super) outcome: Outcome,
    pub(super) sent: Option<u64>,
    pub(super) ended: u64,
    pub(super) log_time: Option<u64>,
}

impl Caller {
    pub(super) async fn connect(uri: &str, clock: Clock) -> Self {
        let wire = Arc::new(Wire::default());
        let mut options = ClientOptions::parse(uri).await.expect("options");
        let noted = wire.clone();
        options.command_event_handler = Some(EventHandler::callback(move |event| noted.note(&event)));
        options.max_pool_size = Some(3);
        Self { client: Client::with_options(options).expect("a client"), clock, wire }
    }

    /// Forgets what was sent.
    pub(super) fn begin(&self) -> u64 {
        self.wire.sent.store(0, Ordering::SeqCst);
        self.wire.time.store(0, Ordering::SeqCst);
        self.clock.now()
    }

    /// The time in the log of the one write that was sent since `begin`. If it was sent again, the answer to that may
    /// have a later time.
    pub(super) fn log_time(&self) -> Option<u64> {
        let time = self.wire.time.load(Ordering::SeqCst);
        (self.was_sent_once() && time > 0).then_some(time)
    }

    fn was_sent_once(&self) -> bool {
        self.wire.sent.load(Ordering::SeqCst) == 1
    }

    /// Commits, again and again where nobody knows the outcome; or leaves in the middle of it, after so long.
    pub(super) async fn commit(&self, session: &mut ClientSession, leaves: Option<Duration>) -> Result<End, String> {
        let sent = self.begin();
        let began = Instant::now();
        let outcome = loop {
            let patience = leaves.unwrap_or(2 * COMMIT_MAX);
            let committed = tokio::time::timeout(patience, async { session.commit_transaction().await }).await;
            let Ok(Err(error)) = committed else {
                break if committed.is_ok() { Outcome::Committed } else { Outcome::Unknown };
            };
            if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) || is_outage(&error) {
                if began.elapsed() > COMMIT_MAX {
                    break Outcome::Unknown;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            } else if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
                break Outcome::Aborted;
            } else {
                return Err(format!("commitTransaction: {error}"));
            }
        };
        let log_time = self.log_time().filter(|_| outcome == Outcome::Committed);
        Ok(End { outcome, sent: Some(sent), ended: self.clock.now(), log_time })
    }

    /// Aborts. It does not matter whether the server hears of it: without a commit there is nothing.
    pub(super) async fn abort(&self, session: &mut ClientSession) -> End {
        let ended = self.clock.now();
        let _ = session.abort_transaction().await;
        End { outcome: Outcome::Aborted, sent: None, ended, log_time: None }
    }

    /// What an error of a statement outside of transactions leaves behind.
    pub(super) fn alone_failed(&self, error: &Error) -> Result<Outcome, String> {
        if is_outage(error) { Ok(Outcome::Unknown) } else { Err(told("a statement outside of transactions", error)) }
    }
}

/// Fails if an error is not one after which a whole transaction may be tried again.
pub(super) fn is_transient(error: &Error) -> Result<(), String> {
    let transient = error.contains_label(TRANSIENT_TRANSACTION_ERROR) || is_outage(error);
    if transient { Ok(()) } else { Err(told("a statement of a transaction", error)) }
}

fn told(what: &str, error: &Error) -> String {
    format!("{what}: {error} (code {:?}, labels {:?})", code(error), error.labels())
}
