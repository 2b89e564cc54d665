//! The binary's own commands.

mod bench;
mod demo;
mod log;
mod serve;
mod watch;
