//! Exact numbers: whole numbers times a power of two or ten, and sums of both. No addition ever rounds.

use millstream_value::Decimal;
use num_bigint::BigInt;

use super::wide::Wide;
use crate::codec::{Reader, write_i64};
use crate::{Datum, Error, Result};

/// `value * BASE^exponent`.
#[derive(Clone, Debug)]
pub(super) struct Scaled<const BASE: u32> {
    pub(super) value: Wide,
    pub(super) exponent: i32,
}

impl<const BASE: u32> Scaled<BASE> {
    pub(super) const ZERO: Self = Self { value: Wide::ZERO, exponent: 0 };

    fn add(&mut self, other: &Self) {
        if other.value.is_zero() {
            return;
        }
        if self.value.is_zero() {
            self.clone_from(other);
            return;
        }
        let above = other.exponent - self.exponent;
        if above == 0 {
            self.value += &other.value;
        } else if above > 0 {
            self.value += &other.value.scaled(BASE, above.unsigned_abs());
        } else {
            self.value = self.value.scaled(BASE, above.unsigned_abs());
            self.exponent = other.exponent;
            self.value += &other.value;
        }
    }

    fn times(&self, other: &Self) -> Self {
        Self { value: &self.value * &other.value, exponent: self.exponent + other.exponent }
    }

    /// The same number with the smallest value, as far as that is cheap to find: sums stay short when what was long has gone.
    pub(super) fn trimmed(&self) -> Self {
        if self.value.is_zero() {
            return Self::ZERO;
        }
        let Self { mut value, mut exponent } = self.clone();
        if BASE == 2 {
            let zeros = match &value {
                Wide::Small(v) => v.trailing_zeros(),
                Wide::Big(v) => v.trailing_zeros().and_then(|zeros| u32::try_from(zeros).ok()).unwrap_or(0),
            };
            value = match value {
                Wide::Small(v) => Wide::Small(v >> zeros),
                Wide::Big(v) => Wide::Big(v >> zeros).shrunk(),
            };
            exponent += zeros.cast_signed();
            return Self { value, exponent };
        }
        while exponent < 0 {
            let tenth = match &value {
                Wide::Small(v) => (v % 10 == 0).then(|| Wide::Small(v / 10)),
                Wide::Big(v) => {
                    let tenth = v / 10;
                    (&tenth * 10 == *v).then(|| Wide::Big(tenth).shrunk())
                }
            };
            let Some(tenth) = tenth else { break };
            value = tenth;
            exponent += 1;
        }
        Self { value, exponent }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Self { value, exponent } = self.trimmed();
        write_i64(i64::from(exponent), out);
        value.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let exponent = i32::try_from(reader.i64()?).map_err(|_| Error::Damaged("an exponent is too large"))?;
        Ok(Self { value: Wide::read(reader)?, exponent })
    }
}

/// A finite number of a row.
#[derive(Clone, Debug)]
pub(super) enum Number {
    /// An integer or a numeric.
    Decimal(Scaled<10>),
    /// A double.
    Dyadic(Scaled<2>),
}

impl Number {
    /// The number that a value is; `None` if it is none or not finite.
    pub(super) fn of(value: &Datum) -> Option<Self> {
        let whole = |value: i64| Self::Decimal(Scaled { value: Wide::Small(i128::from(value)), exponent: 0 });
        match value {
            Datum::Int(v) => Some(whole(i64::from(*v))),
            Datum::Long(v) => Some(whole(*v)),
            Datum::Decimal(v) => {
                let (value, exponent) = parts(*v)?;
                Some(Self::Decimal(Scaled { value: Wide::Small(value), exponent }))
            }
            Datum::Double(v) if v.is_finite() => {
                let (value, exponent) = double_parts(*v);
                Some(Self::Dyadic(Scaled { value: Wide::Small(i128::from(value)), exponent }))
            }
            _ => None,
        }
    }

