//! Opening change streams.

use std::sync::Arc;

use millstream_change::{ChangeStream, Scope, Spec};

use crate::{Db, Result};

impl Db {
    /// Opens a change stream.
    ///
    /// # Errors
    /// What is wrong with its options, its token or its history (CS-12), or [`Error::IsView`](crate::Error::IsView).
    pub fn watch(&self, spec: Spec<'_>) -> Result<ChangeStream> {
        if let Scope::Collection(namespace) = &spec.scope {
            self.state().catalog.refuse_view(namespace)?;
        }
        let lookup: Arc<dyn millstream_change::Lookup> = Arc::new(self.clone());
        let stream = ChangeStream::open(self.tail(), self.store().clone(), lookup, spec, self.committed())?;
        Ok(stream)
    }
}
