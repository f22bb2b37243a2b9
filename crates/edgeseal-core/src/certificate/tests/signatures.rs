//! Signature algorithms: which hashes are refused, and which are verified although the certificate
//! library does not support them.

use rcgen::KeyPair;
use x509_parser::{asn1_rs::Oid, x509::AlgorithmIdentifier};

use super::pki::{CHAIN, openssl, root_with};
use crate::{
    Timestamp,
    certificate::{signature::weak_hash, validate_upload},
};

#[test]
fn weak_hashes() {
    let expected = [
        ("1.2.840.113549.1.1.2", Some("MD2")),
        ("1.2.840.113549.1.1.3", Some("MD4")),
        ("1.2.840.113549.1.1.4", Some("MD5")),
        ("1.3.14.3.2.25", Some("MD5")),
        ("1.2.840.113549.1.1.5", Some("SHA-1")),
        ("1.3.14.3.2.29", Some("SHA-1")),
        ("1.2.840.10045.4.1", Some("SHA-1")),
        ("1.2.840.10040.4.3", Some("SHA-1")),
        ("1.3.14.3.2.27", Some("SHA-1")),
        ("1.2.840.113549.1.1.11", None),
        ("1.2.840.10045.4.3.2", None),
        ("1.3.101.112", None),
    ];
    for (id, hash) in expected {
        let parts: Vec<u64> = id.split('.').map(|part| part.parse().unwrap()).collect();
        let algorithm = AlgorithmIdentifier::new(Oid::from(&parts).unwrap(), None);
        assert_eq!(weak_hash(&algorithm), hash, "{id}");
    }
}

/// Hashes longer or shorter than the key's curve, which RFC 5758 §3.2 allows.
#[test]
fn ecdsa_with_any_hash_of_sha_2() {
    let directory = std::env::temp_dir().join(format!("edgeseal-ecdsa-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (certificate, key) = (directory.join("ca.pem"), directory.join("ca.key"));
    let names = directory.join("extensions");
    std::fs::write(&names, "subjectAltName=DNS:www.example.com").unwrap();
    let request = "req -new -key /dev/stdin -subj /CN=www.example.com";
    let request = openssl(request, &CHAIN.leaf.key_pem());
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let now = Timestamp::from_unix_seconds(i64::try_from(now).unwrap() + 60);
    for (curve, hash) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "sha384"),
        (&rcgen::PKCS_ECDSA_P256_SHA256, "sha512"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "sha256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "sha512"),
        (&rcgen::PKCS_ECDSA_P521_SHA512, "sha256"),
        (&rcgen::PKCS_ECDSA_P521_SHA512, "sha384"),
    ] {
        let root = root_with("Root", KeyPair::generate_for(curve).unwrap(), |_| {});
        std::fs::write(&certificate, root.pem()).unwrap();
        std::fs::write(&key, root.key_pem()).unwrap();
        let (ca, ca_key, extensions) = (certificate.display(), key.display(), names.display());
        let sign = format!(
            "x509 -req -CA {ca} -CAkey {ca_key} -CAcreateserial -extfile {extensions} -days 90 -{hash}"
        );
        let chain = openssl(&sign, &request) + &root.pem();
        let validated = validate_upload(&chain, &CHAIN.leaf.key_pem(), now);
        let validated = validated.unwrap_or_else(|why| panic!("{curve:?} with {hash}: {why}"));
        assert_eq!(validated.warnings, [], "{curve:?} with {hash}");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
