use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use edgeseal_core::{AccountId, DomainName, DomainPattern};
use edgeseal_testing::dns::DnsServer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
    time::Instant,
};

use super::*;

#[test]
fn contents() {
    let account = |text| AccountId::parse(text).unwrap();
    let (one, two) = (account("1000000000000001"), account("1000000000000002"));
    let (a, b) = (name("a.example"), name("b.example"));
    // printf 'edgeseal domain ownership\n1000000000000001\na.example' | sha256sum
    assert_eq!(
        verification_content(&one, &a),
        "verify_833dadd3662c6dbb2ad1a369cbc870e2"
    );
    let all = [
        verification_content(&one, &b),
        verification_content(&two, &a),
        verification_content(&two, &b),
    ];
    for (i, other) in all.iter().enumerate() {
        assert_ne!(other, &verification_content(&one, &a));
        assert!(!all[..i].contains(other));
        assert_eq!(other.len(), 39);
    }
}

#[tokio::test]
async fn by_dns() {
    let long = "x".repeat(250);
    let dns = DnsServer::start().await;
    for (root, texts) in [
        ("right", &[CONTENT][..]),
        ("spaced", &[" ", CONTENT, "\t"]),
        ("cut", &[&CONTENT[..20], &CONTENT[20..]]),
        ("several", &["v=spf1 -all"]),
        ("several", &[CONTENT]),
        ("wrong", &["v=spf1 -all"]),
        ("wrong", &["verify_0\n123"]),
        ("wrong", &["another"]),
        ("part", &[CONTENT, "4"]),
        ("long", &[&long]),
    ] {
        let name = format!("verification.{root}.example");
        dns.add_txt(&name, texts).await;
    }
    dns.add_cname("verification.alias.example", "verification.right.example")
        .await;
    dns.add_address("verification.other-type.example", Ipv4Addr::LOCALHOST)
        .await;
    dns.add_txt("above.example", &[CONTENT]).await;
    // Larger than a datagram: the resolver retries over TCP.
    let large = "verification.large.example";
    for i in 0..40 {
        dns.add_txt(large, &[&format!("{i}{long}")]).await;
    }
    dns.add_txt(large, &[CONTENT]).await;
    let check = verifier(&dns, 80, false);
    for root in ["right", "spaced", "cut", "several", "alias", "large"] {
        let root = name(&format!("{root}.example"));
        assert_eq!(
            check.verify_dns(&account(), &root, CONTENT).await,
            Ok(()),
            "{root}"
        );
    }
    let cut = "x".repeat(80);
    let beside = format!("{CONTENT}4");
    for (root, found) in [("wrong", "verify_0 123"), ("part", &beside), ("long", &cut)] {
        let expected = OwnershipError::TxtMismatch {
            name: format!("verification.{root}.example"),
            found: found.to_owned(),
        };
        let root = name(&format!("{root}.example"));
        assert_eq!(
            check.verify_dns(&account(), &root, CONTENT).await,
            Err(expected),
            "{root}"
        );
    }
    for root in ["other-type.example", "above.example", "nothing.example"] {
        let expected = OwnershipError::NoTxtRecord {
            name: format!("verification.{root}"),
        };
        let root = name(root);
        assert_eq!(
            check.verify_dns(&account(), &root, CONTENT).await,
            Err(expected)
        );
    }
}

#[tokio::test]
async fn a_mended_record_is_seen_at_once() {
    let dns = DnsServer::start().await;
    let (check, root) = (verifier(&dns, 80, false), name("mended.example"));
    assert!(check.verify_dns(&account(), &root, CONTENT).await.is_err());
    dns.add_txt("verification.mended.example", &[CONTENT]).await;
    assert_eq!(check.verify_dns(&account(), &root, CONTENT).await, Ok(()));
}

#[tokio::test]
async fn a_silent_dns_server() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let check = OwnershipVerifier::new(OwnershipOptions {
        dns: Some(silent.local_addr().unwrap()),
        ..OwnershipOptions::default()
    });
    let (check, root) = (check.unwrap(), name("silent.example"));
    let begun = Instant::now();
    let result = check.verify_dns(&account(), &root, CONTENT).await;
    assert!(matches!(result, Err(OwnershipError::Unreachable { .. })));
    assert!(begun.elapsed() < TIMEOUT + Duration::from_secs(1));
}

