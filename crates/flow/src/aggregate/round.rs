//! From exact numbers to the nearest double or numeric: the one rounding at the end.

use std::cmp::Ordering;

use millstream_value::Decimal;
use num_bigint::{BigInt, BigUint, Sign};

use super::exact::{Scaled, numeric};
use super::wide::Wide;

/// Digits of a numeric.
const DIGITS: u32 = 34;
/// The greatest exponent of a numeric with 34 digits.
const EXPONENT_MAX: i32 = 6111;
/// The least exponent of a numeric.
const EXPONENT_MIN: i32 = -6176;

/// The double nearest to `numerator / denominator`, ties to even; infinite if there is none.
pub(super) fn to_double(numerator: &BigInt, denominator: &BigInt) -> f64 {
    rounded(numerator.sign(), numerator.magnitude(), denominator.magnitude(), |quotient, rest| (quotient, rest))
}

/// The double nearest to the square root of `numerator / denominator`.
pub(super) fn to_double_sqrt(numerator: &BigInt, denominator: &BigInt) -> f64 {
    if numerator.sign() == Sign::NoSign {
        return 0.0;
    }
    // With `s` even, the root of the number is the root of the number times `2^s`, over `2^(s/2)`: of a quotient of at least
    // 130 bits the root has 65, and whatever is cut off only says that it is no exact one.
    let (n, d) = (numerator.magnitude(), denominator.magnitude());
    let shift = (130 - (bits(n) - bits(d))).max(0);
    let shift = shift + shift % 2;
    let (quotient, exact) = divide(n, d, shift);
    let root = quotient.sqrt();
    let exact = exact && &root * &root == quotient;
    assemble(Sign::Plus, &root, exact, -shift / 2)
}

fn rounded(
    sign: Sign,
    numerator: &BigUint,
    denominator: &BigUint,
    then: impl Fn(BigUint, bool) -> (BigUint, bool),
) -> f64 {
    if sign == Sign::NoSign {
        return 0.0;
    }
    let shift = (66 - (bits(numerator) - bits(denominator))).max(0);
    let (quotient, exact) = divide(numerator, denominator, shift);
    let (quotient, exact) = then(quotient, exact);
    assemble(sign, &quotient, exact, -shift)
}

fn bits(value: &BigUint) -> i32 {
    i32::try_from(value.bits()).unwrap_or(i32::MAX / 2)
}

/// `numerator * 2^shift / denominator`, and whether nothing was cut off.
fn divide(numerator: &BigUint, denominator: &BigUint, shift: i32) -> (BigUint, bool) {
    let numerator = numerator << shift.unsigned_abs();
    let quotient = &numerator / denominator;
    let exact = &quotient * denominator == numerator;
    (quotient, exact)
}

/// The double nearest to `value * 2^exponent`, or to a little more if it is not exact. The value has 65 bits or more, or is
/// exact.
fn assemble(sign: Sign, value: &BigUint, exact: bool, exponent: i32) -> f64 {
    // A double has 53 bits, fewer below 2^-1022: cut there, and look at what is cut off.
    let top = bits(value) + exponent;
    let lowest = (top - 53).max(-1074);
    let cut = lowest - exponent;
    let (mut whole, order) = if cut <= 0 {
        (value << cut.unsigned_abs(), if exact { Ordering::Less } else { Ordering::Greater })
    } else {
        let whole = value >> cut.unsigned_abs();
        let rest = value - (&whole << cut.unsigned_abs());
        let half = BigUint::from(1_u8) << (cut.unsigned_abs() - 1);
        (whole, rest.cmp(&half).then(if exact { Ordering::Equal } else { Ordering::Greater }))
    };
    let is_odd = whole.bit(0);
    if cut > 0 && (order == Ordering::Greater || (order == Ordering::Equal && is_odd)) {
        whole += 1_u8;
    }
    // At most 2^53: exact.
    let Ok(whole) = u64::try_from(whole) else { return f64::INFINITY };
    let magnitude = power_of_two(whole, lowest);
    if sign == Sign::Minus { -magnitude } else { magnitude }
}

