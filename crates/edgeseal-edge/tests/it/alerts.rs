//! The alerts for invalid first flights, byte by byte.

use std::net::SocketAddr;

use edgeseal_core::delivery::{DeliveryConfig, TlsVersions};
use edgeseal_testing::pki::TestCertificate;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

const UNEXPECTED_MESSAGE: u8 = 10;
const RECORD_OVERFLOW: u8 = 22;
const HANDSHAKE_FAILURE: u8 = 40;
const ILLEGAL_PARAMETER: u8 = 47;
const DECODE_ERROR: u8 = 50;
const PROTOCOL_VERSION: u8 = 70;
const MISSING_EXTENSION: u8 = 109;

const GROUPS: u16 = 10;
const SIGNATURES: u16 = 13;
const VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;
const PADDING: u16 = 21;

fn vector(length: usize, content: &[u8]) -> Vec<u8> {
    let bytes = content.len().to_be_bytes();
    [&bytes[bytes.len() - length..], content].concat()
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, 3, 1][..], &vector(2, content)].concat()
}

fn handshake(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind][..], &vector(3, content)].concat()
}

/// A client of TLS 1.2 and 1.3, before an extension is removed.
fn complete() -> Vec<(u16, Vec<u8>)> {
    let name = [&[0][..], &vector(2, b"a.com")].concat();
    let share = [&29_u16.to_be_bytes()[..], &vector(2, &[9; 32])].concat();
    vec![
        (0, vector(2, &name)),
        (GROUPS, vector(2, &[0, 29, 0, 23])),
        (SIGNATURES, vector(2, &[4, 3, 8, 4, 4, 1])),
        (VERSIONS, vector(1, &[3, 4, 3, 3])),
        (KEY_SHARE, vector(2, &share)),
    ]
}

fn hello(legacy_version: [u8; 2], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let extensions: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &vector(2, content)].concat())
        .collect();
    let suites = [0x13, 0x01, 0xc0, 0x2b, 0xc0, 0x2f];
    let body = [
        &legacy_version[..],
        &[7; 32],
        &vector(1, &[5; 32]),
        &vector(2, &suites),
        &vector(1, &[0]),
        &vector(2, &extensions),
    ];
    handshake(1, &body.concat())
}

fn without(kinds: &[u16]) -> Vec<(u16, Vec<u8>)> {
    let mut extensions = complete();
    extensions.retain(|(kind, _)| !kinds.contains(kind));
    extensions
}

fn with(kind: u16, content: Vec<u8>) -> Vec<(u16, Vec<u8>)> {
    let mut extensions = without(&[kind]);
    extensions.push((kind, content));
    extensions
}

/// The edge's whole response to these bytes.
async fn told(edge: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(edge).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut told = Vec::new();
    let reading = stream.read_to_end(&mut told);
    timeout(TIMEOUT, reading)
        .await
        .unwrap()
        .expect("a graceful close, so that the alert is received");
    told
}

fn alert(number: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, number]
}

