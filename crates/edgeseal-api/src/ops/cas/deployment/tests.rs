//! Who may create deployment jobs, and which jobs are kept.

use edgeseal_core::rate::RateLimit;
use serde_json::{Value, json};

use crate::{
    Settings,
    test_server::{TestServer, document, error_of, statement},
};

const ACCOUNT: &str = "1000000000000001";
const CDN: &str = "2018-05-10";
const CAS: &str = "2020-04-07";
const CREATE: &str = "CreateDeploymentJob";
const SET: &str = "cdn:SetCdnDomainSSLCertificate";
const DENIALS: u32 = 4;

async fn ok(world: &TestServer, who: &str, call: (&str, &str), params: &[(&str, &str)]) -> Value {
    let response = world.call(&world.keys[who], call.0, call.1, params).await;
    assert_eq!(
        response.get("Code"),
        None,
        "{call:?} {params:?}: {response}"
    );
    response
}

/// An account with these domains and a certificate for the first one; returns the certificate's ID
/// and the domain IDs.
async fn world(names: &[&str]) -> (TestServer, String, Vec<String>) {
    let often = RateLimit::per_second(1000);
    let mut world = TestServer::empty(Settings {
        rate_limits: [(CREATE.to_owned(), often)].into(),
        denial_limit: RateLimit {
            calls: DENIALS,
            per_ms: 60_000,
        },
        ..Settings::default()
    });
    world.account(ACCOUNT, "own").await;
    let all = names.join(",");
    let add = [
        ("DomainName", &*all),
        ("CdnType", "web"),
        (
            "Sources",
            r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#,
        ),
    ];
    ok(&world, "own", (CDN, "BatchAddCdnDomain"), &add).await;
    let made = rcgen::generate_simple_self_signed([names[0].to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let upload = [("Name", "one"), ("Cert", &*chain), ("Key", &*key)];
    let uploaded = ok(&world, "own", (CAS, "UploadUserCertificate"), &upload).await;
    let page = [("ShowSize", "100")];
    let shown = ok(&world, "own", (CAS, "ListCloudResources"), &page).await;
    let rows = shown["Data"].as_array().unwrap();
    let id = |name: &&str| {
        let row = rows.iter().find(|row| row["Domain"] == *name);
        row.unwrap()["Id"].to_string()
    };
    let ids = names.iter().map(id).collect();
    (world, uploaded["CertId"].to_string(), ids)
}

fn job<'a>(certificate: &'a str, domains: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("Name", "renewal"),
        ("JobType", "user"),
        ("CertIds", certificate),
        ("ResourceIds", domains),
    ]
}

/// Statements that allow creating jobs, and binding certificates to the domains of this name.
fn may_set(names: &str) -> String {
    let domains = format!("acs:cdn:*:*:domain/{names}");
    document(&[statement("yundun-cert:*", "*"), statement(SET, &domains)])
}

#[tokio::test]
async fn a_job_in_which_nothing_is_allowed_is_a_refusal_that_counts() {
    let (mut world, certificate, ids) = world(&["a.example.com", "b.example.com"]).await;
    world
        .user(ACCOUNT, "one", &[&may_set("a.example.com")])
        .await;
    world
        .user(ACCOUNT, "none", &[&may_set("c.example.com")])
        .await;
    let both = ids.join(",");
    let partly = ok(&world, "one", (CAS, CREATE), &job(&certificate, &both)).await;
    let partly = partly["JobId"].to_string();
    let again = [("JobId", &*partly), ("Status", "pending")];
    let update = "UpdateDeploymentJobStatus";
    let both_jobs = job(&certificate, &both);
    let none = &world.keys["none"];
    for (action, params, domain) in [
        (CREATE, &both_jobs[..], "a.example.com"),
        // In this job the other domain has its certificate already.
        (update, &again[..], "b.example.com"),
    ] {
        let response = world.call(none, CAS, action, params).await;
        let resource = format!("acs:cdn:*:{ACCOUNT}:domain/{domain}");
        let message =
            format!("You are not authorized to do this action. Resource: {resource} Action: {SET}");
        assert_eq!(error_of(&response), ("NoPermission", &*message));
        assert_eq!(response["AccessDeniedDetail"]["AuthAction"], SET);
        let detail = response["Detail"].as_str().unwrap();
        assert!(
            detail.contains("no policy of user none allows it"),
            "{detail}"
        );
    }
    let listed = ok(&world, "own", (CAS, "ListDeploymentJob"), &[]).await;
    assert_eq!(listed["Total"], 1, "refused jobs are not kept");
    // A caller that may bind to one of them is denied like any other if the job names the other
    // one.
    let one = job(&certificate, &ids[1]);
    let response = world.call(&world.keys["one"], CAS, CREATE, &one).await;
    assert_eq!(error_of(&response).0, "NoPermission");
    for call in 2..=DENIALS {
        let expected = match call {
            DENIALS => "Throttling.User",
            _ => "NoPermission",
        };
        let response = world.call(none, CAS, CREATE, &both_jobs).await;
        assert_eq!(error_of(&response).0, expected, "call {call}");
    }
    ok(&world, "own", (CAS, CREATE), &both_jobs).await;
}

#[tokio::test]
async fn the_domains_of_a_job_are_one_question_with_the_steps_of_one() {
    let names: Vec<String> = (0..50)
        .map(|at| format!("{at}.{}example.com", "a.".repeat(100)))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut world, certificate, ids) = world(&names).await;
    let slow = json!({"Effect": "Deny", "Action": "cdn:*", "Resource": vec!["acs:*b?*"; 500]});
    let (all, slow) = (document(&[statement("*", "*")]), document(&[slow]));
    let mut policies = vec![all.as_str()];
    policies.extend([slow.as_str(); 19]);
    world.user(ACCOUNT, "slow", &policies).await;
    let slow = &world.keys["slow"];
    ok(&world, "slow", (CAS, CREATE), &job(&certificate, &ids[0])).await;
    let response = world
        .call(slow, CAS, CREATE, &job(&certificate, &ids.join(",")))
        .await;
    assert_eq!(error_of(&response).0, "NoPermission");
    let detail = response["Detail"].as_str().unwrap();
    assert!(detail.contains("takes more than 1000000 steps"), "{detail}");
}

#[tokio::test]
async fn the_jobs_of_one_key_do_not_push_out_those_of_another() {
    let (mut world, certificate, ids) = world(&["a.example.com"]).await;
    for name in ["rare", "busy"] {
        world.user(ACCOUNT, name, &[&may_set("*")]).await;
    }
    let params = job(&certificate, &ids[0]);
    let create = async |who: &str| {
        let made = ok(&world, who, (CAS, CREATE), &params).await;
        made["JobId"].to_string()
    };
    let rare = [create("rare").await, create("rare").await];
    let mut busy = Vec::new();
    for _ in 0..101 {
        busy.push(create("busy").await);
    }
    let total = ok(&world, "own", (CAS, "ListDeploymentJob"), &[]).await["Total"].clone();
    assert_eq!(total, 100);
    let shown = async |id: &str| {
        let named = [("JobId", id)];
        let own = &world.keys["own"];
        let response = world.call(own, CAS, "DescribeDeploymentJob", &named).await;
        response.get("Code").is_none()
    };
    for id in &rare {
        assert!(shown(id).await, "one of two jobs of a key that creates few");
    }
    for (index, expected) in [(0, false), (2, false), (3, true), (100, true)] {
        assert_eq!(shown(&busy[index]).await, expected, "{index}");
    }
}
