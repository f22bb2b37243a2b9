//! Private keys and algorithms that are accepted.

use rcgen::KeyPair;

use super::pki::{CHAIN, RSA, concat, openssl, pem_encode, root_with, validate_now};
use crate::certificate::{KeyAlgorithm, inspect, key_to_pem};

#[test]
fn spellings_of_a_key() {
    let ec = CHAIN.leaf.key_pem();
    let rsa = RSA.leaf.key_pem();
    let sec1 = openssl("ec", &ec);
    let with_parameters = openssl("ecparam -name prime256v1", "") + &sec1;
    let keys = [
        ("SEC1", sec1.clone()),
        ("SEC1 with parameters", with_parameters),
        ("SEC1 without the public key", openssl("ec -no_public", &ec)),
        (
            "SEC1 with explicit curve",
            openssl("ec -param_enc explicit", &ec),
        ),
        (
            "SEC1 under a wrong label",
            sec1.replace("EC PRIVATE", "PRIVATE"),
        ),
        (
            "PKCS#8 under a wrong label",
            ec.replace("PRIVATE", "RSA PRIVATE"),
        ),
        (
            "CRLF and text",
            format!("my key:\r\n{}", ec.replace('\n', "\r\n")),
        ),
        ("certificate too", CHAIN.leaf.pem() + &ec),
    ];
    for (what, key) in keys {
        let validated =
            validate_now(&CHAIN.leaf.pem(), &key).unwrap_or_else(|why| panic!("{what}: {why}"));
        let again = pem_encode("PRIVATE KEY", validated.key.expose());
        let public = |key: &str| openssl("pkey -pubout", key);
        assert_eq!(public(&again), public(&ec), "{what}");
    }
    let pkcs1 = openssl("rsa -traditional", &rsa);
    assert!(pkcs1.contains("RSA PRIVATE KEY"));
    for key in [rsa, pkcs1] {
        let validated = validate_now(&RSA.leaf.pem(), &key).unwrap();
        assert_eq!(validated.key.expose(), RSA.leaf.key.serialized_der());
    }
}

#[test]
fn algorithms() {
    let kinds = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, KeyAlgorithm::Ecdsa, 256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, KeyAlgorithm::Ecdsa, 384),
        (&rcgen::PKCS_ECDSA_P521_SHA512, KeyAlgorithm::Ecdsa, 521),
        (&rcgen::PKCS_ECDSA_P521_SHA256, KeyAlgorithm::Ecdsa, 521),
        (&rcgen::PKCS_ED25519, KeyAlgorithm::Ed25519, 256),
        (&rcgen::PKCS_RSA_SHA256, KeyAlgorithm::Rsa, 2048),
        (&rcgen::PKCS_RSA_SHA512, KeyAlgorithm::Rsa, 2048),
    ];
    for (kind, algorithm, bits) in kinds {
        // The CA uses the same algorithm, so that its signature is verified too.
        let key = || KeyPair::generate_for(kind).unwrap();
        let root = root_with("Root", key(), |_| {});
        let leaf = root.leaf_with("www.example.com", key(), |_| {});
        let validated = validate_now(&concat(&[&leaf, &root]), &leaf.key_pem()).unwrap();
        assert_eq!(validated.info.key, algorithm);
        assert_eq!(validated.info.key_bits, bits);
        assert_eq!(validated.warnings, []);
    }
}

#[test]
fn rsa_of_another_size() {
    let key = openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072", "");
    let pair = KeyPair::from_pem(&key).unwrap();
    let leaf = CHAIN
        .intermediate
        .leaf_with("www.example.com", pair, |_| {});
    assert_eq!(validate_now(&leaf.pem(), &key).unwrap().info.key_bits, 3072);
}

#[test]
fn algorithms_are_spelt_as_people_know_them() {
    let spelt = [
        KeyAlgorithm::Rsa,
        KeyAlgorithm::Ecdsa,
        KeyAlgorithm::Ed25519,
    ]
    .map(|a| a.to_string());
    assert_eq!(spelt, ["RSA", "ECDSA", "Ed25519"]);
}

#[test]
fn a_leaf_is_inspected_without_a_key_and_a_key_prints() {
    let text = concat(&[&CHAIN.intermediate, &CHAIN.leaf]);
    let seen = inspect(&text).expect("readable");
    let validated = validate_now(&text, &CHAIN.leaf.key_pem()).expect("servable");
    assert_eq!(seen.der, validated.leaf);
    assert_eq!(seen.info.sha256, validated.info.sha256);
    let again = validate_now(&text, &key_to_pem(&validated.key)).expect("the same key");
    assert_eq!(again.key.expose(), validated.key.expose());
    assert!(inspect("no certificate").is_err());
}

/// Headers of RFC 1421 §4.6 that do not declare the key encrypted.
#[test]
fn a_key_with_headers() {
    let plain = CHAIN.leaf.key_pem();
    for header in ["Comment: never ENCRYPTED", "Proc-Type: 4,MIC-CLEAR"] {
        let end = "-----BEGIN PRIVATE KEY-----\n";
        let key = plain.replace(end, &format!("{end}{header}\n\n"));
        let validated = validate_now(&CHAIN.leaf.pem(), &key).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(validated.key.expose(), CHAIN.leaf.key.serialized_der());
    }
}
