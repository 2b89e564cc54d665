//! What every source file has, and what none has.

use std::fs;
use std::path::{Path, PathBuf};

/// Words that mark unfinished work; written apart so that this file does not contain them.
const UNFINISHED: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("HA", "CK")];

/// Every Rust file of the workspace, as paths below its root.
pub(crate) fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["benches", "crates", "examples", "fuzz", "python", "tests", "xtask"] {
        collect(&root.join(folder), &mut files);
    }
    let mut files: Vec<PathBuf> =
        files.iter().filter_map(|file| file.strip_prefix(root).ok().map(Path::to_owned)).collect();
    files.sort();
    files
}

/// Files without a head, or with a mark of unfinished work.
pub(crate) fn problems(root: &Path, files: &[PathBuf]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files {
        let text = fs::read_to_string(root.join(file)).unwrap_or_default();
        let name = file.display();
        if !text.starts_with("//! ") {
            problems.push(format!("{name}: begins without `//!`, which says what the file is"));
        }
        for (at, line) in text.lines().enumerate() {
            if let Some(word) = UNFINISHED.iter().find(|word| has_word(line, word)) {
                problems.push(format!("{name}:{}: {word}", at + 1));
            }
            if line.trim_start().starts_with("#[ignore") {
                problems.push(format!("{name}:{}: no test is ignored", at + 1));
            }
        }
    }
    problems
}

/// The test code of each file: all of it in a file of tests, what stands below `#[cfg(test)]` in others.
pub(crate) fn tests(root: &Path, files: &[PathBuf]) -> Vec<(PathBuf, String)> {
    let mut tests = Vec::new();
    for file in files {
        let text = fs::read_to_string(root.join(file)).unwrap_or_default();
        let name = file.to_string_lossy();
        let is_test = file.starts_with("tests") || name.contains("/tests/") || name.ends_with("tests.rs");
        let from = if is_test { Some(0) } else { text.find("#[cfg(test)]") };
        if let Some(code) = from.and_then(|from| text.get(from..)) {
            tests.push((file.clone(), code.to_owned()));
        }
    }
    tests
}

/// Where behaviour is held as text.
const SESSIONS: [&str; 4] =
    ["conformance", "crates/sql/src/statement/tests", "crates/sql/tests/golden", "crates/sql/tests/sessions"];

/// The text sessions as paths below the root, in the order of their folders and names.
pub(crate) fn sessions(root: &Path) -> Vec<(PathBuf, String)> {
    let mut sessions = Vec::new();
    for folder in SESSIONS.map(|folder| root.join(folder)) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = entries.filter(|path| is_session(path)).collect();
        files.sort();
        for file in files {
            let text = fs::read_to_string(&file).unwrap_or_default();
            sessions.push((file.strip_prefix(root).unwrap_or(&file).to_owned(), text));
        }
    }
    sessions
}

fn is_session(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "txt") && !path.ends_with("statements.txt")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != "node_modules" {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole() {
        let word = UNFINISHED.first().expect("a word");
        assert!(has_word(&format!("// {word}: later"), word));
        assert!(!has_word(&format!("{word}S"), word));
        assert!(!has_word("nothing here", word));
    }
}
