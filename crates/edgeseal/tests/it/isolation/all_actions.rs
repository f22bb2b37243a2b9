//! Calls every action from one account with the names and IDs of another: the responses equal those
//! for names and IDs that do not exist, and the calls have no effect.

use edgeseal_api::{
    actions::{ACTIONS, Access, Action},
    operation::Handler,
};
use edgeseal_core::policy::Scope;
use rcgen::{CertificateSigningRequestParams, Issuer};
use serde_json::Value;

use super::{
    OWNER_DOMAIN, UNKNOWN_DOMAIN,
    members::join,
    rows::{ANY, FRESH, OK, ROWS, ResourceKind, Row, SHARED, rows},
};
use crate::harness::{
    ApiClient, CAS, CDN_VERSION, Origin, RAM, Scheme, Server, SignedCall, TestCertificate,
    api::upload_params,
    pem,
    pki::{AUTHORITY, set_validity_days},
    raw, unlimited,
};

const CALLER_DOMAIN: &str = "his.example.com";
/// The name of the certificate that is bound to [`OWNER_DOMAIN`].
const CERT_NAME: &str = "hers-bound";
/// The members that differ between any two responses: IDs, times, and texts made for the caller.
const VOLATILE_MEMBERS: [&str; 16] = [
    "Scanned",
    "UserId",
    "RoleId",
    "CreateDate",
    "UpdateDate",
    "AttachDate",
    "AccessKeyId",
    "AccessKeySecret",
    "RequestId",
    "EncodedDiagnosticMessage",
    "Csr",
    "PubMd5",
    "CertId",
    "ResourceId",
    "CertStartTime",
    "CertExpireTime",
];

/// The resources of an account, or names and IDs of resources that do not exist.
struct Resources {
    pem: TestCertificate,
    /// Issued for a signing request of the account.
    requested: String,
    cert_id: String,
    centre_id: String,
    config_id: String,
    domain: &'static str,
    cert_name: &'static str,
    account: String,
    access_key: String,
    /// The prefix of the names of its user, policy and role.
    name: &'static str,
    user_key: String,
    sealed: String,
    task: String,
    domain_id: String,
    job: String,
}

impl Resources {
    /// Creates one resource of every kind in the account.
    async fn of(owner: &ApiClient, origin: &Origin) -> Self {
        owner.add(OWNER_DOMAIN, origin).await;
        let pem = AUTHORITY.issue(&[OWNER_DOMAIN]);
        let named = [
            &upload_params(OWNER_DOMAIN, &pem)[..],
            &[("CertName", CERT_NAME)],
        ]
        .concat();
        owner.ok(CDN_VERSION, crate::harness::SET, &named).await;
        let functions = r#"[{"functionName":"https_force","functionArgs":[{"argName":"enable","argValue":"on"}]}]"#;
        let force = [("DomainNames", OWNER_DOMAIN), ("Functions", functions)];
        owner
            .ok(CDN_VERSION, "BatchSetCdnDomainConfig", &force)
            .await;
        let staged = [("DomainName", OWNER_DOMAIN), ("Functions", functions)];
        owner
            .ok(CDN_VERSION, "SetCdnDomainStagingConfig", &staged)
            .await;
        let tag = [
            ("ResourceType", "DOMAIN"),
            ("ResourceId.1", OWNER_DOMAIN),
            ("Tag.1.Key", "hers"),
            ("Tag.1.Value", "hers"),
        ];
        owner.ok(CDN_VERSION, "TagResources", &tag).await;
        let common = [("CommonName", OWNER_DOMAIN), ("SANs", CALLER_DOMAIN)];
        let request = "CreateCdnCertificateSigningRequest";
        let request = owner.ok(CDN_VERSION, request, &common).await;
        let request = request["Csr"].as_str().unwrap();
        let request = CertificateSigningRequestParams::from_pem(request).unwrap();
        let centre = AUTHORITY.issue(&[OWNER_DOMAIN]);
        let kept = [
            ("Name", "hers-kept"),
            ("Cert", &centre.chain),
            ("Key", &centre.key),
        ];
        let kept = owner.ok(CAS, "UploadUserCertificate", &kept).await;
        let (user_key, sealed) = identities(owner).await;
        let configs = [("DomainName", OWNER_DOMAIN)];
        let configs = owner
            .ok(CDN_VERSION, "DescribeCdnDomainConfigs", &configs)
            .await;
        let page = format!("http://{OWNER_DOMAIN}/");
        let path = [("ObjectPath", page.as_str())];
        let refreshed = owner.ok(CDN_VERSION, "RefreshObjectCaches", &path).await;
        let cert_id = text(&owner.info(OWNER_DOMAIN).await["CertId"]);
        let resources = owner.ok(CAS, "ListCloudResources", &[]).await;
        let domain_id = text(&resources["Data"][0]["Id"]);
        let job = [
            ("Name", "hers"),
            ("JobType", "user"),
            ("CertIds", cert_id.as_str()),
            ("ResourceIds", domain_id.as_str()),
        ];
        let job = owner.ok(CAS, "CreateDeploymentJob", &job).await;
        Self {
            task: text(&refreshed["RefreshTaskId"]),
            job: text(&job["JobId"]),
            domain_id,
            cert_id,
            centre_id: text(&kept["CertId"]),
            config_id: text(&configs["DomainConfigs"]["DomainConfig"][0]["ConfigId"]),
            pem,
            requested: certify(request),
            domain: OWNER_DOMAIN,
            cert_name: CERT_NAME,
            account: owner.account.clone(),
            access_key: owner.key.clone(),
            name: "hers",
            user_key,
            sealed,
        }
    }