    pub(super) fn times(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Dyadic(a), Self::Dyadic(b)) => Self::Dyadic(a.times(b)),
            (a, b) => Self::Decimal(a.to_decimal().times(&b.to_decimal())),
        }
    }

    /// So many of it.
    pub(super) fn by(&self, count: i64) -> Self {
        let count = Wide::Small(i128::from(count));
        match self {
            Self::Decimal(v) => Self::Decimal(Scaled { value: &v.value * &count, exponent: v.exponent }),
            Self::Dyadic(v) => Self::Dyadic(Scaled { value: &v.value * &count, exponent: v.exponent }),
        }
    }

    /// Every double is a decimal of finite length: `m / 2^n` is `m * 5^n / 10^n`.
    fn to_decimal(&self) -> Scaled<10> {
        match self {
            Self::Decimal(v) => v.clone(),
            Self::Dyadic(v) if v.exponent >= 0 => {
                Scaled { value: v.value.scaled(2, v.exponent.unsigned_abs()), exponent: 0 }
            }
            Self::Dyadic(v) => Scaled { value: v.value.scaled(5, v.exponent.unsigned_abs()), exponent: v.exponent },
        }
    }
}

/// An exact sum.
#[derive(Clone, Debug)]
pub(super) struct Exact {
    pub(super) decimal: Scaled<10>,
    pub(super) dyadic: Scaled<2>,
}

impl Exact {
    pub(super) const ZERO: Self = Self { decimal: Scaled::ZERO, dyadic: Scaled::ZERO };

    pub(super) fn add(&mut self, number: &Number) {
        match number {
            Number::Decimal(v) => self.decimal.add(v),
            Number::Dyadic(v) => self.dyadic.add(v),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.decimal.add(&other.decimal);
        self.dyadic.add(&other.dyadic);
    }

    /// Numerator and positive denominator.
    pub(super) fn ratio(&self) -> (BigInt, BigInt) {
        let (tens, twos) = (self.decimal.exponent, self.dyadic.exponent);
        let above = |exponent: i32| u32::try_from(exponent).unwrap_or(0);
        let below = |exponent: i32| u32::try_from(-exponent).unwrap_or(0);
        let over_ten = BigInt::from(10).pow(below(tens));
        let decimal = (self.decimal.value.to_big() * BigInt::from(10).pow(above(tens))) << below(twos);
        let dyadic = (self.dyadic.value.to_big() << above(twos)) * &over_ten;
        (decimal + dyadic, over_ten << below(twos))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.decimal.write(out);
        self.dyadic.write(out);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { decimal: Scaled::read(reader)?, dyadic: Scaled::read(reader)? })
    }
}

const BIAS: i32 = 6176;

/// Coefficient and exponent of a finite numeric.
pub(super) fn parts(value: Decimal) -> Option<(i128, i32)> {
    if !value.is_finite() {
        return None;
    }
    // BSON's bytes: the sign, 14 bits of exponent, 113 bits of coefficient. What is not canonical never comes out of `Decimal`.
    let bits = u128::from_le_bytes(value.to_le_bytes());
    let coefficient = i128::try_from(bits & ((1 << 113) - 1)).ok()?;
    let exponent = i32::try_from((bits >> 113) & 0x3FFF).ok()? - BIAS;
    Some((if value.is_signed() { -coefficient } else { coefficient }, exponent))
}

/// The numeric of a coefficient of at most 34 digits and an exponent.
pub(super) fn numeric(coefficient: i128, exponent: i32) -> Option<Decimal> {
    let biased = u128::try_from(exponent + BIAS).ok().filter(|biased| *biased < 3 << 12)?;
    let sign = if coefficient < 0 { 1 << 127 } else { 0 };
    Some(Decimal::from_le_bytes((sign | (biased << 113) | coefficient.unsigned_abs()).to_le_bytes()))
}

/// How many digits a numeric is stored with.
pub(super) fn digits(value: Decimal) -> u32 {
    parts(value).and_then(|(coefficient, _)| coefficient.unsigned_abs().checked_ilog10()).map_or(1, |log| log + 1)
}

/// A finite double as a whole number times a power of two.
fn double_parts(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let exponent = i32::try_from((bits >> 52) & 0x7FF).unwrap_or(0);
    let fraction = (bits & ((1 << 52) - 1)).cast_signed();
    let (magnitude, exponent) = if exponent == 0 { (fraction, -1074) } else { (fraction | (1 << 52), exponent - 1075) };
    (if value.is_sign_negative() { -magnitude } else { magnitude }, exponent)
}
