//! `docs/compatibility.md` is what the program's own tables say, and `conformance/statements.txt`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Outcome, statements};

const PAGE: &str = "docs/compatibility.md";

/// Fails if the page differs from what the program prints.
pub(crate) fn check(root: &Path) -> Outcome {
    let printed = render(root)?;
    let page = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    if page == printed {
        Ok(format!("{PAGE} agrees with the tables"))
    } else {
        Err(vec![format!("{PAGE} is not what the tables say: run `cargo xtask compat --write`")])
    }
}

/// Writes the page.
pub(crate) fn write(root: &Path) -> Outcome {
    let printed = render(root)?;
    fs::write(root.join(PAGE), printed).map_err(|error| vec![format!("{PAGE}: {error}")])?;
    Ok(format!("{PAGE} written"))
}

fn render(root: &Path) -> Result<String, Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", "millstream", "--", "compatibility"]).current_dir(root);
    // What cargo told this program about its own package would have build scripts run again, and most of the tree
    // compiled anew, now and at the next plain build.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    let output = command.output().map_err(|error| vec![format!("could not run cargo: {error}")])?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &statements::sections(root))
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(vec![format!("millstream compatibility failed: {errors}")])
    }
}
