//! What an error of a callback may say about trying again.

use std::any::Any;
use std::fmt;
use std::time::Duration;

/// An error of a callback that knows whether trying again makes sense. Any other error is tried again as the settings
/// say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    reason: String,
    again: Again,
}

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// As the settings say.
    Usual,
    /// Not before this time is over.
    After(Duration),
    /// Not at all: it would fail in the same way.
    Never,
}

impl Failure {
    /// One that may pass.
    pub fn passing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: Again::Usual }
    }

    /// One that may pass, but not before some time is over.
    pub fn passing_after(reason: impl Into<String>, time: Duration) -> Self {
        Self { reason: reason.into(), again: Again::After(time) }
    }

    /// What an error of whatever kind says.
    pub(crate) fn of<E: fmt::Display + 'static>(error: &E) -> Self {
        Self { reason: error.to_string(), again: again(error) }
    }

    /// Whether it says that trying again makes sense.
    pub(crate) fn again(&self) -> Again {
        self.again
    }

    /// Whether trying again makes no sense.
    pub fn is_lasting(&self) -> bool {
        self.again == Again::Never
    }

    /// How long to wait at least before it is tried again, if that was said.
    pub fn pause(&self) -> Option<Duration> {
        match self.again {
            Again::After(pause) => Some(pause),
            Again::Never | Again::Usual => None,
        }
    }

    /// One that would come again however often it is tried: the event is given up at once.
    pub fn lasting(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: Again::Never }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Failure {}

/// What an error of whatever kind says.
pub(crate) fn again(error: &dyn Any) -> Again {
    error.downcast_ref::<Failure>().map_or(Again::Usual, Failure::again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_knows() {
        assert_eq!(again(&"no"), Again::Usual);
        assert_eq!(again(&Failure::passing("no")), Again::Usual);
        assert_eq!(again(&Failure::lasting("no")), Again::Never);
        let late = Failure::passing_after("busy", Duration::from_secs(7));
        assert_eq!(again(&late), Again::After(Duration::from_secs(7)));
        assert_eq!(late.to_string(), "busy");
    }
}
