//! Conversions between number types, named so that each says what it does at the edges.

/// The nearest double of an integer.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "nearest is what is asked for")]
pub const fn to_f64(value: i64) -> f64 {
    value as f64
}

/// The integer that a double is, if it is one and fits.
#[must_use]
pub fn exact_i64(value: f64) -> Option<i64> {
    let whole = truncated_i64(value)?;
    (to_f64(whole) == value).then_some(whole)
}

/// The double cut towards zero, if that fits in 64 bits.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
pub fn truncated_i64(value: f64) -> Option<i64> {
    (-TWO_63..TWO_63).contains(&value).then_some(value as i64)
}

/// 2^63: the first double above every 64-bit integer.
pub const TWO_63: f64 = 9_223_372_036_854_775_808.0;
