//! `edgeseal completion` and `edgeseal man`: made from the commands themselves.

use std::{fs, path::PathBuf};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man as Page;

use super::{Cli, CliError, output};

#[derive(Args)]
pub(super) struct Completion {
    /// The shell
    shell: Shell,
}

#[derive(Args)]
pub(super) struct Man {
    /// Write a page for each command into this directory, which is made if it is missing
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Completion {
    pub(super) fn run(self) -> Result<(), CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "edgeseal", &mut script);
        output::print_raw(&script)
    }
}

impl Man {
    pub(super) fn run(self) -> Result<(), CliError> {
        let command = Cli::command();
        let Some(dir) = self.dir else {
            let mut page = Vec::new();
            Page::new(command).render(&mut page)?;
            return output::print_raw(&page);
        };
        let failed =
            |error| CliError::Usage(format!("cannot write into {}: {error}", dir.display()));
        fs::create_dir_all(&dir).map_err(failed)?;
        clap_mangen::generate_to(command, &dir).map_err(failed)
    }
}
