//! Two certificates of one domain: each client gets the one that it can verify.

mod part;

use std::net::SocketAddr;

use edgeseal_core::{
    certificate::KeyAlgorithm,
    delivery::{DeliveryConfig, TlsVersions},
    domain::Domain,
};
use edgeseal_store::{Revision, Write};
use edgeseal_testing::{
    observed_store::FailingStore,
    openssl::s_client,
    pem,
    pki::TestCertificate,
    tls::{HandshakeFailure, chain_of, config_with_schemes, connect_with},
};
use rusqlite::Connection;
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, SignatureScheme, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    version::{TLS12, TLS13},
};

use crate::harness::{
    CertificateRecords as _, DomainBuilder as _, Harness, certificate_with_chain, domain,
    p384_certificate, put, rsa_certificate, served,
};

const NAME: &str = "a.com";

/// A certificate of each kind.
struct CertificatePair {
    ecdsa: TestCertificate,
    rsa: TestCertificate,
}

impl CertificatePair {
    fn new() -> Self {
        Self {
            ecdsa: certificate_with_chain(NAME),
            rsa: rsa_certificate(NAME),
        }
    }

    /// The domain with both; `first` is the kind of the first one.
    fn domain(&self, first: KeyAlgorithm) -> Domain {
        match first {
            KeyAlgorithm::Rsa => domain(NAME)
                .bound(&self.rsa)
                .beside(&self.ecdsa, KeyAlgorithm::Ecdsa),
            _ => domain(NAME)
                .bound(&self.ecdsa)
                .beside(&self.rsa, KeyAlgorithm::Rsa),
        }
    }

    async fn serve(&self, world: &Harness, domain: &Domain) -> Revision {
        world.write(self.writes(world, domain)).await
    }

    fn writes(&self, world: &Harness, domain: &Domain) -> Vec<Write> {
        let mut writes = self.ecdsa.writes(&world.keyring);
        writes.extend(self.rsa.writes(&world.keyring));
        writes.push(put(domain));
        writes
    }

    /// What a handshake showed, in words.
    fn word(&self, shown: &Shown) -> &'static str {
        match shown {
            Ok(leaf) if *leaf == self.ecdsa.leaf => "ecdsa",
            Ok(leaf) if *leaf == self.rsa.leaf => "rsa",
            Ok(_) => "another",
            // Or a reset that arrived before the alert.
            Err(
                HandshakeFailure::Alert(AlertDescription::HandshakeFailure)
                | HandshakeFailure::Other(_),
            ) => "failure",
            Err(HandshakeFailure::UNRECOGNIZED_NAME) => "unrecognized",
            Err(_) => "broken",
        }
    }

    /// What clients get that support only ECDSA, only RSA, and both.
    async fn seen(&self, edge: SocketAddr) -> [&'static str; 3] {
        let mut seen = [""; 3];
        for (index, schemes) in [ECDSA, RSA, ALL].into_iter().enumerate() {
            let shown = show(edge, client(rustls::DEFAULT_VERSIONS, schemes, |_| true)).await;
            seen[index] = self.word(&shown);
        }
        seen
    }
}

const ECDSA: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
];
const RSA: &[SignatureScheme] = &[
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA256,
];
const ALL: &[SignatureScheme] = &[
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ED25519,
];

fn client(
    versions: &[&'static SupportedProtocolVersion],
    schemes: &[SignatureScheme],
    suite: impl Fn(CipherSuite) -> bool,
) -> ClientConfig {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|one| suite(one.suite()));
    config_with_schemes(provider, versions, schemes.to_vec())
}

type Shown = Result<Vec<u8>, HandshakeFailure>;

async fn show(edge: SocketAddr, client: ClientConfig) -> Shown {
    let stream = connect_with(edge, NAME, client).await?;
    Ok(chain_of(&stream).swap_remove(0))
}

/// TLS 1.2 suites for keys of this kind, and all of TLS 1.3.
fn suites(kind: &'static str) -> impl Fn(CipherSuite) -> bool {
    move |suite| {
        let name = format!("{suite:?}");
        name.contains(kind) || name.starts_with("TLS13_")
    }
}

