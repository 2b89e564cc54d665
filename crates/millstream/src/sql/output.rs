//! Where rows go: standard output, or a file.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Where rows go.
pub(super) struct Output {
    to: Box<dyn Write + Send>,
    is_file: bool,
}

/// Whether anyone still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    There,
    Gone,
}

impl Output {
    pub(super) fn standard() -> Self {
        Self { to: Box::new(io::stdout()), is_file: false }
    }

    pub(super) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self { to: Box::new(File::create(path)?), is_file: true })
    }

    /// Whether it is a file.
    pub(super) fn is_file(&self) -> bool {
        self.is_file
    }

    /// Writes at once: what is shown has left this process.
    pub(super) fn write(&mut self, text: &str) -> io::Result<Reader> {
        match self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush()) {
            Ok(()) => Ok(Reader::There),
            // A closed pipe is the reader's way to say that it has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
            Err(error) => Err(error),
        }
    }
}
