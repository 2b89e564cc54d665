//! The PostgreSQL wire protocol: what psql, dashboards and PostgreSQL's drivers speak.
//!
//! A [`Port`] is opened, and serves a deployment until it is told to stop: each connection is a session of the mill in the
//! database that the client names. This crate knows messages, types and text forms; what statements mean is `sql`'s business,
//! and running them `mill`'s. So a change query that is sent here is the same as one typed into `millstream sql`.
//!
//! Nothing of what a client sends is trusted: messages, names and connections have limits, and each byte is read with a check.

mod connection;
mod encode;
mod execute;
mod extended;
mod limits;
mod message;
mod numeric;
mod output;
mod parameter;
mod port;
mod registry;
mod shape;
mod startup;
mod types;

pub use port::Port;