#[tokio::test]
async fn each_client_gets_the_certificate_that_it_can_verify() {
    let both = CertificatePair::new();
    for first in [KeyAlgorithm::Ecdsa, KeyAlgorithm::Rsa] {
        let world = Harness::new();
        both.serve(&world, &both.domain(first)).await;
        let edge = world.edge().await;
        let (v12, v13): (&[_], &[_]) = (&[&TLS12], &[&TLS13]);
        for versions in [v12, v13, rustls::DEFAULT_VERSIONS] {
            for (schemes, expected) in [
                (ECDSA, "ecdsa"),
                (RSA, "rsa"),
                (ALL, "ecdsa"),
                (&[SignatureScheme::ED25519][..], "failure"),
            ] {
                let shown = show(edge.https_addr(), client(versions, schemes, |_| true)).await;
                let word = both.word(&shown);
                assert_eq!(word, expected, "{first}, {versions:?}, {schemes:?}");
            }
        }
        // The TLS 1.2 suites count even if TLS 1.3 is negotiated in the end: the version is not
        // known yet.
        for (kind, expected) in [("_ECDSA_", "ecdsa"), ("_RSA_", "rsa")] {
            let shown = show(edge.https_addr(), client(v12, ALL, suites(kind))).await;
            assert_eq!(both.word(&shown), expected, "{first}, {kind}");
            let shown = show(
                edge.https_addr(),
                client(rustls::DEFAULT_VERSIONS, ALL, suites(kind)),
            )
            .await;
            assert_eq!(both.word(&shown), expected, "{first}, {kind}");
        }
        let shown = show(
            edge.https_addr(),
            client(rustls::DEFAULT_VERSIONS, ECDSA, suites("_RSA_")),
        )
        .await;
        assert_eq!(both.word(&shown), "ecdsa", "{first}: RSA is of no use");
        let only13 = |suite| format!("{suite:?}").starts_with("TLS13_");
        let shown = show(
            edge.https_addr(),
            client(rustls::DEFAULT_VERSIONS, ALL, only13),
        )
        .await;
        assert_eq!(both.word(&shown), "ecdsa", "{first}");
    }
}

/// A client of both versions and a domain of one: what the client supports in the other version
/// does not count.
#[tokio::test]
async fn suites_matter_only_where_tls_1_2_is_possible() {
    let (world, both) = (Harness::new(), CertificatePair::new());
    let delivery = DeliveryConfig {
        tls: TlsVersions::Only12,
        ..DeliveryConfig::default()
    };
    let domain = both.domain(KeyAlgorithm::Ecdsa).delivered(delivery);
    both.serve(&world, &domain).await;
    let edge = world.edge().await;
    for (kind, expected) in [("_ECDSA_", "ecdsa"), ("_RSA_", "rsa")] {
        let shown = show(
            edge.https_addr(),
            client(rustls::DEFAULT_VERSIONS, ALL, suites(kind)),
        )
        .await;
        assert_eq!(both.word(&shown), expected, "{kind}");
    }
    // The edge's own probes succeed as well.
    let report = world
        .report("default", |report| !report.proofs.is_empty())
        .await;
    assert_eq!(report.proofs[0].companion, Some(both.rsa.sha256()));
}

/// ECDSA has three kinds of keys: one on P-384 is of no use to a client that supports P-256 only.
#[tokio::test]
async fn the_curve_counts() {
    let world = Harness::new();
    let both = CertificatePair {
        ecdsa: p384_certificate(NAME),
        rsa: rsa_certificate(NAME),
    };
    let domain = both.domain(KeyAlgorithm::Ecdsa);
    both.serve(&world, &domain).await;
    let edge = world.edge().await;
    let p256 = SignatureScheme::ECDSA_NISTP256_SHA256;
    let schemes = [p256, SignatureScheme::RSA_PSS_SHA256];
    let shown = show(edge.https_addr(), client(&[&TLS13], &schemes, |_| true)).await;
    assert_eq!(both.word(&shown), "rsa");
    let shown = show(edge.https_addr(), client(&[&TLS13], ECDSA, |_| true)).await;
    assert_eq!(both.word(&shown), "ecdsa");
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_gets_the_certificate_that_it_can_verify() {
    let (world, both) = (Harness::new(), CertificatePair::new());
    both.serve(&world, &both.domain(KeyAlgorithm::Rsa)).await;
    let edge = world.edge().await;
    let (ecdsa, rsa) = (&both.ecdsa, &both.rsa);
    let table: [(&[&str], _); 6] = [
        (&["-tls1_3"], ecdsa),
        (&["-tls1_2"], ecdsa),
        (&["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"], rsa),
        (&["-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"], ecdsa),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], rsa),
        (
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
            ecdsa,
        ),
    ];
    for (arguments, expected) in table {
        let arguments = [&["-servername", NAME], arguments].concat();
        let seen = s_client(edge.https_addr(), &arguments).await;
        assert_eq!(
            pem::decode_all(&seen).first(),
            Some(&expected.leaf),
            "{arguments:?}: {seen}"
        );
    }
}

