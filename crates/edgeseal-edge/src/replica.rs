//! The last good state on disk: what an edge serves after its own restart with the store gone.
//!
//! A SQLite file holds the record of each domain as it was stored, the material and issuers that it
//! needs (keys stay sealed), the ticket keys that edges share (sealed too), what is quarantined, and
//! the *cursor*: the revision up to which the
//! file holds every change. The cursor is never ahead of the data: both are written in one
//! transaction, in order. If changes come faster than the disk takes them, or the disk fails, what
//! is lost is the advance of the cursor, never the truth of it: after a restart the store is asked
//! again for everything after it.
//!
//! Every row carries a checksum, and how many domains there are is written with them: a disk that
//! gives back other octets than it was given costs what they were of, until the store has been asked
//! for everything again.
//!
//! `synchronous=NORMAL`: a power cut may lose the last transactions, whole ones and the last ones
//! only, and the store has them all.

use std::{
    fs::{OpenOptions, Permissions},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use edgeseal_core::{Pattern, certificate::Digest, domain::Environment};
use edgeseal_store::Revision;
use tokio::sync::oneshot;

use crate::tls::StoredTicketKey;

mod database;
mod examine;
mod mark;
mod rows;
mod standing;
mod writer;

pub use examine::{Examined, examine};
pub(crate) use writer::Writer;

/// An open replica, before the edge serves from it.
#[derive(Debug)]
pub(crate) struct Replica {
    database: database::Database,
    loaded_from: PathBuf,
}

/// What a replica says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether a full listing was once written: what is in it can be served on its own.
    pub(crate) complete: bool,
    /// Every change up to here is in it; `None` if the store must be asked for everything.
    pub(crate) cursor: Option<Revision>,
    /// How many domains it holds.
    pub(crate) domains: u64,
}

/// One domain as it was stored, to be written.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: Pattern,
    /// The commit that wrote the record.
    pub(crate) revision: Revision,
    /// The record.
    pub(crate) record: Bytes,
    /// The material of the first certificate that it serves, as stored.
    pub(crate) material: Option<(Digest, Bytes)>,
    /// The material of the second one.
    pub(crate) companion: Option<(Digest, Bytes)>,
}

/// Material as it stands in the file.
#[derive(Debug)]
pub(crate) struct MaterialRow {
    /// Its address.
    pub(crate) digest: Digest,
    /// As it was stored.
    pub(crate) value: Box<[u8]>,
    mark: i64,
}

/// A domain as it stands in the file.
#[derive(Debug)]
pub(crate) struct DomainRow {
    /// Its name, perhaps none that is legal.
    pub(crate) name: Box<str>,
    /// The commit that wrote the record.
    pub(crate) revision: Revision,
    /// The record.
    pub(crate) record: Box<[u8]>,
    /// The material of the first certificate that it serves.
    pub(crate) material: Option<Digest>,
    /// The material of the second one.
    pub(crate) companion: Option<Digest>,
    mark: i64,
}

/// An issuer's address and DER.
pub(crate) type Issuer = (Digest, Arc<[u8]>);

/// A change of the replica, applied whole.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Issuers that material of this batch needs.
    pub(crate) issuers: Vec<Issuer>,
    /// New or changed domains. Their quarantine ends.
    pub(crate) put: Vec<Row>,
    /// Domains that are gone, quarantine included.
    pub(crate) remove: Vec<Pattern>,
    /// Domains whose newest record cannot be used, with the reason. Their row stays.
    pub(crate) quarantine: Vec<(Pattern, String)>,
    /// Material whose key was sealed anew, as it is stored; of what no domain needs any more,
    /// nothing is written.
    pub(crate) resealed: Vec<(Digest, Bytes)>,
    /// The shared ticket keys, sealed, in the place of all that were there.
    pub(crate) ticket_keys: Option<Vec<StoredTicketKey>>,
    /// How far the replica is with this batch.
    pub(crate) reached: Reached,
    /// Told once the batch is on disk for good, with all before it.
    pub(crate) written: Option<oneshot::Sender<()>>,
}

/// How far a replica is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reached {
    /// As far as before.
    #[default]
    Unchanged,
    /// Every change up to here is in it.
    Cursor(Revision),
    /// The same, and it was a full listing.
    Complete(Revision),
}

/// The replica cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The directory cannot be made or its files cannot be moved.
    #[error("the replica's directory: {0}")]
    Directory(#[from] std::io::Error),
    /// SQLite failed.
    #[error("the replica: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// SQLite found the file broken.
    #[error("the replica is corrupted: {finding}")]
    Corrupted {
        /// What it found first.
        finding: String,
    },
    /// It was written for another environment or by a newer release.
    #[error("the replica is for {found}, not for {wanted}")]
    Foreign {
        /// What it says of itself.
        found: String,
        /// What was expected.
        wanted: String,
    },
}

