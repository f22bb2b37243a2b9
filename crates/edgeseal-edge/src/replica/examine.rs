//! A replica as the doctor sees it: would an edge be able to serve from it.

use std::path::Path;

use edgeseal_core::domain::Domain;
use edgeseal_store::{
    Key, Keyring,
    record::{decode, decode_material},
    seal::KeyId,
};

use super::{FILE, ReplicaError, Row, database::Database};

/// What is in a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// Domains in it.
    pub domains: u64,
    /// Whether a full listing was once written.
    pub complete: bool,
    /// Domains whose row cannot be served, with the reason.
    pub unusable: Vec<(String, String)>,
    /// Domains whose newest record cannot be used, with the reason. They are served from an older one.
    pub quarantined: Vec<(String, String)>,
    /// Private keys under another key-encryption key than the one that seals.
    pub under_older_keys: u64,
}

/// Looks at the replica in this directory and changes nothing; `None` if there is none. `alone`: no
/// edge has it open.
///
/// # Errors
/// [`ReplicaError`] if the file cannot be read.
pub fn examine(
    directory: &Path,
    keyring: &Keyring,
    alone: bool,
) -> Result<Option<Examined>, ReplicaError> {
    let path = directory.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let database = Database::look(&path, alone)?;
    let mut found = Examined {
        complete: database.standing()?.complete,
        ..Examined::default()
    };
    for (name, why) in database.quarantine()? {
        found.quarantined.push((name.to_string(), why));
    }
    database.visit(|row| {
        found.domains += 1;
        match row {
            Err(unreadable) => {
                let why = "the row does not read".to_owned();
                found.unusable.push((unreadable.name, why));
            }
            Ok(row) => match check(&row, keyring) {
                Err(why) => found.unusable.push((row.name.to_string(), why)),
                Ok(sealed) => {
                    let older = sealed.is_some_and(|id| id != keyring.active());
                    found.under_older_keys += u64::from(older);
                }
            },
        }
    })?;
    Ok(Some(found))
}

/// Whether a row can be served, and the key that its private key is sealed under.
fn check(row: &Row, keyring: &Keyring) -> Result<Option<KeyId>, String> {
    decode::<Domain>(&row.record).map_err(|_| "the record does not read".to_owned())?;
    let Some((digest, value)) = &row.material else {
        return Ok(None);
    };
    let material = decode_material(value).map_err(|_| "the material does not read".to_owned())?;
    let opened = keyring.open(&material.sealed_key, &Key::material(digest));
    opened.map_err(|why| format!("the private key does not open: {why}"))?;
    Ok(KeyId::of_sealed(&material.sealed_key))
}