    /// Names and IDs of the same length and form that do not exist.
    fn nonexistent(&self) -> Self {
        Self {
            // The same names in a certificate that the account does not have.
            pem: AUTHORITY.issue(&[OWNER_DOMAIN]),
            requested: AUTHORITY.issue(&[OWNER_DOMAIN, CALLER_DOMAIN]).chain,
            cert_id: nonexistent_id(&self.cert_id),
            centre_id: nonexistent_id(&self.centre_id),
            config_id: nonexistent_id(&self.config_id),
            domain: UNKNOWN_DOMAIN,
            cert_name: "none-bound",
            account: nonexistent_id(&self.account),
            access_key: nonexistent_id(&self.access_key),
            name: "none",
            user_key: nonexistent_id(&self.user_key),
            sealed: nonexistent_id(&self.sealed),
            task: nonexistent_id(&self.task),
            domain_id: nonexistent_id(&self.domain_id),
            job: nonexistent_id(&self.job),
        }
    }

    fn value_of(&self, thing: ResourceKind) -> String {
        match thing {
            ResourceKind::Domain => self.domain.to_owned(),
            ResourceKind::Address => format!("{}/", self.domain),
            ResourceKind::Task => self.task.clone(),
            ResourceKind::DomainId => self.domain_id.clone(),
            ResourceKind::Job => self.job.clone(),
            ResourceKind::CertName => self.cert_name.to_owned(),
            ResourceKind::CentreName => self.cert_name.replace("bound", "kept"),
            ResourceKind::CertId => self.cert_id.clone(),
            ResourceKind::CentreId => self.centre_id.clone(),
            ResourceKind::CentreIdentifier => format!("{}-cn-hangzhou", self.centre_id),
            ResourceKind::Pem => self.pem.chain.clone(),
            ResourceKind::Requested => self.requested.clone(),
            ResourceKind::ConfigId => self.config_id.clone(),
            ResourceKind::Account => self.account.clone(),
            ResourceKind::AccessKey => self.access_key.clone(),
            ResourceKind::User => format!("{}-user", self.name),
            ResourceKind::UserKey => self.user_key.clone(),
            ResourceKind::Policy => format!("{}-policy", self.name),
            ResourceKind::Role => format!("{}-role", self.name),
            ResourceKind::RoleList => format!(r#"["{}-role"]"#, self.name),
            ResourceKind::RoleArn => format!("acs:ram::{}:role/{}-role", self.account, self.name),
            ResourceKind::Sealed => self.sealed.clone(),
            ResourceKind::Principal => format!("acs:ram::{}:root", self.account),
        }
    }

    /// Texts that only their owner sees, unless the caller sent them.
    fn identifiers(&self) -> [&str; 5] {
        [
            self.domain,
            self.cert_name,
            "hers-kept",
            &self.account,
            &self.access_key,
        ]
    }
}

/// Creates a user with a key, a policy and a role; returns the key's ID and the encoded reason of a
/// denial.
async fn identities(owner: &ApiClient) -> (String, String) {
    let user = [("UserName", "hers-user")];
    owner.ok(RAM, "CreateUser", &user).await;
    let made = owner.ok(RAM, "CreateAccessKey", &user).await;
    let policy = [("PolicyName", "hers-policy"), ("PolicyDocument", ANY)];
    owner.ok(RAM, "CreatePolicy", &policy).await;
    let (account, service) = (&owner.account, "acs:ram::{account}:root");
    let service = service.replace("{account}", account);
    let trust = format!(
        r#"{{"Version":"1","Statement":[{{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{{"RAM":["{service}"]}}}}]}}"#
    );
    let role = [
        ("RoleName", "hers-role"),
        ("AssumeRolePolicyDocument", &trust),
    ];
    owner.ok(RAM, "CreateRole", &role).await;
    for (action, kind, name) in [
        ("AttachPolicyToUser", "UserName", "hers-user"),
        ("AttachPolicyToRole", "RoleName", "hers-role"),
    ] {
        let params = [
            ("PolicyType", "Custom"),
            ("PolicyName", "hers-policy"),
            (kind, name),
        ];
        owner.ok(RAM, action, &params).await;
    }
    let key = &made["AccessKey"];
    let member = owner.as_user(key);
    let refused = member.refused(RAM, "ListUsers", &[]).await;
    let sealed = &refused.access_denied.unwrap()["EncodedDiagnosticMessage"];
    (text(&key["AccessKeyId"]), text(sealed))
}

/// The certificate that a CA issues for a signing request, in PEM.
fn certify(mut request: CertificateSigningRequestParams) -> String {
    set_validity_days(&mut request.params, -1, 60);
    request.params.use_authority_key_identifier_extension = true;
    let authority = &AUTHORITY.intermediate;
    let issuer = Issuer::from_params(&authority.params, &authority.key);
    let leaf = request.signed_by(&issuer).unwrap().der().to_vec();
    format!("{}{}", pem::encode("CERTIFICATE", &leaf), authority.pem())
}

fn text(value: &Value) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    assert!(text.len() > 2 && text != "null", "no ID: {text}");
    text
}

