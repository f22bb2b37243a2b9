//! A cold start: the content of the replica is served before the store is contacted.
//!
//! Issuers first, then all material, then all domains: each in one sequential pass over the file,
//! while all cores decode what was read.

use std::{
    collections::HashMap,
    num::NonZero,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use edgeseal_core::{
    DomainPattern,
    certificate::Digest,
    domain::{Binding, Domain},
};
use edgeseal_store::record::{decode, decode_material};
use parking_lot::Mutex;

use super::prepare::{recorded_kind_of_first, served_binding, served_domain};
use crate::{
    replica::{DomainRow, MaterialRow, Replica, ReplicaError},
    served_domain::{Certificates, Material},
    serving_state::ServingState,
    tls::MaterialError,
};

/// Serves every row of `replica` that can be decoded. If some cannot, they are skipped and the
/// cursor is dropped, so that the store is asked for everything; if the file becomes unreadable
/// while it is read, its intact rows are recovered and loaded.
///
/// # Errors
/// [`ReplicaError`] if nothing can be read any more.
pub(crate) fn load_replica(
    serving: &ServingState,
    mut replica: Replica,
) -> Result<Replica, ReplicaError> {
    let Err(reason) = load_all(serving, &mut replica) else {
        return Ok(replica);
    };
    tracing::error!(
        error = &reason as &dyn std::error::Error,
        "the replica became unreadable while it was loaded: intact rows are served, the store is asked \
         for everything"
    );
    let mut replica = replica.recover(&reason, serving.environment())?;
    if let Err(reason) = load_all(serving, &mut replica) {
        let error: &dyn std::error::Error = &reason;
        tracing::error!(
            error,
            "the replica became unreadable again while it was loaded"
        );
    }
    replica.loaded.cursor = None;
    // There is something to serve, so the wait for the store is limited.
    replica.loaded.complete |= !serving.index().is_empty();
    Ok(replica)
}

/// Serves every row of a replica that another process writes, and leaves the file alone. If some
/// rows cannot be decoded, the cursor is dropped, so that the store is asked for everything.
///
/// # Errors
/// [`ReplicaError`] if the file cannot be read to its end.
pub(crate) fn load_snapshot(
    serving: &ServingState,
    mut replica: Replica,
) -> Result<Replica, ReplicaError> {
    let whole = read_all(serving, &replica)?;
    replica.end_snapshot()?;
    if !whole {
        replica.loaded.cursor = None;
    }
    Ok(replica)
}

fn load_all(serving: &ServingState, replica: &mut Replica) -> Result<(), ReplicaError> {
    if !read_all(serving, replica)? {
        match replica.rebuild() {
            Ok(()) => {}
            Err(reason) if reason.is_corruption() => return Err(reason),
            // The disk cannot write it now. The store is asked for everything anyway.
            Err(reason) => {
                let error: &dyn std::error::Error = &reason;
                tracing::error!(error, "the replica cannot be rebuilt");
                replica.loaded.cursor = None;
            }
        }
    }
    Ok(())
}

/// Whether all rows are there and can be decoded.
fn read_all(serving: &ServingState, replica: &Replica) -> Result<bool, ReplicaError> {
    let written = replica.loaded.domains;
    serving.reserve(usize::try_from(written.min(MOST_RESERVED)).unwrap_or(0));
    for (name, reason) in replica.quarantine()? {
        serving.quarantine().put(&name, &reason);
    }
    let loading = Loading::new(serving);
    for (digest, der) in replica.issuers()? {
        if Digest::of(&der) == digest {
            serving.keep_issuer(digest, der);
        } else {
            loading.unreadable.fetch_add(1, Ordering::Relaxed);
        }
    }
    let known = serving.keys().kek_checker();
    in_parallel(
        |each| replica.visit_materials(each),
        |row| loading.material(&row, &known),
    )?;
    in_parallel(
        |each| replica.visit_domains(each),
        |row| loading.domain(&row),
    )?;
    serving.sweep_all();
    let visited = loading.visited.into_inner();
    let unreadable = loading.unreadable.into_inner();
    let whole = unreadable == 0 && visited == written;
    if !whole {
        tracing::error!(
            unreadable,
            missing = written.saturating_sub(visited),
            "the replica differs from what was written: the store is asked for everything"
        );
    }
    tracing::info!(
        domains = serving.index().len(),
        unreadable,
        "loaded the last good state"
    );
    Ok(whole)
}

/// Upper limit for the capacity reserved by the number of domains that a file declares: a corrupt
/// count must not allocate all memory.
const MOST_RESERVED: u64 = 4_000_000;

/// The state of a load.
struct Loading<'a> {
    serving: &'a ServingState,
    visited: AtomicU64,
    unreadable: AtomicU64,
    /// Keys that cannot be opened; none, unless the keyring changed.
    unusable: Mutex<HashMap<Digest, MaterialError>>,
}

