//! Whether what is kept in a data directory is whole, and served: looked at beside the server that runs
//! on it, or without one, and never changed. The verdict follows from what was found, and from nothing
//! else.

use std::path::PathBuf;

use edgeseal_store::{Fault, Keyring, consistency, open::OpenError, sqlite::SqliteView};

use crate::{
    clock,
    config::{Config, ConfigError},
    data_lock::{self, Holder},
    kek::{self, KekError},
};

mod bound;
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
    pub(crate) looked_at: Vec<String>,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
    /// What is not wrong now, and may be soon, or elsewhere.
    pub(crate) warnings: Vec<Problem>,
}

/// Something that is wrong, or may be.
#[derive(Debug)]
pub(crate) struct Problem {
    /// What, and where.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) cure: &'static str,
}

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
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

/// What to do about a record that is sealed under a key that is not at hand.
pub(crate) const KEY_BACK: &str =
    "put this key back where the key-encryption keys come from, below the one that seals";
const RESTORE: &str = "restore the store from a backup, or upload the certificate again";
const REBUILD: &str = "stop Edgeseal and restore store.db from a backup; the record named may also be written again \
                       by the call that made it";

const RECOUNT: &str = "start Edgeseal again: it counts anew when it starts";

/// Looks at everything.
///
/// # Errors
/// [`DoctorError`] if not even that can be done; everything else is a [`Problem`].
pub(crate) async fn examine(config: &Config, effort: Effort) -> Result<Report, DoctorError> {
    let mut report = Report::default();
    let server = data_lock::holder(&config.data);
    limits::examine(config, server, &mut report);
    let view = open(config, server, &mut report)?;
    files::examine(config, &mut report)?;
    let keyring = keyring(config, &mut report).await?;
    let mut bound = None;
    if let Some(view) = &view {
        whole(view, &mut report).await?;
        sealed::examine(view, keyring.as_ref(), &mut report).await?;
        let found = bound::read(view, config).await?;
        bound::examine(&found, clock::now(), &mut report);
        bound = Some(found);
    }
    if let Some(keyring) = &keyring {
        let alone = view.as_ref().is_none_or(|view| !view.is_owned());
        replica::examine(config, keyring, (alone, bound.as_ref()), &mut report).await;
    }
    match (server, bound) {
        (Holder::Nobody, _) => {
            report.looked_at("no server: none runs on this data directory".to_owned());
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
    view: &SqliteView,
    keyring: Option<&Keyring>,
) -> Result<Report, DoctorError> {
    let mut report = Report::default();
    whole(view, &mut report).await?;
    if keyring.is_some() {
        sealed::examine(view, keyring, &mut report).await?;
    }
    Ok(report)
}

/// Whether the store contradicts itself.
async fn whole(view: &SqliteView, report: &mut Report) -> Result<(), Fault> {
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
        let is_count = finding.key.as_count().is_some();
        let cure = if is_count { RECOUNT } else { REBUILD };
        report.problem(format!("{}: {}", finding.key, finding.what), cure);
    }
    Ok(())
}

/// Opens the store; `None`, with a problem, if it cannot be read.
fn open(
    config: &Config,
    server: Holder,
    report: &mut Report,
) -> Result<Option<SqliteView>, DoctorError> {
    let url = config.store_url();
    let no_file = |why: String| DoctorError::NoFile {
        store: url.clone(),
        why,
    };
    let path = url.strip_prefix("sqlite:").map(PathBuf::from);
    let path = path.ok_or_else(|| no_file("only a store in a file can be looked at".to_owned()))?;
    match SqliteView::open(&path) {
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

impl Report {
    fn looked_at(&mut self, what: String) {
        self.looked_at.push(what);
    }

    fn problem(&mut self, what: String, cure: &'static str) {
        self.problems.push(Problem { what, cure });
    }

    fn warning(&mut self, what: String, cure: &'static str) {
        self.warnings.push(Problem { what, cure });
    }
}
