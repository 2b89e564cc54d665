//! 128-bit decimal numbers (IEEE 754-2008), exactly as BSON stores them.

mod bid;

use std::cmp::Ordering;
use std::fmt;

use dec::{Context, Decimal128, Rounding};

/// A decimal of up to 34 digits.
#[derive(Clone, Copy)]
pub struct Decimal(Decimal128);

impl Decimal {
    /// Zero with exponent 0.
    #[must_use]
    pub fn zero() -> Self {
        Self::from(0)
    }

    /// From BSON's 16 little-endian bytes.
    #[must_use]
    pub fn from_le_bytes(bytes: [u8; 16]) -> Self {
        Self(bid::decode(bytes))
    }

    /// BSON's 16 little-endian bytes.
    #[must_use]
    pub fn to_le_bytes(self) -> [u8; 16] {
        bid::encode(self.0)
    }

    /// Parses text such as `1.50`, `-2E+3`, `Infinity`, `NaN`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Context::<Decimal128>::default().parse(text).ok().map(Self)
    }

    /// The decimal nearest to a double with 15 significant digits, as MongoDB converts doubles in arithmetic.
    #[must_use]
    pub fn from_f64_15(value: f64) -> Self {
        if !value.is_finite() || value == 0.0 {
            return Self::parse(&spell(value)).unwrap_or(Self::zero());
        }
        Self::parse(&format!("{value:.14e}")).unwrap_or(Self::zero())
    }

    /// The decimal nearest to a double with 34 significant digits.
    #[must_use]
    pub fn from_f64(value: f64) -> Self {
        if !value.is_finite() || value == 0.0 {
            return Self::parse(&spell(value)).unwrap_or(Self::zero());
        }
        Self::parse(&format!("{value:.33e}")).unwrap_or(Self::zero())
    }

    /// The nearest double.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        if self.is_nan() {
            return f64::NAN;
        }
        let text = self.to_string();
        match text.as_str() {
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            digits => digits.parse().unwrap_or(f64::NAN),
        }
    }

    /// The integer that it is, if it is one exactly and fits.
    #[must_use]
    pub fn to_i64_exact(self) -> Option<i64> {
        if !self.is_finite() {
            return None;
        }
        let whole = self.round_to(0, Rounding::Down);
        (whole.compare(self) == Ordering::Equal).then(|| whole.integer_digits()).flatten()
    }

    /// Cut towards zero, if that fits in 64 bits.
    #[must_use]
    pub fn to_i64_truncated(self) -> Option<i64> {
        if !self.is_finite() {
            return None;
        }
        self.round_to(0, Rounding::Down).integer_digits()
    }

    /// Rounded half to even, if that fits in 64 bits.
    #[must_use]
    pub fn to_i64_rounded(self) -> Option<i64> {
        if !self.is_finite() {
            return None;
        }
        self.round_to(0, Rounding::HalfEven).integer_digits()
    }

    fn integer_digits(self) -> Option<i64> {
        if self.is_zero() {
            return Some(0);
        }
        let exponent = u32::try_from(self.0.exponent()).ok()?;
        let scale = 10_i128.checked_pow(exponent)?;
        i64::try_from(self.0.coefficient_signed()?.checked_mul(scale)?).ok()
    }

    /// Rounded to `places` digits after the point (negative: before it), in the given way.
    #[must_use]
    pub fn round_to(self, places: i32, rounding: Rounding) -> Self {
        if !self.is_finite() || -self.0.exponent() <= places {
            return self;
        }
        let mut context = Context::<Decimal128>::default();
        context.set_rounding(rounding);
        let mut unit = Decimal128::from(1);
        context.set_exponent(&mut unit, -places);
        Self(context.quantize(self.0, unit))
    }

    /// Is it 0 or -0?
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Is it not a number?
    #[must_use]
    pub fn is_nan(self) -> bool {
        self.0.is_nan()
    }

    /// Neither NaN nor infinite.
    #[must_use]
    pub fn is_finite(self) -> bool {
        self.0.is_finite()
    }

    /// Is the sign bit set (also for -0)?
    #[must_use]
    pub fn is_signed(self) -> bool {
        self.0.is_signed()
    }

    /// Sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(Context::<Decimal128>::default().add(self.0, other.0))
    }

    /// Difference.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(Context::<Decimal128>::default().sub(self.0, other.0))
    }

    /// Product.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        Self(Context::<Decimal128>::default().mul(self.0, other.0))
    }

    /// Quotient.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        Self(Context::<Decimal128>::default().div(self.0, other.0))
    }

    /// Remainder with the sign of `self`.
    #[must_use]
    pub fn modulo(self, other: Self) -> Self {
        Self(Context::<Decimal128>::default().rem(self.0, other.0))
    }

    /// Magnitude.
    #[must_use]
    pub fn abs(self) -> Self {
        Self(Context::<Decimal128>::default().abs(self.0))
    }

    /// The number with the other sign.
    #[must_use]
    pub fn negate(self) -> Self {
        Self(Context::<Decimal128>::default().minus(self.0))
    }

    /// Numeric order; NaN sorts before every number and equals itself.
    #[must_use]
    pub fn compare(self, other: Self) -> Ordering {
        match (self.is_nan(), other.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => Context::<Decimal128>::default().partial_cmp(self.0, other.0).unwrap_or(Ordering::Equal),
        }
    }

    /// Exact numeric order against a double; NaN sorts before every number.
    #[must_use]
    pub fn compare_f64(self, other: f64) -> Ordering {
        if self.is_nan() || other.is_nan() {
            return self.is_nan().cmp(&other.is_nan()).reverse();
        }
        if other.is_infinite() || !self.is_finite() {
            let endless = |infinite: bool, negative: bool| i8::from(infinite) * if negative { -1 } else { 1 };
            return endless(!self.is_finite(), self.is_signed()).cmp(&endless(other.is_infinite(), other < 0.0));
        }
        let (double, rest) = self.truncate();
        match double.partial_cmp(&other).unwrap_or(Ordering::Equal) {
            Ordering::Equal if !rest => Ordering::Equal,
            Ordering::Equal if self.is_signed() => Ordering::Less,
            Ordering::Equal => Ordering::Greater,
            unequal => unequal,
        }
    }

    /// The double nearest to it that is not further from zero, and whether something was cut off.
    /// Only for finite numbers.
    #[must_use]
    pub fn truncate(self) -> (f64, bool) {
        let mut double = self.to_f64();
        if !double.is_finite() {
            double = f64::MAX.copysign(double);
        }
        let mut order = digits_of(double.abs()).cmp_with(&self.abs().digits());
        while order == Ordering::Greater {
            double = f64::from_bits(double.abs().to_bits().saturating_sub(1)).copysign(double);
            order = digits_of(double.abs()).cmp_with(&self.abs().digits());
        }
        (double, order == Ordering::Less)
    }

    /// Exponent of the first digit and the 34 digits from there, as one number: equal for equal values.
    #[must_use]
    pub fn normalized(self) -> (i32, u128) {
        let digits = self.digits();
        let mut coefficient = 0_u128;
        for at in 0..34 {
            coefficient = coefficient * 10 + u128::from(digits.digits.get(at).copied().unwrap_or(0));
        }
        (digits.exponent, coefficient)
    }

    fn digits(self) -> Digits {
        let mut digits: Vec<u8> = self.0.coefficient_digits().into_iter().skip_while(|&d| d == 0).collect();
        let exponent = self.0.exponent() + i32::try_from(digits.len()).unwrap_or(0) - 1;
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Digits { exponent, digits }
    }
}

