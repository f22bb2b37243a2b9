//! Dry runs of Edgeseal's own actions, and what is recorded of any dry run.

use edgeseal_core::quota::Quota;
use serde_json::Value;

use crate::{
    Settings,
    actions::table::EDGESEAL,
    test_server::{TestServer, error_of},
};

const ACCOUNT: &str = "1000000000000001";
const OTHER: &str = "1000000000000002";
const CDN: &str = "2018-05-10";
const IMPORT: &str = "ImportCertificate";
const SOURCES: &str = r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#;

type Params<'a> = Vec<(&'a str, &'a str)>;

/// Two accounts, of which the other one has the domain `taken.example.com`.
async fn world(settings: Settings) -> TestServer {
    let mut world = TestServer::empty(settings);
    world.account(ACCOUNT, "own").await;
    world.account(OTHER, "other").await;
    let taken = [
        ("DomainName", "taken.example.com"),
        ("CdnType", "web"),
        ("Sources", SOURCES),
    ];
    if !world.context.settings.require_ownership {
        let added = call(&world, "other", (CDN, "AddCdnDomain"), &taken).await;
        assert_eq!(added.get("Code"), None, "{added}");
    }
    world
}

async fn call(world: &TestServer, who: &str, of: (&str, &str), params: &[(&str, &str)]) -> Value {
    world.call(&world.keys[who], of.0, of.1, params).await
}

/// Runs an import dry, then really: returns both responses without their request IDs.
async fn import(world: &TestServer, params: &[(&str, &str)]) -> [Value; 2] {
    let before = world.dump().await;
    let dry = [params, &[("DryRun", "true")]].concat();
    let said = call(world, "own", (EDGESEAL, IMPORT), &dry).await;
    assert_eq!(world.dump().await, before, "{params:?}");
    let really = call(world, "own", (EDGESEAL, IMPORT), params).await;
    [said, really].map(|mut response| {
        response.as_object_mut().unwrap().remove("RequestId");
        response
    })
}

fn params<'a>(names: &'a str, (chain, key): (&'a str, &'a str)) -> Params<'a> {
    vec![
        ("DomainName", names),
        ("Sources", SOURCES),
        ("SSLPub", chain),
        ("SSLPri", key),
    ]
}

#[tokio::test]
async fn a_dry_import_says_what_the_import_does_then() {
    let made = rcgen::generate_simple_self_signed(["*.example.com".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let pair = (&*chain, &*key);
    let world = world(Settings::default()).await;
    let given = params("a.example.com,b.example.com", pair);
    for result in ["Added", "Unchanged"] {
        let [said, really] = import(&world, &given).await;
        assert_eq!(said, really);
        assert_eq!(said["Domains"][1]["Result"], result);
    }
    // Of another account, and without origins.
    for names in ["taken.example.com", "c.example.com,taken.example.com"] {
        let [said, really] = import(&world, &params(names, pair)).await;
        assert_eq!(said, really);
        assert_eq!(error_of(&said).0, "DomainAlreadyExist", "{said}");
    }
    let [said, really] = import(&world, &[given[0], given[2], ("SSLPri", " ")]).await;
    assert_eq!(said, really);
    error_of(&said);
}

#[tokio::test]
async fn a_dry_import_checks_ownership_and_quotas() {
    let made = rcgen::generate_simple_self_signed(["*.example.com".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let given = params("a.example.com,b.example.com", (&*chain, &*key));
    let unproven = Settings {
        require_ownership: true,
        ..Settings::default()
    };
    let mut full = Settings::default();
    full.quotas.domains = Quota::AtMost(1);
    for (settings, code) in [
        (unproven, "DomainOwnerVerifyFail"),
        (full, "DomainOverLimit"),
    ] {
        let [said, really] = import(&world(settings).await, &given).await;
        assert_eq!(said, really);
        assert_eq!(error_of(&said).0, code, "{said}");
    }
}

#[tokio::test]
async fn own_actions_without_a_dry_run_refuse_one() {
    let mut world = TestServer::empty(Settings::default());
    world.root_account(ACCOUNT).await;
    let root = world.keys.keys().next().unwrap().clone();
    let create = (EDGESEAL, "CreateAccount");
    for dry in ["true", "maybe"] {
        let before = world.dump().await;
        let params = [("AccountName", "new"), ("DryRun", dry)];
        let refused = call(&world, &root, create, &params).await;
        assert_eq!(error_of(&refused).0, "InvalidParameter.Format");
        let detail = refused["Detail"].as_str().unwrap();
        assert!(
            detail.starts_with("CreateAccount has no dry run"),
            "{detail}"
        );
        assert_eq!(world.dump().await, before);
    }
    let params = [("AccountName", "new"), ("DryRun", "false")];
    let created = call(&world, &root, create, &params).await;
    assert_eq!(created.get("Code"), None, "{created}");
    // This is a read by its rights, but would send.
    let sent = call(
        &world,
        &root,
        (EDGESEAL, "TestAlarm"),
        &[("DryRun", "true")],
    )
    .await;
    assert_eq!(error_of(&sent).0, "InvalidParameter.Format");
    // The cloud's actions ignore what they do not know.
    let read = (CDN, "DescribeUserDomains");
    let listed = call(&world, &root, read, &[("DryRun", "true")]).await;
    assert_eq!(listed.get("Code"), None, "{listed}");
}

#[tokio::test]
async fn a_refused_dry_run_is_audited_as_one() {
    const SET: (&str, &str) = (CDN, "SetCdnDomainSSLCertificate");
    let (mut world, tasks) = TestServer::with_tasks(Settings::default());
    world.account(ACCOUNT, "own").await;
    world.user(ACCOUNT, "nobody", &[]).await;
    let tasks = tokio::spawn(tasks);
    let real = [("DomainName", "a.example.com")];
    let dry = [real[0], ("DryRun", "true")];
    for (who, params, code) in [
        ("own", &dry[..], "InvalidDomain.NotFound"),
        ("own", &real[..], "InvalidDomain.NotFound"),
        ("nobody", &dry[..], "NoPermission"),
    ] {
        let response = call(&world, who, SET, params).await;
        assert_eq!(error_of(&response).0, code);
    }
    // Dropping the context stops the writer after it has written everything pending.
    let catalog = world.context.catalog.clone();
    drop(world);
    tasks.await.unwrap();
    let mut world = TestServer::empty(Settings::default());
    world.context.catalog = catalog;
    let records = world.audit(ACCOUNT).await.into_iter();
    let of_calls = records.filter(|record| record.action == SET.1);
    let is_marked = |notes: &[String]| notes.iter().any(|note| note.starts_with("dry run"));
    let mut marked: Vec<(String, bool)> = of_calls
        .map(|record| (record.code, is_marked(&record.notes)))
        .collect();
    marked.sort();
    let expected = [
        ("InvalidDomain.NotFound", false),
        ("InvalidDomain.NotFound", true),
        ("NoPermission", true),
    ];
    assert_eq!(marked, expected.map(|(code, dry)| (code.to_owned(), dry)));
}
