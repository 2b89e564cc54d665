//! The database in which the programs of Millstream keep what is theirs: definitions, places, leases, tokens. Clients may read
//! it, and not write it (SQL-18.1).
//!
//! It keeps mistakes away, not enemies: whoever writes is known by what it says of itself in its first `hello`. Our programs and
//! libraries add their name to the driver's (`driver.name`); an operator who has to repair something connects with
//! `appName=millstream`.

use millstream_value::Code;

use crate::context::Connection;
use crate::failure::{Failure, Result};

const DATABASE: &str = "millstream";
/// What our programs call themselves.
const NAME: &str = "millstream";

/// Refuses a write to a database if it is ours and the client is not.
pub(crate) fn check(connection: &Connection, database: &str) -> Result<()> {
    if database != DATABASE || is_ours(connection) {
        return Ok(());
    }
    let message = "the database millstream can be read, but not written: it is what views, triggers and watchers go on by. \
                   To repair it, connect with appName=millstream";
    Err(Failure::new(Code::Unauthorized, message))
}

fn is_ours(connection: &Connection) -> bool {
    // Drivers put the names of what is built on them behind their own: `mongo-rust-driver|millstream`.
    let driver = connection.driver_name().unwrap_or_default();
    driver.split('|').any(|name| name.trim() == NAME) || connection.app_name() == Some(NAME)
}

#[cfg(test)]
mod tests {
    use millstream_value::DocBuf;

    use super::*;

    fn connection(driver: &str, application: Option<&str>) -> Connection {
        let connection = Connection::new(1, "127.0.0.1:1".parse().unwrap(), String::new());
        let mut metadata = DocBuf::new();
        metadata.nest("driver", |it| {
            it.push("name", driver);
        });
        if let Some(application) = application {
            metadata.nest("application", |it| {
                it.push("name", application);
            });
        }
        connection.set_metadata(metadata.as_doc()).unwrap();
        connection
    }

    /// SQL-18.1
    #[test]
    fn our_database_is_written_by_us() {
        let others = [connection("nodejs|mongosh", Some("mongosh 2")), connection("millstreams", Some("millstream-x"))];
        for other in others {
            assert_eq!(check(&other, "millstream").unwrap_err().code, Code::Unauthorized);
            assert!(check(&other, "millstream2").is_ok());
        }
        let ours = [connection("mongo-rust-driver|sync|millstream", Some("shop")), connection("x", Some("millstream"))];
        for own in ours {
            assert!(check(&own, "millstream").is_ok());
        }
    }
}
