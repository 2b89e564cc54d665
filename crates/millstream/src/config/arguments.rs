//! The flags of `serve`, made from the table of settings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::settings::{SETTINGS, Setting};

/// What was given on the command line.
#[derive(Debug, Default)]
pub(crate) struct ServeArguments {
    /// The given settings, by name.
    pub(crate) flags: BTreeMap<&'static str, String>,
    /// The config file.
    pub(crate) config: Option<PathBuf>,
    /// Print the settings and where they come from instead of serving.
    pub(crate) print_config: bool,
}

impl Args for ServeArguments {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("A TOML file with settings, by the names of the flags [env: MILLSTREAM_CONFIG]");
        let print = Arg::new("print-config")
            .long("print-config")
            .action(ArgAction::SetTrue)
            .help("Print every setting, its value and where it comes from, and end");
        command.args(SETTINGS.iter().map(flag)).arg(file).arg(print)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServeArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &'static Setting| {
            let value = matches.get_one::<String>(setting.name)?;
            Some((setting.name, value.clone()))
        };
        Ok(Self {
            flags: SETTINGS.iter().filter_map(given).collect(),
            config: matches.get_one::<PathBuf>("config").cloned(),
            print_config: matches.get_flag("print-config"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn flag(setting: &'static Setting) -> Arg {
    let environment = setting.environment.join(" or ");
    let argument = Arg::new(setting.name).long(setting.name);
    match setting.value {
        Some(value) => argument
            .value_name(value)
            .allow_hyphen_values(true)
            .help(format!("{} [default: {}] [env: {environment}]", setting.help, setting.default)),
        None => argument
            .value_name("BOOL")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .help(format!("{} [env: {environment}]", setting.help)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<ServeArguments, clap::Error> {
        let command = ServeArguments::augment_args(Command::new("serve"));
        let matches = command.try_get_matches_from([&["serve"], arguments].concat())?;
        ServeArguments::from_arg_matches(&matches)
    }

    #[test]
    fn only_given_flags_are_there() {
        let given = read(&["--port", "1", "--memory", "--config", "x.toml"]).unwrap();
        let flags: Vec<_> = given.flags.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(flags, [("memory", "true"), ("port", "1")]);
        assert_eq!(given.config, Some("x.toml".into()));
        assert!(!given.print_config);
        assert_eq!(read(&["--memory=false"]).unwrap().flags["memory"], "false");
    }

    #[test]
    fn unknown_flags_are_refused() {
        assert!(read(&["--prot", "1"]).is_err());
        assert!(read(&["extra"]).is_err());
    }
}
