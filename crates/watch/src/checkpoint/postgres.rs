//! Positions in a table of PostgreSQL, one row a watcher.
//!
//! The token's type is `json` and not `jsonb`: it is kept as the very text that it was, and can still be looked into.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Transaction};

use super::{CheckpointStore, SourceId, TOKENS};
use crate::{Backoff, BoxError, Error, Result, Token};

/// How long to look for the server, unless the URI says otherwise: too long a wait for who mistyped a port is no help.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a server may be silent that does not even confirm that it was sent something.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The position of one watcher in PostgreSQL.
///
/// The table is created if it is missing: `watcher text primary key, resume_token json, updated_at timestamptz, servers text[],
/// scope text, pipeline text[], version bigint`.
#[derive(Debug)]
pub struct PostgresCheckpoint {
    positions: Positions,
    source: SourceId,
    client: Option<Client>,
}

impl PostgresCheckpoint {
    /// Of a watcher, in the table [`TOKENS`] of the database of a URI such as `postgres://user:password@host/database`.
    ///
    /// # Errors
    /// A URI that cannot be understood. Nothing is connected yet.
    pub fn new(uri: &str, watcher: &str, source: SourceId) -> Result<Self> {
        Ok(Self { positions: Positions::new(uri, watcher)?, source, client: None })
    }

    /// In another table, as `name` or `schema.name`.
    #[must_use]
    pub fn table(mut self, name: &str) -> Self {
        self.positions.table(name);
        self
    }

    /// How to come back after the server was away.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.positions.backoff = backoff;
        self
    }

    async fn try_save(&mut self, token: &Token) -> Result<()> {
        let client = self.positions.connected(&mut self.client).await?;
        self.positions.put(client, token, &self.source).await
    }
}

impl CheckpointStore for PostgresCheckpoint {
    async fn load(&mut self) -> Result<Option<Token>> {
        let client = self.positions.connected(&mut self.client).await?;
        let Some(row) = self.positions.row(client).await? else { return Ok(None) };
        self.positions.check(&row, &self.source)?;
        self.positions.token(&row)
    }

