//! Roles that users and sessions assume.

use edgeseal_store::session::Session;

use super::*;

const UNTRUSTED: (&str, &str) = (
    "NoPermission",
    "You are not authorized to do this action. You should be authorized by RAM.",
);

#[tokio::test]
async fn every_caller_may_call_get_caller_identity() {
    let world = TestServer::new().await;
    let opened = world
        .assume("dev", &[("RoleArn", &role_arn(OWN, "reader"))])
        .await;
    let session = Credentials::from_reply(&opened);
    for (who, identity) in [
        (
            &world.keys["own"],
            json!({"IdentityType": "Account", "AccountId": OWN, "PrincipalId": OWN, "UserId": OWN, "Arn": format!("acs:ram::{OWN}:root")}),
        ),
        (
            &world.keys["nobody"],
            json!({"IdentityType": "RAMUser", "AccountId": OWN, "PrincipalId": "id-of-nobody", "UserId": "id-of-nobody", "Arn": format!("acs:ram::{OWN}:user/nobody")}),
        ),
        (
            &session,
            json!({"IdentityType": "AssumedRoleUser", "AccountId": OWN, "PrincipalId": "id-of-reader:ci", "RoleId": "id-of-reader", "Arn": format!("acs:ram::{OWN}:assumed-role/reader/ci")}),
        ),
    ] {
        let mut response = world.identity(who).await;
        response
            .as_object_mut()
            .unwrap()
            .remove("RequestId")
            .unwrap();
        assert_eq!(response, identity);
    }
}

#[tokio::test]
async fn a_session_is_limited_by_its_role_and_its_policy() {
    let world = TestServer::new().await;
    let arn = role_arn(OWN, "reader");
    let opened = world
        .assume("dev", &[("RoleArn", &arn), ("DurationSeconds", "7200")])
        .await;
    assert_eq!(opened["Credentials"]["Expiration"], "2026-11-24T14:10:00Z");
    assert_eq!(
        opened["AssumedRoleUser"],
        json!({"Arn": format!("{arn}/ci"), "AssumedRoleId": "id-of-reader:ci"})
    );
    let session = Credentials::from_reply(&opened);
    let domains = async |who| {
        world
            .call(who, "2018-05-10", "DescribeUserDomains", &[])
            .await
    };
    assert!(domains(&session).await.get("Code").is_none());
    let write = [("DomainName", "a.example")];
    let denied = world
        .call(&session, "2018-05-10", "StopCdnDomain", &write)
        .await;
    assert_eq!(error_of(&denied).0, "NoPermission");
    assert_eq!(
        denied["AccessDeniedDetail"]["AuthPrincipalType"],
        "AssumedRoleUser"
    );
    let only_stop = allow("cdn:StopCdnDomain", "*");
    let narrow = world
        .assume("dev", &[("RoleArn", &arn), ("Policy", &only_stop)])
        .await;
    let narrow = Credentials::from_reply(&narrow);
    let denied = domains(&narrow).await;
    assert_eq!(denied["AccessDeniedDetail"]["PolicyType"], "SessionPolicy");
    let denied = world
        .call(&narrow, "2018-05-10", "StopCdnDomain", &write)
        .await;
    assert_eq!(
        error_of(&denied).0,
        "NoPermission",
        "a session cannot exceed its role"
    );
}

#[tokio::test]
async fn both_sides_must_agree() {
    let world = TestServer::new().await;
    let not_allowed = |resource: &str| {
        format!(
            "You are not authorized to do this action. Resource: {resource} Action: sts:AssumeRole"
        )
    };
    let root = ("NoPermission", "Roles may not be assumed by root accounts.");
    let none = ("EntityNotExist.Role", "The specified Role not exists.");
    let reader = role_arn(OWN, "reader");
    let (barred, nobody) = (not_allowed(&reader), not_allowed(&reader));
    for (who, account, role, error) in [
        ("own", OWN, "reader", root),
        ("own", OTHER, "nothing", root),
        ("nobody", OWN, "reader", ("NoPermission", nobody.as_str())),
        ("barred", OWN, "reader", ("NoPermission", barred.as_str())),
        ("dev", OWN, "nothing", none),
        // Outsiders cannot tell a closed role from one that does not exist.
        ("stranger", OWN, "reader", UNTRUSTED),
        ("stranger", OWN, "nothing", UNTRUSTED),
        ("barred", OTHER, "shared", UNTRUSTED),
        ("dev", OTHER, "closed", UNTRUSTED),
        ("dev", OTHER, "nothing", UNTRUSTED),
    ] {
        let response = world
            .assume(who, &[("RoleArn", &role_arn(account, role))])
            .await;
        assert_eq!(error_of(&response), error, "{who} to {role} of {account}");
    }
    let closed = world
        .assume("dev", &[("RoleArn", &role_arn(OTHER, "closed"))])
        .await;
    let nothing = world
        .assume("dev", &[("RoleArn", &role_arn(OTHER, "nothing"))])
        .await;
    assert_eq!(closed["Detail"], nothing["Detail"]);
    for (who, account, role) in [
        ("dev", OWN, "reader"),
        ("barred", OWN, "next"),
        ("dev", OTHER, "shared"),
    ] {
        let opened = world
            .assume(who, &[("RoleArn", &role_arn(account, role))])
            .await;
        let identity = world.identity(&Credentials::from_reply(&opened)).await;
        assert_eq!(identity["AccountId"], account, "{who} to {role}");
    }
}

