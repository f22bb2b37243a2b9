//! No plaintext secret in files, log, audit records or metrics, nor in the memory of a process
//! beyond the keys that it has used.

use std::{fs, sync::Arc, time::Instant};

use edgeseal_core::{AccountId, certificate::Digest};
use edgeseal_store::{Keyring, catalog::Catalog, sqlite::SqliteSnapshot};
use rcgen::{CertificateSigningRequestParams, PublicKeyData as _};
use serde_json::json;

use crate::{
    audit::records,
    harness::{
        ApiClient, CAS, CDN_VERSION, Origin, RAM, SET, STS, Scheme, Server, SignedCall, TIMEOUT,
        TestCertificate, openssl::self_signed, pem, pki::AUTHORITY, raw, secrets, unlimited,
        upload_params,
    },
    restart::files,
};

mod search;

use search::{Found, Needles, read_memory};

/// Its certificate is the only one that a client is shown after the restart.
const USED: &str = "used.rest.example";
const UNUSED: &str = "unused.rest.example";
const RSA: &str = "rsa.rest.example";
const REPLACED: &str = "replaced.rest.example";

const OWNER_SECRET: &str = "the secret of the owner";
/// Keys of certificates that are bound in production, besides that of [`USED`].
const SERVED: [&str; 4] = [
    "a key by V3",
    "an RSA key by V1",
    "a key that was replaced",
    "the key after it",
];
/// What the first start leaves for the operator, in files of its own.
const ROOT_SECRET: &str = "the secret of the root account";
const KEK: &str = "the key-encryption key";

/// A server that was given secrets of every kind.
struct SecretsFixture {
    server: Server,
    /// The account that owns everything.
    owner: ApiClient,
    /// Another one, which calls nothing by itself.
    idle: ApiClient,
    used: TestCertificate,
    needles: Needles,
}

impl SecretsFixture {
    async fn new() -> Self {
        // Its memory can be read only if it may be dumped.
        let server = Server::start_with(&format!("core_dumps = true\n{}", unlimited()));
        let (owner, idle) = (
            server.create_account("owner").await,
            server.create_account("idle").await,
        );
        let mut needles = Needles::new();
        needles.text(OWNER_SECRET, &secret_of(&owner));
        needles.text("the secret of another account", &secret_of(&idle));
        let used = AUTHORITY.issue(&[USED]);
        needles.pem(USED, &used.key);
        certificates(&server, &owner, &used, &mut needles).await;
        identities(&owner, &mut needles).await;

        let kek = fs::read_to_string(server.data().join("kek")).unwrap();
        let key = signing_request(&server, &owner, &kek).await;
        needles.key("the key of a signing request", &key);
        needles.text(ROOT_SECRET, &secret_of(&server.root_client()));
        needles.text(KEK, kek.trim());
        Self {
            server,
            owner,
            idle,
            used,
            needles,
        }
    }
}

fn secret_of(api: &ApiClient) -> String {
    String::from_utf8(api.secret.expose().to_vec()).unwrap()
}

