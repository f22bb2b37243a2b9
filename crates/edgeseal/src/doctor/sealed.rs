//! Checks that every sealed value opens and contains what it should.

use std::sync::Arc;

use super::{RESTORE, RESTORE_KEY, Report};
use edgeseal_core::{Secret, certificate::Digest};
use edgeseal_store::{
    Entry, Fault, Keyring, Pages, Source,
    key::{AUDIT_CHAIN_SECRET, MATERIALS, SIGNING_REQUESTS, TICKET_KEYS},
    record::decode_material,
    reseal::{self, SEALED_KINDS, SealedKind},
    seal::UnsealError,
    ticket_key::TicketKey,
};
use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SigningKey},
};

const PAGE: usize = 500;
const TICKET_KEY_REMEDY: &str =
    "nothing: its period ends within a day, and until then sessions resume at each edge alone";

/// Opens every sealed record; without keys, reports which ones are needed.
pub(super) async fn examine(
    store: &dyn Source,
    keyring: Option<&Keyring>,
    report: &mut Report,
) -> Result<(), Fault> {
    let Some(keyring) = keyring else {
        for (id, kinds) in reseal::count_sealed(store).await?.records {
            let kinds: Vec<String> = kinds
                .iter()
                .map(|(kind, n)| format!("{n} {kind}"))
                .collect();
            report.problem(
                format!("key-encryption key {id} is needed for {}", kinds.join(", ")),
                "add this key to the key sources again",
            );
        }
        return Ok(());
    };
    for kind in SEALED_KINDS {
        let mut count = 0;
        let mut pages = Pages::new(store, kind.prefix, PAGE);
        while let Some(entries) = pages.next().await? {
            for entry in &entries {
                count += 1;
                if let Err((what, cure)) = check(kind, keyring, entry) {
                    report.problem(format!("{}: {what}", entry.key), cure);
                }
            }
        }
        report.checked(format!("{count} sealed records of {}", kind.name));
    }
    Ok(())
}

fn check(
    kind: &SealedKind,
    keyring: &Keyring,
    entry: &Entry,
) -> Result<(), (String, &'static str)> {
    let unreadable = |_| ("it does not read".to_owned(), RESTORE);
    let Some(sealed) = kind.sealed(&entry.value).map_err(unreadable)? else {
        return Ok(());
    };
    let opened = keyring.open(&sealed, &entry.key).map_err(|why| {
        let cure = match why {
            UnsealError::UnknownKey { .. } => RESTORE_KEY,
            UnsealError::Broken if kind.prefix == TICKET_KEYS => TICKET_KEY_REMEDY,
            UnsealError::Broken => RESTORE,
        };
        (format!("the sealed value does not open: {why}"), cure)
    })?;
    let fits = match kind.prefix {
        MATERIALS => is_key_of_leaf(&opened, entry),
        TICKET_KEYS => {
            let opened = TicketKey::open(keyring, &entry.key, &entry.value);
            return opened
                .map(drop)
                .map_err(|why| (why.to_string(), TICKET_KEY_REMEDY));
        }
        SIGNING_REQUESTS => is_key_of_name(&opened, entry),
        AUDIT_CHAIN_SECRET => Some(opened.expose().len() == 32),
        _ => Some(!opened.expose().is_empty() && std::str::from_utf8(opened.expose()).is_ok()),
    };
    match fits {
        Some(true) => Ok(()),
        Some(false) => Err((
            "what is sealed is another key than it should be".to_owned(),
            RESTORE,
        )),
        None => Err(("what is sealed is no private key".to_owned(), RESTORE)),
    }
}

fn parsed(secret: &Secret) -> Option<Arc<dyn SigningKey>> {
    // By reference, so that no copy is left unwiped.
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(secret.expose()));
    any_supported_type(&der).ok()
}

fn is_key_of_leaf(secret: &Secret, entry: &Entry) -> Option<bool> {
    let material = decode_material(&entry.value).ok()?;
    let chain = vec![CertificateDer::from(material.leaf)];
    Some(
        CertifiedKey::new(chain, parsed(secret)?)
            .keys_match()
            .is_ok(),
    )
}

/// The key of a signing request's record ends with the digest of its public key.
fn is_key_of_name(secret: &Secret, entry: &Entry) -> Option<bool> {
    let key = parsed(secret)?;
    let public = key.public_key()?;
    let digest = Digest::of(&public).to_string();
    Some(entry.key.as_str().ends_with(&digest))
}
