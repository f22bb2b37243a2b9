//! Resealing on both engines: what it changes, what it leaves alone, and what it refuses to hide.

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use edgeseal_core::{
    AccountId, DomainPattern, Secret,
    account::Account,
    certificate::{Certificate, CertificateInfo, Digest, KeyAlgorithm, OriginalPem, Subject},
    domain::Environment,
    managed_certificate::{KeyType, ManagedCertificate, OrderRequest},
    quota::{OverQuota, Quota},
    ticket::TicketPeriod,
};
use serde_json::Value;

use super::*;
use crate::{
    Catalog, PAGE_MAX, SharedStore,
    catalog::{AuditContext, ChangeError, NewAccessKey},
    conformance::Faults,
    key,
    memory::MemoryStore,
    record::{CertificateRecord, CertificateSource},
    sqlite::SqliteStore,
    ticket_key,
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);
const FAST: u32 = 1_000_000;

fn account() -> AccountId {
    AccountId::from_random(7)
}

fn audit_context(request: &str) -> AuditContext {
    AuditContext {
        account: account(),
        principal: String::new(),
        access_key: "key".to_owned(),
        source: "::1".to_owned(),
        action: "Test".to_owned(),
        resource: String::new(),
        request_id: request.to_owned(),
        nonce: None,
        now: NOW,
    }
}

fn certificate(content: &str) -> (CertificateRecord, Certificate) {
    let name = DomainPattern::parse(&format!("{content}.example.com")).unwrap();
    let facts = CertificateInfo {
        common_name: name.to_string(),
        subject: Subject::default(),
        names: vec![name],
        issuer: "issuer".to_owned(),
        issuer_organization: String::new(),
        serial: "01".to_owned(),
        not_before: NOW,
        not_after: NOW.plus_ms(1000),
        chain_not_after: NOW.plus_ms(1000),
        sha256: String::new(),
        sha1: String::new(),
        key: KeyAlgorithm::Ecdsa,
        key_bits: 256,
        missing_issuer: None,
    };
    let certificate = Certificate {
        leaf: content.as_bytes().to_vec(),
        intermediates: Vec::new(),
        key: Secret::new(format!("key of {content}").into_bytes()),
        info: facts.clone(),
        warnings: Vec::new(),
        original_pem: OriginalPem {
            chain: None,
            key: Some(Secret::new(b"text of a key".to_vec())),
        },
    };
    let row = CertificateRecord {
        id: i64::try_from(content.len()).unwrap(),
        account: account(),
        name: content.to_owned(),
        source: CertificateSource::Cas,
        region: "home".to_owned(),
        uploaded_for: None,
        material: certificate.digest(),
        has_key: true,
        revoked: false,
        removed: false,
        resource_group: String::new(),
        tags: Vec::new(),
        info: facts,
        created: NOW,
    };
    (row, certificate)
}

/// One record of each kind that the catalog seals.
async fn filled(store: SharedStore, keyring: &Keyring) -> (Catalog, NewAccessKey) {
    let catalog = Catalog::new(store, keyring.clone());
    let owner = Account {
        id: account(),
        name: "owner".to_owned(),
        root: true,
        created: NOW,
        private_origins: None,
        quotas: Default::default(),
    };
    let key = NewAccessKey::generate(account(), None, NOW);
    let made = catalog
        .create_account(&audit_context("account"), &owner, &key)
        .await;
    made.unwrap();
    add_certificate(&catalog, "certificate").await;
    let audit = audit_context("request");
    let made = catalog.transact(&audit, |mut draft| async move {
        let secret = Secret::new(b"key of a request".to_vec());
        let keys = (&Digest::of(b"public"), &secret);
        draft
            .add_signing_request(&account(), keys, "a.example", Quota::Unlimited)
            .await?;
        Ok::<_, ChangeError<OverQuota>>((draft, ()))
    });
    made.await.unwrap();
    catalog.get_or_create_chain_key().await.unwrap();
    let (store, period) = (&**catalog.store(), TicketPeriod::at(NOW));
    let made =
        ticket_key::get_or_create(store, keyring, Environment::Production, period, NOW).await;
    made.unwrap();
    let secret = Secret::new(b"credentials".to_vec());
    let of = ("https://ca.example/dir", [].as_slice());
    let made = catalog.put_issuer_account("issuer", None, of, &secret, NOW);
    assert!(made.await.unwrap());
    add_order(&catalog).await;
    (catalog, key)
}

