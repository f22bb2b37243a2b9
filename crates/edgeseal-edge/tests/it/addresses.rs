//! Addresses of origins: names whose addresses change, and addresses that are never allowed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use edgeseal_core::private_origins::{OriginPermission, PrivateOrigins};
use edgeseal_edge::Edge;
use edgeseal_testing::{
    dns::DnsServer,
    origin::{listener, saying},
    raw::get_text,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::{sleep, timeout},
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain, served};

async fn get(edge: &Edge) -> (u16, String) {
    get_text(edge.http_addr().unwrap(), "a.com", "/").await
}

/// Origins at one port of two addresses, which count their connections, and keep them open or not.
async fn twins(keeps: bool) -> (u16, [Arc<AtomicUsize>; 2]) {
    let counts = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    loop {
        let (first, address) = listener().await;
        let port = address.port();
        let Ok(second) = TcpListener::bind(("127.0.0.2", port)).await else {
            continue; // the port is in use
        };
        let both = [(first, "one"), (second, "two")];
        for ((listener, says), count) in both.into_iter().zip(&counts) {
            tokio::spawn(answers(listener, says, keeps, Arc::clone(count)));
        }
        return (port, counts);
    }
}

async fn answers(
    listener: TcpListener,
    says: &'static str,
    keeps: bool,
    connections: Arc<AtomicUsize>,
) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            loop {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                let end = if keeps { "" } else { "Connection: close\r\n" };
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n{end}\r\n{says}");
                stream.write_all(answer.as_bytes()).await?;
                if !keeps {
                    return std::io::Result::Ok(());
                }
            }
        });
    }
}