/// `whole * 2^exponent` where that is a double, or infinite.
#[expect(clippy::cast_precision_loss, reason = "at most 2^53")]
fn power_of_two(whole: u64, exponent: i32) -> f64 {
    let mut value = whole as f64;
    let mut exponent = exponent;
    while exponent > 0 {
        let step = exponent.min(1000);
        value *= 2_f64.powi(step);
        exponent -= step;
    }
    while exponent < 0 {
        // Above 2^-1074 nothing is lost on the way: what is cut off here has been cut off before.
        let step = exponent.max(-1000);
        value *= 2_f64.powi(step);
        exponent -= step;
    }
    value
}

/// The double nearest to a sum of doubles over a count.
#[expect(clippy::cast_precision_loss, reason = "this is the rounding")]
pub(super) fn dyadic_over(sum: &Scaled<2>, count: i64) -> f64 {
    if let Wide::Small(value) = sum.value
        && (-800..=800).contains(&sum.exponent)
        && (1..1 << 53).contains(&count)
    {
        // The quotient of 127 bits and at most 53 has 74 or more: what is cut off only says that it is no exact one.
        let shift = value.unsigned_abs().leading_zeros().saturating_sub(1);
        let (dividend, divisor) = (value.unsigned_abs() << shift, u128::from(count.unsigned_abs()));
        let quotient = (dividend / divisor) | u128::from(dividend % divisor != 0);
        let magnitude = quotient as f64 * 2_f64.powi(sum.exponent - shift.cast_signed());
        return if value < 0 { -magnitude } else { magnitude };
    }
    let (value, count) = (sum.value.to_big(), BigInt::from(count));
    if sum.exponent < 0 {
        to_double(&value, &(count << sum.exponent.unsigned_abs()))
    } else {
        to_double(&(value << sum.exponent.unsigned_abs()), &count)
    }
}

/// The double nearest to a sum of doubles.
#[expect(clippy::cast_precision_loss, reason = "this is the rounding")]
pub(super) fn dyadic_to_double(sum: &Scaled<2>) -> f64 {
    if let Wide::Small(value) = &sum.value
        && (-900..=800).contains(&sum.exponent)
    {
        return *value as f64 * 2_f64.powi(sum.exponent);
    }
    let value = sum.value.to_big();
    assemble(value.sign(), value.magnitude(), true, sum.exponent)
}

/// The numeric nearest to `value * 10^exponent`, ties away from zero, with the fewest digits behind the point (SQL-4.7);
/// `None` if it is too large.
pub(super) fn to_numeric(sum: &Scaled<10>) -> Option<Decimal> {
    let Scaled { value, exponent } = sum.trimmed();
    let (mut value, mut exponent) = (value, exponent);
    // Cut to 34 digits, and to the least exponent.
    let length = digits(&value);
    let excess = length.saturating_sub(DIGITS).max(u32::try_from(EXPONENT_MIN - exponent).unwrap_or(0));
    if excess > 0 {
        value = tenths(&value, excess);
        exponent += i32::try_from(excess).ok()?;
        return to_numeric(&Scaled { value, exponent });
    }
    let Wide::Small(mut coefficient) = value.shrunk() else { return None };
    // No exponent above zero as long as the digits allow it.
    while exponent > 0 && coefficient != 0 && coefficient.unsigned_abs() < 10_u128.pow(DIGITS - 1) {
        coefficient *= 10;
        exponent -= 1;
    }
    if coefficient == 0 {
        exponent = 0;
    }
    if exponent > EXPONENT_MAX { None } else { numeric(coefficient, exponent) }
}

/// How many digits a number has.
fn digits(value: &Wide) -> u32 {
    match value {
        Wide::Small(v) => v.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1),
        Wide::Big(v) => u32::try_from(v.magnitude().to_string().len()).unwrap_or(u32::MAX),
    }
}

/// `value / 10^digits`, ties away from zero.
fn tenths(value: &Wide, digits: u32) -> Wide {
    Wide::Big(divide_away(&value.to_big(), &BigInt::from(10).pow(digits))).shrunk()
}

