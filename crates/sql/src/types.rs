//! Static types: what is known of an expression's values before there are any (SQL-4.1, SQL-4.2).

mod postgres;

use std::fmt;

use millstream_flow::Datum;
use sqlparser::ast::{ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, TimezoneInfo};

use crate::SqlError;
use crate::error::Result;

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

impl Type {
    /// The type that a name in a cast, a column definition or a routine's signature stands for.
    ///
    /// # Errors
    /// 42704: there is no such type; 0A000: a form of it that is not supported.
    pub fn from_ast(data_type: &DataType) -> Result<Self> {
        use DataType as D;
        Ok(match data_type {
            D::Array(ArrayElemTypeDef::None) => Self::Array(None),
            D::Array(
                ArrayElemTypeDef::SquareBracket(element, _)
                | ArrayElemTypeDef::AngleBracket(element)
                | ArrayElemTypeDef::Parenthesis(element)
                | ArrayElemTypeDef::Qualified(element, _),
            ) => match Self::from_ast(element)? {
                // Arrays of several dimensions are arrays of arrays.
                inner @ Self::Array(_) => Self::Array(Some(Box::new(inner))),
                element => Self::Array(Some(Box::new(element))),
            },
            D::BigInt(_) | D::Int8(_) | D::Int64 => Self::BigInt,
            D::Int(_) | D::Integer(_) | D::Int4(_) | D::SmallInt(_) | D::Int2(_) | D::Int16 | D::Int32 => Self::Integer,
            D::Bool | D::Boolean => Self::Boolean,
            D::Bytea => Self::Bytea,
            D::Date => Self::Date,
            D::JSON | D::JSONB => Self::Document,
            D::Double(_) | D::DoublePrecision | D::Float(_) | D::Float4 | D::Float8 | D::Float64 | D::Real => {
                Self::Double
            }
            D::Interval { precision: None, .. } => Self::Interval,
            D::Numeric(size) | D::Decimal(size) | D::Dec(size) => Self::Numeric(numeric_size(size)?),
            D::Text | D::String(_) => Self::Text(None),
            D::Char(length) | D::Character(length) => Self::Text(Some(text_length(length.as_ref())?.unwrap_or(1))),
            D::Varchar(length) | D::CharVarying(length) | D::CharacterVarying(length) => {
                Self::Text(text_length(length.as_ref())?)
            }
            D::Time(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => Self::Time,
            D::Timestamp(digits, zone) if digits.is_none_or(|digits| digits >= 3) => match zone {
                TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => Self::Timestamp,
                TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => Self::Timestamptz,
            },
            D::Timestamp(..) => {
                let error = SqlError::new("0A000", format!("{data_type} is not supported"));
                return Err(error.hint("times have milliseconds; cut them with DATE_TRUNC('second', t)"));
            }
            D::Uuid => Self::Uuid,
            D::Custom(name, modifiers) if modifiers.is_empty() => match system_name(name).as_str() {
                "array" => Self::Array(None),
                "bson_timestamp" => Self::BsonTimestamp,
                "document" => Self::Document,
                "objectid" => Self::ObjectId,
                // PostgreSQL's own names, which its tools write with their schema.
                "bool" | "boolean" => Self::Boolean,
                "bytea" => Self::Bytea,
                "char" | "cstring" | "information_schema.sql_identifier" | "name" | "text" | "varchar" => {
                    Self::Text(None)
                }
                "date" => Self::Date,
                "float4" | "float8" => Self::Double,
                "int2" | "int4" | "integer" => Self::Integer,
                "bigint" | "int8" | "oid" | "xid" => Self::BigInt,
                "interval" => Self::Interval,
                "json" | "jsonb" => Self::Document,
                "numeric" => Self::Numeric(None),
                "timestamp" => Self::Timestamp,
                "timestamptz" => Self::Timestamptz,
                "uuid" => Self::Uuid,
                _ => return Err(no_type(data_type)),
            },
            other => return Err(no_type(other)),
        })
    }

    /// The class of its values (SQL-4.2): what it can be compared and calculated with.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Integer | Self::BigInt | Self::Double | Self::Numeric(_) => Class::Number,
            Self::Text(_) => Class::Text,
            Self::Boolean => Class::Boolean,
            Self::Timestamptz | Self::Timestamp | Self::Date => Class::Time,
            Self::BsonTimestamp => Class::BsonTimestamp,
            Self::ObjectId => Class::ObjectId,
            Self::Uuid | Self::Bytea => Class::Binary,
            Self::Document => Class::Document,
            Self::Array(_) => Class::Array,
            Self::Interval => Class::Interval,
            Self::Time => Class::TimeOfDay,
        }
    }

    /// The type of a value; NULL and what SQL can only hand on have none.
    #[must_use]
    pub fn of(value: &Datum) -> Option<Self> {
        Some(match value {
            Datum::Missing | Datum::Null | Datum::Opaque(_) => return None,
            Datum::Int(_) => Self::Integer,
            Datum::Long(_) => Self::BigInt,
            Datum::Double(_) => Self::Double,
            Datum::Decimal(_) => Self::Numeric(None),
            Datum::Text(_) => Self::Text(None),
            Datum::Document(_) => Self::Document,
            Datum::Array(_) => Self::Array(None),
            Datum::Binary(4, _) => Self::Uuid,
            Datum::Binary(..) => Self::Bytea,
            Datum::ObjectId(_) => Self::ObjectId,
            Datum::Bool(_) => Self::Boolean,
            Datum::Instant(_) => Self::Timestamptz,
            Datum::Timestamp(_) => Self::Timestamp,
            Datum::Date(_) => Self::Date,
            Datum::BsonTimestamp(_) => Self::BsonTimestamp,
            Datum::Interval(_) => Self::Interval,
            Datum::Time(_) => Self::Time,
        })
    }
}

