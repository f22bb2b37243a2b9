//! The messages of refusals and the form of digests, which people compare with their own files.

use rcgen::{CustomExtension, KeyPair, SerialNumber};

use super::pki::{CHAIN, RSA, concat, named, pem_encode};
use crate::certificate::{
    CertificateInfo, Digest, InvalidCertificate, InvalidChain, UnexpectedContent,
};

#[test]
fn a_key_that_is_not_the_leaf_s() {
    let of = |key: &str, belongs_to| {
        InvalidCertificate::Mismatch {
            leaf: named(1, "CN=www.example.com"),
            leaf_key: "ECDSA P-256".to_owned(),
            key: key.to_owned(),
            belongs_to,
        }
        .to_string()
    };
    assert_eq!(
        of("ECDSA P-256", Some(named(2, "CN=Test CA"))),
        "the private key is the key of certificate block 2 (CN=Test CA), not of the leaf, \
         certificate block 1 (CN=www.example.com)"
    );
    assert_eq!(
        of("ECDSA P-256", None),
        "the private key is not the key of certificate block 1 (CN=www.example.com): both are \
         ECDSA P-256, but differ"
    );
    assert_eq!(
        of("RSA of 2048 bits", None),
        "the private key is not the key of certificate block 1 (CN=www.example.com): the \
         certificate is for ECDSA P-256, the key is RSA of 2048 bits"
    );
}

#[test]
fn digests() {
    let digest = Digest::of(&CHAIN.leaf.der);
    let text = digest.to_string();
    assert_eq!(text.len(), 64);
    assert_eq!(format!("{digest:?}"), text);
    assert_eq!(Digest::parse(&text), Some(digest));
    assert_eq!(Digest::parse(&text[1..]), None);
    let json = serde_json::to_string(&digest).unwrap();
    assert_eq!(json, format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    // The SHA-256 of the empty input: a known value, not merely a consistent one.
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(Digest::of(&[]).to_string(), empty);
    assert_ne!(digest, Digest::of(&RSA.leaf.der));
}

#[test]
fn a_serial_number_of_one_byte() {
    for (serial, shown) in [(0x00, "00"), (0x01, "01"), (0x80, "80")] {
        let key = KeyPair::generate().unwrap();
        let leaf = CHAIN
            .intermediate
            .leaf_with("x.example.com", key, |params| {
                params.serial_number = Some(SerialNumber::from_slice(&[serial]));
            });
        assert_eq!(CertificateInfo::from_der(&leaf.der).unwrap().serial, shown);
    }
}

/// A PKCS#8 key of an unknown algorithm with a long OID.
fn of_unknown_algorithm() -> String {
    let der = |tag: u8, contents: &[u8]| {
        let length = u8::try_from(contents.len()).unwrap();
        assert!(length < 0x80, "short form only");
        [&[tag, length], contents].concat()
    };
    let id = [&[0x2a][..], &[1; 60]].concat();
    let parts = [
        der(0x02, &[0]),
        der(0x30, &der(0x06, &id)),
        der(0x04, &[7; 16]),
    ];
    pem_encode("PRIVATE KEY", &der(0x30, &parts.concat()))
}

#[test]
fn a_critical_extension_that_the_tls_library_does_not_know() {
    let policies = [2, 5, 29, 32];
    let mut extension = CustomExtension::from_oid_content(&policies, vec![0x30, 0]);
    extension.set_criticality(true);
    let key = KeyPair::generate().unwrap();
    let leaf = CHAIN
        .intermediate
        .leaf_with("www.example.com", key, |params| {
            params.custom_extensions.push(extension);
        });
    let chain = concat(&[&leaf, &CHAIN.intermediate]);
    let refused = super::pki::validate_now(&chain, &leaf.key_pem()).unwrap_err();
    let sentence = "certificate block 1 (CN=www.example.com) has the critical extension 2.5.29.32, \
                    which TLS clients do not know and so refuse; order one without it";
    assert_eq!(refused.to_string(), sentence);
}

#[test]
fn a_precertificate() {
    let poison = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 3];
    let mut extension = CustomExtension::from_oid_content(&poison, vec![5, 0]);
    extension.set_criticality(true);
    let key = KeyPair::generate().unwrap();
    let leaf = CHAIN
        .intermediate
        .leaf_with("www.example.com", key, |params| {
            params.custom_extensions.push(extension);
        });
    let refused = super::pki::validate_now(&leaf.pem(), &leaf.key_pem()).unwrap_err();
    let sentence = "certificate block 1 (CN=www.example.com) is a precertificate, which clients \
                    refuse; send the certificate that the authority issued after it";
    assert_eq!(refused.to_string(), sentence);
}

/// Base64 above a certain length counts as a block without markers; shorter text is a word.
#[test]
fn bare_base64_from_its_length_on() {
    for (length, expected) in [
        (100, UnexpectedContent::Nothing),
        (101, UnexpectedContent::BareBase64),
    ] {
        let got = super::pki::validate_now(&"A".repeat(length), &CHAIN.leaf.key_pem()).unwrap_err();
        let none = InvalidChain::NoCertificate { found: expected };
        assert_eq!(got, InvalidCertificate::Chain(none), "{length}");
    }
}

#[test]
fn an_unknown_algorithm_by_its_number() {
    let chain = concat(&[&CHAIN.leaf, &CHAIN.intermediate]);
    let refused = super::pki::validate_now(&chain, &of_unknown_algorithm()).unwrap_err();
    let number = format!("1.2{}", ".1".repeat(31).get(..61).unwrap());
    assert_eq!(number.len(), 64);
    let text = refused.to_string();
    let (_, after) = text.split_once("an unknown algorithm, ").expect(&text);
    assert!(after.starts_with(&number), "{text}");
    assert!(!after.contains(&format!("{number}1")), "{text}");
}
