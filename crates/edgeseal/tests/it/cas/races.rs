//! Concurrent binding, release and deletion of certificates.

use edgeseal_api::client::CallError;
use tokio::task::JoinSet;

use super::{CasFixture, DELETE, stored};
use crate::harness::{
    ApiClient, CAS, CAS_2018, CDN_VERSION, SET, TestCertificate, pki::AUTHORITY,
    tls::HandshakeFailure,
};

const BINDERS: usize = 20;

/// Version, action and parameters.
type Call = (&'static str, &'static str, Vec<(String, String)>);

/// Makes all calls concurrently; returns the results in order.
async fn at_once(api: &ApiClient, calls: Vec<Call>) -> Vec<Result<(), String>> {
    let mut running = JoinSet::new();
    for (number, (version, action, params)) in calls.into_iter().enumerate() {
        let api = api.clone();
        running.spawn(async move {
            let params = params.iter().map(|(name, value)| (&**name, &**value));
            let params: Vec<(&str, &str)> = params.collect();
            let outcome = match api.call(version, action, &params).await {
                Ok(_) => Ok(()),
                Err(CallError::Api(refusal)) => Err(refusal.code),
                Err(error) => panic!("{action}: {error:?}"),
            };
            (number, outcome)
        });
    }
    let mut outcomes = running.join_all().await;
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn bind(domain: &str, id: i64) -> Call {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let params = stored(domain, &id.to_string()).map(owned);
    (CDN_VERSION, SET, params.to_vec())
}

fn delete(version: &'static str, id: i64) -> Call {
    let params = vec![("CertId".to_owned(), id.to_string())];
    (version, DELETE, params)
}

/// Adds this many domains and returns their names.
async fn domains(centre: &CasFixture, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for number in 0..count {
        let name = format!("r{number}.centre.example");
        centre.api.add(&name, &centre.origin).await;
        names.push(name);
    }
    names
}

/// Asserts that exactly the bound domains serve the certificate. Returns whether it was deleted and
/// how many domains are bound.
async fn assert_outcome(
    centre: &CasFixture,
    pem: &TestCertificate,
    calls: Vec<Call>,
    outcomes: Vec<Result<(), String>>,
) -> (bool, usize) {
    let mut bound = 0;
    let mut deleted = false;
    for ((_, action, params), outcome) in calls.iter().zip(outcomes) {
        if *action == DELETE {
            match outcome.as_ref().map_err(String::as_str) {
                Ok(()) => deleted = true,
                Err("CertificateInUse" | "NotFound" | "ServiceBusy") => {}
                Err(code) => panic!("{DELETE}: {code}"),
            }
            continue;
        }
        let name = &params[0].1;
        let served = centre.server.served(name).await;
        match outcome.as_ref().map_err(String::as_str) {
            Ok(()) => {
                let shown = served.unwrap_or_else(|why| panic!("{name}: {why:?}"));
                assert_eq!(shown[0], pem.leaf, "{name}");
                bound += 1;
            }
            Err("Certificate.NotFind" | "CreateCertificateFailed") => {
                assert_eq!(served, Err(HandshakeFailure::UNRECOGNIZED_NAME), "{name}");
            }
            Err(code) => panic!("{name}: {code}"),
        }
    }
    (deleted, bound)
}

/// Whichever call wins, a domain serves the certificate if and only if its binding was
/// acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_binding_never_races_a_deletion() {
    let centre = CasFixture::start("").await;
    let names = domains(&centre, BINDERS).await;
    let mut met = Vec::new();
    for round in 0..8 {
        for name in &names {
            centre.api.call_on_domain("DeleteCdnDomain", name).await;
            centre.api.add(name, &centre.origin).await;
        }
        let version = if round % 2 == 0 { CAS } else { CAS_2018 };
        let pem = AUTHORITY.issue(&["*.centre.example"]);
        let id = centre.upload(&format!("round {round}"), &pem).await;
        let mut calls: Vec<_> = names.iter().map(|name| bind(name, id)).collect();
        // The position among the concurrent calls varies, so that each side wins at times.
        for place in [round * 2, round * 2 + 5] {
            calls.insert(place.min(calls.len()), delete(version, id));
        }
        let outcomes = at_once(&centre.api, calls.clone()).await;
        let (deleted, bound) = assert_outcome(&centre, &pem, calls, outcomes).await;
        if version == CAS && deleted {
            assert_eq!(bound, 0, "round {round}: deleted although it was bound");
        }
        met.push((deleted, bound > 0));
    }
    // Both outcomes must occur, or the race proves nothing.
    assert!(met.iter().any(|(deleted, _)| *deleted), "{met:?}");
    assert!(met.iter().any(|(_, bound)| *bound), "{met:?}");
    // Every stored certificate is still in CAS once nothing binds it.
    for name in &names {
        centre.api.call_on_domain("DeleteCdnDomain", name).await;
    }
    let left = centre.names().await.len();
    let stored = centre.into_store_dump().await;
    assert_eq!(stored.keys("cert/").len(), left);
    assert_eq!(stored.keys("material/").len(), left);
    assert_eq!(stored.keys("certuse/"), [] as [&str; 0]);
}

/// The last bindings of a deleted certificate are released at the same moment, and it is removed
/// with them.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_last_releases_remove_a_deleted_certificate() {
    let centre = CasFixture::start("").await;
    let names = domains(&centre, 4).await;
    let next = AUTHORITY.issue(&["*.centre.example"]);
    let next = centre.upload("next", &next).await;
    for round in 0..20 {
        let pem = AUTHORITY.issue(&["*.centre.example"]);
        let id = centre.upload("old", &pem).await;
        for name in &names {
            centre.bind(name, id).await;
        }
        centre.delete(CAS_2018, id).await;
        let calls = names.iter().map(|name| bind(name, next)).collect();
        let outcomes = at_once(&centre.api, calls).await;
        assert!(outcomes.iter().all(Result::is_ok), "{round}: {outcomes:?}");
    }
    let stored = centre.into_store_dump().await;
    let left = stored.keys("cert/");
    assert_eq!(left.len(), 1, "only the new certificate is left: {left:?}");
    assert_eq!(stored.keys("material/").len(), 1);
}

/// The last certificates with one content are deleted at the same moment, and its key is removed
/// with them.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_last_deletions_remove_the_key() {
    let centre = CasFixture::start("").await;
    for round in 0..20 {
        let pem = AUTHORITY.issue(&["*.centre.example"]);
        let mut calls = Vec::new();
        for copy in 0..4 {
            let id = centre.upload(&format!("{round}, {copy}"), &pem).await;
            calls.push(delete(CAS, id));
        }
        let outcomes = at_once(&centre.api, calls).await;
        assert!(outcomes.iter().all(Result::is_ok), "{round}: {outcomes:?}");
    }
    let stored = centre.into_store_dump().await;
    for prefix in ["cert/", "material/", "content/"] {
        let left = stored.keys(prefix);
        assert!(left.is_empty(), "{left:?}");
    }
}
