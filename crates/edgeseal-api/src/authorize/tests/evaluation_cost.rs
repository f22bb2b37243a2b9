//! Slow policy evaluations do not block others.

use edgeseal_core::AccountId;
use futures_util::FutureExt as _;
use serde_json::json;

use crate::{
    Settings,
    test_server::{TestServer, allow, document, error_of, statement},
};

const ACCOUNT: &str = "1000000000000001";
const OTHER: &str = "2000000000000002";
const CDN: &str = "2018-05-10";
const CAS: &str = "2020-04-07";

/// A policy that denies a nonexistent resource with this many globs, none of which can be rejected
/// quickly.
fn slow(globs: usize) -> String {
    let globs = vec!["acs:*b?*"; globs];
    document(&[json!({"Effect": "Deny", "Action": "*", "Resource": globs})])
}

/// An account with a user whose policies evaluate slowly and one whose policies exceed the step
/// limit, and an account with a user whose policies evaluate quickly.
async fn world() -> TestServer {
    let mut world = TestServer::empty(Settings::default());
    world.account(ACCOUNT, "own").await;
    let (all, one) = (allow("*", "*"), slow(500));
    world.user(ACCOUNT, "slow", &[&all, &one]).await;
    let mut policies = vec![all.as_str()];
    policies.extend([one.as_str(); 19]);
    world.user(ACCOUNT, "slower", &policies).await;
    world.account(OTHER, "other").await;
    world.user(OTHER, "quick", &[&all]).await;
    world
}

fn names(count: usize) -> String {
    let names = (0..count).map(|at| format!("{at}.{}example.com", "a.".repeat(100)));
    names.collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn a_slow_evaluation_does_not_block_quick_ones() {
    let world = world().await;
    let names = names(50);
    let params = [("DomainNames", names.as_str())];
    let action = "BatchStopCdnDomain";
    let elsewhere = AccountId::parse("3000000000000003").unwrap();
    let turn = world.context.slow_decisions.acquire(&elsewhere).await;
    let mut long = Box::pin(world.call(&world.keys["slow"], CDN, action, &params));
    assert!(
        (&mut long).now_or_never().is_none(),
        "it waits for its turn"
    );
    let quick = world.call(&world.keys["quick"], CDN, action, &params).await;
    assert_eq!(error_of(&quick).0, "InvalidDomain.NotFound");
    let one = [("DomainNames", "a.example.com")];
    let short = world.call(&world.keys["slow"], CDN, action, &one).await;
    assert_eq!(error_of(&short).0, "InvalidDomain.NotFound");
    drop(turn);
    assert_eq!(error_of(&long.await).0, "InvalidDomain.NotFound");
}

#[tokio::test]
async fn a_decision_that_takes_too_long_is_a_refusal_that_says_so() {
    let world = world().await;
    let names = names(50);
    let params = [("DomainNames", names.as_str())];
    let slower = &world.keys["slower"];
    let response = world.call(slower, CDN, "BatchStopCdnDomain", &params).await;
    assert_eq!(error_of(&response).0, "NoPermission");
    let detail = response["Detail"].as_str().unwrap();
    assert!(detail.contains("takes more than 1000000 steps"), "{detail}");
    let kind = &response["AccessDeniedDetail"]["NoPermissionType"];
    assert_eq!(kind, "ImplicitDeny");
    let one = [("DomainNames", "a.example.com")];
    let response = world.call(slower, CDN, "BatchStopCdnDomain", &one).await;
    assert_eq!(error_of(&response).0, "InvalidDomain.NotFound");
}

#[tokio::test]
async fn an_invalid_name_costs_no_more_than_a_name() {
    let world = world().await;
    let long = vec!["a".repeat(2000) + "z"; 60].join(",");
    let params = [("DomainNames", long.as_str())];
    let action = "BatchStopCdnDomain";
    // Authorization still comes before validation, here for fifty names of the maximum length.
    let response = world.call(&world.keys["slow"], CDN, action, &params).await;
    assert_eq!(error_of(&response).0, "DomainNameOverLimit");
    let params = [("DomainNames", &long[..4003])];
    let response = world.call(&world.keys["slow"], CDN, action, &params).await;
    assert_eq!(error_of(&response).0, "InvalidDomainName.Malformed");
}

/// A policy that denies one action under so many conditions that it takes long to see that none
/// holds.
fn slow_only_for(action: &str) -> String {
    let globs = vec!["*b?*"; 700];
    let condition = json!({"StringLike": {"acs:CurrentTime": globs}});
    let deny = json!({"Effect": "Deny", "Action": action, "Resource": "*", "Condition": condition});
    document(&[deny])
}

#[tokio::test]
async fn further_permission_checks_wait_for_their_turn_too() {
    let mut world = TestServer::empty(Settings {
        return_private_keys: true,
        ..Settings::default()
    });
    world.root_account(ACCOUNT).await;
    let read = "edgeseal:GetPrivateKey";
    let all = document(&[statement("*", "*"), statement(read, "*")]);
    let slow = slow_only_for(read);
    let mut policies = vec![all.as_str()];
    policies.extend([slow.as_str(); 10]);
    world.user(ACCOUNT, "slow", &policies).await;
    let made = rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let upload = [("Name", "one"), ("Cert", &*chain), ("Key", &*key)];
    let slow = &world.keys["slow"];
    // Evaluations that every call needs are quick.
    let made = world
        .call(slow, CAS, "UploadUserCertificate", &upload)
        .await;
    let id = made["CertId"].to_string();
    let params = [("CertId", &*id)];

    let account = AccountId::parse(ACCOUNT).unwrap();
    let elsewhere = AccountId::parse(OTHER).unwrap();
    let turns = &world.context.slow_decisions;
    let turn = turns.acquire(&elsewhere).await;
    let mut call = Box::pin(world.call(slow, CAS, "GetUserCertificateDetail", &params));
    let asked = async {
        while !turns.is_asked_by(&account) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        response = &mut call => panic!("evaluated without waiting for its turn: {response}"),
        () = asked => {}
    }
    drop(turn);
    assert_eq!(call.await["Key"], key);
}
