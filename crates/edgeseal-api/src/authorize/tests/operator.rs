//! Who can create and delete keys of the operator's account, and who may operate Edgeseal.

use edgeseal_core::policy::{
    self, AttachedPolicy, Decision, Policies, RequestContext, Resource, Scope, system,
};
use serde_json::{Value, json};

use super::super::resources;
use crate::{
    Settings,
    actions::ACTIONS,
    test_server::{Credentials, NOW, TestServer, allow, document, error_of, statement},
};

const ROOT: &str = "1000000000000001";
const TENANT: &str = "2000000000000002";
const OWN: &str = "2026-12-01";
const STS: &str = "2015-04-01";

/// The root account with a user and a role that may do everything, and a tenant.
async fn world() -> TestServer {
    let mut world = TestServer::empty(Settings::default());
    world.root_account(ROOT).await;
    world.account(TENANT, "tenant").await;
    let all = allow("*", "*");
    world.user(ROOT, "helper", &[&all]).await;
    let trust = json!({
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"RAM": format!("acs:ram::{ROOT}:root")},
    });
    let trust = document(&[trust]);
    world.role(ROOT, "all", &trust, 3600, Some(&all)).await;
    world
}

async fn session(world: &TestServer) -> Credentials {
    let role = format!("acs:ram::{ROOT}:role/all");
    let params = [("RoleArn", role.as_str()), ("RoleSessionName", "ci")];
    let helper = &world.keys["helper"];
    Credentials::from_reply(&world.call(helper, STS, "AssumeRole", &params).await)
}

fn key_of(response: &Value) -> &str {
    let id = &response["AccessKey"]["AccessKeyId"];
    id.as_str().unwrap_or_else(|| panic!("{response}"))
}

#[tokio::test]
async fn only_a_key_of_the_root_account_touches_its_keys() {
    let world = world().await;
    let root = &world.keys["root"];
    let made = world.call(root, OWN, "CreateAccessKey", &[]).await;
    let second = key_of(&made);
    let delegated = [world.keys["helper"].clone(), session(&world).await];
    for who in &delegated {
        for (action, params) in [
            ("CreateAccessKey", vec![]),
            ("CreateAccessKey", vec![("AccountId", ROOT)]),
            (
                "UpdateAccessKey",
                vec![("UserAccessKeyId", second), ("Status", "Inactive")],
            ),
            (
                "UpdateAccessKey",
                vec![
                    ("UserAccessKeyId", second),
                    ("Status", "Inactive"),
                    ("AccountId", ROOT),
                ],
            ),
            ("DeleteAccessKey", vec![("UserAccessKeyId", second)]),
            (
                "DeleteAccessKey",
                vec![("UserAccessKeyId", second), ("AccountId", ROOT)],
            ),
            // No such key exists in the other account.
            (
                "DeleteAccessKey",
                vec![("UserAccessKeyId", second), ("AccountId", TENANT)],
            ),
        ] {
            let response = world.call(who, OWN, action, &params).await;
            let (code, _) = error_of(&response);
            let is_elsewhere = params.contains(&("AccountId", TENANT));
            let expected = if is_elsewhere {
                "EntityNotExist.AccessKey"
            } else {
                "NoPermission"
            };
            assert_eq!(code, expected, "{action} {params:?}: {response}");
        }
        // Keys of a tenant may still be created and deleted.
        let made = world
            .call(who, OWN, "CreateAccessKey", &[("AccountId", TENANT)])
            .await;
        let key = [("UserAccessKeyId", key_of(&made)), ("AccountId", TENANT)];
        let deleted = world.call(who, OWN, "DeleteAccessKey", &key).await;
        assert_eq!(deleted.get("Code"), None, "{deleted}");
    }
    let params = [("UserAccessKeyId", second)];
    let deleted = world.call(root, OWN, "DeleteAccessKey", &params).await;
    assert_eq!(deleted.get("Code"), None, "{deleted}");
}

#[tokio::test]
async fn a_right_on_one_account_is_none_on_another() {
    let mut world = world().await;
    let tenant = format!("acs:edgeseal:*:{ROOT}:account/{TENANT}");
    world
        .user(ROOT, "support", &[&allow("edgeseal:*", &tenant)])
        .await;
    world.account("3000000000000003", "second").await;
    let support = &world.keys["support"];
    let made = world
        .call(support, OWN, "CreateAccessKey", &[("AccountId", TENANT)])
        .await;
    key_of(&made);
    for params in [
        vec![("AccountId", "3000000000000003")],
        vec![("AccountId", ROOT)],
        vec![],
    ] {
        let response = world.call(support, OWN, "CreateAccessKey", &params).await;
        assert_eq!(error_of(&response).0, "NoPermission", "{params:?}");
    }
    for (action, params) in [
        ("ListAccounts", vec![]),
        ("CreateAccount", vec![("AccountName", "x")]),
    ] {
        let response = world.call(support, OWN, action, &params).await;
        assert_eq!(error_of(&response).0, "NoPermission", "{action}");
    }
}

