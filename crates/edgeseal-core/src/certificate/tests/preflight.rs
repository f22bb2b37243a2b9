//! What is worth knowing before an upload: the path that browsers build, and what is not served.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyUsagePurpose, NameConstraints, SanType,
};
use rustls_pki_types::{CertificateDer, TrustAnchor};
use webpki::anchor_from_trusted_cert;

use edgeseal_testing::pki::{new_key, new_key_of};

use super::{
    pki::{CHAIN, CertificateWithKey, NOW, RSA, concat, root, root_with, valid_days},
    *,
};

fn anchor(root: &CertificateWithKey) -> TrustAnchor<'static> {
    let der = CertificateDer::from_slice(&root.der);
    anchor_from_trusted_cert(&der).unwrap().to_owned()
}

/// Roots that browsers trust.
fn public<'a>(anchors: &'a [TrustAnchor<'a>]) -> Anchors<'a> {
    Anchors {
        public: anchors,
        private: &[],
    }
}

fn examine(chain: &[&CertificateWithKey], anchors: &[TrustAnchor<'_>]) -> Preflight {
    let key = chain[0].key_pem();
    preflight(&concat(chain), Some(&key), &public(anchors), NOW).unwrap()
}

fn names(found: &Preflight) -> Vec<&'static str> {
    found.findings.iter().map(Finding::name).collect()
}

/// The extension with embedded timestamps (RFC 6962 §3.3): an OCTET STRING with a list, of which
/// list and members have two bytes of length.
fn add_scts(params: &mut CertificateParams, count: usize) {
    let mut sct = vec![0; 1 + 32 + 8 + 2]; // version, log, time, no extensions
    sct.extend([4, 3, 0, 2, 9, 9]); // ECDSA with SHA-256, a signature of two bytes
    let mut list = Vec::new();
    for _ in 0..count {
        list.extend((sct.len() as u16).to_be_bytes());
        list.extend(&sct);
    }
    // DER has the shortest length (X.690 §10.1).
    let mut content = match list.len() as u8 + 2 {
        short @ ..0x80 => vec![0x04, short],
        long => vec![0x04, 0x81, long],
    };
    content.extend((list.len() as u16).to_be_bytes());
    content.extend(list);
    let oid = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
    let extension = CustomExtension::from_oid_content(&oid, content);
    params.custom_extensions.push(extension);
}

fn add_must_staple(params: &mut CertificateParams) {
    let content = vec![0x30, 3, 2, 1, 5];
    let extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], content);
    params.custom_extensions.push(extension);
}

/// Certificate policies (RFC 5280 §4.2.1.4), which clients ignore unless they are critical.
fn add_critical(params: &mut CertificateParams) {
    let mut policies = CustomExtension::from_oid_content(&[2, 5, 29, 32], vec![0x30, 0]);
    policies.set_criticality(true);
    params.custom_extensions.push(policies);
}

#[test]
fn a_path_to_a_trusted_root() {
    let trusted = [anchor(&CHAIN.root)];
    let leaf = CHAIN
        .intermediate
        .leaf_with("a.example.com", new_key(), |params| {
            add_scts(params, 2);
        });
    let found = examine(&[&leaf, &CHAIN.intermediate], &trusted);
    let path = found.path.as_ref().unwrap();
    assert_eq!(path.intermediates, ["CN=Test Intermediate"]);
    assert_eq!(path.root, "CN=Test Root");
    assert_eq!((found.scts, names(&found)), (2, vec![]));
    assert_eq!(found.spki_sha256, inspect(&leaf.pem()).unwrap().spki_sha256);
    // The key makes no difference to what is found.
    let alone = preflight(
        &concat(&[&leaf, &CHAIN.intermediate]),
        None,
        &public(&trusted),
        NOW,
    )
    .unwrap();
    assert_eq!(alone.findings, found.findings);
}

