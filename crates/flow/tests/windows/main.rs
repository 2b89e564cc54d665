//! Operators that know an order or a time: windows, top-k, temporal filters, and the operators over changes.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::unimplemented,
    clippy::unwrap_used,
    reason = "test code, helpers included; numbers are small"
)]

mod band;
mod bucket;
mod golden;
mod lookup;
mod naive;
mod reopen;
mod running_window;
mod support;
mod temporal;
mod top_k;
mod window;
