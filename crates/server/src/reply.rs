//! What a handler returns, and the tail that every reply has.
//!
//! Shape:  `{ <fields>, ok: 1.0, $clusterTime: { clusterTime, signature }, operationTime }`
//!         `{ ok: 0.0, errmsg, code, codeName, <details>, [errorLabels], [topologyVersion], ... }`
//! Source: CS-8.2, CS-13.6, CS-13.13.

use millstream_change::Share;
use millstream_db::ReadAhead;
use millstream_value::{ArrayBuf, ClusterTime, DocBuf, Value};

use crate::failure::Failure;
use crate::server::Server;

/// A command's success.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// The command's own fields, without `ok`.
    pub(crate) document: DocBuf,
    /// The time of the write that was done; none: the durable end of the log.
    pub(crate) operation_time: Option<ClusterTime>,
    /// Whether a client that allowed it is to get further replies to the same request.
    pub(crate) repeat: Repeat,
    /// What is to happen when the reply is sent.
    pub(crate) afterwards: Afterwards,
}

/// What a reply leaves to be done when it is sent. Dropping it is always right.
#[derive(Default)]
pub(crate) struct Afterwards {
    /// A cursor that may work ahead while its client is busy with this reply.
    pub(crate) read_ahead: Option<ReadAhead>,
    /// The memory that the reply was counted with.
    pub(crate) share: Option<Share>,
}

impl Afterwards {
    pub(crate) fn run(self) {
        drop(self.share);
        if let Some(cursor) = self.read_ahead {
            crate::dispatch::blocking(|| cursor.run());
        }
    }
}

impl std::fmt::Debug for Afterwards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Afterwards").field("read_ahead", &self.read_ahead.is_some()).finish_non_exhaustive()
    }
}

/// What follows a reply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Nothing.
    #[default]
    No,
    /// If the request had `exhaustAllowed`: the same command again, its reply sent unasked.
    IfAllowed,
}

impl From<DocBuf> for Reply {
    fn from(document: DocBuf) -> Self {
        Self { document, ..Self::default() }
    }
}

impl Reply {
    /// `{ok: 1}`.
    pub(crate) fn empty() -> Self {
        Self::default()
    }
}

/// The whole reply document of a success.
pub(crate) fn success(server: &Server, mut document: DocBuf, operation_time: Option<ClusterTime>) -> Vec<u8> {
    document.push("ok", 1.0);
    push_times(server, &mut document, operation_time);
    document.into_bytes()
}

/// The whole reply document of a failure.
pub(crate) fn failure(server: &Server, failure: &Failure) -> Vec<u8> {
    let mut document = DocBuf::new();
    document
        .push("ok", 0.0)
        .push("errmsg", &*failure.message)
        .push("code", failure.code.number())
        .push("codeName", &*failure.code.name());
    if let Some(details) = &failure.details {
        document.extend(details.as_doc());
    }
    if !failure.labels.is_empty() {
        document.push("errorLabels", failure.labels.iter().map(|label| &**label).collect::<ArrayBuf>());
    }
    if failure.concerns_topology() {
        document.push("topologyVersion", server.identity.topology_version());
    }
    push_times(server, &mut document, None);
    document.into_bytes()
}

fn push_times(server: &Server, document: &mut DocBuf, operation_time: Option<ClusterTime>) {
    let committed = server.engine.committed();
    let operation_time = operation_time.unwrap_or(committed);
    let mut signature = DocBuf::new();
    // Without authentication times are not signed; drivers want the fields all the same.
    signature.push("hash", Value::Binary(0, (&[0; 20][..]).into())).push("keyId", 0i64);
    let mut cluster_time = DocBuf::new();
    cluster_time.push("clusterTime", committed.max(operation_time)).push("signature", signature);
    document.push("$clusterTime", cluster_time).push("operationTime", operation_time);
}
