//! Rows in every form.

use bson::{RawDocumentBuf, doc, rawdoc};

use super::*;

fn columns(names: &[&str]) -> Vec<Column> {
    names.iter().map(|name| Column { name: (*name).to_owned(), kind: None, spread: *name == "*" }).collect()
}

fn style(format: Format, expanded: bool) -> Style {
    Style { format, expanded, zone: TimeZone::UTC }
}

fn rows() -> Vec<RawDocumentBuf> {
    vec![
        rawdoc! {"a": 1, "b": "x, \"y\"\nz", "c": {"d": [1, 2.5]}},
        rawdoc! {"a": 20_i64, "b": "", "c": bson::DateTime::from_millis(1_757_066_400_250)},
        rawdoc! {"a": null, "b": "\u{1b}[31m"},
    ]
}

#[test]
fn tables_align_numbers_and_show_null() {
    let shown = all(&columns(&["a", "b", "c"]), &rows(), &style(Format::Table, false));
    let expected = r#"
|    a | b        | c                         |
|------|----------|---------------------------|
|    1 | x, "y"⏎z | {"d": [1, 2.5]}           |
|   20 |          | 2025-09-05 10:00:00.25+00 |
| NULL | �[31m    | NULL                      |
(3 rows)
"#;
    assert_eq!(shown, expected.trim_start());
}

#[test]
fn records_have_a_line_for_each_field() {
    let shown = all(&columns(&["a", "long"]), &[rawdoc! {"a": 1, "long": true}], &style(Format::Table, true));
    assert_eq!(shown, "-[ RECORD 1 ]\na    | 1\nlong | true\n(1 row)\n");
}

#[test]
fn csv_is_quoted_where_it_must_be() {
    let shown = all(&columns(&["a", "b"]), &rows(), &style(Format::Csv, false));
    assert_eq!(shown, "a,b\r\n1,\"x, \"\"y\"\"\nz\"\r\n20,\"\"\r\n,\u{1b}[31m\r\n");
}

#[test]
fn json_is_one_document_a_line() {
    let row = rawdoc! {"a": 5_i64, "t": bson::DateTime::from_millis(0)};
    let shown = all(&columns(&["a", "t"]), &[row], &style(Format::Json, false));
    assert_eq!(shown, "{\"a\":5,\"t\":{\"$date\":\"1970-01-01T00:00:00Z\"}}\n");
}

#[test]
fn a_star_is_every_field_there_is() {
    let rows = [rawdoc! {"a": 1}, rawdoc! {"b": 2, "a": 3}];
    let shown = all(&columns(&["*"]), &rows, &style(Format::Csv, false));
    assert_eq!(shown, "a,b\r\n1,\r\n3,2\r\n");
    assert_eq!(all(&columns(&["*"]), &[] as &[RawDocumentBuf], &style(Format::Table, false)), "(0 rows)\n");
}

#[test]
fn rows_that_come_one_by_one_get_a_new_heading_when_they_need_one() {
    let mut live = Live::new(columns(&["*"]), style(Format::Table, false));
    let shown: String = [doc! {"a": 1}, doc! {"a": "long"}, doc! {"a": 2, "b": 3}]
        .iter()
        .map(|row| live.row(&RawDocumentBuf::try_from(row).unwrap()))
        .collect();
    assert_eq!(shown, "| a |\n|---|\n| 1 |\n| long |\n| a | b |\n|---|---|\n| 2 | 3 |\n");
}
