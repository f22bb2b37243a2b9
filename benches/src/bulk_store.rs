//! Fills a store with very many domains without the API, which would take an hour.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Instant,
};

use bytes::Bytes;
use edgeseal_core::{
    AccountId, DomainPattern, Secret,
    certificate::Digest,
    delivery::DeliveryConfig,
    domain::{Binding, Coverage, Domain, DomainMode, DomainState, Origin, OriginKind, ServiceType},
};
use edgeseal_store::{
    Key, Keyring, SharedStore, Txn, Write,
    open::{StoreUrl, open},
    record::{self, DomainSummary, Material},
};
use edgeseal_testing::{
    clock::now,
    pki::{Authority, CertificateWithKey, leaf_params},
};
use rcgen::{CustomExtension, KeyPair};
use serde::{Deserialize, Serialize};

use crate::{
    BenchResult,
    accounts::{self, Account},
    server::{Server, ServerConfig},
};

/// A directory whose store contains very many domains, reused between runs.
pub(crate) struct BulkStore {
    pub(crate) home: PathBuf,
    pub(crate) made: BulkManifest,
}

/// Its content.
#[derive(Serialize, Deserialize)]
pub(crate) struct BulkManifest {
    /// Accounts with a domain each, added through the API: their certificates can be changed.
    pub(crate) accounts: Vec<Account>,
    /// Number of domains, besides those of the accounts.
    pub(crate) domains: usize,
    /// Average size of a leaf in bytes.
    pub(crate) leaf: usize,
    /// Size of a sealed key in bytes.
    pub(crate) sealed_key: usize,
}

/// Accounts whose certificates are changed.
const CHANGED_ACCOUNTS: usize = 200;
/// An unassigned extension.
const UNASSIGNED_EXTENSION: [u64; 7] = [1, 3, 6, 1, 4, 1, 55_555];
/// Domains of one commit.
const COMMIT_BATCH: usize = 500;

/// The name of a domain by its number.
pub(crate) fn domain_name(number: usize) -> String {
    format!("www.site-{number:07}.example.com")
}

impl BulkStore {
    /// The directory for this many domains; created and filled if it does not exist.
    pub(crate) fn prepare(place: &ServerConfig, domains: usize, more: usize) -> BenchResult<Self> {
        let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("out");
        let home = out.join(format!("million-{domains}-{more}"));
        let note = home.join("made.json");
        if let Ok(made) = fs::read(&note) {
            let made = serde_json::from_slice(&made)?;
            return Ok(Self { home, made });
        }
        if home.exists() {
            fs::remove_dir_all(&home)?; // begun, and never ended
        }
        fs::create_dir_all(&home)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let server = Server::start_in(place, &home, "")?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        let accounts = runtime.block_on(accounts::create(&server, CHANGED_ACCOUNTS, nowhere))?;
        server.stop()?;
        let began = Instant::now();
        let data = home.join("data");
        let keyring = Keyring::parse(&fs::read_to_string(data.join("kek"))?)?;
        let url = StoreUrl::Sqlite(data.join("store.db"));
        let store = runtime.block_on(open(&url, now))?;
        let (leaf, sealed_key) = runtime.block_on(fill(&store, &keyring, domains, more))?;
        drop(store);
        println!("{domains} domains made in {} s", began.elapsed().as_secs());
        let made = BulkManifest {
            accounts,
            domains,
            leaf,
            sealed_key,
        };
        fs::write(&note, serde_json::to_vec(&made)?)?;
        Ok(Self { home, made })
    }

    /// The directory of the replica.
    pub(crate) fn replica(&self) -> PathBuf {
        self.home.join("data/edge")
    }

    /// The file of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.home.join("data/store.db")
    }
}

/// Creates domains.
struct DomainGenerator {
    authority: Authority,
    keyring: Keyring,
    account: AccountId,
    leaf_padding: usize,
}

/// Some domains, ready to be written.
struct Batch {
    write: Vec<Write>,
    leaves: usize,
    sealed_key: usize,
}

