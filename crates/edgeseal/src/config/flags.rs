//! The flags of `edgeseal serve` and `edgeseal api`: `--config`, `--hand-over`, and the settings that are flags as
//! well.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{
    Arg, ArgMatches, Args, Command, FromArgMatches,
    builder::{NonEmptyStringValueParser, PossibleValuesParser},
    error::ErrorKind,
};
use figment::{
    Metadata, Profile, Provider,
    providers::Serialized,
    value::{Dict, Map},
};

use super::table;

/// The name of the flags among the sources of a configuration.
pub(super) const FLAGS: &str = "flags";

/// The flags of `serve`.
#[derive(Args, Debug, Default)]
pub(crate) struct Flags {
    /// Config file in TOML; its keys are named like these flags
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Take over from the process that serves this data directory, without refusing a connection
    #[arg(long)]
    pub(crate) hand_over: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

/// The flags of `api`: those of `serve` that are not about an edge.
#[derive(Debug, Default)]
pub(crate) struct ApiFlags(pub(crate) Flags);

/// Keys of the flags that `api` lacks.
const EDGE_FLAGS: [&str; 3] = ["https", "http", "group"];

/// The settings that are given as flags, by key. All of them are strings.
#[derive(Debug, Default)]
pub(crate) struct SettingFlags(BTreeMap<&'static str, String>);

impl Flags {
    /// The flags of a command that opens the store and does not serve.
    pub(crate) fn of_store(
        config: Option<PathBuf>,
        data: Option<String>,
        store: Option<String>,
    ) -> Self {
        let given = [("data", data), ("store", store)];
        let given = given.into_iter().filter_map(|(key, it)| Some((key, it?)));
        Self {
            config,
            settings: SettingFlags(given.collect()),
            ..Self::default()
        }
    }
}

impl Args for ApiFlags {
    fn augment_args(command: Command) -> Command {
        let hide = |command: Command, key| command.mut_arg(key, |arg| arg.hide(true));
        EDGE_FLAGS
            .into_iter()
            .fold(Flags::augment_args(command), hide)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ApiFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut keys = EDGE_FLAGS.into_iter();
        if let Some(key) = keys.find(|key| matches.contains_id(key)) {
            let why = format!("edgeseal api has no edge: --{key} is a flag of edgeseal serve\n");
            return Err(clap::Error::raw(ErrorKind::UnknownArgument, why));
        }
        Flags::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Provider for Flags {
    fn metadata(&self) -> Metadata {
        Metadata::named(FLAGS)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Serialized::defaults(&self.settings.0).data()
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let flags = table::all().filter_map(|setting| {
            let (long, value) = setting.flag?.strip_prefix("--")?.split_once(' ')?;
            let arg = Arg::new(setting.key).long(long).value_name(value).help(
                format!("{} [default: {}]", setting.help, setting.default()).replace('`', ""),
            );
            let choices = (setting.choices)();
            Some(if choices.is_empty() {
                // An unset variable of a script must not become the current directory.
                arg.value_parser(NonEmptyStringValueParser::new())
            } else {
                arg.value_parser(PossibleValuesParser::new(choices))
            })
        });
        command.args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let keys = table::all().filter(|setting| setting.flag.is_some());
        let given = keys.filter_map(|setting| {
            let value: &String = matches.get_one(setting.key)?;
            Some((setting.key, value.clone()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}
