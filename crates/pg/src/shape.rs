//! The columns of an answer as the protocol has them.

use bson::RawDocumentBuf;
use bytes::{BufMut, BytesMut};
use jiff::tz::TimeZone;
use millstream_flow::Datum;
use millstream_sql::plan::Column;
use millstream_sql::{SqlError, Type};
use millstream_value::Doc;
use pgwire::messages::data::{DataRow, FieldDescription, RowDescription};

use crate::encode::encode;
use crate::types;

/// More columns a row cannot have.
const FIELDS_MAX: usize = 1_600;

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Option<Type>,
    /// PostgreSQL's number of the type.
    pub(crate) number: u32,
    /// Whether its values are sent in their binary form.
    pub(crate) binary: bool,
}

impl Field {
    fn new(name: &str, kind: Option<Type>) -> Self {
        let number = Type::postgres_number(kind.as_ref());
        Self { name: name.to_owned(), kind, number, binary: false }
    }
}

/// Whether the rows decide which columns there are: one stands for all fields of a document.
pub(crate) fn is_open(columns: &[Column]) -> bool {
    columns.iter().any(|column| column.spread)
}

/// The columns of an answer that are known beforehand.
pub(crate) fn known(columns: &[Column]) -> Result<Vec<Field>, SqlError> {
    limited(columns.iter().map(|column| Field::new(&column.name, column.kind.clone())).collect())
}

/// The columns that rows have, where one of them stands for all fields: those of the documents, in the order of their
/// first appearance.
pub(crate) fn found(columns: &[Column], rows: &[RawDocumentBuf]) -> Result<Vec<Field>, SqlError> {
    if !is_open(columns) {
        return known(columns);
    }
    let mut fields: Vec<Field> = Vec::new();
    for row in rows {
        for element in Doc::new(row.as_bytes()).elements() {
            if !fields.iter().any(|field| field.name == element.key()) {
                let column = columns.iter().find(|column| !column.spread && column.name == element.key());
                fields.push(Field::new(element.key(), column.and_then(|column| column.kind.clone())));
            }
        }
    }
    limited(fields)
}

fn limited(fields: Vec<Field>) -> Result<Vec<Field>, SqlError> {
    if fields.len() > FIELDS_MAX {
        return Err(SqlError::new("54011", format!("an answer has {FIELDS_MAX} columns at most"))
            .hint("list the columns instead of *"));
    }
    Ok(fields)
}

/// The columns in the forms that a client asks for: none, one for all, or one for each (text is 0, binary 1).
pub(crate) fn in_forms(mut fields: Vec<Field>, forms: &[i16]) -> Result<Vec<Field>, SqlError> {
    if forms.len() > 1 && forms.len() != fields.len() {
        let message = format!("there are {} columns, but {} forms", fields.len(), forms.len());
        return Err(SqlError::new("08P01", message));
    }
    for (at, field) in fields.iter_mut().enumerate() {
        field.binary = match forms.get(at).or(forms.first().filter(|_| forms.len() == 1)) {
            None | Some(0) => false,
            Some(1) => true,
            Some(_) => return Err(SqlError::new("08P01", "a form is text (0) or binary (1)")),
        };
    }
    Ok(fields)
}

/// What a client is told of the columns.
pub(crate) fn description(fields: &[Field]) -> RowDescription {
    let field = |field: &Field| {
        // A name of the protocol ends with its first zero byte.
        let name = field.name.replace('\0', "\u{fffd}");
        let modifier = Type::postgres_modifier(field.kind.as_ref());
        FieldDescription::new(name, 0, 0, field.number, types::size(field.number), modifier, i16::from(field.binary))
    };
    RowDescription::new(fields.iter().map(field).collect())
}

/// A row.
pub(crate) fn row(fields: &[Field], row: &RawDocumentBuf, zone: &TimeZone) -> Result<DataRow, SqlError> {
    let mut values = vec![Datum::Null; fields.len()];
    // Rows mostly have the fields in the columns' order.
    let mut next = 0;
    for element in Doc::new(row.as_bytes()).elements() {
        let is = |at: &usize| fields.get(*at).is_some_and(|field| field.name == element.key());
        let at = Some(next).filter(is).or_else(|| fields.iter().position(|field| field.name == element.key()));
        if let Some(at) = at {
            next = at + 1;
            if let Some(value) = values.get_mut(at) {
                *value = Datum::from_value(&element.value());
            }
        }
    }
    let mut data = BytesMut::new();
    for (field, value) in fields.iter().zip(values) {
        if value.is_null() {
            data.put_i32(-1);
            continue;
        }
        let bytes = encode(value, field, zone)?;
        let length = i32::try_from(bytes.len()).map_err(|_| SqlError::new("54000", "a value is too long"))?;
        data.put_i32(length);
        data.put_slice(&bytes);
    }
    let count = i16::try_from(fields.len()).map_err(|_| SqlError::new("54011", "too many columns"))?;
    Ok(DataRow::new(data, count))
}
