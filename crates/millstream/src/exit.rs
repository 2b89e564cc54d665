//! Exit codes, and errors as one sentence.

use std::fmt;
use std::process::ExitCode;

use millstream_watch::{Error as WatchError, ProblemKind};

/// How the program ends. The numbers are part of its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// It did what was asked, or was asked to stop.
    Done,
    /// Something else went wrong.
    Failed,
    /// The flags, the config or the URI make no sense.
    Usage,
    /// No server was reached.
    Unreachable,
    /// The server refuses: standalone, no rights, wrong password, pipeline.
    Refused,
    /// The position is gone: history lost, token unknown, checkpoint unusable.
    PositionLost,
}

/// What a person typed makes no sense.
#[derive(Debug)]
pub(crate) struct Misuse(pub(crate) String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

/// An error that blames the flags.
pub(crate) fn misuse(text: impl Into<String>) -> anyhow::Error {
    Misuse(text.into()).into()
}

/// Prints an error, if there is one, and turns the result into an exit code.
pub(crate) fn report(result: anyhow::Result<Code>) -> ExitCode {
    let code = result.unwrap_or_else(|error| {
        eprintln!("millstream: {}", sentence(&error));
        code_of(&error)
    });
    ExitCode::from(code.number())
}

impl Code {
    /// The number that the shell sees.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Refused => 4,
            Self::PositionLost => 5,
        }
    }
}

/// The error with its causes, on one line. A problem with a server is a sentence already, and its
/// cause, the driver's own text, would only repeat it at length.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if !parts.last().is_some_and(|last| last.ends_with(&text)) {
            parts.push(text);
        }
        if cause.is::<WatchError>() {
            break;
        }
    }
    parts.join(": ").replace(['\n', '\r'], " ")
}

fn code_of(error: &anyhow::Error) -> Code {
    let watch = error.chain().find_map(|cause| cause.downcast_ref::<WatchError>());
    match watch {
        None if error.chain().any(|cause| cause.is::<Misuse>()) => Code::Usage,
        None => Code::Failed,
        Some(error) => watch_code(error),
    }
}

fn watch_code(error: &WatchError) -> Code {
    match error {
        WatchError::BadToken { .. } | WatchError::BadJson { .. } => Code::Usage,
        WatchError::NoLog { .. } => Code::Refused,
        WatchError::OtherSource { .. } | WatchError::OtherWatch { .. } | WatchError::DamagedCheckpoint { .. } => {
            Code::PositionLost
        }
        _ => match error.problem_kind() {
            Some(ProblemKind::BadUri) => Code::Usage,
            Some(ProblemKind::Unreachable | ProblemKind::Tls) => Code::Unreachable,
            Some(ProblemKind::HistoryLost | ProblemKind::TokenNotFound | ProblemKind::BadToken) => Code::PositionLost,
            Some(
                ProblemKind::Authentication
                | ProblemKind::NotAuthorized
                | ProblemKind::Standalone
                | ProblemKind::BadPipeline
                | ProblemKind::NoImage
                | ProblemKind::EventTooLarge
                | ProblemKind::NotOffered,
            ) => Code::Refused,
            _ => Code::Failed,
        },
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn causes_are_joined_and_not_repeated() {
        let cause = std::io::Error::other("disk full");
        let error = anyhow::Error::from(cause).context("could not write a file");
        assert_eq!(sentence(&error), "could not write a file: disk full");
        let error = Err::<(), _>(anyhow::anyhow!("disk full")).context("no luck: disk full").unwrap_err();
        assert_eq!(sentence(&error), "no luck: disk full");
    }

    #[test]
    fn codes_follow_the_cause() {
        assert_eq!(code_of(&misuse("no").context("reading flags")), Code::Usage);
        assert_eq!(code_of(&anyhow::anyhow!("?")), Code::Failed);
        let token = millstream_watch::Token::parse("xyz").unwrap_err();
        assert_eq!(code_of(&token.into()), Code::Usage);
    }
}
