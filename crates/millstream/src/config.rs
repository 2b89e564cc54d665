//! Where the engine's settings come from.
//!
//! Every setting is a row of the table in `settings`: its flag, its environment variable, its key in
//! the config file, its help and its default are all read from there. A flag beats the environment,
//! which beats the file, which beats the default.

mod arguments;
mod merge;
mod settings;

use std::path::PathBuf;

pub(crate) use arguments::ServeArguments;
pub(crate) use settings::ServeConfig;

use crate::{exit, terminal};

/// The settings to serve with; none if they were only to be printed.
pub(crate) fn resolve(arguments: ServeArguments) -> anyhow::Result<Option<ServeConfig>> {
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let path = arguments.config.clone().or_else(|| environment("MILLSTREAM_CONFIG").map(PathBuf::from));
    let file = path.map(|path| merge::File::read(&path)).transpose().map_err(exit::misuse)?;
    let merged = merge::merge(&arguments.flags, &environment, file.as_ref()).map_err(exit::misuse)?;
    if arguments.print_config {
        terminal::say(&merge::show(&merged.origins));
        return Ok(None);
    }
    Ok(Some(merged.config))
}