/// Another number or ID: increments each of the last three characters.
fn nonexistent_id(id: &str) -> String {
    let end = id.char_indices().rev().nth(2).unwrap().0;
    let turned = id[end..].chars().map(|c| match c {
        '0'..='8' | 'a'..='y' | 'A'..='Y' => char::from(u8::try_from(c).unwrap() + 1),
        _ => '1',
    });
    format!("{}{}", &id[..end], turned.collect::<String>())
}

/// Status and body without volatile members and without what the caller sent.
async fn answer(
    server: &Server,
    caller: &ApiClient,
    row: &Row,
    things: &Resources,
) -> (u16, Value) {
    let named = row
        .names
        .map(|(name, thing)| (name, things.value_of(thing)));
    let fresh = AUTHORITY.issue(&[CALLER_DOMAIN]);
    let further = row.extra_params.iter().map(|(name, value)| match *value {
        "{chain}" => (*name, fresh.chain.as_str()),
        "{key}" => (*name, fresh.key.as_str()),
        value => (*name, value),
    });
    let mut params: Vec<(&str, &str)> = further.collect();
    params.extend(named.iter().map(|(name, value)| (*name, value.as_str())));
    let attempt = SignedCall::new(
        Scheme::V3,
        caller.access_key(),
        (row.version, row.action),
        &params,
    );
    let answer = raw::send_raw(server.addresses().api, &attempt.to_bytes()).await;
    let mut body: Value = serde_json::from_str(&answer.body).unwrap();
    // For an address the response repeats the host, for a list the name in it.
    let around = ['[', ']', '"', '/'];
    let said = named.as_ref().map(|(_, value)| value.trim_matches(around));
    mask_volatile(&mut body, said);
    (answer.status, body)
}

fn mask_volatile(value: &mut Value, named: Option<&str>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if VOLATILE_MEMBERS.contains(&name.as_str()) {
                    *field = Value::Null;
                }
                mask_volatile(field, named);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask_volatile(item, named)),
        Value::String(text) => {
            if let Some(named) = named {
                *text = text.replace(named, "{named}");
            }
        }
        Value::Number(number) if Some(&*number.to_string()) == named => {
            *value = Value::from("{named}");
        }
        _ => {}
    }
}

