//! Checks whether everything stored in a data directory is intact and served, whether or not a
//! server runs on it. Changes nothing. The verdict follows from the findings alone.

use edgeseal_store::{
    Fault, Key, Keyring, Source as _, consistency,
    copy::CopyMarker,
    open::{OpenError, StoreUrl},
    sqlite::SqliteSnapshot,
};

use crate::{
    clock,
    config::{Config, ConfigError},
    data_lock::{self, Holder},
    kek::{self, KekError},
};

mod database;
mod expected;
mod files;
mod limits;
mod nodes;
mod replica;
mod roots;
mod sealed;
mod served;
mod view;

pub(crate) use view::{StoreView, ViewError};

/// What was checked, and the findings.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What was checked, one line each.
    pub(crate) checked: Vec<String>,
    /// What is wrong now.
    pub(crate) problems: Vec<Finding>,
    /// What may become wrong soon, or is wrong elsewhere.
    pub(crate) warnings: Vec<Finding>,
}

/// A problem or a warning.
#[derive(Debug)]
pub(crate) struct Finding {
    /// What is wrong, and where.
    pub(crate) summary: String,
    /// The remedy.
    pub(crate) remedy: &'static str,
}

/// The extent of the checks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExamineOptions {
    /// Most handshakes with the edge.
    pub(crate) handshakes: usize,
}

/// Why nothing can be checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoctorError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no store that can be read.
    #[error("{store}: {why}")]
    NoStore {
        /// Its URL.
        store: StoreUrl,
        /// Why it cannot be read.
        why: String,
    },
    /// The store cannot be read completely.
    #[error("the store cannot be read completely: {}; restore a backup", .0.explain())]
    Store(#[from] Fault),
}

/// The remedy for a record that is sealed under a missing key.
pub(crate) const RESTORE_KEY: &str = "add this key to the key sources again, below the active one";
const RESTORE: &str = "restore the store from a backup, or upload the certificate again";
const REBUILD: &str = "stop Edgeseal and restore store.db from a backup; the record named may also be written again \
                       by the call that made it";

const FORGET: &str =
    "restore the store from a backup, or leave it: only the history of the domain is affected";
const RECOUNT: &str = "restart Edgeseal: it recounts at startup";

/// Checks everything.
///
/// # Errors
/// [`DoctorError`] if nothing can be checked; everything else is a [`Finding`].
pub(crate) async fn examine(
    config: &Config,
    effort: ExamineOptions,
) -> Result<Report, DoctorError> {
    let mut report = Report::default();
    let server = data_lock::holder(&config.data);
    limits::examine(config, server, &mut report);
    if let StoreUrl::Postgres(url) = config.store_url() {
        database::examine(&url, &mut report).await;
    }
    let view = open_store(config, server, &mut report).await?;
    files::examine(config, &mut report)?;
    let keyring = read_keyring(config, &mut report).await?;
    let mut bound = None;
    if let Some(view) = &view {
        check_consistency(view, &mut report).await?;
        sealed::examine(&**view, keyring.as_ref(), &mut report).await?;
        let found = expected::read(&**view, config).await?;
        expected::examine(&found, clock::now(), &mut report);
        bound = Some(found);
    }
    if let Some(keyring) = &keyring {
        // The process that owns a store in a file may serve another directory.
        let alone = match &view {
            Some(view) if view.is_copy() => server == Holder::Nobody,
            Some(view) => !view.is_owned(),
            None => true,
        };
        replica::examine(config, keyring, (alone, bound.as_ref()), &mut report).await;
    }
    match (server, bound) {
        (Holder::Nobody, _) => {
            report.checked("no server: none runs on this data directory".to_owned());
        }
        (Holder::Process(_), bound) => {
            // Of a file a new snapshot: holding this one would keep the server's WAL from being
            // checkpointed.
            let view = view.filter(StoreView::is_copy);
            served::examine(config, (view, bound), effort, &mut report).await?;
        }
    }
    Ok(report)
}

/// Checks one store alone, and opens sealed records if keys are given.
///
/// # Errors
/// [`DoctorError::Store`] if it cannot be read completely.
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

/// Why the store takes no changes, if it takes none.
fn judge_marker(marker: Option<&CopyMarker>, report: &mut Report) {
    match marker {
        None => {}
        Some(marker @ CopyMarker::Unfinished { .. }) => {
            report.problem(marker.reason(), "finish it with edgeseal store copy");
        }
        Some(marker) => report.warning(
            marker.reason(),
            "if it is to take changes, run edgeseal store reopen; if not, stop its servers",
        ),
    }
}

/// Checks the file and the consistency of the records.
async fn check_consistency(view: &SqliteSnapshot, report: &mut Report) -> Result<(), Fault> {
    for finding in view.integrity_errors()? {
        report.problem(format!("store.db is damaged: {finding}"), REBUILD);
    }
    let marker = view.get(&Key::copy_marker()).await?;
    let marker = marker.map(|marker| CopyMarker::parse(&marker.value));
    judge_marker(marker.transpose()?.as_ref(), report);
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
    check_history(view, report).await
}

async fn check_history(view: &SqliteSnapshot, report: &mut Report) -> Result<(), Fault> {
    let found = consistency::check_history(view, clock::now()).await?;
    report.checked(format!(
        "{} changes in the history of {} domains",
        found.changes, found.domains
    ));
    for finding in found.findings {
        report.problem(format!("{}: {}", finding.key, finding.what), FORGET);
    }
    Ok(())
}

/// Opens the store; if it cannot be read, reports a problem and returns `None`.
async fn open_store(
    config: &Config,
    server: Holder,
    report: &mut Report,
) -> Result<Option<StoreView>, DoctorError> {
    let no_store = |why: String| DoctorError::NoStore {
        store: config.store_url(),
        why,
    };
    match StoreView::open(config).await {
        Ok(view) => Ok(Some(view)),
        Err(error @ ViewError::InMemory) => Err(no_store(error.to_string())),
        // A new directory has no store to report.
        Err(ViewError::Open(OpenError::Io { cause, .. }))
            if server == Holder::Nobody && !replica::exists(config) =>
        {
            Err(no_store(cause.to_string()))
        }
        Err(error @ ViewError::Database { .. }) => {
            report.problem(
                error.to_string(),
                "see that the database runs and is reachable",
            );
            Ok(None)
        }
        Err(error) => {
            report.problem(error.to_string(), "restore store.db, or a backup of it");
            Ok(None)
        }
    }
}

/// The key-encryption keys; if there are none, reports a problem and returns `None`.
async fn read_keyring(
    config: &Config,
    report: &mut Report,
) -> Result<Option<Keyring>, DoctorError> {
    match kek::read_all(&config.kek_sources()).await {
        Ok(keyring) => {
            report.checked(format!("{} key-encryption keys", keyring.ids().len()));
            Ok(Some(keyring))
        }
        Err(error) => {
            let cure = match error {
                KekError::Missing { .. } | KekError::Variable { .. } => {
                    "restore the key-encryption keys: no sealed value opens without them"
                }
                _ => "fix the source of the key-encryption keys",
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
