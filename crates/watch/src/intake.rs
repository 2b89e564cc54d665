//! What comes to a delivery, one step after the other: first documents, if it begins with them, then the stream, its large
//! events made whole.

use std::sync::Arc;

use crate::pulse::Pulse;
use crate::reading::{Place, Reading};
use crate::seen::{BoxedSeen, Comparison};
use crate::split::Joiner;
use crate::{Backoff, Connection, Error, ProblemKind, Result, Source, StartAt, Step, Token, Watcher};

/// All that is needed to open an intake, once more if need be.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) connection: Connection,
    pub(crate) source: Source,
    pub(crate) backoff: Backoff,
    pub(crate) pulse: Arc<Pulse>,
}

pub(crate) struct Intake {
    watcher: Watcher,
    pulse: Arc<Pulse>,
    joiner: Option<Joiner>,
    before: Before,
}

/// What comes before the stream.
enum Before {
    Nothing,
    Documents(Box<Reading>),
    Differences(Box<Comparison>),
}

impl Opening {
    /// From some place on, which may lie among documents.
    pub(crate) async fn open(&self, start: StartAt) -> Result<Intake> {
        match start {
            StartAt::Snapshot => match self.watcher(StartAt::Snapshot).await {
                Err(error) if error.problem_kind() == Some(ProblemKind::NotOffered) => {
                    tracing::info!(source = %self.source.scope, "reading the documents that are there");
                    let (watcher, from) = self.now().await?;
                    Ok(self.intake(watcher, Before::Documents(Box::new(self.reading(from, false)))))
                }
                opened => Ok(self.intake(opened?, Before::Nothing)),
            },
            StartAt::StartAfter(token) | StartAt::ResumeAfter(token) if Place::of(&token)?.is_some() => {
                let place = Place::of(&token)?.ok_or(Error::NoToken)?;
                let watcher = self.watcher(StartAt::StartAfter(place.from.clone())).await?;
                let reading = Reading::resumed(&self.connection, &self.source, &self.backoff, place);
                Ok(self.intake(watcher, Before::Documents(Box::new(reading))))
            }
            start => Ok(self.intake(self.watcher(start).await?, Before::Nothing)),
        }
    }

    /// From now on, after the differences to what was seen.
    pub(crate) async fn compare(&self, seen: BoxedSeen) -> Result<Intake> {
        let (watcher, from) = self.now().await?;
        let comparison = Comparison::new(self.reading(from, true), seen, &self.source);
        Ok(self.intake(watcher, Before::Differences(Box::new(comparison))))
    }

    /// From some place on, after all documents were noted as seen.
    pub(crate) async fn learn(&self, start: StartAt, seen: BoxedSeen) -> Result<Intake> {
        let mut intake = self.open(start).await?;
        let from = intake.watcher.token().cloned().ok_or(Error::NoToken)?;
        let comparison = Comparison::learning(self.reading(from, false), seen, &self.source);
        intake.before = Before::Differences(Box::new(comparison));
        Ok(intake)
    }

    async fn watcher(&self, start: StartAt) -> Result<Watcher> {
        Watcher::open(self.connection.clone(), self.source.clone(), start, self.backoff.clone()).await
    }

    async fn now(&self) -> Result<(Watcher, Token)> {
        let watcher = self.watcher(StartAt::Now).await?;
        let from = watcher.token().cloned().ok_or(Error::NoToken)?;
        Ok((watcher, from))
    }

    fn reading(&self, from: Token, compare: bool) -> Reading {
        Reading::new(&self.connection, &self.source, &self.backoff, from, compare)
    }

    fn intake(&self, mut watcher: Watcher, before: Before) -> Intake {
        watcher.set_pulse(Arc::clone(&self.pulse));
        let joiner = self.source.options.split_large.then(Joiner::default);
        Intake { watcher, pulse: Arc::clone(&self.pulse), joiner, before }
    }
}

impl Intake {
    /// The next thing that happens. When the future was dropped half-way, [`Intake::start_again`] has to be called.
    pub(crate) async fn next(&mut self) -> Result<Step> {
        let document = match &mut self.before {
            Before::Nothing => None,
            Before::Documents(reading) => reading.next(&self.pulse).await?,
            Before::Differences(comparison) => comparison.next(&self.pulse).await?,
        };
        if let Some(event) = document {
            return Ok(Step::Event(event));
        }
        self.before = Before::Nothing;
        loop {
            match (self.watcher.next().await?, &mut self.joiner) {
                (Step::Event(event), Some(joiner)) => {
                    if let Some(event) = joiner.add(event)? {
                        return Ok(Step::Event(event));
                    }
                }
                (step, _) => return Ok(step),
            }
        }
    }

    /// The position behind everything that was handed out; None where it is known only with the next event.
    pub(crate) fn token(&self) -> Option<&Token> {
        let is_there = match &self.before {
            Before::Nothing => !self.joiner.as_ref().is_some_and(Joiner::is_open),
            Before::Documents(_) => false,
            Before::Differences(comparison) => comparison.is_learning(),
        };
        self.watcher.token().filter(|_| is_there)
    }

    /// Whether all documents that come before the stream were handed out.
    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self.before, Before::Nothing)
    }

    /// As [`Watcher::start_again`].
    pub(crate) async fn start_again(&mut self) -> Result<()> {
        match &mut self.before {
            Before::Nothing => self.watcher.start_again().await,
            Before::Documents(reading) => {
                reading.restart();
                Ok(())
            }
            Before::Differences(comparison) => {
                comparison.restart();
                Ok(())
            }
        }
    }
}
