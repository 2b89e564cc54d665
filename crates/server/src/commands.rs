//! Everything a client can ask, as one table.
//!
//! To add a command: a handler and a row in the file of its family, and the row's name in
//! [`TABLE`], in alphabetical order. Dispatch, `listCommands` and `serverStatus` read the table.

mod aggregate;
mod bulk_write;
mod cluster_parameters;
mod crud;
mod cursor;
mod ddl;
mod diagnostics;
mod fail_point;
mod find;
mod handshake;
mod list_commands;
mod parameters;
mod refused;
mod replica_set;
mod server_status;
mod sessions;
mod sql;
mod stats;
mod transactions;
mod views;

use std::pin::Pin;

use crate::context::Context;
use crate::failure::Result;
use crate::reply::Reply;

pub(crate) use find::time_limit;

/// Every command, in alphabetical order of its name.
// tidy: sorted by name
pub(crate) static TABLE: &[Command] = &[
    transactions::ABORT_TRANSACTION,
    aggregate::AGGREGATE,
    diagnostics::BUILD_INFO,
    bulk_write::BULK_WRITE,
    ddl::COLL_MOD,
    stats::COLL_STATS,
    transactions::COMMIT_TRANSACTION,
    fail_point::CONFIGURE_FAIL_POINT,
    diagnostics::CONNECTION_STATUS,
    find::COUNT,
    ddl::CREATE,
    ddl::CREATE_INDEXES,
    stats::DB_STATS,
    crud::DELETE,
    find::DISTINCT,
    ddl::DROP,
    ddl::DROP_DATABASE,
    ddl::DROP_INDEXES,
    sessions::END_SESSIONS,
    find::EXPLAIN,
    diagnostics::FEATURES,
    find::FIND,
    crud::FIND_AND_MODIFY,
    cluster_parameters::GET_CLUSTER_PARAMETER,
    parameters::GET_CMD_LINE_OPTS,
    diagnostics::GET_LOG,
    cursor::GET_MORE,
    parameters::GET_PARAMETER,
    handshake::HELLO,
    diagnostics::HOST_INFO,
    crud::INSERT,
    handshake::IS_MASTER,
    sessions::KILL_ALL_SESSIONS,
    sessions::KILL_ALL_SESSIONS_BY_PATTERN,
    cursor::KILL_CURSORS,
    sessions::KILL_SESSIONS,
    ddl::LIST_COLLECTIONS,
    list_commands::LIST_COMMANDS,
    ddl::LIST_DATABASES,
    ddl::LIST_INDEXES,
    diagnostics::LOGOUT,
    diagnostics::PING,
    sessions::REFRESH_SESSIONS,
    ddl::RENAME_COLLECTION,
    replica_set::REPL_SET_GET_CONFIG,
    replica_set::REPL_SET_GET_STATUS,
    replica_set::REPL_SET_INITIATE,
    refused::SASL_START,
    server_status::SERVER_STATUS,
    cluster_parameters::SET_CLUSTER_PARAMETER,
    parameters::SET_PARAMETER,
    sql::SQL,
    sessions::START_SESSION,
    diagnostics::TOP,
    crud::UPDATE,
    diagnostics::WHATS_MY_URI,
];

/// A row of the table. Write only what differs from [`Command::DEFAULT`].
pub(crate) struct Command {
    /// MongoDB's spelling.
    pub(crate) name: &'static str,
    /// Other spellings.
    pub(crate) aliases: &'static [&'static str],
    /// One line for `listCommands`.
    pub(crate) help: &'static str,
    /// Which databases it may be sent to.
    pub(crate) database: Database,
    /// Which fields it may have beside the generic ones.
    pub(crate) fields: Fields,
    /// Which of the `opcounters` it belongs to.
    pub(crate) operation: Operation,
    /// Allowed before a login.
    pub(crate) unauthenticated: bool,
    /// Allowed as `OP_QUERY`.
    pub(crate) legacy: bool,
    /// Changes what is in the database that it is sent to.
    pub(crate) writes: bool,
    /// A write that may come with a `txnNumber`, to be done once however often it is sent.
    pub(crate) retryable: bool,
    /// Whether it may be part of a multi-document transaction.
    pub(crate) in_transactions: InTransactions,
    /// A read that may ask for the state at one time (`readConcern: {level: "snapshot"}`).
    pub(crate) snapshots: bool,
    /// Its reply is never compressed (CS-13.18).
    pub(crate) uncompressed: bool,
    /// May wait long for something to happen: it is dropped when the client leaves, and answered
    /// with `InterruptedAtShutdown` when the server stops. Only for `Handler::Async`.
    pub(crate) waits: bool,
    /// What it does.
    pub(crate) handler: Handler,
}