/// Uploads of every kind: by both signatures, to a domain and to the centre, served, staged,
/// replaced and refused.
async fn certificates(
    server: &Server,
    owner: &ApiClient,
    used: &TestCertificate,
    needles: &mut Needles,
) {
    let origin = Origin::start().await;
    for name in [USED, UNUSED, RSA, REPLACED] {
        owner.add(name, &origin).await;
    }
    let mut known = |label, pem: TestCertificate| {
        needles.pem(label, &pem.key);
        pem
    };
    let unused = known(SERVED[0], AUTHORITY.issue(&[UNUSED]));
    let (chain, key) = self_signed(RSA, "sha256");
    let leaf = pem::decode(&chain);
    let rsa = known(SERVED[1], TestCertificate { chain, key, leaf });
    let replaced = known(SERVED[2], AUTHORITY.issue(&[REPLACED]));
    let after = known(SERVED[3], AUTHORITY.issue(&[REPLACED]));
    let staged = known("a staged key", AUTHORITY.issue(&[UNUSED]));
    let centre = known("a key of the centre", AUTHORITY.issue(&[UNUSED]));
    let other = known("a key that was refused", AUTHORITY.issue(&[UNUSED]));

    owner.ok(CDN_VERSION, SET, &upload_params(USED, used)).await;
    owner
        .ok(CDN_VERSION, SET, &upload_params(UNUSED, &unused))
        .await;
    owner
        .ok(CDN_VERSION, SET, &upload_params(REPLACED, &replaced))
        .await;
    owner
        .ok(CDN_VERSION, SET, &upload_params(REPLACED, &after))
        .await;
    let stage = [&upload_params(UNUSED, &staged)[..], &[("Env", "staging")]].concat();
    owner.ok(CDN_VERSION, SET, &stage).await;
    let keep = [
        ("Name", "kept"),
        ("Cert", &centre.chain),
        ("Key", &centre.key),
    ];
    owner.ok(CAS, "UploadUserCertificate", &keep).await;
    let v1 = SignedCall::new(
        Scheme::V1,
        owner.access_key(),
        (CDN_VERSION, SET),
        &upload_params(RSA, &rsa),
    );
    let answer = raw::send_raw(server.addresses().api, &v1.to_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mismatch = TestCertificate {
        key: other.key,
        ..unused
    };
    owner
        .refused(CDN_VERSION, SET, &upload_params(UNUSED, &mismatch))
        .await;
}

/// The key that was made for a signing request, which no answer shows.
async fn signing_request(server: &Server, owner: &ApiClient, kek: &str) -> Vec<u8> {
    let common = [("CommonName", UNUSED)];
    let made = owner.ok(CDN_VERSION, "CreateCdnCertificateSigningRequest", &common);
    let made = made.await;
    let request = made["Csr"].as_str().unwrap();
    let request = CertificateSigningRequestParams::from_pem(request).unwrap();
    let public = Digest::of(&request.public_key.subject_public_key_info());
    let view = SqliteSnapshot::open(&server.data().join("store.db")).unwrap();
    let catalog = Catalog::new(Arc::new(view), Keyring::parse(kek).unwrap());
    let account = AccountId::parse(&owner.account).unwrap();
    let key = catalog.signing_request_key(&account, &public).await;
    key.unwrap().unwrap().expose().to_vec()
}

/// A user with a key, a role, and a session of it that called something.
async fn identities(owner: &ApiClient, needles: &mut Needles) {
    let user = [("UserName", "bot")];
    owner.ok(RAM, "CreateUser", &user).await;
    let made = owner.ok(RAM, "CreateAccessKey", &user).await;
    let bot = owner.as_user(&made["AccessKey"]);
    needles.text("the secret of a user", &secret_of(&bot));
    let any = json!({"Version": "1", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
    ]});
    let policy = [("PolicyName", "any"), ("PolicyDocument", &any.to_string())];
    owner.ok(RAM, "CreatePolicy", &policy).await;
    let trust = json!({"Version": "1", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"RAM": [format!("acs:ram::{}:root", owner.account)]},
    }]});
    let role = [
        ("RoleName", "deploy"),
        ("AssumeRolePolicyDocument", &trust.to_string()),
    ];
    owner.ok(RAM, "CreateRole", &role).await;
    for (action, kind, name) in [
        ("AttachPolicyToUser", "UserName", "bot"),
        ("AttachPolicyToRole", "RoleName", "deploy"),
    ] {
        let attach = [
            ("PolicyType", "Custom"),
            ("PolicyName", "any"),
            (kind, name),
        ];
        owner.ok(RAM, action, &attach).await;
    }
    let arn = format!("acs:ram::{}:role/deploy", owner.account);
    let assume = [("RoleArn", arn.as_str()), ("RoleSessionName", "ci")];
    let opened = bot.ok(STS, "AssumeRole", &assume).await;
    let credentials = &opened["Credentials"];
    let session = owner.as_user(credentials);
    needles.text("the secret of a session", &secret_of(&session));
    let token = credentials["SecurityToken"].as_str().unwrap();
    needles.text("the token of a session", token);
    let stop = [("DomainName", REPLACED)];
    session.ok(CDN_VERSION, "StopCdnDomain", &stop).await;
    session
        .refused(
            CDN_VERSION,
            "StopCdnDomain",
            &[("DomainName", "no.example")],
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_log_audit_and_metrics_contain_no_secret() {
    let mut world = SecretsFixture::new().await;
    let admin = world.server.addresses().admin;
    for page in ["/metrics", "/readyz", "/healthz"] {
        let answer = raw::get(admin, "admin", page).await;
        assert_eq!(
            world.needles.found_in(page, answer.body.as_bytes()),
            Found::new()
        );
        secrets::assert_no_secrets(page, answer.body.as_bytes());
    }
    let own = records(&world.owner, &[]).await;
    assert!(own.len() > 10, "the uploads are in the audit: {own:?}");
    for api in [&world.owner, &world.idle, &world.server.root_client()] {
        let audit = json!(records(api, &[]).await).to_string();
        assert_eq!(
            world.needles.found_in("the audit", audit.as_bytes()),
            Found::new()
        );
        secrets::assert_no_secrets("the audit", audit.as_bytes());
    }
    assert_files_clean(&world);
    world.server.terminate();
    assert_files_clean(&world);
    let log = world.server.log();
    assert!(log.contains(SET), "it tells of the uploads");
    assert_eq!(
        world.needles.found_in("the log", log.as_bytes()),
        Found::new()
    );
}

/// Searches everything below the data directory, as it is now.
fn assert_files_clean(world: &SecretsFixture) {
    let mut leaf_is_in = Vec::new();
    for (path, content) in files(&world.server.data()) {
        let name = path.rsplit('/').next().unwrap();
        let found = world.needles.found_in(name, &content);
        let expected: &[&str] = match name {
            "credentials.json" => &[ROOT_SECRET],
            "kek" => &[KEK],
            _ => &[],
        };
        let labels: Vec<_> = found.keys().copied().collect();
        assert_eq!(labels, expected, "{found:#?}");
        let leaf = &world.used.leaf;
        if content.windows(leaf.len()).any(|window| window == leaf) {
            leaf_is_in.push(name.to_owned());
        }
    }
    // What is public of the same uploads is there: this is where they were written.
    assert!(
        leaf_is_in.iter().any(|name| name.starts_with("store.db")),
        "{leaf_is_in:?}"
    );
    assert!(
        leaf_is_in.iter().any(|name| name.starts_with("replica")),
        "{leaf_is_in:?}"
    );
}

/// What of everything stands in the memory of the running process.
fn found_in_memory(world: &SecretsFixture) -> Found {
    let memory = read_memory(world.server.id());
    // Where the rest would be: beside what is held of the domains.
    let names = memory.iter().filter(|(_, bytes)| {
        let mut windows = bytes.windows(UNUSED.len());
        windows.any(|window| window == UNUSED.as_bytes())
    });
    assert!(names.count() > 0, "the process holds the domains");
    let mut found = Found::new();
    for (place, bytes) in &memory {
        found.extend(world.needles.found_in(place, bytes));
    }
    // The key that signed for a client shows that the search finds what is there.
    assert!(found.remove(USED).is_some(), "{found:#?}");
    found
}

/// Waits until nothing of it is in the memory but what may be: what is at work holds more for a
/// moment.
fn assert_forgotten(world: &SecretsFixture, may_be: &[&str]) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let mut found = found_in_memory(world);
        found.retain(|label, _| !may_be.contains(label));
        if found.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_process_holds_only_used_keys() {
    let mut world = SecretsFixture::new().await;
    world.server.terminate();
    world.server.launch();
    let (server, leaf) = (&world.server, &world.used.leaf);
    server.assert_serves(USED, leaf, "after a restart").await;
    assert_forgotten(&world, &[]);
    // A call opens its own secret and no other.
    let owner = &world.owner;
    let owner = server.client_for(&owner.account, &owner.key, &secret_of(owner));
    owner.info(USED).await;
    assert_forgotten(&world, &[OWNER_SECRET]);
    world.server.stop();
}

/// Of everything that passed through a process, only keys that the edge has signed with are left:
/// those of domains that are served, which it looks at itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_wipes_secrets_after_use() {
    let mut world = SecretsFixture::new().await;
    let (server, leaf) = (&world.server, &world.used.leaf);
    server.assert_serves(USED, leaf, "after the uploads").await;
    // Nothing comes after it on its connection, which stays open.
    let last = AUTHORITY.issue(&[UNUSED]);
    world.needles.pem("a key that came last", &last.key);
    let keep = [("Name", "last"), ("Cert", &last.chain), ("Key", &last.key)];
    world.owner.ok(CAS, "UploadUserCertificate", &keep).await;
    assert_forgotten(&world, &SERVED);
    world.server.stop();
}
