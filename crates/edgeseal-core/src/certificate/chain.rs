//! Finds the leaf, and checks that the other certificates belong to it.

use x509_parser::oid_registry::OID_KEY_TYPE_EC_PUBLIC_KEY;

use super::{
    invalid::{InvalidChain, InvalidFormat},
    parsed::ParsedCertificate,
    signature,
    subject::short_name,
};

/// Certificates of one chain: exactly one of them issued none of the others.
pub(super) struct Chain<'a> {
    /// In block order, without duplicates.
    pub(super) certificates: Vec<ParsedCertificate<'a>>,
    /// Index of the leaf.
    pub(super) leaf: usize,
}

impl<'a> Chain<'a> {
    /// Finds the leaf: the certificate that issued no other one, by subject and issuer names. A
    /// self-issued certificate counts as issued by another one of the same name only if the
    /// signature verifies; otherwise a self-signed certificate would pass for the child of an
    /// unrelated one with the same name. If names leave no leaf (a private CA that signs under its
    /// own name), the signatures decide. A single certificate is the leaf, self-signed or not.
    pub(super) fn of(certificates: Vec<ParsedCertificate<'a>>) -> Result<Self, InvalidChain> {
        let mut leaves = non_issuers(&certificates, |issuer, child| {
            issuer.is_named_issuer_of(child)
                && (!child.is_self_issued()
                    || signature::verify(&child.x509, issuer.x509.public_key()).is_ok())
        });
        if leaves.is_empty() {
            leaves = non_issuers(&certificates, |issuer, child| {
                issuer.is_named_issuer_of(child)
                    && signature::verify(&child.x509, issuer.x509.public_key()).is_ok()
            });
        }
        match leaves[..] {
            [leaf] => Ok(Self { certificates, leaf }),
            [] => Err(InvalidChain::NoLeaf),
            [..] => Err(diagnose_leaves(&certificates, &leaves)),
        }
    }

    pub(super) fn leaf(&self) -> &ParsedCertificate<'a> {
        &self.certificates[self.leaf]
    }

    /// Refuses what clients always refuse: broken hashes, except on roots, whose signatures nobody
    /// verifies, and a compressed point in the leaf.
    pub(super) fn check_format(&self) -> Result<(), InvalidFormat> {
        for (index, certificate) in self.certificates.iter().enumerate() {
            if index == self.leaf || !certificate.is_self_issued() {
                certificate.check_signature_hash()?;
            }
        }
        let leaf = self.leaf();
        let key = leaf.x509.public_key();
        let is_ec = key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY;
        // 2 and 3 start a compressed point (SEC 1 §2.3.3).
        if is_ec && matches!(key.subject_public_key.data.first(), Some(2 | 3)) {
            let certificate = leaf.block_ref();
            return Err(InvalidFormat::CompressedKey { certificate });
        }
        leaf.check_servable()
    }
}

/// Indices of the certificates that issued none of the others, according to `issued`.
fn non_issuers(
    certificates: &[ParsedCertificate<'_>],
    issued: impl Fn(&ParsedCertificate<'_>, &ParsedCertificate<'_>) -> bool,
) -> Vec<usize> {
    let has_issued = |at: usize| {
        let mut others = certificates.iter().enumerate().filter(|(i, _)| *i != at);
        others.any(|(_, other)| issued(&certificates[at], other))
    };
    (0..certificates.len())
        .filter(|at| !has_issued(*at))
        .collect()
}

/// Why there are several leaves. `leaves` are two or more indices.
fn diagnose_leaves(certificates: &[ParsedCertificate<'_>], leaves: &[usize]) -> InvalidChain {
    let named = |at: usize| certificates[at].block_ref();
    let is_end_entity = |at: &&usize| certificates[**at].check_ca().is_err();
    let end_entities: Vec<usize> = leaves.iter().filter(is_end_entity).copied().collect();
    if let [first, second, ..] = end_entities[..] {
        return InvalidChain::TwoLeaves {
            first: named(first),
            second: named(second),
        };
    }
    let leaf = end_entities.first().unwrap_or(&leaves[0]);
    let stray = leaves.iter().find(|at| *at != leaf).unwrap_or(leaf);
    let last = &certificates[follow_issuer_names(certificates, *leaf)];
    if last.is_self_issued() {
        return InvalidChain::Unrelated {
            certificate: named(*stray),
        };
    }
    InvalidChain::WrongIssuer {
        child: last.block_ref(),
        wanted: short_name(last.x509.issuer()),
        issuer: named(*stray),
    }
}

/// Follows issuer names from `leaf` as far as they lead.
fn follow_issuer_names(certificates: &[ParsedCertificate<'_>], leaf: usize) -> usize {
    let mut passed = vec![leaf];
    let mut at = leaf;
    while let Some(next) = (0..certificates.len()).find(|next| {
        !passed.contains(next) && certificates[*next].is_named_issuer_of(&certificates[at])
    }) {
        passed.push(next);
        at = next;
    }
    at
}
