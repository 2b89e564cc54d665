//! Isolation of transactions: what many clients saw is what snapshot isolation allows.
//!
//! `history` is what clients did and saw, `checker` says what is wrong with that, by name.

mod checker;
mod history;
