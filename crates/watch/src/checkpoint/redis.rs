//! Positions in Redis, one hash a watcher.
//!
//! Shape: `<prefix>:<watcher>` is `resumeToken` and `pipeline` as JSON, `updatedAt`, `servers`, `scope`

use std::collections::HashMap;
use std::time::Duration;

use bson::DateTime;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, ServerErrorKind};

use super::{CheckpointStore, SourceId, TOKENS};
use crate::{Backoff, Error, Result, Token};

/// How long to look for the server.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The position of one watcher in Redis. It is as durable as that Redis is: one that forgets takes the watcher back to
/// where it starts without a position.
#[derive(Debug)]
pub struct RedisCheckpoint {
    client: Client,
    prefix: String,
    watcher: String,
    source: SourceId,
    backoff: Backoff,
    connection: Option<MultiplexedConnection>,
}

impl RedisCheckpoint {
    /// Of a watcher, in the hash `change_stream_tokens:<watcher>` of a server such as `redis://:password@host:6379/0`
    /// (`rediss:` is encrypted).
    ///
    /// # Errors
    /// A URI that cannot be understood. Nothing is connected yet.
    pub fn new(uri: &str, watcher: &str, source: SourceId) -> Result<Self> {
        let client = Client::open(uri).map_err(|error| Error::Store {
            store: "the URI of Redis".to_owned(),
            reason: format!("{error}; it is like redis://:password@host:6379/0"),
            passing: false,
            source: Some(Box::new(error)),
        })?;
        let (prefix, watcher) = (TOKENS.to_owned(), watcher.to_owned());
        Ok(Self { client, prefix, watcher, source, backoff: Backoff::default(), connection: None })
    }

    /// Under another prefix.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// How to come back after the server was away.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    fn key(&self) -> String {
        format!("{}:{}", self.prefix, self.watcher)
    }

    fn name(&self) -> String {
        format!("{} in Redis at {}", self.key(), self.client.get_connection_info().addr())
    }

    async fn connected(&mut self) -> std::result::Result<MultiplexedConnection, RedisError> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(ANSWER_MAX));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(self.connection.insert(connection).clone())
    }

    async fn read(&mut self) -> std::result::Result<HashMap<String, String>, RedisError> {
        let mut connection = self.connected().await?;
        redis::cmd("HGETALL").arg(self.key()).query_async(&mut connection).await
    }

    async fn write(&mut self, fields: &[(&str, String)]) -> std::result::Result<(), RedisError> {
        let mut connection = self.connected().await?;
        redis::cmd("HSET").arg(self.key()).arg(fields).query_async(&mut connection).await
    }

    fn explain(&self, error: RedisError) -> Error {
        let reason = error.to_string();
        self.refused(reason, is_passing(&error), Some(error))
    }

    fn refused(&self, reason: String, passing: bool, source: Option<RedisError>) -> Error {
        let source = source.map(|error| Box::new(error) as Box<_>);
        Error::Store { store: format!("the position {}", self.name()), reason, passing, source }
    }
}

impl CheckpointStore for RedisCheckpoint {
    async fn load(&mut self) -> Result<Option<Token>> {
        let mut hash = match self.read().await {
            Ok(hash) => hash,
            Err(error) => return Err(self.explain(error)),
        };
        let Some(token) = hash.remove("resumeToken") else { return Ok(None) };
        let mut list = |name: &str| -> Vec<String> {
            serde_json::from_str(&hash.remove(name).unwrap_or_default()).unwrap_or_default()
        };
        let (servers, pipeline) = (list("servers"), list("pipeline"));
        let kept = SourceId { servers, scope: hash.remove("scope").unwrap_or_default(), pipeline };
        self.source.check(&kept, &self.name())?;
        Token::parse(&token).map(Some)
    }

    async fn save(&mut self, token: &Token) -> Result<()> {
        let json = |texts: &[String]| serde_json::Value::from(texts).to_string();
        let fields = [
            ("resumeToken", token.to_json()),
            ("updatedAt", DateTime::now().try_to_rfc3339_string().unwrap_or_default()),
            ("servers", json(&self.source.servers)),
            ("scope", self.source.scope.clone()),
            ("pipeline", json(&self.source.pipeline)),
        ];
        let mut tries = self.backoff.tries();
        loop {
            let Err(error) = self.write(&fields).await else { return Ok(()) };
            self.connection = None;
            let error = self.explain(error);
            if !error.is_passing() || !tries.again("saving a position", &error).await {
                return Err(error);
            }
        }
    }

    /// A save that was acknowledged is as durable as the server makes it.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

fn is_passing(error: &RedisError) -> bool {
    use redis::ErrorKind;

    let starting = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::TryAgain
        )
    );
    starting || error.is_io_error() || error.is_connection_dropped() || error.is_timeout()
}
