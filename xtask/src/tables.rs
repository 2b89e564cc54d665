//! Tables that people extend: rows in order, a row for every feature, a test for every row.
//!
//! A table is marked by a comment on the line before it:
//!
//! ```text
//! // tidy: sorted by name
//! pub(crate) static MODIFIERS: &[Modifier] = &[
//!     add_to_set::ADD_TO_SET,
//!     inc::INC,
//! ];
//! ```
//!
//! Its rows are ordered by the name that the protocol has for them, byte by byte, because they are searched by halves:
//! the first string in the row, or in the constant that the row names; where there is neither, the constant's own name.
//! `sorted by number` goes by the first number instead. Every `const` or `static` of the row's type in the files beside the table is
//! a row of it, and the protocol's name in it occurs in a test: below the code, in `tests/`, in a text session
//! or in a recorded case.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sources;

const MARK_BY_NAME: &str = "// tidy: sorted by name";
const MARK_BY_NUMBER: &str = "// tidy: sorted by number";

/// Everything that is wrong with tables.
pub(crate) fn problems(root: &Path, files: &[PathBuf]) -> Vec<String> {
    let mut problems = Vec::new();
    let tests = tests(root, files);
    for file in files.iter().filter(|file| !file.starts_with("xtask")) {
        let text = fs::read_to_string(root.join(file)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let mark = line.trim();
            let place = format!("{}:{}", file.display(), at + 1);
            if !matches!(mark, MARK_BY_NAME | MARK_BY_NUMBER) {
                if mark.starts_with("// tidy:") {
                    problems.push(format!("{place}: `{mark}` is none of `{MARK_BY_NAME}`, `{MARK_BY_NUMBER}`"));
                }
                continue;
            }
            let table = Table::read(lines.get(at + 1..).unwrap_or_default());
            let beside = files.iter().filter(|other| is_beside(file, other));
            let features: Vec<Feature> = beside.flat_map(|path| Feature::all(root, path, &table.row_type)).collect();
            let key = |row: &str| if mark == MARK_BY_NAME { by_name(row, &features) } else { by_number(row) };
            if let Some((before, after)) = unsorted(&table.rows, key) {
                problems.push(format!("{place}: `{after}` stands after `{before}`; rows are sorted"));
            }
            for feature in &features {
                problems.extend(feature.problems(&table, &place, &tests));
            }
        }
    }
    problems
}

struct Table {
    /// `Modifier` of `&[Modifier]`.
    row_type: String,
    rows: Vec<String>,
}

impl Table {
    /// Reads the declaration that these lines begin with.
    fn read(lines: &[&str]) -> Self {
        let mut text = String::new();
        for line in lines {
            let code = line.split("//").next().unwrap_or_default();
            text.push_str(code);
            text.push(' ');
            if code.trim_end().ends_with(';') {
                break;
            }
        }
        let (declaration, body) = text.split_once('=').unwrap_or((&text, ""));
        let row_type = declaration.rsplit('[').next().unwrap_or_default();
        let row_type = row_type.split([']', ';', '<']).next().unwrap_or_default();
        let row_type = row_type.trim_start_matches('&').trim();
        let body = body.trim().trim_start_matches('&').trim();
        Self { row_type: row_type.to_owned(), rows: split(body.strip_prefix('[').unwrap_or(body)) }
    }
}

/// The rows of a table's body, up to the bracket that closes it.
fn split(body: &str) -> Vec<String> {
    let mut rows = Vec::new();
    let mut row = String::new();
    let mut depth = 0_usize;
    let mut in_string = false;
    for c in body.chars() {
        match c {
            '"' => in_string = !in_string,
            _ if in_string => {}
            '(' | '{' | '[' => depth += 1,
            ']' if depth == 0 => break,
            ')' | '}' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                rows.push(std::mem::take(&mut row).trim().to_owned());
                continue;
            }
            _ => {}
        }
        row.push(c);
    }
    rows.push(row.trim().to_owned());
    rows.retain(|row| !row.is_empty());
    rows
}

/// The first two neighbours in the wrong order.
fn unsorted(rows: &[String], key: impl Fn(&str) -> String) -> Option<(String, String)> {
    let pair = rows.windows(2).find(|pair| match pair {
        [before, after] => key(before) > key(after),
        _ => false,
    })?;
    match pair {
        [before, after] => Some((before.clone(), after.clone())),
        _ => None,
    }
}

/// The name in `("getLog", …)`, or that of the constant in `&math::GET_LOG`.
fn by_name(row: &str, features: &[Feature]) -> String {
    if let Some(name) = row.split('"').nth(1) {
        return name.to_owned();
    }
    let mut path = row.trim_start_matches('&').rsplit("::");
    let (constant, module) = (path.next().unwrap_or(row), path.next());
    let is_named = |feature: &&Feature| feature.constant == constant && feature.name.is_some();
    // Modules may be imported under another name, and two may have a constant of the same name.
    let in_module =
        |feature: &&Feature| Path::new(&feature.path).file_stem().is_some_and(|s| Some(s) == module.map(str::as_ref));
    let mut named = features.iter().filter(is_named);
    let feature = named.clone().find(in_module).or_else(|| named.next());
    feature.and_then(|feature| feature.name.clone()).unwrap_or_else(|| constant.to_owned())
}

/// The first number, in digits that sort as text.
fn by_number(row: &str) -> String {
    let start = row.find(|c: char| c.is_ascii_digit()).unwrap_or(row.len());
    let digits = row.get(start..).unwrap_or_default();
    let digits = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    format!("{digits:0>20}")
}