#[tokio::test]
async fn an_account_that_asks_a_lot_keeps_nobody_else_from_asking() {
    let dns = DnsServer::start().await;
    dns.add_txt("verification.b.example", &[CONTENT]).await;
    let check = verifier(&dns, 80, false);
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let asks_in_vain = OwnershipVerifier::new(OwnershipOptions {
        dns: Some(silent.local_addr().unwrap()),
        ..OwnershipOptions::default()
    });
    let asks_in_vain = OwnershipVerifier {
        resolver: asks_in_vain.unwrap().resolver,
        ..check.clone()
    };
    // Some hold a permit and the others wait for one; none gets a response.
    let mut many = tokio::task::JoinSet::new();
    for _ in 0..8 * LOOKUPS_MAX {
        let check = asks_in_vain.clone();
        many.spawn(async move {
            check
                .verify_dns(&account(), &name("a.example"), CONTENT)
                .await
        });
    }
    tokio::task::yield_now().await;
    let (other, root) = (
        AccountId::parse("1000000000000002").unwrap(),
        name("b.example"),
    );
    assert_eq!(check.verify_dns(&other, &root, CONTENT).await, Ok(()));
    // A different lookup does not wait for the account's other lookups either.
    let domain = DomainPattern::parse("b.example").unwrap();
    let found = check.verify_cname(&account(), &domain, "b.w.example").await;
    assert_eq!(found, Err("b.example has no CNAME record".to_owned()));
}

#[tokio::test]
async fn by_file() {
    let exact = format!("{CONTENT}{}", " ".repeat(4096 - CONTENT.len()));
    let until_closed = format!("HTTP/1.1 200 OK\r\n\r\n{CONTENT}");
    let web = Web::start(vec![
        ("right.example", ok(CONTENT)),
        ("spaced.example", ok(&format!("\u{feff}\r\n{CONTENT}\n"))),
        ("exact.example", ok(&exact)),
        ("closed.example", until_closed),
    ])
    .await;
    let dns = web.dns().await;
    let check = verifier(&dns, web.address.port(), true);
    for root in web.hosts {
        assert_eq!(
            check.verify_file(&account(), &name(root), CONTENT).await,
            Ok(()),
            "{root}"
        );
    }
    let nothing = OwnershipError::NoAddress {
        name: "nothing.example".to_owned(),
    };
    let root = name("nothing.example");
    assert_eq!(
        check.verify_file(&account(), &root, CONTENT).await,
        Err(nothing)
    );
}

#[tokio::test]
async fn by_what_is_not_the_file() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://right.example/verification.html\r\n";
    let not_found = format!("HTTP/1.1 404 Not Found\r\ncontent-length: 39\r\n\r\n{CONTENT}");
    let beside = format!("{CONTENT}4");
    let web = Web::start(vec![
        ("right.example", ok(CONTENT)),
        ("other.example", ok("<html>\nnothing")),
        ("beside.example", ok(&beside)),
        (
            "long.example",
            ok(&format!("{CONTENT}{}", " ".repeat(8192))),
        ),
        ("moved.example", format!("{moved}content-length: 0\r\n\r\n")),
        ("missing.example", not_found),
        ("broken.example", "SSH-2.0-OpenSSH_9.2\r\n".to_owned()),
        ("mute.example", String::new()),
    ])
    .await;
    let dns = web.dns().await;
    let check = verifier(&dns, web.address.port(), true);
    let url = |root: &str| format!("http://{root}/verification.html");
    let other = |root, found: &str| OwnershipError::FileMismatch {
        url: url(root),
        found: found.to_owned(),
    };
    let status = |root, status| OwnershipError::UnexpectedStatus {
        url: url(root),
        status,
    };
    let too_long = OwnershipError::FileTooLong {
        url: url("long.example"),
    };
    for (root, expected) in [
        ("other.example", other("other.example", "<html> nothing")),
        ("beside.example", other("beside.example", &beside)),
        ("long.example", too_long),
        ("moved.example", status("moved.example", 302)),
        ("missing.example", status("missing.example", 404)),
    ] {
        let result = check.verify_file(&account(), &name(root), CONTENT).await;
        assert_eq!(result, Err(expected), "{root}");
    }
    for root in ["broken.example", "mute.example"] {
        let result = check.verify_file(&account(), &name(root), CONTENT).await;
        let unreachable = matches!(result, Err(OwnershipError::Unreachable { .. }));
        assert!(unreachable, "{root}: {result:?}");
    }
}

