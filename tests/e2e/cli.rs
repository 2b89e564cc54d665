//! The binary's own commands.

mod bench;
mod demo;
mod serve;
mod watch;
