//! `edgeseal restore`: puts a backup in the place of the store, while no process owns that.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use edgeseal_store::{
    open::OpenError,
    sqlite::{PlaceError, StoreCopy, check_place},
};
use tokio::time::{Instant, sleep};

use super::{
    EX_DATA, Failure,
    backup::{Proof, StoreFlags, not_copied, unplaced},
    output::say,
};
use crate::{bootstrap, clock, opening::with_causes};

#[derive(Args)]
pub(super) struct Command {
    /// What `edgeseal backup` wrote
    file: PathBuf,
    /// Put it in the place of a store that is there; that one is kept beside it
    #[arg(long)]
    replace: bool,
    /// Put it back although something in it is wrong, or does not open with the key-encryption keys
    #[arg(long)]
    unproven: bool,
    #[command(flatten)]
    of: StoreFlags,
}

impl Command {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let (config, store) = self.of.load()?;
        bootstrap::make_directory(&config.data)
            .map_err(|error| Failure::Usage(with_causes(&error)))?;
        // It is looked at again when the copy is put there, which may be much later.
        let place = self.place(&store).await;
        place.map_err(|error| unplaced(&error))?;
        let copy = StoreCopy::of(&self.file, &store);
        let copy = copy.map_err(|error| not_copied(&error))?;
        let proof = Proof::of(&copy, &config).await?;
        proof.print()?;
        let is_proven = proof.report.problems.is_empty() && proof.unopened.is_none();
        if !is_proven && !self.unproven {
            let keys = match proof.lacks_keys() {
                true => "put back the key-encryption keys that it was sealed under, ",
                false => "",
            };
            say!("nothing was changed: {keys}take another backup, or say --unproven")?;
            return Ok(ExitCode::from(EX_DATA));
        }
        let placed = copy.put_in_place(&store, self.replace, clock::now());
        let aside = placed.map_err(|error| unplaced(&error))?;
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

    /// Whether a copy may be put there. A server that has just lost its store lets go of it only then.
    async fn place(&self, store: &Path) -> Result<(), PlaceError> {
        const PATIENCE: Duration = Duration::from_secs(1);
        let began = Instant::now();
        loop {
            match check_place(store, self.replace) {
                Err(PlaceError::Open(OpenError::Locked { .. })) if began.elapsed() < PATIENCE => {
                    sleep(Duration::from_millis(50)).await;
                }
                place => return place,
            }
        }
    }
}
