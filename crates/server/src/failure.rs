//! A command's error as clients see it.

use std::borrow::Cow;

use millstream_value::{Code, DocBuf};

use crate::commands::{Command, InTransactions};

/// `{ok: 0, errmsg, code, codeName, ...}` in the making.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: Cow<'static, str>,
    /// `errorLabels`, left out if empty.
    pub(crate) labels: Vec<Cow<'static, str>>,
    /// Further fields, such as `keyPattern` and `keyValue` of a duplicate key.
    pub(crate) details: Option<DocBuf>,
}

/// Which labels a command's errors get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Nothing,
    /// It can be sent again.
    RetryableWrite,
    /// Its whole transaction can be run again.
    Transaction,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), labels: Vec::new(), details: None }
    }

    /// What waits when the server stops, and everything after.
    pub(crate) fn shutdown() -> Self {
        Self::new(Code::InterruptedAtShutdown, "interrupted at shutdown")
    }

    /// With the labels that tell drivers to try again (CS-5.10.3, CS-13.9): a write, a transaction, a stream.
    pub(crate) fn labelled(mut self, command: &Command, wants: Wants) -> Self {
        let code = self.code.number();
        let transient =
            matches!(code, 6 | 7 | 89 | 91 | 134 | 189 | 262 | 9001 | 10107 | 11600 | 11602 | 13435 | 13436);
        let resumable = transient || matches!(code, 133 | 175 | 234 | 358 | 402 | 407 | 412 | 50915);
        let ends = command.in_transactions == InTransactions::Ends;
        if transient && (wants == Wants::RetryableWrite || ends) {
            self.labels.push("RetryableWriteError".into());
        }
        let again = matches!(code, 24 | 112 | 239 | 246 | 251 | 365) || (transient && !ends);
        if again && wants == Wants::Transaction {
            self.labels.push("TransientTransactionError".into());
        }
        if resumable && matches!(command.name, "aggregate" | "getMore") {
            self.labels.push("ResumableChangeStreamError".into());
        }
        self
    }

    /// Codes after which a driver must look at the server's state again (CS-13.13), and which
    /// therefore carry `topologyVersion`.
    pub(crate) fn concerns_topology(&self) -> bool {
        matches!(self.code.number(), 91 | 189 | 10107 | 11600 | 11602 | 13435 | 13436)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(command: &'static str, code: i32) -> Vec<Cow<'static, str>> {
        let command = Command { name: command, ..Command::DEFAULT };
        Failure::new(Code::from_number(code), "").labelled(&command, Wants::Nothing).labels
    }

    /// CS-5.10.3.
    #[test]
    fn drivers_are_told_which_errors_a_stream_survives() {
        let resumable =
            [6, 7, 89, 91, 133, 134, 175, 189, 234, 262, 402, 9_001, 10_107, 11_600, 11_602, 13_435, 13_436];
        for code in resumable.into_iter().chain([358, 407, 412, 50_915]) {
            for command in ["aggregate", "getMore"] {
                assert_eq!(labels(command, code), ["ResumableChangeStreamError"], "{command} {code}");
            }
            assert!(labels("find", code).is_empty());
        }
        for code in [2, 9, 13, 20, 43, 47, 72, 73, 136, 143, 237, 260, 280, 286, 10_334, 40_573, 50_738] {
            assert!(labels("getMore", code).is_empty(), "{code}");
        }
    }
}
