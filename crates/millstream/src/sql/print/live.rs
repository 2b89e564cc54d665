//! Rows that come one by one, for as long as somebody looks.

use bson::RawDocument;
use millstream_sql::plan::Column;

use super::super::arguments::Format;
use super::{Cell, Style, cells, csv, json, names, table};

/// Writes each row when it comes.
pub(in super::super) struct Live {
    columns: Vec<Column>,
    style: Style,
    /// What the last row was written under.
    names: Vec<String>,
    widths: Vec<usize>,
    count: usize,
}

impl Live {
    pub(in super::super) fn new(columns: Vec<Column>, style: Style) -> Self {
        Self { columns, style, names: Vec::new(), widths: Vec::new(), count: 0 }
    }

    /// One row, below a heading if its columns are others than the last one's.
    pub(in super::super) fn row(&mut self, row: &RawDocument) -> String {
        self.count += 1;
        if self.style.format == Format::Json {
            return json::line(row);
        }
        let names = names(&self.columns, &[row]);
        let cells = cells(row, &names, &self.style.zone);
        if self.style.format == Format::Table && self.style.expanded {
            return table::record(&names, &cells, self.count);
        }
        let same = names == self.names;
        self.names = names;
        match self.style.format {
            Format::Csv if same => csv::line(&cells),
            Format::Csv => csv::header(&self.names) + &csv::line(&cells),
            _ => self.line(&cells, same),
        }
    }

    /// Columns only grow: nobody knows how wide what is still to come will be.
    fn line(&mut self, cells: &[Cell], same: bool) -> String {
        let headings: Vec<String> = self.names.iter().map(|name| table::shown(name)).collect();
        if !same {
            self.widths = headings.iter().map(|name| name.chars().count()).collect();
        }
        let texts: Vec<String> = cells.iter().map(table::text).collect();
        for (width, text) in self.widths.iter_mut().zip(&texts) {
            *width = (*width).max(text.chars().count());
        }
        let padded = |texts: &[String]| {
            let padded = texts.iter().zip(&self.widths).map(|(text, width)| format!("{text:width$}"));
            format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
        };
        if same {
            return padded(&texts);
        }
        let rule: Vec<String> = self.widths.iter().map(|width| "-".repeat(width + 2)).collect();
        format!("{}|{}|\n{}", padded(&headings), rule.join("|"), padded(&texts))
    }
}
