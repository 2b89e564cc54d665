//! Commands that drivers send and that this server answers with one clear error.

use millstream_value::Code;

use super::{Command, Fields, Handler};
use crate::failure::Failure;

pub(super) const ABORT_TRANSACTION: Command = Command {
    name: "abortTransaction",
    help: "not supported: multi-document transactions",
    handler: Handler::Inline(|_| Err(no_transactions())),
    ..Command::DEFAULT
};

pub(super) const COMMIT_TRANSACTION: Command = Command {
    name: "commitTransaction",
    help: "not supported: multi-document transactions",
    handler: Handler::Inline(|_| Err(no_transactions())),
    ..Command::DEFAULT
};

pub(super) const SASL_START: Command = Command {
    name: "saslStart",
    help: "not supported: authentication",
    fields: Fields::Any,
    unauthenticated: true,
    uncompressed: true,
    handler: Handler::Inline(|_| {
        let message = "this server has no users: connect without a user name and password";
        Err(Failure::new(Code::AuthenticationFailed, message))
    }),
    ..Command::DEFAULT
};

/// The answer to everything that belongs to a multi-document transaction.
pub(crate) fn no_transactions() -> Failure {
    let message = "multi-document transactions are not supported by this server";
    Failure::new(Code::CommandNotSupported, message)
}
