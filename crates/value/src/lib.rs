//! Documents as raw bytes, their types, total order, paths and order-keeping keys
