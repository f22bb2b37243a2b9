//! Unusual input that is accepted on purpose, and what is read from it.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, KeyPair, SanType,
    SerialNumber,
};

use super::pki::{
    CHAIN, CertificateWithKey, Chain, NOW, concat, leaf_params, now, openssl, pem_encode, root,
    root_with, valid_days, validate_now,
};
use crate::certificate::{
    CHAIN_BYTES_MAX, Certificate, CertificateInfo, KEY_BYTES_MAX, OriginalPem, TEXT_SURPLUS_MAX,
    Warning, validate_upload,
};

#[test]
fn spellings_of_a_chain() {
    let whole = concat(&[&CHAIN.leaf, &CHAIN.intermediate]);
    let key = CHAIN.leaf.key_pem();
    let indented: String = whole.lines().map(|line| format!("    {line}\n")).collect();
    let one_line = whole
        .replace('\n', "")
        .replace(
            "-----BEGIN CERTIFICATE-----",
            "\n-----BEGIN CERTIFICATE-----\n",
        )
        .replace("-----END CERTIFICATE-----", "\n-----END CERTIFICATE-----\n");
    let texts = [
        ("plain", whole.clone()),
        ("CRLF", whole.replace('\n', "\r\n")),
        ("CR", whole.replace('\n', "\r")),
        ("no final line break", whole.trim_end().to_owned()),
        ("blank lines", whole.replace('\n', "\n\n")),
        ("trailing blanks", whole.replace('\n', " \t\n")),
        ("indented", indented),
        ("base64 in one line", one_line),
        (
            "text around",
            format!(
                "subject=CN = x\n - a -\n{}\nend\n",
                whole.replace("-----BEGIN", "Bag Attributes\n-----BEGIN")
            ),
        ),
        ("a byte order mark", format!("\u{feff}{whole}")),
        (
            "old labels",
            whole.replace(" CERTIFICATE", " X509 CERTIFICATE"),
        ),
        ("reversed", concat(&[&CHAIN.intermediate, &CHAIN.leaf])),
        (
            "with the root",
            concat(&[&CHAIN.leaf, &CHAIN.intermediate, &CHAIN.root]),
        ),
        (
            "root first",
            concat(&[&CHAIN.root, &CHAIN.intermediate, &CHAIN.leaf]),
        ),
        ("each twice", whole.repeat(2)),
        ("parameters too", pem_encode("DH PARAMETERS", b"x") + &whole),
    ];
    for (what, text) in texts {
        let validated = validate_now(&text, &key).unwrap_or_else(|why| panic!("{what}: {why}"));
        assert_eq!(validated.leaf, CHAIN.leaf.der, "{what}");
        assert_eq!(
            validated.intermediates,
            std::slice::from_ref(&CHAIN.intermediate.der),
            "{what}"
        );
        assert_eq!(
            validated.key.expose(),
            CHAIN.leaf.key.serialized_der(),
            "{what}"
        );
    }
}