impl Command {
    /// What is true of most commands.
    pub(crate) const DEFAULT: Self = Self {
        name: "",
        aliases: &[],
        help: "",
        database: Database::Any,
        fields: Fields::Any,
        operation: Operation::Command,
        unauthenticated: false,
        legacy: false,
        writes: false,
        retryable: false,
        in_transactions: InTransactions::Never,
        snapshots: false,
        uncompressed: false,
        waits: false,
        handler: Handler::Inline(|_| Ok(Reply::empty())),
    };
}

/// How a command runs.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// Answers from memory, within microseconds: on the task of the connection.
    Inline(fn(&Context<'_>) -> Result<Reply>),
    /// Computes, or waits for a disk: on the same thread, which hands its other tasks away first.
    Blocking(fn(&Context<'_>) -> Result<Reply>),
    /// Waits for something else to happen. See [`Command::waits`].
    Async(for<'a> fn(&'a Context<'a>) -> Pending<'a>),
}

/// A reply in the making.
pub(crate) type Pending<'a> = Pin<Box<dyn Future<Output = Result<Reply>> + Send + 'a>>;

/// What a command may do in multi-document transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InTransactions {
    /// It may not be part of one.
    Never,
    /// It may be any of its statements.
    Part,
    /// The same, but not the first.
    Later,
    /// It ends one.
    Ends,
}

/// Where a command may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    /// Anywhere.
    Any,
    /// To `admin` only.
    Admin,
}

/// Which fields a command may have beside its name and the generic ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fields {
    /// Any: unknown ones are ignored.
    Any,
    /// These, as fields or as document sequences; others are `IDLUnknownField`.
    Only(&'static [&'static str]),
}

/// The `opcounters` of `serverStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Documents inserted by commands.
    Insert,
    /// Reads.
    Query,
    /// Updates.
    Update,
    /// Deletes.
    Delete,
    /// Further batches.
    GetMore,
    /// Everything else.
    Command,
}

impl Operation {
    pub(crate) const ALL: [Self; 6] =
        [Self::Insert, Self::Query, Self::Update, Self::Delete, Self::GetMore, Self::Command];

    /// The position in [`Operation::ALL`].
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Insert => 0,
            Self::Query => 1,
            Self::Update => 2,
            Self::Delete => 3,
            Self::GetMore => 4,
            Self::Command => 5,
        }
    }

    /// The field's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Query => "query",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::GetMore => "getmore",
            Self::Command => "command",
        }
    }
}

/// Every command's name and its line of help, by name.
pub fn listing() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.iter().map(|row| (row.name, row.help))
}

/// The row with this name or alias, and its position.
pub(crate) fn find(name: &str) -> Option<(usize, &'static Command)> {
    let by_name = TABLE.binary_search_by(|row| row.name.cmp(name)).ok();
    let row = by_name.or_else(|| TABLE.iter().position(|row| row.aliases.contains(&name)))?;
    TABLE.get(row).map(|command| (row, command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_names_are_unique() {
        assert!(TABLE.is_sorted_by(|a, b| a.name < b.name));
        for row in TABLE {
            assert!(!row.help.is_empty(), "{} has no help", row.name);
            for alias in row.aliases {
                assert_eq!(find(alias).unwrap().1.name, row.name);
            }
            assert!(!row.waits || matches!(row.handler, Handler::Async(_)), "{}", row.name);
        }
    }

    #[test]
    fn operations_know_their_place() {
        for (position, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation.index(), position);
        }
    }
}
