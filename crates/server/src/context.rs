//! What a handler gets to know.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use millstream_db::{Api, Owner, Turn};
use millstream_value::{Code, Doc, DocBuf};
use millstream_wire::Request;
use parking_lot::Mutex;

use crate::arguments::Arguments;
use crate::commands::Command;
use crate::engine::SessionId;
use crate::failure::{Failure, Result, Wants};
use crate::server::Server;
use crate::transaction::Membership;

/// One command on its way.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) server: &'a Arc<Server>,
    pub(crate) connection: &'a Connection,
    pub(crate) request: &'a Request,
    /// The row that was found.
    pub(crate) command: &'static Command,
    /// The name as the client wrote it, an alias maybe.
    pub(crate) name: &'a str,
    /// `$db`, a valid name.
    pub(crate) database: &'a str,
    /// `lsid`.
    pub(crate) session: Option<SessionId>,
    /// `apiVersion` and what goes with it.
    pub(crate) api: Option<Api>,
    /// `txnNumber` of a retryable write; only commands whose row says `retryable` get one.
    pub(crate) transaction_number: Option<i64>,
    /// The transaction that it is part of.
    pub(crate) transaction: Option<Membership>,
    /// Its turn in that transaction; those that end one have none.
    pub(crate) turn: Option<&'a Mutex<Turn>>,
}

impl<'a> Context<'a> {
    /// The command document.
    pub(crate) fn body(&self) -> Doc<'a> {
        Doc::new(&self.request.body)
    }

    /// Whose cursors the command may open and read.
    pub(crate) fn owner(&self) -> Owner {
        Owner {
            session: self.session.map(|session| session.0),
            transaction: self.transaction.map(|membership| membership.id.number),
            api: self.api,
        }
    }

    /// Which labels its errors get.
    pub(crate) fn wants_labels(&self) -> Wants {
        match (self.transaction, self.transaction_number) {
            (Some(_), _) => Wants::Transaction,
            (None, Some(_)) => Wants::RetryableWrite,
            (None, None) => Wants::Nothing,
        }
    }

    /// The command document's fields, typed.
    pub(crate) fn arguments(&self) -> Arguments<'a> {
        Arguments::new(self.command.name, self.body())
    }
}

/// One client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// `connectionId`.
    pub(crate) id: i32,
    pub(crate) peer: SocketAddr,
    /// The `host:port` by which this client can reach us again.
    pub(crate) address: String,
    metadata: OnceLock<DocBuf>,
}

impl Connection {
    pub(crate) fn new(id: i32, peer: SocketAddr, address: String) -> Self {
        Self { id, peer, address, metadata: OnceLock::new() }
    }

    /// Keeps what the driver says about itself, which it may say once (CS-11.3.5).
    pub(crate) fn set_metadata(&self, metadata: Doc<'_>) -> Result<()> {
        self.metadata.set(metadata.to_buf()).map_err(|_| {
            let message = "The client metadata document may only be sent in the first hello";
            Failure::new(Code::ClientMetadataCannotBeMutated, message)
        })
    }

    /// What the client calls itself.
    pub(crate) fn app_name(&self) -> Option<&str> {
        self.metadata.get()?.as_doc().doc("application")?.str("name")
    }

    /// What its driver calls itself, and what is built on that.
    pub(crate) fn driver_name(&self) -> Option<&str> {
        self.metadata.get()?.as_doc().doc("driver")?.str("name")
    }
}
