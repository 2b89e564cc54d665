//! The division of an average (SQL-4.7): how many digits a quotient of numerics has.

use millstream_value::Decimal;
use num_bigint::{BigInt, BigUint};

use super::exact::Scaled;
use super::round::{divide_away, to_numeric};
use super::wide::Wide;

/// Significant digits that a quotient has at least.
const DIGITS_MIN: i64 = 16;
/// Digits of a numeric.
const DIGITS_MAX: i64 = 34;

/// `sum / count` as a numeric; `None` if it is too large.
pub(super) fn average(sum: &Scaled<10>, count: i64) -> Option<Decimal> {
    let sum = sum.trimmed();
    if sum.value.is_zero() {
        return Some(Decimal::zero());
    }
    if let Wide::Small(value) = sum.value
        && let Some(average) = small(value, sum.exponent, count)
    {
        return Some(average);
    }
    let value = sum.value.to_big();
    let divisor = BigInt::from(count);
    let (a, b) = (first_digit(value.magnitude(), sum.exponent), first_digit(divisor.magnitude(), 0));
    let q = a.place - b.place - i64::from(a.value <= b.value);
    let scale = (DIGITS_MIN - 4 * q).max(i64::from(-sum.exponent)).max(0);
    let quotient = |scale: i64| {
        // The scale is at least the sum's own.
        let shift = u32::try_from(scale + i64::from(sum.exponent)).unwrap_or(0);
        divide_away(&(&value * BigInt::from(10).pow(shift)), &divisor)
    };
    let whole = quotient(scale);
    let excess = i64::try_from(whole.magnitude().to_string().len()).ok()? - DIGITS_MAX;
    // With too many digits it is rounded where they end, from the exact quotient.
    if excess > 0 && scale - excess >= i64::from(-sum.exponent) {
        let scale = scale - excess;
        return to_numeric(&Scaled { value: Wide::Big(quotient(scale)), exponent: i32::try_from(-scale).ok()? });
    }
    to_numeric(&Scaled { value: Wide::Big(whole), exponent: i32::try_from(-scale).ok()? })
}

/// The same where 128 bits are enough.
fn small(value: i128, exponent: i32, count: i64) -> Option<Decimal> {
    let first = |value: u128, exponent: i32| {
        let length = i64::from(value.checked_ilog10()?) + 1;
        let top = length + i64::from(exponent) - 1;
        let place = top.div_euclid(4);
        let spare = u32::try_from(length - (top - 4 * place + 1)).ok()?;
        let value = u32::try_from(value / 10_u128.checked_pow(spare)?).ok()?;
        Some(FirstDigit { place, value })
    };
    let (magnitude, divisor) = (value.unsigned_abs(), u128::try_from(count).ok()?);
    let (a, b) = (first(magnitude, exponent)?, first(divisor, 0)?);
    let q = a.place - b.place - i64::from(a.value <= b.value);
    let scale = (DIGITS_MIN - 4 * q).max(i64::from(-exponent)).max(0);
    let shift = u32::try_from(scale + i64::from(exponent)).ok()?;
    let dividend = magnitude.checked_mul(10_u128.checked_pow(shift)?)?;
    let quotient = dividend / divisor + u128::from(dividend % divisor >= divisor.div_ceil(2));
    let quotient = i128::try_from(quotient).ok().filter(|quotient| *quotient < 10_i128.pow(34))?;
    let quotient = if value < 0 { -quotient } else { quotient };
    to_numeric(&Scaled { value: Wide::Small(quotient), exponent: i32::try_from(-scale).ok()? })
}

/// The first digit of a number in base 10000: its place and its value.
struct FirstDigit {
    place: i64,
    value: u32,
}

fn first_digit(coefficient: &BigUint, exponent: i32) -> FirstDigit {
    let digits = coefficient.to_string();
    let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let top = length + i64::from(exponent) - 1;
    let place = top.div_euclid(4);
    let taken = usize::try_from(top - 4 * place + 1).unwrap_or(1);
    let value = digits.chars().chain(std::iter::repeat('0')).take(taken).filter_map(|digit| digit.to_digit(10));
    FirstDigit { place, value: value.fold(0, |sum, digit| sum * 10 + digit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SQL-4.7, SQL-7.3, E-14, E-6: as PostgreSQL divides, without the zeros.
    #[test]
    fn averages_have_the_digits_of_the_rule() {
        let text = |sum: i128, exponent, count| {
            average(&Scaled { value: Wide::Small(sum), exponent }, count).unwrap().to_string()
        };
        assert_eq!(text(550, 0, 3), "183.3333333333333333");
        assert_eq!(text(700, 0, 3), "233.3333333333333333");
        assert_eq!(text(2900, 0, 14), "207.1428571428571429");
        assert_eq!(text(8, 0, 3), "2.6666666666666667");
        assert_eq!(text(1, 0, 3), "0.33333333333333333333");
        assert_eq!(text(3, 0, 2), "1.5");
        assert_eq!(text(-550, 0, 3), "-183.3333333333333333");
        assert_eq!(text(100_000, 0, 7), "14285.714285714286");
        assert_eq!(text(0, 0, 7), "0");
        assert_eq!(text(123_456_789_012_345_678_901_234_567_890, 0, 7), "17636684144620811271604938270");
        assert_eq!(text(5, 3, 4), "1250");
        assert_eq!(text(1, -20, 3), "3.3333333333333333333E-21");
    }
}
