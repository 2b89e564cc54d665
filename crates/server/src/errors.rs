//! From the database's errors to the protocol's codes: the one place where they are chosen.

use millstream_db::Error;
use millstream_value::{Code, DocBuf};

use crate::failure::Failure;

/// The failure that a client sees.
pub(crate) fn failure(error: Error) -> Failure {
    let mut failure = Failure::new(code(&error), error.to_string());
    match &error {
        Error::DuplicateKey(clash) => {
            let mut details = DocBuf::new();
            details.push("keyPattern", &clash.key_pattern).push("keyValue", &clash.key_value);
            failure.details = Some(details);
        }
        Error::Change(change) => failure.labels = change.label().into_iter().map(Into::into).collect(),
        _ => {}
    }
    failure
}

/// The failure of a piece of a query language.
pub(crate) fn query(error: millstream_query::Error) -> Failure {
    Failure::new(error.code, error.message)
}

fn code(error: &Error) -> Code {
    match error {
        Error::Query(error) => error.code,
        Error::Change(error) => error.code(),
        Error::Storage(error) => storage_code(error),
        Error::NoCollection(_) => Code::NamespaceNotFound,
        Error::NamespaceExists(_) => Code::NamespaceExists,
        Error::IsView(_) => Code::CommandNotSupportedOnView,
        Error::InvalidNamespace(_) => Code::InvalidNamespace,
        Error::InvalidId(_) => Code::InvalidIdField,
        Error::DollarField(_) => Code::DollarPrefixedFieldName,
        Error::TooLarge(_) => Code::BSONObjectTooLarge,
        Error::DuplicateKey(_) => Code::DuplicateKey,
        Error::ParallelArrays(..) => Code::CannotIndexParallelArrays,
        Error::IndexNotFound(_) => Code::IndexNotFound,
        Error::CannotCreateIndex(_) => Code::CannotCreateIndex,
        Error::IndexConflict(_) => Code::IndexKeySpecsConflict,
        Error::IndexOptionsConflict(_) => Code::IndexOptionsConflict,
        Error::DropIdIndex => Code::InvalidOptions,
        Error::BadHint => Code::BadValue,
        Error::CursorNotFound(_) => Code::CursorNotFound,
        Error::CursorInUse(_) => Code::CursorInUse,
        Error::CursorKilled => Code::CursorKilled,
        Error::CursorNamespace { .. } => Code::Unauthorized,
        Error::CursorHasNoSession(_) => Code::Location(50736),
        Error::CursorNeedsSession(_) => Code::Location(50737),
        Error::CursorOtherSession(_) => Code::Location(50738),
        Error::CursorOtherTransaction { opened: Some(_), given: None, .. } => Code::Location(50740),
        Error::CursorOtherTransaction { opened: None, .. } => Code::Location(50739),
        Error::CursorOtherTransaction { .. } => Code::Location(50741),
        Error::CursorOtherApi(_) => Code::APIMismatchError,
        Error::TooManyCursors(_) => Code::OperationFailed,
        Error::TransactionTooOld { .. } => Code::TransactionTooOld,
        // The first three are for the database itself: nobody but a bug shows them to a client.
        Error::Held(_) | Error::Moved | Error::NeedsNumbers | Error::Conflict => Code::WriteConflict,
        Error::Invalid { code, .. } => *code,
    }
}

fn storage_code(error: &millstream_storage::Error) -> Code {
    use millstream_storage::Error as Storage;
    match error {
        Storage::HistoryLost { .. } => Code::CappedPositionLost,
        Storage::Closed => Code::InterruptedAtShutdown,
        Storage::Busy => Code::ExceededTimeLimit,
        Storage::KeyTooLong { .. } => Code::BSONObjectTooLarge,
        Storage::Io { .. }
        | Storage::Locked { .. }
        | Storage::Format { .. }
        | Storage::Foreign { .. }
        | Storage::Failed
        | Storage::Bug(_)
        | Storage::Corrupt(_)
        | Storage::Refused => Code::InternalError,
    }
}