#[tokio::test]
async fn an_external_id_is_what_the_trust_policy_says() {
    let world = TestServer::new().await;
    let arn = role_arn(OWN, "external");
    for (id, opens) in [
        (None, false),
        (Some("secret-8"), false),
        (Some("secret-7"), true),
    ] {
        let mut params = vec![("RoleArn", arn.as_str())];
        params.extend(id.map(|id| ("ExternalId", id)));
        let response = world.assume("dev", &params).await;
        assert_eq!(
            response.get("Credentials").is_some(),
            opens,
            "{id:?}: {response}"
        );
    }
    for (name, given, code) in [
        ("ExternalId", "x", "InvalidParameter.ExternalId"),
        ("ExternalId", "a b", "InvalidParameter.ExternalId"),
        ("SourceIdentity", "ü", "InvalidParameter.SourceIdentity"),
    ] {
        let response = world
            .assume("dev", &[("RoleArn", &arn), (name, given)])
            .await;
        assert_eq!(error_of(&response).0, code);
    }
}

#[tokio::test]
async fn a_session_opens_another_one_for_an_hour_at_most() {
    let world = TestServer::new().await;
    let first = world
        .assume("dev", &[("RoleArn", &role_arn(OWN, "reader"))])
        .await;
    let first = Credentials::from_reply(&first);
    let arn = role_arn(OWN, "next");
    let too_long = world
        .assume_as(&first, &[("RoleArn", &arn), ("DurationSeconds", "3601")])
        .await;
    assert_eq!(error_of(&too_long).0, "InvalidParameter.DurationSeconds");
    let detail = too_long["Detail"].as_str().unwrap();
    assert!(detail.contains("900 to 3600"), "{detail}");
    let opened = world
        .assume_as(&first, &[("RoleArn", &arn), ("DurationSeconds", "3600")])
        .await;
    let second = Credentials::from_reply(&opened);
    let identity = world.identity(&second).await;
    assert_eq!(identity["PrincipalId"], "id-of-next:ci");
    // The role `next` has no policies, so its session may do nothing.
    let denied = world
        .assume_as(&second, &[("RoleArn", &role_arn(OWN, "reader"))])
        .await;
    assert_eq!(error_of(&denied).0, "NoPermission");
}

#[tokio::test]
async fn a_token_belongs_to_its_key_and_its_time() {
    let world = TestServer::new().await;
    let arn = role_arn(OWN, "reader");
    let one = Credentials::from_reply(&world.assume("dev", &[("RoleArn", &arn)]).await);
    let two = Credentials::from_reply(&world.assume("dev", &[("RoleArn", &arn)]).await);
    let with = |token: Option<String>| Credentials {
        token,
        ..one.clone()
    };
    let keyring = world.context.catalog.keyring();
    let session = Session::open(one.token.as_ref().unwrap(), keyring).unwrap();
    let ended = Session {
        expires: NOW,
        ..session.clone()
    }
    .seal(keyring);
    let just_in_time = Session {
        expires: NOW.plus_ms(1),
        ..session.clone()
    }
    .seal(keyring);
    let remade = Session {
        role_id: "another".to_owned(),
        ..session
    }
    .seal(keyring);
    for (token, code) in [
        (None, Some("MissingSecurityToken")),
        (Some("x".to_owned()), Some("InvalidSecurityToken.Malformed")),
        (
            two.token.clone(),
            Some("InvalidSecurityToken.MismatchWithAccessKey"),
        ),
        (Some(ended), Some("InvalidSecurityToken.Expired")),
        (Some(remade), Some("InvalidSecurityToken.Expired")),
        (Some(just_in_time), None),
        (one.token.clone(), None),
    ] {
        let response = world.identity(&with(token)).await;
        assert_eq!(response["Code"].as_str(), code, "{response}");
    }
}

