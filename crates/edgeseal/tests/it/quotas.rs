//! Quotas: calls are refused exactly at the quota, including concurrent calls.

use edgeseal_api::client::{CallError, ErrorResponse};
use rusqlite::Connection;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    doctor::doctor,
    harness::{
        ApiClient, CAS, CDN_VERSION, EDGESEAL, Origin, RAM, SET, Server, TestCertificate,
        add_params, api::upload_params, pki::AUTHORITY, unlimited,
    },
};

const OVER: &str = "DomainOverLimit";
const OVER_CERTIFICATES: &str = "QuotaExceeded.Certificate";

/// Asserts that a call is refused with this code and a reason that says what to do.
async fn assert_over(
    api: &ApiClient,
    call: (&str, &str),
    params: &[(&str, &str)],
    code: &str,
    used: &str,
) {
    let refusal: ErrorResponse = api.refused(call.0, call.1, params).await;
    assert_eq!((refusal.status, &*refusal.code), (403, code), "{}", call.1);
    let told = &refusal.detail;
    assert!(told.contains(used), "{}: {told}", call.1);
    assert!(
        told.contains("raise Quota") && told.contains("quota_"),
        "{told}"
    );
}

async fn quotas(api: &ApiClient) -> Value {
    api.ok(CDN_VERSION, "DescribeCdnUserQuota", &[]).await
}

async fn choose(root: &ApiClient, account: &str, quota: (&str, &str)) {
    let params = [("AccountId", account), quota];
    root.ok(EDGESEAL, "UpdateAccount", &params).await;
}