#[tokio::test]
async fn invalid_first_flights_get_the_right_alert() {
    let world = Harness::new();
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), 1)
        .await;
    let edge = world.edge().await;
    let one = |message: &[u8]| record(22, message);
    let tls12 = [3, 3];
    let sha1 = with(SIGNATURES, vector(2, &[2, 1, 2, 3]));
    let only12 = |mut extensions: Vec<(u16, Vec<u8>)>| {
        extensions.retain(|(kind, _)| ![VERSIONS, KEY_SHARE].contains(kind));
        extensions
    };
    let rsa_only = vector(2, &[8, 4, 8, 5, 4, 1]);
    let share = |group: u16| [&group.to_be_bytes()[..], &vector(2, &[9; 32])].concat();
    let two_shares = [share(29), share(22)].concat();
    let long = hello(tls12, &with(PADDING, vec![0; 17_000]));
    let (part, rest) = long.split_at(16_384);
    let table = [
        // Versions that are no longer supported.
        (
            one(&hello([3, 0], &without(&[VERSIONS, KEY_SHARE, SIGNATURES]))),
            PROTOCOL_VERSION,
        ),
        (
            one(&hello([3, 1], &without(&[VERSIONS, KEY_SHARE, SIGNATURES]))),
            PROTOCOL_VERSION,
        ),
        (
            one(&hello([3, 2], &without(&[VERSIONS, KEY_SHARE, SIGNATURES]))),
            PROTOCOL_VERSION,
        ),
        (
            one(&hello([3, 2], &without(&[VERSIONS, KEY_SHARE]))),
            PROTOCOL_VERSION,
        ),
        (one(&hello([3, 0], &complete())), PROTOCOL_VERSION),
        (one(&hello([2, 0], &complete())), PROTOCOL_VERSION),
        (
            one(&hello(tls12, &with(VERSIONS, vector(1, &[3, 2, 3, 1])))),
            PROTOCOL_VERSION,
        ),
        // Extensions that TLS 1.3 requires.
        (
            one(&hello(tls12, &without(&[KEY_SHARE]))),
            MISSING_EXTENSION,
        ),
        (one(&hello(tls12, &without(&[GROUPS]))), MISSING_EXTENSION),
        (
            one(&hello(tls12, &without(&[SIGNATURES]))),
            MISSING_EXTENSION,
        ),
        // A key share for a group that is not offered, first or last.
        (
            one(&hello(tls12, &with(GROUPS, vector(2, &[0, 23])))),
            ILLEGAL_PARAMETER,
        ),
        (
            one(&hello(tls12, &with(KEY_SHARE, vector(2, &two_shares)))),
            ILLEGAL_PARAMETER,
        ),
        // Signature schemes that no certificate here supports: its key is on P-256.
        (
            one(&hello(tls12, &with(SIGNATURES, rsa_only.clone()))),
            HANDSHAKE_FAILURE,
        ),
        (one(&hello(tls12, &sha1)), HANDSHAKE_FAILURE),
        (
            one(&hello(tls12, &only12(with(SIGNATURES, rsa_only)))),
            HANDSHAKE_FAILURE,
        ),
        (
            one(&hello(tls12, &only12(with(SIGNATURES, vector(2, &[5, 3]))))),
            HANDSHAKE_FAILURE,
        ),
        // Not a ClientHello.
        (one(&handshake(20, &[0; 12])), UNEXPECTED_MESSAGE),
        (one(&handshake(4, &[0; 5])), UNEXPECTED_MESSAGE),
        (record(23, b"GET / HTTP/1.1\r\n\r\n"), UNEXPECTED_MESSAGE),
        (record(20, &[1]), UNEXPECTED_MESSAGE),
        (one(&handshake(1, &[3, 3, 0])), DECODE_ERROR),
        (
            b"GET / HTTP/1.1\r\nHost: a.com\r\n\r\n".to_vec(),
            DECODE_ERROR,
        ),
        // Records and messages that are too long.
        (one(&long), RECORD_OVERFLOW),
        (
            [one(part), record(22, &[0; 16_385])].concat(),
            RECORD_OVERFLOW,
        ),
        (handshakes(&handshake(1, &vec![0; 70_000])), DECODE_ERROR),
    ];
    for (number, (bytes, expected)) in table.iter().enumerate() {
        let got = told(edge.https_addr(), bytes).await;
        assert_eq!(got, alert(*expected), "row {number}");
    }
    // The same ClientHello in records of valid length gets a response.
    let mut stream = TcpStream::connect(edge.https_addr()).await.unwrap();
    let bytes = [one(part), one(rest)].concat();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = [0; 6];
    timeout(TIMEOUT, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((answer[0], answer[5]), (22, 2), "a ServerHello");
}

/// A message in as many records as it needs.
fn handshakes(message: &[u8]) -> Vec<u8> {
    message
        .chunks(16_384)
        .flat_map(|part| record(22, part))
        .collect()
}

#[tokio::test]
async fn extensions_of_disabled_versions_are_not_required() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    let delivery = DeliveryConfig {
        tls: TlsVersions::Only12,
        ..DeliveryConfig::default()
    };
    let domain = domain("a.com").bound(&certificate).delivered(delivery);
    world.put_all(&domain, &certificate).await;
    let edge = world.edge().await;
    // It lacks what TLS 1.3 requires, which is not enabled here.
    let bytes = record(22, &hello([3, 3], &without(&[KEY_SHARE])));
    let mut stream = TcpStream::connect(edge.https_addr()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = [0; 6];
    timeout(TIMEOUT, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((answer[0], answer[5]), (22, 2), "a ServerHello");
}

/// In TLS 1.2 the client's change_cipher_spec is unencrypted, and so is the alert for it.
#[tokio::test]
async fn a_malformed_change_cipher_spec_gets_its_alert() {
    let world = Harness::new();
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), 1)
        .await;
    let edge = world.edge().await;
    for bad in [&[1, 1][..], &[2]] {
        let hello = record(22, &hello([3, 3], &without(&[VERSIONS, KEY_SHARE])));
        let bytes = [hello, record(20, bad)].concat();
        let told = told(edge.https_addr(), &bytes).await;
        assert_eq!((told[0], told[5]), (22, 2), "a ServerHello");
        assert!(told.ends_with(&alert(UNEXPECTED_MESSAGE)), "{bad:?}");
        assert!(!told.ends_with(&[alert(DECODE_ERROR), alert(UNEXPECTED_MESSAGE)].concat()));
    }
}