#[tokio::test]
async fn the_owner_of_a_role_sees_who_assumes_it_from_another_account() {
    let world = TestServer::new().await;
    let shared = role_arn(OTHER, "shared");
    let response = world.assume("dev", &[("RoleArn", &shared)]).await;
    let key = Credentials::from_reply(&response).access_key;
    let record = async |account| {
        let records = world.audit(account).await;
        let found = records
            .into_iter()
            .find(|record| record.action == "AssumeRole");
        found.unwrap()
    };
    let (own, theirs) = (record(OWN).await, record(OTHER).await);
    assert_eq!(own.request_id, theirs.request_id);
    assert_eq!(own.principal, format!("acs:ram::{OWN}:user/dev"));
    assert_eq!(own.principal, theirs.principal);
    assert!(
        theirs.notes.iter().any(|note| note.contains(&key)),
        "{theirs:?}"
    );
    assert_eq!(
        theirs.access_key, "",
        "the caller's key is not revealed to the other account"
    );
    // Within an account there is one record.
    world
        .assume("dev", &[("RoleArn", &role_arn(OWN, "next"))])
        .await;
    let all = world.audit(OWN).await;
    let assumed = all.iter().filter(|record| record.action == "AssumeRole");
    assert_eq!(assumed.count(), 2);
}

#[tokio::test]
async fn a_namesake_of_a_trusted_user_is_not_trusted() {
    const RAM: &str = "2015-05-01";
    let mut world = TestServer::new().await;
    let own = world.keys["own"].clone();
    let ram = async |world: &TestServer, action: &str, params: &[(&str, &str)]| {
        let response = world.call(&own, RAM, action, params).await;
        assert_eq!(
            response.get("Code"),
            None,
            "{action} {params:?}: {response}"
        );
        response
    };
    let any_role = allow("sts:AssumeRole", "acs:ram:*:*:role/*");
    world.user(OWN, "gone", &[]).await;
    let trust = trusting(&format!("acs:ram::{OWN}:user/gone"), &json!({}));
    let role = [("RoleName", "named"), ("AssumeRolePolicyDocument", &*trust)];
    ram(&world, "CreateRole", &role).await;
    let policy = [("PolicyName", "any-role"), ("PolicyDocument", &*any_role)];
    ram(&world, "CreatePolicy", &policy).await;
    let arn = role_arn(OWN, "named");
    let attach = [
        ("PolicyType", "Custom"),
        ("PolicyName", "any-role"),
        ("UserName", "gone"),
    ];
    ram(&world, "AttachPolicyToUser", &attach).await;
    let response = world.assume("gone", &[("RoleArn", &arn)]).await;
    assert_eq!(response.get("Code"), None, "{response}");
    // Deleted and created again.
    let old = world.keys["gone"].access_key.clone();
    ram(&world, "DetachPolicyFromUser", &attach).await;
    ram(
        &world,
        "DeleteAccessKey",
        &[("UserName", "gone"), ("UserAccessKeyId", &old)],
    )
    .await;
    ram(&world, "DeleteUser", &[("UserName", "gone")]).await;
    ram(&world, "CreateUser", &[("UserName", "gone")]).await;
    ram(&world, "AttachPolicyToUser", &attach).await;
    let made = ram(&world, "CreateAccessKey", &[("UserName", "gone")]).await;
    let text = |name: &str| made["AccessKey"][name].as_str().unwrap().to_owned();
    let namesake = Credentials {
        access_key: text("AccessKeyId"),
        secret: text("AccessKeySecret").into(),
        token: None,
    };
    let response = world.assume_as(&namesake, &[("RoleArn", &arn)]).await;
    assert_eq!(error_of(&response).0, "NoPermission", "{response}");
    // Naming it again grants it again.
    let again = [
        ("RoleName", "named"),
        ("NewAssumeRolePolicyDocument", &*trust),
    ];
    ram(&world, "UpdateRole", &again).await;
    let response = world.assume_as(&namesake, &[("RoleArn", &arn)]).await;
    assert_eq!(response.get("Code"), None, "{response}");
}
