//! The one stream that a member reads for all of its partitions.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use crate::problem::is_passing;
use crate::pulse::Pulse;
use crate::{Backoff, Connection, Error, Result, Source, StartAt, Step, Token, Watcher};

/// A stream that is opened when it is first read, and comes back when the servers were away.
pub(super) struct Reader {
    connection: Connection,
    source: Source,
    backoff: Backoff,
    from: StartAt,
    pulse: Arc<Pulse>,
    watcher: Option<Watcher>,
}

/// What it has to say.
pub(super) struct Read {
    pub(super) step: Step,
    /// Nothing more will come up to here.
    pub(super) token: Option<Token>,
}

impl Reader {
    pub(super) fn new(
        connection: &Connection,
        source: &Source,
        backoff: &Backoff,
        pulse: &Arc<Pulse>,
        from: StartAt,
    ) -> Self {
        Self {
            connection: connection.clone(),
            source: source.clone(),
            backoff: backoff.clone(),
            from,
            pulse: Arc::clone(pulse),
            watcher: None,
        }
    }

    /// As with [`Watcher::next`], do not drop the future half-way and then call again.
    pub(super) async fn next(&mut self) -> Result<Read> {
        let mut watcher = match self.watcher.take() {
            Some(watcher) => watcher,
            None => self.open().await?,
        };
        let step = watcher.next().await?;
        let token = match &step {
            Step::Event(event) => Some(event.token().clone()),
            Step::Idle | Step::Ended => watcher.token().cloned(),
        };
        self.watcher = Some(watcher);
        Ok(Read { step, token })
    }

    async fn open(&mut self) -> Result<Watcher> {
        let began = Instant::now();
        let mut attempt = 0;
        loop {
            let (connection, source) = (self.connection.clone(), self.source.clone());
            match Watcher::open(connection, source, self.from.clone(), self.backoff.clone()).await {
                Err(error) if passes(&error) && began.elapsed() < self.backoff.give_up_after => {
                    self.pulse.lost();
                    tracing::warn!(source = %self.source.scope, "the stream could not be opened, trying again: {error}");
                    sleep(self.backoff.delay(attempt, rand::random())).await;
                    attempt += 1;
                }
                Err(error) => return Err(error),
                Ok(mut watcher) => {
                    watcher.set_pulse(Arc::clone(&self.pulse));
                    self.pulse.heard();
                    return Ok(watcher);
                }
            }
        }
    }
}

/// Whether an error is worth waiting for its end.
pub(super) fn passes(error: &Error) -> bool {
    matches!(error, Error::Server { source, .. } if is_passing(source))
}
