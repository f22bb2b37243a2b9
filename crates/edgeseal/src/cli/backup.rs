//! `edgeseal backup`: a copy of the store, beside the server that writes to it or without one.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;
use edgeseal_store::{
    Keyring, Revision,
    open::OpenError,
    sqlite::{PlaceError, StoreCopy},
};
use serde_json::json;
use zeroize::Zeroizing;

use super::{EX_DATA, Failure, output::say};
use crate::{
    bootstrap,
    config::{Config, Flags},
    doctor::{self, Report},
    kek::{self, KekSource},
    opening::with_causes,
};

#[derive(Args)]
pub(super) struct Command {
    /// Where the copy goes; there must be nothing yet
    file: PathBuf,
    /// Copy the key-encryption keys too, into a file of their own: whoever has both has every private key
    #[arg(long, value_name = "FILE")]
    with_kek: Option<PathBuf>,
    #[command(flatten)]
    of: StoreFlags,
    /// Print what was copied as JSON
    #[arg(long)]
    json: bool,
}

/// Which store.
#[derive(Args)]
pub(super) struct StoreFlags {
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

/// What a copy holds, by a look at all of it.
pub(super) struct Proof {
    pub(super) report: Report,
    pub(super) revision: Revision,
    /// Why sealed records were not opened; `None` if they were.
    pub(super) unopened: Option<String>,
}

impl StoreFlags {
    /// The configuration, and the file of its store.
    pub(super) fn load(&self) -> Result<(Config, PathBuf), Failure> {
        let config = Config::load(&Flags {
            config: self.config.clone(),
            data: self.data.clone(),
            store: self.store.clone(),
            ..Flags::default()
        })?;
        let url = config.store_url();
        let path = url.strip_prefix("sqlite:").map(PathBuf::from);
        let path = path.ok_or_else(|| {
            Failure::Usage(format!(
                "{url} is no store in a file; one elsewhere is backed up with its own tools"
            ))
        })?;
        Ok((config, path))
    }
}

impl Proof {
    /// Looks at a copy: whether the file is whole, whether it contradicts itself, and whether what is
    /// sealed opens with the keys that are at hand.
    pub(super) async fn of(copy: &StoreCopy, config: &Config) -> Result<Self, Failure> {
        let view = copy.view().map_err(|error| not_copied(&error))?;
        let keyring = kek::read_all(&config.kek_sources()?).await;
        let examined = doctor::examine_store(&view, keyring.as_ref().ok()).await?;
        Ok(Self {
            report: examined,
            revision: view.revision().map_err(doctor::DoctorError::from)?,
            unopened: keyring.err().map(|error| error.to_string()),
        })
    }

    /// Whether something is sealed under keys that are not at hand.
    pub(super) fn lacks_keys(&self) -> bool {
        let problems = &self.report.problems;
        self.unopened.is_some()
            || problems
                .iter()
                .any(|problem| problem.cure == doctor::KEY_BACK)
    }

    /// Says what was found.
    pub(super) fn print(&self) -> Result<(), Failure> {
        for line in &self.report.looked_at {
            say!("looked at {line}")?;
        }
        if let Some(why) = &self.unopened {
            say!("warning: what is sealed was not opened: {why}")?;
        }
        for problem in &self.report.problems {
            say!("problem: {}", problem.what)?;
        }
        Ok(())
    }

    fn problems(&self) -> Vec<&str> {
        let problems = self.report.problems.iter();
        problems.map(|problem| problem.what.as_str()).collect()
    }
}

impl Command {
    pub(super) async fn run(self) -> Result<std::process::ExitCode, Failure> {
        let (config, store) = self.of.load()?;
        if self.file.exists() {
            return Err(exists(&self.file));
        }
        let keys = match &self.with_kek {
            Some(to) if to.exists() => return Err(exists(to)),
            Some(_) => Some(texts(&config.kek_sources()?).await?),
            None => None,
        };
        let copy = StoreCopy::of(&store, &self.file);
        let copy = copy.map_err(|error| not_copied(&error))?;
        let proof = Proof::of(&copy, &config).await?;
        let bytes = copy.bytes()?;
        if let (Some(to), Some(keys)) = (&self.with_kek, &keys) {
            bootstrap::write_new_private(to, keys.as_bytes())
                .map_err(|error| Failure::Usage(error.to_string()))?;
        }
        copy.publish(&self.file).map_err(|error| unplaced(&error))?;
        if self.json {
            say!("{}", self.as_json(&proof, bytes))?;
        } else {
            self.print(&proof, bytes)?;
        }
        Ok(match proof.report.problems.len() {
            0 => std::process::ExitCode::SUCCESS,
            _ => std::process::ExitCode::from(EX_DATA),
        })
    }

    fn print(&self, proof: &Proof, bytes: u64) -> Result<(), Failure> {
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

    fn as_json(&self, proof: &Proof, bytes: u64) -> serde_json::Value {
        json!({
            "File": self.file,
            "Bytes": bytes,
            "Revision": proof.revision.0,
            "KekFile": self.with_kek,
            "Opened": proof.unopened.is_none(),
            "LookedAt": proof.report.looked_at,
            "Problems": proof.problems(),
        })
    }
}

/// The keys of all sources as one file would hold them.
async fn texts(sources: &[KekSource]) -> Result<Zeroizing<String>, Failure> {
    let unread = |error: kek::KekError| Failure::Usage(format!("key-encryption keys: {error}"));
    let text = kek::text_of_all(sources).await.map_err(unread)?;
    // One that does not parse is not worth keeping.
    Keyring::parse(&text).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(text)
}

fn exists(path: &Path) -> Failure {
    unplaced(&PlaceError::Exists {
        path: path.to_owned(),
    })
}

/// Why there is no copy: what is read is damaged, what is written cannot be, or a path is wrong.
pub(super) fn not_copied(error: &OpenError) -> Failure {
    let why = with_causes(error);
    match error {
        OpenError::Full { .. } | OpenError::Fault { .. } => Failure::Unwritten(why),
        OpenError::Io { cause, .. } if is_of_disk(cause) => Failure::Unwritten(why),
        OpenError::Unreadable { .. } | OpenError::Newer { .. } | OpenError::Older { .. } => {
            Failure::Data(why)
        }
        _ => Failure::Usage(why),
    }
}

pub(super) fn unplaced(error: &PlaceError) -> Failure {
    match error {
        PlaceError::Open(error) => not_copied(error),
        PlaceError::Io { cause, .. } if is_of_disk(cause) => Failure::Unwritten(with_causes(error)),
        _ => Failure::Usage(with_causes(error)),
    }
}

/// Whether a disk is full or fails, and no path is wrong.
fn is_of_disk(cause: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let kind = cause.kind();
    // That input or output failed (EIO) has no kind.
    matches!(
        kind,
        StorageFull | QuotaExceeded | FileTooLarge | ReadOnlyFilesystem
    ) || cause.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