/// How the response about the owner's resource differs from the one about a nonexistent resource.
fn differences(
    row: &Row,
    told: &str,
    hers: &Resources,
    (of_hers, of_nothing): (&(u16, Value), &(u16, Value)),
) -> Option<String> {
    let shown = of_hers.1.to_string();
    // A caller that sends the certificate itself may get it back.
    let says_all = matches!(
        row.names,
        Some((_, ResourceKind::Pem | ResourceKind::Requested))
    );
    let mut marks = hers.identifiers().into_iter();
    if let Some(mark) = marks.find(|mark| !says_all && shown.contains(mark)) {
        return Some(format!("is shown {mark}: {shown}"));
    }
    if told == SHARED {
        return None;
    }
    let code = of_hers.1["Code"].as_str().unwrap_or(OK);
    if code != told {
        return Some(format!("gets {shown}, not {told:?}"));
    }
    (of_hers != of_nothing).then(|| format!("gets {of_hers:?} or {of_nothing:?}"))
}

/// Everything that the account can read about itself.
async fn view(
    server: &Server,
    owner: &ApiClient,
    things: &Resources,
) -> Vec<(&'static str, u16, Value)> {
    let mut seen = Vec::new();
    // The audit log records these very calls, and edge reports change by themselves.
    let moving = ["DescribeAuditRecords", "DescribeRollout"];
    let mut rows = rows();
    rows.retain(|row| !moving.contains(&row.action) && action(row).access == Access::Read);
    for row in &rows {
        let (status, body) = answer(server, owner, row, things).await;
        seen.push((row.action, status, body));
    }
    seen
}

fn action(row: &Row) -> &'static Action {
    let mut actions = ACTIONS.iter();
    let found = actions.find(|action| row.is_of(action));
    found.unwrap_or_else(|| panic!("there is no {} {}", row.version, row.action))
}

/// Whether everyone may call it regardless of policies.
fn is_open(row: &Row) -> bool {
    let action = action(row);
    action.scope == Scope::Caller || matches!(action.handler, Handler::Unsigned(_))
}

#[test]
fn every_row_is_of_an_action() {
    for row in ROWS {
        action(row);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_action_reveals_whether_another_accounts_thing_exists() {
    let mut server = Server::start_with(&unlimited());
    let (alice, bob) = (
        server.create_account("alice").await,
        server.create_account("bob").await,
    );
    let origin = Origin::start().await;
    let hers = Resources::of(&alice, &origin).await;
    let nowhere = hers.nonexistent();
    bob.add(CALLER_DOMAIN, &origin).await;
    assert_eq!(server.terminate().code(), Some(0));
    let helper = join(&server, &bob, "helper", Some("AdministratorAccess")).await;
    let guest = join(&server, &bob, "guest", None).await;
    server.launch();
    let client = |api: &ApiClient| {
        let secret = String::from_utf8(api.secret.expose().to_vec()).unwrap();
        server.client_for(&api.account, &api.key, &secret)
    };
    let (alice, bob) = (client(&alice), client(&bob));
    let before = view(&server, &alice, &hers).await;
    let callers = [
        ("the account", bob),
        ("its administrator", helper.client(&server)),
        ("its guest", guest.client(&server)),
    ];
    let mut failures = Vec::new();
    // Its own account sees what the call created.
    let (fresh, others): (Vec<_>, Vec<_>) =
        rows().into_iter().partition(|row| row.expected == FRESH);
    for row in others.iter().chain(&fresh) {
        for (who, caller) in &callers {
            let told = match row.expected {
                FRESH if *who == "its administrator" => continue,
                _ if *who == "its guest" && !is_open(row) => "NoPermission",
                FRESH => OK,
                told => told,
            };
            let of_hers = answer(&server, caller, row, &hers).await;
            let of_nothing = answer(&server, caller, row, &nowhere).await;
            let why = differences(row, told, &hers, (&of_hers, &of_nothing));
            failures.extend(why.map(|why| {
                format!(
                    "{} {} {:?}, {who} {why}",
                    row.version, row.action, row.names
                )
            }));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(view(&server, &alice, &hers).await, before);
    server
        .assert_serves(OWNER_DOMAIN, &hers.pem.leaf, "after all of it")
        .await;
    server.stop();
}
