//! `edgeseal restore`: replaces the store by a backup, while no process owns it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use edgeseal_store::{
    open::OpenError,
    sqlite::{BackupError, StoreBackup, check_restore_target},
};
use tokio::time::{Instant, sleep};

use super::{
    CliError, EX_DATA,
    backup::{CopyReport, copy_error, place_error},
    output::say,
    store_args::StoreArgs,
};
use crate::{clock, error_chain::error_chain, private_files};

#[derive(Args)]
pub(super) struct Command {
    /// The file that `edgeseal backup` wrote
    file: PathBuf,
    /// Replace an existing store, which is kept under another name
    #[arg(long)]
    replace: bool,
    /// Restore although the backup has problems, or does not open with the key-encryption keys
    #[arg(long)]
    unverified: bool,
    #[command(flatten)]
    store: StoreArgs,
}

impl Command {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let (config, store) = self.store.load_with_file()?;
        private_files::create_private_dir(&config.data)
            .map_err(|error| CliError::Usage(error_chain(&error)))?;
        // Checked again when the copy replaces the store, which may be much later.
        let place = self.check_target(&store).await;
        place.map_err(|error| place_error(&error))?;
        let copy = StoreBackup::create(&self.file, &store);
        let copy = copy.map_err(|error| copy_error(&error))?;
        let proof = CopyReport::check(&copy, &config).await?;
        proof.print()?;
        let is_proven = proof.report.problems.is_empty() && proof.unopened_reason.is_none();
        if !is_proven && !self.unverified {
            let keys = match proof.lacks_keys() {
                true => "put back the key-encryption keys that it was sealed under, ",
                false => "",
            };
            say!("nothing was changed: {keys}take another backup, or say --unverified")?;
            return Ok(ExitCode::from(EX_DATA));
        }
        let placed = copy.restore_to(&store, self.replace, clock::now());
        let aside = placed.map_err(|error| place_error(&error))?;
        say!(
            "{} is as it was at revision {}",
            store.display(),
            proof.revision.0
        )?;
        if let Some(aside) = aside {
            say!("what was there is kept as {}", aside.display())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Checks that the store may be replaced. A server that has just lost its store may still hold
    /// it.
    async fn check_target(&self, store: &Path) -> Result<(), BackupError> {
        const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
        let began = Instant::now();
        loop {
            match check_restore_target(store, self.replace) {
                Err(BackupError::Open(OpenError::Locked { .. }))
                    if began.elapsed() < LOCK_TIMEOUT =>
                {
                    sleep(Duration::from_millis(50)).await;
                }
                place => return place,
            }
        }
    }
}