/// Whether a file can hold features of a table: in the folder of the table's module, or beside the
/// table if that has no folder of its own.
fn is_beside(table: &Path, other: &Path) -> bool {
    let folder = table.parent().unwrap_or(Path::new(""));
    let module = table.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    match module {
        "lib" | "main" | "mod" | "table" => other.starts_with(folder),
        module => other == table || other.starts_with(folder.join(module)),
    }
}

/// A constant that ought to be a row.
struct Feature {
    path: String,
    constant: String,
    /// What the protocol calls it, if the constant says so.
    name: Option<String>,
}

impl Feature {
    /// Every `const` and `static` of a type in a file.
    fn all(root: &Path, path: &Path, row_type: &str) -> Vec<Self> {
        let text = fs::read_to_string(root.join(path)).unwrap_or_default();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let mut features = Vec::new();
        for (at, _) in code.match_indices(&format!(": {row_type} =")) {
            let before = code.get(..at).unwrap_or_default();
            let Some((declaration, constant)) = before.rsplit_once(' ') else {
                continue;
            };
            let is_row = declaration.ends_with("const") || declaration.ends_with("static");
            // Defaults that rows are made from have no name of their own to test.
            if is_row && constant != "DEFAULT" && declaration.contains("pub") {
                let value = code.get(at..).unwrap_or_default().split("\n\n").next();
                features.push(Self {
                    path: path.display().to_string(),
                    constant: constant.to_owned(),
                    name: value.and_then(|value| name_in(value, code)).map(str::to_owned),
                });
            }
        }
        features
    }

    fn problems(&self, table: &Table, place: &str, tests: &str) -> Vec<String> {
        let Self { path, constant, name } = self;
        let is_row = |row: &String| {
            let mut words = row.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            words.any(|word| word == constant)
        };
        let mut problems = Vec::new();
        if !table.rows.iter().any(is_row) {
            problems.push(format!("{path}: {constant} has no row in the table of {place}"));
        }
        if let Some(name) = name.as_ref().filter(|name| !is_tested(name, tests)) {
            problems.push(format!("{path}: nothing tests {name}"));
        }
        problems
    }
}

/// The first string in a constant's value, or that of the constant `NAME` where the value refers to it.
fn name_in<'a>(value: &'a str, code: &'a str) -> Option<&'a str> {
    let named = code.split_once("const NAME: &str =").filter(|_| value.contains("name: NAME"));
    named.map_or(value, |(_, after)| after).split('"').nth(1)
}

fn is_tested(name: &str, tests: &str) -> bool {
    tests.match_indices(name).any(|(at, _)| {
        let before = tests.get(..at).and_then(|text| text.chars().next_back());
        let after = tests.get(at + name.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

/// Everything that tests say, as one text.
fn tests(root: &Path, files: &[PathBuf]) -> String {
    let recorded = fs::read_dir(root.join("conformance/vectors")).into_iter().flatten().flatten();
    let recorded =
        recorded.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|found| found == "json"));
    let recorded = recorded.map(|file| fs::read_to_string(file).unwrap_or_default());
    let written = sources::tests(root, files).into_iter().chain(sources::sessions(root));
    let all: Vec<String> = written.map(|(_, text)| text).chain(recorded).collect();
    all.join("\n")
}

#[cfg(test)]
mod unit {
    use super::*;

    fn read(text: &str) -> Table {
        Table::read(&text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn rows_are_split_at_their_commas() {
        let table = read(
            "pub static T: &[&Row] = &[\n    a::A, // why\n    Row { name: \"b, c\", f: g(1, 2) },\n    d::D,\n];\nfn other() {}",
        );
        assert_eq!(table.rows, ["a::A", "Row { name: \"b, c\", f: g(1, 2) }", "d::D"]);
        assert_eq!(table.row_type, "Row");
    }

    fn feature(path: &str, constant: &str, name: &str) -> Feature {
        Feature { path: path.to_owned(), constant: constant.to_owned(), name: Some(name.to_owned()) }
    }

    #[test]
    fn rows_have_the_name_that_the_protocol_has_for_them() {
        let features = [
            feature("e/other.rs", "LEN", "$len"),
            feature("e/string.rs", "LEN", "$strLen"),
            feature("e/math.rs", "ADD", "$add"),
        ];
        assert_eq!(by_name("&string::LEN", &features), "$strLen");
        assert_eq!(by_name("&arithmetic::ADD", &features), "$add");
        assert_eq!(by_name("later::stage(\"$out\")", &features), "$out");
        assert_eq!(by_name("x::NAMELESS", &features), "NAMELESS");
    }

    #[test]
    fn the_first_wrong_order_is_named() {
        let key = |row: &str| by_name(row, &[]);
        let rows = ["&a::A", "&b::C", "&a::B"].map(str::to_owned);
        assert_eq!(unsorted(&rows, key), Some(("&b::C".to_owned(), "&a::B".to_owned())));
        let by_text = ["(\"$add\", z)", "(\"$sub\", a)"].map(str::to_owned);
        assert_eq!(unsorted(&by_text, key), None);
        let numbers = ["(9, \"z\")", "(10, \"a\")"].map(str::to_owned);
        assert_eq!(unsorted(&numbers, by_number), None);
        assert!(unsorted(&numbers, key).is_some());
    }

    #[test]
    fn a_feature_needs_a_row_and_a_test() {
        let feature = feature("inc.rs", "INC", "$inc");
        let table = read("static T: &[M] = &[inc::INC, x::INCREMENT];");
        assert!(feature.problems(&table, "here", "{$inc: {n: 1}}").is_empty());
        assert_eq!(feature.problems(&table, "here", "$increase").len(), 1);
        let other = read("static T: &[M] = &[x::INCREMENT];");
        assert_eq!(feature.problems(&other, "here", "$inc").len(), 1);
    }
}
