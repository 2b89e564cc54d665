//! The PostgreSQL protocol: the real psql, a real psycopg program, tokio-postgres, and what Grafana's data source asks.

mod catalog;
mod drivers;
mod port;
mod psql;
mod streams;

use std::process::{Command, Output, Stdio};

use bson::doc;
use tokio_postgres::{Client, NoTls};

use crate::support::Server;
use crate::support::server::free_port;

/// A server with a PostgreSQL port.
pub(crate) struct Desk {
    pub(crate) server: Server,
    pub(crate) port: u16,
}

impl Desk {
    /// With some orders in `shop`.
    pub(crate) fn new() -> Self {
        let port = free_port();
        let server = Server::with(&["--memory", "--pg-listen", &format!("127.0.0.1:{port}")]);
        let orders = vec![
            doc! {"_id": 1, "customer": "Ann", "status": "paid", "total": 30, "at": bson::DateTime::from_millis(1_757_066_400_250)},
            doc! {"_id": 2, "customer": "Bob", "status": "new", "total": 12.5, "tags": ["a", "b"]},
            doc! {"_id": 3, "customer": "Ann", "status": "paid", "total": 20, "address": {"city": "Rome"}},
        ];
        server.connect().command("shop", doc! {"insert": "orders", "documents": orders}).unwrap();
        Self { server, port }
    }

    /// psql on `shop`, without a person's own settings.
    pub(crate) fn psql(&self) -> Command {
        let mut command = Command::new(program());
        command.args(["--no-psqlrc", "--host", "127.0.0.1", "--username", "ann", "--dbname", "shop"]);
        command.args(["--port", &self.port.to_string()]);
        // Tables are drawn with the same signs everywhere.
        command.args(["--pset", "pager=off", "--set", "VERBOSITY=verbose"]).env("PGCLIENTENCODING", "UTF8");
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command
    }

    /// What psql shows for statements and backslash commands.
    pub(crate) fn run(&self, commands: &[&str]) -> String {
        let output = self.output(commands);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert!(output.status.success(), "{commands:?}: {}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{commands:?}");
        text(&output.stdout)
    }

    pub(crate) fn output(&self, commands: &[&str]) -> Output {
        let mut command = self.psql();
        for text in commands {
            command.args(["-c", text]);
        }
        command.output().expect("psql")
    }

    /// A client of the extended protocol.
    pub(crate) async fn connect(&self) -> Client {
        let text = format!("host=127.0.0.1 port={} user=ann dbname=shop", self.port);
        let (client, connection) = tokio_postgres::connect(&text, NoTls).await.expect("connect");
        drop(tokio::spawn(connection));
        client
    }
}

/// psql, wherever the system has it.
fn program() -> std::path::PathBuf {
    let folders = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = folders.map(|folder| folder.path().join("bin/psql")).find(|path| path.exists());
    found.unwrap_or_else(|| "psql".into())
}
