//! `$slice` of `find`: a part of an array.
//!
//! Shape:  `{ <path>: { $slice: <count> } }`, `{ <path>: { $slice: [ <skip>, <count> ] } }`
//! Absent: stays absent; what is no array stays as it is.
//! Units:  a negative count or skip counts from the end.
//! Source: MongoDB manual 8.0, "$slice (projection)".

use millstream_value::{ArrayBuf, Doc, Element, Value};

/// Which elements stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    skip: i64,
    count: usize,
}

impl Slice {
    /// Reads the argument; `None` if it is not of this form, and thus an expression of the same name.
    pub(super) fn parse(argument: &Value<'_>) -> Option<Self> {
        if let Some(count) = int(argument) {
            let skip = if count < 0 { count } else { 0 };
            return Some(Self { skip, count: usize::try_from(count.unsigned_abs()).ok()? });
        }
        let array = argument.as_array()?;
        let mut values = array.values();
        let (skip, count) = (int(&values.next()?)?, int(&values.next()?)?);
        if values.next().is_some() || count <= 0 {
            return None;
        }
        Some(Self { skip, count: usize::try_from(count).ok()? })
    }

    pub(super) fn apply<'a>(self, element: Element<'a>) -> Value<'a> {
        let Some(array) = element.as_array() else {
            return element.value();
        };
        Value::from(self.cut(array))
    }

    fn cut(self, array: Doc<'_>) -> ArrayBuf {
        let skip = match usize::try_from(self.skip) {
            Ok(skip) => skip,
            Err(_) => {
                let back = usize::try_from(self.skip.unsigned_abs()).unwrap_or(usize::MAX);
                array.len().saturating_sub(back)
            }
        };
        let mut out = ArrayBuf::new();
        for element in array.elements().skip(skip).take(self.count) {
            out.push_element(element);
        }
        out
    }
}

/// A number cut to 32 bits at either end.
fn int(value: &Value<'_>) -> Option<i64> {
    let whole = match value {
        Value::Double(v) if v.is_nan() => 0,
        Value::Double(v) => millstream_value::number::truncated_i64(v.clamp(-2_147_483_648.0, 2_147_483_647.0))?,
        Value::Decimal(v) => v.to_i64_truncated().unwrap_or(0),
        other => other.as_integer()?,
    };
    Some(whole.clamp(i64::from(i32::MIN), i64::from(i32::MAX)))
}
