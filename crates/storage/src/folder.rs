//! The data folder: `LOCK`, `FORMAT`, and the tree's files in `data/`.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// The version of everything below the folder that this program reads and writes.
pub(crate) const FORMAT: u32 = 1;

const LOCK_NAME: &str = "LOCK";
const FORMAT_NAME: &str = "FORMAT";
const FORMAT_TEMPORARY: &str = "FORMAT.new";

/// An open data folder; the lock goes when this is dropped.
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens the folder for this process alone, making it ours if it is new or empty.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).map_err(Error::io("create the data folder"))?;
        if !has(path, FORMAT_NAME)? && !is_fresh(path)? {
            return Err(Error::Foreign { path: path.to_owned() });
        }
        let lock = lock(path)?;
        match read_format(path)? {
            Some(FORMAT) => {}
            Some(found) => {
                return Err(Error::Format { found, supported: FORMAT });
            }
            None => write_format(path)?,
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where the tree keeps its files.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Makes sure that files just created in the folder are found after a power cut.
    pub(crate) fn sync(&self) -> Result<()> {
        sync_folder(&self.path)
    }
}

/// Nothing in it but what an interrupted creation leaves.
fn is_fresh(path: &Path) -> Result<bool> {
    for entry in fs::read_dir(path).map_err(Error::io("list the data folder"))? {
        let name = entry.map_err(Error::io("list the data folder"))?.file_name();
        if name != LOCK_NAME && name != FORMAT_TEMPORARY {
            return Ok(false);
        }
    }
    Ok(true)
}

fn has(path: &Path, name: &str) -> Result<bool> {
    path.join(name).try_exists().map_err(Error::io("look into the data folder"))
}

fn lock(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path.join(LOCK_NAME)).map_err(Error::io("open the lock file"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(Error::io("lock the data folder")(source)),
    }
}

fn read_format(path: &Path) -> Result<Option<u32>> {
    if !has(path, FORMAT_NAME)? {
        return Ok(None);
    }
    let text = fs::read_to_string(path.join(FORMAT_NAME)).map_err(Error::io("read the format"))?;
    let number = text.trim().parse();
    number.map(Some).map_err(|_| Error::Corrupt("the FORMAT file is not a number".into()))
}

fn write_format(path: &Path) -> Result<()> {
    let temporary = path.join(FORMAT_TEMPORARY);
    let write = || {
        let mut file = File::create(&temporary)?;
        writeln!(file, "{FORMAT}")?;
        file.sync_all()?;
        fs::rename(&temporary, path.join(FORMAT_NAME))
    };
    write().map_err(Error::io("write the format"))?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> Result<()> {
    // Folders cannot be flushed on Windows, nor need to be.
    if cfg!(windows) {
        return Ok(());
    }
    File::open(path).and_then(|folder| folder.sync_all()).map_err(Error::io("flush the data folder"))
}
