//! A walk over all actions: what another account calls with names and numbers of this one is
//! answered as with names and numbers that are nowhere, and leaves no trace.

use std::collections::BTreeSet;

use edgeseal_api::{
    actions::{ACTIONS, Access, Action},
    operation::Run,
};
use edgeseal_core::policy::Sphere;
use rcgen::{CertificateSigningRequestParams, Issuer};
use serde_json::Value;

use super::{
    HERS, NOBODYS,
    members::join,
    rows::{ANY, FRESH, OK, ROWS, Row, SHARED, Thing},
};
use crate::harness::{
    Api, Attempt, CAS, CDN, Origin, Pem, RAM, Scheme, Server,
    api::upload,
    pki::{AUTHORITY, block, valid_days},
    raw, unlimited,
};

const HIS: &str = "his.example.com";
/// The name of the certificate that is bound to [`HERS`].
const CERT_NAME: &str = "hers-bound";
/// What differs between any two answers: numbers, times, and texts made for the caller.
const OWN: [&str; 16] = [
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

/// What there is of an account, or what is nowhere.
struct Things {
    pem: Pem,
    /// For a signing request of the account.
    requested: String,
    cert_id: String,
    centre_id: String,
    config_id: String,
    domain: &'static str,
    cert_name: &'static str,
    account: String,
    access_key: String,
    /// Begins the names of its user, policy and role.
    name: &'static str,
    user_key: String,
    sealed: String,
    task: String,
    domain_id: String,
    job: String,
}

impl Things {
    /// Everything of an account that has everything.
    async fn of(owner: &Api, origin: &Origin) -> Self {
        owner.add(HERS, origin).await;
        let pem = AUTHORITY.issue(&[HERS]);
        let named = [&upload(HERS, &pem)[..], &[("CertName", CERT_NAME)]].concat();
        owner.ok(CDN, crate::harness::SET, &named).await;
        let functions = r#"[{"functionName":"https_force","functionArgs":[{"argName":"enable","argValue":"on"}]}]"#;
        let force = [("DomainNames", HERS), ("Functions", functions)];
        owner.ok(CDN, "BatchSetCdnDomainConfig", &force).await;
        let staged = [("DomainName", HERS), ("Functions", functions)];
        owner.ok(CDN, "SetCdnDomainStagingConfig", &staged).await;
        let tag = [
            ("ResourceType", "DOMAIN"),
            ("ResourceId.1", HERS),
            ("Tag.1.Key", "hers"),
            ("Tag.1.Value", "hers"),
        ];
        owner.ok(CDN, "TagResources", &tag).await;
        let common = [("CommonName", HERS), ("SANs", HIS)];
        let request = "CreateCdnCertificateSigningRequest";
        let request = owner.ok(CDN, request, &common).await;
        let request = request["Csr"].as_str().unwrap();
        let request = CertificateSigningRequestParams::from_pem(request).unwrap();
        let centre = AUTHORITY.issue(&[HERS]);
        let kept = [
            ("Name", "hers-kept"),
            ("Cert", &centre.chain),
            ("Key", &centre.key),
        ];
        let kept = owner.ok(CAS, "UploadUserCertificate", &kept).await;
        let (user_key, sealed) = identities(owner).await;
        let configs = [("DomainName", HERS)];
        let configs = owner.ok(CDN, "DescribeCdnDomainConfigs", &configs).await;
        let page = format!("http://{HERS}/");
        let path = [("ObjectPath", page.as_str())];
        let refreshed = owner.ok(CDN, "RefreshObjectCaches", &path).await;
        let cert_id = text(&owner.info(HERS).await["CertId"]);
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
            domain: HERS,
            cert_name: CERT_NAME,
            account: owner.account.clone(),
            access_key: owner.key.clone(),
            name: "hers",
            user_key,
            sealed,
        }
    }

    /// The same that is nowhere: of the same length and kind.
    fn nowhere(&self) -> Self {
        Self {
            // It says the same: only whose it is differs.
            pem: AUTHORITY.issue(&[HERS]),
            requested: AUTHORITY.issue(&[HERS, HIS]).chain,
            cert_id: another(&self.cert_id),
            centre_id: another(&self.centre_id),
            config_id: another(&self.config_id),
            domain: NOBODYS,
            cert_name: "none-bound",
            account: another(&self.account),
            access_key: another(&self.access_key),
            name: "none",
            user_key: another(&self.user_key),
            sealed: another(&self.sealed),
            task: another(&self.task),
            domain_id: another(&self.domain_id),
            job: another(&self.job),
        }
    }

    fn named(&self, thing: Thing) -> String {
        match thing {
            Thing::Domain => self.domain.to_owned(),
            Thing::Address => format!("{}/", self.domain),
            Thing::Task => self.task.clone(),
            Thing::DomainId => self.domain_id.clone(),
            Thing::Job => self.job.clone(),
            Thing::CertName => self.cert_name.to_owned(),
            Thing::KeptName => self.cert_name.replace("bound", "kept"),
            Thing::CertId => self.cert_id.clone(),
            Thing::CentreId => self.centre_id.clone(),
            Thing::CentreIdentifier => format!("{}-cn-hangzhou", self.centre_id),
            Thing::Pem => self.pem.chain.clone(),
            Thing::Requested => self.requested.clone(),
            Thing::ConfigId => self.config_id.clone(),
            Thing::Account => self.account.clone(),
            Thing::AccessKey => self.access_key.clone(),
            Thing::User => format!("{}-user", self.name),
            Thing::UserKey => self.user_key.clone(),
            Thing::Policy => format!("{}-policy", self.name),
            Thing::Role => format!("{}-role", self.name),
            Thing::RoleList => format!(r#"["{}-role"]"#, self.name),
            Thing::RoleArn => format!("acs:ram::{}:role/{}-role", self.account, self.name),
            Thing::Sealed => self.sealed.clone(),
            Thing::Principal => format!("acs:ram::{}:root", self.account),
        }
    }

    /// Texts that nobody else is shown unless he says them himself.
    fn marks(&self) -> [&str; 5] {
        [
            self.domain,
            self.cert_name,
            "hers-kept",
            &self.account,
            &self.access_key,
        ]
    }
}

/// A user with a key, a policy and a role; the id of the key, and the sealed reason of a refusal.
async fn identities(owner: &Api) -> (String, String) {
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

/// What an authority makes of a signing request, in PEM.
fn certify(mut request: CertificateSigningRequestParams) -> String {
    valid_days(&mut request.params, -1, 60);
    request.params.use_authority_key_identifier_extension = true;
    let authority = &AUTHORITY.intermediate;
    let issuer = Issuer::from_params(&authority.params, &authority.key);
    let leaf = request.signed_by(&issuer).unwrap().der().to_vec();
    format!("{}{}", block("CERTIFICATE", &leaf), authority.pem())
}

fn text(value: &Value) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    assert!(text.len() > 2 && text != "null", "no number: {text}");
    text
}

/// Another number or id: the last octets count on by themselves.
fn another(id: &str) -> String {
    let end = id.char_indices().rev().nth(2).unwrap().0;
    let turned = id[end..].chars().map(|c| match c {
        '0'..='8' | 'a'..='y' | 'A'..='Y' => char::from(u8::try_from(c).unwrap() + 1),
        _ => '1',
    });
    format!("{}{}", &id[..end], turned.collect::<String>())
}

/// Status and body without what is made for each call and what the caller himself said.
async fn answer(server: &Server, caller: &Api, row: &Row, things: &Things) -> (u16, Value) {
    let named = row.by.map(|(name, thing)| (name, things.named(thing)));
    let fresh = AUTHORITY.issue(&[HIS]);
    let further = row.further.iter().map(|(name, value)| match *value {
        "{chain}" => (*name, fresh.chain.as_str()),
        "{key}" => (*name, fresh.key.as_str()),
        value => (*name, value),
    });
    let mut params: Vec<(&str, &str)> = further.collect();
    params.extend(named.iter().map(|(name, value)| (*name, value.as_str())));
    let attempt = Attempt::new(Scheme::V3, caller, (row.version, row.action), &params);
    let answer = raw::exchange(server.addresses().api, &attempt.octets()).await;
    let mut body: Value = serde_json::from_str(&answer.body).unwrap();
    // Of an address the host is said again, of a list the name in it.
    let around = ['[', ']', '"', '/'];
    let said = named.as_ref().map(|(_, value)| value.trim_matches(around));
    blank(&mut body, said);
    (answer.status, body)
}

fn blank(value: &mut Value, named: Option<&str>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if OWN.contains(&name.as_str()) {
                    *field = Value::Null;
                }
                blank(field, named);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| blank(item, named)),
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

/// What is wrong with the answers to a call about hers and about nothing.
fn wrong(
    row: &Row,
    told: &str,
    hers: &Things,
    (of_hers, of_nothing): (&(u16, Value), &(u16, Value)),
) -> Option<String> {
    let shown = of_hers.1.to_string();
    // Who sends the certificate itself may read it again.
    let says_all = matches!(row.by, Some((_, Thing::Pem | Thing::Requested)));
    let mut marks = hers.marks().into_iter();
    if let Some(mark) = marks.find(|mark| !says_all && shown.contains(mark)) {
        return Some(format!("is shown {mark}: {shown}"));
    }
    if told == SHARED {
        return None;
    }
    let code = of_hers.1["Code"].as_str().unwrap_or(OK);
    if code != told {
        return Some(format!("is told {shown}, not {told:?}"));
    }
    (of_hers != of_nothing).then(|| format!("is told {of_hers:?} or {of_nothing:?}"))
}

/// All that the account can read of itself.
async fn view(server: &Server, owner: &Api, things: &Things) -> Vec<(&'static str, u16, Value)> {
    let mut seen = Vec::new();
    // The audit tells of these very calls, and what edges report moves by itself.
    let moving = ["DescribeAuditRecords", "DescribeRollout"];
    let rows = ROWS.iter().filter(|row| !moving.contains(&row.action));
    for row in rows.filter(|row| action(row).access == Access::Read) {
        let (status, body) = answer(server, owner, row, things).await;
        seen.push((row.action, status, body));
    }
    seen
}

fn action(row: &Row) -> &'static Action {
    let mut actions = ACTIONS.iter();
    let found = actions.find(|action| (action.version, action.name) == (row.version, row.action));
    found.unwrap_or_else(|| panic!("there is no {} {}", row.version, row.action))
}

