//! A model-based test: random changes to many domains and certificates; after each batch the model,
//! the handshakes and all API reads must agree.

mod certificates;
mod companion;
mod domains;
mod model;
mod new_certificate;
mod steps;

use std::{collections::BTreeSet, env, thread};

use crate::harness::{ApiClient, Origin, Server, SplitMix, unlimited};
use model::{CertificateModel, Domain, Model};

/// Changes between two comparisons.
const BLOCK: usize = 36;
const BLOCKS: usize = 9;
/// To repeat a failure, use its seed: `AGREEMENT_SEED=… cargo test`.
const SEED_VARIABLE: &str = "AGREEMENT_SEED";
const SEED: u64 = 20_180_510;

/// The domains, and what the model expects of them.
struct ModelTest {
    server: Server,
    api: ApiClient,
    origin: Origin,
    model: Model,
    random: SplitMix,
    /// The steps so far, printed on failure.
    history: StepHistory,
    /// The number of certificates issued.
    made: usize,
    /// The statuses that certificates had on their domains in the comparisons.
    seen_statuses: BTreeSet<&'static str>,
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_agree_with_handshakes() {
    let mut world = ModelTest::new().await;
    for name in names() {
        world.add(&name).await;
    }
    world.compare().await;
    for block in 0..BLOCKS {
        for _ in 0..BLOCK {
            world.step().await;
        }
        if block % 4 == 1 {
            world.bind_what_ends_at_once().await;
        }
        world.compare().await;
    }
    world.assert_coverage();
    world.server.stop();
}

/// Forty domains: exact names, wildcards, and exact names below wildcards.
fn names() -> Vec<String> {
    let exact = (0..26).map(|n| format!("d{n}.agree.example"));
    let wild = (0..8).map(|n| format!(".w{n}.agree.example"));
    let below = (0..6).map(|n| format!("x.w{n}.agree.example"));
    exact.chain(wild).chain(below).collect()
}

impl ModelTest {
    async fn new() -> Self {
        let seed = env::var(SEED_VARIABLE).map_or(SEED, |text| text.parse().unwrap());
        let server = Server::start_with(&format!("name_mismatch = \"accept\"\n{}", unlimited()));
        Self {
            api: server.root_client(),
            server,
            origin: Origin::start().await,
            model: Model::default(),
            random: SplitMix(seed),
            history: StepHistory {
                seed,
                done: Vec::new(),
            },
            made: 0,
            seen_statuses: BTreeSet::new(),
        }
    }

    async fn add(&mut self, name: &str) {
        self.api.add(name, &self.origin).await;
        self.model
            .domains
            .insert(name.to_owned(), Domain::default());
    }

    async fn compare(&mut self) {
        self.compare_domains().await;
        let domains = self.model.domains.keys();
        let served = domains.map(|name| (name, self.model.all_served(name)));
        let served = served.filter(|(_, all)| !all.is_empty());
        let standings = served.map(|(name, all)| CertificateModel::worst_status(&all, name));
        self.seen_statuses.extend(standings);
        self.compare_certificates().await;
    }

    /// Asserts that the default seed covers every case; another seed may miss one.
    fn assert_coverage(&self) {
        if self.history.seed != SEED {
            return;
        }
        for what in [
            "upload",
            "stored",
            "signing request",
            "off",
            "on again with",
            "on again is refused",
            "staged",
            "published",
            "dropped",
            "batch",
            "by SetDcdnDomainSSLCertificate",
            "by SetDomainServerCertificate",
            "to the centre in ap-southeast-1",
            "domain is deleted",
            "domain is added",
            "certificate is hidden",
            "certificate is deleted",
            "certificate is in use",
            "companion is refused",
            "companion by SetCdnDomainSSLCertificate, true",
            "companion by SetDomainServerCertificate, false",
            "stored companion",
            "companion of one kind",
        ] {
            let met = self.history.done.iter().any(|step| step.contains(what));
            assert!(met, "never: {what}");
        }
        let standings = ["expire_soon", "expired", "mismatch", "ok"];
        assert_eq!(self.seen_statuses, BTreeSet::from(standings));
    }
}

/// Prints the seed and the last steps if the test fails.
struct StepHistory {
    seed: u64,
    done: Vec<String>,
}

impl Drop for StepHistory {
    fn drop(&mut self) {
        if thread::panicking() {
            let last: Vec<&String> = self.done.iter().rev().take(40).collect();
            eprintln!("{SEED_VARIABLE}={}; newest first: {last:#?}", self.seed);
        }
    }
}
