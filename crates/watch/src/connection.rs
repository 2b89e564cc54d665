//! A client for one URI.

use std::time::Duration;

use bson::{Timestamp, doc};
use mongodb::Client;
use mongodb::options::{ClientOptions, DriverInfo};

use crate::{Error, Problem, Result};

/// How long to look for a server before saying that there is none, unless the URI says otherwise.
/// The driver's own 30 s are too long for a person who mistyped a port.
const SERVER_SELECTION: Duration = Duration::from_secs(5);

/// Every stream that waits has a connection to itself. The driver's own limit of 10 would have the eleventh watch wait for the
/// others; connections are made when they are needed.
const CONNECTIONS_MAX: u32 = 20_000;

/// A client for one URI, and what is told about it in messages.
#[derive(Debug, Clone)]
pub struct Connection {
    client: Client,
    servers: Vec<String>,
    default_database: Option<String>,
}

impl Connection {
    /// Reads the URI. Nothing is connected yet, but the names of a `mongodb+srv` URI are looked up.
    pub async fn new(uri: &str) -> Result<Self> {
        Self::with(uri, |_| {}).await
    }

    /// The same, with a last word on the driver's options.
    pub async fn with(uri: &str, adjust: impl FnOnce(&mut ClientOptions)) -> Result<Self> {
        let refused = |servers: &[String]| {
            let servers = servers.to_vec();
            move |error| server_error(error, &servers, "")
        };
        let mut options = ClientOptions::parse(uri).await.map_err(refused(&[]))?;
        options.server_selection_timeout.get_or_insert(SERVER_SELECTION);
        options.max_pool_size.get_or_insert(CONNECTIONS_MAX);
        options.app_name.get_or_insert_with(|| "millstream".into());
        // When the driver (3.9) retries the command by which it resumes a stream, it has forgotten the token: it begins again
        // where the stream was opened, or skips to now. Without retries the error comes to the watcher, who knows its place.
        options.retry_reads = Some(false);
        adjust(&mut options);
        // Whatever a program calls itself: a Millstream server lets its own database be written by its own alone.
        options.driver_info.get_or_insert_with(|| DriverInfo::builder().name("millstream").build());
        let mut servers: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
        servers.sort_unstable();
        let default_database = options.default_database.clone();
        let client = Client::with_options(options).map_err(refused(&servers))?;
        Ok(Self { client, servers, default_database })
    }

    /// The driver's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The servers that the URI names, sorted, without user and password.
    pub fn servers(&self) -> &[String] {
        &self.servers
    }

    /// The database that the URI names.
    pub fn default_database(&self) -> Option<&str> {
        self.default_database.as_deref()
    }

    /// Reaches a server, and returns the cluster time of its answer: everything acknowledged
    /// before is at or below it. A standalone server has none.
    pub async fn ping(&self) -> Result<Option<Timestamp>> {
        let reply = self
            .client
            .database("admin")
            .run_command(doc! {"ping": 1})
            .await
            .map_err(|error| self.explain(error, ""))?;
        Ok(reply.get_timestamp("operationTime").ok())
    }

    /// A driver's error in a sentence; `subject` is what was being worked on.
    pub fn explain(&self, error: mongodb::error::Error, subject: &str) -> Error {
        server_error(error, &self.servers, subject)
    }
}

fn server_error(error: mongodb::error::Error, servers: &[String], subject: &str) -> Error {
    Error::Server { problem: Problem::of(&error, servers, subject), source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProblemKind;

    #[tokio::test]
    async fn servers_and_database_come_from_the_uri() {
        let uri = "mongodb://anna:secret@b.example:27018,a.example/shop?replicaSet=rs0";
        let connection = Connection::new(uri).await.unwrap();
        assert_eq!(connection.servers(), ["a.example:27017", "b.example:27018"]);
        assert_eq!(connection.default_database(), Some("shop"));
    }

    #[tokio::test]
    async fn a_bad_uri_is_called_one() {
        for uri in ["localhost:27017", "mongodb://", "http://a/", "mongodb://a/?tls=perhaps"] {
            let error = Connection::new(uri).await.unwrap_err();
            assert_eq!(error.problem_kind(), Some(ProblemKind::BadUri), "{uri}: {error}");
        }
    }

    #[tokio::test]
    async fn nothing_listens_is_said_so() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let uri = format!("mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=300");
        let connection = Connection::new(&uri).await.unwrap();
        let error = connection.ping().await.unwrap_err();
        assert_eq!(error.problem_kind(), Some(ProblemKind::Unreachable));
        assert!(error.to_string().starts_with("nothing listens at 127.0.0.1"), "{error}");
    }
}
