//! Denied calls count against their caller only.

use edgeseal_core::rate::RateLimit;

use crate::{
    Settings,
    test_server::{TestServer, allow},
};

const ACCOUNT: &str = "1000000000000001";
const CDN: &str = "2018-05-10";

async fn world(denials: u32) -> TestServer {
    let mut world = TestServer::empty(Settings {
        denial_limit: RateLimit {
            calls: denials,
            per_ms: 60_000,
        },
        ..Settings::default()
    });
    world.account(ACCOUNT, "own").await;
    world.user(ACCOUNT, "denied", &[]).await;
    world
        .user(ACCOUNT, "reader", &[&allow("cdn:Describe*", "*")])
        .await;
    world
}

async fn list(world: &TestServer, who: &str) -> Option<String> {
    let response = world
        .call(&world.keys[who], CDN, "DescribeUserDomains", &[])
        .await;
    response["Code"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_key_without_rights_uses_up_its_own_calls_only() {
    // More calls than the account may make in a second.
    let world = world(200).await;
    for _ in 0..200 {
        assert_eq!(
            list(&world, "denied").await.as_deref(),
            Some("NoPermission")
        );
    }
    assert_eq!(
        list(&world, "denied").await.as_deref(),
        Some("Throttling.User")
    );
    for _ in 0..50 {
        assert_eq!(list(&world, "reader").await, None);
        assert_eq!(list(&world, "own").await, None);
    }
    // Allowed calls count as usual.
    assert_eq!(
        list(&world, "own").await.as_deref(),
        Some("Throttling.User")
    );
}

#[tokio::test]
async fn whoever_is_denied_too_often_waits_with_all_calls() {
    let world = world(3).await;
    let stop = [("DomainName", "x.example.com")];
    let reader = &world.keys["reader"];
    for _ in 0..3 {
        let response = world.call(reader, CDN, "StopCdnDomain", &stop).await;
        assert_eq!(response["Code"], "NoPermission");
    }
    let response = world.call(reader, CDN, "DescribeUserDomains", &[]).await;
    assert_eq!(response["Code"], "Throttling.User");
    let detail = response["Detail"].as_str().unwrap();
    assert!(detail.contains("without permission"), "{detail}");
}

#[tokio::test]
async fn a_key_in_the_wrong_parameter_does_not_reach_the_audit() {
    let world = TestServer::with_tasks(Settings::default());
    let (mut world, tasks) = world;
    world.account(ACCOUNT, "own").await;
    let tasks = tokio::spawn(tasks);
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let own = world.keys["own"].clone();
    let upload = [("Name", key.as_str()), ("Cert", "c"), ("Key", "k")];
    let response = world
        .call(&own, "2020-04-07", "UploadUserCertificate", &upload)
        .await;
    assert!(response["Code"].is_string(), "{response}");
    let bare: String = key.lines().filter(|line| !line.contains("---")).collect();
    let stop = [("DomainName", bare.as_str())];
    let response = world.call(&own, "2018-05-10", "StopCdnDomain", &stop).await;
    assert!(response["Code"].is_string(), "{response}");
    // Dropping the context stops the writer after it has written everything pending.
    let catalog = world.context.catalog.clone();
    drop(world);
    tasks.await.unwrap();
    let mut world = TestServer::empty(Settings::default());
    world.context.catalog = catalog;
    let mut seen = 0;
    for action in ["UploadUserCertificate", "StopCdnDomain"] {
        for record in world.audit(ACCOUNT).await {
            if record.action != action {
                continue;
            }
            seen += 1;
            let text = format!("{record:?}");
            for line in key.lines().filter(|line| !line.contains("---")) {
                assert!(!text.contains(line), "{text}");
            }
            assert_eq!(record.resource, "(a private key)");
        }
    }
    assert_eq!(seen, 2);
}