#[test]
fn an_administrator_does_everything_in_the_account_and_does_not_operate() {
    let administrator = system::find("AdministratorAccess").unwrap();
    let attached = [AttachedPolicy {
        name: administrator.name,
        document: administrator.document(),
    }];
    let policies = Policies {
        identity: &attached,
        session: None,
    };
    for action in ACTIONS.iter() {
        let request = policy::Request {
            action: action.permission,
            resources: &[Resource::new("*")],
            context: &RequestContext::new(NOW),
        };
        let decision: Decision = policy::evaluate(&policies, &request);
        let is_operators = action.scope == Scope::Operator;
        assert_eq!(
            decision.is_allowed(),
            !is_operators,
            "{}",
            action.permission
        );
    }
}

#[tokio::test]
async fn a_renamed_user_is_judged_by_both_names() {
    let mut world = world().await;
    let user = |name: &str| format!("acs:ram:*:*:user/{name}");
    let deny = json!({"Effect": "Deny", "Action": "ram:UpdateUser", "Resource": user("trusted")});
    let policy = document(&[statement("ram:UpdateUser", "*"), deny]);
    world.user(ROOT, "desk", &[&policy]).await;
    world.user(ROOT, "temp", &[]).await;
    let desk = &world.keys["desk"];
    for (old, new, code) in [
        ("temp", Some("trusted"), Some("NoPermission")),
        ("temp", Some("other"), None),
        ("other", None, None),
    ] {
        let mut params = vec![("UserName", old), ("NewComments", "c")];
        params.extend(new.map(|new| ("NewUserName", new)));
        let response = world.call(desk, "2015-05-01", "UpdateUser", &params).await;
        assert_eq!(response["Code"].as_str(), code, "{old} {new:?}: {response}");
    }
}

#[test]
fn permissions_of_cdn_and_dcdn_are_paired_as_the_actions_are() {
    for action in ACTIONS
        .iter()
        .filter(|action| action.permission.starts_with("dcdn:"))
    {
        let twin = crate::actions::equivalent_permission(action.permission).unwrap();
        assert!(
            ACTIONS.iter().any(|other| other.permission == twin),
            "{twin}"
        );
        assert_eq!(
            crate::actions::equivalent_permission(twin),
            Some(action.permission)
        );
        assert_eq!(format!("cdn:{}", action.rate_limit_key()), twin);
    }
    assert_eq!(resources::service("dcdn:X"), "dcdn");
}

/// The last call's audit records in both accounts: notes and access key.
async fn last(world: &TestServer, account: &str, action: &str) -> (String, Vec<String>, String) {
    let records = world.audit(account).await;
    let last = records.into_iter().rfind(|record| record.action == action);
    let last = last.unwrap_or_else(|| panic!("{account} has no record of {action}"));
    assert_eq!(last.code, "OK");
    (last.request_id, last.notes, last.access_key)
}

#[tokio::test]
async fn what_the_operator_does_to_a_tenant_is_in_both_audits() {
    let world = world().await;
    let root = &world.keys["root"];
    let domain = [
        ("DomainName", "a.example.com"),
        ("CdnType", "web"),
        (
            "Sources",
            r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#,
        ),
    ];
    let tenant = &world.keys["tenant"];
    let added = world
        .call(tenant, "2018-05-10", "AddCdnDomain", &domain)
        .await;
    assert_eq!(added.get("Code"), None, "{added}");
    let made = world
        .call(root, OWN, "CreateAccessKey", &[("AccountId", TENANT)])
        .await;
    let key = key_of(&made).to_owned();
    let named = [("UserAccessKeyId", &*key), ("AccountId", TENANT)];
    let inactive = [named[0], named[1], ("Status", "Inactive")];
    let mode = [("DomainName", "a.example.com"), ("Mode", "protected")];
    for (action, params, granted) in [
        ("CreateAccessKey", &[][..], format!("access key {key}")),
        (
            "UpdateAccessKey",
            &inactive[..],
            format!("access key {key}: inactive"),
        ),
        ("DeleteAccessKey", &named[..], String::new()),
        (
            "SetDomainMode",
            &mode[..],
            "mode protected, before normal".to_owned(),
        ),
    ] {
        if !params.is_empty() {
            let response = world.call(root, OWN, action, params).await;
            assert_eq!(response.get("Code"), None, "{action}: {response}");
        }
        let (request, notes, signed) = last(&world, ROOT, action).await;
        let (there, notes_there, signed_there) = last(&world, TENANT, action).await;
        assert_eq!(request, there, "{action}");
        assert_eq!(
            (signed, signed_there),
            (root.access_key.clone(), String::new())
        );
        assert!(notes.contains(&format!("recorded in the audit of {TENANT} as well")));
        assert!(notes_there.contains(&format!("called by account {ROOT}")));
        for notes in [notes, notes_there] {
            assert!(granted.is_empty() || notes.contains(&granted), "{notes:?}");
        }
    }
}

