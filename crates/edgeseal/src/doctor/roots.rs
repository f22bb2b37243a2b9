//! Whether a certificate needs no intermediate: it has issued itself, or a root that clients know has.

use std::{collections::HashSet, sync::LazyLock};

use x509_parser::parse_x509_certificate;

/// Subjects of the roots of this system, and of those that browsers know, as DER.
static SUBJECTS: LazyLock<HashSet<Vec<u8>>> = LazyLock::new(|| {
    let system = rustls_native_certs::load_native_certs().certs;
    let system = system.iter().filter_map(|root| subject(root));
    let known = webpki_roots::TLS_SERVER_ROOTS.iter();
    // A trust anchor's subject is what is in the SEQUENCE.
    let known = known.map(|root| sequence(root.subject.as_ref()));
    system.chain(known).collect()
});

/// Whether this certificate was issued by itself or by a root.
pub(super) fn issued(leaf: &[u8]) -> bool {
    let Ok((_, leaf)) = parse_x509_certificate(leaf) else {
        return false;
    };
    let issuer = leaf.issuer().as_raw();
    issuer == leaf.subject().as_raw() || SUBJECTS.contains(issuer)
}

fn subject(der: &[u8]) -> Option<Vec<u8>> {
    let (_, root) = parse_x509_certificate(der).ok()?;
    Some(root.subject().as_raw().to_vec())
}

/// DER of a SEQUENCE with this content (X.690 §8.1.3).
fn sequence(content: &[u8]) -> Vec<u8> {
    let mut der = vec![0x30];
    match content.len() {
        short @ 0..=0x7f => der.push(short as u8),
        long => {
            let octets: Vec<u8> = long
                .to_be_bytes()
                .into_iter()
                .skip_while(|b| *b == 0)
                .collect();
            der.push(0x80 | octets.len() as u8);
            der.extend(octets);
        }
    }
    der.extend(content);
    der
}
