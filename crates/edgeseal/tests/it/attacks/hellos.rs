//! ClientHellos and records that no well-behaved client sends. The edge sends an alert or closes
//! the connection, and the next client is served.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use proptest::{
    prelude::{Just, Strategy as _, any},
    prop_oneof,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use rustls::{
    ClientConfig, ClientConnection, NamedGroup, RootCertStore, crypto::aws_lc_rs,
    pki_types::ServerName,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{NAME, Target, tls};

/// A record of rustls: the ClientHello for this name, or without SNI. Without the hybrid key share,
/// so that it is small and cheap for the server.
pub(super) fn client_hello(name: Option<&str>) -> Vec<u8> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.enable_sni = name.is_some();
    let name = ServerName::try_from(name.unwrap_or(NAME).to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut record = Vec::new();
    client.write_tls(&mut record).unwrap();
    record
}

/// A ClientHello with this `server_name` extension (RFC 6066 §3) at its end.
fn client_hello_with(server_name: &[u8]) -> Vec<u8> {
    let mut record = client_hello(None);
    record.extend([0, 0]);
    record.extend(length16(server_name.len()));
    record.extend(server_name);
    let more = 4 + server_name.len();
    // Adjust the lengths of the record, the handshake message and its extensions.
    let session = 9 + 2 + 32;
    let suites = session + 1 + usize::from(record[session]);
    let compression = suites + 2 + usize::from(read16(&record, suites));
    let extensions = compression + 1 + usize::from(record[compression]);
    for at in [3, 7, extensions] {
        let longer = usize::from(read16(&record, at)) + more;
        record[at..at + 2].copy_from_slice(&length16(longer));
    }
    record
}

fn length16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap().to_be_bytes()
}

fn read16(record: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([record[at], record[at + 1]])
}

/// One entry of a server name list: type 0 is a host name.
fn entry(name: &[u8]) -> Vec<u8> {
    [&[0], &length16(name.len())[..], name].concat()
}

fn list(entries: &[u8]) -> Vec<u8> {
    [&length16(entries.len())[..], entries].concat()
}

/// The response to these bytes, up to the end of the connection.
async fn send_raw(edge: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let (mut stream, mut answer) = (TcpStream::connect(edge).await.unwrap(), Vec::new());
    let talk = async {
        // The edge may close before it has read everything, and a reset may precede its response.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut answer).await;
    };
    timeout(Duration::from_secs(20), talk)
        .await
        .unwrap_or_else(|_| panic!("the connection does not end after {bytes:02x?}"));
    answer
}

