//! Everything in `examples/`, run with the real drivers.

mod mongosh;
mod node;
mod python;
mod rust;
