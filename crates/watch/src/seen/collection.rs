//! What was delivered, in a collection: one document for each document.
//!
//! Shape: `{ _id: { watcher, ns: <database.collection>, id: <_id> }, hash: <16 bytes> }`, and one that says how much is known,
//! `{ _id: { watcher }, state: "partial" | "learning" | "complete" }`

use std::collections::HashMap;

use bson::raw::cstr;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, RawDocumentBuf, doc, rawdoc};
use mongodb::{Collection, Cursor};

use super::{Fingerprint, SeenChange, SeenDocuments, SeenKey, SeenState};
use crate::{Connection, Error, Result};

/// The collection that is used unless another one is named.
pub const SEEN: &str = "change_stream_seen";

/// How many changes go into one command.
const CHANGES_MAX: usize = 1_000;

/// What was delivered to one watcher, in a collection.
#[derive(Debug, Clone)]
pub struct CollectionSeen {
    connection: Connection,
    database: String,
    collection: Collection<RawDocumentBuf>,
    watcher: String,
}

impl CollectionSeen {
    /// Of a watcher, in a collection that is made with the first document.
    #[must_use]
    pub fn new(connection: &Connection, database: &str, collection: &str, watcher: &str) -> Self {
        Self {
            connection: connection.clone(),
            database: database.to_owned(),
            collection: connection.client().database(database).collection(collection),
            watcher: watcher.to_owned(),
        }
    }

    fn explain(&self, error: mongodb::error::Error) -> Error {
        self.connection.explain(error, &format!("what was seen by {} in {}", self.watcher, self.collection.namespace()))
    }

    fn row(&self, key: &SeenKey) -> Document {
        doc! {"watcher": self.watcher.as_str(), "ns": key.namespace.as_str(), "id": key.value()}
    }

    fn own(&self) -> Document {
        doc! {"watcher": self.watcher.as_str()}
    }

    async fn write(&self, changes: &[(Document, Option<Fingerprint>)]) -> Result<()> {
        let name = self.collection.name();
        for changes in changes.chunks(CHANGES_MAX) {
            let (mut updates, mut deletes) = (Vec::new(), Vec::new());
            for (row, fingerprint) in changes {
                match fingerprint {
                    Some(fingerprint) => {
                        let hash = Binary { subtype: BinarySubtype::Generic, bytes: fingerprint.to_vec() };
                        updates.push(doc! {"q": {"_id": row}, "u": {"$set": {"hash": hash}}, "upsert": true});
                    }
                    None => deletes.push(doc! {"q": {"_id": row}, "limit": 1}),
                }
            }
            let commands = [
                (!updates.is_empty()).then(|| doc! {"update": name, "updates": updates, "ordered": false}),
                (!deletes.is_empty()).then(|| doc! {"delete": name, "deletes": deletes, "ordered": false}),
            ];
            for command in commands.into_iter().flatten() {
                let database = self.connection.client().database(&self.database);
                let reply = database.run_command(command).await.map_err(|error| self.explain(error))?;
                if let Ok(errors) = reply.get_array("writeErrors") {
                    let reason = format!("what was seen could not be noted: {}", Bson::Array(errors.clone()));
                    return Err(Error::Delivery { reason });
                }
            }
        }
        Ok(())
    }
}

impl SeenDocuments for CollectionSeen {
    async fn state(&self) -> Result<SeenState> {
        let found = self.collection.find_one(doc! {"_id": self.own()}).await.map_err(|error| self.explain(error))?;
        Ok(match found.as_ref().and_then(|row| row.get_str("state").ok()) {
            Some("learning") => SeenState::Learning,
            Some("complete") => SeenState::Complete,
            _ => SeenState::Partial,
        })
    }

    async fn set_state(&self, state: SeenState) -> Result<()> {
        let name = match state {
            SeenState::Partial => "partial",
            SeenState::Learning => "learning",
            SeenState::Complete => "complete",
        };
        let mut row = rawdoc! {"_id": {"watcher": self.watcher.as_str()}};
        row.append(cstr!("state"), name);
        let saved = self.collection.replace_one(doc! {"_id": self.own()}, row).upsert(true).await;
        saved.map(drop).map_err(|error| self.explain(error))
    }

    async fn find(&self, keys: &[SeenKey]) -> Result<Vec<Option<Fingerprint>>> {
        let rows: Vec<Document> = keys.iter().map(|key| self.row(key)).collect();
        let found = self.collection.find(doc! {"_id": {"$in": rows}}).await;
        let mut cursor: Cursor<RawDocumentBuf> = found.map_err(|error| self.explain(error))?;
        let mut known = HashMap::new();
        while cursor.advance().await.map_err(|error| self.explain(error))? {
            let row = cursor.current();
            let hash = row.get_binary("hash").ok().and_then(|hash| Fingerprint::try_from(hash.bytes).ok());
            if let (Some(key), Some(hash)) = (key_of(row), hash) {
                known.insert((key.namespace, key.id.as_bytes().to_vec()), hash);
            }
        }
        let lookup = |key: &SeenKey| known.get(&(key.namespace.clone(), key.id.as_bytes().to_vec())).copied();
        Ok(keys.iter().map(lookup).collect())
    }

    async fn list(&self, after: Option<&SeenKey>, count: usize) -> Result<Vec<SeenKey>> {
        let from = after.map_or_else(|| self.own(), |key| self.row(key));
        let to = doc! {"watcher": self.watcher.as_str(), "ns": Bson::MaxKey};
        let limit = i64::try_from(count).unwrap_or(i64::MAX);
        let found =
            self.collection.find(doc! {"_id": {"$gt": from, "$lt": to}}).sort(doc! {"_id": 1}).limit(limit).await;
        let mut cursor: Cursor<RawDocumentBuf> = found.map_err(|error| self.explain(error))?;
        let mut keys = Vec::new();
        while cursor.advance().await.map_err(|error| self.explain(error))? {
            keys.extend(key_of(cursor.current()));
        }
        Ok(keys)
    }

    async fn change(&self, changes: &[SeenChange]) -> Result<()> {
        // The last word on a document counts; the end of a collection comes after all that was said before it.
        let mut rows: HashMap<(String, Vec<u8>), (Document, Option<Fingerprint>)> = HashMap::new();
        let note = |rows: &mut HashMap<_, _>, key: &SeenKey, fingerprint| {
            let at = (key.namespace.clone(), key.id.as_bytes().to_vec());
            rows.insert(at, (self.row(key), fingerprint));
        };
        for change in changes {
            let end = match change {
                SeenChange::Set(key, fingerprint) => {
                    note(&mut rows, key, Some(*fingerprint));
                    continue;
                }
                SeenChange::Forget(key) => {
                    note(&mut rows, key, None);
                    continue;
                }
                SeenChange::ForgetCollection(name) => doc! {"_id.ns": name},
                SeenChange::ForgetDatabase(name) => {
                    doc! {"_id.ns": {"$gte": format!("{name}."), "$lt": format!("{name}/")}}
                }
            };
            let before: Vec<_> = std::mem::take(&mut rows).into_values().collect();
            self.write(&before).await?;
            let mut which = doc! {"_id.watcher": self.watcher.as_str()};
            which.extend(end);
            self.collection.delete_many(which).await.map_err(|error| self.explain(error))?;
        }
        let rows: Vec<_> = rows.into_values().collect();
        self.write(&rows).await
    }
}

fn key_of(row: &bson::RawDocument) -> Option<SeenKey> {
    let id = row.get_document("_id").ok()?;
    Some(SeenKey::new(id.get_str("ns").ok()?.to_owned(), id.get("id").ok()??))
}