async fn add_order(catalog: &Catalog) {
    let domain = DomainPattern::parse("a.example.com").unwrap();
    let requested = OrderRequest {
        at: NOW,
        access_key: String::new(),
        action: String::new(),
        request_id: String::new(),
    };
    let of = (domain.clone(), 1);
    let managed = ManagedCertificate::requested(of, account(), Environment::Production, requested);
    let (managed, audit) = (&managed, audit_context("order"));
    let made = catalog.transact(&audit, |mut draft| async move {
        draft.put_managed_certificate(managed)?;
        Ok::<_, ChangeError<OverQuota>>((draft, ()))
    });
    made.await.unwrap();
    let of = (&domain, Environment::Production, 1);
    let keys = [(KeyType::P256, Secret::new(b"key of an order".to_vec()))];
    let updated = catalog.update_managed_certificate(of, &keys, |_| {});
    assert!(updated.await.unwrap().is_some());
}

async fn add_certificate(catalog: &Catalog, content: &str) {
    let (row, certificate) = certificate(content);
    let (row, certificate, audit) = (&row, &certificate, audit_context(content));
    let made = catalog.transact(&audit, |mut draft| async move {
        draft
            .add_certificate(row, certificate, Quota::Unlimited)
            .await?;
        draft
            .put_original_pem(row.id, &certificate.original_pem)
            .await?;
        Ok::<_, ChangeError<OverQuota>>((draft, ()))
    });
    made.await.unwrap();
}

/// A keyring with a new key before those of `old`, and its text.
fn with_new_key(old: &str) -> (String, Keyring) {
    let text = format!("{}\n{old}", *Keyring::generate());
    let ring = Keyring::parse(&text).unwrap();
    (text, ring)
}

/// Runs passes until one is clean.
async fn reseal(store: &dyn Store, keyring: &Keyring) -> ResealPass {
    loop {
        let pass = pass(store, keyring, FAST, |_| {}).await.unwrap();
        if pass.is_clean() {
            return pass;
        }
    }
}

/// Passes whose commits fail, or seem to have failed, lose no record and end.
#[tokio::test(start_paused = true)]
async fn passes_with_faults_come_to_the_same_end() {
    for seed in 0..4 {
        let old = Keyring::generate();
        let keyring = Keyring::parse(&old).unwrap();
        let store: SharedStore = Arc::new(MemoryStore::new());
        filled(Arc::clone(&store), &keyring).await;
        let first = keyring.active();
        let (_, ring) = with_new_key(&old);
        keyring.replace(&ring).unwrap();
        let faulty = Faults::over(&store, seed);
        let proof = loop {
            match pass(&*faulty, &keyring, FAST, |_| {}).await {
                Ok(pass) if pass.is_clean() => break pass,
                _ => {}
            }
        };
        assert_eq!((proof.opened, proof.failed), (8, 0), "seed {seed}");
        let sealed = count_sealed(&*store).await.unwrap();
        let under = (sealed.under(keyring.active()), sealed.under(first));
        assert_eq!(under, (8, 0), "seed {seed}");
    }
}

fn engines(directory: &tempfile::TempDir) -> [SharedStore; 2] {
    let sqlite = SqliteStore::open(directory.path().join("store.db")).unwrap();
    [Arc::new(MemoryStore::new()), Arc::new(sqlite)]
}

