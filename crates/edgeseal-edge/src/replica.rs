//! The last good state on disk: what an edge serves after its own restart with the store gone.
//!
//! A SQLite file holds the record of each domain as it was stored, the material and issuers that it
//! needs (keys stay sealed), the ticket keys that edges share (sealed too), what is quarantined, and
//! the *cursor*: the revision up to which the
//! file holds every change. The cursor is never ahead of the data: both are written in one
//! transaction, in order. A change is written before it is served, so that an edge that is killed does
//! not go back to what it no longer served; but it is not waited for long ([`Writer::write`]). If
//! changes come faster than the disk takes them, the domains that were left out are written when there
//! is room again, and until then the cursor stays where it is.
//!
//! Every row carries a checksum, and how many domains there are is written with them: a disk that
//! gives back other bytes than it was given costs what they were of, until the store has been asked
//! for everything again. What is whole of a file that SQLite cannot read any more is salvaged.
//!
//! `synchronous=NORMAL`: a power cut may lose the last transactions, whole ones and the last ones
//! only, and the store has them all. If it is away after a power cut, the edge may serve what it
//! served some seconds before. An edge that is killed loses nothing that was written.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use edgeseal_core::{DomainPattern, certificate::Digest, domain::Environment};
use edgeseal_store::Revision;
use tokio::sync::oneshot;

use crate::tls::StoredTicketKey;

mod checksum;
mod database;
mod inspect;
mod opening;
mod rows;
mod salvage;
mod statements;
mod status;
mod writer;

pub use inspect::{ReplicaReport, inspect_replica};
pub(crate) use writer::{Backfill, Writer};

/// An open replica, before the edge serves from it.
#[derive(Debug)]
pub(crate) struct Replica {
    database: database::Database,
    loaded_from: PathBuf,
}

/// What a replica says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplicaStatus {
    /// Whether a full listing was once written: what is in it can be served on its own.
    pub(crate) complete: bool,
    /// Every change up to here is in it; `None` if the store must be asked for everything.
    pub(crate) cursor: Option<Revision>,
    /// How many domains it holds.
    pub(crate) domains: u64,
}

/// One domain as it was stored, to be written.
#[derive(Clone, Debug)]
pub(crate) struct DomainWrite {
    /// Its name.
    pub(crate) name: DomainPattern,
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
    checksum: i64,
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
    checksum: i64,
}

/// An issuer's address and DER.
pub(crate) type Issuer = (Digest, Arc<[u8]>);

/// A change of the replica, applied whole.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Issuers that material of this batch needs.
    pub(crate) issuers: Vec<Issuer>,
    /// New or changed domains. Their quarantine ends.
    pub(crate) put: Vec<DomainWrite>,
    /// Domains that are gone, quarantine included.
    pub(crate) remove: Vec<DomainPattern>,
    /// Domains whose newest record cannot be used, with the reason. Their row stays.
    pub(crate) quarantine: Vec<(DomainPattern, String)>,
    /// Material whose key was sealed anew, as it is stored; of what no domain needs any more,
    /// nothing is written.
    pub(crate) resealed: Vec<(Digest, Bytes)>,
    /// The shared ticket keys, sealed, in the place of all that were there.
    pub(crate) ticket_keys: Option<Vec<StoredTicketKey>>,
    /// How far the replica is with this batch.
    pub(crate) cursor: CursorUpdate,
    /// Told once the batch is in the file: an end of this process does not lose it any more.
    pub(crate) on_commit: Option<oneshot::Sender<()>>,
    /// Told once the batch is on disk for good, with all before it.
    pub(crate) on_durable: Option<oneshot::Sender<()>>,
}

/// How far a replica is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CursorUpdate {
    /// As far as before.
    #[default]
    Unchanged,
    /// Every change up to here is in it.
    Advance(Revision),
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
    Mismatch {
        /// What it says of itself.
        found: String,
        /// What was expected.
        wanted: String,
    },
}

impl Replica {
    /// Opens the replica in `directory`, or makes an empty one. What is whole of one that is damaged is
    /// kept; one that was made for another environment or release is moved aside. Of one that cannot
    /// be written what can be read is there, and it is written when it can be.
    ///
    /// # Errors
    /// [`ReplicaError`] if nothing can be read and not even an empty one can be made.
    pub(crate) fn open(directory: &Path, environment: Environment) -> Result<Self, ReplicaError> {
        std::fs::create_dir_all(directory)?;
        Ok(Self {
            database: opening::open(directory, environment)?,
            loaded_from: directory.to_owned(),
        })
    }

    /// Opens the replica that another process writes, and changes nothing. What is read shows one
    /// moment, until [`let_go`](Self::let_go).
    ///
    /// # Errors
    /// [`ReplicaError`] if there is none, or none that is whole and of this release.
    pub(crate) fn open_snapshot(
        directory: &Path,
        environment: Environment,
    ) -> Result<Self, ReplicaError> {
        Self::open_existing(directory, environment, true)
    }

    /// Opens a replica that this process had open before, without looking whether it is whole: of a
    /// million domains that would take seconds.
    ///
    /// # Errors
    /// [`ReplicaError`].
    pub(crate) fn reopen(directory: &Path, environment: Environment) -> Result<Self, ReplicaError> {
        Self::open_existing(directory, environment, false)
    }

    fn open_existing(
        directory: &Path,
        environment: Environment,
        checked: bool,
    ) -> Result<Self, ReplicaError> {
        let path = directory.join(FILE);
        Ok(Self {
            database: database::Database::open_existing(&path, environment, checked)?,
            loaded_from: directory.to_owned(),
        })
    }

    /// Ends the moment that [`open_snapshot`](Self::open_beside) has begun.
    pub(crate) fn end_snapshot(&self) -> Result<(), ReplicaError> {
        Ok(self.database.end_snapshot()?)
    }

    /// Takes over what another process has written since, which writes no more.
    pub(crate) fn refresh(&mut self) -> Result<(), ReplicaError> {
        Ok(self.database.refresh()?)
    }

    /// How far it is.
    pub(crate) const fn status(&self) -> ReplicaStatus {
        self.database.status()
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
    pub(crate) fn quarantine(&self) -> Result<Vec<(DomainPattern, String)>, ReplicaError> {
        Ok(self.database.quarantine()?)
    }

    /// Keeps what is whole and nothing else, and forgets how far it is: the store is asked for
    /// everything, now and after every restart until it has answered.
    pub(crate) fn rebuild(&mut self) -> Result<(), ReplicaError> {
        self.database.rebuild()
    }

    /// Opens it anew after a failure to read it: what is whole of it, or what can be read.
    pub(crate) fn recover(
        self,
        reason: &ReplicaError,
        environment: Environment,
    ) -> Result<Self, ReplicaError> {
        let loaded_from = self.loaded_from;
        drop(self.database);
        let database = if reason.is_corruption() {
            opening::open(&loaded_from, environment)?
        } else {
            opening::open_read_only(&loaded_from, environment)?
        };
        Ok(Self {
            database,
            loaded_from,
        })
    }

    /// Whether a failure shows that the file is damaged, and not that the disk does not do its part.
    pub(crate) fn is_corruption(reason: &ReplicaError) -> bool {
        reason.is_corruption()
    }

    /// Gives it to its own thread, which writes from now on.
    pub(crate) fn into_writer(self) -> std::io::Result<Writer> {
        Writer::start(self.database)
    }
}

pub(crate) const FILE: &str = "replica.sqlite";

#[cfg(test)]
mod tests;
