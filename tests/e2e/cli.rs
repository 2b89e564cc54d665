//! The binary's own commands.

mod bench;
mod dead_letters;
mod demo;
mod doctor;
mod envelopes;
mod exec;
mod groups;
mod history;
mod log;
mod named;
mod serve;
mod service;
mod sql;
mod tokens;
mod watch;
mod webhook;
