//! A person at a terminal.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use super::complete::{Editing, Names};
use super::runner::{Flow, Runner};
use crate::exit;

/// So many lines are remembered.
const HISTORY_MAX: usize = 1_000;

/// Reads statements until the person has had enough.
pub(super) async fn run(mut runner: Runner, uri: &str) -> anyhow::Result<exit::Code> {
    runner.interactive = true;
    let names = Arc::new(Mutex::new(Names::new(uri)));
    let config = Config::builder()
        .max_history_size(HISTORY_MAX)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .auto_add_history(true)
        .build();
    let mut editor: Editor<Editing, FileHistory> = Editor::with_config(config)?;
    editor.set_helper(Some(Editing::new(Arc::clone(&names))));
    let history = history();
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    println!(
        "millstream {}, database {}; \\? for help, \\q to end",
        env!("CARGO_PKG_VERSION"),
        runner.session().database()
    );
    let code = loop {
        names.lock().forget(runner.session().database());
        let prompt = prompt(&runner);
        // Other tasks go on elsewhere while this thread waits for keys.
        match tokio::task::block_in_place(|| editor.readline(&prompt)) {
            Ok(text) => {
                if let Flow::End(code) = entered(&mut runner, &text).await {
                    break code;
                }
            }
            // Ctrl-C throws away what was typed.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break exit::Code::Done,
            Err(error) => return Err(error.into()),
        }
    };
    if let Some(path) = &history {
        // A history that cannot be kept is no reason to complain at the end.
        let _ = std::fs::create_dir_all(path.parent().unwrap_or(path));
        let _ = editor.save_history(path);
    }
    Ok(code)
}

/// Runs what was entered: statements, or a line for the shell, which may follow a statement that is not finished.
async fn entered(runner: &mut Runner, text: &str) -> Flow {
    let (before, last) = text.rsplit_once('\n').unwrap_or(("", text));
    if !last.trim_start().starts_with('\\') {
        return runner.script(None, text).await;
    }
    // `SELECT …` and then `\watch` shows it first.
    let shows_first = last.trim_start().starts_with("\\watch") && !before.trim().is_empty();
    if shows_first && let Flow::End(code) = runner.script(None, before).await {
        return Flow::End(code);
    }
    runner.meta(last.trim()).await.unwrap_or(Flow::Next)
}

fn prompt(runner: &Runner) -> String {
    let session = runner.session();
    format!("{}{}> ", session.database(), if session.in_transaction() { "=*" } else { "=" })
}

/// Where lines are remembered.
fn history() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("millstream").join("sql_history"))
}
