//! Everything in `examples/`, run with the real drivers, and programs of their own for what no example shows.

mod follow;
mod mongosh;
mod node;
mod python;
mod rust;
mod transactions;
