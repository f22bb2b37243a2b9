//! Which intermediates are served if several paths exist.

use rcgen::KeyPair;

use super::pki::{
    CHAIN, CertificateWithKey, concat, root, root_with, same_key, valid_days, validate_now,
};
use crate::certificate::{InvalidCertificate, InvalidChain, Untrusted, Warning};

/// Validates the chain in several orders and asserts that each serves `expected`; returns the
/// warnings, except the one about the order.
fn serves(
    chain: &[&CertificateWithKey],
    leaf: &CertificateWithKey,
    expected: &[&CertificateWithKey],
) -> Vec<Warning> {
    let expected: Vec<Vec<u8>> = expected.iter().map(|one| one.der.clone()).collect();
    let mut order = chain.to_vec();
    let mut warnings = Vec::new();
    for _ in 0..order.len() {
        for order in [order.clone(), order.iter().rev().copied().collect()] {
            let validated = validate_now(&concat(&order), &leaf.key_pem()).unwrap();
            assert_eq!(validated.leaf, leaf.der);
            assert_eq!(validated.intermediates, expected);
            warnings = validated.warnings;
            warnings.retain(|one| *one != Warning::ChainReordered);
        }
        order.rotate_left(1);
    }
    warnings
}

#[test]
fn a_given_root_wins_over_a_cross_signed_twin() {
    let old_root = root("Old Root");
    let root = root("New Root");
    let twin = old_root.cross_sign(&root, |_| {});
    let intermediate = root.authority("Intermediate");
    let leaf = intermediate.leaf("www.example.com");
    let chain = [&leaf, &intermediate, &twin];
    assert_eq!(serves(&chain, &leaf, &[&intermediate, &twin]), []);
    let chain = [&leaf, &intermediate, &twin, &old_root];
    assert_eq!(serves(&chain, &leaf, &[&intermediate, &twin]), []);
    let chain = [&leaf, &intermediate, &twin, &root];
    assert_eq!(serves(&chain, &leaf, &[&intermediate]), []);
}

#[test]
fn an_expired_twin_that_is_not_needed_is_dropped() {
    let other = root("Other Root");
    let expired = other.cross_sign(&CHAIN.intermediate, |params| valid_days(params, -90, -1));
    let early = other.cross_sign(&CHAIN.intermediate, |params| valid_days(params, 1, 90));
    let chain = [&CHAIN.leaf, &expired, &CHAIN.intermediate, &early];
    assert_eq!(serves(&chain, &CHAIN.leaf, &[&CHAIN.intermediate]), []);
    let chain = concat(&[&CHAIN.leaf, &expired]);
    assert!(matches!(
        validate_now(&chain, &CHAIN.leaf.key_pem()),
        Err(InvalidCertificate::Expired { certificate, .. }) if certificate.block == 2
    ));
}

#[test]
fn the_validity_of_a_root_does_not_matter() {
    let key = KeyPair::generate().unwrap();
    let root = root_with("Old Root", key, |params| valid_days(params, -90, -1));
    let intermediate = root.authority("Intermediate");
    let leaf = intermediate.leaf("www.example.com");
    let chain = [&leaf, &intermediate, &root];
    assert_eq!(serves(&chain, &leaf, &[&intermediate]), []);
}

#[test]
fn a_namesake_with_another_key_is_dropped() {
    let namesake = CHAIN.root.authority("Test Intermediate");
    let chain = [&CHAIN.leaf, &namesake, &CHAIN.intermediate, &CHAIN.root];
    assert_eq!(serves(&chain, &CHAIN.leaf, &[&CHAIN.intermediate]), []);
    // Without key identifiers the signature distinguishes them.
    let key = KeyPair::generate().unwrap();
    let leaf = CHAIN
        .intermediate
        .leaf_with("www.example.com", key, |params| {
            params.use_authority_key_identifier_extension = false;
        });
    let chain = [&leaf, &namesake, &CHAIN.intermediate];
    assert_eq!(serves(&chain, &leaf, &[&CHAIN.intermediate]), []);
}

#[test]
fn of_two_renewals_the_longer_one_is_served() {
    let longer = CHAIN
        .root
        .cross_sign(&CHAIN.intermediate, |params| valid_days(params, -3, 3001));
    let chain = [&CHAIN.leaf, &CHAIN.intermediate, &longer, &CHAIN.root];
    assert_eq!(serves(&chain, &CHAIN.leaf, &[&longer]), []);
}

#[test]
fn a_circle_of_cross_signatures_ends() {
    let (a, b) = (root("A"), root("B"));
    let (a_by_b, b_by_a) = (b.cross_sign(&a, |_| {}), a.cross_sign(&b, |_| {}));
    let leaf = a.leaf("www.example.com");
    let chain = [&leaf, &a_by_b, &b_by_a];
    assert_eq!(serves(&chain, &leaf, &[&a_by_b, &b_by_a]), []);
    assert_eq!(
        serves(&[&leaf, &a_by_b, &b_by_a, &b], &leaf, &[&a_by_b]),
        []
    );
}