/// The description of a fatal alert, if the response is one.
fn alert(answer: &[u8]) -> Option<u8> {
    match answer {
        [21, 3, _, 0, 2, 2, description] => Some(*description),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_server_names_are_refused() {
    let target = Target::start("client_hello_timeout_ms = 5000\n").await;
    let served = send_raw(
        target.edge(),
        &client_hello_with(&list(&entry(NAME.as_bytes()))),
    )
    .await;
    assert_eq!(served[0], 22, "the one that all are made of is served");
    let long = "a".repeat(63) + ".";
    let attacked = NAME.as_bytes();
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("no list", vec![]),
        ("an empty list", list(&[])),
        ("an empty name", list(&entry(b""))),
        ("255 bytes", list(&entry(&long.repeat(4).as_bytes()[..255]))),
        ("256 bytes", list(&entry(long.repeat(4).as_bytes()))),
        ("16,000 bytes", list(&entry("a".repeat(15_000).as_bytes()))),
        (
            "a label of 64 bytes",
            list(&entry(format!("{}.example", "a".repeat(64)).as_bytes())),
        ),
        ("UTF-8", list(&entry("www.büro.example".as_bytes()))),
        ("bytes of no alphabet", list(&entry(&[0xff, 0xfe, 0x80]))),
        ("NUL at the end", list(&entry(&[attacked, b"\0"].concat()))),
        (
            "NUL in the middle",
            list(&entry(&[attacked, b"\0.evil.example"].concat())),
        ),
        ("an IPv4 address", list(&entry(b"127.0.0.1"))),
        ("an IPv6 address", list(&entry(b"::1"))),
        ("a dot alone", list(&entry(b"."))),
        ("two dots", list(&entry(b"www..attacked.example"))),
        ("a leading dot", list(&entry(&[b".", attacked].concat()))),
        ("a wildcard", list(&entry(b"*.wild.example"))),
        (
            "two labels below the wildcard",
            list(&entry(b"a.b.wild.example")),
        ),
        ("white space", list(&entry(b" www.attacked.example"))),
        ("a line break", list(&entry(b"www.attacked.example\r\n"))),
        ("a path", list(&entry(b"../../../etc/passwd"))),
        (
            "two names",
            list(&[entry(attacked), entry(b"evil.example")].concat()),
        ),
        ("one name twice", list(&entry(attacked).repeat(2))),
        (
            "another type of name",
            list(&[&[1], &entry(attacked)[1..]].concat()),
        ),
        (
            "a list shorter than it says",
            vec![0, 200, 0, 0, 3, b'a', b'.', b'b'],
        ),
        (
            "a name longer than its list",
            vec![0, 8, 0, 0, 200, b'a', b'.', b'b', b'c', b'd'],
        ),
        (
            "bytes after the list",
            [&list(&entry(attacked))[..], b"more"].concat(),
        ),
    ];
    let mut wrong = Vec::new();
    for (what, server_name) in table {
        let answer = send_raw(target.edge(), &client_hello_with(&server_name)).await;
        if alert(&answer).is_none() {
            wrong.push(format!("{what}: {:02x?}", &answer[..answer.len().min(16)]));
        }
        target.assert_serves().await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let twice = [
        &client_hello_with(&list(&entry(attacked)))[..],
        &client_hello(Some(NAME)),
    ]
    .concat();
    assert_ne!(send_raw(target.edge(), &twice).await.first(), Some(&23));
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_records_end_the_connection() {
    let target = Target::start("client_hello_timeout_ms = 5000\n").await;
    let record = |kind: u8, version: u16, body: &[u8]| -> Vec<u8> {
        [
            &[kind],
            &version.to_be_bytes()[..],
            &length16(body.len()),
            body,
        ]
        .concat()
    };
    let whole = client_hello(Some(NAME));
    let body = &whole[5..];
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("one byte", vec![22]),
        (
            "plaintext HTTP",
            b"GET / HTTP/1.1\r\nhost: www.attacked.example\r\n\r\n".to_vec(),
        ),
        (
            "the preface of HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        ),
        (
            "a proxy's line",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n".to_vec(),
        ),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("zeros", vec![0; 100_000]),
        ("ones", vec![0xff; 100_000]),
        (
            "a record over 2^14 bytes",
            record(22, 0x0301, &vec![1; 16_385]),
        ),
        (
            "the longest record that can be said",
            record(22, 0x0301, &vec![1; 65_535]),
        ),
        ("an empty record", record(22, 0x0301, &[])),
        (
            "thousands of empty records",
            record(22, 0x0301, &[]).repeat(20_000),
        ),
        ("data before a handshake", record(23, 0x0303, b"hello")),
        ("an alert", record(21, 0x0303, &[2, 40])),
        (
            "thousands of warnings",
            record(21, 0x0303, &[1, 90]).repeat(20_000),
        ),
        ("a change of ciphers", record(20, 0x0303, &[1])),
        (
            "thousands of changes of ciphers",
            record(20, 0x0303, &[1]).repeat(20_000),
        ),
        ("a heartbeat", record(24, 0x0303, &[1, 0x40, 0])),
        ("an unknown type", record(99, 0x0303, b"hello")),
        (
            "SSL 2.0",
            vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80],
        ),
        ("a version of another age", record(22, 0x0909, body)),
        (
            "a ServerHello",
            record(22, 0x0303, &[&[2], &body[1..]].concat()),
        ),
        (
            "a Finished",
            record(
                22,
                0x0303,
                &[20, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ),
        ),
        (
            "a message of 2^24 bytes",
            record(22, 0x0301, &[1, 0xff, 0xff, 0xff, 3, 3]),
        ),
        (
            "two hellos in one record",
            record(22, 0x0301, &body.repeat(2)),
        ),
        (
            "data after a hello",
            [&whole[..], &record(23, 0x0303, &[0; 100])].concat(),
        ),
    ];
    let before = target.baseline_kib();
    for (what, bytes) in table {
        let answer = send_raw(target.edge(), &bytes).await;
        let expected = [None, Some(&21), Some(&22)];
        assert!(expected.contains(&answer.first()), "{what}: {answer:02x?}");
        // A handshake starts only after a valid ClientHello.
        let begins = what == "data after a hello" || what == "a version of another age";
        assert!(begins || answer.first() != Some(&22), "{what}");
        target.assert_serves().await;
    }
    // The header announces a message of 16 MiB.
    target.assert_memory(before, 12 * 1024);
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_in_many_records_is_served() {
    let target = Target::start("").await;
    let whole = client_hello(Some(NAME));
    let part = |part: &[u8]| [&[22, 3, 1, 0, u8::try_from(part.len()).unwrap()], part].concat();
    let pieces: Vec<u8> = whole[5..].chunks(7).flat_map(part).collect();
    assert_eq!(send_raw(target.edge(), &pieces).await.first(), Some(&22));
    target.stop().await;
}

/// One change of a ClientHello.
#[derive(Clone, Debug)]
enum Mutation {
    Set(usize, u8),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Cut(usize),
    Repeat(usize, usize),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let within = |at: usize| at % (bytes.len() + 1);
        match self {
            Self::Set(at, value) => {
                let at = within(*at).min(bytes.len().saturating_sub(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = *value;
                }
            }
            Self::Remove(at, count) => {
                let (at, end) = (within(*at), within(at + count));
                bytes.drain(at.min(end)..end.max(at));
            }
            Self::Insert(at, more) => {
                let at = within(*at);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Cut(at) => bytes.truncate(within(*at)),
            Self::Repeat(at, count) => {
                let (at, end) = (within(*at), within(at + count));
                let part = bytes[at.min(end)..end.max(at)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mutated_hellos_do_no_harm() {
    let target = Target::start("client_hello_timeout_ms = 5000\n").await;
    let (edge, whole) = (target.edge(), client_hello(Some(NAME)));
    let at = 0..whole.len();
    let change = prop_oneof![
        4 => (at.clone(), any::<u8>()).prop_map(|(at, value)| Mutation::Set(at, value)),
        1 => (at.clone(), 1..40_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (at.clone(), proptest::collection::vec(any::<u8>(), 1..300))
            .prop_map(|(at, more)| Mutation::Insert(at, more)),
        1 => at.clone().prop_map(Mutation::Cut),
        1 => (at, 1..400_usize).prop_map(|(at, count)| Mutation::Repeat(at, count)),
    ];
    // Half of them have a correct length, so that their content is parsed.
    let case = (
        proptest::collection::vec(change, 1..5),
        prop_oneof![Just(true), Just(false)],
    );
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        let config = Config {
            cases: 1500,
            failure_persistence: None,
            ..Config::default()
        };
        let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(config, random);
        let outcome = runner.run(&case, |(changes, told)| {
            let mut bytes = whole.clone();
            for change in &changes {
                change.apply(&mut bytes);
            }
            if told && (9..16_000).contains(&bytes.len()) {
                let length = bytes.len();
                bytes[..3].copy_from_slice(&[22, 3, 1]);
                bytes[3..5].copy_from_slice(&length16(length - 5));
                bytes[5..7].copy_from_slice(&[1, 0]);
                bytes[7..9].copy_from_slice(&length16(length - 9));
            }
            let answer = runtime.block_on(send_raw(edge, &bytes));
            let expected = [None, Some(&21), Some(&22)];
            proptest::prop_assert!(expected.contains(&answer.first()), "{answer:02x?}");
            Ok(())
        });
        outcome.unwrap();
    });
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hybrid_key_exchange_is_preferred() {
    let target = Target::start("").await;
    let stream = target.connect("h2").await;
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
    drop(stream);
    // Clients with classical groups only are served too, also over TLS 1.2.
    let config = tls::client_config(&[&rustls::version::TLS12], &["h2"]);
    tls::connect_with(target.edge(), NAME, config)
        .await
        .unwrap();
    target.stop().await;
}