/// A positive number as significant digits, the first of which counts `10^exponent`.
struct Digits {
    exponent: i32,
    digits: Vec<u8>,
}

impl Digits {
    fn cmp_with(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

/// The exact decimal expansion of a positive finite double (never more than 767 digits).
fn digits_of(value: f64) -> Digits {
    let text = format!("{value:.767e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mut digits: Vec<u8> =
        mantissa.bytes().filter(u8::is_ascii_digit).map(|d| d - b'0').skip_while(|&d| d == 0).collect();
    while digits.last() == Some(&0) {
        digits.pop();
    }
    Digits { exponent: exponent.parse().unwrap_or(0), digits }
}

fn spell(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value == f64::INFINITY {
        "Infinity".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Infinity".to_owned()
    } else if value.is_sign_negative() {
        "-0".to_owned()
    } else {
        "0".to_owned()
    }
}

impl From<Decimal128> for Decimal {
    fn from(value: Decimal128) -> Self {
        Self(value)
    }
}

/// For arithmetic with a rounding of its own.
impl From<Decimal> for Decimal128 {
    fn from(value: Decimal) -> Self {
        value.0
    }
}

trait SignedCoefficient {
    fn coefficient_signed(&self) -> Option<i128>;
}

impl SignedCoefficient for Decimal128 {
    fn coefficient_signed(&self) -> Option<i128> {
        let mut value = 0_i128;
        for digit in self.coefficient_digits() {
            value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        }
        Some(if self.is_signed() { -value } else { value })
    }
}

impl From<i32> for Decimal {
    fn from(value: i32) -> Self {
        Self(Decimal128::from(value))
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self(Context::<Decimal128>::default().from_i128(i128::from(value)))
    }
}

/// The same bits, not the same number: `1.0` and `1.00` differ.
impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.to_le_bytes() == other.to_le_bytes()
    }
}

/// Scientific notation where the exponent asks for it, as the IEEE standard and the drivers print it.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nan() { f.write_str("NaN") } else { fmt::Display::fmt(&self.0, f) }
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_exactly_with_doubles() {
        let tenth = Decimal::parse("0.1").unwrap();
        assert_eq!(tenth.compare_f64(0.1), Ordering::Less, "the double 0.1 is a little more than a tenth");
        assert_eq!(Decimal::parse("0.5").unwrap().compare_f64(0.5), Ordering::Equal);
        assert_eq!(Decimal::parse("-0.1").unwrap().compare_f64(-0.1), Ordering::Greater);
        assert_eq!(Decimal::parse("1E+400").unwrap().compare_f64(f64::MAX), Ordering::Greater);
        assert_eq!(Decimal::parse("1E+400").unwrap().compare_f64(f64::INFINITY), Ordering::Less);
    }

    #[test]
    fn converts_to_integers() {
        assert_eq!(Decimal::parse("12.00").unwrap().to_i64_exact(), Some(12));
        assert_eq!(Decimal::parse("1.2E+3").unwrap().to_i64_exact(), Some(1200));
        assert_eq!(Decimal::parse("1.5").unwrap().to_i64_exact(), None);
        assert_eq!(Decimal::parse("-1.5").unwrap().to_i64_truncated(), Some(-1));
        assert_eq!(Decimal::parse("9223372036854775808").unwrap().to_i64_exact(), None);
        assert_eq!(Decimal::parse("-9223372036854775808").unwrap().to_i64_exact(), Some(i64::MIN));
        assert_eq!(Decimal::parse("1E+6000").unwrap().to_i64_truncated(), None);
    }

    #[test]
    fn prints_and_parses() {
        for text in ["1.50", "-2E+3", "0E-10", "Infinity", "-Infinity", "NaN", "1234567890123456789012345678901234"] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), text);
        }
    }
}
