//! What another TLS implementation sees.

use edgeseal_core::delivery::{DeliveryConfig, TlsVersions};
use edgeseal_testing::{
    openssl::s_client,
    pem,
    pki::TestCertificate,
    tls::{HandshakeFailure, served_leaf},
};

use crate::harness::{DomainBuilder as _, Harness, domain};

#[tokio::test(flavor = "multi_thread")]
async fn openssl_sees_the_leaf_in_any_spelling_of_the_name() {
    let world = Harness::new();
    let (exact, wildcard) = (
        TestCertificate::self_signed("a.com"),
        TestCertificate::self_signed("*.a.com"),
    );
    world.serve("a.com", &exact, 1).await;
    world.serve("*.a.com", &wildcard, 1).await;
    let edge = world.edge().await;
    let table = [
        ("a.com", "-tls1_3", &exact),
        ("a.com", "-tls1_2", &exact),
        ("A.Com", "-tls1_3", &exact),
        ("a.com.", "-tls1_3", &exact),
        ("X.A.COM", "-tls1_2", &wildcard),
        ("x.a.com.", "-tls1_2", &wildcard),
    ];
    for (name, version, expected) in table {
        let arguments = ["-servername", name, version];
        let seen = s_client(edge.https_addr(), &arguments).await;
        assert_eq!(
            pem::decode_all(&seen).first(),
            Some(&expected.leaf),
            "{name} {version}:\n{seen}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_gets_unrecognized_name() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("off.com");
    let off = domain("off.com").bound(&certificate).off();
    world.put_all(&off, &certificate).await;
    let edge = world.edge().await;
    let table: [&[&str]; 5] = [
        &["-servername", "off.com", "-tls1_3"],
        &["-servername", "off.com", "-tls1_2"],
        &["-servername", "unknown.com", "-tls1_3"],
        &["-noservername", "-tls1_3"],
        &["-noservername", "-tls1_2"],
    ];
    for arguments in table {
        let seen = s_client(edge.https_addr(), arguments).await;
        assert!(
            seen.contains("unrecognized name") && seen.contains("SSL alert number 112"),
            "{arguments:?}:\n{seen}"
        );
    }
    let ours = served_leaf(edge.https_addr(), "off.com").await;
    assert_eq!(ours, Err(HandshakeFailure::UNRECOGNIZED_NAME));
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_negotiates_the_versions_that_the_domain_allows() {
    let world = Harness::new();
    for (name, tls) in [
        ("both.com", TlsVersions::Both),
        ("only12.com", TlsVersions::Only12),
        ("only13.com", TlsVersions::Only13),
    ] {
        let certificate = TestCertificate::self_signed(name);
        let delivery = DeliveryConfig {
            tls,
            ..DeliveryConfig::default()
        };
        let domain = domain(name).bound(&certificate).delivered(delivery);
        world.put_all(&domain, &certificate).await;
    }
    let edge = world.edge().await;
    let (v12, v13) = (Some("New, TLSv1.2,"), Some("New, TLSv1.3,"));
    let table = [
        ("both.com", "-tls1_2", v12),
        ("both.com", "-tls1_3", v13),
        ("both.com", "", v13),
        ("only12.com", "-tls1_2", v12),
        ("only12.com", "-tls1_3", None),
        ("only12.com", "", v12),
        ("only13.com", "-tls1_2", None),
        ("only13.com", "-tls1_3", v13),
        ("only13.com", "", v13),
        ("only12.com", "-tls1", None),
        ("both.com", "-tls1_1", None),
        ("only12.com", "-tls1_1", None),
        ("only13.com", "-tls1_1", None),
    ];
    // A client of the old versions sends no signature_algorithms, which rustls checks first.
    let old = |version| matches!(version, "-tls1" | "-tls1_1");
    for (name, version, expected) in table {
        // The security level lets the client try what it would not by default.
        let mut arguments = vec!["-servername", name, "-cipher", "DEFAULT@SECLEVEL=0"];
        arguments.extend(Some(version).filter(|version| !version.is_empty()));
        let seen = s_client(edge.https_addr(), &arguments).await;
        match expected {
            Some(expected) => assert!(seen.contains(expected), "{name} {version}:\n{seen}"),
            None => assert!(
                seen.contains("SSL alert number 70")
                    || old(version) && seen.contains("SSL alert number 40"),
                "{name} {version}:\n{seen}"
            ),
        }
    }
}
