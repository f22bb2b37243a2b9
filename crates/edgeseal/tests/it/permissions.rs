//! Least privilege, from the creation of a user to the explanation of a denial, through the API.

use serde_json::{Value, json};

use crate::harness::{
    ApiClient, CAS, CDN_VERSION, EDGESEAL, Origin, RAM, STS, Server, pki::AUTHORITY,
    server::binary, unlimited,
};

const OWN_DOMAIN: &str = "www.rights.example";
const OTHER_DOMAIN: &str = "www.forbidden.example";

/// A server with an account that has two domains.
struct PermissionFixture {
    server: Server,
    admin: ApiClient,
}

impl PermissionFixture {
    async fn new() -> Self {
        let server = Server::start_with(&unlimited());
        let origin = Origin::start().await;
        let admin = server.create_account("rights").await;
        admin.add(OWN_DOMAIN, &origin).await;
        admin.add(OTHER_DOMAIN, &origin).await;
        Self { server, admin }
    }

    fn address(&self) -> String {
        self.server.addresses().api.to_string()
    }

    /// Creates a user with an access key.
    async fn user(&self, name: &str) -> ApiClient {
        let named = [("UserName", name)];
        self.admin.ok(RAM, "CreateUser", &named).await;
        let made = self.admin.ok(RAM, "CreateAccessKey", &named).await;
        self.admin.as_user(&made["AccessKey"])
    }

    /// Creates a policy and attaches it to a user.
    async fn grant(&self, user: &str, policy: &str, document: &Value) {
        self.policy(policy, document).await;
        self.attach(user, policy).await;
    }

    async fn policy(&self, policy: &str, document: &Value) {
        let document = document.to_string();
        let params = [
            ("PolicyName", policy),
            ("PolicyDocument", document.as_str()),
        ];
        self.admin.ok(RAM, "CreatePolicy", &params).await;
    }

    async fn attach(&self, user: &str, policy: &str) {
        let params = policy_params(user, policy);
        self.admin.ok(RAM, "AttachPolicyToUser", &params).await;
    }

    fn domain(&self, name: &str) -> String {
        format!("acs:cdn:*:{}:domain/{name}", self.admin.account)
    }
}

fn policy_params<'a>(user: &'a str, policy: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("PolicyType", "Custom"),
        ("PolicyName", policy),
        ("UserName", user),
    ]
}

fn statement(effect: &str, action: &str, resource: &str) -> Value {
    json!({"Effect": effect, "Action": action, "Resource": resource})
}

fn document(statements: &[Value]) -> Value {
    json!({"Version": "1", "Statement": statements})
}

