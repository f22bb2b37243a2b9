//! `edgeseal restore`: replaces the store by a backup, while no process uses it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use edgeseal_store::{
    open::{OpenError, StoreUrl},
    postgres::{self, PostgresUrl, RestoreError, RestoreOptions},
    sqlite::{BackupError, SqliteSnapshot, SqliteSource, StoreBackup, check_restore_target},
};
use tokio::time::{Instant, sleep};

use super::{
    CliError, EX_DATA,
    backup::{CopyReport, copy_error, place_error},
    output::say,
    store::{ProgressLine, in_memory, store_failure},
    store_args::StoreArgs,
};
use crate::{clock, config::Config, error_chain::error_chain, private_files};

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
    /// Replace a database while servers use it; they list everything again
    #[arg(long, requires = "replace")]
    live: bool,
    #[command(flatten)]
    store: StoreArgs,
}

impl Command {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let config = self.store.load()?;
        match config.store_url() {
            StoreUrl::Sqlite(store) => self.restore_file(&config, &store).await,
            StoreUrl::Postgres(url) => self.restore_database(&config, &url).await,
            StoreUrl::Memory => Err(in_memory()),
        }
    }

    async fn restore_file(self, config: &Config, store: &Path) -> Result<ExitCode, CliError> {
        private_files::create_private_dir(&config.data)
            .map_err(|error| CliError::Usage(error_chain(&error)))?;
        // Checked again when the copy replaces the store, which may be much later.
        let place = self.check_target(store).await;
        place.map_err(|error| place_error(&error))?;
        let copy = StoreBackup::create(&self.file, store);
        let copy = copy.map_err(|error| copy_error(&error))?;
        let proof = CopyReport::check(copy.snapshot(), config).await?;
        if let Some(code) = self.refusal(&proof)? {
            return Ok(code);
        }
        let placed = copy.restore_to(store, self.replace, clock::now());
        let aside = placed.map_err(|error| place_error(&error))?;
        let aside = aside.map(|aside| aside.display().to_string());
        report(&store.display().to_string(), &proof, aside)
    }

    async fn restore_database(
        self,
        config: &Config,
        url: &PostgresUrl,
    ) -> Result<ExitCode, CliError> {
        let proof = CopyReport::check(SqliteSnapshot::open(&self.file), config).await?;
        if let Some(code) = self.refusal(&proof)? {
            return Ok(code);
        }
        let backup = SqliteSource::backup(&self.file).map_err(|error| copy_error(&error))?;
        let options = RestoreOptions {
            replace: self.replace,
            live: self.live,
        };
        let progress = ProgressLine::new();
        let show = |step| progress.show(&step);
        let restored = postgres::restore(url, &backup, options, clock::now(), &show).await;
        let aside = restored.map_err(|error| match &error {
            RestoreError::Exists(_) | RestoreError::Live { .. } | RestoreError::Schema { .. } => {
                CliError::Usage(error.to_string())
            }
            RestoreError::Store(fault) => store_failure(fault),
        })?;
        report(
            &url.to_string(),
            &proof,
            aside.map(|it| format!("schema {it}")),
        )
    }

    /// Prints the report; the exit code if the backup is not to be restored.
    fn refusal(&self, proof: &CopyReport) -> Result<Option<ExitCode>, CliError> {
        proof.print()?;
        let is_proven = proof.report.problems.is_empty() && proof.unopened_reason.is_none();
        if is_proven || self.unverified {
            return Ok(None);
        }
        let keys = match proof.lacks_keys() {
            true => "put back the key-encryption keys that it was sealed under, ",
            false => "",
        };
        say!("nothing was changed: {keys}take another backup, or say --unverified")?;
        Ok(Some(ExitCode::from(EX_DATA)))
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

fn report(store: &str, proof: &CopyReport, aside: Option<String>) -> Result<ExitCode, CliError> {
    say!("{store} is as it was at revision {}", proof.revision.0)?;
    if let Some(aside) = aside {
        say!("what was there is kept as {aside}")?;
    }
    Ok(ExitCode::SUCCESS)
}
