//! A store, a keyring, certificates, and the records that the control plane would write.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use edgeseal_core::{
    AccountId, DomainPattern, Secret, Timestamp,
    certificate::{Digest, KeyAlgorithm},
    delivery::DeliveryConfig,
    domain::{
        Binding, Companion, Coverage, Domain, DomainMode, DomainState, Environment, Origin,
        OriginKind, ServiceType,
    },
};
use edgeseal_edge::{Edge, Options};
use edgeseal_store::{
    Key, Keyring, Revision, SharedStore, Txn, Write,
    memory::MemoryStore,
    record::{EdgeRecord, Material, decode, encode, encode_material},
};
use edgeseal_testing::{
    pem,
    pki::{Authority, TestCertificate, new_key, new_key_of, new_rsa_key},
};
use rcgen::CertificateParams;
use tempfile::TempDir;
use tokio::time::timeout;

pub(crate) use edgeseal_testing::wait::TIMEOUT;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000)
}

pub(crate) struct Harness {
    pub(crate) store: SharedStore,
    pub(crate) keyring: Keyring,
    pub(crate) directory: TempDir,
}

impl Harness {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new()))
    }

    pub(crate) fn on(store: SharedStore) -> Self {
        Self {
            store,
            keyring: Keyring::parse(&Keyring::generate()).unwrap(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn options(&self) -> Options {
        let any = "127.0.0.1:0".parse().unwrap();
        let mut options = Options::new("e1", "default", any, self.directory.path());
        options.http = Some(any);
        options.drain_timeout = Duration::from_secs(5);
        options
    }

    pub(crate) async fn edge(&self) -> Edge {
        self.edge_with(|_| {}).await
    }

    pub(crate) async fn edge_with(&self, change: impl FnOnce(&mut Options)) -> Edge {
        let mut options = self.options();
        change(&mut options);
        self.start(options, Arc::clone(&self.store)).await
    }

    pub(crate) async fn start(&self, options: Options, store: SharedStore) -> Edge {
        let start = Edge::start(options, store, self.keyring.clone(), now);
        timeout(TIMEOUT, start).await.unwrap().unwrap()
    }

    pub(crate) async fn write(&self, write: Vec<Write>) -> Revision {
        let txn = Txn {
            write,
            ..Txn::default()
        };
        self.store.commit(txn).await.unwrap()
    }

    pub(crate) async fn put(&self, domain: &Domain) -> Revision {
        self.write(vec![put(domain)]).await
    }

    pub(crate) async fn put_all(&self, domain: &Domain, certificate: &TestCertificate) -> Revision {
        let mut writes = certificate.writes(&self.keyring);
        writes.push(put(domain));
        self.write(writes).await
    }

    /// A domain with this certificate and origin, online, HTTPS on.
    pub(crate) async fn serve(
        &self,
        name: &str,
        certificate: &TestCertificate,
        port: u16,
    ) -> Revision {
        let domain = domain(name).bound(certificate).with_origin(port);
        self.put_all(&domain, certificate).await
    }

    pub(crate) async fn remove(&self, name: &str) -> Revision {
        self.write(vec![Write::Delete(Key::domain(&pattern(name)))])
            .await
    }

    /// Writes the root certificate of a CA to a file.
    pub(crate) fn ca_file(&self, authority: &Authority) -> PathBuf {
        let file = self.directory.path().join("origins.pem");
        std::fs::write(&file, authority.root.pem()).unwrap();
        file
    }

    /// The report of edge `e1`, as soon as it is as wanted.
    pub(crate) async fn report(
        &self,
        group: &str,
        wanted: impl Fn(&EdgeRecord) -> bool,
    ) -> EdgeRecord {
        let key = Key::edge(group, "e1");
        let mut last = None;
        let waiting = async {
            let mut after = self.store.list("edge/", None, 1).await.unwrap().revision;
            loop {
                if let Some(entry) = self.store.get(&key).await.unwrap() {
                    let record: EdgeRecord = decode(&entry.value).unwrap();
                    if wanted(&record) {
                        return record;
                    }
                    last = Some(record);
                }
                let changes = self.store.changes(after, &["edge/"], 100).await.unwrap();
                after = changes.through;
            }
        };
        match timeout(TIMEOUT, waiting).await {
            Ok(record) => record,
            Err(_) => panic!("no such report; the last one: {last:?}"),
        }
    }
}

/// Waits until the edge serves `revision`.
pub(crate) async fn served(edge: &Edge, revision: Revision) {
    let mut served = edge.handle().applied_revision();
    let reached = served.wait_for(|now| *now >= revision);
    timeout(TIMEOUT, reached).await.unwrap().unwrap();
}

pub(crate) fn pattern(name: &str) -> DomainPattern {
    DomainPattern::parse(name).unwrap()
}

pub(crate) fn domain(name: &str) -> Domain {
    Domain {
        id: 1,
        name: pattern(name),
        account: AccountId::from_random(1),
        state: DomainState::Online,
        mode: DomainMode::Normal,
        service: ServiceType::Web,
        coverage: Coverage::Domestic,
        origins: Vec::new(),
        origin_permission: Default::default(),
        description: String::new(),
        resource_group: String::new(),
        tags: Vec::new(),
        created: now(),
        modified: now(),
        production: None,
        staging: None,
        settings: Vec::new(),
        staged_settings: Vec::new(),
        delivery: DeliveryConfig::default(),
        staged_delivery: None,
        managed: Vec::new(),
    }
}

pub(crate) trait DomainBuilder {
    fn bound(self, certificate: &TestCertificate) -> Self;
    fn staged(self, certificate: &TestCertificate) -> Self;
    /// With a second certificate, of this key, beside the first one.
    fn beside(self, certificate: &TestCertificate, key: KeyAlgorithm) -> Self;
    fn off(self) -> Self;
    fn delivered(self, delivery: DeliveryConfig) -> Self;
    fn in_state(self, state: DomainState) -> Self;
    fn with_origin(self, port: u16) -> Self;
    fn with_origin_at(self, address: &str, port: u16, priority: u8) -> Self;
}

impl DomainBuilder for Domain {
    fn bound(mut self, certificate: &TestCertificate) -> Self {
        self.bind(certificate.binding(), Environment::Production, now());
        self
    }

    fn staged(mut self, certificate: &TestCertificate) -> Self {
        self.bind(certificate.binding(), Environment::Staging, now());
        self
    }

    fn beside(mut self, certificate: &TestCertificate, key: KeyAlgorithm) -> Self {
        self.production.as_mut().unwrap().companion = Some(Companion {
            certificate: 2,
            material: certificate.digest(),
            key,
            covers: true,
            updated: now(),
        });
        self
    }

    fn off(mut self) -> Self {
        self.disable_https(Environment::Production, now());
        self
    }

    fn delivered(mut self, delivery: DeliveryConfig) -> Self {
        self.delivery = delivery;
        self
    }

    fn in_state(mut self, state: DomainState) -> Self {
        self.state = state;
        self
    }

    fn with_origin(self, port: u16) -> Self {
        self.with_origin_at("127.0.0.1", port, 20)
    }

    fn with_origin_at(mut self, address: &str, port: u16, priority: u8) -> Self {
        self.origins.push(Origin {
            address: address.to_owned(),
            kind: OriginKind::Ipaddr,
            port,
            priority,
            weight: 10,
        });
        self
    }
}

pub(crate) fn put(domain: &Domain) -> Write {
    Write::Put {
        key: Key::domain(&domain.name),
        value: encode(domain).unwrap(),
        expires: None,
    }
}

/// The records of a certificate, as validation would leave them.
pub(crate) trait CertificateRecords {
    fn digest(&self) -> Digest;
    /// SHA-256 of the leaf in hex.
    fn sha256(&self) -> String;
    fn binding(&self) -> Binding;
    /// Material and issuers.
    fn writes(&self, keyring: &Keyring) -> Vec<Write>;
}

impl CertificateRecords for TestCertificate {
    fn digest(&self) -> Digest {
        let chain = pem::decode_all(&self.chain);
        Digest::of_chain(chain.iter().map(Vec::as_slice))
    }

    fn sha256(&self) -> String {
        Digest::of(&self.leaf).to_string()
    }

    fn binding(&self) -> Binding {
        Binding {
            enabled: true,
            certificate: 1,
            material: self.digest(),
            covers: true,
            updated: now(),
            companion: None,
        }
    }

    fn writes(&self, keyring: &Keyring) -> Vec<Write> {
        let key = Key::material(&self.digest());
        let intermediates = self.intermediates();
        let material = Material {
            leaf: self.leaf.clone(),
            issuers: intermediates.iter().map(|der| Digest::of(der).0).collect(),
            sealed_key: keyring.seal(&Secret::new(self.key_der()), &key),
        };
        let issuers = intermediates.iter().map(|der| Write::Put {
            key: Key::issuer(&Digest::of(der)),
            value: Bytes::from(der.clone()),
            expires: None,
        });
        let material = Write::Put {
            key,
            value: encode_material(&material).unwrap(),
            expires: None,
        };
        issuers.chain([material]).collect()
    }
}

/// Self-signed, with an RSA key.
pub(crate) fn rsa_certificate(name: &str) -> TestCertificate {
    TestCertificate::self_signed_with(name, new_rsa_key(), |_| {})
}

/// Self-signed, with an ECDSA key on P-384.
pub(crate) fn p384_certificate(name: &str) -> TestCertificate {
    let key = new_key_of(&rcgen::PKCS_ECDSA_P384_SHA384);
    TestCertificate::self_signed_with(name, key, |_| {})
}

/// Self-signed, valid until then.
pub(crate) fn certificate_until(name: &str, not_after: Timestamp) -> TestCertificate {
    TestCertificate::self_signed_with(name, new_key(), |params| {
        let seconds = not_after.unix_seconds();
        params.not_after = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    })
}

/// Issued by an intermediate of its own, which is served with it. Valid at any time.
pub(crate) fn certificate_with_chain(name: &str) -> TestCertificate {
    Authority::new().issue_with(&[name], |params| {
        let any = CertificateParams::default();
        (params.not_before, params.not_after) = (any.not_before, any.not_after);
    })
}

/// Overwrites some of a file.
pub(crate) fn corrupt(path: &Path, from: usize, length: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    for byte in bytes.iter_mut().skip(from).take(length) {
        *byte = 0xA5;
    }
    std::fs::write(path, bytes).unwrap();
}
