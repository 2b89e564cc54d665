//! Commands that drivers send and that this server answers with one clear error.

use millstream_value::Code;

use super::{Command, Fields, Handler};
use crate::failure::Failure;

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