    async fn save(&mut self, token: &Token) -> Result<()> {
        let mut tries = self.positions.backoff.tries();
        loop {
            match self.try_save(token).await {
                Err(error) if error.is_passing() => {
                    self.client = None;
                    if !tries.again("saving a position", &error).await {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    /// A save that was acknowledged is committed.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The table, and the row of one watcher in it.
#[derive(Debug)]
pub(crate) struct Positions {
    config: Config,
    /// As it is written in a statement.
    table: String,
    pub(crate) watcher: String,
    pub(crate) backoff: Backoff,
}

impl Positions {
    pub(crate) fn new(uri: &str, watcher: &str) -> Result<Self> {
        let unusable = |error: tokio_postgres::Error| Error::Store {
            store: "the URI of PostgreSQL".to_owned(),
            reason: format!("{}; it is like postgres://user:password@host:5432/database", reason(&error)),
            passing: false,
            source: Some(Box::new(error)),
        };
        let mut config: Config = uri.parse().map_err(unusable)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_MAX);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE_MAX);
        }
        if config.get_application_name().is_none() {
            config.application_name("millstream");
        }
        let (watcher, backoff) = (watcher.to_owned(), Backoff::default());
        Ok(Self { config, table: quoted(TOKENS), watcher, backoff })
    }

    pub(crate) fn table(&mut self, name: &str) {
        self.table = quoted(name);
    }

    /// The connection that is there, or a new one, whose table is there.
    pub(crate) async fn connected<'c>(&self, client: &'c mut Option<Client>) -> Result<&'c mut Client> {
        let usable = client.take().filter(|client| !client.is_closed());
        let usable = match usable {
            Some(client) => client,
            None => self.connect().await?,
        };
        Ok(client.insert(usable))
    }

    async fn connect(&self) -> Result<Client> {
        let (client, connection) = self.config.connect(NoTls).await.map_err(|error| self.explain(error))?;
        // It ends with the client. What breaks it, the client's next statement says as well.
        drop(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection to PostgreSQL ended: {}", reason(&error));
            }
        }));
        self.create_table(&client).await.map_err(|error| self.explain(error))?;
        Ok(client)
    }

    /// It is asked for first: who may not create tables may still use one.
    async fn create_table(&self, client: &Client) -> std::result::Result<(), tokio_postgres::Error> {
        let there: bool =
            client.query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&self.table]).await?.try_get(0)?;
        if there {
            return Ok(());
        }
        let table = &self.table;
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {table} (watcher text PRIMARY KEY, resume_token json, \
             updated_at timestamptz NOT NULL DEFAULT now(), servers text[] NOT NULL, scope text NOT NULL, \
             pipeline text[] NOT NULL, version bigint NOT NULL DEFAULT 0)"
        );
        match client.batch_execute(&create).await {
            // Somebody else was making it at the same time.
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(()),
            other => other,
        }
    }

    /// The watcher's row, if there is one.
    pub(crate) async fn row(&self, client: &Client) -> Result<Option<Row>> {
        let select = format!(
            "SELECT resume_token::text, servers, scope, pipeline, version FROM {} WHERE watcher = $1",
            self.table
        );
        client.query_opt(&select, &[&self.watcher]).await.map_err(|error| self.explain(error))
    }

    pub(crate) fn check(&self, row: &Row, source: &SourceId) -> Result<()> {
        let read = || -> std::result::Result<SourceId, tokio_postgres::Error> {
            Ok(SourceId { servers: row.try_get(1)?, scope: row.try_get(2)?, pipeline: row.try_get(3)? })
        };
        source.check(&read().map_err(|error| self.explain(error))?, &self.name())
    }

    pub(crate) fn token(&self, row: &Row) -> Result<Option<Token>> {
        let text: Option<String> = row.try_get(0).map_err(|error| self.explain(error))?;
        text.map(|text| Token::parse(&text)).transpose()
    }

    async fn put(&self, client: &Client, token: &Token, source: &SourceId) -> Result<()> {
        // The version tells whoever keeps it with its work (`TransactionStore`) that somebody else was here.
        let put = format!(
            "INSERT INTO {0} AS t (watcher, resume_token, servers, scope, pipeline) VALUES ($1, $2::text::json, $3, $4, $5) \
             ON CONFLICT (watcher) DO UPDATE SET resume_token = excluded.resume_token, updated_at = now(), \
             servers = excluded.servers, scope = excluded.scope, pipeline = excluded.pipeline, version = t.version + 1",
            self.table
        );
        let values: [&(dyn ToSql + Sync); 5] =
            [&self.watcher, &token.to_json(), &source.servers, &source.scope, &source.pipeline];
        client.execute(&put, &values).await.map(drop).map_err(|error| self.explain(error))
    }

    /// Takes the position over: its version goes up. Gives that, and the position.
    pub(crate) async fn taken(&self, client: &Client, source: &SourceId) -> Result<(i64, Option<Token>)> {
        let take = format!(
            "INSERT INTO {0} AS t (watcher, servers, scope, pipeline, version) VALUES ($1, $2, $3, $4, 1) \
             ON CONFLICT (watcher) DO UPDATE SET servers = excluded.servers, scope = excluded.scope, \
             pipeline = excluded.pipeline, version = t.version + 1 \
             RETURNING resume_token::text, servers, scope, pipeline, version",
            self.table
        );
        let values: [&(dyn ToSql + Sync); 4] = [&self.watcher, &source.servers, &source.scope, &source.pipeline];
        let row = client.query_one(&take, &values).await.map_err(|error| self.explain(error))?;
        Ok((row.try_get(4).map_err(|error| self.explain(error))?, self.token(&row)?))
    }

    /// The version and the position, of which nobody else can change anything before the transaction ends.
    pub(crate) async fn locked(
        &self,
        transaction: &Transaction<'_>,
    ) -> std::result::Result<Option<(i64, Option<Token>)>, tokio_postgres::Error> {
        let select = format!("SELECT version, resume_token::text FROM {} WHERE watcher = $1 FOR UPDATE", self.table);
        let Some(row) = transaction.query_opt(&select, &[&self.watcher]).await? else { return Ok(None) };
        let text: Option<String> = row.try_get(1)?;
        // A text that is no token is nobody's position.
        Ok(Some((row.try_get(0)?, text.and_then(|text| Token::parse(&text).ok()))))
    }

    /// Moves the position inside of a transaction. False: its version is another one.
    pub(crate) async fn moved(
        &self,
        transaction: &Transaction<'_>,
        version: i64,
        token: &Token,
    ) -> std::result::Result<bool, tokio_postgres::Error> {
        let update = format!(
            "UPDATE {} SET resume_token = $3::text::json, updated_at = now(), version = version + 1 \
             WHERE watcher = $1 AND version = $2",
            self.table
        );
        Ok(transaction.execute(&update, &[&self.watcher, &version, &token.to_json()]).await? > 0)
    }

    /// The watcher and where its position is, for messages.
    pub(crate) fn name(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        });
        let hosts: Vec<String> = hosts.collect();
        let ports: Vec<String> = self.config.get_ports().iter().map(|port| format!(":{port}")).collect();
        format!("{} in {} of PostgreSQL at {}{}", self.watcher, self.table, hosts.join(","), ports.join(","))
    }

    /// An error of the driver, as one of ours.
    pub(crate) fn explain(&self, error: tokio_postgres::Error) -> Error {
        self.refused(reason(&error), is_passing(&error), Some(Box::new(error)))
    }

    /// One that somebody else has.
    pub(crate) fn explained(&self, error: &tokio_postgres::Error) -> Error {
        self.refused(reason(error), is_passing(error), None)
    }

    fn refused(&self, reason: String, passing: bool, source: Option<BoxError>) -> Error {
        Error::Store { store: format!("the position of {}", self.name()), reason, passing, source }
    }
}

/// Whether a statement may work a little later: the network, a server that stops or starts.
pub(crate) fn is_passing(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => {
            let starting = [
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
                SqlState::CANNOT_CONNECT_NOW,
                SqlState::TOO_MANY_CONNECTIONS,
                SqlState::READ_ONLY_SQL_TRANSACTION,
            ];
            starting.contains(code) || code.code().starts_with("08")
        }
        // The network: something that it carried was cut, or nobody was there.
        None => error.is_closed() || is_io(error),
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.is::<std::io::Error>())
}

/// What the server says, or the driver.
pub(crate) fn reason(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => {
            let hint = said.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("{}{hint} ({})", said.message(), said.code().code())
        }
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// A table's name as it is written in a statement.
fn quoted(name: &str) -> String {
    let parts: Vec<String> = name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("tokens"), "\"tokens\"");
        assert_eq!(quoted("app.my \"tokens\"; drop"), "\"app\".\"my \"\"tokens\"\"; drop\"");
    }

    #[test]
    fn a_uri_is_looked_at_before_anything_is_connected() {
        let text = Positions::new("postgres://host:port/db", "copier").unwrap_err().to_string();
        assert!(text.starts_with("the URI of PostgreSQL: ") && text.contains("postgres://user"), "{text}");
        let positions = Positions::new("postgres://anna:secret@db.example:5433/shop", "copier").unwrap();
        assert_eq!(positions.name(), "copier in \"change_stream_tokens\" of PostgreSQL at db.example:5433");
    }
}