/// Whether a value contains anything sealed under `id`.
fn holds_sealed(value: &[u8], id: KeyId) -> bool {
    fn in_json(value: &Value, id: KeyId) -> bool {
        match value {
            Value::String(text) => STANDARD
                .decode(text)
                .is_ok_and(|octets| KeyId::of_sealed(&octets) == Some(id)),
            Value::Array(items) => items.iter().any(|item| in_json(item, id)),
            Value::Object(members) => members.values().any(|item| in_json(item, id)),
            _ => false,
        }
    }
    if let Ok(json) = serde_json::from_slice(value) {
        return in_json(&json, id);
    }
    let starts = 0..value.len();
    starts
        .into_iter()
        .any(|at| KeyId::of_sealed(&value[at..]) == Some(id))
}

/// A new kind of sealed record without a row in the table would not be resealed.
#[tokio::test]
async fn the_table_has_everything_that_the_catalog_seals() {
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let store: SharedStore = Arc::new(MemoryStore::new());
    filled(Arc::clone(&store), &keyring).await;
    let all = Pages::new(&*store, "", PAGE_MAX).collect().await.unwrap();
    let mut kinds = BTreeSet::new();
    for entry in all {
        if holds_sealed(&entry.value, keyring.active()) {
            let kind = SEALED_KINDS
                .iter()
                .find(|kind| entry.key.as_str().starts_with(kind.prefix));
            let kind = kind.unwrap_or_else(|| panic!("{} is sealed but has no kind", entry.key));
            assert!(kind.sealed(&entry.value).unwrap().is_some());
            kinds.insert(kind.name);
        }
    }
    let names: BTreeSet<_> = SEALED_KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(kinds, names, "each kind was written and found");
}

#[tokio::test]
async fn everything_comes_under_the_new_key_and_opens_without_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    for store in engines(&directory) {
        let old = Keyring::generate();
        let keyring = Keyring::parse(&old).unwrap();
        let (catalog, key) = filled(Arc::clone(&store), &keyring).await;
        let first = keyring.active();
        assert_eq!(count_sealed(&*store).await.unwrap().under(first), 8);
        assert!(!is_finished(&*store, &keyring).await.unwrap());

        let (_, ring) = with_new_key(&old);
        keyring.replace(&ring).unwrap();
        begin(&*store, keyring.active()).await.unwrap();
        assert!(!is_finished(&*store, &keyring).await.unwrap());
        let proof = reseal(&*store, &keyring).await;
        assert_eq!((proof.opened, proof.failed), (8, 0));
        let epoch = SealingEpoch::read(&*store).await.unwrap().unwrap();
        epoch.finish(&*store, NOW).await.unwrap();
        assert!(is_finished(&*store, &keyring).await.unwrap());
        let census = count_sealed(&*store).await.unwrap();
        assert_eq!(
            (census.under(first), census.under(keyring.active())),
            (0, 8)
        );

        keyring.remove_key(first).unwrap();
        let (_, secret) = catalog.access_key(&key.key.id).await.unwrap().unwrap();
        assert_eq!(secret, key.secret);
        let (owner, public) = (account(), Digest::of(b"public"));
        let made = catalog.signing_request_key(&owner, &public);
        let made = made.await.unwrap().unwrap();
        assert_eq!(made.expose(), b"key of a request");
        let (row, content) = certificate("certificate");
        let material = catalog.material(&row.material).await.unwrap().unwrap();
        assert_eq!(material.leaf, content.leaf);
        let opened = keyring.open(&material.sealed_key, &Key::material(&row.material));
        assert_eq!(opened.as_ref(), Ok(&content.key));
        let text = catalog.original_key(row.id).await.unwrap();
        assert_eq!(text, content.original_pem.key);
    }
}

