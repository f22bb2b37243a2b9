//! What one node decided holds at every other one with the next call.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Cluster, at};
use crate::harness::{
    ApiClient, CDN_VERSION, Origin, RAM, SET, STS, Scheme, Server, SignedCall, add_params,
    pki::AUTHORITY, raw, upload_params,
};

const READ: (&str, &str) = (CDN_VERSION, "DescribeUserDomains");

/// A user of the account, with its access key.
async fn create_user(account: &ApiClient) -> ApiClient {
    let named = [("UserName", "bot")];
    account.ok(RAM, "CreateUser", &named).await;
    let made = account.ok(RAM, "CreateAccessKey", &named).await;
    account.as_user(&made["AccessKey"])
}

async fn refusal(api: &ApiClient) -> String {
    api.refused(READ.0, READ.1, &[]).await.code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_made_once_whichever_node_hears_it_again() {
    let cluster = Cluster::new("nonces");
    let [one, two] = cluster.start();
    let (api, origin) = (one.create_account("alice").await, Origin::start().await);
    let sources = origin.sources();
    let name = "www.nonce.example";
    let calls = [Scheme::V1, Scheme::V3].map(|scheme| {
        let params = add_params(name, &sources);
        SignedCall::new(
            scheme,
            api.access_key(),
            (CDN_VERSION, "AddCdnDomain"),
            &params,
        )
        .to_bytes()
    });
    for call in &calls {
        let first = raw::send_raw(one.addresses().api, call).await;
        assert_eq!(first.status, 200, "{}", first.body);
        // What the change made is gone; the replay is refused nevertheless.
        api.call_on_domain("DeleteCdnDomain", name).await;
        for node in [&two, &one, &two] {
            let again = raw::send_raw(node.addresses().api, call).await;
            assert_eq!(again.code(), "SignatureNonceUsed");
        }
    }
    // At both nodes at once: one of them makes it.
    api.add(name, &origin).await;
    let pem = AUTHORITY.issue(&[name]);
    let params = upload_params(name, &pem);
    let call =
        SignedCall::new(Scheme::V3, api.access_key(), (CDN_VERSION, SET), &params).to_bytes();
    let (left, right) = tokio::join!(
        raw::send_raw(one.addresses().api, &call),
        raw::send_raw(two.addresses().api, &call)
    );
    let succeeded = [&left, &right].iter().filter(|it| it.status == 200).count();
    assert_eq!(succeeded, 1, "{} {}", left.body, right.body);
    let refused = if left.status == 200 { right } else { left };
    assert_eq!(refused.code(), "SignatureNonceUsed");
    one.stop();
    two.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_unique_over_nodes() {
    let cluster = Cluster::new("ids");
    let [one, two] = cluster.start();
    let (api, origin) = (one.create_account("alice").await, Origin::start().await);
    let other = at(&two, &api);
    let add = async |api: &ApiClient, node: &str| {
        for n in 0..5 {
            api.add(&format!("{node}{n}.ids.example"), &origin).await;
        }
    };
    tokio::join!(add(&api, "a"), add(&other, "b"));
    let listed = api.ok(READ.0, READ.1, &[]).await;
    let domains = listed["Domains"]["PageData"].as_array().unwrap();
    let ids: BTreeSet<String> = domains
        .iter()
        .map(|domain| domain["DomainId"].to_string())
        .collect();
    assert_eq!((domains.len(), ids.len()), (10, 10), "{listed}");
    one.stop();
    two.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_were_taken_away_are_gone_at_every_node() {
    let cluster = Cluster::new("rights");
    let [one, two] = cluster.start();
    let account = one.create_account("alice").await;
    let user = create_user(&account).await;
    let other = at(&two, &user);
    assert_eq!(refusal(&other).await, "NoPermission");
    let attachment = [
        ("PolicyType", "System"),
        ("PolicyName", "AliyunCDNReadOnlyAccess"),
        ("UserName", "bot"),
    ];
    for _ in 0..3 {
        account.ok(RAM, "AttachPolicyToUser", &attachment).await;
        other.ok(READ.0, READ.1, &[]).await;
        account.ok(RAM, "DetachPolicyFromUser", &attachment).await;
        assert_eq!(refusal(&other).await, "NoPermission");
    }
    account.ok(RAM, "AttachPolicyToUser", &attachment).await;
    other.ok(READ.0, READ.1, &[]).await;
    // Its access key.
    let key = user.key.clone();
    let set = async |api: &ApiClient, status: &str| {
        let params = [
            ("UserName", "bot"),
            ("UserAccessKeyId", key.as_str()),
            ("Status", status),
        ];
        api.ok(RAM, "UpdateAccessKey", &params).await;
    };
    set(&account, "Inactive").await;
    assert_eq!(refusal(&other).await, "InvalidAccessKeyId.Inactive");
    set(&at(&two, &account), "Active").await;
    user.ok(READ.0, READ.1, &[]).await;
    one.stop();
    two.stop();
}

/// A role that the account itself may assume, and that may read.
async fn create_role(account: &ApiClient) -> String {
    let trust = json!({"Version": "1", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"RAM": [format!("acs:ram::{}:root", account.account)]},
    }]});
    let role = [
        ("RoleName", "deploy"),
        ("AssumeRolePolicyDocument", &trust.to_string()),
    ];
    account.ok(RAM, "CreateRole", &role).await;
    let attachment = [
        ("PolicyType", "System"),
        ("PolicyName", "AliyunCDNReadOnlyAccess"),
        ("RoleName", "deploy"),
    ];
    account.ok(RAM, "AttachPolicyToRole", &attachment).await;
    format!("acs:ram::{}:role/deploy", account.account)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_one_at_every_node() {
    let cluster = Cluster::new("sessions");
    let [one, two] = cluster.start();
    let account = one.create_account("alice").await;
    let arn = create_role(&account).await;
    let user = create_user(&account).await;
    let assume = json!({"Version": "1", "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": arn},
    ]});
    let policy = [
        ("PolicyName", "assume"),
        ("PolicyDocument", &assume.to_string()),
    ];
    account.ok(RAM, "CreatePolicy", &policy).await;
    let attachment = [
        ("PolicyType", "Custom"),
        ("PolicyName", "assume"),
        ("UserName", "bot"),
    ];
    account.ok(RAM, "AttachPolicyToUser", &attachment).await;
    let params = [("RoleArn", arn.as_str()), ("RoleSessionName", "ci")];
    let begun = user.ok(STS, "AssumeRole", &params).await;
    let session = |node: &Server| at(node, &account).as_user(&begun["Credentials"]);
    for node in [&one, &two] {
        session(node).ok(READ.0, READ.1, &[]).await;
    }
    // Deleted at the other one.
    let detached = [
        ("PolicyType", "System"),
        ("PolicyName", "AliyunCDNReadOnlyAccess"),
        ("RoleName", "deploy"),
    ];
    let there = at(&two, &account);
    there.ok(RAM, "DetachPolicyFromRole", &detached).await;
    assert_eq!(refusal(&session(&one)).await, "NoPermission");
    there.ok(RAM, "DeleteRole", &[("RoleName", "deploy")]).await;
    for node in [&one, &two] {
        let code = refusal(&session(node)).await;
        assert!(code.starts_with("InvalidSecurityToken."), "{code}");
    }
    one.stop();
    two.stop();
}
