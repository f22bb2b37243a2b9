//! Whether what is kept in a data directory is whole: looked at beside the server that runs on it,
//! or without one, and never changed.

use std::path::{Path, PathBuf};

use edgeseal_edge::ReplicaError;
use edgeseal_store::{Fault, Keyring, consistency, open::OpenError, sqlite::SqliteView};

use crate::{
    config::{Config, ConfigError},
    kek::{self, KekError},
    resources::{self, Descriptors},
};

mod files;
mod sealed;

/// What was looked at and what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What was looked at, one line each.
    pub(crate) looked_at: Vec<String>,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
}

/// Something that is wrong.
#[derive(Debug)]
pub(crate) struct Problem {
    /// What, and where.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) cure: &'static str,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoctorError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store is no file, or there is none.
    #[error("{store}: {why}")]
    NoFile {
        /// Its address.
        store: String,
        /// Why it cannot be looked at.
        why: String,
    },
    /// The store cannot be read to its end.
    #[error("the store cannot be read to its end: {}; put a backup back", reason(.0))]
    Store(#[from] Fault),
}

fn reason(fault: &Fault) -> String {
    match &fault.cause {
        Some(cause) => format!("{}: {cause}", fault.what),
        None => fault.what.to_owned(),
    }
}

const RESTORE: &str = "restore the store from a backup, or upload the certificate again";
const REBUILD: &str = "stop Edgeseal and restore store.db from a backup; the record named may also be written again \
                       by the call that made it";
const REPLICA: &str =
    "stop Edgeseal and remove the files of the replica: it is made anew from the store";

/// Looks at everything.
///
/// # Errors
/// [`DoctorError`] if not even that can be done; everything else is a [`Problem`].
pub(crate) async fn examine(config: &Config) -> Result<Report, DoctorError> {
    let mut report = Report::default();
    descriptors(config, &mut report);
    let view = open(config, &mut report)?;
    files::examine(config, &mut report)?;
    let keyring = keyring(config, &mut report).await?;
    if let Some(view) = &view {
        for finding in view.damage()? {
            report.problem(format!("store.db is damaged: {finding}"), REBUILD);
        }
        let amiss = view.listings_amiss()?;
        if amiss > 0 {
            let what = format!("{amiss} rows of the table of listings are not what they list");
            report.problem(what, REBUILD);
        }
        let found = consistency::check(view).await?;
        report.looked_at(format!(
            "{} domains, {} certificates, {} entries of indexes",
            found.domains, found.certificates, found.indexed
        ));
        for finding in found.findings {
            report.problem(format!("{}: {}", finding.key, finding.what), REBUILD);
        }
        sealed::examine(view, keyring.as_ref(), &mut report).await?;
    }
    if let Some(keyring) = &keyring {
        let alone = view.as_ref().is_none_or(|view| !view.is_owned());
        replica(&config.data.join("edge"), keyring, alone, &mut report);
    }
    Ok(report)
}

/// What a server that is started like this command may have.
fn descriptors(config: &Config, report: &mut Report) {
    let allowed = resources::descriptors_allowed();
    let shared = Descriptors::share(allowed, config.connections, config.api_connections);
    if let Some(allowed) = allowed
        && shared.connections < config.connections
    {
        report.looked_at(format!(
            "{allowed} file descriptors, which is too few: the edge would take {} connections instead of {} \
             (LimitNOFILE, ulimit -n)",
            shared.connections, config.connections
        ));
    }
}

/// Opens the store; `None`, with a problem, if it cannot be read.
fn open(config: &Config, report: &mut Report) -> Result<Option<SqliteView>, DoctorError> {
    let url = config.store_url();
    let no_file = |why: String| DoctorError::NoFile {
        store: url.clone(),
        why,
    };
    let path = url.strip_prefix("sqlite:").map(PathBuf::from);
    let path = path.ok_or_else(|| no_file("only a store in a file can be looked at".to_owned()))?;
    match SqliteView::open(&path) {
        Ok(view) => Ok(Some(view)),
        Err(OpenError::Io { cause, .. }) => Err(no_file(cause.to_string())),
        Err(error) => {
            report.problem(error.to_string(), "restore store.db from a backup");
            Ok(None)
        }
    }
}

/// The key-encryption keys; `None`, with a problem, if there are none.
async fn keyring(config: &Config, report: &mut Report) -> Result<Option<Keyring>, DoctorError> {
    match kek::read_all(&config.kek_sources()?).await {
        Ok(keyring) => {
            report.looked_at(format!("{} key-encryption keys", keyring.ids().len()));
            Ok(Some(keyring))
        }
        Err(error) => {
            let cure = match error {
                KekError::Missing { .. } | KekError::Variable { .. } => {
                    "put the key-encryption keys back: nothing that is sealed opens without them"
                }
                _ => "mend the source of the key-encryption keys",
            };
            report.problem(format!("key-encryption keys: {error}"), cure);
            Ok(None)
        }
    }
}

fn replica(directory: &Path, keyring: &Keyring, alone: bool, report: &mut Report) {
    let found = match edgeseal_edge::examine(directory, keyring, alone) {
        Ok(None) => return,
        Ok(Some(found)) => found,
        Err(error) => {
            let what = match &error {
                ReplicaError::Corrupted { .. } => error.to_string(),
                other => format!("the edge's replica cannot be read: {other}"),
            };
            report.problem(what, REPLICA);
            return;
        }
    };
    report.looked_at(format!("{} domains in the edge's replica", found.domains));
    if !found.complete {
        report.problem(
            "the edge's replica is not complete: without the store the edge would not start"
                .to_owned(),
            "start Edgeseal once with its store",
        );
    }
    for (name, why) in found.unusable {
        report.problem(format!("replica, {name}: {why}"), REPLICA);
    }
    for (name, why) in found.quarantined {
        report.problem(
            format!("{name} is in quarantine and served from an older state: {why}"),
            RESTORE,
        );
    }
}

impl Report {
    fn looked_at(&mut self, what: String) {
        self.looked_at.push(what);
    }

    fn problem(&mut self, what: String, cure: &'static str) {
        self.problems.push(Problem { what, cure });
    }
}