/// An engine does not report when a record expires, so resealing must know.
/// Of two processes that both take themselves for the one that reseals, one finishes; and neither
/// wipes out the key that is to follow.
#[tokio::test]
async fn only_the_process_that_began_last_finishes() {
    let directory = tempfile::tempdir().unwrap();
    for store in engines(&directory) {
        let store = &*store;
        let id = || Keyring::parse(&Keyring::generate()).unwrap().active();
        let (first, second) = (id(), id());
        let read = async || SealingEpoch::read(store).await.unwrap().unwrap();
        SealingEpoch::read_or_begin(store, first).await.unwrap();
        let slow = read().await.restart(store).await.unwrap();
        let fast = read().await.restart(store).await.unwrap();
        let late = slow.finish(store, NOW).await;
        assert!(matches!(late, Err(EpochError::Changed)), "{late:?}");
        fast.finish(store, NOW).await.unwrap();
        assert_eq!(finished_under(store).await.unwrap(), Some(first));

        let finished = read().await;
        finished.propose(store, second).await.unwrap();
        let late = finished.restart(store).await;
        assert!(matches!(late, Err(EpochError::Changed)), "{late:?}");
        let again = read().await.restart(store).await.unwrap();
        again.finish(store, NOW).await.unwrap();
        let epoch = read().await;
        assert_eq!((epoch.under, epoch.next), (first, Some(second)));
    }
}

#[tokio::test]
async fn what_expires_still_does() {
    let directory = tempfile::tempdir().unwrap();
    for store in engines(&directory) {
        let old = Keyring::generate();
        let keyring = Keyring::parse(&old).unwrap();
        filled(Arc::clone(&store), &keyring).await;
        keyring.replace(&with_new_key(&old).1).unwrap();
        reseal(&*store, &keyring).await;
        let kept = async |prefix, now: Timestamp| {
            store.sweep(now).await.unwrap();
            let page = store.list(prefix, None, 10).await.unwrap();
            page.entries.len()
        };
        let request_ends = NOW.plus_ms(crate::catalog::SIGNING_REQUEST_TTL_MS);
        let ticket_key_ends = TicketPeriod::at(NOW).expires_at();
        let mut ends = [
            (key::SIGNING_REQUESTS, request_ends),
            (key::TICKET_KEYS, ticket_key_ends),
        ];
        ends.sort_by_key(|(_, end)| *end);
        for (prefix, end) in ends {
            assert_eq!(kept(prefix, end.plus_ms(-1)).await, 1, "{prefix}");
            assert_eq!(kept(prefix, end.plus_ms(1)).await, 0, "{prefix}");
        }
    }
}

#[tokio::test]
async fn a_change_that_comes_between_is_not_lost() {
    let old = Keyring::generate();
    let keyring = Keyring::parse(&old).unwrap();
    let store: SharedStore = Arc::new(MemoryStore::new());
    let (_, key) = filled(Arc::clone(&store), &keyring).await;
    let holder = Key::access_key(&key.key.id);
    let entry = store.get(&holder).await.unwrap().unwrap();
    keyring.replace(&with_new_key(&old).1).unwrap();
    let kind = &SEALED_KINDS[0];
    let mut passed = ResealPass::default();
    let txn = passed.inspect(kind, &keyring, &entry).unwrap();

    // The record has a member unknown to this release, and changes in the meantime.
    let mut record: Value = serde_json::from_slice(&entry.value).unwrap();
    record["active"] = Value::Bool(false);
    record["later"] = Value::String("kept".to_owned());
    let write = Write::Put {
        key: holder.clone(),
        value: Bytes::from(record.to_string()),
        expires: None,
    };
    let changed = Txn {
        write: vec![write],
        ..Txn::default()
    };
    store.commit(changed).await.unwrap();
    passed.write(&*store, vec![txn]).await.unwrap();
    assert_eq!((passed.resealed, passed.conflicts), (0, 1));
    assert!(!passed.is_clean());

    reseal(&*store, &keyring).await;
    let entry = store.get(&holder).await.unwrap().unwrap();
    let mut now: Value = serde_json::from_slice(&entry.value).unwrap();
    let sealed = kind.sealed(&entry.value).unwrap().unwrap();
    assert_eq!(keyring.open(&sealed, &holder), Ok(key.secret));
    assert_ne!(now["sealed_secret"], record["sealed_secret"]);
    now["sealed_secret"] = record["sealed_secret"].clone();
    assert_eq!(now, record);
}

