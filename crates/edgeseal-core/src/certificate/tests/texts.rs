//! PEM block boundaries that are nearly right, other content of a text, and how names are
//! displayed.

use rcgen::{DistinguishedName, DnType, KeyPair};

use super::pki::{CHAIN, concat, validate_now};
use crate::certificate::{
    BlockName, InvalidCertificate, InvalidChain, InvalidPemBoundary, UnexpectedContent, inspect,
};

#[test]
fn boundaries_that_are_nearly_right() {
    let good = CHAIN.leaf.pem();
    let lines = good.lines().count();
    let encoded = |from: &str, to: &str| good.replacen(from, to, 1);
    let end_joined = good.replacen("\n-----END", "-----END", 1);
    for (text, expected) in [
        (
            end_joined,
            InvalidPemBoundary::MissingLineBreak { line: lines - 1 },
        ),
        (
            encoded("BEGIN ", "BEGIN%20"),
            InvalidPemBoundary::UrlEncoded { line: 1 },
        ),
        (
            encoded("BEGIN ", "BEGIN+"),
            InvalidPemBoundary::UrlEncoded { line: 1 },
        ),
        (
            encoded("END ", "END%20"),
            InvalidPemBoundary::UrlEncoded { line: lines },
        ),
        (
            encoded("END ", "END+"),
            InvalidPemBoundary::UrlEncoded { line: lines },
        ),
    ] {
        let got = validate_now(&text, &CHAIN.leaf.key_pem()).unwrap_err();
        let expected = InvalidCertificate::Chain(InvalidChain::Boundary(expected));
        assert_eq!(got, expected, "{text}");
    }
}

#[test]
fn text_around_that_only_talks_of_certificates() {
    let chain = format!("my self-signed CERTIFICATE\n{}", CHAIN.leaf.pem());
    assert!(validate_now(&chain, &CHAIN.leaf.key_pem()).is_ok());
}

#[test]
fn what_was_found_instead() {
    let other = |label| UnexpectedContent::Other { label, line: 3 };
    for (found, expected) in [
        (other(Some("PKCS7")), "PKCS7"),
        (other(None), "unknown kind"),
        (UnexpectedContent::BareBase64, "without BEGIN"),
        (UnexpectedContent::Nothing, "no BEGIN line"),
    ] {
        let text = InvalidChain::NoCertificate { found }.to_string();
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(BlockName::Certificate(2).to_string(), "certificate block 2");
    assert!(BlockName::PrivateKey.to_string().contains("private-key"));
}

#[test]
fn names_of_certificates() {
    let with = |parts: &[(DnType, &str)]| {
        let mut name = DistinguishedName::new();
        for (kind, value) in parts {
            name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().unwrap();
        CHAIN
            .intermediate
            .leaf_with("www.example.com", key, |params| {
                params.distinguished_name = name;
            })
    };
    for (parts, short) in [
        (&[][..], "without a common name"),
        (&[(DnType::OrganizationName, "Example")][..], "O=Example"),
        (
            &[
                (DnType::OrganizationName, "Example"),
                (DnType::CommonName, "example.com"),
            ][..],
            "CN=example.com",
        ),
    ] {
        let leaf = with(parts);
        let why = validate_now(&leaf.pem(), &CHAIN.root.key_pem()).unwrap_err();
        let InvalidCertificate::Mismatch { leaf, .. } = why else {
            panic!("{why:?}")
        };
        assert_eq!(leaf.subject, short);
    }
    let leaf = with(&[
        (DnType::CountryName, "DE"),
        (DnType::StateOrProvinceName, "Berlin"),
        (DnType::LocalityName, "Mitte"),
        (DnType::OrganizationName, "Example"),
    ]);
    let read = inspect(&concat(&[&leaf, &CHAIN.intermediate])).unwrap();
    assert_eq!(read.issuer, "CN=Test Intermediate");
    let subject = read.info.subject;
    assert_eq!(
        [
            subject.country,
            subject.province,
            subject.locality,
            subject.organization
        ],
        ["DE", "Berlin", "Mitte", "Example"]
    );
}