impl<'a> Loading<'a> {
    fn new(serving: &'a ServingState) -> Self {
        Self {
            serving,
            visited: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            unusable: Mutex::default(),
        }
    }

    /// Stores material. It was checked when it was fetched; here only whether its key can be
    /// opened, because the keyring may have changed.
    fn material(&self, row: &MaterialRow, known: &impl Fn(&Material) -> Result<(), MaterialError>) {
        let whole = row.is_intact();
        let Some(material) = self.read_material(row).filter(|_| whole) else {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if let Err(reason) = known(&material) {
            self.unusable.lock().insert(row.digest, reason);
        }
        self.serving.keep_material(material);
    }

    fn read_material(&self, row: &MaterialRow) -> Option<Material> {
        let decoded = decode_material(&row.value).ok()?;
        let issuers: Vec<Digest> = decoded.issuers.iter().copied().map(Digest).collect();
        let chain = self.serving.chain(&issuers)?;
        let (leaf, sealed_key) = (&decoded.leaf, &decoded.sealed_key);
        Some(Material::new(row.digest, leaf, chain, sealed_key))
    }

    /// Serves a domain, if all of it is usable.
    fn domain(&self, row: &DomainRow) {
        self.visited.fetch_add(1, Ordering::Relaxed);
        if row.is_intact() && self.serve(row).is_some() {
            return;
        }
        self.unreadable.fetch_add(1, Ordering::Relaxed);
        tracing::error!(domain.name = %row.name, "a row of the replica cannot be decoded");
    }

    /// `None` if the row is of another release, or its material is missing.
    fn serve(&self, row: &DomainRow) -> Option<()> {
        let name = DomainPattern::parse(&row.name).ok()?;
        let domain: Domain = decode(&row.record).ok()?;
        let certificates = match served_binding(&domain, self.serving.environment()) {
            None => None,
            Some(binding) => Some(self.certificates(&name, binding, row)?),
        };
        for material in certificates.iter().flat_map(Certificates::materials) {
            let unusable = self.unusable.lock();
            if let Some(reason) = unusable.get(material.digest()) {
                self.serving.quarantine().put(&name, &reason.to_string());
            }
        }
        let entry = served_domain(self.serving, &domain, certificates, row.revision);
        self.serving.insert(&name, entry);
        Some(())
    }

    /// The certificates of a row. If one of two is missing, the domain is quarantined.
    fn certificates(
        &self,
        name: &DomainPattern,
        binding: &Binding,
        row: &DomainRow,
    ) -> Option<Certificates> {
        let companion = binding.companion.as_ref();
        let expected = [
            (row.material, Some(binding.material)),
            (row.companion, companion.map(|companion| companion.material)),
        ];
        let [first, second] = expected.map(|(has, bound)| match (has, bound) {
            (Some(has), Some(bound)) if has == bound => self.serving.material(&has),
            _ => None,
        });
        let (one, two) = (first.clone().or_else(|| second.clone())?, first.zip(second));
        let kind = companion.and_then(recorded_kind_of_first);
        if let (Some((first, second)), Some(kind)) = (two, kind) {
            return Some(Certificates::pair(first, second, kind));
        }
        if companion.is_some() {
            // The store is asked for the other one as soon as possible.
            let reason = "one of its two certificates is not in the replica";
            self.serving.quarantine().put(name, reason);
        }
        Some(Certificates::single(one))
    }
}

/// Reads on this thread while the other threads, one per core, process the rows.
fn in_parallel<T: Send>(
    read: impl FnOnce(&mut dyn FnMut(T)) -> Result<(), ReplicaError>,
    work: impl Fn(T) + Sync,
) -> Result<(), ReplicaError> {
    const TOGETHER: usize = 128;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let (sender, receiver) = mpsc::sync_channel::<Vec<T>>(2 * cores);
    let receiver = Mutex::new(receiver);
    let next = || receiver.lock().recv();
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Ok(rows) = next() {
                    rows.into_iter().for_each(&work);
                }
            });
        }
        let mut rows = Vec::with_capacity(TOGETHER);
        let send = |rows| {
            // The workers end when the sender is dropped, or by a panic, which the scope
            // propagates.
            let _ = sender.send(rows);
        };
        let read = read(&mut |row| {
            rows.push(row);
            if rows.len() == TOGETHER {
                send(std::mem::replace(&mut rows, Vec::with_capacity(TOGETHER)));
            }
        });
        send(rows);
        drop(sender);
        read
    })
}

#[cfg(test)]
mod tests;
