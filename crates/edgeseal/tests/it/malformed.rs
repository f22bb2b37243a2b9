//! Malformed certificates, keys, chains and combinations of parameters. Each call is refused with
//! its code and does not change what is served.

mod chains;
mod keys;
mod parameters;

use std::collections::BTreeSet;

use crate::harness::{
    CDN_VERSION, Origin, SET, Server, TestCertificate, UNLIMITED, pki::AUTHORITY,
};

pub(crate) const NAME: &str = "www.malformed.example";

/// One malformed upload or combination of parameters.
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) code: &'static str,
    /// Besides DomainName and SSLProtocol.
    pub(crate) params: Vec<(&'static str, String)>,
}

impl Case {
    pub(crate) fn upload(what: &'static str, code: &'static str, chain: String, key: &str) -> Self {
        let params = vec![("SSLPub", chain), ("SSLPri", key.to_owned())];
        Self { what, code, params }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_input_is_refused_and_changes_nothing() {
    let server = Server::start_with(UNLIMITED);
    let (api, origin) = (server.root_client(), Origin::start().await);
    let bound = api.serve(NAME, &origin).await;
    let before = api.info(NAME).await;

    let sound: TestCertificate = AUTHORITY.issue(&[NAME]);
    let cases: Vec<Case> = [
        chains::cases(&sound),
        keys::cases(&sound),
        parameters::cases(&sound),
    ]
    .into_iter()
    .flatten()
    .collect();
    let different: BTreeSet<&str> = cases.iter().map(|case| case.what).collect();
    assert_eq!(different.len(), cases.len(), "each case says what it is");
    assert!(cases.len() >= 40);
    let mut wrong = Vec::new();
    for case in cases {
        let mut params = vec![("DomainName", NAME)];
        if !case.params.iter().any(|(name, _)| *name == "SSLProtocol") {
            params.push(("SSLProtocol", "on"));
        }
        params.extend(
            case.params
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        let refusal = api.refused(CDN_VERSION, SET, &params).await;
        if refusal.code != case.code {
            wrong.push(format!(
                "{}: expected {}, {refusal:?}",
                case.what, case.code
            ));
        }
        assert!(
            refusal.detail.len() >= 20,
            "{}: {:?}",
            case.what,
            refusal.detail
        );
        server.assert_serves(NAME, &bound.leaf, case.what).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(api.info(NAME).await, before, "as the API tells it");
    // The sound one of which all were made is accepted.
    api.set(NAME, &sound).await.unwrap();
    server
        .assert_serves(NAME, &sound.leaf, "once the sound one is set")
        .await;
    server.stop();
}
