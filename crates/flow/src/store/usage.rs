//! How much there is of each node's state.

use std::collections::BTreeMap;

use crate::Result;
use crate::codec::{Reader, write_len, write_u64};

/// How much state one node keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeStats {
    /// How many keys.
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Usage {
    nodes: BTreeMap<u16, NodeStats>,
    bytes: u64,
}

impl Usage {
    /// Notes that a key with its value had so many bytes, and has so many now.
    pub(super) fn change(&mut self, node: u16, old: Option<usize>, new: Option<usize>) {
        let size = |bytes: Option<usize>| bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        let stats = self.nodes.entry(node).or_default();
        stats.rows = (stats.rows + u64::from(new.is_some())).saturating_sub(u64::from(old.is_some()));
        stats.bytes = (stats.bytes + size(new)).saturating_sub(size(old));
        self.bytes = (self.bytes + size(new)).saturating_sub(size(old));
    }

    pub(super) fn of(&self, node: u16) -> NodeStats {
        self.nodes.get(&node).copied().unwrap_or_default()
    }

    /// All bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The numbers as bytes.
    pub(super) fn bytes_of_it(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_len(self.nodes.len(), &mut out);
        for (node, stats) in &self.nodes {
            write_u64(u64::from(*node), &mut out);
            write_u64(stats.rows, &mut out);
            write_u64(stats.bytes, &mut out);
        }
        out
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let mut usage = Self::default();
        for _ in 0..reader.len()? {
            let node = u16::try_from(reader.u64()?).unwrap_or(u16::MAX);
            let stats = NodeStats { rows: reader.u64()?, bytes: reader.u64()? };
            usage.bytes += stats.bytes;
            usage.nodes.insert(node, stats);
        }
        Ok(usage)
    }
}
