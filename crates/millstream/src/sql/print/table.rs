//! Rows for reading.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use super::Cell;
use crate::terminal;

/// One row below the other, and how many there are.
pub(super) fn table(names: &[String], rows: &[Vec<Cell>]) -> String {
    let count = count(rows.len());
    if names.is_empty() {
        return count;
    }
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(names.iter().map(|name| shown(name)));
    for row in rows {
        table.add_row(row.iter().map(text));
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        let mut values = rows.iter().filter_map(|row| row.get(at)).filter(|cell| cell.text.is_some()).peekable();
        if values.peek().is_some() && values.all(|cell| cell.is_number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\n{count}")
}

/// A line for each field.
pub(super) fn expanded(names: &[String], rows: &[Vec<Cell>]) -> String {
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        out.push_str(&record(names, row, number + 1));
    }
    out + &count(rows.len())
}

/// One row of those.
pub(super) fn record(names: &[String], row: &[Cell], number: usize) -> String {
    let width = names.iter().map(|name| shown(name).chars().count()).max().unwrap_or_default();
    let mut out = format!("-[ RECORD {number} ]\n");
    for (name, cell) in names.iter().zip(row) {
        let name = shown(name);
        let _ = writeln!(out, "{name:width$} | {}", text(cell));
    }
    out
}

fn count(rows: usize) -> String {
    if rows == 1 { "(1 row)\n".to_owned() } else { format!("({rows} rows)\n") }
}

pub(super) fn text(cell: &Cell) -> String {
    cell.text.as_deref().map_or_else(|| "NULL".to_owned(), shown)
}

/// The text without anything that a terminal would act on, on one line.
pub(super) fn shown(text: &str) -> String {
    terminal::plain(&text.replace("\r\n", "\n").replace('\n', "⏎"))
}
