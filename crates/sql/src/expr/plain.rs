//! Single values, outside of any expression.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use millstream_flow::Datum;

use super::untyped::Reading;
use super::{Context, Step, path, print};

/// A value as text (SQL-4.2).
#[must_use]
pub fn to_text(value: &Datum, zone: &TimeZone) -> String {
    print::text(value, zone)
}

/// Follows the steps of a path (SQL-3.5).
#[must_use]
pub fn step_into(value: &Datum, steps: &[Step]) -> Datum {
    path::walk(Cow::Borrowed(value), steps).into_owned()
}

/// Everything that an untyped text may be stored as (SQL-4.10).
#[must_use]
pub fn stored_forms(text: &str, context: &Context) -> Vec<Datum> {
    Reading::new(text, context).stored().into_iter().cloned().collect()
}