#[tokio::test]
async fn the_audit_tells_what_was_granted() {
    let world = world().await;
    let root = &world.keys["root"];
    let trust = |who: &str| {
        let principal = json!({"RAM": format!("acs:ram::{ROOT}:{who}")});
        document(&[json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal})])
    };
    let (first, second) = (trust("root"), trust("user/helper"));
    let attach = [
        ("PolicyType", "System"),
        ("PolicyName", "AliyunCDNFullAccess"),
        ("UserName", "helper"),
    ];
    let create = [("RoleName", "ci"), ("AssumeRolePolicyDocument", &*first)];
    let update = [
        ("RoleName", "ci"),
        ("NewAssumeRolePolicyDocument", &*second),
    ];
    for (action, params, granted) in [
        (
            "AttachPolicyToUser",
            &attach[..],
            "system policy AliyunCDNFullAccess".to_owned(),
        ),
        (
            "DetachPolicyFromUser",
            &attach[..],
            "system policy AliyunCDNFullAccess".to_owned(),
        ),
        ("CreateRole", &create[..], format!("trust policy: {first}")),
        ("UpdateRole", &update[..], format!("trust policy: {second}")),
    ] {
        let response = world.call(root, "2015-05-01", action, params).await;
        assert_eq!(response.get("Code"), None, "{action}: {response}");
        let (_, notes, _) = last(&world, ROOT, action).await;
        assert_eq!(notes, [granted], "{action}");
    }
    let made = world
        .call(
            root,
            "2015-05-01",
            "CreateAccessKey",
            &[("UserName", "helper")],
        )
        .await;
    let (_, notes, _) = last(&world, ROOT, "CreateAccessKey").await;
    assert_eq!(notes, [format!("access key {}", key_of(&made))]);
}

#[tokio::test]
async fn a_right_on_domains_shows_no_rollout_of_others() {
    let mut world = world().await;
    let right = "edgeseal:DescribeRollout";
    let on = |name: &str| format!("acs:edgeseal:*:{ROOT}:{name}");
    let secret = json!({"Effect": "Deny", "Action": "*", "Resource": on("domain/secret.example")});
    let (all, domains) = (on("*"), on("domain/*"));
    for (name, statements) in [
        ("domains", vec![statement(right, &domains)]),
        ("all", vec![statement(right, &all)]),
        ("restricted", vec![statement(right, &all), secret]),
    ] {
        world.user(ROOT, name, &[&document(&statements)]).await;
    }
    let added = [
        ("DomainName", "www.tenant.example"),
        ("CdnType", "web"),
        (
            "Sources",
            r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#,
        ),
    ];
    let tenant = &world.keys["tenant"];
    let response = world
        .call(tenant, "2018-05-10", "AddCdnDomain", &added)
        .await;
    assert_eq!(response.get("Code"), None, "{response}");
    let named = [("DomainName", "www.tenant.example")];
    for (who, sees) in [
        ("root", true),
        ("helper", true),
        ("all", true),
        ("domains", false),
        ("restricted", false),
    ] {
        let key = &world.keys[who];
        let fleet = world.call(key, OWN, "DescribeRollout", &[]).await;
        let of_tenant = world.call(key, OWN, "DescribeRollout", &named).await;
        let codes = [&fleet, &of_tenant].map(|response| response["Code"].as_str());
        let expected = if sees {
            [None, None]
        } else {
            [Some("MissingDomainName"), Some("InvalidDomain.NotFound")]
        };
        assert_eq!(codes, expected, "{who}: {fleet} {of_tenant}");
    }
}
