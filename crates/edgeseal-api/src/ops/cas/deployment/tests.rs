//! Who may make jobs, and whose are kept.

use edgeseal_core::rate::Limit;
use serde_json::Value;

use crate::{
    Settings,
    world::{World, document, statement},
};

const ACCOUNT: &str = "1000000000000001";
const CDN: &str = "2018-05-10";
const CAS: &str = "2020-04-07";
const CREATE: &str = "CreateDeploymentJob";
const SET: &str = "cdn:SetCdnDomainSSLCertificate";

async fn ok(world: &World, who: &str, call: (&str, &str), params: &[(&str, &str)]) -> Value {
    let answer = world.call(&world.keys[who], call.0, call.1, params).await;
    assert_eq!(answer.get("Code"), None, "{call:?} {params:?}: {answer}");
    answer
}

/// An account with these domains and a certificate for the first; the number of that, and the
/// numbers of the domains.
async fn world(names: &[&str]) -> (World, String, Vec<String>) {
    let often = Limit::per_second(1000);
    let mut world = World::empty(Settings {
        limits: [(CREATE.to_owned(), often)].into(),
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

/// Statements that let somebody make jobs, and bind certificates to the domains of this name.
fn may_set(names: &str) -> String {
    let domains = format!("acs:cdn:*:*:domain/{names}");
    document(&[statement("yundun-cert:*", "*"), statement(SET, &domains)])
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
        let answer = world.call(own, CAS, "DescribeDeploymentJob", &named).await;
        answer.get("Code").is_none()
    };
    for id in &rare {
        assert!(shown(id).await, "one of two of a key that makes few");
    }
    for (index, expected) in [(0, false), (2, false), (3, true), (100, true)] {
        assert_eq!(shown(&busy[index]).await, expected, "{index}");
    }
}
