//! Matches keys with certificates, and builds chains, by content.

use std::collections::HashMap;

use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use x509_parser::{certificate::X509Certificate, parse_x509_certificate};

/// Longest chain that is built, more than any server needs.
const DEPTH_MAX: usize = 8;

/// The `SubjectPublicKeyInfo` of a private key; `None` if its kind cannot be served.
pub(crate) fn spki_of_key(key: &PrivateKeyDer<'_>) -> Option<Vec<u8>> {
    let key = any_supported_type(key).ok()?;
    Some(key.public_key()?.as_ref().to_vec())
}

/// The `SubjectPublicKeyInfo` of a certificate; `None` if it cannot be parsed.
pub(crate) fn spki_of_certificate(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    Some(parsed.public_key().raw.to_vec())
}

/// Potential issuers, by subject.
#[derive(Default)]
pub(crate) struct Issuers(HashMap<Vec<u8>, Vec<CertificateDer<'static>>>);

impl Issuers {
    /// Adds a certificate, unless its extensions say that it is not a CA. Roots are added, too:
    /// they are not served, but show that a chain is complete.
    pub(crate) fn add(&mut self, certificate: &CertificateDer<'static>) {
        let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
            return;
        };
        if is_self_issued(&parsed) && !may_issue(&parsed) {
            return;
        }
        let same = self
            .0
            .entry(parsed.subject().as_raw().to_vec())
            .or_default();
        if !same.contains(certificate) {
            same.push(certificate.clone());
        }
    }

    /// The leaf, its intermediates and its root, as far as known, each followed by its issuer.
    /// Certificates in `near`, the leaf's file, take precedence over others with the same subject.
    pub(crate) fn chain(
        &self,
        leaf: &CertificateDer<'static>,
        near: &[CertificateDer<'static>],
    ) -> Vec<CertificateDer<'static>> {
        let mut chain = vec![leaf.clone()];
        while chain.len() <= DEPTH_MAX {
            let Some(issuer) = self.issuer_of(chain.last().unwrap_or(leaf), near) else {
                break;
            };
            if chain.contains(&issuer) {
                break;
            }
            chain.push(issuer);
        }
        chain
    }

    fn issuer_of(
        &self,
        certificate: &CertificateDer<'static>,
        near: &[CertificateDer<'static>],
    ) -> Option<CertificateDer<'static>> {
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        let known = self.0.get(parsed.issuer().as_raw())?;
        let mut candidates: Vec<&CertificateDer<'static>> = known.iter().collect();
        // Prefer a cross-signed certificate to the root: clients may not know the root yet.
        let is_root = |it: &CertificateDer<'_>| {
            parse_x509_certificate(it).is_ok_and(|(_, parsed)| is_self_issued(&parsed))
        };
        candidates.sort_by_key(|candidate| (!near.contains(candidate), is_root(candidate)));
        let issuer = candidates
            .into_iter()
            .find(|it| is_issued_by(certificate, it));
        issuer.cloned()
    }
}

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

fn may_issue(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.key_usage().ok().flatten();
    certificate.is_ca() && usage.is_none_or(|usage| usage.value.key_cert_sign())
}

/// Whether the issuer, by its name and key, has signed the certificate. Both are DER.
pub(crate) fn is_issued_by(certificate: &[u8], issuer: &[u8]) -> bool {
    let (Ok((_, certificate)), Ok((_, issuer))) = (
        parse_x509_certificate(certificate),
        parse_x509_certificate(issuer),
    ) else {
        return false;
    };
    certificate.issuer().as_raw() == issuer.subject().as_raw()
        && certificate
            .verify_signature(Some(issuer.public_key()))
            .is_ok()
}
