//! What was delivered, known as long as the program runs.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bson::RawDocumentBuf;
use parking_lot::Mutex;

use super::{Fingerprint, SeenChange, SeenDocuments, SeenKey, SeenState};
use crate::{Error, Result};

/// What was delivered, in memory: some hundred bytes a document. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemorySeen(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    state: SeenState,
    documents: BTreeMap<(String, Vec<u8>), Fingerprint>,
}

fn row(key: &SeenKey) -> (String, Vec<u8>) {
    (key.namespace.clone(), key.id.as_bytes().to_vec())
}

impl SeenDocuments for MemorySeen {
    async fn state(&self) -> Result<SeenState> {
        Ok(self.0.lock().state)
    }

    async fn set_state(&self, state: SeenState) -> Result<()> {
        self.0.lock().state = state;
        Ok(())
    }

    async fn find(&self, keys: &[SeenKey]) -> Result<Vec<Option<Fingerprint>>> {
        let known = self.0.lock();
        Ok(keys.iter().map(|key| known.documents.get(&row(key)).copied()).collect())
    }

    async fn list(&self, after: Option<&SeenKey>, count: usize) -> Result<Vec<SeenKey>> {
        let known = self.0.lock();
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(row(key)));
        let rows = known.documents.range((from, Bound::Unbounded)).take(count);
        let key = |(namespace, id): &(String, Vec<u8>)| {
            let id = RawDocumentBuf::from_bytes(id.clone()).map_err(|error| Error::BadEvent(error.to_string()))?;
            Ok(SeenKey { namespace: namespace.clone(), id })
        };
        rows.map(|(row, _)| key(row)).collect()
    }

    async fn change(&self, changes: &[SeenChange]) -> Result<()> {
        let mut known = self.0.lock();
        for change in changes {
            match change {
                SeenChange::Set(key, fingerprint) => drop(known.documents.insert(row(key), *fingerprint)),
                SeenChange::Forget(key) => drop(known.documents.remove(&row(key))),
                SeenChange::ForgetCollection(name) => known.documents.retain(|(namespace, _), _| namespace != name),
                SeenChange::ForgetDatabase(name) => {
                    let of_database = |namespace: &str| namespace.split('.').next() == Some(name);
                    known.documents.retain(|(namespace, _), _| !of_database(namespace));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[tokio::test]
    async fn what_was_noted_is_listed_in_one_order() {
        let store = MemorySeen::default();
        let key = |namespace: &str, id: i32| SeenKey { namespace: namespace.to_owned(), id: rawdoc! {"_id": id} };
        let set = |namespace, id| SeenChange::Set(key(namespace, id), [1; 16]);
        let changes = [set("shop.b", 1), set("shop.a", 2), set("shop.a", 1), set("bank.a", 1), set("shop.b", 2)];
        store.change(&changes).await.unwrap();
        let first = store.list(None, 3).await.unwrap();
        assert_eq!(first, [key("bank.a", 1), key("shop.a", 1), key("shop.a", 2)]);
        let rest = store.list(first.last(), 3).await.unwrap();
        assert_eq!(rest, [key("shop.b", 1), key("shop.b", 2)]);
        let ends = [SeenChange::ForgetCollection("shop.a".into()), SeenChange::Forget(key("shop.b", 1))];
        store.change(&ends).await.unwrap();
        let found = store.find(&[key("shop.a", 1), key("shop.b", 2)]).await.unwrap();
        assert_eq!(found, [None, Some([1; 16])]);
        store.change(&[SeenChange::ForgetDatabase("shop".into())]).await.unwrap();
        assert_eq!(store.list(None, 9).await.unwrap(), [key("bank.a", 1)]);
    }
}
