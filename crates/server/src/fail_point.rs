//! Commands that fail on purpose, so that drivers and applications can be tested against failures.
//!
//! Only a server that was started for tests has this. Source: CS-13.27.

use std::borrow::Cow;
use std::time::Duration;

use millstream_value::Code;
use parking_lot::Mutex;

use crate::failure::Failure;

/// Which commands fail, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct FailCommand {
    /// Names as clients write them.
    pub(crate) commands: Vec<String>,
    /// Only commands of clients with this `appName`.
    pub(crate) app_name: Option<String>,
    /// The error instead of a reply.
    pub(crate) code: Option<Code>,
    /// Instead of the labels that the error would have.
    pub(crate) labels: Option<Vec<String>>,
    /// Hang up instead of answering.
    pub(crate) close: bool,
    /// Wait before anything else.
    pub(crate) block: Duration,
}

/// How often it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Always.
    AlwaysOn,
    /// The next so many times.
    Times(u64),
    /// After so many times.
    Skip(u64),
    /// Never.
    Off,
}

/// What befalls a command.
#[derive(Debug)]
pub(crate) struct Strike {
    pub(crate) block: Duration,
    pub(crate) then: Then,
}

/// What follows the wait.
#[derive(Debug)]
pub(crate) enum Then {
    /// The command runs.
    Run,
    /// It fails; its own labels are final.
    Fail(Failure, Labels),
    /// The connection is closed.
    Close,
}

/// Whether a failure may get further labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Labels {
    /// As any failure with its code.
    Usual,
    /// Those it has.
    Given,
}

/// The switch. It is off until somebody sets it.
#[derive(Debug, Default)]
pub(crate) struct FailPoint {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    command: FailCommand,
    struck: i64,
}

impl Default for State {
    fn default() -> Self {
        Self { mode: Mode::Off, command: FailCommand::default(), struck: 0 }
    }
}

impl FailPoint {
    /// Sets it, and says how often it had struck since it was set last.
    pub(crate) fn set(&self, mode: Mode, command: FailCommand) -> i64 {
        std::mem::replace(&mut *self.state.lock(), State { mode, command, struck: 0 }).struck
    }

    /// What is to happen to a command of a client.
    pub(crate) fn strike(&self, name: &str, app_name: Option<&str>) -> Option<Strike> {
        let mut state = self.state.lock();
        let State { mode, command, struck } = &mut *state;
        let concerned = *mode != Mode::Off
            && command.commands.iter().any(|command| command == name)
            && command.app_name.as_deref().is_none_or(|wanted| app_name == Some(wanted));
        if !concerned {
            return None;
        }
        match mode {
            Mode::Skip(left @ 1..) => {
                *left -= 1;
                return None;
            }
            Mode::Times(left) => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    *mode = Mode::Off;
                }
            }
            Mode::AlwaysOn | Mode::Skip(0) | Mode::Off => {}
        }
        *struck += 1;
        Some(Strike { block: command.block, then: command.then() })
    }
}

impl FailCommand {
    fn then(&self) -> Then {
        match self.code {
            _ if self.close => Then::Close,
            None => Then::Run,
            Some(code) => {
                let mut failure = Failure::new(code, "Failing command via 'failCommand' failpoint");
                let labels = match &self.labels {
                    None => Labels::Usual,
                    Some(labels) => {
                        failure.labels = labels.iter().cloned().map(Cow::Owned).collect();
                        Labels::Given
                    }
                };
                Then::Fail(failure, labels)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_count() {
        let command = || FailCommand { commands: vec!["find".to_owned()], ..FailCommand::default() };
        let point = FailPoint::default();
        let strikes = || (0..4).map(|_| point.strike("find", None).is_some()).collect::<Vec<_>>();
        assert_eq!(strikes(), [false; 4]);
        point.set(Mode::Times(2), command());
        assert!(point.strike("insert", None).is_none());
        assert_eq!(strikes(), [true, true, false, false]);
        assert_eq!(point.set(Mode::Skip(3), command()), 2);
        assert_eq!(strikes(), [false, false, false, true]);
        point.set(Mode::AlwaysOn, command());
        assert_eq!(strikes(), [true; 4]);
        point.set(Mode::AlwaysOn, FailCommand { app_name: Some("mine".to_owned()), ..command() });
        assert!(point.strike("find", Some("yours")).is_none());
        assert!(point.strike("find", Some("mine")).is_some());
    }
}
