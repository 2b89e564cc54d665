//! Where log lines go: to standard error, so that standard output stays the program's answer.

use tracing_subscriber::EnvFilter;

use crate::exit;

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Sets logging up for the engine. `filter` is a level, or a filter such as
/// `info,millstream_storage=debug`.
pub(crate) fn for_engine(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(with_quiet_parts(filter))
        .map_err(|error| exit::misuse(format!("log-level `{filter}` is no level and no filter: {error}")))?;
    start(format, filter);
    Ok(())
}

/// Why a watch has ended is said by the command, in a sentence of its own.
const FOR_CLIENTS: &str = "warn,millstream_watch::delivery::counters=off";

/// Sets logging up for the commands that are clients: only what is odd, unless `MILLSTREAM_LOG`
/// asks for more.
pub(crate) fn for_clients() {
    let filter = std::env::var("MILLSTREAM_LOG")
        .ok()
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(FOR_CLIENTS));
    start(LogFormat::Pretty, filter);
}

/// At a bare `info` the storage library would tell of every file that it opens. Who asks for more
/// or names parts gets what was asked for.
fn with_quiet_parts(filter: &str) -> String {
    let quiet = if filter.trim().eq_ignore_ascii_case("info") { ",fjall=warn,lsm_tree=warn" } else { "" };
    format!("{filter}{quiet}")
}

fn start(format: LogFormat, filter: EnvFilter) {
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colour = crate::terminal::colour_on_stderr();
    // A second call in one process (in tests) keeps the first set-up.
    let _ = match format {
        LogFormat::Pretty => builder.with_ansi(colour).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_info_is_made_quieter() {
        assert_eq!(with_quiet_parts("info"), "info,fjall=warn,lsm_tree=warn");
        for filter in ["warn", "debug", "info,fjall=debug"] {
            assert_eq!(with_quiet_parts(filter), filter);
        }
    }
}
