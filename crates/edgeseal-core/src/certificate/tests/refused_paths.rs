//! Valid certificates that form no chain for the key at this time.

use rcgen::{BasicConstraints, IsCa, KeyPair, KeyUsagePurpose};

use super::pki::{
    CHAIN, CertificateWithKey, NOW, concat, leaf_params, named, now, pem_encode, refused, root,
    same_key, valid_days,
};
use crate::{
    Timestamp,
    certificate::{
        BlockRef, InvalidCertificate as Invalid, InvalidChain, NotACa, Untrusted, validate_upload,
    },
};

#[test]
fn not_one_chain() {
    let leaf = &CHAIN.leaf;
    let other = root("Other Root");
    let other_leaf = other.leaf("other.example.com");
    let refuse = Invalid::Chain;
    refused(
        "two leaves",
        concat(&[&other_leaf, leaf]),
        leaf,
        refuse(InvalidChain::TwoLeaves {
            first: named(1, "CN=other.example.com"),
            second: named(2, "CN=www.example.com"),
        }),
    );
    // A self-signed certificate for the same name, such as an earlier placeholder.
    let self_signed = |adjust: fn(&mut rcgen::CertificateParams)| {
        let mut params = leaf_params("www.example.com");
        params.use_authority_key_identifier_extension = false;
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        CertificateWithKey {
            der,
            params,
            key,
            now: now(),
        }
    };
    let placeholder = self_signed(|_| {});
    refused(
        "a self-signed leaf for the same name",
        concat(&[leaf, &placeholder]),
        leaf,
        refuse(InvalidChain::TwoLeaves {
            first: named(1, "CN=www.example.com"),
            second: named(2, "CN=www.example.com"),
        }),
    );
    let authority = self_signed(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    refused(
        "a self-signed authority of the same name",
        concat(&[&authority, leaf]),
        leaf,
        refuse(InvalidChain::WrongIssuer {
            child: named(2, "CN=www.example.com"),
            wanted: "CN=Test Intermediate".to_owned(),
            issuer: named(1, "CN=www.example.com"),
        }),
    );
    refused(
        "the issuer's issuer without the issuer",
        concat(&[leaf, &CHAIN.root]),
        leaf,
        refuse(InvalidChain::WrongIssuer {
            child: named(1, "CN=www.example.com"),
            wanted: "CN=Test Intermediate".to_owned(),
            issuer: named(2, "CN=Test Root"),
        }),
    );
    refused(
        "another root",
        concat(&[&other, leaf, &CHAIN.intermediate]),
        leaf,
        refuse(InvalidChain::WrongIssuer {
            child: named(3, "CN=Test Intermediate"),
            wanted: "CN=Test Root".to_owned(),
            issuer: named(1, "CN=Other Root"),
        }),
    );
    refused(
        "another root after the whole chain",
        concat(&[leaf, &CHAIN.intermediate, &CHAIN.root, &other]),
        leaf,
        refuse(InvalidChain::Unrelated {
            certificate: named(4, "CN=Other Root"),
        }),
    );
    let circle = other.cross_sign(&CHAIN.root, |_| {});
    let circle_back = CHAIN.root.cross_sign(&other, |_| {});
    refused(
        "a circle without a leaf",
        concat(&[&circle, &circle_back]),
        leaf,
        refuse(InvalidChain::NoLeaf),
    );
}

#[test]
fn untrusted() {
    let leaf = &CHAIN.leaf;
    let namesake = CHAIN.root.authority("Test Intermediate");
    let (child, issuer) = (
        named(1, "CN=www.example.com"),
        named(2, "CN=Test Intermediate"),
    );
    let wrong = |child: &BlockRef, issuer: &BlockRef| {
        let (child, issuer) = (child.clone(), issuer.clone());
        Invalid::Untrusted(Untrusted::Signature { child, issuer })
    };
    refused(
        "another key under the issuer's name",
        concat(&[leaf, &namesake]),
        leaf,
        wrong(&child, &issuer),
    );
    let mut tampered = leaf.der.clone();
    *tampered.last_mut().unwrap() ^= 1;
    refused(
        "a changed signature",
        pem_encode("CERTIFICATE", &tampered) + &CHAIN.intermediate.pem(),
        leaf,
        wrong(&child, &issuer),
    );
    let root = root("Test Root");
    refused(
        "another key under the root's name",
        concat(&[leaf, &CHAIN.intermediate, &root]),
        leaf,
        wrong(&issuer, &named(3, "CN=Test Root")),
    );
}

#[test]
fn not_authorities() {
    let not_an_authority = |why| {
        let child = named(1, "CN=www.example.com");
        let issuer = named(2, "CN=Test Intermediate");
        Invalid::Untrusted(Untrusted::NotACa {
            child,
            issuer,
            reason: why,
        })
    };
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let key = KeyPair::generate().unwrap();
        let adjust = |params: &mut rcgen::CertificateParams| params.is_ca = is_ca;
        let no_ca = CHAIN.root.authority_with("Test Intermediate", key, adjust);
        let leaf = no_ca.leaf("www.example.com");
        let why = not_an_authority(NotACa::BasicConstraints);
        refused("no CA", concat(&[&leaf, &no_ca]), &leaf, why);
    }
    let key = KeyPair::generate().unwrap();
    let adjust = |params: &mut rcgen::CertificateParams| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    };
    let no_signer = CHAIN.root.authority_with("Test Intermediate", key, adjust);
    // The library refuses to sign with it, so another certificate with its name and key signs.
    let mut params = no_signer.params.clone();
    params.key_usages.clear();
    let signer = CertificateWithKey {
        der: Vec::new(),
        params,
        key: same_key(&no_signer.key),
        now: now(),
    };
    let leaf = signer.leaf("www.example.com");
    let why = not_an_authority(NotACa::KeyUsage);
    refused("no signer", concat(&[&leaf, &no_signer]), &leaf, why);
}