/// The whole number nearest to `numerator / denominator`, ties away from zero.
pub(super) fn divide_away(numerator: &BigInt, denominator: &BigInt) -> BigInt {
    let (n, d) = (numerator.magnitude(), denominator.magnitude());
    let quotient = (n * 2_u8 + d) / (d * 2_u8);
    let sign = if numerator.sign() == denominator.sign() { Sign::Plus } else { Sign::Minus };
    BigInt::from_biguint(sign, quotient)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(n: i128, d: i128) -> f64 {
        to_double(&BigInt::from(n), &BigInt::from(d))
    }

    #[test]
    fn quotients_round_once_to_even() {
        assert_eq!(double(1, 3), 1.0 / 3.0);
        assert_eq!(double(-1, 10), -0.1);
        assert_eq!(double(0, 7), 0.0);
        assert_eq!(double((1 << 53) + 1, 1), 9_007_199_254_740_992.0, "a tie, to even");
        assert_eq!(double((1 << 53) + 3, 1), 9_007_199_254_740_996.0, "a tie, to even");
        assert_eq!(double((1 << 54) + 3, 1), 18_014_398_509_481_988.0);
        let tiny = BigInt::from(1) << 1074;
        assert_eq!(to_double(&BigInt::from(1), &tiny), 5e-324);
        assert_eq!(to_double(&BigInt::from(1), &(&tiny * 2)), 0.0, "a tie, to even");
        assert_eq!(to_double(&BigInt::from(3), &(&tiny * 4)), 5e-324);
        assert_eq!(to_double(&(BigInt::from(1) << 1024), &BigInt::from(1)), f64::INFINITY);
        let almost = (BigInt::from(1) << 1024) - (BigInt::from(1) << 970) - 1;
        assert_eq!(to_double(&almost, &BigInt::from(1)), f64::MAX);
        assert_eq!(to_double(&(almost + 1), &BigInt::from(1)), f64::INFINITY);
    }

    #[test]
    fn averages_of_doubles_round_once() {
        for (value, exponent, count) in [(1, 0, 3), (-7, -3, 10), ((1 << 90) + 1, -60, 7), (0, 5, 3), (5, -1074, 2)] {
            let sum = Scaled { value: Wide::Small(value), exponent };
            let (n, d) = (BigInt::from(value), BigInt::from(count));
            let shift = exponent.unsigned_abs();
            let want = if exponent < 0 { to_double(&n, &(d << shift)) } else { to_double(&(n << shift), &d) };
            assert_eq!(dyadic_over(&sum, count), want, "{value} {exponent} {count}");
        }
    }

    #[test]
    fn roots_round_once() {
        let root = |n: i128, d: i128| to_double_sqrt(&BigInt::from(n), &BigInt::from(d));
        assert_eq!(root(4, 1), 2.0);
        assert_eq!(root(2, 1), 2_f64.sqrt());
        assert_eq!(root(1, 4), 0.5);
        assert_eq!(root(0, 3), 0.0);
        assert_eq!(root(i128::from(u64::MAX), 1), 4_294_967_296.0);
    }

    /// SQL-4.7
    #[test]
    fn numerics_have_34_digits_and_no_needless_ones() {
        let text = |value: i128, exponent| {
            to_numeric(&Scaled { value: Wide::Small(value), exponent }).map(|v| v.to_string()).unwrap_or_default()
        };
        assert_eq!(text(250, -2), "2.5");
        assert_eq!(text(100, 0), "100");
        assert_eq!(text(1, 3), "1000");
        assert_eq!(text(0, 5), "0");
        assert_eq!(text(12_345_678_901_234_567_890_123_456_789_012_345, -1), "1234567890123456789012345678901235");
        assert_eq!(text(-12_345_678_901_234_567_890_123_456_789_012_345, -1), "-1234567890123456789012345678901235");
        assert_eq!(text(9, 6200), "", "too large");
        assert_eq!(text(1, -6177), "0");
    }
}