#[tokio::test]
async fn a_binding_leaves_nothing_of_both_behind_and_off_is_off_for_all() {
    let (world, both) = (Harness::new(), CertificatePair::new());
    let domain = both.domain(KeyAlgorithm::Ecdsa);
    both.serve(&world, &domain).await;
    let edge = world.edge().await;
    assert_eq!(
        both.seen(edge.https_addr()).await,
        ["ecdsa", "rsa", "ecdsa"]
    );

    let off = world.put(&domain.clone().off()).await;
    served(&edge, off).await;
    assert_eq!(both.seen(edge.https_addr()).await, ["unrecognized"; 3]);

    both.serve(&world, &domain).await;
    let alone = CertificatePair {
        ecdsa: TestCertificate::self_signed(NAME),
        ..CertificatePair::new()
    };
    let last = world.serve(NAME, &alone.ecdsa, 1).await;
    served(&edge, last).await;
    let seen = alone.seen(edge.https_addr()).await;
    assert_eq!(seen, ["ecdsa", "failure", "ecdsa"]);
    edge.drain().await;
    assert_eq!(on_disk(&world), 1);
}

/// The number of materials in the replica.
fn on_disk(world: &Harness) -> i64 {
    let file = world.directory.path().join("replica.sqlite");
    let connection = Connection::open(file).unwrap();
    let count = "SELECT count(*) FROM material";
    connection.query_row(count, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_cold_start_without_the_store_serves_both() {
    let (world, both) = (Harness::new(), CertificatePair::new());
    let domain = both.domain(KeyAlgorithm::Rsa);
    both.serve(&world, &domain).await;
    world.edge().await.drain().await;
    assert_eq!(on_disk(&world), 2);
    let failing = FailingStore::new(&world.store);
    let edge = world.start(world.options(), failing).await;
    assert_eq!(
        both.seen(edge.https_addr()).await,
        ["ecdsa", "rsa", "ecdsa"]
    );
    // Resealed like any other key.
    let done = edge.handle().reseal().await.unwrap();
    assert_eq!((done.resealed, done.failed), (0, 0));
}

#[tokio::test]
async fn both_keys_are_resealed() {
    use edgeseal_store::Keyring;
    let old = Keyring::generate();
    let mut world = Harness::new();
    world.keyring = Keyring::parse(&old).unwrap();
    let both = CertificatePair::new();
    both.serve(&world, &both.domain(KeyAlgorithm::Rsa)).await;
    let edge = world.edge_with(|options| options.key_cache_size = 1).await;
    let new = Keyring::parse(&format!("{}\n{}", *Keyring::generate(), *old)).unwrap();
    world.keyring.replace(&new).unwrap();
    let done = edge.handle().reseal().await.unwrap();
    assert_eq!((done.resealed, done.failed), (2, 0));
    let [_, old] = world.keyring.ids()[..] else {
        panic!("there are two keys");
    };
    world.keyring.remove_key(old).unwrap();
    assert_eq!(
        both.seen(edge.https_addr()).await,
        ["ecdsa", "rsa", "ecdsa"]
    );
    edge.drain().await;
    let failing = FailingStore::new(&world.store);
    let edge = world.start(world.options(), failing).await;
    assert_eq!(
        both.seen(edge.https_addr()).await,
        ["ecdsa", "rsa", "ecdsa"]
    );
}

#[tokio::test]
async fn both_leaves_are_proven() {
    let (world, both) = (Harness::new(), CertificatePair::new());
    let edge = world.edge().await;
    for (first, second, kind) in [
        (&both.ecdsa, &both.rsa, KeyAlgorithm::Ecdsa),
        (&both.rsa, &both.ecdsa, KeyAlgorithm::Rsa),
    ] {
        let revision = both.serve(&world, &both.domain(kind)).await;
        let report = world
            .report("default", |report| report.revision >= revision.0)
            .await;
        assert_eq!(report.proofs[0].sha256, Some(first.sha256()));
        assert_eq!(report.proofs[0].companion, Some(second.sha256()));
    }
    let revision = world.serve(NAME, &both.rsa, 1).await;
    let report = world
        .report("default", |report| report.revision >= revision.0)
        .await;
    assert_eq!(report.proofs[0].sha256, Some(both.rsa.sha256()));
    assert_eq!(report.proofs[0].companion, None);
    edge.drain().await;
}
