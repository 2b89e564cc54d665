//! PostgreSQL's numbers of the types (SQL-4.2): what its catalogue and its protocol call them.

use crate::Type;

impl Type {
    /// The number of a column's type. What has no static type is jsonb (SQL-1.6).
    #[must_use]
    pub fn postgres_number(kind: Option<&Self>) -> u32 {
        match kind {
            Some(Self::Boolean) => 16,
            Some(Self::Bytea) => 17,
            Some(Self::BigInt) => 20,
            Some(Self::Integer) => 23,
            Some(Self::BsonTimestamp | Self::ObjectId | Self::Text(None)) => 25,
            Some(Self::Double) => 701,
            Some(Self::Text(Some(_))) => 1043,
            Some(Self::Date) => 1082,
            Some(Self::Time) => 1083,
            Some(Self::Timestamp) => 1114,
            Some(Self::Timestamptz) => 1184,
            Some(Self::Interval) => 1186,
            Some(Self::Numeric(_)) => 1700,
            Some(Self::Uuid) => 2950,
            None | Some(Self::Array(_) | Self::Document) => 3802,
        }
    }

    /// What else a type says, in PostgreSQL's way: a length, digits; -1: nothing.
    #[must_use]
    pub fn postgres_modifier(kind: Option<&Self>) -> i32 {
        match kind {
            Some(Self::Text(Some(length))) => i32::try_from(*length).map_or(-1, |length| length.saturating_add(4)),
            Some(Self::Numeric(Some((digits, scale)))) => {
                i32::try_from(*digits).map_or(-1, |digits| ((digits << 16) | (scale & 0xffff)).saturating_add(4))
            }
            _ => -1,
        }
    }
}