/// Classes of values (SQL-4.2). Values of different classes compare, but are never equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Class {
    Array,
    Binary,
    Boolean,
    BsonTimestamp,
    Document,
    Interval,
    Number,
    ObjectId,
    Text,
    Time,
    TimeOfDay,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Array(Some(element)) => return write!(f, "{element}[]"),
            Self::Numeric(Some((digits, scale))) => return write!(f, "numeric({digits}, {scale})"),
            Self::Text(Some(length)) => return write!(f, "varchar({length})"),
            Self::Array(None) => "array",
            Self::BigInt => "bigint",
            Self::Boolean => "boolean",
            Self::BsonTimestamp => "bson_timestamp",
            Self::Bytea => "bytea",
            Self::Date => "date",
            Self::Document => "document",
            Self::Double => "double precision",
            Self::Integer => "integer",
            Self::Interval => "interval",
            Self::Numeric(None) => "numeric",
            Self::ObjectId => "objectid",
            Self::Text(None) => "text",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::Timestamptz => "timestamptz",
            Self::Uuid => "uuid",
        })
    }
}

/// The name of a type in lower case, without PostgreSQL's own schema and without quotes.
pub(crate) fn system_name(name: &sqlparser::ast::ObjectName) -> String {
    let part = |part: &sqlparser::ast::ObjectNamePart| match part.as_ident() {
        Some(ident) => ident.value.to_ascii_lowercase(),
        None => part.to_string(),
    };
    let parts: Vec<String> = name.0.iter().map(part).collect();
    match parts.as_slice() {
        [schema, name] if schema == "pg_catalog" => name.clone(),
        _ => parts.join("."),
    }
}

fn no_type(data_type: &DataType) -> SqlError {
    SqlError::new("42704", format!("there is no type {data_type}"))
}

fn numeric_size(size: &ExactNumberInfo) -> Result<Option<(u32, i32)>> {
    let (digits, scale) = match size {
        ExactNumberInfo::None => return Ok(None),
        ExactNumberInfo::Precision(digits) => (*digits, 0),
        ExactNumberInfo::PrecisionAndScale(digits, scale) => (*digits, *scale),
    };
    match (u32::try_from(digits), i32::try_from(scale)) {
        (Ok(digits @ 1..=1000), Ok(scale @ -1000..=1000)) => Ok(Some((digits, scale))),
        _ => Err(SqlError::new("22023", format!("numeric({digits}, {scale}) is out of range"))),
    }
}

fn text_length(length: Option<&CharacterLength>) -> Result<Option<u32>> {
    match length {
        Some(CharacterLength::IntegerLength { length, .. }) => match u32::try_from(*length) {
            Ok(0) | Err(_) => Err(SqlError::new("22023", format!("{length} is no length of a text"))),
            Ok(length) => Ok(Some(length)),
        },
        _ => Ok(None),
    }
}