/// Tenants may have private origins, because the tests' origins are local.
fn config(quotas: &str) -> String {
    format!(
        "origin_private_addresses = \"all\"\n{quotas}\n{}",
        unlimited()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_of_domains_is_exact() {
    let server = Server::start_with(&config("quota_domains = 3"));
    let (root, bob) = (server.root_client(), server.create_account("bob").await);
    let origin = Origin::start().await;
    let sources = origin.sources();
    for name in ["1.quota.example", "2.quota.example"] {
        bob.add(name, &origin).await;
    }
    let two = add_params("3.quota.example,4.quota.example", &sources);
    assert_over(
        &bob,
        (CDN_VERSION, "BatchAddCdnDomain"),
        &two,
        OVER,
        "2 of 3 domains, and 2 more",
    )
    .await;
    assert_eq!(
        quotas(&bob).await["DomainRemain"],
        1,
        "the refused batch added none"
    );
    bob.add("3.quota.example", &origin).await;
    let fourth = add_params("4.quota.example", &sources);
    let add = (CDN_VERSION, "AddCdnDomain");
    assert_over(
        &bob,
        add,
        &fourth,
        OVER,
        "3 of 3 domains, and 1 more is asked for",
    )
    .await;
    let pem = AUTHORITY.issue(&["4.quota.example"]);
    let imported = [
        upload_params("4.quota.example", &pem).as_slice(),
        &fourth[2..],
    ]
    .concat();
    assert_over(
        &bob,
        (EDGESEAL, "ImportCertificate"),
        &imported,
        OVER,
        "3 of 3",
    )
    .await;
    let shown = quotas(&bob).await;
    assert_eq!([&shown["DomainQuota"], &shown["DomainRemain"]], [3, 0]);

    // Other accounts' domains do not count, and the root account has no quota unless it sets one.
    for number in 5..10 {
        root.add(&format!("{number}.quota.example"), &origin).await;
    }
    assert_eq!(quotas(&root).await["DomainQuota"], i32::MAX);
    choose(&root, &root.account, ("QuotaDomains", "5")).await;
    let own = add_params("10.quota.example", &sources);
    assert_over(&root, add, &own, OVER, "5 of 5 domains").await;
    choose(&root, &root.account, ("QuotaDomains", "default")).await;
    root.add("10.quota.example", &origin).await;

    // Deleting a domain frees quota; lowering the quota deletes nothing.
    bob.call_on_domain("DeleteCdnDomain", "1.quota.example")
        .await;
    bob.add("4.quota.example", &origin).await;
    choose(&root, &bob.account, ("QuotaDomains", "0")).await;
    let fifth = add_params("5.bob.example", &sources);
    assert_over(&bob, add, &fifth, OVER, "3 of 0 domains").await;
    bob.call_on_domain("StopCdnDomain", "4.quota.example").await;
    choose(&root, &bob.account, ("QuotaDomains", "unlimited")).await;
    bob.add("5.bob.example", &origin).await;
    choose(&root, &bob.account, ("QuotaDomains", "default")).await;
    assert_eq!(quotas(&bob).await["DomainQuota"], 3);
    for (quota, code) in [("-1", "InvalidQuota"), ("many", "InvalidQuota")] {
        let params = [("AccountId", bob.account.as_str()), ("QuotaDomains", quota)];
        let refusal = root.refused(EDGESEAL, "UpdateAccount", &params).await;
        assert_eq!(refusal.code, code, "{quota}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_of_certificates_is_exact() {
    const NAME: &str = "www.quota.example";
    const OTHER: &str = "other.quota.example";
    let server = Server::start_with(&config("quota_certificates = 2"));
    let (bob, origin) = (server.create_account("bob").await, Origin::start().await);
    bob.add(NAME, &origin).await;
    let pems: [TestCertificate; 4] = std::array::from_fn(|_| AUTHORITY.issue(&[NAME, OTHER]));
    let [first, second, third, fourth] = &pems;
    let mut kept = upload_params(NAME, first).to_vec();
    kept.push(("CertName", "kept"));
    bob.ok(CDN_VERSION, SET, &kept).await;
    let centre = [
        ("Name", "centre"),
        ("Cert", &second.chain),
        ("Key", &second.key),
    ];
    let stored = bob.ok(CAS, "UploadUserCertificate", &centre).await;
    let over = "2 of 2 certificates";
    // The domain has no certificate that the upload could replace.
    bob.add(OTHER, &origin).await;
    let third_up = upload_params(OTHER, third);
    assert_over(&bob, (CDN_VERSION, SET), &third_up, OVER_CERTIFICATES, over).await;
    assert_over(
        &bob,
        (EDGESEAL, "ImportCertificate"),
        &third_up,
        OVER_CERTIFICATES,
        over,
    )
    .await;
    let further = [
        ("Name", "further"),
        ("Cert", &third.chain),
        ("Key", &third.key),
    ];
    let call = (CAS, "UploadUserCertificate");
    assert_over(&bob, call, &further, OVER_CERTIFICATES, over).await;
    let legacy = |name| {
        [
            ("DomainName", name),
            ("ServerCertificateStatus", "on"),
            ("ServerCertificate", &third.chain),
            ("PrivateKey", &third.key),
        ]
    };
    let call = (CDN_VERSION, "SetDomainServerCertificate");
    assert_over(&bob, call, &legacy(OTHER), OVER_CERTIFICATES, over).await;
    server
        .assert_serves(NAME, &first.leaf, "nothing was bound")
        .await;

    // Stored certificates can still be bound; an upload that takes another certificate's name
    // replaces it.
    let id = stored["CertId"].to_string();
    let by_id = [
        ("DomainName", NAME),
        ("SSLProtocol", "on"),
        ("CertType", "cas"),
        ("CertId", &id),
    ];
    bob.ok(CDN_VERSION, SET, &by_id).await;
    server.assert_serves(NAME, &second.leaf, "by its ID").await;
    let mut forced = legacy(NAME).to_vec();
    forced.extend([("CertName", "kept"), ("ForceSet", "1")]);
    bob.ok(CDN_VERSION, "SetDomainServerCertificate", &forced)
        .await;
    server
        .assert_serves(NAME, &third.leaf, "in place of the first")
        .await;
    assert_eq!(quotas(&bob).await["CertificateRemain"], 0);
    bob.ok(CAS, "DeleteUserCertificate", &[("CertId", &id)])
        .await;
    bob.ok(CDN_VERSION, SET, &upload_params(NAME, fourth)).await;
    server
        .assert_serves(NAME, &fourth.leaf, "after a deletion")
        .await;
    server.stop();
}

/// The IDs and names of the account's certificates, ordered by ID.
async fn certificates(api: &ApiClient) -> Vec<(i64, String)> {
    let listed = api.ok(CDN_VERSION, "DescribeCdnCertificateList", &[]).await;
    let model = &listed["CertificateListModel"];
    let rows = model["CertList"]["Cert"].as_array().unwrap().iter();
    let rows = rows.map(|row| {
        let name = row["CertName"].as_str().unwrap().to_owned();
        (row["CertId"].as_i64().unwrap(), name)
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(model["Count"], rows.len());
    rows
}

/// A caller that may only set the certificate of one domain, with or without names, in production
/// or staging, leaves the account's other domains quota for their renewals.
#[tokio::test(flavor = "multi_thread")]
async fn renewals_of_one_domain_leave_room_for_those_of_others() {
    const OWN: &str = "own.quota.example";
    const OTHER: &str = "other.quota.example";
    const QUOTA: usize = 12;
    let server = Server::start_with(&config(&format!("quota_certificates = {QUOTA}")));
    let (bob, origin) = (server.create_account("bob").await, Origin::start().await);
    for name in [OWN, OTHER] {
        bob.serve(name, &origin).await;
    }
    let renewer = user_who_sets(&bob, OWN).await;
    let pem = &AUTHORITY.issue(&[OWN, OTHER]);
    for number in 0..30 {
        let name = format!("renewal-{number}");
        let mut params = upload_params(OWN, pem).to_vec();
        match number % 3 {
            0 => {}
            1 => params.push(("CertName", &name)),
            _ => params.extend([("CertName", name.as_str()), ("Env", "staging")]),
        }
        renewer.ok(CDN_VERSION, SET, &params).await;
    }
    // The bound certificates (two, one of them staged), four previously bound ones, and the other
    // domain's.
    let there = certificates(&bob).await;
    assert_eq!(there.len(), 2 + 4 + 1, "{there:?}");
    assert_eq!(quotas(&bob).await["CertificateRemain"], QUOTA - there.len());

    // One of them is bound again by its name, which makes it the newest.
    let (id, name) = &there[there.len() - 3];
    let back = [
        ("DomainName", OWN),
        ("SSLProtocol", "on"),
        ("CertName", name),
    ];
    renewer.ok(CDN_VERSION, SET, &back).await;
    renewer.ok(CDN_VERSION, SET, &upload_params(OWN, pem)).await;
    let there = certificates(&bob).await;
    assert!(there.iter().any(|known| known.0 == *id), "{there:?}");

    // With the quota used up renewals go on, also for a domain that has no superseded certificate
    // yet.
    for number in there.len()..QUOTA {
        let name = format!("centre-{number}");
        let params = [
            ("Name", name.as_str()),
            ("Cert", &pem.chain),
            ("Key", &pem.key),
        ];
        bob.ok(CAS, "UploadUserCertificate", &params).await;
    }
    for _ in 0..6 {
        for name in [OWN, OTHER] {
            let fresh = AUTHORITY.issue(&[name]);
            bob.set(name, &fresh).await.unwrap();
            server
                .assert_serves(name, &fresh.leaf, "at the quota")
                .await;
            assert_eq!(certificates(&bob).await.len(), QUOTA);
        }
    }
    assert_eq!(quotas(&bob).await["CertificateRemain"], 0);
    assert_eq!(doctor(&server.data()).0, Some(0));
    server.stop();
}

/// A user of the account who may set the certificate of this domain, and nothing else.
async fn user_who_sets(api: &ApiClient, domain: &str) -> ApiClient {
    let policy = serde_json::json!({"Version": "1", "Statement": [{
        "Effect": "Allow",
        "Action": "cdn:SetCdnDomainSSLCertificate",
        "Resource": format!("acs:cdn:*:*:domain/{domain}"),
    }]});
    let policy = policy.to_string();
    let made = [("PolicyName", "sets"), ("PolicyDocument", policy.as_str())];
    api.ok(RAM, "CreatePolicy", &made).await;
    api.ok(RAM, "CreateUser", &[("UserName", "renewer")]).await;
    let attached = [
        ("PolicyType", "Custom"),
        ("PolicyName", "sets"),
        ("UserName", "renewer"),
    ];
    api.ok(RAM, "AttachPolicyToUser", &attached).await;
    let user = [("UserName", "renewer")];
    let made = api.ok(RAM, "CreateAccessKey", &user).await;
    api.as_user(&made["AccessKey"])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_of_signing_requests_is_exact() {
    let server = Server::start_with(&config("quota_csr_keys = 1"));
    let (root, bob) = (server.root_client(), server.create_account("bob").await);
    let call = (CDN_VERSION, "CreateCdnCertificateSigningRequest");
    let name = [("CommonName", "www.quota.example")];
    bob.ok(CDN_VERSION, call.1, &name).await;
    let code = "QuotaExceeded.CertificateSigningRequest";
    assert_over(&bob, call, &name, code, "1 of 1 signing requests").await;
    assert_eq!(quotas(&bob).await["CsrKeyRemain"], 0);
    choose(&root, &bob.account, ("QuotaCsrKeys", "2")).await;
    bob.ok(CDN_VERSION, call.1, &name).await;
    server.stop();
}

/// Adds all of these concurrently; returns those that were added.
async fn add_at_once(
    api: &ApiClient,
    action: &'static str,
    lists: Vec<String>,
    sources: &str,
) -> Vec<String> {
    let mut calls = JoinSet::new();
    for names in lists {
        let (api, sources) = (api.clone(), sources.to_owned());
        calls.spawn(async move {
            match api
                .call(CDN_VERSION, action, &add_params(&names, &sources))
                .await
            {
                Ok(_) => names.split(',').map(str::to_owned).collect(),
                Err(CallError::Api(refusal)) => {
                    assert_eq!(refusal.code, OVER, "{}", refusal.detail);
                    Vec::new()
                }
                Err(error) => panic!("{names}: {error:?}"),
            }
        });
    }
    calls.join_all().await.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_end_exactly_at_the_quota() {
    const LIMIT: usize = 100;
    let server = Server::start_with(&config(&format!("quota_domains = {LIMIT}")));
    let (bob, origin) = (server.create_account("bob").await, Origin::start().await);
    let sources = origin.sources();
    // No shared parent domain, which would make the calls conflict anyway.
    let batch = |batch: usize| {
        let names = (0..30).map(|n| format!("www.{batch}-{n}.example"));
        names.collect::<Vec<_>>().join(",")
    };
    let batches = (0..8).map(batch).collect();
    let mut added = add_at_once(&bob, "BatchAddCdnDomain", batches, &sources).await;
    assert_eq!(added.len(), 90, "three complete batches");
    let single = (0..30).map(|n| format!("www.{n}.example")).collect();
    added.extend(add_at_once(&bob, "AddCdnDomain", single, &sources).await);
    assert_eq!(added.len(), LIMIT);
    added.sort();
    let listed = bob
        .ok(CDN_VERSION, "DescribeUserDomains", &[("PageSize", "500")])
        .await;
    let rows = listed["Domains"]["PageData"].as_array().unwrap().iter();
    let mut there: Vec<&str> = rows
        .map(|row| row["DomainName"].as_str().unwrap())
        .collect();
    there.sort_unstable();
    assert_eq!(there, added);
    assert_eq!(quotas(&bob).await["DomainRemain"], 0);
    server.stop();
}

/// As left by a release that does not count, or by a manual change.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_number_is_corrected_at_the_next_start() {
    let mut server = Server::start_with(&config("quota_domains = 2"));
    let (bob, origin) = (server.create_account("bob").await, Origin::start().await);
    bob.add("1.quota.example", &origin).await;
    for (planted, found) in [("x'39'", true), ("NULL", false)] {
        server.terminate();
        let store = Connection::open(server.data().join("store.db")).unwrap();
        let sql = format!("UPDATE entry SET value = {planted} WHERE key LIKE 'count/%/domains'");
        assert_eq!(store.execute(&sql, []), Ok(1));
        drop(store);
        let (code, said) = doctor(&server.data());
        assert_eq!(code == Some(65), found, "{said}");
        assert_eq!(
            said.contains("it says 9 domains, and there are 1"),
            found,
            "{said}"
        );
        server.launch();
        let bob = server.client_for(&bob.account, &bob.key, text(&bob));
        let corrected = crate::harness::eventually("the corrected count", async || {
            (quotas(&bob).await["DomainRemain"] == 1).then_some(())
        });
        corrected.await;
        bob.add("2.quota.example", &origin).await;
        let (name, sources) = ("3.quota.example", origin.sources());
        let call = (CDN_VERSION, "AddCdnDomain");
        assert_over(
            &bob,
            call,
            &add_params(name, &sources),
            OVER,
            "2 of 2 domains",
        )
        .await;
        bob.call_on_domain("DeleteCdnDomain", "2.quota.example")
            .await;
        assert_eq!(doctor(&server.data()).0, Some(0));
    }
    server.stop();
}

/// As another release left the data that listings filter by.
#[tokio::test(flavor = "multi_thread")]
async fn listings_filter_by_what_another_release_left() {
    let mut server = Server::start_with(&config(""));
    let (api, origin) = (server.root_client(), Origin::start().await);
    for name in ["1.list.example", "2.list.example"] {
        api.add(name, &origin).await;
    }
    api.set("1.list.example", &AUTHORITY.issue(&["1.list.example"]))
        .await
        .unwrap();
    server.terminate();
    let store = Connection::open(server.data().join("store.db")).unwrap();
    let version = "CAST(x'01' || substr(value, 2) AS BLOB)";
    for prefix in ["accountdomain/", "accountcert/"] {
        let sql = format!("UPDATE entry SET value = {version} WHERE key LIKE '{prefix}%'");
        assert!(store.execute(&sql, []).unwrap() > 0);
    }
    drop(store);
    assert_eq!(doctor(&server.data()).0, Some(65));
    server.launch();
    let api = server.root_client();
    let filtered = crate::harness::eventually("a correct listing", async || {
        let offline = [("DomainStatus", "offline")];
        let domains = api.ok(CDN_VERSION, "DescribeUserDomains", &offline).await;
        let without = [("DomainName", "2.list.example")];
        let known = api
            .ok(CDN_VERSION, "DescribeCdnCertificateList", &without)
            .await;
        let listed = &known["CertificateListModel"]["Count"];
        (domains["TotalCount"] == 0 && *listed == 0).then_some(())
    });
    filtered.await;
    assert_eq!(doctor(&server.data()).0, Some(0));
    server.stop();
}

fn text(api: &ApiClient) -> &str {
    std::str::from_utf8(api.secret.expose()).unwrap()
}
