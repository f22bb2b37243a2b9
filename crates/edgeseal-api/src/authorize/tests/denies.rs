//! A `Deny` cannot be bypassed by another spelling of the same thing.

use serde_json::{Value, json};

use crate::{
    Settings,
    test_server::{TestServer, document, statement},
};

const ACCOUNT: &str = "1000000000000001";
const CDN: &str = "2018-05-10";
const DCDN: &str = "2018-01-15";
const CAS: &str = "2020-04-07";

fn deny(action: &str, resource: &str) -> Value {
    json!({"Effect": "Deny", "Action": action, "Resource": resource})
}

/// Whether a user who may do everything except what `deny` says is denied this call.
async fn denied(deny: Value, (version, action): (&str, &str), params: &[(&str, &str)]) -> bool {
    let mut world = TestServer::empty(Settings::default());
    world.account(ACCOUNT, "own").await;
    let policy = document(&[statement("*", "*"), deny]);
    world.user(ACCOUNT, "user", &[&policy]).await;
    let response = world
        .call(&world.keys["user"], version, action, params)
        .await;
    response["Code"] == "NoPermission"
}

#[tokio::test]
async fn cdn_and_dcdn_have_the_same_domains() {
    let set = (CDN, "SetCdnDomainSSLCertificate");
    let set_dcdn = (DCDN, "SetDcdnDomainSSLCertificate");
    let delete = (CDN, "DeleteCdnDomain");
    let publish = (CDN, "PublishStagingConfigToProduction");
    let list = (CDN, "DescribeUserDomains");
    let list_dcdn = (DCDN, "DescribeDcdnUserDomains");
    let x = "acs:cdn:*:*:domain/x.example.com";
    let dcdn_x = "acs:dcdn:*:*:domain/x.example.com";
    let (name, other) = ("x.example.com", "y.example.com");
    let import = ("2026-12-01", "ImportCertificate");
    for (error, deny, call, domain, expected) in [
        (
            "an import sets a certificate",
            deny("cdn:*", x),
            import,
            name,
            true,
        ),
        (
            "an import of another",
            deny("cdn:*", x),
            import,
            other,
            false,
        ),
        ("cdn", deny("cdn:*", x), set, name, true),
        (
            "cdn, called as dcdn",
            deny("cdn:*", x),
            set_dcdn,
            name,
            true,
        ),
        (
            "the action, called as dcdn",
            deny("cdn:SetCdn*", "*"),
            set_dcdn,
            name,
            true,
        ),
        (
            "dcdn, called as cdn",
            deny("dcdn:*", dcdn_x),
            set,
            name,
            true,
        ),
        (
            "the domain, called as cdn",
            deny("*", dcdn_x),
            delete,
            name,
            true,
        ),
        ("another domain", deny("cdn:*", x), set_dcdn, other, false),
        (
            "another action",
            deny("cdn:DeleteCdnDomain", x),
            set_dcdn,
            name,
            false,
        ),
        (
            "an action that dcdn has not",
            deny("dcdn:*", "*"),
            publish,
            name,
            false,
        ),
        (
            "lists",
            deny("cdn:DescribeUserDomains", "*"),
            list_dcdn,
            "",
            true,
        ),
        (
            "lists, called as cdn",
            deny("dcdn:Describe*", "acs:dcdn:*:*:domain/*"),
            list,
            "",
            true,
        ),
    ] {
        let params = [("DomainName", domain)];
        let params = if domain.is_empty() {
            &params[..0]
        } else {
            &params[..]
        };
        assert_eq!(denied(deny, call, params).await, expected, "{error}");
    }
}

#[tokio::test]
async fn not_action_and_not_resource_exempt_what_they_name() {
    let set = (CDN, "SetCdnDomainSSLCertificate");
    let set_dcdn = (DCDN, "SetDcdnDomainSSLCertificate");
    let all_but_cdn = json!({"Effect": "Deny", "NotAction": "cdn:*", "Resource": "*"});
    let x = "acs:cdn:*:*:domain/x.example.com";
    let all_but_x = json!({"Effect": "Deny", "Action": "*", "NotResource": x});
    let cdn_but_x = json!({"Effect": "Deny", "Action": "cdn:*", "NotResource": x});
    let (name, other) = ("x.example.com", "y.example.com");
    for (deny, call, domain, expected) in [
        (&all_but_cdn, set, name, false),
        (&all_but_cdn, set_dcdn, name, true),
        (&all_but_x, set, name, false),
        (&all_but_x, set, other, true),
        (&cdn_but_x, set, name, false),
        (&cdn_but_x, set_dcdn, name, false),
        (&cdn_but_x, set_dcdn, other, true),
    ] {
        let params = [("DomainName", domain)];
        let what = format!("{deny} {call:?} {domain}");
        assert_eq!(
            denied(deny.clone(), call, &params).await,
            expected,
            "{what}"
        );
    }
}

