//! Cluster times: the one total order of all changes.

use std::fmt;

/// A point in the order of changes: BSON `Timestamp(seconds, increment)`.
///
/// `seconds` are unix seconds of the hybrid clock, `increment` counts changes within a second from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterTime {
    /// Unix seconds.
    pub seconds: u32,
    /// Position within the second.
    pub increment: u32,
}

impl ClusterTime {
    /// Before every change.
    pub const ZERO: Self = Self::new(0, 0);
    /// After every change.
    pub const MAX: Self = Self::new(u32::MAX, u32::MAX);

    /// `Timestamp(seconds, increment)`.
    #[must_use]
    pub const fn new(seconds: u32, increment: u32) -> Self {
        Self { seconds, increment }
    }

    /// The eight bytes of a BSON timestamp as one number; numeric order is time order.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        ((self.seconds as u64) << 32) | self.increment as u64
    }

    /// The reverse of [`ClusterTime::to_u64`].
    #[must_use]
    pub const fn from_u64(bits: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = bits.to_be_bytes();
        Self::new(u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
    }

    /// Eight bytes whose order is the order of time.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 8] {
        self.to_u64().to_be_bytes()
    }

    /// The time right after this one: the smallest that is greater.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::from_u64(self.to_u64().saturating_add(1))
    }
}

impl fmt::Display for ClusterTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({}, {})", self.seconds, self.increment)
    }
}
