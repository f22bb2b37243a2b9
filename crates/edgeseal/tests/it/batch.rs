//! Calls on several domains, which apply to all or none; tags; `ForceSet`; and unsupported
//! features.

mod tags;

use serde_json::{Value, json};

use crate::harness::{
    ApiClient, CAS, CDN_2014, CDN_VERSION, Origin, SET, Server, StoreDump, TestCertificate,
    add_params, pki::AUTHORITY, raw, tls::HandshakeFailure, unlimited,
};

const ADD: &str = "BatchAddCdnDomain";
const SET_BATCH: &str = "BatchSetCdnDomainServerCertificate";
const SET_LEGACY: &str = "SetDomainServerCertificate";

fn names(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("b{n:03}.batch.example"))
        .collect()
}

/// Adds these domains in one call.
async fn add(api: &ApiClient, names: &[String], origin: &Origin) {
    let (list, sources) = (names.join(","), origin.sources());
    api.ok(CDN_VERSION, ADD, &add_params(&list, &sources)).await;
}

/// Names and states of all the account's domains.
async fn domains(api: &ApiClient) -> Vec<(String, String)> {
    let params = [("PageSize", "500")];
    let listed = api.ok(CDN_VERSION, "DescribeUserDomains", &params).await;
    let rows = listed["Domains"]["PageData"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| (text(&row["DomainName"]), text(&row["DomainStatus"])))
        .collect()
}

