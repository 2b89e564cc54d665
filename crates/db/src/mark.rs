//! Whether a collection is still as it was, without looking at its documents.

use millstream_storage::Space;
use millstream_value::Namespace;

use crate::{Db, Reader};

/// A collection as it was.
#[derive(Clone)]
pub struct Mark {
    namespace: Namespace,
    /// Its number, if it was there, and its documents.
    found: Option<(u32, millstream_storage::Mark)>,
}

impl Reader {
    /// How a collection is now.
    #[must_use]
    pub fn mark(&self, namespace: &Namespace) -> Mark {
        let number = self.state().catalog.get(namespace).map(|collection| collection.number);
        let found = number.map(|number| (number, self.state().snapshot.mark(Space::Records, &number.to_be_bytes())));
        Mark { namespace: namespace.clone(), found }
    }
}

impl Db {
    /// Whether a collection is certainly as it was. False says nothing.
    #[must_use]
    pub fn is_as(&self, mark: &Mark) -> bool {
        let number = self.state().catalog.get(&mark.namespace).map(|collection| collection.number);
        match &mark.found {
            None => number.is_none(),
            Some((known, rows)) => number == Some(*known) && rows.is_untouched(),
        }
    }
}
