//! Tables that people extend: sorted rows, and a row and a test for every file.
//!
//! A table is marked by a comment on the line before it:
//!
//! ```text
//! // tidy: sorted
//! pub(crate) static MODIFIERS: &[Modifier] = &[
//!     add_to_set::ADD_TO_SET,
//!     inc::INC,
//! ];
//! ```
//!
//! Its rows are in the order of their text. If the module declares files (`mod inc;`) beside the table,
//! then each of them that rows can come from is named by a row, and has a test: one of its own, or
//! one in the module's `tests.rs`, or its name in a text session.

use std::fs;
use std::path::{Path, PathBuf};

const MARK: &str = "// tidy: sorted";

/// Everything that is wrong with tables.
pub(crate) fn problems(root: &Path, files: &[PathBuf]) -> Vec<String> {
    let mut problems = Vec::new();
    let sessions = sessions(root);
    for file in files.iter().filter(|file| !file.starts_with("xtask")) {
        let text = fs::read_to_string(root.join(file)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let mut rows = Vec::new();
        for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.trim() == MARK) {
            let table = rows_after(lines.get(at + 1..).unwrap_or_default());
            if let Some((before, after)) = unsorted(&table) {
                problems.push(format!(
                    "{}:{}: `{after}` stands after `{before}`; rows are sorted",
                    file.display(),
                    at + 1
                ));
            }
            rows.extend(table);
        }
        if !rows.is_empty() {
            problems.extend(missing(root, file, &lines, &rows, &sessions));
        }
    }
    problems
}

/// The first field of every row up to the end of the table.
fn rows_after(lines: &[&str]) -> Vec<String> {
    let mut rows = Vec::new();
    let mut depth = 0_usize;
    let mut text = String::new();
    for line in lines {
        let code = line.split("//").next().unwrap_or_default();
        text.push_str(code);
        text.push(' ');
        if code.trim_end().ends_with(';') {
            break;
        }
    }
    // What follows `= &[` or `= [` (the type before it has brackets too).
    let body = text.split_once('=').map_or("", |(_, body)| body);
    let body = body.trim().trim_start_matches('&').trim();
    let body = body.strip_prefix('[').unwrap_or(body);
    let mut row = String::new();
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
fn unsorted(rows: &[String]) -> Option<(String, String)> {
    let pair = rows.windows(2).find(|pair| match pair {
        [before, after] => sort_key(before) > sort_key(after),
        _ => false,
    })?;
    match pair {
        [before, after] => Some((before.clone(), after.clone())),
        _ => None,
    }
}

/// What a row is sorted by: its first string, or else its text.
fn sort_key(row: &str) -> String {
    row.split('"').nth(1).unwrap_or(row).to_lowercase()
}

/// Modules of the table's file without a row or a test.
fn missing(root: &Path, file: &Path, lines: &[&str], rows: &[String], sessions: &str) -> Vec<String> {
    let folder = folder_of(file);
    let mut problems = Vec::new();
    for line in lines {
        let Some(module) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) else {
            continue;
        };
        let path = folder.join(format!("{module}.rs"));
        let text = fs::read_to_string(root.join(&path)).unwrap_or_default();
        // A row is a public constant or static named after its file; others are shared helpers.
        let constant = module.to_uppercase();
        let is_feature =
            [" const ", " static "].iter().any(|kind| text.contains(&format!("pub(super){kind}{constant}:")));
        if !is_feature {
            continue;
        }
        if !rows.iter().any(|row| row.contains(&format!("{module}::"))) {
            problems.push(format!("{}: has no row in {}", path.display(), file.display()));
        }
        let name = text.split_once("name: \"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or(module);
        let tests = fs::read_to_string(root.join(folder.join("tests.rs"))).unwrap_or_default();
        let tested = text.contains("#[test]")
            || root.join(folder.join(module).join("tests.rs")).exists()
            || tests.contains(name)
            || sessions.contains(name);
        if !tested {
            problems.push(format!("{}: {name} has no test", path.display()));
        }
    }
    problems
}

/// Where the modules of a file lie: beside `lib.rs` and `main.rs`, else in the folder of its name.
fn folder_of(file: &Path) -> PathBuf {
    let beside = file.parent().unwrap_or(Path::new("")).to_owned();
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main" | "mod") | None => beside,
        Some(stem) => beside.join(stem),
    }
}

/// All text sessions, as one text.
fn sessions(root: &Path) -> String {
    let files = fs::read_dir(root.join("conformance")).into_iter().flatten().flatten();
    let text = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    text.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<String> {
        rows_after(&text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn rows_are_split_at_their_commas() {
        let text = "pub static T: &[Row] = &[\n    a::A, // why\n    Row { name: \"b, c\", f: g(1, 2) },\n    d::D,\n];\nfn other() {}";
        assert_eq!(rows(text), ["a::A", "Row { name: \"b, c\", f: g(1, 2) }", "d::D"]);
    }

    #[test]
    fn the_first_wrong_order_is_named() {
        let rows = ["a::A", "c::C", "b::B"].map(str::to_owned);
        assert_eq!(unsorted(&rows), Some(("c::C".to_owned(), "b::B".to_owned())));
        let by_name = ["(\"$add\", z)", "(\"$sub\", a)"].map(str::to_owned);
        assert_eq!(unsorted(&by_name), None);
    }
}