#[test]
fn times() {
    let leaf = |from, to| {
        let key = KeyPair::generate().unwrap();
        let adjust = |params: &mut _| valid_days(params, from, to);
        CHAIN.intermediate.leaf_with("www.example.com", key, adjust)
    };
    let day = |days: i64| NOW.plus_ms(days * 86_400_000);
    let expired = |certificate, days| Invalid::Expired {
        certificate,
        not_after: day(days),
    };
    let early = |certificate, days| Invalid::NotYetValid {
        certificate,
        not_before: day(days),
    };
    let one = || named(1, "CN=www.example.com");
    let old = leaf(-90, -1);
    refused("the leaf is past", old.pem(), &old, expired(one(), -1));
    let new = leaf(1, 90);
    refused("the leaf is to come", new.pem(), &new, early(one(), 1));
    for (from, to) in [(-90, -2), (2, 90)] {
        let key = KeyPair::generate().unwrap();
        let adjust = |params: &mut _| valid_days(params, from, to);
        let intermediate = CHAIN.root.authority_with("Test Intermediate", key, adjust);
        let leaf = intermediate.leaf("www.example.com");
        let two = named(2, "CN=Test Intermediate");
        let why = if to < 0 {
            expired(two, to)
        } else {
            early(two, from)
        };
        let chain = concat(&[&leaf, &intermediate]);
        refused("a needed intermediate", chain, &leaf, why);
    }
    // The last second is still valid (RFC 5280 §4.1.2.5).
    let end = old.params.not_after.unix_timestamp();
    let at = |ms| Timestamp::from_unix_seconds(end).plus_ms(ms);
    assert!(validate_upload(&old.pem(), &old.key_pem(), at(999)).is_ok());
    assert!(validate_upload(&old.pem(), &old.key_pem(), at(1000)).is_err());
    let start = Timestamp::from_unix_seconds(new.params.not_before.unix_timestamp());
    assert!(validate_upload(&new.pem(), &new.key_pem(), start).is_ok());
    assert!(validate_upload(&new.pem(), &new.key_pem(), start.plus_ms(-1)).is_err());
}

/// With two faults at once, the first one in the documented order is reported.
#[test]
fn the_order_of_refusals() {
    let leaf = &CHAIN.leaf;
    let long = "x".repeat(33 * 1024);
    let kind = |chain: &str, key: &str| match validate_upload(chain, key, NOW) {
        Err(why) => why,
        Ok(_) => panic!("accepted"),
    };
    let broken_base64 = |pem: String| pem.replacen("MI", "M%", 1);
    let stripped = |pem: String| pem.replace('\n', "");
    let bad_key = pem_encode("PRIVATE KEY", b"no key");
    let other_key = CHAIN.root.key_pem();
    let old = {
        let key = KeyPair::generate().unwrap();
        let adjust = |params: &mut _| valid_days(params, -9, -1);
        CHAIN.intermediate.leaf_with("old.example.com", key, adjust)
    };
    let namesake = CHAIN.root.authority("Test Intermediate");
    let wrongly_signed = concat(&[&old, &namesake]);
    assert!(matches!(kind(&long, " "), Invalid::BlankKey));
    assert!(matches!(kind(&long, "\0"), Invalid::TooLong(_)));
    assert!(matches!(kind("\0", &long), Invalid::TooLong(_)));
    assert!(matches!(kind("\0", "\0"), Invalid::ChainText(_)));
    let broken = broken_base64(leaf.pem());
    assert!(matches!(kind(&broken, "\0"), Invalid::KeyText(_)));
    let broken = broken_base64(leaf.key_pem());
    assert!(matches!(kind("no chain", &broken), Invalid::Base64(_)));
    assert!(matches!(kind("no chain", "no key"), Invalid::Chain(_)));
    let no_x509 = pem_encode("CERTIFICATE", b"x");
    assert!(matches!(kind(&no_x509, "no key"), Invalid::Format(_)));
    let broken = stripped(leaf.key_pem());
    assert!(matches!(
        kind(&wrongly_signed, &broken),
        Invalid::KeyBlock(_)
    ));
    assert!(matches!(kind(&wrongly_signed, &bad_key), Invalid::Key(_)));
    let got = kind(&wrongly_signed, &other_key);
    assert!(matches!(got, Invalid::Mismatch { .. }));
    let got = kind(&wrongly_signed, &old.key_pem());
    assert!(matches!(got, Invalid::Untrusted(_)));
    let got = kind(&old.pem(), &old.key_pem());
    assert!(matches!(got, Invalid::Expired { .. }));
}
