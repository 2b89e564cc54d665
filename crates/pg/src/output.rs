//! What is sent to a client: collected, and written when there is enough of it or nothing more to say.

use std::io;

use bytes::BytesMut;
use millstream_sql::{Notice, SqlError};
use pgwire::messages::response::{ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use crate::limits::OUTPUT_BYTES;

/// The way to a client.
pub(crate) struct Output {
    to: OwnedWriteHalf,
    bytes: BytesMut,
}

/// How bad an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The statement fails.
    Error,
    /// The connection ends.
    Fatal,
}

impl Output {
    pub(crate) fn new(to: OwnedWriteHalf) -> Self {
        Self { to, bytes: BytesMut::new() }
    }

    /// Says something.
    pub(crate) fn put(&mut self, message: &impl pgwire::messages::Message) -> io::Result<()> {
        message.encode(&mut self.bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    }

    /// Says what is no message of the protocol's usual form.
    pub(crate) fn put_byte(&mut self, byte: u8) {
        self.bytes.extend_from_slice(&[byte]);
    }

    /// Whether so much has been said that it should be written.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= OUTPUT_BYTES
    }

    /// Writes what was said.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let bytes = self.bytes.split();
        self.to.write_all(&bytes).await
    }

    pub(crate) fn error(&mut self, error: &SqlError, severity: Severity) -> io::Result<()> {
        let word = match severity {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        };
        self.put(&ErrorResponse::new(fields(
            word,
            error.state.0,
            &error.message,
            error.hint.as_deref(),
            error.position,
        )))
    }

    pub(crate) fn notices(&mut self, notices: &[Notice]) -> io::Result<()> {
        for notice in notices {
            let word = if notice.state.0.starts_with("01") { "WARNING" } else { "NOTICE" };
            let fields = fields(word, notice.state.0, &notice.message, notice.hint.as_deref(), None);
            self.put(&NoticeResponse::new(fields))?;
        }
        Ok(())
    }

    pub(crate) fn ready(&mut self, status: TransactionStatus) -> io::Result<()> {
        self.put(&ReadyForQuery::new(status))
    }
}

/// The fields of an error or a notice. A text of the protocol ends with its first zero byte.
fn fields(
    severity: &str,
    state: &str,
    message: &str,
    hint: Option<&str>,
    position: Option<usize>,
) -> Vec<(u8, String)> {
    let text = |text: &str| text.replace('\0', "\u{fffd}");
    let mut fields =
        vec![(b'S', severity.to_owned()), (b'V', severity.to_owned()), (b'C', state.to_owned()), (b'M', text(message))];
    fields.extend(hint.map(|hint| (b'H', text(hint))));
    fields.extend(position.map(|position| (b'P', position.to_string())));
    fields
}