/// Creates domains on all cores and writes them; returns the bytes of a leaf and of a sealed key.
async fn fill(
    store: &SharedStore,
    keyring: &Keyring,
    domains: usize,
    more: usize,
) -> BenchResult<(usize, usize)> {
    let maker = Arc::new(DomainGenerator {
        authority: Authority::new(),
        keyring: keyring.clone(),
        account: AccountId::from_random(1),
        leaf_padding: more,
    });
    let issuer = Bytes::copy_from_slice(&maker.authority.intermediate.der);
    commit(store, vec![put(Key::issuer(&Digest::of(&issuer)), issuer)]).await?;
    let cores = std::thread::available_parallelism()?.get();
    let (sender, receiver) = mpsc::sync_channel(2 * cores);
    for core in 0..cores {
        let (sender, maker) = (sender.clone(), Arc::clone(&maker));
        std::thread::spawn(move || {
            for first in (0..domains).step_by(COMMIT_BATCH).skip(core).step_by(cores) {
                let batch = maker.batch(first, COMMIT_BATCH.min(domains - first));
                if sender.send(batch).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let (mut leaves, mut sealed_key) = (0, 0);
    for batch in receiver {
        let batch = batch?;
        leaves += batch.leaves;
        sealed_key = batch.sealed_key;
        commit(store, batch.write).await?;
    }
    Ok((leaves / domains.max(1), sealed_key))
}

async fn commit(store: &SharedStore, write: Vec<Write>) -> BenchResult<()> {
    let txn = Txn {
        write,
        ..Txn::default()
    };
    store.commit(txn).await?;
    Ok(())
}

const fn put(key: Key, value: Bytes) -> Write {
    Write::Put {
        key,
        value,
        expires: None,
    }
}

impl DomainGenerator {
    fn batch(&self, first: usize, count: usize) -> BenchResult<Batch> {
        let mut batch = Batch {
            write: Vec::with_capacity(3 * count),
            leaves: 0,
            sealed_key: 0,
        };
        for number in first..first + count {
            self.add(number, &mut batch)?;
        }
        Ok(batch)
    }

    /// A leaf with random bytes in an extension: leaves of public CAs contain some hundred bytes of
    /// SCTs and URLs.
    fn leaf(&self, name: &str, key: KeyPair) -> BenchResult<CertificateWithKey> {
        let mut params = leaf_params(&[name]);
        if self.leaf_padding > 0 {
            let mut bytes = vec![0; self.leaf_padding];
            aws_lc_rs::rand::fill(&mut bytes)?;
            let extension = CustomExtension::from_oid_content(&UNASSIGNED_EXTENSION, bytes);
            params.custom_extensions.push(extension);
        }
        Ok(self.authority.intermediate.issue(params, key))
    }

    fn add(&self, number: usize, batch: &mut Batch) -> BenchResult<()> {
        let name = domain_name(number);
        let key = KeyPair::generate()?;
        let plain = Secret::new(key.serialize_der());
        let leaf = self.leaf(&name, key)?;
        let leaf: &[u8] = &leaf.der;
        let intermediate = &self.authority.intermediate.der[..];
        let digest = Digest::of_chain([leaf, intermediate]);
        let holder = Key::material(&digest);
        let material = Material {
            leaf: leaf.to_vec(),
            issuers: vec![Digest::of(intermediate).0],
            sealed_key: self.keyring.seal(&plain, &holder),
        };
        batch.leaves += leaf.len();
        batch.sealed_key = material.sealed_key.len();
        let name = DomainPattern::parse(&name)?;
        let domain = self.domain(number, &name, digest)?;
        let summary = DomainSummary::of(&domain, None, None);
        batch.write.extend([
            put(holder, record::encode_material(&material)?),
            put(
                Key::account_domain(&self.account, &name),
                record::encode_summary(&summary)?,
            ),
            put(Key::domain(&name), record::encode(&domain)?),
        ]);
        Ok(())
    }

    fn domain(&self, number: usize, name: &DomainPattern, material: Digest) -> BenchResult<Domain> {
        let now = now();
        let id = i64::try_from(number)? + (1 << 40);
        Ok(Domain {
            id,
            name: name.clone(),
            account: self.account.clone(),
            state: DomainState::Online,
            mode: DomainMode::Normal,
            service: ServiceType::Web,
            coverage: Coverage::Global,
            // A thousand origins: an operator's customers share machines.
            origin_permission: Default::default(),
            origins: vec![Origin {
                address: format!("10.0.{}.{}", number % 4, number % 250),
                kind: OriginKind::Ipaddr,
                port: 80,
                priority: 20,
                weight: 10,
            }],
            description: String::new(),
            resource_group: String::new(),
            tags: Vec::new(),
            created: now,
            modified: now,
            production: Some(Binding {
                enabled: true,
                certificate: id,
                material,
                covers: true,
                updated: now,
                companion: None,
            }),
            staging: None,
            settings: Vec::new(),
            staged_settings: Vec::new(),
            delivery: DeliveryConfig::default(),
            staged_delivery: None,
            managed: Vec::new(),
        })
    }
}
