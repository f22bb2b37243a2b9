//! The flags by which a command finds the store, whether or not a server runs.

use std::path::PathBuf;

use clap::{Args, builder::NonEmptyStringValueParser};

use super::CliError;
use crate::config::{Config, Flags};

/// The flags that choose the store. As in `serve`, `EDGESEAL_*` and the config file count too.
#[derive(Args)]
pub(super) struct StoreArgs {
    /// Config file of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory of the server [default: ./edgeseal-data]
    #[arg(long, value_name = "DIR", value_parser = NonEmptyStringValueParser::new())]
    data: Option<String>,
    /// URL of the store, if it is elsewhere: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    store: Option<String>,
}

impl StoreArgs {
    /// The configuration.
    pub(super) fn load(&self) -> Result<Config, CliError> {
        Ok(Config::load(&Flags::of_store(
            self.config.clone(),
            self.data.clone(),
            self.store.clone(),
        ))?)
    }
}
