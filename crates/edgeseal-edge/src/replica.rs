//! The last good state on disk: what an edge serves after its own restart with the store gone.
//!
//! A SQLite file holds the record of each domain as it was stored, the material and issuers that it
//! needs (keys stay sealed), the ticket keys that edges share (sealed too), what is quarantined,
//! and the *cursor*: the revision up to which the file contains every change. The cursor is never
//! ahead of the data: both are written in one transaction, in order. A change is written before it
//! is served, so that an edge that is killed does not go back to an earlier state; but the wait is
//! limited ([`Writer::write_committed`]). If changes arrive faster than the disk can write, domains
//! are skipped and backfilled later; until then the cursor does not advance.
//!
//! Every row carries a checksum, and the number of domains is stored as well: if a disk returns
//! other bytes than were written, only the affected rows are lost, until the store has returned
//! everything again. If SQLite cannot read the file any more, its intact rows are salvaged.
//!
//! `synchronous=NORMAL`: a power failure may lose the last transactions, only whole ones, and the
//! store has them all. If the store is away after a power failure, the edge may serve a state some
//! seconds old. An edge that is killed loses nothing that was written.

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
    /// Whether another process writes it.
    is_snapshot: bool,
    /// The status of what is loaded. The file may change after that.
    pub(crate) loaded: ReplicaStatus,
}

/// The status recorded in a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplicaStatus {
    /// Whether a full listing was once written, so that its content can be served on its own.
    pub(crate) complete: bool,
    /// It contains every change up to here; `None` if the store must be asked for everything.
    pub(crate) cursor: Option<Revision>,
    /// The number of its domains.
    pub(crate) domains: u64,
}

/// A domain to be written, as it was stored.
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

/// Material as read from the file.
#[derive(Debug)]
pub(crate) struct MaterialRow {
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its stored form.
    pub(crate) value: Box<[u8]>,
    checksum: i64,
}

/// A domain as read from the file.
#[derive(Debug)]
pub(crate) struct DomainRow {
    /// Its name, not validated.
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

/// An issuer's digest and DER.
pub(crate) type Issuer = (Digest, Arc<[u8]>);

/// A change of the replica, applied atomically.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Issuers that the material of this batch needs.
    pub(crate) issuers: Vec<Issuer>,
    /// New or changed domains. Their quarantine ends.
    pub(crate) put: Vec<DomainWrite>,
    /// Removed domains; their quarantine is removed too.
    pub(crate) remove: Vec<DomainPattern>,
    /// Domains whose newest record cannot be used, with the reason. Their rows stay.
    pub(crate) quarantine: Vec<(DomainPattern, String)>,
    /// Resealed material, in its stored form. Material that no domain needs any more is not
    /// written.
    pub(crate) resealed: Vec<(Digest, Bytes)>,
    /// The shared ticket keys, sealed; they replace all earlier ones.
    pub(crate) ticket_keys: Option<Vec<StoredTicketKey>>,
    /// How the cursor moves with this batch.
    pub(crate) cursor: CursorUpdate,
    /// Notified once the batch is committed: it survives the end of this process.
    pub(crate) on_commit: Option<oneshot::Sender<()>>,
    /// Notified once the batch and all before it are durable on disk.
    pub(crate) on_durable: Option<oneshot::Sender<()>>,
}

/// How a batch moves the cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CursorUpdate {
    /// Not at all.
    #[default]
    Unchanged,
    /// Every change up to here is contained.
    Advance(Revision),
    /// The same, and it was a full listing.
    Complete(Revision),
}

/// The replica cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The directory cannot be created or its files cannot be moved.
    #[error("the replica's directory: {0}")]
    Directory(#[from] std::io::Error),
    /// SQLite failed.
    #[error("the replica: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// SQLite found the file corrupted.
    #[error("the replica is corrupted: {finding}")]
    Corrupted {
        /// The first error that it found.
        finding: String,
    },
    /// It was written for another environment or by a newer release.
    #[error("the replica is for {found}, not for {wanted}")]
    Mismatch {
        /// What the file declares.
        found: String,
        /// What was expected.
        wanted: String,
    },
}

impl Replica {
    /// Opens the replica in `directory`, or creates an empty one. The intact rows of a corrupted
    /// one are kept; one of another environment or release is moved aside. One that cannot be
    /// written is opened for reading, and written as soon as that is possible.
    ///
    /// # Errors
    /// [`ReplicaError`] if nothing can be read and no empty one can be created.
    pub(crate) fn open(directory: &Path, environment: Environment) -> Result<Self, ReplicaError> {
        std::fs::create_dir_all(directory)?;
        Ok(Self::of(opening::open(directory, environment)?, directory))
    }

    fn of(database: database::Database, directory: &Path) -> Self {
        Self {
            loaded: database.status(),
            database,
            loaded_from: directory.to_owned(),
            is_snapshot: false,
        }
    }

    /// Opens the replica that another process writes, and changes nothing until
    /// [`take_over`](Self::take_over). Reads see one snapshot, until
    /// [`end_snapshot`](Self::end_snapshot).
    ///
    /// # Errors
    /// [`ReplicaError`] if there is none, or if it is corrupted or of another release.
    pub(crate) fn open_snapshot(
        directory: &Path,
        environment: Environment,
    ) -> Result<Self, ReplicaError> {
        Ok(Self {
            is_snapshot: true,
            ..Self::open_existing(directory, environment, true)?
        })
    }

    /// Reopens a replica that this process had open before, without an integrity check, which takes
    /// seconds for a million domains.
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
        let database = database::Database::open_existing(&path, environment, checked)?;
        Ok(Self::of(database, directory))
    }

    /// Ends the snapshot that [`open_snapshot`](Self::open_snapshot) began.
    pub(crate) fn end_snapshot(&self) -> Result<(), ReplicaError> {
        Ok(self.database.end_snapshot()?)
    }

    /// Makes this process the writer of the file, which another one has closed, if it was a
    /// snapshot.
    pub(crate) fn take_over(&mut self) -> Result<(), ReplicaError> {
        if !std::mem::take(&mut self.is_snapshot) {
            Ok(())
        } else if self.loaded.cursor.is_some() {
            Ok(self.database.refresh()?)
        } else {
            // Some rows could not be decoded, and only now this process owns the file.
            self.database.rebuild()
        }
    }

    /// All issuers; their digests are not verified.
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

    /// The shared ticket keys, sealed, without those whose checksum does not match. None if they
    /// cannot be read: an edge can do without.
    pub(crate) fn ticket_keys(&self) -> Vec<StoredTicketKey> {
        self.database.ticket_keys().unwrap_or_else(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the replica's ticket keys cannot be read"
            );
            Vec::new()
        })
    }

    /// The quarantined domains, with the reasons.
    pub(crate) fn quarantine(&self) -> Result<Vec<(DomainPattern, String)>, ReplicaError> {
        Ok(self.database.quarantine()?)
    }

    /// Keeps the intact rows only, and drops the cursor: the store is asked for everything, now and
    /// after every restart until it has responded.
    pub(crate) fn rebuild(&mut self) -> Result<(), ReplicaError> {
        self.database.rebuild()?;
        self.loaded = self.database.status();
        Ok(())
    }

    /// Reopens it after a read failure, with its intact rows or whatever can be read.
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
        Ok(Self::of(database, &loaded_from))
    }

    /// Moves it to its own thread, which writes from now on.
    pub(crate) fn into_writer(self) -> std::io::Result<Writer> {
        Writer::start(self.database)
    }
}

pub(crate) const FILE: &str = "replica.sqlite";

#[cfg(test)]
mod tests;
