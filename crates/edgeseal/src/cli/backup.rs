//! `edgeseal backup`: copies the store, whether or not a server runs.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use edgeseal_store::{
    Keyring, Revision,
    open::{OpenError, StoreUrl},
    postgres::PostgresCopy,
    sqlite::{BackupError, SqliteSnapshot, StoreBackup},
};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    CliError, EX_DATA,
    output::say,
    store::{ProgressLine, in_memory, store_failure},
    store_args::StoreArgs,
};
use crate::{
    config::Config,
    doctor::{self, Report},
    error_chain::error_chain,
    kek::{self, KekSource},
    private_files,
};

#[derive(Args)]
pub(super) struct Command {
    /// The file to create; it must not exist yet
    file: PathBuf,
    /// Also copy the key-encryption keys, into this file: both together open every private key
    #[arg(long, value_name = "FILE")]
    with_kek: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The content of a copy, after checking all of it.
pub(super) struct CopyReport {
    pub(super) report: Report,
    pub(super) revision: Revision,
    /// Why sealed records were not opened; `None` if they were.
    pub(super) unopened_reason: Option<String>,
}

impl CopyReport {
    /// Verifies a copy: whether the file is intact and consistent, and whether sealed records open
    /// with the available keys.
    pub(super) async fn check(
        view: Result<SqliteSnapshot, OpenError>,
        config: &Config,
    ) -> Result<Self, CliError> {
        let view = view.map_err(|error| copy_error(&error))?;
        let keyring = kek::read_all(&config.kek_sources()).await;
        let examined = doctor::examine_store(&view, keyring.as_ref().ok()).await?;
        Ok(Self {
            report: examined,
            revision: view.revision().map_err(doctor::DoctorError::from)?,
            unopened_reason: keyring.err().map(|error| error.to_string()),
        })
    }

    /// Whether something is sealed under missing keys.
    pub(super) fn lacks_keys(&self) -> bool {
        let problems = &self.report.problems;
        self.unopened_reason.is_some()
            || problems
                .iter()
                .any(|problem| problem.remedy == doctor::RESTORE_KEY)
    }

    /// Prints the report.
    pub(super) fn print(&self) -> Result<(), CliError> {
        for line in &self.report.checked {
            say!("checked {line}")?;
        }
        if let Some(why) = &self.unopened_reason {
            say!("warning: what is sealed was not opened: {why}")?;
        }
        for problem in &self.report.problems {
            say!("problem: {}", problem.summary)?;
        }
        Ok(())
    }

    fn problems(&self) -> Vec<&str> {
        let problems = self.report.problems.iter();
        problems.map(|problem| problem.summary.as_str()).collect()
    }
}

impl Command {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let config = self.store.load()?;
        if self.file.exists() {
            return Err(already_exists(&self.file));
        }
        let keys = match &self.with_kek {
            Some(to) if to.exists() => return Err(already_exists(to)),
            Some(_) => Some(read_keys(&config.kek_sources()).await?),
            None => None,
        };
        let copy = self.copy(&config.store_url()).await?;
        let proof = CopyReport::check(copy.snapshot(), &config).await?;
        let bytes = copy.bytes()?;
        if let (Some(to), Some(keys)) = (&self.with_kek, &keys) {
            private_files::create_private_file(to, keys.as_bytes())
                .map_err(|error| CliError::Usage(error.to_string()))?;
        }
        copy.persist(&self.file)
            .map_err(|error| place_error(&error))?;
        if self.json {
            say!("{}", self.as_json(&proof, bytes))?;
        } else {
            self.print(&proof, bytes)?;
        }
        Ok(match proof.report.problems.len() {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::from(EX_DATA),
        })
    }

    async fn copy(&self, store: &StoreUrl) -> Result<StoreBackup, CliError> {
        let copy = match store {
            StoreUrl::Sqlite(path) => StoreBackup::create(path, &self.file),
            StoreUrl::Postgres(url) => {
                let source = PostgresCopy::snapshot((**url).clone()).await;
                let source = source.map_err(|fault| store_failure(&fault))?;
                let progress = ProgressLine::new();
                StoreBackup::of_database(&source, &self.file, &|step| progress.show(&step)).await
            }
            StoreUrl::Memory => return Err(in_memory()),
        };
        copy.map_err(|error| copy_error(&error))
    }

    fn print(&self, proof: &CopyReport, bytes: u64) -> Result<(), CliError> {
        proof.print()?;
        say!(
            "{} holds all that was committed up to revision {} ({bytes} bytes)",
            self.file.display(),
            proof.revision.0
        )?;
        match &self.with_kek {
            Some(to) => say!(
                "{} holds the key-encryption keys: keep it apart, both together open every private key",
                to.display()
            ),
            None => say!("it does not hold the key-encryption keys: keep those elsewhere"),
        }?;
        match proof.report.problems.len() {
            0 => Ok(()),
            n => say!(
                "the store has {n} problems and the copy has them too: keep the backup before it, and see edgeseal \
                 doctor"
            ),
        }
    }

    fn as_json(&self, proof: &CopyReport, bytes: u64) -> serde_json::Value {
        json!({
            "File": self.file,
            "Bytes": bytes,
            "Revision": proof.revision.0,
            "KekFile": self.with_kek,
            "Opened": proof.unopened_reason.is_none(),
            "LookedAt": proof.report.checked,
            "Problems": proof.problems(),
        })
    }
}

/// The keys of all sources, in the format of a key file.
async fn read_keys(sources: &[KekSource]) -> Result<Zeroizing<String>, CliError> {
    let unread = |error: kek::KekError| CliError::Usage(format!("key-encryption keys: {error}"));
    let text = kek::read_all_text(sources).await.map_err(unread)?;
    // Check that it parses before it is written.
    Keyring::parse(&text).map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(text)
}

fn already_exists(path: &Path) -> CliError {
    place_error(&BackupError::Exists {
        path: path.to_owned(),
    })
}

/// Maps an error to an exit code: a damaged source, an unwritable target, or a wrong path.
pub(super) fn copy_error(error: &OpenError) -> CliError {
    let why = error_chain(error);
    match error {
        OpenError::DiskFull { .. } | OpenError::Fault { .. } => CliError::WriteFailed(why),
        OpenError::Io { cause, .. } if is_disk_error(cause) => CliError::WriteFailed(why),
        OpenError::Database { .. } => CliError::StoreFailed(why),
        OpenError::Unreadable { .. }
        | OpenError::NewerSchema { .. }
        | OpenError::OlderSchema { .. }
        | OpenError::OtherData { .. } => CliError::Data(why),
        _ => CliError::Usage(why),
    }
}

pub(super) fn place_error(error: &BackupError) -> CliError {
    match error {
        BackupError::Open(error) => copy_error(error),
        BackupError::Io { cause, .. } if is_disk_error(cause) => {
            CliError::WriteFailed(error_chain(error))
        }
        _ => CliError::Usage(error_chain(error)),
    }
}

/// Whether the disk is full or fails, rather than the path being wrong.
fn is_disk_error(cause: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let kind = cause.kind();
    // EIO has no `ErrorKind`.
    matches!(
        kind,
        StorageFull | QuotaExceeded | FileTooLarge | ReadOnlyFilesystem
    ) || cause.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