/// What breaks a path breaks it below a private root as well.
#[test]
fn why_browsers_build_no_path() {
    let ca = |adjust: fn(&mut CertificateParams)| {
        let root = root("Constrained Root");
        let above = root.authority_with("Above", new_key(), adjust);
        let below = above.authority("Below");
        let leaf = below.leaf("www.example.com");
        (root, above, below, leaf)
    };
    let for_clients = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let table = [
        (
            ca(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
            NoPublicPath::PathLength,
        ),
        (
            ca(|params| {
                params.name_constraints = Some(NameConstraints {
                    permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".to_owned())],
                    excluded_subtrees: vec![],
                });
            }),
            NoPublicPath::NameConstraints,
        ),
        (ca(for_clients), NoPublicPath::CaNotForServers),
        (ca(add_critical), NoPublicPath::CriticalExtension),
    ];
    for ((root, above, below, leaf), expected) in table {
        for anchors in [vec![anchor(&root)], vec![]] {
            let found = examine(&[&leaf, &below, &above, &root], &anchors);
            assert_eq!(found.path, Err(expected.clone()));
            assert_eq!(names(&found), ["NotPubliclyTrusted", "RootIncluded"]);
        }
    }
    let leaf = CHAIN
        .intermediate
        .leaf_with("www.example.com", new_key(), for_clients);
    let found = examine(&[&leaf, &CHAIN.intermediate], &[anchor(&CHAIN.root)]);
    assert_eq!(found.path, Err(NoPublicPath::NotForServers));
}

#[test]
fn a_leaf_that_signs_no_handshakes() {
    let leaf_for = |usages: &[KeyUsagePurpose]| {
        CHAIN
            .intermediate
            .leaf_with("www.example.com", new_key(), |params| {
                params.key_usages = usages.to_vec();
            })
    };
    use KeyUsagePurpose::{DigitalSignature, KeyAgreement, KeyEncipherment};
    for (usages, may_sign) in [
        (&[][..], true),
        (&[DigitalSignature, KeyEncipherment], true),
        (&[KeyEncipherment], false),
        (&[KeyAgreement], false),
    ] {
        for anchors in [vec![anchor(&CHAIN.root)], vec![]] {
            let found = examine(&[&leaf_for(usages), &CHAIN.intermediate], &anchors);
            let is_blamed = found.path == Err(NoPublicPath::KeyUsage);
            assert_eq!(is_blamed, !may_sign, "{usages:?}: {:?}", found.path);
        }
    }
}

#[test]
fn more_intermediates_than_clients_follow() {
    let root = root("Root");
    for (count, is_followed) in [(6, true), (7, false)] {
        let mut authorities = vec![root.authority("CA 0")];
        for number in 1..count {
            let last = &authorities[number - 1];
            authorities.push(last.authority(&format!("CA {number}")));
        }
        let leaf = authorities[count - 1].leaf("www.example.com");
        let mut chain = vec![&leaf];
        chain.extend(authorities.iter().rev());
        let found = examine(&chain, &[anchor(&root)]);
        let path = found.path.map(|path| path.intermediates.len());
        let expected = is_followed.then_some(count).ok_or(NoPublicPath::TooLong);
        assert_eq!(path, expected);
    }
}

/// Browsers require no timestamps of a private CA's certificates.
#[test]
fn a_private_root_is_no_public_one() {
    let chain = concat(&[&CHAIN.leaf, &CHAIN.intermediate]);
    let own = [anchor(&CHAIN.root)];
    let examine = |public: &[TrustAnchor<'_>]| {
        let private = &own;
        let found = preflight(&chain, None, &Anchors { public, private }, NOW).unwrap();
        (found.path.as_ref().unwrap().is_public, names(&found))
    };
    assert_eq!(examine(&[]), (false, vec![]));
    assert_eq!(examine(&[anchor(&RSA.root)]), (false, vec![]));
    assert_eq!(examine(&own), (true, vec!["TooFewScts"]));
}

#[test]
fn a_certificate_without_names_that_a_domain_can_have() {
    let ip = SanType::IpAddress([192, 0, 2, 1].into());
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    for (names_of_leaf, has_names) in [
        (vec![], false),
        (vec![ip.clone()], false),
        (vec![dns("*.*.example.com"), dns("a_b.example.com.")], false),
        (vec![ip, dns("a.example.com")], true),
    ] {
        let leaf = CHAIN
            .intermediate
            .leaf_with("www.example.com", new_key(), |params| {
                params.subject_alt_names = names_of_leaf;
            });
        let found = examine(&[&leaf, &CHAIN.intermediate], &[anchor(&CHAIN.root)]);
        assert_eq!(names(&found).contains(&"NoNames"), !has_names);
    }
}

#[test]
fn no_root_that_is_trusted() {
    let issuer = |name: &str| NoPublicPath::UnknownIssuer {
        issuer: name.to_owned(),
    };
    let other = [anchor(&RSA.root)];
    let found = examine(&[&CHAIN.leaf, &CHAIN.intermediate], &other);
    assert_eq!(found.path, Err(issuer("CN=Test Root")));
    // An included root is not trusted for that.
    let found = examine(&[&CHAIN.leaf, &CHAIN.intermediate, &CHAIN.root], &other);
    assert_eq!(found.path, Err(issuer("CN=Test Root")));
    // An intermediate that is missing.
    let found = examine(&[&CHAIN.leaf], &[anchor(&CHAIN.root)]);
    let issuer = "CN=Test Intermediate".to_owned();
    assert_eq!(found.path, Err(NoPublicPath::MissingIssuer { issuer }));
    let own = root_with("www.example.com", new_key(), |params| {
        params.is_ca = IsCa::NoCa;
    });
    for own in [&own, &root("A CA")] {
        let found = examine(&[own], &other);
        assert_eq!(found.path, Err(NoPublicPath::SelfSigned));
    }
}

#[test]
fn what_the_leaf_demands_and_lacks() {
    let trusted = [anchor(&CHAIN.root)];
    type Adjust = fn(&mut CertificateParams);
    let table: [(Adjust, &[&str]); 6] = [
        (|params| add_scts(params, 1), &["TooFewScts"]),
        (|_| {}, &["TooFewScts"]),
        (
            |params| {
                add_scts(params, 2);
                add_must_staple(params);
            },
            &["MustStaple"],
        ),
        // More than 180 days require three.
        (
            |params| {
                add_scts(params, 2);
                valid_days(params, -1, 180);
            },
            &["TooFewScts"],
        ),
        (
            |params| {
                add_scts(params, 3);
                valid_days(params, -1, 180);
            },
            &[],
        ),
        (
            |params| {
                add_scts(params, 3);
                valid_days(params, -1, 199);
            },
            &["LongValidity"],
        ),
    ];
    for (adjust, expected) in table {
        let leaf = CHAIN
            .intermediate
            .leaf_with("www.example.com", new_key(), adjust);
        let found = examine(&[&leaf, &CHAIN.intermediate], &trusted);
        assert_eq!(names(&found), expected);
    }
    let ed25519 = new_key_of(&rcgen::PKCS_ED25519);
    let leaf = CHAIN
        .intermediate
        .leaf_with("a.example.com", ed25519, |params| {
            add_scts(params, 2);
        });
    let found = examine(&[&leaf, &CHAIN.intermediate], &trusted);
    assert_eq!(names(&found), ["UncommonKey"]);
}

/// Both ends of the validity are inclusive: a certificate from noon to noon has a second more than
/// whole days.
#[test]
fn the_limit_of_the_validity_depends_on_the_first_day() {
    const DAY: i64 = 24 * 60 * 60;
    let long = |from: i64, seconds: i64| {
        let leaf = CHAIN
            .intermediate
            .leaf_with("a.example.com", new_key(), |params| {
                let from = time::OffsetDateTime::from_unix_timestamp(from).unwrap();
                params.not_before = from;
                params.not_after = from + time::Duration::seconds(seconds);
            });
        let chain = concat(&[&leaf, &CHAIN.intermediate]);
        let at = Timestamp::from_unix_seconds(from);
        let found = preflight(&chain, None, &public(&[]), at).unwrap().findings;
        found.into_iter().find_map(|one| match one {
            Finding::LongValidity { days, limit, .. } => Some((days, limit)),
            _ => None,
        })
    };
    // 2026-03-15 and the second before it.
    for (from, days) in [(1_773_532_800, 200), (1_773_532_799, 398)] {
        assert_eq!(long(from, days * DAY - 1), None, "{from}");
        assert_eq!(long(from, days * DAY), Some((days + 1, days)), "{from}");
    }
    // 2027-03-15.
    assert_eq!(long(1_805_068_800, 100 * DAY), Some((101, 100)));
}

#[test]
fn certificates_that_are_not_served() {
    let trusted = [anchor(&CHAIN.root)];
    let cross = root("Other Root").cross_sign(&CHAIN.root, |_| {});
    let leaf = CHAIN
        .intermediate
        .leaf_with("a.example.com", new_key(), |params| {
            add_scts(params, 2);
        });
    let found = examine(
        &[
            &leaf,
            &CHAIN.intermediate,
            &CHAIN.root,
            &cross,
            &leaf,
            &CHAIN.intermediate,
        ],
        &trusted,
    );
    assert_eq!(names(&found), ["RootIncluded", "NotOnPath", "Repeated"]);
    let said: Vec<String> = found.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "certificate block 3 (CN=Test Root) is a root, which clients have: it is not served",
            "certificate block 4 (CN=Test Root) is not needed: it is not served",
            "2 certificate blocks repeat others",
        ]
    );
}

#[test]
fn an_upload_that_would_be_refused_is_refused() {
    let chain = concat(&[&CHAIN.leaf, &CHAIN.intermediate]);
    let other = RSA.leaf.key_pem();
    for (chain, key) in [
        (&*chain, Some(&*other)),
        (&*chain, Some(" ")),
        ("", None),
        ("", Some(&*other)),
    ] {
        let found = preflight(chain, key, &public(&[]), NOW).map(|_| ());
        let expected = match key {
            Some(key) => validate_upload(chain, key, NOW).map(|_| ()),
            None => validate_chain(chain, NOW).map(|_| ()),
        };
        assert!(expected.is_err());
        assert_eq!(found, expected);
    }
}
