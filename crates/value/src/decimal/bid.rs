//! BSON's bytes of a decimal: IEEE 754's binary integer encoding. The arithmetic works on the other encoding of the
//! standard (densely packed), so values are converted where they are read and written.

use dec::{Context, Decimal128};

/// The exponent that stands for 10^0.
const BIAS: i32 = 6176;
/// The largest coefficient: 34 nines. Larger ones are not canonical and read as zero.
const COEFFICIENT_MAX: u128 = 9_999_999_999_999_999_999_999_999_999_999_999;
const SIGN: u128 = 1 << 127;
const INFINITY: u128 = 0x78 << 120;
const NAN: u128 = 0x7C << 120;
const SIGNALING: u128 = 0x7E << 120;

/// Reads BSON's little-endian bytes.
pub(super) fn decode(bytes: [u8; 16]) -> Decimal128 {
    let bits = u128::from_le_bytes(bytes);
    let negative = bits & SIGN != 0;
    let magnitude = bits & !SIGN;
    if magnitude & SIGNALING == SIGNALING {
        return special("sNaN", negative);
    }
    if magnitude & NAN == NAN {
        return special("NaN", negative);
    }
    if magnitude & INFINITY == INFINITY {
        return special("Infinity", negative);
    }
    // With both top bits of the exponent set the coefficient would start with 100, which is always too large.
    let (exponent, coefficient) = if (magnitude >> 125) & 3 == 3 {
        ((magnitude >> 111) & 0x3FFF, 0)
    } else {
        ((magnitude >> 113) & 0x3FFF, magnitude & ((1 << 113) - 1))
    };
    let coefficient = if coefficient > COEFFICIENT_MAX { 0 } else { coefficient };
    let exponent = i32::try_from(exponent).unwrap_or(BIAS) - BIAS;
    let mut context = Context::<Decimal128>::default();
    let mut value = context.from_u128(coefficient);
    context.set_exponent(&mut value, exponent);
    // The sign bit alone, so that zero keeps it too: negating would give a plain zero.
    let mut bytes = value.to_be_bytes();
    if let Some(first) = bytes.first_mut().filter(|_| negative) {
        *first |= 0x80;
    }
    Decimal128::from_be_bytes(bytes)
}

fn special(text: &str, negative: bool) -> Decimal128 {
    let sign = if negative { "-" } else { "" };
    Context::<Decimal128>::default().parse(format!("{sign}{text}")).unwrap_or(Decimal128::NAN)
}

/// Writes BSON's little-endian bytes.
pub(super) fn encode(value: Decimal128) -> [u8; 16] {
    let sign = if value.is_signed() { SIGN } else { 0 };
    let magnitude = if value.is_signaling_nan() {
        SIGNALING
    } else if value.is_nan() {
        NAN
    } else if value.is_infinite() {
        INFINITY
    } else {
        let digits = value.coefficient_digits();
        let coefficient = digits.into_iter().fold(0_u128, |sum, digit| sum * 10 + u128::from(digit));
        let exponent = u128::try_from(value.exponent() + BIAS).unwrap_or(0);
        (exponent << 113) | coefficient
    };
    (sign | magnitude).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_bson() {
        for text in [
            "0",
            "-0",
            "0E+10",
            "1",
            "-1",
            "2.5",
            "1.50",
            "-2E+3",
            "123456789.000",
            "Infinity",
            "-Infinity",
            "NaN",
            "9999999999999999999999999999999999",
            "9.999999999999999999999999999999999E+6144",
            "1E-6176",
            "0E-6176",
            "-1234567890123456789012345678901234E-20",
            "0E+6111",
            "1E+6111",
        ] {
            let want: bson::Decimal128 = text.parse().unwrap();
            let value = Context::<Decimal128>::default().parse(text).unwrap();
            assert_eq!(encode(value), want.bytes(), "{text}");
            assert_eq!(encode(decode(want.bytes())), want.bytes(), "{text}");
            assert_eq!(decode(want.bytes()).to_string(), value.to_string(), "{text}");
        }
    }

    #[test]
    fn any_bytes_decode() {
        let mut state = 1_u128;
        for _ in 0..2_000 {
            state = state.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(0x5851_F42D_4C95_7F2D);
            let bytes = (state ^ (state >> 61)).to_le_bytes();
            let once = encode(decode(bytes));
            assert_eq!(encode(decode(once)), once);
        }
    }
}
