//! Positions in files, one file a watcher.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{CheckpointStore, Difference, SourceId};
use crate::{Connection, Error, Result, Token};

/// The version of the file's form.
const VERSION: u32 = 1;

/// A larger file is no checkpoint: a token is below 40 MiB.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The file is replaced before more than this was appended to it.
const APPENDED_BYTES_MAX: usize = 4 << 20;

/// How long a position may stay in the system's memory only. A killed process loses nothing; a
/// power cut takes the watcher back by at most this much, so that events come again, never less.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// A position in a file of its own: lines of JSON, of which the last whole one counts.
///
/// The file is replaced as a whole, beside it and then renamed, ten times a second at most, since
/// many file systems flush on such a rename. In between a save appends a line, which costs a
/// system call, so that every single event can be saved however fast they come.
#[derive(Debug)]
pub struct FileCheckpoint {
    file: PathBuf,
    source: SourceId,
    open: Option<Open>,
    unflushed: Option<Token>,
}

/// The file since it was last replaced.
#[derive(Debug)]
struct Open {
    handle: fs::File,
    flushed: Instant,
    bytes: usize,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    #[serde(flatten)]
    source: SourceId,
    token: serde_json::Value,
}

impl FileCheckpoint {
    /// The file need not exist yet; its folder must.
    pub fn new(file: impl Into<PathBuf>, source: SourceId) -> Self {
        Self { file: file.into(), source, open: None, unflushed: None }
    }

    /// The file's name.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The position in a file, whatever pipeline and scope it was made for; an error if it is another server's, or if
    /// there is no file.
    pub fn peek(file: &Path, connection: &Connection) -> Result<Token> {
        let source = SourceId { servers: connection.servers().to_vec(), scope: String::new(), pipeline: Vec::new() };
        let mut this = Self::new(file, source);
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let failed = |source| Error::CheckpointFile { doing: "read", file: file.to_owned(), source };
        let saved = this.saved()?.ok_or_else(|| failed(missing()))?;
        // Only the servers count.
        this.source = SourceId { servers: this.source.servers, ..saved.source.clone() };
        this.check(&saved.source)?;
        this.token(&saved)
    }

    fn read(&self) -> Result<Option<Token>> {
        let Some(saved) = self.saved()? else { return Ok(None) };
        self.check(&saved.source)?;
        self.token(&saved).map(Some)
    }

    fn token(&self, saved: &Saved) -> Result<Token> {
        Token::parse(&saved.token.to_string()).map_err(|error| self.damaged(error))
    }

    fn saved(&self) -> Result<Option<Saved>> {
        let failed = |source| Error::CheckpointFile { doing: "read", file: self.file.clone(), source };
        match fs::metadata(&self.file) {
            Ok(about) if about.len() > FILE_BYTES_MAX => return Err(self.damaged("it is too large")),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        let bytes = fs::read(&self.file).map_err(failed)?;
        let saved = self.last_line(&bytes)?;
        if saved.version != VERSION {
            let reason = format!("its version is {}, not {VERSION}", saved.version);
            return Err(self.damaged(reason));
        }
        Ok(Some(saved))
    }

    fn check(&self, kept: &SourceId) -> Result<()> {
        match self.source.difference(kept) {
            None => Ok(()),
            Some(Difference { what, found, wanted }) => {
                Err(Error::OtherSource { file: self.file.clone(), what, found, wanted })
            }
        }
    }

    /// The last whole line. A power cut may have torn those that were appended.
    fn last_line(&self, bytes: &[u8]) -> Result<Saved> {
        let mut reason = "it is empty".to_owned();
        for line in bytes.split(|byte| *byte == b'\n').rev().filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(saved) => return Ok(saved),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(self.damaged(reason))
    }

    fn line(&self, token: &Token) -> Result<Vec<u8>> {
        let token = serde_json::from_str(&token.to_json()).map_err(|error| self.damaged(error))?;
        let saved = Saved { version: VERSION, source: self.source.clone(), token };
        let mut line = serde_json::to_vec(&saved).map_err(|error| self.damaged(error))?;
        line.push(b'\n');
        Ok(line)
    }

    fn replace(&mut self, token: &Token) -> Result<()> {
        let line = self.line(token)?;
        let handle = replace(&self.file, &line).map_err(|source| self.unwritable(source))?;
        self.open = Some(Open { handle, flushed: Instant::now(), bytes: line.len() });
        self.unflushed = None;
        Ok(())
    }

    /// Appends if the file was replaced not long ago; says whether it did.
    fn append(&mut self, token: &Token) -> Result<bool> {
        let line = self.line(token)?;
        let fits = |open: &&mut Open| open.flushed.elapsed() < FLUSH_EVERY && open.bytes < APPENDED_BYTES_MAX;
        let Some(open) = self.open.as_mut().filter(fits) else {
            return Ok(false);
        };
        open.bytes += line.len();
        let written = open.handle.write_all(&line);
        written.map_err(|source| self.unwritable(source))?;
        self.unflushed = Some(token.clone());
        Ok(true)
    }

    fn unwritable(&self, source: std::io::Error) -> Error {
        Error::CheckpointFile { doing: "write", file: self.file.clone(), source }
    }

    fn damaged(&self, reason: impl ToString) -> Error {
        Error::DamagedCheckpoint { file: self.file.clone(), reason: reason.to_string() }
    }
}

// The file is small and local, so these block for less than handing the work to another thread
// would take; a flush happens ten times a second at most.
impl CheckpointStore for FileCheckpoint {
    async fn load(&mut self) -> Result<Option<Token>> {
        self.read()
    }

