//! What a deployment refuses, in the codes of SQL-21.

use millstream_sql::SqlError;
use mongodb::error::{Error, ErrorKind, InsertManyError, WriteFailure};

/// A result of this crate.
pub(crate) type Result<T> = std::result::Result<T, SqlError>;

/// A deployment's code and the class that stands for it (SQL-21.1, read from right to left).
// Sorted by code.
static CLASSES: &[(i32, &str)] = &[
    (6, "08006"),
    (7, "08006"),
    (13, "42501"),
    (18, "28000"),
    (26, "42P01"),
    (27, "42704"),
    (47, "MS002"),
    (48, "42P07"),
    (50, "57014"),
    (85, "42710"),
    (86, "42710"),
    (89, "08006"),
    (91, "08006"),
    (112, "40001"),
    (121, "23514"),
    (166, "42809"),
    (189, "08006"),
    (239, "72000"),
    (246, "72000"),
    (251, "40001"),
    (257, "54000"),
    (280, "MS001"),
    (286, "MS001"),
    (10_107, "08006"),
    (10_334, "54000"),
    (11_000, "23505"),
    (11_600, "08006"),
    (11_601, "57014"),
    (11_602, "08006"),
    (13_435, "08006"),
    (17_280, "54000"),
];

/// The server's code, if it was the server who refused.
pub(crate) fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => Some(concern.code),
        ErrorKind::InsertMany(InsertManyError { write_errors: Some(errors), .. }) => errors.first().map(|e| e.code),
        ErrorKind::BulkWrite(bulk) => bulk.write_errors.values().next().map(|write| write.code),
        _ => None,
    }
}

/// Classes of statements' errors and the MongoDB codes that stand for them (SQL-21.1).
// Sorted by class.
static CODES: &[(&str, i32)] = &[
    ("08006", 6),
    ("0A000", 115),
    ("22003", 15),
    ("23505", 11_000),
    ("23514", 121),
    ("25000", 20),
    ("25001", 20),
    ("25P01", 20),
    ("25P02", 251),
    ("28000", 18),
    ("2BP01", 20),
    ("40001", 112),
    ("42501", 13),
    ("42601", 9),
    ("42602", 9),
    ("42622", 9),
    ("42704", 26),
    ("42710", 48),
    ("42723", 48),
    ("42804", 14),
    ("42809", 20),
    ("42P01", 26),
    ("42P07", 48),
    ("53400", 146),
    ("54000", 10_334),
    ("55000", 20),
    ("57014", 11_601),
    ("58030", 96),
    ("72000", 239),
    ("MS001", 286),
    ("MS002", 47),
    ("MS004", 146),
    ("P0001", 96),
    ("XX000", 1),
];

/// The MongoDB code of an error's class; BadValue where there is none of its own.
#[must_use]
pub fn mongodb_code(error: &SqlError) -> i32 {
    let of = |class: &str| CODES.binary_search_by_key(&class, |(state, _)| *state).ok().and_then(|at| CODES.get(at));
    of(error.state.0).map_or(2, |(_, code)| *code)
}

/// The class of a deployment's code.
pub(crate) fn class(code: i32) -> Option<&'static str> {
    CLASSES
        .binary_search_by_key(&code, |(known, _)| *known)
        .ok()
        .and_then(|at| CLASSES.get(at))
        .map(|(_, state)| *state)
}

/// A driver's error as a statement's.
pub(crate) fn of_driver(error: &Error) -> SqlError {
    let message = words(error);
    if error.contains_label(mongodb::error::TRANSIENT_TRANSACTION_ERROR) {
        return SqlError::new("40001", message);
    }
    match (error.kind.as_ref(), code(error)) {
        (_, Some(code)) => match class(code) {
            Some(state) => SqlError::new(state, message),
            None => SqlError::new("XX000", format!("{message} (code {code})")),
        },
        (
            ErrorKind::Io(_)
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::InvalidTlsConfig { .. },
            None,
        ) => SqlError::new("08006", message),
        (ErrorKind::Authentication { .. }, None) => SqlError::new("28000", message),
        (ErrorKind::InvalidArgument { .. }, None) => SqlError::new("22023", message),
        _ => SqlError::new("XX000", message),
    }
}

/// An error of the change streams' library as a statement's.
pub(crate) fn of_watch(error: &millstream_watch::Error) -> SqlError {
    use millstream_watch::ProblemKind;
    let state = match error.problem_kind() {
        Some(ProblemKind::HistoryLost | ProblemKind::TokenNotFound) => "MS001",
        Some(ProblemKind::NoImage) => "MS002",
        Some(ProblemKind::NotAuthorized) => "42501",
        Some(ProblemKind::Authentication) => "28000",
        Some(ProblemKind::Standalone | ProblemKind::NotOffered) => "0A000",
        Some(ProblemKind::Unreachable | ProblemKind::Tls) => "08006",
        Some(ProblemKind::BadToken) => "22023",
        _ if error.is_passing() => "08006",
        _ => "XX000",
    };
    SqlError::new(state, error.to_string())
}

/// What ends a circuit's run.
pub(crate) fn of_flow(error: &millstream_flow::Error) -> SqlError {
    let state = match error {
        millstream_flow::Error::Interrupted => "57014",
        millstream_flow::Error::StateLimit { .. } => "53400",
        _ => "XX000",
    };
    SqlError::new(state, error.to_string())
}

/// Whether it may work a little later, and nothing is wrong with the statement: 40001 and what lies with connections.
pub(crate) fn is_passing(error: &SqlError) -> bool {
    matches!(error.state.0, "40001" | "08006")
}

/// That changes are gone which somebody needs (SQL-12.10).
pub(crate) fn lost(reason: &str) -> SqlError {
    SqlError::new("MS001", format!("changes are lost: {reason}"))
}

/// Something that cannot be.
pub(crate) fn bug(what: &str) -> SqlError {
    SqlError::new("XX000", format!("internal error: {what}"))
}

fn words(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => command.message.clone(),
        ErrorKind::Write(WriteFailure::WriteError(write)) => write.message.clone(),
        ErrorKind::InsertMany(InsertManyError { write_errors: Some(errors), .. }) => {
            errors.first().map_or_else(|| error.to_string(), |write| write.message.clone())
        }
        ErrorKind::InvalidArgument { message, .. } => message.clone(),
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SQL-21.1, SQL-21.2
    #[test]
    fn codes_have_classes() {
        assert!(CLASSES.is_sorted_by_key(|(code, _)| *code));
        assert_eq!(class(11_000), Some("23505"));
        assert_eq!(class(112), Some("40001"));
        assert_eq!(class(9_999), None);
        assert!(CODES.is_sorted_by_key(|(state, _)| *state));
        let codes = ["42601", "42704", "22012", "MS004", "40001"].map(|state| mongodb_code(&SqlError::new(state, "")));
        assert_eq!(codes, [9, 26, 2, 146, 112]);
    }
}
