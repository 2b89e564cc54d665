//! Sessions of a server and their transactions: which fields a command gets to belong to one.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};

/// By the names that a text gives them.
#[derive(Default)]
pub(super) struct Transactions(BTreeMap<String, Session>);

struct Session {
    lsid: Document,
    number: i64,
    /// What goes with the first command of a transaction, until that has been sent.
    first: Option<Document>,
}

impl Session {
    /// One that no server has heard of.
    fn new() -> Self {
        Self { lsid: doc! {"id": bson::Uuid::new()}, number: 0, first: None }
    }
}

impl Transactions {
    /// The next command inside starts a transaction, with these fields besides.
    pub(super) fn begin(&mut self, name: &str, fields: Document) {
        let session = self.session(name);
        session.number += 1;
        session.first = Some(fields);
    }

    /// Fields that put a command into the session's transaction.
    pub(super) fn inside(&mut self, name: &str) -> Document {
        let session = self.session(name);
        let mut fields = doc! {"lsid": session.lsid.clone(), "txnNumber": session.number};
        if let Some(first) = session.first.take() {
            fields.insert("startTransaction", true);
            fields.extend(first);
        }
        fields.insert("autocommit", false);
        fields
    }

    /// Fields that put a command into the session, and into no transaction.
    pub(super) fn beside(&mut self, name: &str) -> Document {
        doc! {"lsid": self.session(name).lsid.clone()}
    }

    /// The session's `{id: …}`.
    pub(super) fn lsid(&mut self, name: &str) -> Bson {
        self.session(name).lsid.clone().into()
    }

    fn session(&mut self, name: &str) -> &mut Session {
        self.0.entry(name.to_owned()).or_insert_with(Session::new)
    }
}
