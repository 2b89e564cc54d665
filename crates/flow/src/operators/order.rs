//! `ORDER BY` and `PARTITION BY` as bytes that keep the order.

use crate::{OrderKey, Row, RowError, ScalarRef, key};

/// Stands before the keys of values, …
const VALUE: u8 = 1;
/// … of NULLs that come first, …
const NULL_FIRST: u8 = 0;
/// … and of NULLs that come last.
const NULL_LAST: u8 = 2;

/// Appends the place of a row by `order` alone. No place is the beginning of another one.
pub(super) fn append(order: &[OrderKey], row: &Row, out: &mut Vec<u8>) -> Result<(), RowError> {
    for by in order {
        append_key(by, &by.value.eval(row)?, out);
    }
    Ok(())
}

/// Appends the place of one key's value.
pub(super) fn append_key(by: &OrderKey, value: &crate::Datum, out: &mut Vec<u8>) {
    if value.is_null() {
        return out.push(if by.nulls_first { NULL_FIRST } else { NULL_LAST });
    }
    out.push(VALUE);
    if by.descending { key::append_descending(value, out) } else { key::append(value, out) }
}

/// Appends the keys of several expressions' values: a partition, or what a join compares.
pub(super) fn append_values(expressions: &[ScalarRef], row: &Row, out: &mut Vec<u8>) -> Result<(), RowError> {
    for expression in expressions {
        key::append(&expression.eval(row)?, out);
    }
    Ok(())
}

/// Appends the row's own key, which breaks ties (SQL-8.4).
pub(super) fn append_row_key(row: &Row, out: &mut Vec<u8>) {
    for part in row.key.iter() {
        key::append(part, out);
    }
}
