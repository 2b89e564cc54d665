//! The text sessions of `conformance/`: commands, `----`, what they print.
//!
//! They run on the engine always, and also on the server that `MILLSTREAM_REFERENCE_URI` names
//! (`mongodb://host:port`, a replica set without authentication). `SESSIONS=resume` runs only the files
//! whose name contains that text; `SESSIONS_WRITE=1` writes what came into the files, to be read in
//! the diff before it is kept.

mod interpreter;
mod transactions;

use std::path::Path;

use crate::support::{Server, root};
use interpreter::Interpreter;

#[test]
fn text_sessions_on_the_engine() {
    let mut wrong = Vec::new();
    let mut blocks = 0;
    for path in files() {
        let server = Server::with(&["--memory", "--test-commands"]);
        blocks += run_file(&path, &server.address(), &mut wrong);
    }
    println!("{blocks} blocks of text sessions ran");
    assert!(wrong.is_empty(), "{} blocks differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn text_sessions_on_a_reference_server() {
    let Ok(uri) = std::env::var("MILLSTREAM_REFERENCE_URI") else {
        println!("MILLSTREAM_REFERENCE_URI is not set: nothing to compare with");
        return;
    };
    let address = uri.trim_start_matches("mongodb://");
    let address = address.split(['/', '?']).next().unwrap_or_default();
    let mut wrong = Vec::new();
    // What is beyond MongoDB has no reference.
    for path in files().iter().filter(|path| path.file_stem().is_none_or(|name| name != "beyond")) {
        run_file(path, address, &mut wrong);
    }
    assert!(wrong.is_empty(), "{} blocks differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// A piece of a file: lines that are kept as they are, or commands with what they print.
enum Block {
    Text(String),
    Commands { line: usize, commands: Vec<String>, expect: Vec<String> },
}

fn files() -> Vec<std::path::PathBuf> {
    let wanted = std::env::var("SESSIONS").unwrap_or_default();
    let folder = std::fs::read_dir(root().join("conformance")).expect("the conformance folder");
    let mut files: Vec<_> = folder
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        // A table, and no session: what is done of each statement of the reference.
        .filter(|path| !path.ends_with("statements.txt"))
        .filter(|path| path.to_string_lossy().contains(&wanted))
        .collect();
    files.sort();
    files
}

fn run_file(path: &Path, address: &str, wrong: &mut Vec<String>) -> usize {
    let text = std::fs::read_to_string(path).expect("a session file");
    let mut interpreter = Interpreter::connect(address);
    let mut written = String::new();
    let mut count = 0;
    for block in blocks(&text) {
        match block {
            Block::Text(line) => written.push_str(&format!("{line}\n")),
            Block::Commands { line, commands, expect } => {
                count += 1;
                let came: Vec<String> = commands.iter().flat_map(|c| interpreter.run(c)).collect();
                if came != expect {
                    wrong.push(format!(
                        "{}:{line}\n  {}\n  expected\n    {}\n  came\n    {}",
                        path.file_name().unwrap_or_default().to_string_lossy(),
                        commands.join("\n  "),
                        expect.join("\n    "),
                        came.join("\n    ")
                    ));
                }
                for part in [&commands, &vec!["----".to_owned()], &came] {
                    for line in part {
                        written.push_str(&format!("{line}\n"));
                    }
                }
            }
        }
    }
    if std::env::var_os("SESSIONS_WRITE").is_some() {
        std::fs::write(path, written).expect("write the session file");
    }
    count
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            blocks.push(Block::Text(line.to_owned()));
            continue;
        }
        let mut commands = vec![line.to_owned()];
        let mut separated = false;
        for (_, line) in lines.by_ref() {
            if line == "----" {
                separated = true;
                break;
            }
            commands.push(line.to_owned());
        }
        assert!(separated, "line {}: commands without ----", at + 1);
        let mut expect = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
            expect.push(line.to_owned());
        }
        blocks.push(Block::Commands { line: at + 1, commands, expect });
    }
    blocks
}