#[tokio::test]
async fn unopenable_records_are_reported_and_kept() {
    let old = Keyring::generate();
    let keyring = Keyring::parse(&old).unwrap();
    let store: SharedStore = Arc::new(MemoryStore::new());
    let (_, key) = filled(Arc::clone(&store), &keyring).await;
    let stranger = Keyring::parse(&Keyring::generate()).unwrap();
    let holder = Key::access_key("another");
    let kind = &SEALED_KINDS[0];
    let entry = store
        .get(&Key::access_key(&key.key.id))
        .await
        .unwrap()
        .unwrap();
    let sealed = stranger.seal(&Secret::new(b"secret".to_vec()), &holder);
    let foreign = kind.replace_sealed(&entry.value, sealed).unwrap();
    let write = [
        (holder.clone(), foreign.clone()),
        (Key::from_stored("material/00/x"), Bytes::from_static(b"?")),
    ];
    let write = write.map(|(key, value)| Write::Put {
        key,
        value,
        expires: None,
    });
    let planted = Txn {
        write: write.to_vec(),
        ..Txn::default()
    };
    store.commit(planted).await.unwrap();

    keyring.replace(&with_new_key(&old).1).unwrap();
    let proof = reseal(&*store, &keyring).await;
    assert_eq!((proof.opened, proof.failed), (8, 2));
    let (first, why) = proof.first_failure.unwrap();
    assert_eq!(first, holder);
    let needed = stranger.active().to_string();
    assert!(why.contains(&needed), "{why}");
    assert_eq!(store.get(&holder).await.unwrap().unwrap().value, foreign);
    let census = count_sealed(&*store).await.unwrap();
    assert_eq!((census.under(stranger.active()), census.unreadable), (1, 1));
}

/// A process that ends during a pass leaves some records under the old key; the next one finishes.
#[tokio::test]
async fn an_interrupted_reseal_is_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let old = Keyring::generate();
    let (text, _) = with_new_key(&old);
    let first = Keyring::parse(&old).unwrap();
    {
        let store: SharedStore = Arc::new(SqliteStore::open(&path).unwrap());
        let (catalog, _) = filled(Arc::clone(&store), &first).await;
        for length in 20..30 {
            add_certificate(&catalog, &"c".repeat(length)).await;
        }
        let keyring = Keyring::parse(&text).unwrap();
        begin(&*store, keyring.active()).await.unwrap();
        // One record at a time with long pauses: the pass is interrupted in one of them.
        let (told, mut done) = tokio::sync::watch::channel(0);
        let slow = pass(&*store, &keyring, 10, |pass| {
            told.send_replace(pass.resealed);
        });
        tokio::select! {
            _ = slow => panic!("it must not finish"),
            _ = done.wait_for(|resealed| *resealed >= 3) => {}
        }
        let census = count_sealed(&*store).await.unwrap();
        assert!(census.under(first.active()) > 0, "{census:?}");
        assert!(census.under(keyring.active()) >= 3, "{census:?}");
    }
    let store = SqliteStore::open(&path).unwrap();
    let keyring = Keyring::parse(&text).unwrap();
    assert!(!is_finished(&store, &keyring).await.unwrap());
    let proof = reseal(&store, &keyring).await;
    assert_eq!((proof.opened, proof.failed), (28, 0));
    assert_eq!(count_sealed(&store).await.unwrap().under(first.active()), 0);
}
