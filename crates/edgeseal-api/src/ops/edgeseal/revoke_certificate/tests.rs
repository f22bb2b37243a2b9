//! Requests for revocations: refusals, what is stored, and what is shown.

use edgeseal_core::{
    DomainPattern,
    revocation::{Revocation, RevocationReason, RevocationState},
};
use edgeseal_store::{catalog::ChangeError, record::CertificateSource};
use edgeseal_testing::pki;
use serde_json::Value;

use crate::{
    Settings,
    context::CertificateOrders,
    test_server::{TestServer, error_of},
};

const ACCOUNT: &str = "1000000000000001";
const OTHER: &str = "2000000000000002";
const DOMAIN: &str = "a.example.com";
const EDGESEAL: &str = "2026-12-01";
const CDN: &str = "2018-05-10";

async fn call(world: &TestServer, version: &str, action: &str, params: &[(&str, &str)]) -> Value {
    let key = &world.keys["own"];
    world.call(key, version, action, params).await
}

/// An account with a domain that has an uploaded certificate bound, and another account.
async fn world(has_issuers: bool) -> TestServer {
    let orders = CertificateOrders {
        has_issuers,
        has_dns_challenge: false,
    };
    let mut world = TestServer::empty(Settings {
        orders,
        ..Settings::default()
    });
    world.account(ACCOUNT, "own").await;
    world.account(OTHER, "other").await;
    let sources = r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#;
    let add = [
        ("DomainName", DOMAIN),
        ("CdnType", "web"),
        ("Sources", sources),
    ];
    call(&world, CDN, "AddCdnDomain", &add).await;
    world
}

async fn upload(world: &TestServer) -> String {
    let certificate = pki::AUTHORITY.issue_with(&[DOMAIN], |params| {
        pki::set_validity_days(params, -30, 365);
    });
    let set = [
        ("DomainName", DOMAIN),
        ("SSLProtocol", "on"),
        ("SSLPub", &certificate.chain),
        ("SSLPri", &certificate.key),
    ];
    let reply = call(world, CDN, "SetCdnDomainSSLCertificate", &set).await;
    assert_eq!(reply.get("Code"), None, "{reply}");
    let domain = world
        .context
        .catalog
        .domain(&name())
        .await
        .unwrap()
        .unwrap();
    domain.production.unwrap().certificate.to_string()
}

/// As if the certificate had been ordered.
async fn mark_issued(world: &TestServer, id: &str) {
    let audit = world.audit_context(ACCOUNT);
    let id = id.parse().unwrap();
    let changed = world.context.catalog.transact(&audit, async |mut draft| {
        let before = draft.certificate(id).await?.unwrap();
        let mut after = before.clone();
        after.source = CertificateSource::Issued;
        draft.change_certificate(&before, &after).await?;
        Ok::<_, ChangeError<()>>((draft, ()))
    });
    changed.await.unwrap();
}

fn name() -> DomainPattern {
    DomainPattern::parse(DOMAIN).unwrap()
}

async fn stored(world: &TestServer) -> Vec<Revocation> {
    world.context.catalog.revocations_of(&name()).await.unwrap()
}

#[tokio::test]
async fn refusals() {
    let world = world(true).await;
    let revoke = "RevokeCertificate";
    let domain = ("DomainName", DOMAIN);
    let code = async |params: &[(&str, &str)]| {
        let response = call(&world, EDGESEAL, revoke, params).await;
        error_of(&response).0.to_owned()
    };
    assert_eq!(code(&[]).await, "MissingDomainName");
    assert_eq!(code(&[domain]).await, "Revocation.NoneOrdered");
    let missing = [("DomainName", "b.example.com")];
    assert_eq!(code(&missing).await, "InvalidDomain.NotFound");
    let reason = ("Reason", "boredom");
    assert_eq!(code(&[domain, reason]).await, "InvalidReason");
    assert_eq!(code(&[domain, ("CertId", "x")]).await, "InvalidCertId");
    assert_eq!(
        code(&[domain, ("CertId", "9")]).await,
        "Certificate.NotFind"
    );
    upload(&world).await;
    assert_eq!(code(&[domain]).await, "Revocation.Uploaded");
    let other = &world.keys["other"];
    for action in [revoke, "DescribeRevocations"] {
        let response = world.call(other, EDGESEAL, action, &[domain]).await;
        assert_eq!(error_of(&response).0, "InvalidDomain.NotFound", "{action}");
    }
    assert_eq!(stored(&world).await, []);
}

#[tokio::test]
async fn without_an_issuer_nobody_is_asked() {
    let world = world(false).await;
    mark_issued(&world, &upload(&world).await).await;
    let domain = [("DomainName", DOMAIN)];
    let response = call(&world, EDGESEAL, "RevokeCertificate", &domain).await;
    assert_eq!(error_of(&response).0, "Issuer.NotConfigured");
}

#[tokio::test]
async fn a_compromised_key_is_replaced_first_unless_that_takes_too_long() {
    let world = world(true).await;
    let id = upload(&world).await;
    mark_issued(&world, &id).await;
    let domain = [("DomainName", DOMAIN)];
    let compromise = ("Reason", "keycompromise");
    let revoke = "RevokeCertificate";

    let reply = call(&world, EDGESEAL, revoke, &[domain[0], compromise]).await;
    let row = &reply["Revocations"][0];
    assert_eq!(row["CertId"].to_string(), id, "{reply}");
    assert_eq!(row["State"], "Pending");
    assert_eq!(row["Reason"], "keyCompromise");
    assert_eq!(row["AfterReplacement"], true);
    assert_eq!(row["ServedBy"][0], DOMAIN);
    let first = stored(&world).await.remove(0);
    assert_eq!(first.reason, RevocationReason::KeyCompromise);
    assert_eq!(first.served_by, [name()]);
    assert!(first.after_replacement && !first.leaf.is_empty());

    // Asked again, it is the same one; in a hurry it does not wait.
    let again = [domain[0], compromise, ("Immediately", "true")];
    call(&world, EDGESEAL, revoke, &again).await;
    let hurried = stored(&world).await;
    assert_eq!(
        hurried,
        [Revocation {
            after_replacement: false,
            ..first
        }]
    );
    let shown = call(&world, EDGESEAL, "DescribeRevocations", &domain).await;
    assert_eq!(shown["Revocations"][0]["AfterReplacement"], false);

    // One that failed starts anew.
    let mut failed = hurried.into_iter().next().unwrap();
    failed.state = RevocationState::Failed;
    failed.failure = "no".to_owned();
    world
        .context
        .catalog
        .put_revocation(&failed, None)
        .await
        .unwrap();
    let superseded = [domain[0], ("CertId", &*id), ("Reason", "superseded")];
    call(&world, EDGESEAL, revoke, &superseded).await;
    let anew = stored(&world).await.remove(0);
    assert_eq!(anew.state, RevocationState::Pending);
    assert_eq!(anew.reason, RevocationReason::Superseded);
    assert!(!anew.after_replacement && anew.failure.is_empty());

    // A compromise that is told later counts, also if there is nothing left to revoke.
    for state in [RevocationState::Pending, RevocationState::Revoked] {
        let before = Revocation {
            state,
            ..anew.clone()
        };
        world
            .context
            .catalog
            .put_revocation(&before, None)
            .await
            .unwrap();
        call(&world, EDGESEAL, revoke, &[domain[0], compromise]).await;
        let told = stored(&world).await.remove(0);
        assert_eq!(told.state, state);
        assert_eq!(told.reason, RevocationReason::KeyCompromise);
        assert_eq!(told.after_replacement, state == RevocationState::Pending);
    }
}