#[tokio::test]
async fn what_has_no_name_in_policies_is_denied_by_the_name_of_its_service() {
    let delete = (CAS, "DeleteUserCertificate");
    let verify = (CDN, "VerifyDomainOwner");
    for (resource, call, expected) in [
        ("*", delete, true),
        ("acs:yundun-cert:*:*:*", delete, true),
        ("acs:yundun-cert:*:1000000000000001:*", delete, true),
        (
            "acs:yundun-cert:cn-hangzhou:1000000000000001:certificate/7",
            delete,
            true,
        ),
        ("acs:yundun-cert:*:2000000000000002:*", delete, false),
        ("acs:cdn:*:*:*", delete, false),
        ("acs:cdn:*:*:domain/x.example.com", verify, true),
        ("acs:cdn:*:2000000000000002:*", verify, false),
    ] {
        let params = [("CertId", "7"), ("DomainName", "x.example.com")];
        let is_denied = denied(deny("*", resource), call, &params).await;
        assert_eq!(is_denied, expected, "{resource} {call:?}");
    }
    // An `Allow` grants no more than it says.
    let mut world = TestServer::empty(Settings::default());
    world.account(ACCOUNT, "own").await;
    let policy = document(&[statement("*", "acs:yundun-cert:*:*:*")]);
    world.user(ACCOUNT, "user", &[&policy]).await;
    let user = &world.keys["user"];
    let response = world
        .call(user, CAS, "DeleteUserCertificate", &[("CertId", "7")])
        .await;
    assert_eq!(response["Code"], "NoPermission");
}

#[tokio::test]
async fn domains_are_denied_however_the_policy_spells_them() {
    let stop = (CDN, "StopCdnDomain");
    for (spelt, name, expected) in [
        ("bücher.example.com", "xn--bcher-kva.example.com", true),
        ("BÜCHER.Example.com.", "bücher.example.com", true),
        ("*.bücher.example.com", "a.xn--bcher-kva.example.com", true),
        ("*.bücher.example.com", ".bücher.example.com", true),
        ("*.bücher.example.com", "bücher.example.com", false),
        ("x.example.com.", "x.example.com", true),
        ("*.example.com.", "x.example.com", true),
        ("x.example.com.", "y.example.com", false),
    ] {
        let resource = format!("acs:cdn:*:*:domain/{spelt}");
        let is_denied = denied(deny("cdn:*", &resource), stop, &[("DomainName", name)]).await;
        assert_eq!(is_denied, expected, "{spelt} {name}");
    }
}

#[tokio::test]
async fn a_spelling_that_matches_nothing_is_refused_when_the_policy_is_made() {
    let mut world = TestServer::empty(Settings::default());
    world.account(ACCOUNT, "own").await;
    let own = &world.keys["own"];
    for (number, spelt) in ["büch*.example.com", "*bücher.example.com", "*."]
        .into_iter()
        .enumerate()
    {
        let policy = document(&[deny("cdn:*", &format!("acs:cdn:*:*:domain/{spelt}"))]);
        let name = format!("p{number}");
        let params = [
            ("PolicyName", name.as_str()),
            ("PolicyDocument", policy.as_str()),
        ];
        let response = world.call(own, "2015-05-01", "CreatePolicy", &params).await;
        assert_eq!(
            response["Code"], "MalformedPolicyDocument",
            "{spelt}: {response}"
        );
    }
}

#[tokio::test]
async fn a_deny_applies_with_any_region_and_without_an_account() {
    const RAM: &str = "2015-05-01";
    const STS: &str = "2015-04-01";
    let role_arn = format!("acs:ram::{ACCOUNT}:role/r1");
    let domain = [("DomainName", "x.example.com")];
    let user = [("UserName", "boss")];
    let role = [("RoleName", "r1")];
    let assumed = [("RoleArn", role_arn.as_str()), ("RoleSessionName", "ci")];
    for (name, call, params) in [
        (
            "cdn ACCOUNT:domain/x.example.com",
            (CDN, "DescribeCdnDomainDetail"),
            &domain[..],
        ),
        ("ram ACCOUNT:user/boss", (RAM, "GetUser"), &user[..]),
        ("ram ACCOUNT:role/r1", (RAM, "GetRole"), &role[..]),
        ("ram ACCOUNT:role/r1", (STS, "AssumeRole"), &assumed[..]),
    ] {
        let (service, name) = name.split_once(' ').unwrap();
        for region in ["*", "", "cn-hangzhou", "cn-*"] {
            for account in [ACCOUNT, "*", ""] {
                let name = name.replace("ACCOUNT", account);
                let resource = format!("acs:{service}:{region}:{name}");
                let answered = denied(deny("*", &resource), call, params).await;
                assert!(answered, "{resource} {call:?}");
            }
        }
        let other = name.replace("ACCOUNT", "2000000000000002");
        let resource = format!("acs:{service}::{other}");
        assert!(
            !denied(deny("*", &resource), call, params).await,
            "{resource} {call:?}"
        );
    }
}
