//! Opening change streams.

use std::sync::Arc;

use millstream_change::{ChangeStream, Spec};

use crate::{Db, Result};

impl Db {
    /// Opens a change stream.
    ///
    /// # Errors
    /// What is wrong with its options, its token or its history (CS-12).
    pub fn watch(&self, spec: Spec<'_>) -> Result<ChangeStream> {
        let lookup: Arc<dyn millstream_change::Lookup> = Arc::new(self.clone());
        let stream = ChangeStream::open(self.tail(), self.store().clone(), lookup, spec, self.committed())?;
        Ok(stream)
    }
}
