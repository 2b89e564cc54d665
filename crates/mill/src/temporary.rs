//! State on disk that ends with whoever has it: that of subscriptions with copies (SQL-12.6).

use std::sync::{Arc, Weak};

use millstream_flow::{Store, StoreOptions, Stores};
use millstream_sql::SqlError;
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::error::{Result, of_flow};

/// Memory for all temporary states of this process.
const CACHE_BYTES: u64 = 64 << 20;
/// And for what one of them has read and written lately.
const CACHE_BYTES_EACH: usize = 8 << 20;

/// The folder of this process, as long as anybody uses it.
static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());

struct Shared {
    stores: Stores,
    /// Goes after the files in it are closed.
    _folder: TempDir,
}

/// One state.
pub(crate) struct TemporaryState {
    shared: Arc<Shared>,
    name: String,
}

impl TemporaryState {
    /// An empty one.
    pub(crate) fn new() -> Result<Self> {
        let mut known = SHARED.lock();
        let shared = match known.upgrade() {
            Some(shared) => shared,
            None => {
                let folder = tempfile::Builder::new().prefix("millstream-subscriptions-").tempdir();
                let folder = folder.map_err(|error| {
                    SqlError::new("58030", format!("a folder for temporary state cannot be made: {error}"))
                })?;
                let stores = Stores::open(folder.path(), CACHE_BYTES).map_err(|error| of_flow(&error))?;
                let shared = Arc::new(Shared { stores, _folder: folder });
                *known = Arc::downgrade(&shared);
                shared
            }
        };
        Ok(Self { shared, name: format!("{:016x}", rand::random::<u64>()) })
    }

    /// Where it is kept, up to so many bytes.
    pub(crate) fn store(&self, limit_bytes: u64) -> Result<Store> {
        let options =
            StoreOptions { limit_bytes, cache_bytes: CACHE_BYTES_EACH, flush: false, ..StoreOptions::default() };
        self.shared.stores.store(&self.name, options).map_err(|error| of_flow(&error))
    }
}

impl Drop for TemporaryState {
    fn drop(&mut self) {
        if let Err(error) = self.shared.stores.remove(&self.name) {
            tracing::debug!("a temporary state could not be removed: {error}");
        }
    }
}
