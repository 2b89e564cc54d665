//! State on disk that ends with whoever has it: that of subscriptions with copies (SQL-12.6).
//!
//! It is in a folder of this process, which has a file in it locked. A process that is killed leaves its folder; the next one
//! removes what nobody has locked.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once, Weak};

use millstream_flow::{Store, StoreOptions, Stores};
use millstream_sql::SqlError;
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::error::{Result, of_flow};

/// Memory for all temporary states of this process.
const CACHE_BYTES: u64 = 64 << 20;
/// And for what one of them has read and written lately.
const CACHE_BYTES_EACH: usize = 8 << 20;
/// What the names of folders begin with.
const PREFIX: &str = "millstream-subscriptions-";
/// The file that is locked as long as a folder is in use.
const IN_USE: &str = "in-use";
/// The files of the states, in a folder of their own.
const STATES: &str = "states";

/// The folder of this process, as long as anybody uses it.
static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());

struct Shared {
    stores: Stores,
    _folder: Folder,
}

/// Goes after the files in it are closed, and the lock last: if that is cut off, what is left is found again.
struct Folder {
    _states: States,
    folder: TempDir,
    _in_use: File,
}

/// The folder of the states, which goes with this.
struct States(PathBuf);

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
                let folder = Folder::new(&std::env::temp_dir()).map_err(|error| {
                    SqlError::new("58030", format!("a folder for temporary state cannot be made: {error}"))
                })?;
                let stores = Stores::open(&folder.folder.path().join(STATES), CACHE_BYTES);
                let shared = Arc::new(Shared { stores: stores.map_err(|error| of_flow(&error))?, _folder: folder });
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

impl Folder {
    fn new(parent: &Path) -> io::Result<Self> {
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let path = folder.path().join(IN_USE);
            let in_use = File::create_new(&path)?;
            in_use.lock()?;
            // Before it was locked another process may have taken it for left behind.
            if path.try_exists()? {
                return Ok(Self { _states: States(folder.path().join(STATES)), folder, _in_use: in_use });
            }
        }
    }
}

impl Drop for States {
    fn drop(&mut self) {
        if let Err(error) = remove_states(&self.0) {
            tracing::debug!("a temporary state could not be removed: {error}");
        }
    }
}

fn remove_states(states: &Path) -> io::Result<()> {
    match fs::remove_dir_all(states) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Has what processes have left that are gone removed, once in the life of this one. Nobody waits for it.
pub(crate) fn remove_leftovers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let remove = || remove_unlocked(&std::env::temp_dir());
        if let Err(error) = std::thread::Builder::new().name("leftovers".to_owned()).spawn(remove) {
            tracing::debug!("what others have left is not looked for: {error}");
        }
    });
}

fn remove_unlocked(parent: &Path) {
    // What others own is theirs, and may be something else the next moment.
    let owner = tempfile::tempfile_in(parent).and_then(|file| file.metadata()).map(|about| owner_of(&about));
    let (Ok(entries), Ok(owner)) = (fs::read_dir(parent), owner) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !is_ours || !entry.metadata().is_ok_and(|about| about.is_dir() && owner_of(&about) == owner) {
            continue;
        }
        // Without the file it is just being made.
        let in_use = OpenOptions::new().read(true).write(true).open(entry.path().join(IN_USE));
        if in_use.as_ref().is_ok_and(|in_use| in_use.try_lock().is_ok()) {
            // The file goes last, so that what is left of it now is found again.
            let states = remove_states(&entry.path().join(STATES));
            if let Err(error) = states.and_then(|()| fs::remove_dir_all(entry.path())) {
                tracing::debug!("the state of a process that is gone could not be removed: {error}");
            }
        }
    }
}

/// The user who owns a file, where there are users.
#[cfg(unix)]
fn owner_of(about: &Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(about)
}

#[cfg(not(unix))]
fn owner_of(_: &Metadata) -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_and_the_rest_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let made = || {
            let folder = Folder::new(parent.path()).unwrap();
            fs::create_dir_all(folder.folder.path().join(STATES).join("more")).unwrap();
            folder
        };
        let (used, ended) = (made(), made());
        // As after a kill: the lock is gone, the folder is not.
        let left = ended.folder.keep();
        std::mem::forget(ended._states);
        drop(ended._in_use);
        let empty = made().folder.keep();
        assert!(empty.exists() && !empty.join(STATES).exists());
        let being_made = parent.path().join(format!("{PREFIX}1"));
        let of_others = parent.path().join("something");
        for other in [&being_made, &of_others] {
            fs::create_dir(other).unwrap();
        }
        remove_unlocked(parent.path());
        assert!(!left.exists() && !empty.exists());
        assert!(used.folder.path().join(STATES).exists() && being_made.exists() && of_others.exists());
        let path = used.folder.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }
}