#[test]
fn warnings_in_words() {
    let missing_issuer = "CN=Test Root".to_owned();
    for (warning, words) in [
        (
            Warning::IncompleteChain { missing_issuer },
            "CN=Test Root is missing",
        ),
        (
            Warning::ExpiresSoon { not_after: NOW },
            "2026-06-01T00:00:00Z",
        ),
        (Warning::ChainReordered, "order"),
    ] {
        let text = warning.to_string();
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn the_longest_texts() {
    let padded = |text: &str, length: usize| {
        let padding = "#".repeat(length - text.len() - 1);
        format!("{padding}\n{text}")
    };
    let chain = padded(
        &concat(&[&CHAIN.leaf, &CHAIN.intermediate]),
        CHAIN_BYTES_MAX,
    );
    let key = padded(&CHAIN.leaf.key_pem(), KEY_BYTES_MAX);
    assert_eq!((chain.len(), key.len()), (32 * 1024, 16 * 1024));
    let validated = validate_now(&chain, &key).unwrap();
    assert_eq!(validated.leaf, CHAIN.leaf.der);
}

#[test]
fn names_in_a_circle() {
    // The intermediate names the leaf's subject as its issuer, but was signed by another key.
    let namesake = root("www.example.com");
    let intermediate = namesake.authority("Circular CA");
    let leaf = intermediate.leaf("www.example.com");
    for chain in [[&leaf, &intermediate], [&intermediate, &leaf]] {
        let validated = validate_now(&concat(&chain), &leaf.key_pem()).unwrap();
        assert_eq!(validated.leaf, leaf.der);
        assert_eq!(
            validated.intermediates,
            std::slice::from_ref(&intermediate.der)
        );
    }
}

#[test]
fn original_pem_is_kept_if_it_differs() {
    let chain = concat(&[&CHAIN.leaf, &CHAIN.intermediate]);
    let key = CHAIN.leaf.key_pem();
    let texts = |chain: &str, key: &str| {
        let OriginalPem { chain, key } = validate_now(chain, key).unwrap().original_pem;
        (chain, key.map(|key| key.expose().to_vec()))
    };
    assert_eq!(texts(&chain, &key), (None, None));
    let (other_chain, other_key) = (chain.replace('\n', "\r\n"), format!("{key}\n"));
    assert_eq!(
        texts(&other_chain, &other_key),
        (
            Some(other_chain.clone()),
            Some(other_key.clone().into_bytes())
        )
    );
    let with_root = format!("{chain}{}", CHAIN.root.pem());
    assert_eq!(texts(&with_root, &key), (Some(with_root.clone()), None));
}

/// The original PEM is outside every quota, so text around the blocks is kept up to a few KiB only.
#[test]
fn texts_with_much_around_their_blocks_are_not_kept() {
    let chain = concat(&[&CHAIN.leaf, &CHAIN.intermediate]);
    let key = CHAIN.leaf.key_pem();
    for (surplus, is_kept) in [(TEXT_SURPLUS_MAX, true), (TEXT_SURPLUS_MAX + 1, false)] {
        let around = |text: &str| format!("{}\n{text}", "x".repeat(surplus - 1));
        let (wide_chain, wide_key) = (around(&chain), around(&key));
        let validated = validate_now(&wide_chain, &wide_key).unwrap();
        assert_eq!(validated.leaf, CHAIN.leaf.der);
        let OriginalPem { chain, key } = validated.original_pem;
        assert_eq!(chain, is_kept.then_some(wide_chain), "{surplus}");
        let key = key.map(|key| key.expose().to_vec());
        assert_eq!(key, is_kept.then_some(wide_key.into_bytes()), "{surplus}");
    }
}

#[test]
fn a_leaf_covers_its_names() {
    let leaf =
        CHAIN
            .intermediate
            .leaf_with("example.com", KeyPair::generate().unwrap(), |params| {
                let wildcard = SanType::DnsName("*.example.com".try_into().unwrap());
                params.subject_alt_names.push(wildcard);
            });
    let chain = concat(&[&leaf, &CHAIN.intermediate]);
    let facts = validate_now(&chain, &leaf.key_pem()).unwrap().info;
    for (domain, covered) in [
        ("example.com", true),
        ("a.example.com", true),
        ("*.example.com", true),
        ("a.b.example.com", false),
        ("*.a.example.com", false),
        ("example.org", false),
    ] {
        let domain = crate::DomainPattern::parse(domain).unwrap();
        assert_eq!(facts.covers(&domain), covered, "{domain}");
    }
}

#[test]
fn a_self_signed_leaf_is_served_alone() {
    let params = leaf_params("www.example.com");
    let key = KeyPair::generate().unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let leaf = CertificateWithKey {
        der,
        params,
        key,
        now: now(),
    };
    let validated = validate_now(&leaf.pem(), &leaf.key_pem()).unwrap();
    assert_eq!(validated.leaf, leaf.der);
    assert_eq!(validated.intermediates, [] as [Vec<u8>; 0]);
    assert_eq!(validated.warnings, []);
}

#[test]
fn warnings() {
    let missing = |name: &str| Warning::IncompleteChain {
        missing_issuer: format!("CN={name}"),
    };
    let warnings = |chain: &[&CertificateWithKey]| {
        let validated = validate_now(&concat(chain), &CHAIN.leaf.key_pem());
        validated.unwrap().warnings
    };
    let Chain {
        root,
        intermediate,
        leaf,
    } = &*CHAIN;
    assert_eq!(warnings(&[leaf]), [missing("Test Intermediate")]);
    // The root appears to be private: clients that need it have it.
    assert_eq!(warnings(&[leaf, intermediate]), []);
    let told = root.authority_with("Told", KeyPair::generate().unwrap(), add_ca_issuers_url);
    let below = told.leaf("www.example.com");
    let validated = validate_now(&concat(&[&below, &told]), &below.key_pem()).unwrap();
    assert_eq!(validated.warnings, [missing("Test Root")]);
    // The root is part of the upload, so nothing is missing.
    let validated = validate_now(&concat(&[&below, &told, root]), &below.key_pem()).unwrap();
    assert_eq!(validated.warnings, []);
    assert_eq!(validated.intermediates, [told.der]);
    let private = root.leaf("www.example.com");
    let validated = validate_now(&concat(&[&private, root]), &private.key_pem()).unwrap();
    assert_eq!(
        (validated.warnings, validated.intermediates),
        (vec![], vec![])
    );
    assert_eq!(warnings(&[leaf, intermediate, root]), []);
    for mended in [[root, intermediate, leaf], [intermediate, leaf, root]] {
        assert_eq!(warnings(&mended), [Warning::ChainReordered]);
    }

    // The intermediate expires before the leaf, so it sets the expiry of the chain.
    let short = |days| {
        let key = KeyPair::generate().unwrap();
        let adjust = |params: &mut _| valid_days(params, -9, days);
        let short = root.authority_with("Short", key, adjust);
        let leaf = short.leaf("www.example.com");
        let chain = concat(&[&leaf, &short, root]);
        validate_now(&chain, &leaf.key_pem()).unwrap()
    };
    let soon = short(29);
    let not_after = NOW.plus_ms(29 * 86_400_000);
    assert_eq!(soon.info.chain_not_after, not_after);
    assert_eq!(soon.info.not_after, NOW.plus_ms(90 * 86_400_000));
    assert_eq!(soon.warnings, [Warning::ExpiresSoon { not_after }]);
    assert_eq!(short(30).warnings, []);
}

/// Adds the URL of the issuer's certificate, as public CAs do (RFC 5280 §4.2.2.1).
fn add_ca_issuers_url(params: &mut CertificateParams) {
    let location = b"http://ca.example/root";
    // SEQUENCE OF SEQUENCE { id-ad-caIssuers, [6] location }
    let mut access = b"\x30\x24\x30\x22\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x16".to_vec();
    access.extend_from_slice(location);
    let authority_info_access = [1, 3, 6, 1, 5, 5, 7, 1, 1];
    let extension = CustomExtension::from_oid_content(&authority_info_access, access);
    params.custom_extensions.push(extension);
}

/// A public CA's root need not be sent.
#[test]
fn a_chain_below_a_root_that_clients_know_is_complete() {
    let known = |params: &mut CertificateParams| {
        let name = &mut params.distinguished_name;
        *name = rcgen::DistinguishedName::new();
        for (kind, value) in [
            (DnType::CountryName, "US"),
            (DnType::OrganizationName, "Internet Security Research Group"),
            (DnType::CommonName, "ISRG Root X1"),
        ] {
            let value = rcgen::DnValue::PrintableString(value.try_into().unwrap());
            name.push(kind, value);
        }
    };
    let root = root_with("", KeyPair::generate().unwrap(), known);
    let key = KeyPair::generate().unwrap();
    let intermediate = root.authority_with("Some Intermediate", key, add_ca_issuers_url);
    let leaf = intermediate.leaf("www.example.com");
    let validated =
        |chain: &[&CertificateWithKey]| validate_now(&concat(chain), &leaf.key_pem()).unwrap();
    let whole = validated(&[&leaf, &intermediate]);
    assert_eq!((whole.warnings, whole.info.missing_issuer), (vec![], None));
    let alone = validated(&[&leaf]);
    let missing_issuer = "CN=Some Intermediate".to_owned();
    assert_eq!(alone.info.missing_issuer.as_ref(), Some(&missing_issuer));
    assert_eq!(
        alone.warnings,
        [Warning::IncompleteChain { missing_issuer }]
    );
}

#[test]
fn facts() {
    let adjust = |params: &mut CertificateParams| {
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        params.subject_alt_names = vec![
            dns("www.Example.com"),
            dns("*.example.com"),
            dns(".example.org"),
            dns("w*.example.com"),
            dns("localhost"),
            dns("final.example.com."),
            dns(" blank.example.com"),
            dns("under_score.example.com"),
            SanType::IpAddress([192, 0, 2, 1].into()),
            SanType::URI("https://uri.example.com/".try_into().unwrap()),
            dns("xn--bcher-kva.example"),
        ];
        params.serial_number = Some(SerialNumber::from_slice(&[0x80, 0, 0xab]));
        params
            .distinguished_name
            .push(DnType::CommonName, "a\u{202e}\n\u{7}b.example.net");
    };
    let authority = |params: &mut CertificateParams| {
        params.distinguished_name.remove(DnType::CommonName);
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Example Trust");
    };
    let root = root_with("", KeyPair::generate().unwrap(), authority);
    let leaf = root.leaf_with("ignored", KeyPair::generate().unwrap(), adjust);
    let facts = validate_now(&concat(&[&leaf, &root]), &leaf.key_pem())
        .unwrap()
        .info;
    let names: Vec<String> = facts.names.iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        ["www.example.com", ".example.com", "xn--bcher-kva.example"]
    );
    assert_eq!(facts.common_name, "ab.example.net");
    assert_eq!(facts.issuer, "Example Trust");
    assert_eq!(facts.issuer_organization, "Example Trust");
    assert_eq!(facts.serial, "8000ab");
    assert_eq!(facts.not_before, NOW.plus_ms(-86_400_000));
    assert_eq!(facts.chain_not_after, facts.not_after);
    assert_eq!(CertificateInfo::from_der(&leaf.der), Some(facts));
    assert_eq!(CertificateInfo::from_der(b"no certificate"), None);
}

#[test]
fn openssl_reads_the_same() {
    let key = KeyPair::generate().unwrap();
    let leaf = CHAIN
        .intermediate
        .leaf_with("x.example.com", key, |params| {
            params.serial_number = Some(SerialNumber::from_slice(&[0x80, 0, 0xab]));
        });
    let facts = CertificateInfo::from_der(&leaf.der).unwrap();
    let shown = openssl("x509 -noout -serial -fingerprint -sha1", &leaf.pem());
    let shown = shown.replace(':', "").to_ascii_lowercase();
    assert!(
        shown.contains(&format!("serial={}\n", facts.serial)),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("fingerprint={}\n", facts.sha1)),
        "{shown}"
    );
    let shown = openssl("x509 -noout -fingerprint -sha256", &leaf.pem());
    let shown = shown.replace(':', "").to_ascii_lowercase();
    assert!(
        shown.contains(&format!("fingerprint={}\n", facts.sha256)),
        "{shown}"
    );
}

