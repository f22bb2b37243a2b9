//! Two certificates of one domain, from the call to the handshake.

use rustls::{
    SignatureScheme,
    version::{TLS12, TLS13},
};
use serde_json::{Value, json};

use crate::{
    doctor::doctor,
    harness::{
        ApiClient, CAS, CDN_VERSION, DCDN, EDGESEAL, Origin, SET, Server, TestCertificate,
        api::upload_params,
        pki::{AUTHORITY, set_validity_days},
        tls, unlimited,
    },
};

const NAME: &str = "www.two.example";
const BATCH: &str = "BatchSetCdnDomainServerCertificate";

const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
const RSA: &[SignatureScheme] = &[
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA256,
];
const BOTH: &[SignatureScheme] = &[
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::ECDSA_NISTP256_SHA256,
];

/// The parameters that set a second certificate.
fn beside<'a>(domain: &'a str, pem: &'a TestCertificate) -> Vec<(&'a str, &'a str)> {
    [&upload_params(domain, pem)[..], &[("Companion", "true")]].concat()
}

async fn serving() -> (Server, ApiClient) {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    api.add(NAME, &origin).await;
    (server, api)
}

async fn set(api: &ApiClient, params: &[(&str, &str)]) {
    api.call(CDN_VERSION, SET, params).await.unwrap();
}

/// Asserts which leaf is sent to clients that verify ECDSA only, RSA only, and both, in TLS 1.2 and
/// 1.3.
async fn assert_shown(server: &Server, name: &str, leaves: [Option<&TestCertificate>; 3]) {
    for version in [&TLS12, &TLS13] {
        for (schemes, leaf) in [ECDSA, RSA, BOTH].into_iter().zip(leaves) {
            let edge = server.addresses().https;
            let shown = tls::served_with_schemes(edge, name, &[version], schemes).await;
            match (shown, leaf) {
                (Ok(chain), Some(pem)) => assert_eq!(chain[0], pem.leaf, "{version:?} {schemes:?}"),
                (Err(_), None) => {}
                (shown, _) => panic!("{name} {version:?} {schemes:?}: {shown:?}"),
            }
        }
    }
}

/// A domain's certificates, as the API returns them.
async fn infos(api: &ApiClient, name: &str) -> Vec<Value> {
    let reply = api
        .call_on_domain("DescribeDomainCertificateInfo", name)
        .await;
    let infos = &reply.body["CertInfos"]["CertInfo"];
    infos.as_array().unwrap().clone()
}

async fn ids(api: &ApiClient, name: &str) -> Vec<String> {
    let infos = infos(api, name).await;
    let id = |info: &Value| info["CertId"].as_str().unwrap_or_default().to_owned();
    infos.iter().map(id).collect()
}

