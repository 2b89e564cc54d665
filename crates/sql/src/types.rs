//! Static types: what is known of an expression's values before there are any (SQL-4.1, SQL-4.2).

/// A type by its SQL name. Where nothing is known there is no `Type`: `Option::<Type>::None`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// `array`, of elements of a type where that is known (`text[]`).
    Array(Option<Box<Type>>),
    /// `bigint`.
    BigInt,
    /// `boolean`.
    Boolean,
    /// `bson_timestamp`.
    BsonTimestamp,
    /// `bytea`.
    Bytea,
    /// `date`.
    Date,
    /// `document`, `json`, `jsonb`.
    Document,
    /// `double precision`.
    Double,
    /// `integer`.
    Integer,
    /// `interval`.
    Interval,
    /// `numeric`, with precision and scale where a cast says so.
    Numeric(Option<(u32, i32)>),
    /// `objectid`.
    ObjectId,
    /// `text`, with a length where a cast says so (`varchar(10)`).
    Text(Option<u32>),
    /// `time`.
    Time,
    /// `timestamp`.
    Timestamp,
    /// `timestamptz`.
    Timestamptz,
    /// `uuid`.
    Uuid,
}
