//! Whether what is kept in a data directory is whole, and served: looked at beside the server that runs
//! on it, or without one, and never changed. The verdict follows from what was found, and from nothing
//! else.

use std::path::PathBuf;

use edgeseal_store::{Fault, Keyring, consistency, open::OpenError, sqlite::SqliteSnapshot};

use crate::{
    clock,
    config::{Config, ConfigError},
    data_lock::{self, Holder},
    kek::{self, KekError},
};

mod expected;
mod files;
mod limits;
mod replica;
mod roots;
mod sealed;
mod served;

/// What was looked at and what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What was looked at, one line each.
    pub(crate) checked: Vec<String>,
    /// What is wrong.
    pub(crate) problems: Vec<Finding>,
    /// What is not wrong now, and may be soon, or elsewhere.
    pub(crate) warnings: Vec<Finding>,
}

/// Something that is wrong, or may be.
#[derive(Debug)]
pub(crate) struct Finding {
    /// What, and where.
    pub(crate) summary: String,
    /// What to do about it.
    pub(crate) remedy: &'static str,
}

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExamineOptions {
    /// Handshakes with the edge at most.
    pub(crate) handshakes: usize,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoctorError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store is no file, or there is none.
    #[error("{store}: {why}")]
    NoStoreFile {
        /// Its address.
        store: String,
        /// Why it cannot be looked at.
        why: String,
    },
    /// The store cannot be read to its end.
    #[error("the store cannot be read to its end: {}; put a backup back", fault_text(.0))]
    Store(#[from] Fault),
}

fn fault_text(fault: &Fault) -> String {
    match &fault.cause {
        Some(cause) => format!("{}: {cause}", fault.operation),
        None => fault.operation.to_owned(),
    }
}

/// What to do about a record that is sealed under a key that is not at hand.
pub(crate) const RESTORE_KEY: &str =
    "put this key back where the key-encryption keys come from, below the one that seals";
const RESTORE: &str = "restore the store from a backup, or upload the certificate again";
const REBUILD: &str = "stop Edgeseal and restore store.db from a backup; the record named may also be written again \
                       by the call that made it";

const RECOUNT: &str = "start Edgeseal again: it counts anew when it starts";

/// Looks at everything.
///
/// # Errors
/// [`DoctorError`] if not even that can be done; everything else is a [`Finding`].
pub(crate) async fn examine(
    config: &Config,
    effort: ExamineOptions,
) -> Result<Report, DoctorError> {
    let mut report = Report::default();
    let server = data_lock::holder(&config.data);
    limits::examine(config, server, &mut report);
    let view = open_store(config, server, &mut report)?;
    files::examine(config, &mut report)?;
    let keyring = read_keyring(config, &mut report).await?;
    let mut bound = None;
    if let Some(view) = &view {
        check_consistency(view, &mut report).await?;
        sealed::examine(view, keyring.as_ref(), &mut report).await?;
        let found = expected::read(view, config).await?;
        expected::examine(&found, clock::now(), &mut report);
        bound = Some(found);
    }
    if let Some(keyring) = &keyring {
        let alone = view.as_ref().is_none_or(|view| !view.is_owned());
        replica::examine(config, keyring, (alone, bound.as_ref()), &mut report).await;
    }
    match (server, bound) {
        (Holder::Nobody, _) => {
            report.checked("no server: none runs on this data directory".to_owned());
        }
        (Holder::Process(_), bound) => {
            // Another moment than before: this one is not to keep the log of the server from folding.
            drop(view);
            served::examine(config, bound, effort, &mut report).await?;
        }
    }
    Ok(report)
}

/// Looks at one store alone; what is sealed is opened if there are keys.
///
/// # Errors
/// [`DoctorError::Store`] if it cannot be read to its end.
pub(crate) async fn examine_store(
    view: &SqliteSnapshot,
    keyring: Option<&Keyring>,
) -> Result<Report, DoctorError> {
    let mut report = Report::default();
    check_consistency(view, &mut report).await?;
    if keyring.is_some() {
        sealed::examine(view, keyring, &mut report).await?;
    }
    Ok(report)
}

/// Whether the store contradicts itself.
async fn check_consistency(view: &SqliteSnapshot, report: &mut Report) -> Result<(), Fault> {
    for finding in view.integrity_errors()? {
        report.problem(format!("store.db is damaged: {finding}"), REBUILD);
    }
    let amiss = view.listing_mismatches()?;
    if amiss > 0 {
        let what = format!("{amiss} rows of the table of listings are not what they list");
        report.problem(what, REBUILD);
    }
    let found = consistency::check(view).await?;
    report.checked(format!(
        "{} domains, {} certificates, {} entries of indexes",
        found.domains, found.certificates, found.indexed
    ));
    for finding in found.findings {
        let is_count = finding.key.as_count().is_some();
        let cure = if is_count { RECOUNT } else { REBUILD };
        report.problem(format!("{}: {}", finding.key, finding.what), cure);
    }
    Ok(())
}

/// Opens the store; `None`, with a problem, if it cannot be read.
fn open_store(
    config: &Config,
    server: Holder,
    report: &mut Report,
) -> Result<Option<SqliteSnapshot>, DoctorError> {
    let url = config.store_url();
    let no_file = |why: String| DoctorError::NoStoreFile {
        store: url.clone(),
        why,
    };
    let path = url.strip_prefix("sqlite:").map(PathBuf::from);
    let path = path.ok_or_else(|| no_file("only a store in a file can be looked at".to_owned()))?;
    match SqliteSnapshot::open(&path) {
        Ok(view) => Ok(Some(view)),
        // Where nothing has ever been there is nothing to be told.
        Err(OpenError::Io { cause, .. })
            if server == Holder::Nobody && !replica::exists(config) =>
        {
            Err(no_file(cause.to_string()))
        }
        Err(error) => {
            report.problem(error.to_string(), "put store.db back, or a backup of it");
            Ok(None)
        }
    }
}

/// The key-encryption keys; `None`, with a problem, if there are none.
async fn read_keyring(
    config: &Config,
    report: &mut Report,
) -> Result<Option<Keyring>, DoctorError> {
    match kek::read_all(&config.kek_sources()?).await {
        Ok(keyring) => {
            report.checked(format!("{} key-encryption keys", keyring.ids().len()));
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

impl Report {
    fn checked(&mut self, what: String) {
        self.checked.push(what);
    }

    fn problem(&mut self, what: String, cure: &'static str) {
        self.problems.push(Finding {
            summary: what,
            remedy: cure,
        });
    }

    fn warning(&mut self, what: String, cure: &'static str) {
        self.warnings.push(Finding {
            summary: what,
            remedy: cure,
        });
    }
}