/// Whether everybody may call it, whatever policies say.
fn is_open(row: &Row) -> bool {
    let action = action(row);
    action.sphere == Sphere::Caller || matches!(action.run, Run::Unsigned(_))
}

#[test]
fn every_action_has_a_row() {
    let rows: BTreeSet<_> = ROWS.iter().map(|row| (row.version, row.action)).collect();
    let actions: BTreeSet<_> = ACTIONS
        .iter()
        .map(|action| (action.version, action.name))
        .collect();
    let missing: Vec<_> = actions.difference(&rows).collect();
    assert!(
        missing.is_empty(),
        "how do these name things of others? {missing:?}"
    );
    let gone: Vec<_> = rows.difference(&actions).collect();
    assert!(gone.is_empty(), "no such actions: {gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_action_tells_what_is_anothers_from_what_is_nowhere() {
    let mut server = Server::start_with(&unlimited());
    let (alice, bob) = (server.account("alice").await, server.account("bob").await);
    let origin = Origin::start().await;
    let hers = Things::of(&alice, &origin).await;
    let nowhere = hers.nowhere();
    bob.add(HIS, &origin).await;
    assert_eq!(server.terminate().code(), Some(0));
    let helper = join(&server, &bob, "helper", Some("AdministratorAccess")).await;
    let guest = join(&server, &bob, "guest", None).await;
    server.launch();
    let client = |api: &Api| {
        let secret = String::from_utf8(api.secret.expose().to_vec()).unwrap();
        server.client_of(&api.account, &api.key, &secret)
    };
    let (alice, bob) = (client(&alice), client(&bob));
    let before = view(&server, &alice, &hers).await;
    let callers = [
        ("the account", bob),
        ("its administrator", helper.client(&server)),
        ("its guest", guest.client(&server)),
    ];
    let mut failures = Vec::new();
    // What is made new is shown to its own account afterwards.
    let (fresh, others): (Vec<_>, Vec<_>) = ROWS.iter().partition(|row| row.told == FRESH);
    for row in others.into_iter().chain(fresh) {
        for (who, caller) in &callers {
            let told = match row.told {
                FRESH if *who == "its administrator" => continue,
                _ if *who == "its guest" && !is_open(row) => "NoPermission",
                FRESH => OK,
                told => told,
            };
            let of_hers = answer(&server, caller, row, &hers).await;
            let of_nothing = answer(&server, caller, row, &nowhere).await;
            let why = wrong(row, told, &hers, (&of_hers, &of_nothing));
            failures.extend(
                why.map(|why| format!("{} {} {:?}, {who} {why}", row.version, row.action, row.by)),
            );
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(view(&server, &alice, &hers).await, before);
    server
        .assert_serves(HERS, &hers.pem.leaf, "after all of it")
        .await;
    server.stop();
}