/// The code of a refusal, or an empty string.
async fn code(api: &ApiClient, version: &str, action: &str, params: &[(&str, &str)]) -> String {
    match api.call(version, action, params).await {
        Ok(_) => String::new(),
        Err(edgeseal_api::client::CallError::Api(refusal)) => refusal.code.clone(),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_minimal_policy_sets_one_domain_and_no_other() {
    let world = PermissionFixture::new().await;
    let bot = world.user("bot").await;
    let printed = binary()
        .args(["policy", "minimal", "--domain", OWN_DOMAIN, "--account"])
        .arg(&world.admin.account)
        .output()
        .unwrap();
    assert!(printed.status.success(), "{printed:?}");
    let minimal: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let pem = AUTHORITY.issue(&[OWN_DOMAIN, OTHER_DOMAIN]);

    // Without a policy, nothing is allowed.
    let params = crate::harness::upload_params(OWN_DOMAIN, &pem);
    let refused = bot.refused(CDN_VERSION, crate::harness::SET, &params).await;
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (403, "NoPermission")
    );
    assert_eq!(refused.detail, "no policy of user bot allows it");

    world.grant("bot", "minimal", &minimal).await;
    bot.set(OWN_DOMAIN, &pem).await.unwrap();
    world
        .server
        .assert_serves(OWN_DOMAIN, &pem.leaf, "set by a user")
        .await;

    let params = crate::harness::upload_params(OTHER_DOMAIN, &pem);
    let refused = bot.refused(CDN_VERSION, crate::harness::SET, &params).await;
    let resource = world.domain(OTHER_DOMAIN);
    assert_eq!(
        refused.message,
        format!(
            "You are not authorized to do this action. Resource: {resource} Action: cdn:SetCdnDomainSSLCertificate"
        )
    );
    let said = refused.access_denied.unwrap();
    let message = said["EncodedDiagnosticMessage"].as_str().unwrap();
    let user = world.admin.ok(RAM, "GetUser", &[("UserName", "bot")]).await;
    assert_eq!(
        said,
        json!({
            "AuthAction": "cdn:SetCdnDomainSSLCertificate",
            "AuthPrincipalType": "SubUser",
            "AuthPrincipalOwnerId": world.admin.account,
            "AuthPrincipalDisplayName": user["User"]["UserId"],
            "PolicyType": "AccountLevelIdentityBasedPolicy",
            "NoPermissionType": "ImplicitDeny",
            "EncodedDiagnosticMessage": message,
        })
    );
    assert!(!message.contains("minimal"), "a refusal names no policy");
    let sealed = [("EncodedDiagnosticMessage", message)];
    let opened = world
        .admin
        .ok(RAM, "DecodeDiagnosticMessage", &sealed)
        .await;
    let opened = &opened["DecodedDiagnosticMessage"];
    assert_eq!(opened["AuthResource"], resource);
    assert_eq!(
        (&opened["ExplicitDeny"], &opened["Reason"]),
        (&json!(false), &json!("no policy of user bot allows it"))
    );
    assert_eq!(
        code(&bot, RAM, "DecodeDiagnosticMessage", &sealed).await,
        "NoPermission"
    );
    let stranger = world.server.create_account("stranger").await;
    let refused = code(&stranger, RAM, "DecodeDiagnosticMessage", &sealed).await;
    assert_eq!(refused, "InvalidParameter.EncodedDiagnosticMessage");
    world.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_rights_end_at_once() {
    let world = PermissionFixture::new().await;
    let bot = world.user("bot").await;
    let all = document(&[statement("Allow", "*", "*")]);
    world.grant("bot", "all", &all).await;
    let admin = &world.admin;
    let look = async || {
        code(
            &bot,
            CDN_VERSION,
            "DescribeCdnDomainDetail",
            &[("DomainName", OWN_DOMAIN)],
        )
        .await
    };
    assert_eq!(look().await, "");

    let key = bot.key.as_str();
    let status = |status| {
        [
            ("UserName", "bot"),
            ("UserAccessKeyId", key),
            ("Status", status),
        ]
    };
    admin.ok(RAM, "UpdateAccessKey", &status("Inactive")).await;
    assert_eq!(look().await, "InvalidAccessKeyId.Inactive");
    admin.ok(RAM, "UpdateAccessKey", &status("Active")).await;
    assert_eq!(look().await, "");

    // A new version of the policy.
    let none = document(&[statement("Deny", "cdn:*", "*")]).to_string();
    let version = [
        ("PolicyName", "all"),
        ("PolicyDocument", none.as_str()),
        ("SetAsDefault", "true"),
    ];
    admin.ok(RAM, "CreatePolicyVersion", &version).await;
    assert_eq!(look().await, "NoPermission");
    let back = [("PolicyName", "all"), ("VersionId", "v1")];
    admin.ok(RAM, "SetDefaultPolicyVersion", &back).await;
    assert_eq!(look().await, "");

    admin
        .ok(RAM, "DetachPolicyFromUser", &policy_params("bot", "all"))
        .await;
    assert_eq!(look().await, "NoPermission");
    let named = [("UserName", "bot"), ("UserAccessKeyId", key)];
    admin.ok(RAM, "DeleteAccessKey", &named).await;
    assert_eq!(look().await, "InvalidAccessKeyId.NotFound");
    admin.ok(RAM, "DeleteUser", &[("UserName", "bot")]).await;
    assert_eq!(look().await, "InvalidAccessKeyId.NotFound");
    world.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_reaches_into_batches_tags_and_addresses() {
    let world = PermissionFixture::new().await;
    let (bot, admin) = (world.user("bot").await, &world.admin);
    let allow = statement("Allow", "cdn:*", "*");
    let deny = statement("Deny", "cdn:*", &world.domain(OTHER_DOMAIN));
    world
        .grant("bot", "but-one", &document(&[allow.clone(), deny]))
        .await;
    let both = format!("{OWN_DOMAIN},{OTHER_DOMAIN}");
    let functions =
        r#"[{"functionName":"https_option","functionArgs":[{"argName":"http2","argValue":"on"}]}]"#;
    let batch = |names| [("DomainNames", names), ("Functions", functions)];
    let refused = bot
        .refused(CDN_VERSION, "BatchSetCdnDomainConfig", &batch(&both))
        .await;
    assert!(
        refused.message.contains(&world.domain(OTHER_DOMAIN)),
        "{refused:?}"
    );
    assert_eq!(
        refused.detail,
        "statement 2 of policy but-one, which user bot has, denies it"
    );
    assert_eq!(
        refused.access_denied.unwrap()["NoPermissionType"],
        "ExplicitDeny"
    );
    bot.ok(CDN_VERSION, "BatchSetCdnDomainConfig", &batch(OWN_DOMAIN))
        .await;

    // Letter case and alternative spellings do not change which domain is meant.
    let shouted = OTHER_DOMAIN.to_uppercase();
    let looked = [("DomainName", shouted.as_str())];
    assert_eq!(
        code(&bot, CDN_VERSION, "DescribeCdnDomainDetail", &looked).await,
        "NoPermission"
    );

    let tagged = world.user("tagged").await;
    let by_tag = json!({
        "Effect": "Allow", "Action": "cdn:*", "Resource": "*",
        "Condition": {"StringEquals": {"acs:ResourceTag/team": "shop"}},
    });
    world.grant("tagged", "by-tag", &document(&[by_tag])).await;
    let looked = [("DomainName", OWN_DOMAIN)];
    assert_eq!(
        code(&tagged, CDN_VERSION, "DescribeCdnDomainDetail", &looked).await,
        "NoPermission"
    );
    let tag = [
        ("ResourceType", "DOMAIN"),
        ("ResourceId.1", OWN_DOMAIN),
        ("Tag.1.Key", "team"),
        ("Tag.1.Value", "shop"),
    ];
    admin.ok(CDN_VERSION, "TagResources", &tag).await;
    assert_eq!(
        code(&tagged, CDN_VERSION, "DescribeCdnDomainDetail", &looked).await,
        ""
    );

    let far = world.user("far").await;
    let from_elsewhere = json!({
        "Effect": "Allow", "Action": "cdn:*", "Resource": "*",
        "Condition": {"IpAddress": {"acs:SourceIp": "192.0.2.0/24"}},
    });
    world
        .grant("far", "from-elsewhere", &document(&[from_elsewhere]))
        .await;
    assert_eq!(
        code(&far, CDN_VERSION, "DescribeCdnDomainDetail", &looked).await,
        "NoPermission"
    );
    world.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn users_can_neither_escalate_nor_operate_edgeseal() {
    let world = PermissionFixture::new().await;
    let bot = world.user("bot").await;
    let cdn = document(&[statement("Allow", "cdn:*", "*")]);
    world.grant("bot", "cdn", &cdn).await;
    for (version, action, params) in [
        (RAM, "CreateUser", &[("UserName", "mallory")][..]),
        (RAM, "CreateAccessKey", &[("UserName", "bot")]),
        (RAM, "CreateAccessKey", &[]),
        (RAM, "ListUsers", &[]),
        (CAS, "ListUserCertificateOrder", &[]),
        (
            EDGESEAL,
            "ExplainDecision",
            &[("Permission", "cdn:X"), ("Resource", "*")],
        ),
    ] {
        assert_eq!(
            code(&bot, version, action, params).await,
            "NoPermission",
            "{action}"
        );
    }
    // Every right in an account that does not operate Edgeseal does not suffice either.
    world
        .grant("bot", "all", &document(&[statement("Allow", "*", "*")]))
        .await;
    let refused = bot.refused(EDGESEAL, "ListAccounts", &[]).await;
    assert_eq!(
        refused.detail,
        "only the root account, or an identity it permits, may do this"
    );
    // Any caller may ask for its own identity.
    let who = bot.ok(STS, "GetCallerIdentity", &[]).await;
    assert_eq!(
        who["Arn"],
        format!("acs:ram::{}:user/bot", world.admin.account)
    );
    world.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_narrowed_by_its_session() {
    let world = PermissionFixture::new().await;
    let (bot, admin) = (world.user("bot").await, &world.admin);
    let account = &admin.account;
    let trust = json!({"Version": "1", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"RAM": [format!("acs:ram::{account}:user/bot")]},
    }]});
    let trust = trust.to_string();
    let role = [
        ("RoleName", "deploy"),
        ("AssumeRolePolicyDocument", trust.as_str()),
    ];
    admin.ok(RAM, "CreateRole", &role).await;
    let all = document(&[statement("Allow", "cdn:*", "*")]);
    world.policy("cdn", &all).await;
    let attached = [
        ("PolicyType", "Custom"),
        ("PolicyName", "cdn"),
        ("RoleName", "deploy"),
    ];
    admin.ok(RAM, "AttachPolicyToRole", &attached).await;
    let arn = format!("acs:ram::{account}:role/deploy");
    let narrowed = document(&[statement("Allow", "cdn:*", &world.domain(OWN_DOMAIN))]).to_string();
    let assume = [
        ("RoleArn", arn.as_str()),
        ("RoleSessionName", "ci"),
        ("Policy", narrowed.as_str()),
    ];
    // The trust policy alone is not enough: the user needs the right to assume the role.
    assert_eq!(code(&bot, STS, "AssumeRole", &assume).await, "NoPermission");
    let may = document(&[statement("Allow", "sts:AssumeRole", &arn)]);
    world.grant("bot", "assume", &may).await;
    let session = bot.ok(STS, "AssumeRole", &assume).await;
    let session = admin.as_user(&session["Credentials"]);

    let pem = AUTHORITY.issue(&[OWN_DOMAIN, OTHER_DOMAIN]);
    session.set(OWN_DOMAIN, &pem).await.unwrap();
    world
        .server
        .assert_serves(OWN_DOMAIN, &pem.leaf, "set by a session")
        .await;
    let params = crate::harness::upload_params(OTHER_DOMAIN, &pem);
    let refused = session
        .refused(CDN_VERSION, crate::harness::SET, &params)
        .await;
    assert_eq!(
        refused.detail,
        "the policy of the session does not allow it"
    );
    let said = refused.access_denied.unwrap();
    assert_eq!(
        (
            &said["PolicyType"],
            &said["AuthPrincipalType"],
            &said["AuthPrincipalDisplayName"]
        ),
        (
            &json!("SessionPolicy"),
            &json!("AssumedRoleUser"),
            &json!("deploy:ci")
        )
    );

    // Deleting the role ends its sessions, even if a role of the same name is created.
    let detached = attached;
    admin.ok(RAM, "DetachPolicyFromRole", &detached).await;
    assert_eq!(
        code(&session, CDN_VERSION, "DescribeCdnService", &[]).await,
        "NoPermission"
    );
    admin.ok(RAM, "DeleteRole", &[("RoleName", "deploy")]).await;
    assert_eq!(
        code(&session, CDN_VERSION, "DescribeCdnService", &[]).await,
        "InvalidSecurityToken.Expired"
    );
    admin.ok(RAM, "CreateRole", &role).await;
    assert_eq!(
        code(&session, CDN_VERSION, "DescribeCdnService", &[]).await,
        "InvalidSecurityToken.Expired"
    );
    world.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn explanations_name_the_statement() {
    let world = PermissionFixture::new().await;
    world.user("bot").await;
    let deny = statement("Deny", "cdn:Delete*", &world.domain(OWN_DOMAIN));
    let allow = statement("Allow", "cdn:*", "*");
    world
        .grant("bot", "careful", &document(&[allow.clone(), deny.clone()]))
        .await;
    let explain = |line: &'static str| {
        let output = binary()
            .args(["explain", "--json", "--as", "bot"])
            .args(line.split(' '))
            .env("EDGESEAL_ENDPOINT", format!("http://{}", world.address()))
            .env("ALIBABA_CLOUD_ACCESS_KEY_ID", &world.admin.key)
            .env(
                "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
                String::from_utf8_lossy(world.admin.secret.expose()).as_ref(),
            )
            .output()
            .unwrap();
        let said = serde_json::from_slice::<Value>(&output.stdout).unwrap();
        let expected = i32::from(said["Decision"] != "Allowed");
        assert_eq!(output.status.code(), Some(expected), "{output:?}");
        said
    };
    let said = explain("--action DeleteCdnDomain --resource www.rights.example");
    assert_eq!(said["Decision"], "ExplicitDeny");
    assert_eq!(
        said["Reason"],
        "statement 2 of policy careful, which user bot has, denies it"
    );
    assert_eq!(said["Resource"], world.domain(OWN_DOMAIN));
    assert_eq!(said["Statement"], deny.to_string());
    let said = explain("--action cdn:StopCdnDomain --resource www.rights.example");
    assert_eq!(
        (&said["Decision"], &said["StatementNumber"]),
        (&json!("Allowed"), &json!(1))
    );
    let said = explain("--action ram:CreateUser --resource *");
    assert_eq!(said["Decision"], "ImplicitDeny");
    assert_eq!(said["Reason"], "no policy of user bot allows it");
    let unknown = [
        ("Permission", "cdn:X"),
        ("Resource", "*"),
        ("UserName", "nobody"),
    ];
    let refused = world
        .admin
        .refused(EDGESEAL, "ExplainDecision", &unknown)
        .await;
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (404, "EntityNotExist.User")
    );
    world.server.stop();
}
