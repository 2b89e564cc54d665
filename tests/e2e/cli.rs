//! The binary's own commands.

mod bench;
mod demo;
mod envelopes;
mod exec;
mod log;
mod named;
mod serve;
mod watch;
mod webhook;