    async fn save(&mut self, token: &Token) -> Result<()> {
        if self.append(token)? { Ok(()) } else { self.replace(token) }
    }

    async fn flush(&mut self) -> Result<()> {
        match self.unflushed.clone() {
            Some(token) => self.replace(&token),
            None => Ok(()),
        }
    }
}

/// Writes beside the file, then renames over it; the file is left open behind its content.
fn replace(file: &Path, content: &[u8]) -> std::io::Result<fs::File> {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let beside = file.with_file_name(name);
    let mut new = fs::File::create(&beside)?;
    new.write_all(content)?;
    new.sync_data()?;
    fs::rename(&beside, file)?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(scope: &str) -> SourceId {
        SourceId {
            servers: vec!["127.0.0.1:27017".into()],
            scope: scope.into(),
            pipeline: vec![r#"{"$match":{"operationType":"insert"}}"#.into()],
        }
    }

    fn token(data: &str) -> Token {
        Token::parse(data).unwrap()
    }

    #[tokio::test]
    async fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("place.json");
        let mut store = FileCheckpoint::new(&file, source("database shop"));
        assert_eq!(store.load().await.unwrap(), None);
        for data in ["82AA", "82AB", "82AC"] {
            store.save(&token(data)).await.unwrap();
        }
        store.flush().await.unwrap();
        let mut again = FileCheckpoint::new(&file, source("database shop"));
        assert_eq!(again.load().await.unwrap(), Some(token("82AC")));
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file stays behind");
    }

    #[tokio::test]
    async fn a_torn_line_takes_nothing_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("place.json");
        let mut store = FileCheckpoint::new(&file, source("database shop"));
        // The first replaces the file, the others append to it.
        for n in 0..100 {
            store.save(&token(&format!("82{n:04}"))).await.unwrap();
        }
        let text = fs::read_to_string(&file).unwrap();
        let last = text.lines().last().unwrap();
        fs::write(&file, format!("{text}{}", &last[..20])).unwrap();
        let mut again = FileCheckpoint::new(&file, source("database shop"));
        assert_eq!(again.load().await.unwrap(), Some(token("820099")));
        store.flush().await.unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
    }

    #[tokio::test]
    async fn another_source_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("place.json");
        let mut store = FileCheckpoint::new(&file, source("database shop"));
        store.save(&token("82AA")).await.unwrap();

        let mut other = FileCheckpoint::new(&file, source("collection shop.orders"));
        let text = other.load().await.unwrap_err().to_string();
        assert!(text.contains("made for another scope (database shop, this is collection shop.orders)"), "{text}");

        let mut changed = source("database shop");
        changed.pipeline.clear();
        let mut other = FileCheckpoint::new(&file, changed);
        assert!(other.load().await.unwrap_err().to_string().contains("another pipeline"));
    }

    #[tokio::test]
    async fn damage_is_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("place.json");
        for content in ["", "{", "[]", "{\"version\":1}"] {
            fs::write(&file, content).unwrap();
            let mut store = FileCheckpoint::new(&file, source("database shop"));
            let text = store.load().await.unwrap_err().to_string();
            assert!(text.contains("delete it to start from now"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_missing_folder_is_an_error_with_its_name() {
        let mut store = FileCheckpoint::new("/nowhere/at/all.json", source("database shop"));
        let text = store.save(&token("82AA")).await.unwrap_err().to_string();
        assert!(text.contains("could not write the checkpoint /nowhere/at/all.json"), "{text}");
    }
}
