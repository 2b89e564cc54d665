//! The workspace's own rules, checked: `cargo xtask tidy`, `cargo xtask compat`.

mod arrows;
mod compat;
mod pages;
mod sources;
mod statements;
mod tables;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy | compat [--write]

tidy            checks crate arrows, sorted tables, file heads, what pages say, what is proved of the reference
compat          checks docs/compatibility.md against the program's own tables and conformance/statements.txt
compat --write  writes that page anew";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root();
    let outcome = match arguments.as_slice() {
        ["tidy"] => tidy(&root),
        ["compat"] => compat::check(&root),
        ["compat", "--write"] => compat::write(&root),
        _ => Err(vec![USAGE.to_owned()]),
    };
    match outcome {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            for problem in &problems {
                eprintln!("{problem}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Problems as lines of `path: what is wrong`, or a summary.
type Outcome = Result<String, Vec<String>>;

fn tidy(root: &Path) -> Outcome {
    let files = sources::rust_files(root);
    let mut problems = arrows::problems(root);
    problems.extend(sources::problems(root, &files));
    problems.extend(tables::problems(root, &files));
    problems.extend(pages::problems(root));
    problems.extend(statements::problems(root, &files));
    if problems.is_empty() { Ok(format!("tidy: {} source files, nothing to say", files.len())) } else { Err(problems) }
}

/// The workspace's root folder: the one above this package's.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