/// Nine CAs with one name, each cross-signed by the next: many paths, little work.
#[test]
fn many_namesakes() {
    let roots: Vec<CertificateWithKey> = (0..9).map(|_| root("Same")).collect();
    let mut ring: Vec<CertificateWithKey> = (0..8)
        .map(|at| roots[at + 1].cross_sign(&roots[at], |_| {}))
        .collect();
    let leaf = roots[0].leaf("www.example.com");
    let expected: Vec<Vec<u8>> = ring.iter().map(|one| one.der.clone()).collect();
    ring.reverse();
    let text = ring.iter().map(CertificateWithKey::pem).collect::<String>() + &leaf.pem();
    let validated = validate_now(&text, &leaf.key_pem()).unwrap();
    assert_eq!(validated.intermediates, expected);
}

#[test]
fn an_authority_that_signs_under_its_own_name() {
    let (root, stranger) = (root("www.example.com"), root("www.example.com"));
    let leaf = root.leaf("www.example.com");
    assert_eq!(serves(&[&leaf, &root], &leaf, &[]), []);
    let got = validate_now(&concat(&[&leaf, &stranger]), &leaf.key_pem());
    assert!(matches!(
        got,
        Err(InvalidCertificate::Chain(
            InvalidChain::TwoLeaves { .. }
                | InvalidChain::Unrelated { .. }
                | InvalidChain::WrongIssuer { .. }
        ))
    ));
}

/// An invalid path is dropped if a valid one exists, and reported otherwise.
#[test]
fn a_broken_path_matters_only_if_it_is_the_only_one() {
    let other = root("Other Root");
    let impostor = root("Other Root");
    let twin = other.cross_sign(&CHAIN.intermediate, |_| {});
    let chain = [
        &CHAIN.leaf,
        &CHAIN.intermediate,
        &twin,
        &impostor,
        &CHAIN.root,
    ];
    assert_eq!(serves(&chain, &CHAIN.leaf, &[&CHAIN.intermediate]), []);
    let got = validate_now(
        &concat(&[&CHAIN.leaf, &twin, &impostor]),
        &CHAIN.leaf.key_pem(),
    );
    let Err(InvalidCertificate::Untrusted(Untrusted::Signature { child, issuer })) = got else {
        panic!("{got:?}")
    };
    assert_eq!((child.block, issuer.block), (2, 3));
}

#[test]
fn two_certificates_of_one_key_under_one_issuer_are_two_leaves() {
    let key = same_key(&CHAIN.leaf.key);
    let renewed = CHAIN.intermediate.leaf_with("www.example.com", key, |_| {});
    let chain = concat(&[&CHAIN.leaf, &renewed, &CHAIN.intermediate]);
    assert!(matches!(
        validate_now(&chain, &CHAIN.leaf.key_pem()),
        Err(InvalidCertificate::Chain(InvalidChain::TwoLeaves { first, second }))
            if (first.block, second.block) == (1, 2)
    ));
}

#[test]
fn a_twin_that_is_not_yet_valid_is_dropped_however_long_it_will_be() {
    let other = root("Other Root");
    let early = other.cross_sign(&CHAIN.intermediate, |params| valid_days(params, 1, 9000));
    let chain = [&CHAIN.leaf, &early, &CHAIN.intermediate];
    assert_eq!(serves(&chain, &CHAIN.leaf, &[&CHAIN.intermediate]), []);
}

/// Without a root the longest path is served, and among paths of equal length the best one.
#[test]
fn the_longest_way_is_served_where_no_root_is_given() {
    let (near, far) = (root("Near Root"), root("Far Root"));
    let between = far.authority("Between");
    // The path that ends immediately is tried first, because it is valid longest.
    let direct = near.cross_sign(&CHAIN.intermediate, |params| valid_days(params, -3, 9000));
    let longer = between.cross_sign(&CHAIN.intermediate, |_| {});
    let chain = [&CHAIN.leaf, &direct, &longer, &between];
    assert_eq!(serves(&chain, &CHAIN.leaf, &[&longer, &between]), []);
    let chain = [&CHAIN.leaf, &CHAIN.intermediate, &direct];
    assert_eq!(serves(&chain, &CHAIN.leaf, &[&direct]), []);
}

#[test]
fn a_root_that_names_its_own_key_is_a_root() {
    let root = root_with("Root", KeyPair::generate().unwrap(), |params| {
        params.use_authority_key_identifier_extension = true;
    });
    let intermediate = root.authority("Intermediate");
    let leaf = intermediate.leaf("www.example.com");
    let chain = [&leaf, &intermediate, &root];
    assert_eq!(serves(&chain, &leaf, &[&intermediate]), []);
}
