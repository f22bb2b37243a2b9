//! What another TLS implementation sees. Skipped, with a message, where there is no `openssl`.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
};

use edgeseal_core::delivery::{DeliveryConfig, TlsVersions};

use crate::{
    client::UNRECOGNIZED,
    harness::{Certificate, DomainBuilder as _, Harness, domain},
};

/// Everything that `openssl s_client` prints.
pub(crate) async fn s_client(edge: SocketAddr, arguments: &[&str]) -> Option<String> {
    let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
    let running = tokio::task::spawn_blocking(move || {
        Command::new("openssl")
            .args(["s_client", "-connect", &edge.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
    });
    match running.await.unwrap() {
        Ok(output) => Some(format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
        Err(error) => {
            eprintln!("SKIPPED: openssl cannot be run: {error}");
            None
        }
    }
}

pub(crate) fn pem_body(text: &str) -> String {
    let body = text.split("-----BEGIN CERTIFICATE-----").nth(1);
    let body = body.and_then(|rest| rest.split("-----END").next());
    body.unwrap_or_default().split_whitespace().collect()
}

pub(crate) fn base64(der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in der.chunks(3) {
        let mut word = [0; 3];
        word[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, word[0], word[1], word[2]]);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > chunk.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_sees_the_leaf_in_any_spelling_of_the_name() {
    let world = Harness::new();
    let (exact, wildcard) = (Certificate::of("a.com"), Certificate::of("*.a.com"));
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
        let Some(seen) = s_client(edge.https_addr(), &arguments).await else {
            return;
        };
        assert_eq!(
            pem_body(&seen),
            base64(&expected.leaf),
            "{name} {version}:\n{seen}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_gets_unrecognized_name() {
    let world = Harness::new();
    let certificate = Certificate::of("off.com");
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
        let Some(seen) = s_client(edge.https_addr(), arguments).await else {
            return;
        };
        assert!(
            seen.contains("unrecognized name") && seen.contains("SSL alert number 112"),
            "{arguments:?}:\n{seen}"
        );
    }
    let ours = crate::client::leaf(edge.https_addr(), "off.com").await;
    assert_eq!(ours, Err(UNRECOGNIZED));
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_negotiates_the_versions_that_the_domain_allows() {
    let world = Harness::new();
    for (name, tls) in [
        ("both.com", TlsVersions::Both),
        ("only12.com", TlsVersions::Only12),
        ("only13.com", TlsVersions::Only13),
    ] {
        let certificate = Certificate::of(name);
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
        let Some(seen) = s_client(edge.https_addr(), &arguments).await else {
            return;
        };
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
