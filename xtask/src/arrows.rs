//! Which crate may use which: the table of ARCHITECTURE.md as code.
//!
//! A new arrow is a design decision: it is agreed on first, and then added here.

use std::fs;
use std::path::Path;

/// A crate of the workspace.
struct Crate {
    /// Its folder below `crates/`, or beside it.
    name: &'static str,
    /// Its height: 0 to 3 are synchronous.
    row: u8,
    /// The crates that it may use.
    may_use: &'static [&'static str],
}

/// Every crate, from the bottom up.
static CRATES: &[Crate] = &[
    Crate { name: "value", row: 0, may_use: &[] },
    Crate { name: "wire", row: 1, may_use: &["value"] },
    Crate { name: "storage", row: 1, may_use: &["value"] },
    Crate { name: "query", row: 1, may_use: &["value"] },
    Crate { name: "flow", row: 1, may_use: &["value"] },
    Crate { name: "change", row: 2, may_use: &["value", "storage", "query"] },
    Crate { name: "sql", row: 2, may_use: &["value", "query", "flow"] },
    Crate { name: "db", row: 3, may_use: &["value", "storage", "query", "change"] },
    Crate { name: "server", row: 4, may_use: &["value", "wire", "storage", "query", "db", "change"] },
    Crate { name: "watch", row: 4, may_use: &["value"] },
    Crate { name: "mill", row: 5, may_use: &["value", "flow", "sql", "watch"] },
    Crate { name: "sync", row: 5, may_use: &["value", "watch"] },
    Crate { name: "python", row: 5, may_use: &["watch"] },
    Crate { name: "live", row: 6, may_use: &["value", "watch", "mill", "sync"] },
    Crate { name: "pg", row: 6, may_use: &["value", "flow", "sql", "mill"] },
    Crate {
        name: "millstream",
        row: 7,
        may_use: &[
            "value", "wire", "storage", "query", "flow", "change", "sql", "db", "server", "watch", "mill", "sync",
            "live", "pg",
        ],
    },
];

/// The highest row without an async runtime.
const SYNCHRONOUS_ROW_MAX: u8 = 3;
/// Packages that are an async runtime, or exist for one.
const RUNTIMES: &[&str] = &["async-std", "futures", "smol", "tokio", "tokio-util"];

/// Every crate or dependency that breaks the rules.
pub(crate) fn problems(root: &Path) -> Vec<String> {
    let Ok(folders) = fs::read_dir(root.join("crates")) else {
        return vec!["crates: not a folder".to_owned()];
    };
    let mut problems = Vec::new();
    let folders = folders.flatten().map(|folder| folder.path()).chain([root.join("python")]);
    for folder in folders {
        let path = folder.strip_prefix(root).unwrap_or(&folder).display().to_string();
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else {
            problems.push(format!("{path}: has no Cargo.toml; an empty crate is not created"));
            continue;
        };
        match CRATES.iter().find(|known| folder.ends_with(known.name)) {
            Some(known) => problems.extend(problems_of(known, &path, &manifest)),
            None => problems.push(format!("{path}: not in the table of xtask/src/arrows.rs")),
        }
    }
    problems
}

fn problems_of(known: &Crate, folder: &str, manifest: &str) -> Vec<String> {
    let path = format!("{folder}/Cargo.toml");
    let mut problems = Vec::new();
    for (section, dependency) in dependencies(manifest) {
        if let Some(target) = dependency.strip_prefix("millstream-")
            && !known.may_use.contains(&target)
        {
            problems.push(format!("{path}: {} may not use {target}", known.name));
        }
        // Tests may run where they like.
        let synchronous = known.row <= SYNCHRONOUS_ROW_MAX && section != "dev-dependencies";
        if synchronous && RUNTIMES.contains(&dependency.as_str()) {
            problems.push(format!("{path}: {} is synchronous and may not use {dependency}", known.name));
        }
    }
    problems
}

/// `(section, package)` of every dependency in a manifest.
fn dependencies(manifest: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = header.rsplit('.').next().unwrap_or(header).to_owned();
            // `[dependencies.name]`
            if let Some((before, name)) = header.rsplit_once('.')
                && before.ends_with("dependencies")
            {
                found.push((before.to_owned(), name.to_owned()));
            }
        } else if section.ends_with("dependencies")
            && let Some((left, _)) = line.split_once('=')
            && !line.starts_with('#')
        {
            let name = left.trim().trim_matches('"').split('.').next().unwrap_or_default();
            found.push((section.clone(), name.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_only_go_down() {
        for from in CRATES {
            for to in from.may_use {
                let to = CRATES.iter().find(|known| known.name == *to).expect(to);
                assert!(to.row < from.row, "{} -> {}", from.name, to.name);
            }
        }
    }

    #[test]
    fn a_wrong_arrow_and_a_runtime_are_found() {
        let wire = CRATES.iter().find(|known| known.name == "wire").expect("wire");
        let manifest = "[dependencies]\nmillstream-value.workspace = true\nmillstream-db = { path = \"\" }\ntokio = \"1\"\n\n[dev-dependencies]\ntokio = \"1\"\n";
        assert_eq!(
            problems_of(wire, "crates/wire", manifest),
            [
                "crates/wire/Cargo.toml: wire may not use db",
                "crates/wire/Cargo.toml: wire is synchronous and may not use tokio",
            ]
        );
    }
}
