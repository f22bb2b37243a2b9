//! A replica as the doctor inspects it: whether an edge could serve from it.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use edgeseal_core::{DomainPattern, certificate::Digest, domain::Domain};
use edgeseal_store::{
    Key, Keyring,
    record::{decode, decode_material},
    reseal::SEALED_KINDS,
    seal::KeyId,
    ticket_key::TicketKey,
};

use super::{DomainRow, FILE, MaterialRow, ReplicaError, database::Database};

/// The content of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaReport {
    /// The number of domains.
    pub domains: u64,
    /// Whether a full listing was once written.
    pub complete: bool,
    /// Domains whose row cannot be served, with the reason.
    pub unusable: Vec<(String, String)>,
    /// Domains whose newest record cannot be used, with the reason. They are served from an older
    /// one.
    pub quarantined: Vec<(String, String)>,
    /// The number of session-ticket keys.
    pub ticket_keys: u64,
    /// Private keys and ticket keys under another key-encryption key than the active one.
    pub under_older_keys: u64,
}

/// Inspects the replica in this directory and changes nothing; `None` if there is none. `alone`: no
/// edge has it open.
///
/// # Errors
/// [`ReplicaError`] if the file cannot be read.
pub fn inspect_replica(
    directory: &Path,
    keyring: &Keyring,
    alone: bool,
) -> Result<Option<ReplicaReport>, ReplicaError> {
    let path = directory.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let database = Database::open_read_only(&path, alone)?;
    let mut found = ReplicaReport {
        complete: database.status().complete,
        ..ReplicaReport::default()
    };
    for (name, reason) in database.quarantine()? {
        found.quarantined.push((name.to_string(), reason));
    }
    let mut issuers = HashSet::new();
    for (digest, der) in database.issuers()? {
        if Digest::of(&der) == digest {
            issuers.insert(digest);
        }
    }
    let mut materials = HashMap::new();
    database.visit_materials(|row| {
        let checked = check_material(&row, &issuers, keyring);
        if let Ok(sealed_under) = &checked {
            found.under_older_keys += u64::from(*sealed_under != Some(keyring.active()));
        }
        materials.insert(row.digest, checked.err());
    })?;
    database.visit_domains(|row| {
        found.domains += 1;
        if let Err(reason) = check_domain(&row, &materials) {
            found.unusable.push((row.name.into(), reason));
        }
    })?;
    for (key, value) in database.ticket_keys()? {
        found.ticket_keys += 1;
        match ticket_key_sealed_under(&key, &value, keyring) {
            Ok(sealed_under) => {
                found.under_older_keys += u64::from(sealed_under != Some(keyring.active()));
            }
            Err(reason) => found.unusable.push((key.to_string(), reason)),
        }
    }
    let missing = database.status().domains.saturating_sub(found.domains);
    if missing > 0 {
        let reason = format!("{missing} rows are missing");
        found.unusable.push(("(domains)".to_owned(), reason));
    }
    Ok(Some(found))
}

/// Whether material can be served; returns the id of the key that its private key is sealed under.
fn check_material(
    row: &MaterialRow,
    issuers: &HashSet<Digest>,
    keyring: &Keyring,
) -> Result<Option<KeyId>, String> {
    if !row.is_intact() {
        return Err("the material is not what was written".to_owned());
    }
    let material =
        decode_material(&row.value).map_err(|_| "the material cannot be decoded".to_owned())?;
    if material
        .issuers
        .iter()
        .any(|issuer| !issuers.contains(&Digest(*issuer)))
    {
        return Err("a certificate of its chain is missing".to_owned());
    }
    let opened = keyring.open(&material.sealed_key, &Key::material(&row.digest));
    opened.map_err(|reason| format!("the private key cannot be decrypted: {reason}"))?;
    Ok(KeyId::of_sealed(&material.sealed_key))
}

/// The key that a ticket key is sealed under, if it can be decrypted.
fn ticket_key_sealed_under(
    key: &Key,
    value: &[u8],
    keyring: &Keyring,
) -> Result<Option<KeyId>, String> {
    TicketKey::open(keyring, key, value).map_err(|reason| reason.to_string())?;
    let mut kinds = SEALED_KINDS.iter();
    let kind = kinds.find(|kind| key.as_str().starts_with(kind.prefix));
    let sealed = kind.and_then(|kind| kind.sealed(value).ok().flatten());
    Ok(sealed.and_then(|sealed| KeyId::of_sealed(&sealed)))
}

/// Whether a domain can be served.
fn check_domain(
    row: &DomainRow,
    materials: &HashMap<Digest, Option<String>>,
) -> Result<(), String> {
    if !row.is_intact() || DomainPattern::parse(&row.name).is_err() {
        return Err("the row is not what was written".to_owned());
    }
    decode::<Domain>(&row.record).map_err(|_| "the record cannot be decoded".to_owned())?;
    for digest in row.material.iter().chain(&row.companion) {
        match materials.get(digest) {
            Some(None) => {}
            Some(Some(reason)) => return Err(reason.clone()),
            None => return Err("its material is missing".to_owned()),
        }
    }
    Ok(())
}
