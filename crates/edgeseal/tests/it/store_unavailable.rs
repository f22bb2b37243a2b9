//! An unavailable store, at startup or later: the edge keeps serving, changes are refused with a
//! reason, and the store is reattached without a restart when it is available again.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use edgeseal_api::client::{CallError, ErrorResponse};

use crate::{
    harness::{
        ApiClient, CDN_VERSION, Origin, Server, TestCertificate, add_params, eventually,
        pki::AUTHORITY, raw, unlimited,
    },
    restart::refused_to_start,
};

const NAMES: [&str; 3] = [
    "www.away.example",
    "shop.away.example",
    "*.wild.away.example",
];

/// A server that has served [`NAMES`], and is stopped; the certificates.
async fn has_served() -> (Server, Vec<TestCertificate>) {
    let (mut server, pems) = serving("").await;
    assert_eq!(server.terminate().code(), Some(0));
    (server, pems)
}

/// A server that serves [`NAMES`]; the certificates.
async fn serving(config: &str) -> (Server, Vec<TestCertificate>) {
    let server = Server::start_with(config);
    let (api, origin) = (server.root_client(), Origin::start().await);
    let mut pems = Vec::new();
    for name in NAMES {
        pems.push(api.serve(name, &origin).await);
    }
    (server, pems)
}

async fn assert_serves_all(server: &Server, pems: &[TestCertificate], when: &str) {
    for (name, pem) in NAMES.iter().zip(pems) {
        let asked = name.replace('*', "any");
        let served = server.served(&asked).await;
        let served = served.unwrap_or_else(|why| panic!("{name} {when}: {why:?}"));
        assert_eq!(served[0], pem.leaf, "{name} {when}");
    }
}

