//! Policies that refer to certificates by their tags.

use serde_json::{Value, json};

use crate::{
    Settings,
    actions::{ACTIONS, ResourceKind},
    test_server::{TestServer, document, statement},
};

const ACCOUNT: &str = "1000000000000001";
const OTHER: &str = "2000000000000002";
const CDN: &str = "2018-05-10";
const CAS: &str = "2020-04-07";
const CAS_2018: &str = "2018-07-13";
const CAS_2018_08: &str = "2018-08-13";
const DOMAIN: &str = "a.example.com";
const JOB: &str = "CreateDeploymentJob";

/// An account with a domain, a certificate with the tag `env=prod` and one without, and a job with
/// both; returns their IDs.
struct Stage {
    world: TestServer,
    tagged: String,
    bare: String,
    both: String,
    domain: String,
    job: String,
}

async fn ok(world: &TestServer, who: &str, call: (&str, &str), params: &[(&str, &str)]) -> Value {
    let response = world.call(&world.keys[who], call.0, call.1, params).await;
    assert_eq!(
        response.get("Code"),
        None,
        "{call:?} {params:?}: {response}"
    );
    response
}

fn pem() -> (String, String) {
    let made = rcgen::generate_simple_self_signed([DOMAIN.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

async fn upload(world: &TestServer, who: &str, name: &str, tags: &[(&str, &str)]) -> String {
    let (chain, key) = pem();
    let params = [("Name", name), ("Cert", &*chain), ("Key", &*key)];
    let params = [&params[..], tags].concat();
    let made = ok(world, who, (CAS, "UploadUserCertificate"), &params).await;
    made["CertId"].to_string()
}

const PROD: &[(&str, &str)] = &[("Tags.1.Key", "env"), ("Tags.1.Value", "prod")];

fn job<'a>(certificates: &'a str, domain: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("Name", "renewal"),
        ("JobType", "user"),
        ("CertIds", certificates),
        ("ResourceIds", domain),
    ]
}

impl Stage {
    async fn new() -> Self {
        let mut world = TestServer::empty(Settings::default());
        world.account(ACCOUNT, "own").await;
        world.account(OTHER, "other").await;
        let sources = r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#;
        let add = [
            ("DomainName", DOMAIN),
            ("CdnType", "web"),
            ("Sources", sources),
        ];
        ok(&world, "own", (CDN, "AddCdnDomain"), &add).await;
        let resources = ok(&world, "own", (CAS, "ListCloudResources"), &[]).await;
        let domain = resources["Data"][0]["Id"].to_string();
        let tagged = upload(&world, "own", "tagged", PROD).await;
        let bare = upload(&world, "own", "bare", &[]).await;
        let both = format!("{bare},{tagged}");
        let made = ok(&world, "own", (CAS, JOB), &job(&both, &domain)).await;
        let job = made["JobId"].to_string();
        Self {
            world,
            tagged,
            bare,
            both,
            domain,
            job,
        }
    }

    /// Adds a user with these statements.
    async fn user(&mut self, name: &str, statements: &[Value]) {
        let policy = document(statements);
        self.world.user(ACCOUNT, name, &[&policy]).await;
    }

    async fn code(&self, who: &str, call: (&str, &str), params: &[(&str, &str)]) -> String {
        let who = &self.world.keys[who];
        let response = self.world.call(who, call.0, call.1, params).await;
        response["Code"].as_str().unwrap_or_default().to_owned()
    }
}

fn with_tag(effect: &str, operator: &str, action: &str) -> Value {
    json!({"Effect": effect, "Action": action, "Resource": "*",
        "Condition": {operator: {"acs:ResourceTag/env": "prod"}}})
}

/// The actions that name one certificate by its ID, with the parameter.
const BY_NUMBER: [(&str, &str, &str); 8] = [
    (CAS, "GetUserCertificateDetail", "CertId"),
    (CAS, "GetCertificateDetail", "CertificateId"),
    (CAS_2018, "DescribeUserCertificateDetail", "CertId"),
    (CDN, "DescribeCdnCertificateDetailById", "CertId"),
    (CDN, "DescribeCertificateInfoByID", "CertId"),
    (CAS_2018_08, "CreateCertificateName", "CertificateId"),
    (CAS, "DeleteUserCertificate", "CertId"),
    (CAS_2018, "DeleteUserCertificate", "CertId"),
];

#[tokio::test]
async fn a_deny_by_a_tag_reaches_the_certificate_that_a_call_names() {
    let mut stage = Stage::new().await;
    let deny = with_tag("Deny", "StringEquals", "*");
    stage.user("user", &[statement("*", "*"), deny]).await;
    let by_name = (CDN, "DescribeCdnCertificateDetail");
    for (name, code) in [
        ("tagged", "NoPermission"),
        ("bare", ""),
        ("none", "Certificate.NotFind"),
    ] {
        let told = stage.code("user", by_name, &[("CertName", name)]).await;
        assert_eq!(told, code, "{name}");
    }
    for (version, action, param) in BY_NUMBER {
        let call = (version, action);
        for spelt in ["ID", "ID-cn-hangzhou", " ID "] {
            let id = spelt.replace("ID", &stage.tagged);
            let params = [(param, id.as_str()), ("Name", "renamed")];
            let told = stage.code("user", call, &params).await;
            assert_eq!(told, "NoPermission", "{call:?} {params:?}");
        }
        let params = [(param, stage.bare.as_str()), ("Name", "renamed")];
        let told = stage.code("user", call, &params).await;
        assert_ne!(told, "NoPermission", "{call:?}");
    }
}

#[tokio::test]
async fn a_deny_by_a_tag_reaches_the_certificates_of_a_job() {
    let mut stage = Stage::new().await;
    let deny = with_tag("Deny", "StringEquals", "yundun-cert:*");
    stage.user("user", &[statement("*", "*"), deny]).await;
    for (certificates, code) in [(&stage.both, "NoPermission"), (&stage.bare, "")] {
        let params = job(certificates, &stage.domain);
        assert_eq!(stage.code("user", (CAS, JOB), &params).await, code);
    }
    let params = [("JobId", stage.job.as_str()), ("Status", "pending")];
    for action in ["UpdateDeploymentJobStatus", "DeleteDeploymentJob"] {
        let told = stage.code("user", (CAS, action), &params).await;
        assert_eq!(told, "NoPermission", "{action}");
    }
}

#[tokio::test]
async fn a_deny_by_a_tag_reaches_a_certificate_that_would_make_way() {
    let mut stage = Stage::new().await;
    let deny = with_tag("Deny", "StringEquals", "yundun-cert:*");
    stage.user("user", &[statement("*", "*"), deny]).await;
    for (name, code) in [("tagged", "Certificate.Duplicated"), ("bare", "")] {
        let (chain, key) = pem();
        let params = [
            ("DomainName", DOMAIN),
            ("CertName", name),
            ("ServerCertificateStatus", "on"),
            ("ServerCertificate", &chain),
            ("PrivateKey", &key),
            ("ForceSet", "1"),
        ];
        let set = (CDN, "SetDomainServerCertificate");
        assert_eq!(stage.code("user", set, &params).await, code, "{name}");
    }
}

#[tokio::test]
async fn a_tag_that_a_certificate_lacks_and_those_of_others_count_for_nothing() {
    let mut stage = Stage::new().await;
    // The inverse: everything except what has the tag.
    let deny = with_tag("Deny", "StringNotEquals", "yundun-cert:*");
    stage.user("only", &[statement("*", "*"), deny]).await;
    let allow = with_tag("Allow", "StringEquals", "*");
    stage.user("tagged", &[allow]).await;
    let others = upload(&stage.world, "other", "others", PROD).await;
    let read = (CAS, "GetUserCertificateDetail");
    for who in ["only", "tagged"] {
        for (id, code) in [
            (&stage.tagged, ""),
            (&stage.bare, "NoPermission"),
            (&others, "NoPermission"),
        ] {
            let told = stage.code(who, read, &[("CertId", id)]).await;
            assert_eq!(told, code, "{who} {id}");
        }
    }
    // A parameter that an action ignores names nothing.
    let (chain, key) = pem();
    let id = stage.tagged.as_str();
    let params = [
        ("CertId", id),
        ("CertIds", id),
        ("CertificateId", id),
        ("CertName", "tagged"),
        ("JobId", &stage.job),
        ("Name", "new"),
        ("Cert", &chain),
        ("Key", &key),
    ];
    for action in ["ListUserCertificateOrder", "UploadUserCertificate"] {
        let told = stage.code("tagged", (CAS, action), &params).await;
        assert_eq!(told, "NoPermission", "{action}");
    }
}

#[test]
fn every_action_of_the_centre_says_whether_it_names_a_certificate() {
    for action in ACTIONS.iter() {
        let by_number = BY_NUMBER.iter();
        let mut by_number = by_number.filter(|row| row.1 == action.name);
        if !matches!(action.resource, ResourceKind::Cas | ResourceKind::Service) {
            assert!(by_number.next().is_none(), "{}", action.name);
            continue;
        }
        match action.resource_param {
            // No value, a new one, or not a certificate.
            "" | "Name" | "CommonName" | "TaskId" | "CertIdentifier" | "CertName" | "JobId" => {}
            param => assert!(by_number.any(|row| row.2 == param), "{}", action.name),
        }
    }
}
