//! Whole numbers of any length that are small most of the time.

use std::ops::{AddAssign, Mul};

use num_bigint::BigInt;

use crate::codec::{Reader, write_bytes};
use crate::{Error, Result};

/// A whole number.
#[derive(Clone, Debug)]
pub(super) enum Wide {
    Small(i128),
    Big(BigInt),
}

impl Wide {
    pub(super) const ZERO: Self = Self::Small(0);

    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Small(v) => *v == 0,
            Self::Big(v) => v.magnitude().bits() == 0,
        }
    }

    pub(super) fn to_big(&self) -> BigInt {
        match self {
            Self::Small(v) => BigInt::from(*v),
            Self::Big(v) => v.clone(),
        }
    }

    /// Times `base` to the power of `exponent`.
    pub(super) fn scaled(&self, base: u32, exponent: u32) -> Self {
        if exponent == 0 {
            return self.clone();
        }
        let small = match self {
            Self::Small(v) if base == 2 && exponent < 127 => v.checked_mul(1 << exponent),
            Self::Small(v) => i128::from(base).checked_pow(exponent).and_then(|factor| v.checked_mul(factor)),
            Self::Big(_) => None,
        };
        match small {
            Some(small) => Self::Small(small),
            None if base == 2 => Self::Big(self.to_big() << exponent),
            None => Self::Big(self.to_big() * BigInt::from(base).pow(exponent)),
        }
    }

    /// The same, small if possible.
    pub(super) fn shrunk(self) -> Self {
        match self {
            Self::Big(v) if v.bits() < 127 => i128::try_from(&v).map_or(Self::Big(v), Self::Small),
            other => other,
        }
    }

    /// Appends it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Small(v) => {
                let bytes = v.to_le_bytes();
                let sign_bits = if *v < 0 { v.leading_ones() } else { v.leading_zeros() };
                let needed = usize::try_from((128 - sign_bits) / 8 + 1).unwrap_or(16).min(16);
                write_bytes(bytes.get(..needed).unwrap_or(&bytes), out);
            }
            Self::Big(v) => write_bytes(&v.to_signed_bytes_le(), out),
        }
    }

    /// Reads what [`Wide::write`] has written.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let bytes = reader.bytes()?;
        let Some(last) = bytes.last() else { return Err(Error::Damaged("a number without bytes")) };
        if bytes.len() > 16 {
            return Ok(Self::Big(BigInt::from_signed_bytes_le(bytes)));
        }
        let mut whole = if *last & 0x80 == 0 { [0; 16] } else { [0xFF; 16] };
        whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(Self::Small(i128::from_le_bytes(whole)))
    }
}

impl From<i128> for Wide {
    fn from(value: i128) -> Self {
        Self::Small(value)
    }
}

impl AddAssign<&Wide> for Wide {
    fn add_assign(&mut self, other: &Wide) {
        *self = match (&*self, other) {
            (Self::Small(a), Self::Small(b)) => match a.checked_add(*b) {
                Some(sum) => Self::Small(sum),
                None => Self::Big(BigInt::from(*a) + BigInt::from(*b)),
            },
            (a, b) => Self::Big(a.to_big() + b.to_big()).shrunk(),
        };
    }
}

impl Mul for &Wide {
    type Output = Wide;

    fn mul(self, other: Self) -> Wide {
        match (self, other) {
            (Wide::Small(a), Wide::Small(b)) => match a.checked_mul(*b) {
                Some(product) => Wide::Small(product),
                None => Wide::Big(BigInt::from(*a) * BigInt::from(*b)),
            },
            (a, b) => Wide::Big(a.to_big() * b.to_big()),
        }
    }
}