fn all_in_state(names: &[String], state: &str) -> Vec<(String, String)> {
    let pair = |name: &String| (name.clone(), state.to_owned());
    names.iter().map(pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_domains_are_added_or_none() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    let bob = server.create_account("bob").await;
    bob.add("bob.batch.example", &origin).await;
    let sources = origin.sources();
    let (many, fifty) = (names(51).join(","), names(50));
    let with = |name: &str| format!("{},{name}", names(2).join(","));
    for (list, code) in [
        (many.as_str(), "DomainNameOverLimit"),
        (&with("*.batch.example"), "InvalidDomainName.Malformed"),
        (&with(".wild.batch.example"), "InvalidDomainName.Malformed"),
        (&with("no domain"), "InvalidDomainName.Malformed"),
        (&with("bob.batch.example"), "DomainAlreadyExist"),
        (" , ", "MissingDomainName"),
    ] {
        let refusal = api
            .refused(CDN_VERSION, ADD, &add_params(list, &sources))
            .await;
        assert_eq!(refusal.code, code, "{}", refusal.detail);
        assert_eq!(domains(&api).await, [], "{code}: none is added");
    }
    let list = with("x.batch.example");
    for (name, value, code) in [
        ("CdnType", "", "MissingParameter"),
        ("CdnType", "radio", "InvalidCdnType.Malformed"),
        ("Sources", "{", "InvalidSources.Malformed"),
        ("Scope", "moon", "InvalidScope.Malformed"),
    ] {
        let mut params = add_params(&list, &sources).to_vec();
        params.retain(|(have, _)| *have != name);
        params.push((name, value));
        let refusal = api.refused(CDN_VERSION, ADD, &params).await;
        assert_eq!(refusal.code, code, "{}", refusal.detail);
        assert_eq!(domains(&api).await, [], "{code}: none is added");
    }

    add(&api, &fifty, &origin).await;
    assert_eq!(domains(&api).await, all_in_state(&fifty, "online"));
    for name in fifty.iter().step_by(7) {
        let page = raw::get(server.addresses().http, name, "/").await;
        assert_eq!(page.status, 200, "{name} is served at once");
    }
    // The last domain of the list exists already.
    let list = format!("new.batch.example,{}", fifty[49]);
    let refusal = api
        .refused(CDN_VERSION, ADD, &add_params(&list, &sources))
        .await;
    assert_eq!(refusal.code, "DomainAlreadyExist");
    assert!(refusal.detail.contains(&fifty[49]), "{}", refusal.detail);
    assert_eq!(domains(&api).await.len(), 50);
    // A repeated domain counts once.
    let list = "twice.batch.example, TWICE.batch.example";
    api.ok(CDN_VERSION, ADD, &add_params(list, &sources)).await;
    assert_eq!(domains(&api).await.len(), 51);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_are_stopped_and_started_together() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    let names = names(5);
    add(&api, &names, &origin).await;
    let pem = AUTHORITY.issue(&["*.batch.example"]);
    for name in &names {
        api.set(name, &pem).await.unwrap();
    }
    let (stop, start) = ("BatchStopCdnDomain", "BatchStartCdnDomain");
    let list = names.join(",");
    let with_unknown = format!("{list},none.batch.example");
    let too_many = self::names(51).join(",");
    for (list, code) in [
        (with_unknown.as_str(), "InvalidDomain.NotFound"),
        (&too_many, "DomainNameOverLimit"),
        ("no domain", "InvalidDomainName.Malformed"),
        ("", "MissingDomainNames"),
    ] {
        let refusal = api
            .refused(CDN_VERSION, stop, &[("DomainNames", list)])
            .await;
        assert_eq!(refusal.code, code);
    }
    assert_eq!(domains(&api).await, all_in_state(&names, "online"));

    api.ok(CDN_VERSION, stop, &[("DomainNames", &list)]).await;
    assert_eq!(domains(&api).await, all_in_state(&names, "offline"));
    for name in &names {
        let served = server.served(name).await;
        assert_eq!(served, Err(HandshakeFailure::UNRECOGNIZED_NAME), "{name}");
        let page = raw::get(server.addresses().http, name, "/").await;
        assert_eq!(page.status, 403, "{name}");
    }
    let refusal = api
        .refused(CDN_VERSION, start, &[("DomainNames", &with_unknown)])
        .await;
    assert_eq!(refusal.code, "InvalidDomain.NotFound");
    assert_eq!(domains(&api).await, all_in_state(&names, "offline"));
    api.ok(CDN_VERSION, start, &[("DomainNames", &list)]).await;
    assert_eq!(domains(&api).await, all_in_state(&names, "online"));
    for name in &names {
        server.assert_serves(name, &pem.leaf, "started again").await;
    }
    server.stop();
}

/// Parameters of the legacy batch call.
fn set<'a>(list: &'a str, pem: &'a TestCertificate) -> Vec<(&'a str, &'a str)> {
    vec![
        ("DomainName", list),
        ("SSLProtocol", "on"),
        ("SSLPub", &pem.chain),
        ("SSLPri", &pem.key),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_certificate_goes_to_all_of_a_batch_or_to_none() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    let names = names(6);
    add(&api, &names, &origin).await;
    let [before, after] = [(); 2].map(|()| AUTHORITY.issue(&["*.batch.example"]));
    let list = names.join(",");
    api.ok(CDN_VERSION, SET_BATCH, &set(&list, &before)).await;
    let assert_all_serve = async |pem: &TestCertificate, when: &str| {
        for name in &names {
            server.assert_serves(name, &pem.leaf, when).await;
        }
    };
    assert_all_serve(&before, "after the batch").await;
    let listed = api.ok(CDN_VERSION, "DescribeCdnCertificateList", &[]).await;
    assert_eq!(
        listed["CertificateListModel"]["Count"], 1,
        "one certificate for all domains"
    );

    api.add("a.other.example", &origin).await;
    api.add("stopped.batch.example", &origin).await;
    api.call_on_domain("StopCdnDomain", "stopped.batch.example")
        .await;
    let too_many = self::names(51).join(",");
    for (list, code) in [
        (
            &format!("{list},none.batch.example"),
            "InvalidDomain.NotFound",
        ),
        (&format!("{list},a.other.example"), "Certificate.MissMatch"),
        (
            &format!("{list},stopped.batch.example"),
            "InvalidDomain.Offline",
        ),
        (&too_many, "DomainNameOverLimit"),
    ] {
        let refusal = api
            .refused(CDN_VERSION, SET_BATCH, &set(list, &after))
            .await;
        assert_eq!(refusal.code, code, "{}", refusal.detail);
        assert_all_serve(&before, code).await;
    }
    let listed = api.ok(CDN_VERSION, "DescribeCdnCertificateList", &[]).await;
    assert_eq!(
        listed["CertificateListModel"]["Count"], 1,
        "no new certificate was kept"
    );

    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_switched_off_and_on() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    let names = names(6);
    add(&api, &names, &origin).await;
    let pem = AUTHORITY.issue(&["*.batch.example"]);
    let list = names.join(",");
    let mut named = set(&list, &pem);
    named.push(("CertName", "of all"));
    api.ok(CDN_2014, SET_BATCH, &named).await;
    for name in &names {
        let when = "in the version of 2014";
        server.assert_serves(name, &pem.leaf, when).await;
    }
    let off = [("DomainName", &*list), ("SSLProtocol", "off")];
    api.ok(CDN_VERSION, SET_BATCH, &off).await;
    for name in &names {
        let served = server.served(name).await;
        assert_eq!(served, Err(HandshakeFailure::UNRECOGNIZED_NAME), "{name}");
    }
    let stored = [
        ("DomainName", &*list),
        ("SSLProtocol", "on"),
        ("CertType", "cas"),
        ("CertName", "of all"),
        ("Region", "cn-hangzhou"),
    ];
    api.ok(CDN_VERSION, SET_BATCH, &stored).await;
    for name in &names {
        server
            .assert_serves(name, &pem.leaf, "from the store")
            .await;
    }
    server.stop();
}

/// `ForceSet=1` moves the name to the new certificate; the previous one stays bound where it is and
/// is deleted with its last binding.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_taken_by_force_takes_nothing_else() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    let names = names(2);
    add(&api, &names, &origin).await;
    let [one, two] = [(); 2].map(|()| AUTHORITY.issue(&["*.batch.example"]));
    let legacy = |domain: &'static str, pem: &TestCertificate, force: &'static str| {
        let (chain, key) = (pem.chain.clone(), pem.key.clone());
        [
            ("DomainName", domain.to_owned()),
            ("ServerCertificateStatus", "on".to_owned()),
            ("ServerCertificate", chain),
            ("PrivateKey", key),
            ("CertName", "shared".to_owned()),
            ("ForceSet", force.to_owned()),
        ]
    };
    let call = async |domain, pem: &TestCertificate, force| {
        let params = legacy(domain, pem, force);
        let params = params.each_ref().map(|(name, value)| (*name, &**value));
        api.call(CDN_VERSION, SET_LEGACY, &params).await
    };
    let (a, b) = ("b000.batch.example", "b001.batch.example");
    call(a, &one, "").await.unwrap();
    let first = api.info(a).await["CertId"].clone();
    assert!(call(b, &two, "").await.is_err(), "the name is taken");
    assert!(call(b, &two, "0").await.is_err(), "0 does not force");
    call(b, &two, "1").await.unwrap();
    server.assert_serves(a, &one.leaf, "as before").await;
    server.assert_serves(b, &two.leaf, "with ForceSet").await;
    let (of_a, of_b) = (api.info(a).await, api.info(b).await);
    assert_eq!(of_a["CertId"], first, "still bound");
    assert_ne!(of_b["CertId"], first);
    let second = of_b["CertId"].as_str().unwrap();
    // The name resolves to the new certificate; the previous one has only its binding.
    let by_name = [("CertName", "shared")];
    let action = "DescribeCdnCertificateDetail";
    let detail = api.ok(CDN_VERSION, action, &by_name).await;
    assert_eq!(detail["CertId"].to_string(), second);
    assert_eq!(detail["Cert"], two.chain);
    let by_number = [("CertId", first.as_str().unwrap())];
    let action = "DescribeCdnCertificateDetailById";
    assert_eq!(
        api.refused(CDN_VERSION, action, &by_number).await.status,
        404
    );
    let served = "DescribeCertificateInfoByID";
    let info = api.ok(CDN_VERSION, served, &by_number).await;
    let domains = &info["CertInfos"]["CertInfo"][0]["DomainList"];
    assert_eq!(*domains, format!("[\"{a}\"]"));
    // Forcing the same content binds the same certificate, and the previous one is deleted.
    call(a, &two, "1").await.unwrap();
    assert_eq!(api.info(a).await["CertId"], second);
    assert_eq!(
        api.refused(CDN_VERSION, served, &by_number).await.status,
        404
    );
    let mut server = server;
    assert_eq!(server.terminate().code(), Some(0));
    let stored = StoreDump::read(&server).await;
    assert!(
        stored.keys_containing(&one.leaf).is_empty(),
        "its last binding is gone"
    );
    assert_eq!(stored.keys("cert/").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn force_set_takes_the_name_of_a_cas_certificate() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    add(&api, &names(1), &origin).await;
    let domain = "b000.batch.example";
    let [one, two] = [(); 2].map(|()| AUTHORITY.issue(&["*.batch.example"]));
    let params = [("Name", "centre"), ("Cert", &*one.chain), ("Key", &one.key)];
    let uploaded = api.ok(CAS, "UploadUserCertificate", &params).await;
    let mut forced = set(domain, &two);
    forced.extend([("CertName", "centre"), ("ForceSet", "1")]);
    api.ok(CDN_VERSION, SET_BATCH, &forced).await;
    server
        .assert_serves(domain, &two.leaf, "with ForceSet")
        .await;
    let id = uploaded["CertId"].to_string();
    let params = [("CertId", &*id)];
    let action = "GetUserCertificateDetail";
    assert_eq!(api.refused(CAS, action, &params).await.status, 404);
    // The newer operation has no `ForceSet`.
    let mut newer = crate::harness::api::upload_params(domain, &one).to_vec();
    newer.extend([("CertName", "centre"), ("ForceSet", "1")]);
    let refusal = api.refused(CDN_VERSION, SET, &newer).await;
    assert_eq!(refusal.code, "CertNameAlreadyExists");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn features_that_the_edge_does_not_have() {
    let server = Server::start();
    let (api, origin) = (server.create_account("alice").await, Origin::start().await);
    add(&api, &names(1), &origin).await;
    for (action, params) in [
        (
            "SetCdnDomainSMCertificate",
            &[
                ("DomainName", "b000.batch.example"),
                ("SSLProtocol", "on"),
                ("CertIdentifier", "1-cn-hangzhou"),
            ][..],
        ),
        (
            "DescribeCdnSMCertificateList",
            &[("DomainName", "b000.batch.example")],
        ),
        (
            "DescribeCdnSMCertificateDetail",
            &[("CertIdentifier", "1-cn-hangzhou")],
        ),
    ] {
        let refusal = api.refused(CDN_VERSION, action, params).await;
        assert_eq!(refusal.code, "SMCertificate.NotSupported", "{action}");
        let told = refusal.detail.contains("SetCdnDomainSSLCertificate");
        assert!(told, "{action}: what to do instead: {}", refusal.detail);
    }
    let quota = api.ok(CDN_VERSION, "DescribeCdnUserQuota", &[]).await;
    assert!(quota["DomainQuota"].as_u64().unwrap() >= 1);
    assert_eq!(quota["RefreshUrlRemain"], quota["RefreshUrlQuota"]);
    for version in [CDN_VERSION, CDN_2014] {
        let service = api.ok(version, "DescribeCdnService", &[]).await;
        assert_eq!(service["InstanceId"], api.account);
        assert_eq!(service["OperationLocks"], json!({"LockReason": []}));
        let opened = service["OpeningTime"].as_str().unwrap();
        assert!(opened.ends_with('Z') && opened.len() == 20, "{opened}");
    }
    server.stop();
}
