//! What the tests stand on: a server process, a raw connection, a notation for values.

pub(crate) mod normal;
pub(crate) mod notation;
pub(crate) mod postgres;
pub(crate) mod programs;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod redis;
pub(crate) mod screen;
pub(crate) mod server;
pub(crate) mod wire;

pub(crate) use postgres::Postgres;
pub(crate) use proxy::Proxy;
pub(crate) use redis::Redis;
pub(crate) use screen::Screen;
pub(crate) use server::Server;
pub(crate) use wire::Connection;

use std::path::{Path, PathBuf};

/// The root folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests package lies in the workspace").to_owned()
}

/// The folder of the profile that is being tested, such as `target/debug`.
pub(crate) fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    test.parent().and_then(Path::parent).expect("tests run from target/<profile>/deps").to_owned()
}
