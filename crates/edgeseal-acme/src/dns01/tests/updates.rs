use super::*;

const SHA256: UpdateKey = UpdateKey {
    name: "edgeseal",
    algorithm: "hmac-sha256",
    secret: b"an update key of 32 bytes, shared",
};
const SHA512: UpdateKey = UpdateKey {
    name: "edgeseal-512",
    algorithm: "hmac-sha512",
    secret: b"another update key, shared as well",
};

fn publisher(server: SocketAddr, key: &UpdateKey, algorithm: TsigAlgorithm) -> DnsPublisher {
    let key = TsigKey {
        name: key.name.to_owned(),
        algorithm,
        secret: Secret::new(key.secret.to_vec()),
    };
    DnsPublisher::Update(DynamicUpdate::new(server.to_string(), None, Some(key)).unwrap())
}

/// Two orders prove the same name at once, one for the name and one for the wildcard below it.
#[tokio::test]
async fn an_update_keeps_the_other_records_of_the_name() {
    let zones = [("example.com", "_acme-challenge TXT \"of somebody else\"")];
    let server = NameServer::start(&zones, &[SHA256, SHA512]).await;
    let at = server.address;
    let stored = Stored::new();
    let one = solver(
        &stored,
        publisher(at, &SHA256, TsigAlgorithm::HmacSha256),
        at,
    );
    let other = solver(
        &stored,
        publisher(at, &SHA512, TsigAlgorithm::HmacSha512),
        at,
    );
    one.publish(&[APEX]).await.unwrap();
    other.publish(&[WILDCARD]).await.unwrap();
    let name = "_acme-challenge.example.com";
    let foreign = "of somebody else";
    assert_eq!(texts(at, name).await, [APEX.value, WILDCARD.value, foreign]);
    assert_eq!(stored.notes().await, 2);

    one.withdraw(&[APEX]).await.unwrap();
    assert_eq!(texts(at, name).await, [WILDCARD.value, foreign]);
    // Twice is as once.
    one.withdraw(&[APEX]).await.unwrap();
    other.withdraw(&[WILDCARD]).await.unwrap();
    assert_eq!(texts(at, name).await, [foreign]);
    assert_eq!(stored.notes().await, 0);
}

#[tokio::test]
async fn a_record_goes_where_cname_records_lead_and_is_removed_there() {
    let zones = [
        (
            "example.com",
            "_acme-challenge CNAME example.com.challenges.test.\nwww A 127.0.0.1",
        ),
        ("challenges.test", ""),
    ];
    let server = NameServer::start(&zones, &[SHA256]).await;
    let at = server.address;
    let stored = Stored::new();
    let update = || publisher(at, &SHA256, TsigAlgorithm::HmacSha256);
    solver(&stored, update(), at)
        .publish(&[APEX])
        .await
        .unwrap();
    let name = "example.com.challenges.test";
    assert_eq!(texts(at, name).await, [APEX.value]);

    // Another process, and a resolver for which the CNAME record is gone.
    let other = DnsServer::start().await;
    let restarted = solver(&stored, update(), other.address);
    restarted.withdraw(&[APEX]).await.unwrap();
    assert_eq!(texts(at, name).await, [""; 0]);
    assert_eq!(stored.notes().await, 0);
}

#[tokio::test]
async fn cname_records_in_a_circle_are_refused() {
    let dns = DnsServer::start().await;
    dns.add_cname("_acme-challenge.example.com", "a.example.net")
        .await;
    dns.add_cname("a.example.net", "b.example.net").await;
    dns.add_cname("b.example.net", "a.example.net").await;
    let stored = Stored::new();
    let update = publisher(dns.address, &SHA256, TsigAlgorithm::HmacSha256);
    let failed = solver(&stored, update, dns.address).publish(&[APEX]).await;
    let failed = failed.unwrap_err().to_string();
    assert!(
        failed.contains("_acme-challenge.example.com lead in a circle"),
        "{failed}"
    );
    assert_eq!(stored.notes().await, 0);
}

#[tokio::test]
async fn a_refused_update_says_why() {
    let server = NameServer::start(&[("example.com", "")], &[SHA256]).await;
    let at = server.address;
    let other = UpdateKey {
        secret: b"not the key that the server has",
        ..SHA256
    };
    let wrong = publisher(at, &other, TsigAlgorithm::HmacSha256);
    let unknown = publisher(at, &SHA512, TsigAlgorithm::HmacSha512);
    let unsigned = DnsPublisher::Update(DynamicUpdate::new(at.to_string(), None, None).unwrap());
    for (publisher, why) in [
        (wrong, "does not know the key"),
        (unknown, "does not know the key"),
        (unsigned, "its policy"),
    ] {
        let failed = solver(&Stored::new(), publisher, at).publish(&[APEX]).await;
        let failed = failed.unwrap_err().to_string();
        let begin = "to change _acme-challenge.example.com in the zone example.com: ";
        assert!(failed.contains(begin) && failed.contains(why), "{failed}");
    }
    let key = TsigKey {
        name: "edgeseal".to_owned(),
        algorithm: TsigAlgorithm::HmacSha256,
        secret: Secret::new(SHA256.secret.to_vec()),
    };
    let update = DynamicUpdate::new(at.to_string(), Some("example.net"), Some(key)).unwrap();
    let failed = solver(&Stored::new(), DnsPublisher::Update(update), at)
        .publish(&[APEX])
        .await;
    let failed = failed.unwrap_err().to_string();
    assert_eq!(
        failed,
        "_acme-challenge.example.com is not in the zone example.net"
    );
}

/// A server of the zone never gets the record: the order fails with the name of that server.
#[tokio::test]
async fn a_server_without_the_record_is_named() {
    let dns = DnsServer::start().await;
    let server = NameServer::start(&[("example.com", "")], &[SHA256]).await;
    let stored = Stored::new();
    let update = publisher(server.address, &SHA256, TsigAlgorithm::HmacSha256);
    let mut solver = solver(&stored, update, dns.address);
    solver.propagation.resolver = Some(dns.address);
    solver.propagation.timeout = Duration::from_millis(300);
    let failed = solver.publish(&[APEX]).await.unwrap_err().to_string();
    let missing = format!("{} does not have it", dns.address);
    assert!(failed.contains(&missing), "{failed}");
    solver.withdraw(&[APEX]).await.unwrap();
    assert_eq!(
        texts(server.address, "_acme-challenge.example.com").await,
        [""; 0]
    );
}

/// The owner of a zone decides how many servers it has.
#[tokio::test]
async fn of_very_many_servers_and_addresses_the_first_are_asked() {
    let mut records = String::new();
    for server in 0..40 {
        records.push_str(&format!("@ NS ns{server}\n"));
        for address in 1..=6 {
            records.push_str(&format!("ns{server} A 127.0.{server}.{address}\n"));
        }
    }
    let server = NameServer::start(&[("example.com", &records)], &[]).await;
    let client = DnsClient::resolver(Some(server.address));
    let zone = absolute("example.com").unwrap();
    let servers = client.name_servers(&zone, 53).await.unwrap();
    assert_eq!(servers.len(), 16);
    // The first NS record is the fixture's own, which has one address.
    let addresses = servers.iter().map(|(_, addresses)| addresses.len());
    assert_eq!(addresses.max(), Some(4));
}
