//! Stores that a release wrote: this release and every later one open them.
//!
//! `fixtures/N` has a store of data version N, in SQLite and as the rows of PostgreSQL, with the key that
//! seals it. `cargo test -p edgeseal-store --lib -- --ignored writes_the_fixtures` writes those of this
//! release; only a release that raises the version does so, and keeps the ones before.

use std::{fs, path::PathBuf};

use edgeseal_core::domain::Environment;
use edgeseal_testing::postgres::PostgresServer;

use super::*;
use crate::{
    audit_linker::AuditLinker,
    catalog::AuditQuery,
    conformance, consistency,
    data_version::DATA_VERSION,
    open::{StoreUrl, open},
};

fn fixtures(version: u32) -> PathBuf {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    fixtures.join(version.to_string())
}

fn sqlite(path: &std::path::Path) -> StoreUrl {
    format!("sqlite:{}", path.display()).parse().unwrap()
}

async fn catalog_at(url: &StoreUrl, kek: &str) -> Catalog {
    // The database compares it with its own.
    let store = open(url, conformance::now).await.unwrap();
    Catalog::new(store, Keyring::parse(kek).unwrap())
}

/// One of everything that an account has: two certificates, a domain that has one bound, its history,
/// and the audit, linked.
async fn write_data(catalog: &Catalog) {
    let row = upload(catalog, 1, "a").await;
    upload(catalog, 2, "b").await;
    let before = domain("a.example.com", None);
    add(catalog, &before).await;
    let after = domain("a.example.com", Some(&row));
    let audit = &AuditContext {
        request_id: "binds".to_owned(),
        ..audit_context()
    };
    let bound = catalog.transact(audit, |mut draft| {
        let (before, after) = (&before, &after);
        async move {
            let environment = Environment::Production;
            draft
                .change_domain_with_history(audit, environment, before, after)
                .await?;
            Ok::<_, Never>((draft, ()))
        }
    });
    bound.await.unwrap();
    let linker = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
    let (_keeper, is_keeper) = tokio::sync::watch::channel(true);
    linker.run(is_keeper, std::future::ready(())).await;
}

async fn expect_data(catalog: &Catalog) {
    let name = DomainPattern::parse("a.example.com").unwrap();
    let found = catalog.domain(&name).await.unwrap().unwrap();
    let row = catalog.certificate(1).await.unwrap().unwrap();
    assert_eq!(found, domain("a.example.com", Some(&row)));
    assert_eq!(row.name, "name-1");
    let material = catalog.material(&row.material).await.unwrap().unwrap();
    assert_eq!(material.leaf, b"a");
    let key = catalog.private_key(&row).await.unwrap().unwrap();
    assert_eq!(key.expose(), b"key");
    let named = catalog.certificate_by_name(&account(), "name-2").await;
    assert_eq!(named.unwrap().unwrap().id, 2);
    let users = catalog.domains_using_certificate(1, 10).await.unwrap();
    assert_eq!(users, [found]);
    let history = catalog.history(&name).await.unwrap();
    let requests = history.iter().map(|(_, change)| &*change.request_id);
    assert_eq!(requests.collect::<Vec<_>>(), ["binds"]);
    let newest = AuditQuery {
        from: None,
        until: None,
        newest_first: true,
        after: None,
    };
    let audit = catalog.audit(&account(), newest, 10).await.unwrap();
    assert_eq!(audit.records.len(), 4);
    let key = catalog.chain_key().await.unwrap().unwrap();
    let report = catalog.verify_audit(&account(), None, &key, NOW).await;
    let report = report.unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.records, report.pending), (4, 0));
    let found = consistency::check(&**catalog.store()).await.unwrap();
    let findings = found.findings.iter();
    // The fixture has no account record.
    let findings = findings.filter(|it| !it.what.starts_with("account/"));
    assert_eq!(
        findings.collect::<Vec<_>>(),
        Vec::<&consistency::Finding>::new()
    );
    // And it can be changed.
    let row = upload(catalog, 3, "c").await;
    assert_eq!(delete(catalog, &row).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_file_of_every_release_opens() {
    for version in 1..=DATA_VERSION {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        fs::copy(fixtures(version).join("store.db"), &path).unwrap();
        let kek = fs::read_to_string(fixtures(version).join("kek")).unwrap();
        expect_data(&catalog_at(&sqlite(&path), &kek).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_every_release_opens() {
    let server = PostgresServer::shared();
    for version in 1..=DATA_VERSION {
        server.run_sql(&fixtures(version).join("postgres.sql"));
        let kek = fs::read_to_string(fixtures(version).join("kek")).unwrap();
        let url = server.url(&schema(version)).parse().unwrap();
        expect_data(&catalog_at(&url, &kek).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "only a release that raises the version writes its fixtures"]
async fn writes_the_fixtures() {
    let fixtures = fixtures(DATA_VERSION);
    fs::create_dir_all(&fixtures).unwrap();
    let kek = Keyring::generate();
    fs::write(fixtures.join("kek"), &kek).unwrap();
    let path = fixtures.join("store.db");
    for name in ["store.db", "store.db-wal", "store.db-shm"] {
        let _ = fs::remove_file(fixtures.join(name));
    }
    write_data(&catalog_at(&sqlite(&path), &kek).await).await;
    fs::remove_file(fixtures.join("store.db.lock")).unwrap();
    let (server, schema) = (PostgresServer::start(), schema(DATA_VERSION));
    let url = server.url(&schema).parse().unwrap();
    write_data(&catalog_at(&url, &kek).await).await;
    fs::write(fixtures.join("postgres.sql"), server.dump(&schema)).unwrap();
}

/// The schema that the rows of a fixture name.
fn schema(version: u32) -> String {
    format!("release{version}")
}
