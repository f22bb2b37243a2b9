//! Tells whether a certificate needs no intermediate: it is self-signed, or a well-known root
//! issued it.

use std::{collections::HashSet, fs, path::Path, sync::LazyLock};

use x509_parser::{parse_x509_certificate, pem::parse_x509_pem};

use crate::demo;

/// Subjects of the roots of this system and of those in browsers, as DER.
static ROOT_SUBJECTS: LazyLock<HashSet<Vec<u8>>> = LazyLock::new(|| {
    let system = rustls_native_certs::load_native_certs().certs;
    let system = system.iter().filter_map(|root| subject(root));
    let known = webpki_roots::TLS_SERVER_ROOTS.iter();
    // A trust anchor's subject is the content of the SEQUENCE.
    let known = known.map(|root| der_sequence(root.subject.as_ref()));
    system.chain(known).collect()
});

/// Whether this certificate was issued by itself or by a root.
pub(super) fn needs_no_intermediate(leaf: &[u8]) -> bool {
    let Ok((_, leaf)) = parse_x509_certificate(leaf) else {
        return false;
    };
    let issuer = leaf.issuer().as_raw();
    issuer == leaf.subject().as_raw() || ROOT_SUBJECTS.contains(issuer)
}

/// The root of the demo on this data directory as DER, if there is one: its users trust it.
pub(super) fn demo_root(data: &Path) -> Option<Vec<u8>> {
    let pem = fs::read(demo::ca_file(data)).ok()?;
    Some(parse_x509_pem(&pem).ok()?.1.contents)
}

fn subject(der: &[u8]) -> Option<Vec<u8>> {
    let (_, root) = parse_x509_certificate(der).ok()?;
    Some(root.subject().as_raw().to_vec())
}

/// DER of a SEQUENCE with this content (X.690 §8.1.3).
fn der_sequence(content: &[u8]) -> Vec<u8> {
    let mut der = vec![0x30];
    match content.len() {
        short @ 0..=0x7f => der.push(short as u8),
        long => {
            let bytes: Vec<u8> = long
                .to_be_bytes()
                .into_iter()
                .skip_while(|b| *b == 0)
                .collect();
            der.push(0x80 | bytes.len() as u8);
            der.extend(bytes);
        }
    }
    der.extend(content);
    der
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;
    use crate::certificate_files::is_issued_by;

    #[test]
    fn the_root_of_the_demo_is_known_by_its_key() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(demo_root(directory.path()), None);
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        // Of the same name.
        let (ours, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = authority.self_signed(&ours).unwrap();
        let file = demo::ca_file(directory.path());
        fs::create_dir(file.parent().unwrap()).unwrap();
        fs::write(&file, root.pem()).unwrap();
        let root = demo_root(directory.path()).unwrap();
        for (key, expected) in [(ours, true), (other, false)] {
            let issuer = Issuer::new(authority.clone(), key);
            let leaf = CertificateParams::new(["demo.localhost".to_owned()]).unwrap();
            let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer);
            assert_eq!(is_issued_by(leaf.unwrap().der(), &root), expected);
        }
        assert!(!is_issued_by(b"no certificate", &root));
    }
}
