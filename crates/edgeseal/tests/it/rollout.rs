//! The rollout status: correct, and visible only to the accounts concerned.

use edgeseal_api::client::{CallError, Reply};
use edgeseal_core::{DomainPattern, certificate::Digest, domain::Domain};
use edgeseal_store::{
    Key, Txn, Write,
    open::{StoreUrl, open},
    record::{decode, encode},
};
use serde_json::Value;

use crate::harness::{
    ApiClient, CDN_VERSION, EDGESEAL, Origin, SET, Server, api::upload_params, eventually, now,
    pki::AUTHORITY, raw, unlimited,
};

const NAME: &str = "www.rolled.example";
const ROLLOUT: &str = "DescribeRollout";
/// A wait that no test exhausts.
const WAIT: &[(&str, &str)] = &[("prefer", "wait=20")];

async fn call(
    api: &ApiClient,
    action: &str,
    params: &[(&str, &str)],
    wait: &[(&'static str, &str)],
) -> Reply {
    let version = if action == ROLLOUT {
        EDGESEAL
    } else {
        CDN_VERSION
    };
    let called = api.call_with(version, action, params, wait).await;
    called.unwrap_or_else(|error: CallError| panic!("{action}: {error:?}"))
}

async fn rollout(api: &ApiClient, params: &[(&str, &str)]) -> Value {
    call(api, ROLLOUT, params, &[]).await.body
}

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.headers[name].to_str().unwrap()
}

fn counts(body: &Value) -> [u64; 3] {
    ["LiveEdges", "ServedEdges", "ProvenEdges"].map(|name| body[name].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_tracked_until_it_is_proven() {
    let server = Server::start();
    let (api, origin) = (server.create_account("alice").await, Origin::start().await);
    api.add(NAME, &origin).await;
    let pem = AUTHORITY.issue(&[NAME]);
    let set = call(&api, SET, &upload_params(NAME, &pem), WAIT).await;
    assert_eq!(header(&set, "x-edgeseal-proven"), "1/1");

    let body = rollout(&api, &[("DomainName", NAME)]).await;
    let leaf = Digest::of(&pem.leaf).to_string();
    assert_eq!(counts(&body), [1, 1, 1]);
    assert_eq!(body["Fingerprint"], leaf);
    assert_eq!(
        body["Revision"].to_string(),
        header(&set, "x-edgeseal-revision")
    );
    let edge = &body["Edges"][0];
    assert_eq!(
        (&edge["State"], &edge["Fingerprint"]),
        (&"serving".into(), &leaf.into())
    );
    assert_eq!(
        (&edge["Served"], &edge["Proven"]),
        (&true.into(), &true.into())
    );
    // Both sides share one clock, so there is no skew. A report may wait up to a second.
    assert_eq!(edge.get("ClockSkew"), None);
    let took = body["TookMs"].as_u64().unwrap();
    assert!(took < 20_000 && edge["TookMs"] == took, "{body}");

    // The same change by its other identifiers, and unknown ones.
    let revision = body["Revision"].to_string();
    let request = set.body["RequestId"].as_str().unwrap();
    for (name, value) in [
        ("Revision", revision.as_str()),
        ("ChangeRequestId", request),
    ] {
        let again = rollout(&api, &[("DomainName", NAME), (name, value)]).await;
        assert_eq!(
            (&again["Revision"], counts(&again)),
            (&body["Revision"], [1, 1, 1])
        );
    }
    for (name, value, code) in [
        ("Revision", "0", "InvalidRevision"),
        ("Revision", "newest", "InvalidRevision"),
        ("ChangeRequestId", "none", "InvalidRevision"),
        ("Env", "test", "InvalidEnv"),
    ] {
        let params = [("DomainName", NAME), (name, value)];
        assert_eq!(
            api.refused(EDGESEAL, ROLLOUT, &params).await.code,
            code,
            "{name}"
        );
    }
    let staging = rollout(&api, &[("DomainName", NAME), ("Env", "staging")]).await;
    assert_eq!((counts(&staging), staging.get("TookMs")), ([0, 0, 0], None));

    // HTTPS off is proven as well, by a refused handshake.
    let off = [("DomainName", NAME), ("SSLProtocol", "off")];
    call(&api, SET, &off, WAIT).await;
    let body = rollout(&api, &[("DomainName", NAME)]).await;
    assert_eq!(
        (counts(&body), &body["Fingerprint"]),
        ([1, 1, 1], &"".into())
    );
    assert_eq!(body["Edges"][0]["Fingerprint"], "");
    // A deleted domain cannot be read; only the edge's replication of the deletion can be reported.
    let gone = call(&api, "DeleteCdnDomain", &[("DomainName", NAME)], WAIT).await;
    assert_eq!(header(&gone, "x-edgeseal-proven"), "1/1");
    let refusal = api
        .refused(EDGESEAL, ROLLOUT, &[("DomainName", NAME)])
        .await;
    assert_eq!(refusal.code, "InvalidDomain.NotFound");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_with_two_certificates_is_proven_by_both() {
    let mut server = Server::start();
    let (api, origin) = (server.create_account("alice").await, Origin::start().await);
    api.add(NAME, &origin).await;
    let (rsa, ecdsa) = (AUTHORITY.issue_rsa(&[NAME]), AUTHORITY.issue(&[NAME]));
    call(&api, SET, &upload_params(NAME, &rsa), WAIT).await;
    let second = [&upload_params(NAME, &ecdsa)[..], &[("Companion", "true")]].concat();
    let set = call(&api, SET, &second, WAIT).await;
    assert_eq!(header(&set, "x-edgeseal-proven"), "1/1");

    let body = rollout(&api, &[("DomainName", NAME)]).await;
    assert_eq!(counts(&body), [1, 1, 1]);
    for shown in [&body, &body["Edges"][0]] {
        assert_eq!(shown["Fingerprint"], Digest::of(&rsa.leaf).to_string());
        let companion = Digest::of(&ecdsa.leaf).to_string();
        assert_eq!(shown["CompanionFingerprint"], companion);
    }
    assert_eq!(server.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_served_once_each_of_its_domains_is_proven() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    let names: Vec<String> = (0..50).map(|n| format!("d{n}.rolled.example")).collect();
    for name in &names {
        api.add(name, &origin).await;
    }
    let list = names.join(",");
    let functions =
        r#"[{"functionName":"https_force","functionArgs":[{"argName":"enable","argValue":"on"}]}]"#;
    let params = [("DomainNames", list.as_str()), ("Functions", functions)];
    let set = call(&api, "BatchSetCdnDomainConfig", &params, WAIT).await;
    assert_eq!(header(&set, "x-edgeseal-proven"), "1/1");
    for name in &names {
        let body = rollout(&api, &[("DomainName", name)]).await;
        assert_eq!(counts(&body), [1, 1, 1], "{name}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_sees_its_own_domains_and_the_operator_all_edges() {
    let server = Server::start();
    let (root, alice) = (server.root_client(), server.create_account("alice").await);
    alice.add(NAME, &Origin::start().await).await;
    let of_alice = [("DomainName", NAME)];
    let operated = call(&root, ROLLOUT, &of_alice, WAIT).await.body;
    assert_eq!(counts(&operated), [1, 1, 1]);

    let unnamed = alice.refused(EDGESEAL, ROLLOUT, &[]).await;
    assert_eq!(unnamed.code, "MissingDomainName");
    let bob = server.create_account("bob").await;
    let foreign = bob.refused(EDGESEAL, ROLLOUT, &of_alice).await;
    assert_eq!(foreign.code, "InvalidDomain.NotFound");
    // A domain's row reveals nothing about other accounts.
    let row = rollout(&alice, &of_alice).await["Edges"][0].clone();
    for field in ["Domains", "Quarantined", "Unproven"] {
        assert_eq!(row.get(field), None, "{row}");
    }

    let fleet = rollout(&root, &[]).await;
    assert_eq!(
        (&fleet["LiveEdges"], &fleet["SilentEdges"]),
        (&1.into(), &0.into())
    );
    let edge = &fleet["Edges"][0];
    for (field, value) in [
        ("State", "serving"),
        ("Env", "production"),
        ("EdgeId", "local"),
    ] {
        assert_eq!(edge[field], value);
    }
    assert_eq!(
        (&edge["Domains"], &edge["Quarantined"]),
        (&1.into(), &0.into())
    );
    let ahead = edge["Revision"].as_u64().unwrap() + 1_000_000;
    let compared = rollout(&root, &[("Revision", &ahead.to_string())]).await;
    assert_eq!(compared["Edges"][0]["State"], "behind");
    server.stop();
}

/// Binds nonexistent material directly in the store.
pub(crate) async fn spoil(server: &Server, name: &str) {
    let url = StoreUrl::Sqlite(server.data().join("store.db"));
    let store = open(&url, now).await.unwrap();
    let key = Key::domain(&DomainPattern::parse(name).unwrap());
    let mut domain: Domain = decode(&store.get(&key).await.unwrap().unwrap().value).unwrap();
    domain.production.as_mut().unwrap().material = Digest::of(b"nothing");
    let put = Write::Put {
        key,
        value: encode(&domain).unwrap(),
        expires: None,
    };
    let txn = Txn {
        write: vec![put],
        ..Txn::default()
    };
    store.commit(txn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantine_sets_and_clears_the_alert() {
    let mut server = Server::start_with(&format!("alarm_interval_ms = 100\n{}", unlimited()));
    let pem = AUTHORITY.issue(&[NAME]);
    server.create_account("alice").await;
    let api = server.root_client();
    api.add(NAME, &Origin::start().await).await;
    api.set(NAME, &pem).await.unwrap();
    server.terminate();
    spoil(&server, NAME).await;
    server.launch();
    let api = server.root_client();
    server
        .assert_serves(NAME, &pem.leaf, "from the last good state")
        .await;

    let admin = server.addresses().admin;
    let get = async |path| raw::get(admin, "admin", path).await;
    let degraded = "ready, degraded; domains in quarantine: 1, domains not proven: 0\n";
    let ready = get("/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (200, degraded));
    let gauge =
        |body: &str, count| body.contains(&format!("\nedgeseal_quarantined_domains {count}\n"));
    assert!(gauge(&get("/metrics").await.body, 1));
    let body = eventually("a report of the quarantine", || async {
        let body = rollout(&api, &[("DomainName", NAME)]).await;
        (body["LiveEdges"] == 1).then_some(body)
    })
    .await;
    let edge = &body["Edges"][0];
    assert_eq!(
        (edge["State"].as_str(), counts(&body)),
        (Some("quarantined"), [1, 0, 0])
    );
    assert!(
        edge["Why"]
            .as_str()
            .unwrap()
            .contains("is not in the store")
    );
    let fleet = rollout(&api, &[]).await;
    assert_eq!(fleet["Quarantined"], 1);
    assert_eq!(fleet["QuarantinedDomains"][0]["DomainName"], NAME);
    let alarm = eventually("the alarm", || async {
        let listed = api.ok(EDGESEAL, "DescribeAlarms", &[]).await;
        Some(listed["Alarms"][0].clone()).filter(|alarm| alarm.is_object())
    })
    .await;
    assert_eq!(alarm["Code"], "domain_quarantined");
    assert_eq!(alarm["DomainName"], NAME);
    assert_eq!(alarm["AccountId"], api.account.as_str());

    let second = AUTHORITY.issue(&[NAME]);
    let healed = call(&api, SET, &upload_params(NAME, &second), WAIT).await;
    assert_eq!(header(&healed, "x-edgeseal-proven"), "1/1");
    assert_eq!(get("/readyz").await.body, "ready\n");
    assert!(gauge(&get("/metrics").await.body, 0));
    let log = server.log();
    assert_eq!(log.matches("a record cannot be used").count(), 1);
    assert_eq!(log.matches("the domain left quarantine").count(), 1);
    server.stop();
}