#[test]
fn no_name_is_taken_from_the_subject() {
    let adjust = |params: &mut CertificateParams| params.subject_alt_names.clear();
    let key = KeyPair::generate().unwrap();
    let leaf = CHAIN.intermediate.leaf_with("www.example.com", key, adjust);
    let facts = validate_now(&leaf.pem(), &leaf.key_pem()).unwrap().info;
    assert_eq!(facts.common_name, "www.example.com");
    assert_eq!(facts.names, []);
}

#[test]
fn a_printed_chain_is_the_one_that_was_validated() {
    let Certificate {
        leaf,
        intermediates,
        ..
    } = validate_now(
        &concat(&[&CHAIN.leaf, &CHAIN.intermediate]),
        &CHAIN.leaf.key_pem(),
    )
    .unwrap();
    let printed = crate::certificate::chain_to_pem(&leaf, &intermediates);
    assert_eq!(printed, concat(&[&CHAIN.leaf, &CHAIN.intermediate]));
    assert!(printed.lines().all(|line| line.len() <= 64));
    assert!(validate_upload(&printed, &CHAIN.leaf.key_pem(), NOW).is_ok());
}

#[test]
fn ten_certificates() {
    let mut chain = vec![root("Authority 0")];
    for number in 1..9 {
        let next = chain[number - 1].authority(&format!("Authority {number}"));
        chain.push(next);
    }
    let leaf = chain[8].leaf("www.example.com");
    let text = chain
        .iter()
        .map(CertificateWithKey::pem)
        .collect::<String>()
        + &leaf.pem();
    let validated = validate_now(&text, &leaf.key_pem()).unwrap();
    let expected: Vec<Vec<u8>> = chain[1..].iter().rev().map(|one| one.der.clone()).collect();
    assert_eq!(validated.intermediates, expected);
    assert!(matches!(
        chain[0].params.is_ca,
        IsCa::Ca(BasicConstraints::Unconstrained)
    ));
}
