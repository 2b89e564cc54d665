//! Pages: links between files lead somewhere, and every crate has its line in the map.

use std::fs;
use std::path::{Path, PathBuf};

/// Everything that is wrong with pages.
pub(crate) fn problems(root: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for page in pages(root) {
        let text = fs::read_to_string(&page).unwrap_or_default();
        let name = page.strip_prefix(root).unwrap_or(&page).display().to_string();
        let folder = page.parent().unwrap_or(root);
        for link in links(&text) {
            let target = link.split('#').next().unwrap_or_default();
            let outside = link.contains("://") || link.starts_with("mailto:") || target.is_empty();
            if !outside && !folder.join(target).exists() {
                problems.push(format!("{name}: the link to {target} leads nowhere"));
            }
        }
    }
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    for folder in fs::read_dir(root.join("crates")).into_iter().flatten().flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        if !map.contains(&format!("`{name}`")) {
            problems.push(format!("ARCHITECTURE.md: says nothing of `{name}`"));
        }
    }
    problems
}

fn pages(root: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders =
        ["", "docs", "conformance", "conformance/vectors", "deploy", "python"].map(|name| root.join(name)).to_vec();
    folders.extend(fs::read_dir(root.join("examples")).into_iter().flatten().flatten().map(|e| e.path()));
    for folder in folders {
        let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        pages.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    pages.sort();
    pages
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found() {
        assert_eq!(links("see [a](b.md) and [c](d/e.md#f)."), ["b.md", "d/e.md#f"]);
    }
}
