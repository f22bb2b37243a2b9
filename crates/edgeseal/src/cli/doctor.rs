//! `edgeseal doctor`

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{EX_DATA, Failure};
use crate::{
    config::{Config, Flags},
    doctor,
};

#[derive(Args)]
pub(super) struct Command {
    /// Config file of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory of the server [default: ./edgeseal-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The store, if it is elsewhere: sqlite:PATH
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

impl Command {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let config = Config::load(&Flags {
            config: self.config,
            data: self.data,
            store: self.store,
            ..Flags::default()
        })?;
        let report = doctor::examine(&config).await?;
        for line in &report.looked_at {
            println!("looked at {line}");
        }
        for problem in &report.problems {
            println!("problem: {}\n  {}", problem.what, problem.cure);
        }
        match report.problems.len() {
            0 => {
                println!("everything is as it should be");
                Ok(ExitCode::SUCCESS)
            }
            count => {
                println!(
                    "{count} {}",
                    if count == 1 { "problem" } else { "problems" }
                );
                Ok(ExitCode::from(EX_DATA))
            }
        }
    }
}
