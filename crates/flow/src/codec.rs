//! Values and rows as compact bytes for the state of operators, and back: every value comes back with its own type.
//!
//! Layout: a value is a tag and its content; whole numbers take as few bytes as they need (seven bits a byte, the sign
//! folded in), and what is long has its length in front. A row is its key and its columns, each with their count in front.

use std::sync::Arc;

use millstream_value::{ClusterTime, Decimal, Value};

use crate::{Datum, Error, Interval, Result, Row};

const MISSING: u8 = 0;
const NULL: u8 = 1;
const INT: u8 = 2;
const LONG: u8 = 3;
const DOUBLE: u8 = 4;
const DECIMAL: u8 = 5;
const TEXT: u8 = 6;
const DOCUMENT: u8 = 7;
const ARRAY: u8 = 8;
const BINARY: u8 = 9;
const OBJECT_ID: u8 = 10;
const FALSE: u8 = 11;
const TRUE: u8 = 12;
const INSTANT: u8 = 13;
const TIMESTAMP: u8 = 14;
const DATE: u8 = 15;
const BSON_TIMESTAMP: u8 = 16;
const INTERVAL: u8 = 17;
const TIME: u8 = 18;
const OPAQUE: u8 = 19;

/// Appends a value.
pub(crate) fn write_datum(value: &Datum, out: &mut Vec<u8>) {
    match value {
        Datum::Missing => out.push(MISSING),
        Datum::Null => out.push(NULL),
        Datum::Int(v) => tagged(INT, i64::from(*v), out),
        Datum::Long(v) => tagged(LONG, *v, out),
        Datum::Double(v) => {
            out.push(DOUBLE);
            out.extend_from_slice(&v.to_bits().to_le_bytes());
        }
        Datum::Decimal(v) => {
            out.push(DECIMAL);
            out.extend_from_slice(&v.to_le_bytes());
        }
        Datum::Text(v) => {
            out.push(TEXT);
            write_bytes(v.as_bytes(), out);
        }
        Datum::Document(v) => {
            out.push(DOCUMENT);
            write_bytes(v, out);
        }
        Datum::Array(values) => {
            out.push(ARRAY);
            write_data(values, out);
        }
        Datum::Binary(subtype, v) => {
            out.extend_from_slice(&[BINARY, *subtype]);
            write_bytes(v, out);
        }
        Datum::ObjectId(v) => {
            out.push(OBJECT_ID);
            out.extend_from_slice(v);
        }
        Datum::Bool(v) => out.push(if *v { TRUE } else { FALSE }),
        Datum::Instant(v) => tagged(INSTANT, *v, out),
        Datum::Timestamp(v) => tagged(TIMESTAMP, *v, out),
        Datum::Date(v) => tagged(DATE, i64::from(*v), out),
        Datum::BsonTimestamp(v) => {
            out.push(BSON_TIMESTAMP);
            out.extend_from_slice(&v.to_be_bytes());
        }
        Datum::Interval(v) => {
            tagged(INTERVAL, i64::from(v.months), out);
            write_i64(i64::from(v.days), out);
            write_i64(v.micros, out);
        }
        Datum::Time(v) => tagged(TIME, *v, out),
        Datum::Opaque(v) => {
            out.extend_from_slice(&[OPAQUE, v.kind()]);
            let mut bytes = Vec::new();
            v.encode(&mut bytes);
            write_bytes(&bytes, out);
        }
    }
}

/// Appends several values, their count in front.
pub(crate) fn write_data(values: &[Datum], out: &mut Vec<u8>) {
    write_len(values.len(), out);
    for value in values {
        write_datum(value, out);
    }
}

/// Appends a row.
pub(crate) fn write_row(row: &Row, out: &mut Vec<u8>) {
    write_data(&row.key, out);
    write_data(&row.values, out);
}

/// The bytes of a row.
pub(crate) fn row_bytes(row: &Row) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    write_row(row, &mut out);
    out
}

/// Appends bytes, their length in front.
pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_len(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends a count.
pub(crate) fn write_len(len: usize, out: &mut Vec<u8>) {
    write_u64(u64::try_from(len).unwrap_or(u64::MAX), out);
}

/// Appends a number without a sign.
pub(crate) fn write_u64(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low & 0x7F);
        }
        out.push(low | 0x80);
    }
}