#[tokio::test]
async fn a_changed_dns_name_is_followed_although_connections_are_pooled() {
    for keeps in [true, false] {
        let world = Harness::new();
        let dns = DnsServer::with_negative_ttl(1).await;
        dns.set("origin.test", &["127.0.0.1"]).await;
        let (port, [one, two]) = twins(keeps).await;
        let domain = domain("a.com").with_origin_at("origin.test", port, 20);
        world.put(&domain).await;
        let edge = world
            .edge_with(|options| {
                options.origin_dns = Some(dns.address);
                options.timeouts.stale_address = Duration::from_millis(400);
            })
            .await;
        for _ in 0..5 {
            let (status, answer) = get(&edge).await;
            assert!(status == 200 && answer.ends_with("one"), "{answer}");
        }
        assert_eq!(one.load(Ordering::SeqCst), if keeps { 1 } else { 5 });
        dns.set("origin.test", &["127.0.0.2"]).await;
        let moving = async {
            while !get(&edge).await.1.ends_with("two") {
                // Requests never stop, so the connection is never idle for long.
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(TIMEOUT, moving).await.expect("it is followed");
        for _ in 0..5 {
            assert!(get(&edge).await.1.ends_with("two"), "and for good");
        }
        assert_eq!(two.load(Ordering::SeqCst), if keeps { 1 } else { 6 });
        edge.drain().await;
    }
}

#[tokio::test]
async fn a_dns_outage_closes_no_connection() {
    let world = Harness::new();
    let dns = DnsServer::with_negative_ttl(1).await;
    dns.set("origin.test", &["127.0.0.1"]).await;
    let (port, [one, _]) = twins(true).await;
    world
        .put(&domain("a.com").with_origin_at("origin.test", port, 20))
        .await;
    let edge = world
        .edge_with(|options| {
            options.origin_dns = Some(dns.address);
            options.timeouts.stale_address = Duration::from_millis(100);
        })
        .await;
    assert!(get(&edge).await.1.ends_with("one"));
    drop(dns);
    // Long enough for the DNS response to expire, and for the connection's address to be missed ten
    // times.
    let later = tokio::time::Instant::now() + Duration::from_secs(2);
    while tokio::time::Instant::now() < later {
        assert!(get(&edge).await.1.ends_with("one"));
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(one.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn this_process_and_metadata_services_are_never_origins() {
    let world = Harness::new();
    let dns = DnsServer::with_negative_ttl(1).await;
    let (api, api_address) = listener().await;
    let (everywhere, admin) = {
        let socket = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    };
    let edge = world
        .edge_with(|options| {
            options.origin_dns = Some(dns.address);
            options.own_listeners.add(api_address);
            options.own_listeners.add(admin);
        })
        .await;
    let (https, http) = (edge.https_addr().port(), edge.http_addr().unwrap().port());
    let (api_port, admin_port) = (api_address.port(), admin.port());
    let refused = [
        ("127.0.0.1", api_port),
        ("::ffff:127.0.0.1", api_port),
        ("localhost", api_port),
        ("127.0.0.1", admin_port),
        ("127.0.0.2", admin_port),
        ("127.0.0.1", https),
        ("127.0.0.1", http),
        ("0.0.0.0", api_port),
        ("0.0.0.0", 80),
        ("::", 80),
        ("::ffff:0.0.0.0", 80),
        ("224.0.0.1", 80),
        ("ff02::1", 80),
        ("255.255.255.255", 80),
        ("169.254.169.254", 80),
        ("::ffff:169.254.169.254", 80),
        ("100.100.100.200", 80),
        ("fe80::1", 80),
    ];
    let mut tried = Vec::new();
    for (address, port) in refused {
        tried.push((address.to_owned(), port));
        if address != "localhost" {
            let name = format!("n{}.test", tried.len());
            dns.set(&name, &[address]).await;
            tried.push((name, port));
        }
    }
    for (address, port) in tried {
        let domain = domain("a.com").with_origin_at(&address, port, 20);
        served(&edge, world.put(&domain).await).await;
        let (status, page) = get(&edge).await;
        assert_eq!(status, 502, "{address}:{port} {page}");
        // This name has `::1` as well, where nothing listens.
        let named = page.contains("is not allowed") || address == "localhost";
        assert!(named, "{address}:{port} {page}");
    }
    for listener in [&api, &everywhere] {
        let nobody = timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(nobody.is_err(), "nothing was connected to");
    }
    // Other addresses of this machine are allowed, also by a name; and of several addresses the
    // allowed ones are used.
    let port = saying("hello").await;
    dns.set("good.test", &["127.0.0.1"]).await;
    dns.set("mixed.test", &["169.254.169.254", "127.0.0.1", "0.0.0.0"])
        .await;
    for address in [
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "good.test",
        "mixed.test",
        "localhost",
    ] {
        let domain = domain("a.com").with_origin_at(address, port, 20);
        served(&edge, world.put(&domain).await).await;
        let (status, answer) = get(&edge).await;
        assert_eq!(status, 200, "{address} {answer}");
    }
}

/// An account without the permission cannot use connections that others opened, and a changed DNS
/// name does not help.
#[tokio::test]
async fn private_addresses_require_permission() {
    use OriginPermission::{Allowed, Refused, Root, Tenant, Unknown};
    let world = Harness::new();
    let dns = DnsServer::with_negative_ttl(1).await;
    let port = saying("hello").await;
    dns.set("inside.test", &["127.0.0.1"]).await;
    dns.set("both.test", &["127.0.0.1", "::ffff:127.0.0.1"])
        .await;
    for (setting, permission, may) in [
        (PrivateOrigins::Root, Root, true),
        (PrivateOrigins::Root, Unknown, true),
        (PrivateOrigins::Root, Tenant, false),
        (PrivateOrigins::Root, Allowed, true),
        (PrivateOrigins::Root, Refused, false),
        (PrivateOrigins::All, Tenant, true),
        (PrivateOrigins::All, Refused, false),
        (PrivateOrigins::None, Root, false),
        (PrivateOrigins::None, Allowed, true),
    ] {
        let edge = world
            .edge_with(|options| {
                options.origin_dns = Some(dns.address);
                options.origin_private_addresses = setting;
            })
            .await;
        for address in [
            "127.0.0.1",
            "::ffff:127.0.0.1",
            "inside.test",
            "both.test",
            "localhost",
        ] {
            // An allowed account goes first, and leaves a pooled connection.
            let mut other = domain("b.com").with_origin_at(address, port, 20);
            other.origin_permission = Allowed;
            world.put(&other).await;
            let mut domain = domain("a.com").with_origin_at(address, port, 20);
            domain.origin_permission = permission;
            served(&edge, world.put(&domain).await).await;
            let http = edge.http_addr().unwrap();
            let context = format!("{setting:?} {permission:?} {address}");
            assert_eq!(get_text(http, "b.com", "/").await.0, 200, "{context}");
            let (status, answer) = get(&edge).await;
            assert_eq!(status, if may { 200 } else { 502 }, "{context} {answer}");
            assert!(
                may || answer.contains("is not allowed"),
                "{context} {answer}"
            );
        }
        edge.drain().await;
    }
}

#[tokio::test]
async fn a_forbidden_account_cannot_eject_an_origin_for_others() {
    let world = Harness::new();
    let (port, backup) = (saying("primary").await, saying("backup").await);
    let mut other = domain("b.com")
        .with_origin_at("127.0.0.1", port, 20)
        .with_origin_at("127.0.0.1", backup, 30);
    other.origin_permission = OriginPermission::Allowed;
    world.put(&other).await;
    let mut refused = domain("a.com").with_origin(port);
    refused.origin_permission = OriginPermission::Refused;
    world.put(&refused).await;
    let edge = world.edge().await;
    for _ in 0..5 {
        assert_eq!(get(&edge).await.0, 502);
    }
    let (_, answer) = get_text(edge.http_addr().unwrap(), "b.com", "/").await;
    assert!(answer.ends_with("primary"), "{answer}");
}

#[tokio::test]
async fn a_revoked_permission_applies_from_the_next_request() {
    let world = Harness::new();
    let port = saying("hello").await;
    let mut domain = domain("a.com").with_origin(port);
    domain.origin_permission = OriginPermission::Allowed;
    world.put(&domain).await;
    let edge = world.edge().await;
    assert_eq!(get(&edge).await.0, 200);
    domain.origin_permission = OriginPermission::Refused;
    served(&edge, world.put(&domain).await).await;
    assert_eq!(get(&edge).await.0, 502);
}

#[tokio::test]
async fn a_name_without_address_is_unreachable() {
    let world = Harness::new();
    let dns = DnsServer::with_negative_ttl(1).await;
    let backup = saying("backup").await;
    let domain = domain("a.com")
        .with_origin_at("nothing.test", 80, 20)
        .with_origin_at("127.0.0.1", backup, 30);
    world.put(&domain).await;
    let edge = world
        .edge_with(|options| options.origin_dns = Some(dns.address))
        .await;
    let (status, answer) = get(&edge).await;
    assert!(status == 200 && answer.ends_with("backup"), "{answer}");
}
