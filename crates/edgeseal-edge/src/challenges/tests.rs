use std::{net::Ipv4Addr, sync::Arc};

use edgeseal_core::{DomainPattern, delivery::DeliveryConfig};
use edgeseal_store::{Catalog, Keyring, Revision, SharedStore, memory::MemoryStore};

use super::*;
use crate::served_domain::Https;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SOON: Timestamp = NOW.plus_ms(1000);

fn challenges(domains: &[&str]) -> Challenges {
    let index = Index::new();
    for (id, name) in (1..).zip(domains) {
        let entry = ServedDomain {
            domain_id: id,
            online: false,
            https: Https::Off,
            origins: Arc::default(),
            delivery: DeliveryConfig::default(),
            revision: Revision(1),
        };
        index.put(&DomainPattern::parse(name).unwrap(), entry);
    }
    Challenges::new(Arc::new(index), || NOW)
}

fn authorization(token: &str) -> KeyAuthorization {
    KeyAuthorization::parse(&format!("{token}.{}", "t".repeat(43))).unwrap()
}

fn page(host: &str, token: &str, expires: Timestamp) -> ChallengeRecord {
    let host = DomainName::parse(host).unwrap();
    ChallengeRecord::http_01(host, authorization(token), expires)
}

fn certificate(host: &str, token: &str) -> ChallengeRecord {
    let host = DomainName::parse(host).unwrap();
    ChallengeRecord::tls_alpn_01(host, &authorization(token), SOON)
}

fn insert(into: &Challenges, challenge: &ChallengeRecord) {
    into.insert(challenge.key(), &record::encode(challenge).unwrap());
}

async fn answer(of: &Challenges, host: &str, token: &str) -> Option<KeyAuthorization> {
    let token = Token::parse(token).unwrap();
    of.http_01(&Host::parse(host).unwrap(), &token, CLIENT)
        .await
}

#[tokio::test]
async fn only_the_host_that_is_validated_gets_the_page_until_it_expires() {
    let challenges = challenges(&[]);
    insert(&challenges, &page("a.com", "one", NOW));
    insert(&challenges, &page("a.com", "late", NOW.plus_ms(-1)));
    // The domain itself need not have arrived.
    assert_eq!(
        answer(&challenges, "A.com.", "one").await,
        Some(authorization("one"))
    );
    for (host, token) in [
        ("b.com", "one"),
        ("x.a.com", "one"),
        ("a.com", "two"),
        ("a.com", "late"),
    ] {
        assert_eq!(
            answer(&challenges, host, token).await,
            None,
            "{host} {token}"
        );
    }
    challenges.remove_expired();
    assert_eq!(challenges.held.read().len(), 1);
}

#[tokio::test]
async fn challenges_are_replaced_withdrawn_and_listed() {
    let challenges = challenges(&[]);
    insert(&challenges, &certificate("xn--bcher-kva.com", "one"));
    insert(&challenges, &certificate("xn--bcher-kva.com", "two"));
    let found = challenges
        .tls_alpn_01("XN--bcher-kva.com", CLIENT)
        .await
        .unwrap();
    assert_eq!(found.digest, authorization("two").digest());
    // One that does not belong to its key replaces nothing by itself.
    let key = certificate("xn--bcher-kva.com", "two").key();
    challenges.insert(
        key.clone(),
        &record::encode(&certificate("b.com", "x")).unwrap(),
    );
    assert_eq!(
        challenges.tls_alpn_01("xn--bcher-kva.com", CLIENT).await,
        None
    );
    assert_eq!(challenges.tls_alpn_01("b.com", CLIENT).await, None);

    insert(&challenges, &page("a.com", "one", SOON));
    insert(&challenges, &page("a.com", "two", SOON));
    challenges.retain_listed(&HashSet::from([page("a.com", "two", SOON).key()]));
    assert_eq!(answer(&challenges, "a.com", "one").await, None);
    assert!(answer(&challenges, "a.com", "two").await.is_some());
    challenges.remove(&page("a.com", "two", SOON).key());
    assert_eq!(answer(&challenges, "a.com", "two").await, None);
}

#[tokio::test]
async fn a_missing_challenge_of_a_domain_is_read_from_the_store() {
    let challenges = challenges(&["a.com", "*.b.com"]);
    let store: SharedStore = Arc::new(MemoryStore::new());
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let published = [
        page("a.com", "one", SOON),
        page("x.b.com", "two", SOON),
        page("c.com", "three", SOON),
        certificate("x.b.com", "two"),
    ];
    let catalog = Catalog::new(Arc::clone(&store), keyring);
    catalog.publish_challenges(&published).await.unwrap();
    // No store to read from.
    assert_eq!(answer(&challenges, "a.com", "one").await, None);
    challenges.set_source(Some(store));
    assert!(answer(&challenges, "a.com", "one").await.is_some());
    assert!(answer(&challenges, "x.b.com", "two").await.is_some());
    assert!(challenges.tls_alpn_01("x.b.com", CLIENT).await.is_some());
    let other_hosts = [("a.com", "two"), ("c.com", "three"), ("y.b.com", "two")];
    for (host, token) in other_hosts {
        assert_eq!(
            answer(&challenges, host, token).await,
            None,
            "{host} {token}"
        );
    }
    assert!(challenges.tls_alpn_01("a.com", CLIENT).await.is_none());
    assert_eq!(
        challenges.held.read().len(),
        0,
        "the feed decides what is held"
    );
    challenges.set_source(None);
    assert_eq!(answer(&challenges, "a.com", "one").await, None);
}

#[tokio::test]
async fn memory_is_bounded() {
    let challenges = challenges(&[]);
    for n in 0..=HELD_MAX {
        insert(&challenges, &page("a.com", &format!("t{n}"), SOON));
    }
    assert_eq!(challenges.held.read().len(), HELD_MAX);
    // What is there can be replaced.
    insert(&challenges, &page("b.com", "t0", SOON));
    assert!(answer(&challenges, "b.com", "t0").await.is_some());
}