/// Appends a number with a sign.
pub(crate) fn write_i64(value: i64, out: &mut Vec<u8>) {
    write_u64((value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned(), out);
}

fn tagged(tag: u8, value: i64, out: &mut Vec<u8>) {
    out.push(tag);
    write_i64(value, out);
}

/// Reads what the functions above have written.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// From the first of these bytes.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// So many bytes.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Error::Damaged("a value is cut off"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Error::Damaged("a value is cut off"))
    }

    /// One byte.
    pub(crate) fn byte(&mut self) -> Result<u8> {
        let (&first, rest) = self.rest.split_first().ok_or(Error::Damaged("a value is cut off"))?;
        self.rest = rest;
        Ok(first)
    }

    /// A number without a sign.
    pub(crate) fn u64(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::Damaged("a number is too long"))
    }

    /// A number with a sign.
    pub(crate) fn i64(&mut self) -> Result<i64> {
        let folded = self.u64()?;
        Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    fn i32(&mut self) -> Result<i32> {
        i32::try_from(self.i64()?).map_err(|_| Error::Damaged("a number is too large"))
    }

    /// A count. What is counted takes a byte at least, so damaged bytes cannot ask for endless memory.
    pub(crate) fn len(&mut self) -> Result<usize> {
        let len = usize::try_from(self.u64()?).unwrap_or(usize::MAX);
        if len > self.rest.len() { Err(Error::Damaged("a count is too large")) } else { Ok(len) }
    }

    /// Bytes with their length in front.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.len()?;
        self.take(len)
    }

    fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::Damaged("a text is not UTF-8"))
    }

    /// A value.
    pub(crate) fn datum(&mut self) -> Result<Datum> {
        Ok(match self.byte()? {
            MISSING => Datum::Missing,
            NULL => Datum::Null,
            INT => Datum::Int(self.i32()?),
            LONG => Datum::Long(self.i64()?),
            DOUBLE => Datum::Double(f64::from_bits(u64::from_le_bytes(self.fixed()?))),
            DECIMAL => Datum::Decimal(Decimal::from_le_bytes(self.fixed()?)),
            TEXT => Datum::Text(Arc::from(self.text()?)),
            DOCUMENT => Datum::Document(Arc::from(self.bytes()?)),
            ARRAY => Datum::Array(self.data()?),
            BINARY => {
                let subtype = self.byte()?;
                Datum::Binary(subtype, Arc::from(self.bytes()?))
            }
            OBJECT_ID => Datum::ObjectId(self.fixed()?),
            FALSE => Datum::Bool(false),
            TRUE => Datum::Bool(true),
            INSTANT => Datum::Instant(self.i64()?),
            TIMESTAMP => Datum::Timestamp(self.i64()?),
            DATE => Datum::Date(self.i32()?),
            BSON_TIMESTAMP => Datum::BsonTimestamp(ClusterTime::from_u64(u64::from_be_bytes(self.fixed()?))),
            INTERVAL => Datum::Interval(Interval { months: self.i32()?, days: self.i32()?, micros: self.i64()? }),
            TIME => Datum::Time(self.i64()?),
            OPAQUE => {
                let kind = self.byte()?;
                Datum::Opaque(Arc::new(Value::decode(kind, self.bytes()?).into_owned()))
            }
            _ => return Err(Error::Damaged("a value of an unknown type")),
        })
    }

    /// Several values with their count in front.
    pub(crate) fn data(&mut self) -> Result<Arc<[Datum]>> {
        let len = self.len()?;
        let mut values = Vec::with_capacity(len);
        for _ in 0..len {
            values.push(self.datum()?);
        }
        Ok(values.into())
    }

    /// A row.
    pub(crate) fn row(&mut self) -> Result<Row> {
        Ok(Row { key: self.data()?, values: self.data()? })
    }
}

#[cfg(test)]
mod tests {
    use millstream_value::DocBuf;

    use super::*;

    #[test]
    fn every_value_comes_back_as_it_was() {
        let mut document = DocBuf::new();
        document.push("a", 1).push("b", "x");
        let values = [
            Datum::Missing,
            Datum::Null,
            Datum::Int(i32::MIN),
            Datum::Int(5),
            Datum::Long(i64::MAX),
            Datum::Long(i64::MIN),
            Datum::Long(5),
            Datum::Double(-0.0),
            Datum::Double(f64::NAN),
            Datum::Double(0.1),
            Datum::Decimal(Decimal::parse("2.50").unwrap()),
            Datum::Decimal(Decimal::parse("-Infinity").unwrap()),
            Datum::text("a\0ü"),
            Datum::Document(Arc::from(document.into_bytes())),
            Datum::Array(Arc::from([Datum::Int(1), Datum::Missing, Datum::Array(Arc::from([]))])),
            Datum::Binary(4, Arc::from([1, 2, 3])),
            Datum::ObjectId([7; 12]),
            Datum::Bool(false),
            Datum::Bool(true),
            Datum::Instant(-1),
            Datum::Timestamp(1_757_066_400_000),
            Datum::Date(i32::MIN),
            Datum::BsonTimestamp(ClusterTime::new(7, 9)),
            Datum::Interval(Interval { months: -1, days: i32::MAX, micros: i64::MIN }),
            Datum::Time(86_399_999_999),
            Datum::Opaque(Arc::new(Value::MinKey)),
            Datum::Opaque(Arc::new(Value::Regex("^a".into(), "i".into()))),
            Datum::Opaque(Arc::new(Value::CodeWithScope("f()".into(), vec![5, 0, 0, 0, 0].into()))),
        ];
        let row = Row::new(values.to_vec(), values.to_vec());
        let bytes = row_bytes(&row);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.row().unwrap(), row);
        assert!(reader.rest.is_empty());
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        let bytes = row_bytes(&Row::new(vec![Datum::text("key")], vec![Datum::Int(300), Datum::Array(Arc::from([]))]));
        for len in 0..bytes.len() {
            assert!(Reader::new(&bytes[..len]).row().is_err(), "the first {len} bytes");
        }
        assert!(Reader::new(&[200]).datum().is_err());
        assert!(Reader::new(&[TEXT, 1, 0xFF]).datum().is_err());
    }
}
