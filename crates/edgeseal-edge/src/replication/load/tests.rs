use std::{
    fs::OpenOptions,
    io::{Seek as _, SeekFrom, Write as _},
    ops::Range,
    path::Path,
    sync::Arc,
    time::Duration,
};

use edgeseal_core::{
    AccountId, Timestamp,
    delivery::DeliveryConfig,
    domain::{Coverage, DomainMode, DomainState, Environment, ServiceType},
    private_origins::PrivateOrigins,
};
use edgeseal_store::{
    Key, Keyring, Revision, SharedStore, Txn, Write, memory::MemoryStore, record::encode,
};
use tokio::{sync::watch, time::Instant};

use super::*;
use crate::{
    Options,
    replica::{Batch, CursorUpdate, DomainWrite, FILE},
    startup::first_state,
    tls::KeyCache,
};

/// More than SQLite caches of a file that it has read, 4 MiB.
const DOMAINS: u64 = 20_000;
const PAGE: u64 = 8192;

fn row(number: u64) -> DomainWrite {
    let now = Timestamp::from_unix_seconds(1_800_000_000);
    let name = DomainPattern::parse(&format!("d{number}.com")).unwrap();
    let domain = Domain {
        id: 1,
        name: name.clone(),
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
        created: now,
        modified: now,
        production: None,
        staging: None,
        settings: Vec::new(),
        staged_settings: Vec::new(),
        delivery: DeliveryConfig::default(),
        staged_delivery: None,
        managed: Vec::new(),
    };
    DomainWrite {
        name,
        revision: Revision(number),
        record: encode(&domain).unwrap(),
        material: None,
        companion: None,
    }
}

async fn written(directory: &Path) -> Replica {
    let open = || Replica::open(directory, Environment::Production).unwrap();
    let writer = open().into_writer().unwrap();
    writer.try_write(Batch {
        put: (1..=DOMAINS).map(row).collect(),
        cursor: CursorUpdate::Complete(Revision(DOMAINS)),
        ..Batch::default()
    });
    writer.close().await;
    open()
}

/// Makes these pages unreadable.
fn damage(directory: &Path, pages: Range<u64>) {
    let file = OpenOptions::new().write(true).open(directory.join(FILE));
    let mut file = file.unwrap();
    file.seek(SeekFrom::Start(pages.start * PAGE)).unwrap();
    let size = (pages.end - pages.start) * PAGE;
    file.write_all(&vec![0xA5; usize::try_from(size).unwrap()])
        .unwrap();
}

/// The file was intact when it was opened. What can be read is served after the store's time limit,
/// and not only when the store responds at last.
#[tokio::test(start_paused = true)]
async fn a_replica_that_becomes_unreadable_during_load_does_not_delay_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let replica = written(directory.path()).await;
    let pages = directory.path().join(FILE).metadata().unwrap().len() / PAGE;
    assert!(pages * PAGE > 5 << 20, "{pages}");
    damage(directory.path(), pages / 3..pages * 2 / 3);

    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let keys = Arc::new(KeyCache::new(keyring, 10));
    let serving = ServingState::new(keys, Environment::Production, PrivateOrigins::default());
    let status = load_replica(&serving, replica).unwrap().loaded;
    let served = u64::try_from(serving.index().len()).unwrap();
    assert!((DOMAINS / 10..DOMAINS).contains(&served), "{served}");
    assert_eq!(status.cursor, None, "the store is asked for everything");

    // It has something new, which is not applied in time.
    let store: SharedStore = Arc::new(MemoryStore::new());
    let write = vec![Write::Put {
        key: Key::domain(&row(1).name),
        value: row(1).record,
        expires: None,
    }];
    let txn = Txn {
        write,
        ..Txn::default()
    };
    store.commit(txn).await.unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let mut options = Options::new("e1", "default", any, directory.path());
    options.catch_up_timeout = Duration::from_secs(5);
    let (_followed, mut reached) = watch::channel(Revision(0));
    let began = Instant::now();
    first_state(&options, &*store, status, &mut reached).await;
    assert_eq!(began.elapsed(), options.catch_up_timeout);
}
