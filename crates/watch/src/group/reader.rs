//! The one stream that a member reads for all of its partitions.

use tokio::time::{Instant, sleep};

use crate::intake::{Intake, Opening};
use crate::problem::is_passing;
use crate::{Error, Result, StartAt, Step, Token};

/// A stream that is opened when it is first read, and comes back when the servers were away.
pub(super) struct Reader {
    opening: Opening,
    from: StartAt,
    intake: Option<Intake>,
}

/// What it has to say.
pub(super) struct Read {
    pub(super) step: Step,
    /// Nothing more will come up to here.
    pub(super) token: Option<Token>,
}

impl Reader {
    pub(super) fn new(opening: &Opening, from: StartAt) -> Self {
        Self { opening: opening.clone(), from, intake: None }
    }

    /// Do not drop the future half-way and then call again.
    pub(super) async fn next(&mut self) -> Result<Read> {
        let mut intake = match self.intake.take() {
            Some(intake) => intake,
            None => self.open().await?,
        };
        let step = intake.next().await?;
        let token = match &step {
            Step::Event(event) => Some(event.token().clone()),
            Step::Idle | Step::Ended => intake.token().cloned(),
        };
        self.intake = Some(intake);
        Ok(Read { step, token })
    }

    async fn open(&mut self) -> Result<Intake> {
        let Opening { source, backoff, pulse, .. } = &self.opening;
        let began = Instant::now();
        let mut attempt = 0;
        loop {
            match self.opening.open(self.from.clone()).await {
                Err(error) if passes(&error) && began.elapsed() < backoff.give_up_after => {
                    pulse.lost();
                    tracing::warn!(source = %source.scope, "the stream could not be opened, trying again: {error}");
                    sleep(backoff.delay(attempt, rand::random())).await;
                    attempt += 1;
                }
                Err(error) => return Err(error),
                Ok(intake) => {
                    pulse.heard();
                    return Ok(intake);
                }
            }
        }
    }
}

/// Whether an error is worth waiting for its end.
pub(super) fn passes(error: &Error) -> bool {
    matches!(error, Error::Server { source, .. } if is_passing(source))
}