impl Replica {
    /// Opens the replica in `directory`, or makes an empty one. One that is corrupted, or was made
    /// for another environment, is moved aside, and an empty one takes its place: the store will be
    /// asked for everything.
    ///
    /// # Errors
    /// [`ReplicaError`] if not even an empty one can be made.
    pub(crate) fn open(directory: &Path, environment: Environment) -> Result<Self, ReplicaError> {
        std::fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        keep_private(directory)?;
        let database = match database::Database::open(&path, environment) {
            Ok(database) => database,
            Err(why) => {
                let aside = move_aside(directory)?;
                keep_private(directory)?;
                tracing::error!(
                    error = &why as &dyn std::error::Error,
                    "the replica {} cannot be used; it was moved to {} and the store is asked for \
                     everything",
                    path.display(),
                    aside.display(),
                );
                database::Database::open(&path, environment)?
            }
        };
        Ok(Self {
            database,
            loaded_from: directory.to_owned(),
        })
    }

    /// Opens the replica that another process writes, and changes nothing. What is read shows one
    /// moment, until [`let_go`](Self::let_go).
    ///
    /// # Errors
    /// [`ReplicaError`] if there is none, or none that is whole and of this release.
    pub(crate) fn open_beside(
        directory: &Path,
        environment: Environment,
    ) -> Result<Self, ReplicaError> {
        Self::open_there(directory, environment, true)
    }

    /// Opens a replica that this process had open before, without looking whether it is whole: of a
    /// million domains that would take seconds.
    ///
    /// # Errors
    /// [`ReplicaError`].
    pub(crate) fn open_again(
        directory: &Path,
        environment: Environment,
    ) -> Result<Self, ReplicaError> {
        Self::open_there(directory, environment, false)
    }

    fn open_there(
        directory: &Path,
        environment: Environment,
        checked: bool,
    ) -> Result<Self, ReplicaError> {
        let path = directory.join(FILE);
        Ok(Self {
            database: database::Database::open_there(&path, environment, checked)?,
            loaded_from: directory.to_owned(),
        })
    }

    /// Ends the moment that [`open_beside`](Self::open_beside) has begun.
    pub(crate) fn let_go(&self) -> Result<(), ReplicaError> {
        Ok(self.database.let_go()?)
    }

    /// Takes over what another process has written since, which writes no more.
    pub(crate) fn reread(&mut self) -> Result<(), ReplicaError> {
        Ok(self.database.reread()?)
    }

    /// How far it is.
    pub(crate) const fn standing(&self) -> Standing {
        self.database.standing()
    }

    /// All issuers, as they stand there: whether their digests are theirs is not looked at.
    pub(crate) fn issuers(&self) -> Result<Vec<Issuer>, ReplicaError> {
        Ok(self.database.issuers()?)
    }

    /// Visits all material.
    pub(crate) fn visit_materials(
        &self,
        each: impl FnMut(MaterialRow),
    ) -> Result<(), ReplicaError> {
        Ok(self.database.visit_materials(each)?)
    }

    /// Visits all domains.
    pub(crate) fn visit_domains(&self, each: impl FnMut(DomainRow)) -> Result<(), ReplicaError> {
        Ok(self.database.visit_domains(each)?)
    }

    /// The shared ticket keys, sealed; those left out that are not what was written. If they do not
    /// read at all an edge can do without.
    pub(crate) fn ticket_keys(&self) -> Vec<StoredTicketKey> {
        self.database.ticket_keys().unwrap_or_else(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the replica's ticket keys do not read"
            );
            Vec::new()
        })
    }

    /// What was quarantined.
    pub(crate) fn quarantine(&self) -> Result<Vec<(Pattern, String)>, ReplicaError> {
        Ok(self.database.quarantine()?)
    }

    /// Keeps what is whole and nothing else, and forgets how far it is: the store is asked for
    /// everything, now and after every restart until it has answered.
    pub(crate) fn rebuild(&mut self) -> Result<(), ReplicaError> {
        Ok(self.database.rebuild()?)
    }

    /// Moves it aside and gives an empty one, after a failure to read it.
    pub(crate) fn replace(self, environment: Environment) -> Result<Self, ReplicaError> {
        let directory = self.loaded_from;
        drop(self.database);
        move_aside(&directory)?;
        Self::open(&directory, environment)
    }

    /// Gives it to its own thread, which writes from now on.
    pub(crate) fn into_writer(self) -> std::io::Result<Writer> {
        Writer::start(self.database)
    }
}

pub(crate) const FILE: &str = "replica.sqlite";

/// Has the file, which is made if need be, readable by its owner only, and with it what SQLite keeps
/// beside it: that takes the mode of the file when it is made.
fn keep_private(directory: &Path) -> std::io::Result<()> {
    let path = directory.join(FILE);
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)?;
    for tail in ["", "-wal", "-shm"] {
        let path = directory.join(format!("{FILE}{tail}"));
        // An earlier release left it to the umask.
        match std::fs::set_permissions(&path, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Moves the file and what SQLite keeps beside it. Only the latest one moved aside is kept.
fn move_aside(directory: &Path) -> std::io::Result<PathBuf> {
    let aside = directory.join("replica.sqlite.corrupted");
    for tail in ["", "-wal", "-shm"] {
        let from = directory.join(format!("{FILE}{tail}"));
        let to = directory.join(format!("replica.sqlite.corrupted{tail}"));
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

#[cfg(test)]
mod tests;