/// Asserts that everything is served, and that changes are refused with this reason.
async fn assert_unavailable(server: &Server, pems: &[TestCertificate], why: &str, when: &str) {
    assert_serves_all(server, pems, when).await;
    let at = [("DomainName", NAMES[0])];
    let api = server.root_client();
    let refusal = api.refused(CDN_VERSION, "StopCdnDomain", &at).await;
    assert_eq!(
        (refusal.status, refusal.code.as_str()),
        (503, "ServiceUnavailable"),
        "{when}"
    );
    let ready = raw::get(server.addresses().admin, "admin", "/readyz").await;
    assert_eq!(ready.status, 503, "{when}");
    let log = server.log();
    for alarm in [
        "backfill the private origin permission",
        "cannot recount the usage",
    ] {
        assert!(
            !log.contains(alarm),
            "{when}: what waits for the store is no news"
        );
    }
    assert!(ready.body.contains(why), "{when}: {}", ready.body);
    let metrics = raw::get(server.addresses().admin, "admin", "/metrics").await;
    let value = |name: &str| {
        let mut lines = metrics.body.lines();
        lines.find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    let domains = u64::try_from(NAMES.len()).ok();
    assert!(value("edgeseal_edge_domains ") >= domains, "{when}");
    assert!(value("edgeseal_edge_revision ") > Some(0), "{when}");
}

/// Asserts that the store is reattached, and that a change is served.
async fn assert_recovers(server: &Server, pems: &mut [TestCertificate], when: &str) {
    let admin = server.addresses().admin;
    eventually(&format!("{when}: the store is taken up"), async || {
        let ready = raw::get(admin, "admin", "/readyz").await;
        (ready.status == 200).then_some(())
    })
    .await;
    pems[0] = AUTHORITY.issue(&[NAMES[0]]);
    let set = server.root_client().set(NAMES[0], &pems[0]).await;
    set.unwrap_or_else(|error| panic!("{when}: {error:?}"));
    assert_serves_all(server, pems, when).await;
}

/// Puts a store in the place of what is there, in one step.
fn restore_files(from: &Path, store: &Path) {
    let beside = store.with_extension("copy");
    fs::copy(from, &beside).unwrap();
    fs::rename(beside, store).unwrap();
}

fn remove_companions(store: &Path) {
    for tail in ["-wal", "-shm"] {
        let _ = fs::remove_file(PathBuf::from(format!("{}{tail}", store.display())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_truncated_or_empty_store_is_waited_for() {
    let (mut server, mut pems) = has_served().await;
    let (store, aside) = (server.data().join("store.db"), server.home().join("aside"));
    let other = server.home().join("other.db");
    drop(edgeseal_store::sqlite::SqliteStore::open(&other).unwrap());
    for (damage, why) in [
        ("missing", "is missing, but"),
        ("0", "is empty, but"),
        ("4096", "store.db"),
        ("8192", "store.db"),
        ("16384", "store.db"),
        ("no database", "it is no SQLite database"),
        ("another", "the store is empty, but"),
    ] {
        remove_companions(&store);
        fs::copy(&store, &aside).unwrap();
        match damage {
            "missing" => fs::remove_file(&store).unwrap(),
            "another" => restore_files(&other, &store),
            "no database" => fs::write(&store, b"no database. ".repeat(1000)).unwrap(),
            length => {
                let file = fs::File::options().write(true).open(&store).unwrap();
                file.set_len(length.parse().unwrap()).unwrap();
            }
        }
        let left = fs::read(&store).ok();
        server.launch();
        assert_unavailable(&server, &pems, why, damage).await;
        if damage != "another" {
            assert_eq!(
                fs::read(&store).ok(),
                left,
                "{damage}: it was left as it is"
            );
        }
        remove_companions(&store);
        restore_files(&aside, &store);
        assert_recovers(&server, &mut pems, damage).await;
        assert_eq!(server.terminate().code(), Some(0), "{damage}");
        server.launch();
        assert_serves_all(&server, &pems, "after a restart").await;
        assert_eq!(server.terminate().code(), Some(0), "{damage}");
    }
}

/// Adds domains until one is refused; those that were acknowledged, and the refusal.
async fn add_until_refused(
    api: ApiClient,
    tag: String,
    sources: String,
    count: Arc<AtomicU64>,
) -> (Vec<String>, ErrorResponse) {
    let mut added = Vec::new();
    loop {
        let name = format!("{tag}-{}.gone.example", added.len());
        let params = add_params(&name, &sources);
        match api.call(CDN_VERSION, "AddCdnDomain", &params).await {
            Ok(_) => added.push(name),
            Err(CallError::Api(refusal)) => return (added, *refusal),
            Err(error) => panic!("{name}: {error:?}"),
        }
        count.fetch_add(1, Ordering::AcqRel);
    }
}

/// What becomes of the files while a server writes to them.
#[derive(Clone, Copy, Debug)]
enum StoreLoss {
    Moved,
    Unlinked,
    Replaced,
    LogUnlinked,
}

impl StoreLoss {
    fn apply(self, store: &Path) {
        let beside = |tail: &str| PathBuf::from(format!("{}{tail}", store.display()));
        match self {
            Self::Moved => fs::rename(store, beside(".moved")).unwrap(),
            Self::Unlinked => fs::remove_file(store).unwrap(),
            Self::Replaced => {
                fs::write(beside(".other"), "no database").unwrap();
                fs::rename(beside(".other"), store).unwrap();
            }
            Self::LogUnlinked => fs::remove_file(beside("-wal")).unwrap(),
        }
    }
}

/// The file vanishes under four writers. What was acknowledged is in it when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_vanishes_during_writes_loses_no_acknowledged_change() {
    let (server, mut pems) = serving(&unlimited()).await;
    let origin = Origin::start().await;
    let (store, kept) = (server.data().join("store.db"), server.home().join("kept"));
    for loss in [
        StoreLoss::Moved,
        StoreLoss::Unlinked,
        StoreLoss::Replaced,
        StoreLoss::LogUnlinked,
    ] {
        let when = format!("{loss:?}");
        let count = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let tag = format!("{}-{writer}", when.to_lowercase());
                let (api, sources) = (server.root_client(), origin.sources());
                tokio::spawn(add_until_refused(api, tag, sources, Arc::clone(&count)))
            })
            .collect();
        eventually("it is busy", async || {
            (count.load(Ordering::Acquire) >= 40).then_some(())
        })
        .await;
        // Another name of the same file, for the end.
        fs::hard_link(&store, &kept).unwrap();
        loss.apply(&store);
        let mut acknowledged = Vec::new();
        for writer in writers {
            let (added, refusal) = writer.await.unwrap();
            let refused = (refusal.status, refusal.code.as_str());
            assert_eq!(refused, (503, "ServiceUnavailable"), "{when}");
            acknowledged.extend(added);
        }
        if matches!(loss, StoreLoss::LogUnlinked) {
            fs::remove_file(&kept).unwrap();
        } else {
            assert_unavailable(&server, &pems, "store.db", &when).await;
            fs::rename(&kept, &store).unwrap();
        }
        assert_recovers(&server, &mut pems, &when).await;
        let api = server.root_client();
        for name in &acknowledged {
            api.call_on_domain("DescribeCdnDomainDetail", name).await;
        }
        assert!(acknowledged.len() >= 40, "{when}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_store_is_noticed_without_writes() {
    let (server, mut pems) = serving("").await;
    let (store, aside) = (server.data().join("store.db"), server.home().join("aside"));
    fs::rename(&store, &aside).unwrap();
    let began = Instant::now();
    let admin = server.addresses().admin;
    let ready = eventually("readyz says so", async || {
        let ready = raw::get(admin, "admin", "/readyz").await;
        (ready.status == 503).then_some(ready)
    })
    .await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert!(ready.body.contains("changes are refused"), "{}", ready.body);
    assert!(ready.body.contains("store.db is gone"), "{}", ready.body);
    assert_unavailable(&server, &pems, "store.db", "moved away").await;
    fs::rename(&aside, &store).unwrap();
    assert_recovers(&server, &mut pems, "moved back").await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_has_one_owner_whatever_the_store() {
    let (mut server, pems) = has_served().await;
    server.launch();
    let before = fs::read(server.data().join("addresses.json")).unwrap();
    for store in ["memory:", "sqlite:elsewhere.db"] {
        let mut command = server.command();
        command.args(["--store", store]).current_dir(server.home());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{store}: {said}");
        let named = format!("in use by process {}", server.id());
        assert!(said.contains(&named), "{store}: {said}");
        assert!(!server.home().join("elsewhere.db").exists());
    }
    assert!(refused_to_start(&server).contains("in use"));
    let now = fs::read(server.data().join("addresses.json")).unwrap();
    assert_eq!(before, now);
    assert_eq!(server.terminate().code(), Some(0));
    server.launch();
    assert_serves_all(&server, &pems, "after the others were refused").await;
    server.stop();
}