#[tokio::test]
async fn only_public_addresses_are_asked() {
    let web = Web::start(vec![("inside.example", ok(CONTENT))]).await;
    let dns = web.dns().await;
    let root = name("inside.example");
    let check = verifier(&dns, web.address.port(), false);
    let refused = OwnershipError::NotPublic {
        name: "inside.example".to_owned(),
        address: Ipv4Addr::LOCALHOST.into(),
    };
    assert_eq!(
        check.verify_file(&account(), &root, CONTENT).await,
        Err(refused)
    );
    assert_eq!(web.asked(), 0, "no connection was made");

    let before = dns.ipv4_queries();
    let check = verifier(&dns, web.address.port(), true);
    assert_eq!(check.verify_file(&account(), &root, CONTENT).await, Ok(()));
    assert_eq!(web.asked(), 1);
    assert_eq!(
        dns.ipv4_queries() - before,
        1,
        "the address that was checked is the one used"
    );
}

#[tokio::test]
async fn an_address_that_does_not_answer_makes_way() {
    let web = Web::start(vec![("two.example", ok(CONTENT))]).await;
    // Nothing listens there: the server is bound to 127.0.0.1 only.
    let dead = Ipv4Addr::new(127, 0, 0, 9);
    let dns = web.dns().await;
    for name in ["two.example", "one.example"] {
        dns.add_address(name, dead).await;
    }
    let check = verifier(&dns, web.address.port(), true);
    assert_eq!(
        check
            .verify_file(&account(), &name("two.example"), CONTENT)
            .await,
        Ok(())
    );
    let result = check
        .verify_file(&account(), &name("one.example"), CONTENT)
        .await;
    let Err(OwnershipError::Unreachable { reason, .. }) = result else {
        panic!("{result:?}");
    };
    assert!(
        reason.contains("refused"),
        "the cause is reported: {reason}"
    );
}

const CONTENT: &str = "verify_00112233445566778899aabbccddeeff";

fn account() -> AccountId {
    AccountId::parse("1000000000000001").unwrap()
}

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

fn verifier(dns: &DnsServer, http_port: u16, private_addresses: bool) -> OwnershipVerifier {
    let options = OwnershipOptions {
        dns: Some(dns.address),
        http_port,
        private_addresses,
    };
    OwnershipVerifier::new(options).unwrap()
}

/// A web server on loopback that responds by host with exactly these bytes.
struct Web {
    address: SocketAddr,
    hosts: Vec<&'static str>,
    asked: Arc<AtomicUsize>,
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
}

impl Web {
    async fn start(answers: Vec<(&'static str, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let web = Self {
            address: listener.local_addr().unwrap(),
            hosts: answers.iter().map(|(host, _)| *host).collect(),
            asked: Arc::clone(&asked),
        };
        let answers = Arc::new(answers);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                asked.fetch_add(1, Ordering::SeqCst);
                let answers = Arc::clone(&answers);
                tokio::spawn(async move {
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        head.push(char::from(stream.read_u8().await?));
                    }
                    assert!(head.starts_with("GET /verification.html HTTP/1.1\r\n"));
                    let is_asked = |host: &str| head.contains(&format!("host: {host}\r\n"));
                    let answer = answers.iter().find(|(host, _)| is_asked(host)).unwrap();
                    if answer.1.is_empty() {
                        // Until the client gives up.
                        return stream.read_u8().await.map(|_| ());
                    }
                    stream.write_all(answer.1.as_bytes()).await?;
                    stream.shutdown().await
                });
            }
        });
        web
    }

    /// A DNS server that resolves its hosts to its address.
    async fn dns(&self) -> DnsServer {
        let dns = DnsServer::start().await;
        for host in &self.hosts {
            dns.add_address(host, Ipv4Addr::LOCALHOST).await;
        }
        dns
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn names_resolve_with_their_aliases() {
    let dns = DnsServer::start().await;
    dns.add_cname("www.a.example", "www.a.example.edge.example")
        .await;
    dns.add_cname("www.a.example.edge.example", "lb.edge.example")
        .await;
    dns.add_address("lb.edge.example", Ipv4Addr::new(192, 0, 2, 1))
        .await;
    dns.add_address("lb.edge.example", std::net::Ipv6Addr::LOCALHOST)
        .await;
    let verifier = OwnershipVerifier::new(OwnershipOptions {
        dns: Some(dns.address),
        ..OwnershipOptions::default()
    });
    let verifier = verifier.unwrap();
    let found = verifier.resolve("www.a.example").await.unwrap();
    assert_eq!(
        found.aliases,
        ["www.a.example.edge.example", "lb.edge.example"]
    );
    let addresses = found.addresses.iter().map(ToString::to_string);
    assert_eq!(addresses.collect::<Vec<_>>(), ["192.0.2.1", "::1"]);
    let none = verifier.resolve("none.example").await.unwrap();
    assert_eq!(none, Default::default());
}
