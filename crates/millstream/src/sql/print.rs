//! Rows as text.

mod csv;
mod json;
mod live;
mod table;

use bson::RawDocument;
use jiff::tz::TimeZone;
use millstream_flow::Datum;
use millstream_sql::expr;
use millstream_sql::plan::Column;
use millstream_value::Doc;

use super::arguments::Format;

pub(super) use live::Live;

/// How rows are written.
#[derive(Clone, Debug)]
pub(super) struct Style {
    pub(super) format: Format,
    /// A line for each field.
    pub(super) expanded: bool,
    /// In which times are shown.
    pub(super) zone: TimeZone,
}

/// Rows that are all there.
pub(super) fn all<D: AsRef<RawDocument>>(columns: &[Column], rows: &[D], style: &Style) -> String {
    if style.format == Format::Json {
        return rows.iter().map(|row| json::line(row.as_ref())).collect();
    }
    let names = names(columns, rows);
    let rows: Vec<Vec<Cell>> = rows.iter().map(|row| cells(row.as_ref(), &names, &style.zone)).collect();
    match style.format {
        Format::Csv => csv::header(&names) + &rows.iter().map(|row| csv::line(row)).collect::<String>(),
        _ if style.expanded => table::expanded(&names, &rows),
        _ => table::table(&names, &rows),
    }
}

/// One value as text.
#[derive(Clone, Debug, PartialEq)]
struct Cell {
    /// `None` for NULL.
    text: Option<String>,
    is_number: bool,
}

/// The columns' names. Where one stands for all fields of a document, they are the fields that there are, in the order of
/// their first appearance.
fn names<D: AsRef<RawDocument>>(columns: &[Column], rows: &[D]) -> Vec<String> {
    if !columns.is_empty() && columns.iter().all(|column| !column.spread) {
        return columns.iter().map(|column| column.name.clone()).collect();
    }
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        for element in Doc::new(row.as_ref().as_bytes()).elements() {
            if !names.iter().any(|name| name == element.key()) {
                names.push(element.key().to_owned());
            }
        }
    }
    names
}

fn cells(row: &RawDocument, names: &[String], zone: &TimeZone) -> Vec<Cell> {
    let mut cells = vec![Cell { text: None, is_number: false }; names.len()];
    // Rows mostly have the fields in the columns' order.
    let mut next = 0;
    for element in Doc::new(row.as_bytes()).elements() {
        let is = |at: &usize| names.get(*at).is_some_and(|name| name == element.key());
        let Some(at) = Some(next).filter(is).or_else(|| names.iter().position(|name| name == element.key())) else {
            continue;
        };
        next = at + 1;
        let value = Datum::from_value(&element.value());
        let is_number = matches!(value, Datum::Int(_) | Datum::Long(_) | Datum::Double(_) | Datum::Decimal(_));
        if let Some(cell) = cells.get_mut(at) {
            *cell = Cell { text: (!value.is_null()).then(|| expr::to_text(&value, zone)), is_number };
        }
    }
    cells
}

#[cfg(test)]
mod tests;
