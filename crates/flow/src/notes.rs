//! What a circuit's owner keeps beside the operators' state: ordered bytes, committed together with it.

use std::ops::Bound;

use crate::Result;
use crate::store::{State, after};

/// The owner's own keys and values.
pub struct Notes<'a>(pub(crate) State<'a>);

impl Notes<'_> {
    /// The value of a key.
    ///
    /// # Errors
    /// The store cannot read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(key)?.map(|value| value.to_vec()))
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// The store cannot write.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.put(key, value)
    }

    /// Sets the value of a key that is not there, which is quicker.
    ///
    /// # Errors
    /// The store cannot write.
    pub fn put_new(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.put_new(key, value)
    }

    /// Sets the value of a key, or removes it, where it is known how many bytes the value has that is there: which is quicker.
    ///
    /// # Errors
    /// The store cannot write.
    pub fn replace(&mut self, key: &[u8], old: Option<usize>, value: Option<&[u8]>) -> Result<()> {
        self.0.replace(key, old, value.map(Into::into))
    }

    /// Removes a key.
    ///
    /// # Errors
    /// The store cannot write.
    pub fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.0.remove(key)
    }

    /// The first keys that begin with a prefix, and come after a key if one is given, with their values, in order.
    ///
    /// # Errors
    /// The store cannot read.
    pub fn page(&self, prefix: &[u8], past: Option<&[u8]>, most: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let from = past.map_or(Bound::Included(prefix), Bound::Excluded);
        let end = after(prefix);
        let entries = self.0.range(from, end.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
        entries.take(most).map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Circuit, Node, Store};

    #[test]
    fn notes_are_kept_in_order_and_apart() {
        let mut circuit = Circuit::new(vec![Node::Values(vec![])], 0, Store::memory()).unwrap();
        circuit.step(vec![], 0).unwrap();
        for key in ["a3", "a1", "b", "a2"] {
            circuit.notes().put(key.as_bytes(), b"x").unwrap();
        }
        circuit.notes().remove(b"a1").unwrap();
        let keys = |prefix: &[u8], past: Option<&[u8]>, notes: crate::Notes<'_>| {
            let page = notes.page(prefix, past, 10).unwrap();
            page.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(keys(b"a", None, circuit.notes()), ["a2", "a3"]);
        assert_eq!(keys(b"a", Some(b"a2"), circuit.notes()), ["a3"]);
        assert_eq!(circuit.notes().get(b"b").unwrap().as_deref(), Some(b"x".as_slice()));
        assert_eq!(circuit.notes().page(b"", None, 1).unwrap().len(), 1);
    }
}
