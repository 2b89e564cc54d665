//! The binary's own commands.

mod demo;
mod serve;
mod watch;