async fn delete(api: &ApiClient, id: &str) -> Result<(), String> {
    let params = [("CertId", id)];
    let deleted = api.call(CAS, "DeleteUserCertificate", &params).await;
    deleted.map(drop).map_err(|error| format!("{error:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_is_shown_what_it_can_check_and_a_call_without_companion_replaces_both() {
    let (server, api) = serving().await;
    let (rsa, ecdsa) = (AUTHORITY.issue_rsa(&[NAME]), AUTHORITY.issue(&[NAME]));
    set(&api, &upload_params(NAME, &rsa)).await;
    assert_shown(&server, NAME, [None, Some(&rsa), Some(&rsa)]).await;
    set(&api, &beside(NAME, &ecdsa)).await;
    assert_shown(&server, NAME, [Some(&ecdsa), Some(&rsa), Some(&ecdsa)]).await;

    // A certificate with the same key type replaces the companion only.
    let newer = AUTHORITY.issue(&[NAME]);
    let first = ids(&api, NAME).await;
    let params = [&beside(NAME, &newer)[..], &[("CertName", "newer")]].concat();
    set(&api, &params).await;
    assert_shown(&server, NAME, [Some(&newer), Some(&rsa), Some(&newer)]).await;
    let second = ids(&api, NAME).await;
    assert_eq!(first[0], second[0]);
    assert_ne!(first[1], second[1]);
    delete(&api, &first[1]).await.unwrap();

    for id in &second {
        let refused = delete(&api, id).await.unwrap_err();
        assert!(refused.contains("CertificateInUse"), "{refused}");
    }
    assert_whole(server);
}

/// Asserts that the doctor finds no problem in the server's data.
fn assert_whole(mut server: Server) {
    assert_eq!(server.terminate().code(), Some(0));
    let (code, said) = doctor(&server.data());
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_off_and_rebinding_leave_no_companion() {
    let (server, api) = serving().await;
    let (rsa, ecdsa) = (AUTHORITY.issue_rsa(&[NAME]), AUTHORITY.issue(&[NAME]));
    set(&api, &upload_params(NAME, &ecdsa)).await;
    set(&api, &beside(NAME, &rsa)).await;
    let old = ids(&api, NAME).await;

    api.off(NAME).await;
    assert_shown(&server, NAME, [None; 3]).await;
    let off = infos(&api, NAME).await;
    assert_eq!(off.len(), 1, "remembered, not served");
    assert_eq!(off[0]["ServerCertificateStatus"], "off");
    assert!(off[0]["CertId"].is_null());
    let refusal = api.refused(CDN_VERSION, SET, &beside(NAME, &rsa)).await;
    assert!(
        refusal.detail.contains("HTTPS is off"),
        "{}",
        refusal.detail
    );

    let new = AUTHORITY.issue(&[NAME]);
    set(&api, &upload_params(NAME, &new)).await;
    assert_shown(&server, NAME, [Some(&new), None, Some(&new)]).await;
    assert_eq!(infos(&api, NAME).await.len(), 1);
    for id in &old {
        delete(&api, id).await.unwrap();
    }
    let audit = api
        .ok(EDGESEAL, "DescribeAuditRecords", &[("Action", SET)])
        .await;
    let records = audit["Records"].as_array().unwrap();
    let added = records.iter().find(|record| {
        let change = &record["Bindings"][0];
        change["AfterCompanionSha256"].is_string() && change["BeforeCompanionSha256"].is_null()
    });
    let change = &added.unwrap()["Bindings"][0];
    assert_eq!(
        change["BeforeSha256"], change["AfterSha256"],
        "the first one stays"
    );
    let said = |record: &&Value| record["Notes"].to_string().contains("as well");
    let replaced = records.iter().find(said).unwrap()["Notes"].to_string();
    assert!(
        replaced.contains(&format!("certificate {} as well", old[1])),
        "{replaced}"
    );
    assert_whole(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_companions_are_refused_and_change_nothing() {
    let (server, api) = serving().await;
    let (rsa, ecdsa) = (AUTHORITY.issue_rsa(&[NAME]), AUTHORITY.issue(&[NAME]));
    let parameter = "SetDomainCertificate.ParameterError";
    let refusal = api.refused(CDN_VERSION, SET, &beside(NAME, &rsa)).await;
    assert_eq!(refusal.code, parameter);
    let says = "upload the first certificate without Companion";
    assert!(refusal.detail.contains(says), "{}", refusal.detail);

    set(&api, &upload_params(NAME, &rsa)).await;
    let before = infos(&api, NAME).await;
    let other = TestCertificate {
        key: AUTHORITY.issue(&[NAME]).key,
        ..ecdsa.clone()
    };
    let expired = AUTHORITY.issue_with(&[NAME], |params| set_validity_days(params, -20, -10));
    let word = |word| [&upload_params(NAME, &ecdsa)[..], &[("Companion", word)]].concat();
    for (params, code, says) in [
        (
            word("maybe"),
            parameter,
            "Companion is \"maybe\"; use true or false",
        ),
        (word("1"), parameter, "use true or false"),
        (
            beside(NAME, &AUTHORITY.issue_rsa(&[NAME])),
            parameter,
            "of the same kind: RSA",
        ),
        (beside(NAME, &rsa), parameter, "of the same kind: RSA"),
        (
            beside(NAME, &AUTHORITY.issue_ed25519(&[NAME])),
            parameter,
            "Ed25519 does not go beside RSA",
        ),
        (beside(NAME, &other), "Certificate.MissMatch", ""),
        (
            beside(NAME, &AUTHORITY.issue(&["other.example"])),
            "Certificate.MissMatch",
            "does not cover",
        ),
        (beside(NAME, &expired), "Certificate.Expired", ""),
    ] {
        let refusal = api.refused(CDN_VERSION, SET, &params).await;
        assert_eq!(refusal.code, code, "{}", refusal.detail);
        assert!(refusal.detail.contains(says), "{}", refusal.detail);
        assert_eq!(infos(&api, NAME).await, before, "{}", refusal.detail);
    }
    // `false` equals an absent parameter, in any case.
    set(&api, &word("False")).await;
    assert_eq!(infos(&api, NAME).await.len(), 1);
    assert_shown(&server, NAME, [Some(&ecdsa), None, Some(&ecdsa)]).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_show_both_the_first_one_first() {
    let (server, api) = serving().await;
    let rsa = AUTHORITY.issue_rsa(&[NAME]);
    let ecdsa = AUTHORITY.issue_with(&[NAME], |params| set_validity_days(params, -1, 10));
    set(&api, &upload_params(NAME, &rsa)).await;
    set(&api, &beside(NAME, &ecdsa)).await;
    let infos = infos(&api, NAME).await;
    let field = |name: &str| -> Vec<Value> { infos.iter().map(|one| one[name].clone()).collect() };
    assert_eq!(field("Companion"), [Value::Null, json!("true")]);
    assert_eq!(field("CertStatus"), ["ok", "expire_soon"]);
    assert_eq!(field("ServerCertificateStatus"), ["on", "on"]);
    assert_eq!(field("DomainName"), [NAME, NAME]);
    assert_eq!(api.bound_leaf(NAME).await, rsa.leaf);

    let params = [("DomainName", NAME)];
    let dcdn = api
        .ok(DCDN, "DescribeDcdnDomainCertificateInfo", &params)
        .await;
    let shown = dcdn["CertInfos"]["CertInfo"].as_array().unwrap();
    let shown: Vec<&Value> = shown.iter().map(|one| &one["CertId"]).collect();
    assert_eq!(shown, field("CertId").iter().collect::<Vec<_>>());

    let list = api.ok(CDN_VERSION, "DescribeCdnHttpsDomainList", &[]).await;
    assert_eq!(list["TotalCount"], 1);
    let row = &list["CertInfos"]["CertInfo"][0];
    assert_eq!(
        row["CertName"], infos[0]["CertName"],
        "one row: the first one"
    );
    assert_eq!(row["CertStatus"], "expire_soon", "the worse of both");
    let count = api
        .ok(CDN_VERSION, "DescribeUserCertificateExpireCount", &[])
        .await;
    assert_eq!(count["ExpireWithin30DaysCount"], 1);
    for id in field("CertId") {
        let params = [("CertId", id.as_str().unwrap())];
        let by_id = api
            .ok(CDN_VERSION, "DescribeCertificateInfoByID", &params)
            .await;
        let domains = &by_id["CertInfos"]["CertInfo"][0]["DomainList"];
        assert_eq!(*domains, format!("[\"{NAME}\"]"));
    }
    server.stop();
}

/// The other variants of the call: DCDN, a stored certificate, the legacy ones, several domains.
#[tokio::test(flavor = "multi_thread")]
async fn every_variant_of_the_call_supports_it() {
    let (server, api) = serving().await;
    let origin = Origin::start().await;
    let other = "api.two.example";
    api.add(other, &origin).await;
    let both = &[NAME, other];
    let (rsa, ecdsa) = (AUTHORITY.issue_rsa(both), AUTHORITY.issue(both));
    set(&api, &upload_params(NAME, &rsa)).await;
    let shown = [Some(&ecdsa), Some(&rsa), Some(&ecdsa)];

    api.ok(DCDN, "SetDcdnDomainSSLCertificate", &beside(NAME, &ecdsa))
        .await;
    assert_shown(&server, NAME, shown).await;

    // All or none: the second domain has no certificate yet.
    let list = both.join(",");
    let mut params = beside(&list, &ecdsa);
    set(&api, &upload_params(NAME, &rsa)).await;
    let refusal = api.refused(CDN_VERSION, BATCH, &params).await;
    assert_eq!(
        refusal.code, "SetDomainServerCertificate.ParameterError",
        "{}",
        refusal.detail
    );
    assert!(refusal.detail.contains(other), "{}", refusal.detail);
    assert_eq!(infos(&api, NAME).await.len(), 1);
    set(&api, &upload_params(other, &rsa)).await;
    params.push(("CertName", "of both"));
    api.ok(CDN_VERSION, BATCH, &params).await;
    for name in both {
        assert_shown(&server, name, shown).await;
    }

    // A stored certificate, by its ID.
    let id = ids(&api, other).await.swap_remove(1);
    set(&api, &upload_params(other, &rsa)).await;
    let stored = [
        ("DomainName", other),
        ("SSLProtocol", "on"),
        ("CertId", &id),
        ("Companion", "true"),
    ];
    set(&api, &stored).await;
    assert_shown(&server, other, shown).await;
    assert_eq!(ids(&api, other).await[1], id);

    set(&api, &upload_params(other, &rsa)).await;
    let legacy = [
        ("DomainName", other),
        ("ServerCertificateStatus", "on"),
        ("ServerCertificate", &ecdsa.chain),
        ("PrivateKey", &ecdsa.key),
        ("Companion", "true"),
    ];
    api.ok(CDN_VERSION, "SetDomainServerCertificate", &legacy)
        .await;
    assert_shown(&server, other, shown).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_gets_it_first_and_a_killed_process_serves_both_again() {
    let (mut server, api) = serving().await;
    let (rsa, ecdsa) = (AUTHORITY.issue_rsa(&[NAME]), AUTHORITY.issue(&[NAME]));
    set(&api, &upload_params(NAME, &rsa)).await;
    let staged = [&beside(NAME, &ecdsa)[..], &[("Env", "staging")]].concat();
    set(&api, &staged).await;
    assert_shown(&server, NAME, [None, Some(&rsa), Some(&rsa)]).await;
    api.call_on_domain("PublishStagingConfigToProduction", NAME)
        .await;
    let shown = [Some(&ecdsa), Some(&rsa), Some(&ecdsa)];
    assert_shown(&server, NAME, shown).await;
    server.kill();
    server.launch();
    assert_shown(&server, NAME, shown).await;
    server.stop();
}
