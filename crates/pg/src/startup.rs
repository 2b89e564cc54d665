//! From the first byte to the first statement: who is there, which database, which settings.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use millstream_sql::SqlError;
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tracing::debug;

use crate::connection::{Connection, Control};
use crate::limits::{STARTUP_BYTES_MAX, STARTUP_WAIT};
use crate::message::Body;
use crate::output::{Output, Severity};
use crate::registry::Registry;

const CANCEL: i32 = 80_877_102;
const SSL: i32 = 80_877_103;
const GSS: i32 = 80_877_104;
/// The one major version of the protocol that is spoken.
const VERSION: i32 = 3;

/// What a session tells its client whenever it changes.
// Sorted by name, in any case.
pub(crate) static REPORTED: &[&str] = &[
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

/// Serves a client.
pub(crate) async fn serve(socket: TcpStream, registry: Arc<Registry>, full: bool) {
    let peer = socket.peer_addr().ok();
    let (mut from, to) = socket.into_split();
    let mut output = Output::new(to);
    let mut stop = registry.stop.clone();
    let greeted = tokio::select! {
        greeted = tokio::time::timeout(STARTUP_WAIT, greet(&mut from, &mut output, &registry, full)) => greeted,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let ended = match greeted {
        Ok(Ok(Some(connection))) => connection.serve(from, output).await,
        Ok(Ok(None)) | Err(_) => Ok(()),
        Ok(Err(Refused::Sql(error))) => say(&mut output, &error).await,
        Ok(Err(Refused::Io(error))) => Err(error),
    };
    if let Err(error) = ended {
        debug!(?peer, %error, "a client has gone");
    }
}

async fn say(output: &mut Output, error: &SqlError) -> io::Result<()> {
    output.error(error, Severity::Fatal)?;
    output.flush().await
}

/// Why a client is not served.
enum Refused {
    Sql(SqlError),
    Io(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<SqlError> for Refused {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

async fn greet(
    from: &mut OwnedReadHalf,
    output: &mut Output,
    registry: &Arc<Registry>,
    full: bool,
) -> Result<Option<Connection>, Refused> {
    // Each kind of encryption is asked for once at most.
    for _ in 0..3 {
        let length = from.read_i32().await?;
        let length = usize::try_from(length).ok().filter(|length| (8..=STARTUP_BYTES_MAX).contains(length));
        let length = length.ok_or_else(|| SqlError::new("08P01", "the first message is none of PostgreSQL's"))?;
        let mut bytes = vec![0; length - 4];
        from.read_exact(&mut bytes).await?;
        let Some((code, rest)) = bytes.split_first_chunk() else { return Ok(None) };
        match i32::from_be_bytes(*code) {
            // Nothing is encrypted: there are no certificates yet.
            SSL | GSS => {
                output.put_byte(b'N');
                output.flush().await?;
            }
            CANCEL => {
                if let Some((number, rest)) = rest.split_first_chunk()
                    && let Ok(secret) = rest.try_into()
                {
                    registry.cancel(i32::from_be_bytes(*number), i32::from_be_bytes(secret));
                }
                return Ok(None);
            }
            version if version >> 16 == VERSION => {
                if full {
                    return Err(SqlError::new("53300", "there are too many connections").into());
                }
                let given = parameters(rest)?;
                return welcome(output, registry, version & 0xffff, given).await.map(Some);
            }
            version => {
                let message = format!("protocol {}.{} is not spoken here, but 3.0 is", version >> 16, version & 0xffff);
                return Err(SqlError::new("0A000", message).into());
            }
        }
    }
    Err(SqlError::new("08P01", "encryption was asked for again").into())
}

/// Names and values, up to an empty name.
fn parameters(bytes: &[u8]) -> Result<BTreeMap<String, String>, Refused> {
    let mut body = Body(Bytes::copy_from_slice(bytes));
    let mut found = BTreeMap::new();
    loop {
        let name = body.text()?;
        if name.is_empty() {
            return Ok(found);
        }
        let value = body.text()?;
        found.insert(name, value);
    }
}

async fn welcome(
    output: &mut Output,
    registry: &Arc<Registry>,
    minor: i32,
    mut given: BTreeMap<String, String>,
) -> Result<Connection, Refused> {
    let Some(user) = given.remove("user") else {
        return Err(SqlError::new("28000", "the first message names no user").into());
    };
    let database = given.remove("database").filter(|name| !name.is_empty()).unwrap_or_else(|| user.clone());
    if database.len() > 63 || database.contains(['/', '\\', '.', '"', '$', '*', '<', '>', ':', '|', '?', ' ', '\0']) {
        return Err(SqlError::new("3D000", format!("\"{database}\" is no name of a database")).into());
    }
    let unknown: Vec<String> = given.keys().filter(|name| name.starts_with("_pq_.")).cloned().collect();
    if minor > 0 || !unknown.is_empty() {
        output.put(&NegotiateProtocolVersion::new(VERSION << 16, unknown))?;
    }
    let mut session = registry.session(&database).await?;
    session.set_user(&user);
    let options = given.remove("options").unwrap_or_default();
    let given = given.into_iter().filter(|(name, _)| !name.starts_with("_pq_.") && name != "replication");
    for (name, value) in given.chain(switches(&options)) {
        session.set_default(&name, &value)?;
    }
    let control = Control::new(registry.enter(), registry.stop.clone());
    // Whoever can reach the port may do everything, as with the engine's own.
    output.put(&Authentication::Ok)?;
    for name in REPORTED {
        if let Some(value) = session.setting(name) {
            output.put(&ParameterStatus::new((*name).to_owned(), value))?;
        }
    }
    output.put(&BackendKeyData::new(control.place.number, SecretKey::I32(control.place.secret)))?;
    Ok(Connection::new(session, control))
}

/// `-c name=value` and `--name=value`.
fn switches(options: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") => words.next().unwrap_or_default(),
            Some(setting) => setting,
            None => continue,
        };
        if let Some((name, value)) = setting.split_once('=') {
            found.push((name.to_owned(), value.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_settings() {
        let found = switches("-c timezone=UTC --search_path=a -cx=1 -d");
        let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("timezone", "UTC"), ("search_path", "a"), ("x", "1")]);
    }

    #[test]
    fn parameters_end_with_an_empty_name() {
        assert_eq!(parameters(b"user\0ann\0\0").ok().unwrap().len(), 1);
        assert!(parameters(b"user\0ann\0").is_err() && parameters(b"user").is_err());
    }
}
