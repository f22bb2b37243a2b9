//! A dry run says what the real call would, and changes nothing.

use super::*;
use crate::pipeline;

const SET: (&str, &str) = (CDN, "SetCdnDomainSSLCertificate");

type Params<'a> = Vec<(&'a str, &'a str)>;

fn with<'a>(params: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Params<'a> {
    [params, more].concat()
}

/// Runs a call dry; asserts that the store is the same afterwards.
async fn dry(world: &TestServer, who: &str, call: (&str, &str), params: &[(&str, &str)]) -> Value {
    let before = world.dump().await;
    let params = with(params, &[("DryRun", "true")]);
    let response = world.call(&world.keys[who], call.0, call.1, &params).await;
    assert_eq!(world.dump().await, before, "{call:?} {params:?}");
    response
}

#[tokio::test]
async fn each_variant_checks_and_changes_nothing() {
    for (call, [switch, chain, key]) in SPELLINGS {
        // One for each: some variants share a rate.
        let world = world().await;
        let (chain_pem, key_pem) = pem(DOMAIN);
        let upload = [
            ("DomainName", DOMAIN),
            ("CertName", "a"),
            (chain, &*chain_pem),
            (key, &*key_pem),
        ];
        for given in [
            &[(switch, "on")][..],
            &[(switch, "on"), ("CertType", "cas")],
            &[(switch, "off")],
        ] {
            let said = dry(&world, "minimal", call, &with(&upload, given)).await;
            let members: Vec<&String> = said.as_object().unwrap().keys().collect();
            assert_eq!(members, ["RequestId"], "{call:?} {given:?}: {said}");
        }
        // The name is still free for other content, and then it is taken.
        let (other_chain, other_key) = pem(DOMAIN);
        let other = [
            ("DomainName", DOMAIN),
            ("CertName", "a"),
            (switch, "on"),
            (chain, &*other_chain),
            (key, &*other_key),
        ];
        ok(&world, "only", call, &other).await;
        let again = with(&upload, &[(switch, "on")]);
        let said = dry(&world, "minimal", call, &again).await;
        let minimal = &world.keys["minimal"];
        let really = world.call(minimal, call.0, call.1, &again).await;
        assert_eq!(error_of(&said), error_of(&really), "{call:?}");
        assert_eq!(said["Detail"], really["Detail"], "{call:?}");
        let unclear = with(&again, &[("DryRun", "maybe")]);
        let response = world.call(minimal, call.0, call.1, &unclear).await;
        let detail = response["Detail"].as_str().unwrap();
        assert_eq!(detail, "DryRun is \"maybe\"; use true or false", "{call:?}");
    }
}

#[tokio::test]
async fn refusals_and_warnings_are_those_of_the_real_call() {
    let world = world().await;
    let (chain, key) = pem(DOMAIN);
    let (other_chain, other_key) = pem(SECRET);
    let on = [("DomainName", DOMAIN), ("SSLProtocol", "on")];
    let upload = with(&on, &[("SSLPub", &chain), ("SSLPri", &key)]);
    let table: [Params<'_>; 9] = [
        vec![("DomainName", "b.example.com"), ("SSLProtocol", "on")],
        vec![("DomainName", DOMAIN)],
        vec![("DomainName", DOMAIN), ("SSLProtocol", "maybe")],
        on.to_vec(),
        with(&upload, &[("CertType", "unknown")]),
        with(&on, &[("CertType", "free")]),
        with(&upload, &[("Companion", "true")]),
        with(&on, &[("CertId", "77")]),
        with(&on, &[("SSLPub", &other_chain), ("SSLPri", &other_key)]),
    ];
    for params in table {
        let said = dry(&world, "own", SET, &params).await;
        let really = world.call(&world.keys["own"], SET.0, SET.1, &params).await;
        assert!(said["Code"].is_string(), "{params:?}: {said}");
        for member in ["Code", "Message", "Detail", "Recommend"] {
            assert_eq!(said[member], really[member], "{params:?}");
        }
    }
    let unknown = with(&upload, &[("Env", "canary")]);
    let said = dry(&world, "own", SET, &unknown).await;
    let really = ok(&world, "own", SET, &unknown).await;
    assert_eq!(said["Warnings"], really["Warnings"]);
    assert_eq!(said["Warnings"][0]["Kind"], "UnknownEnvironment");
}

/// The body is that of the real call; only the headers differ.
#[tokio::test]
async fn a_header_marks_a_dry_run_and_there_is_no_revision() {
    let world = world().await;
    let (chain, key) = pem(DOMAIN);
    for (given, is_dry) in [
        ("true", true),
        ("TRUE", true),
        ("false", false),
        ("", false),
    ] {
        let params = [
            ("DomainName", DOMAIN),
            ("SSLProtocol", "on"),
            ("SSLPub", &chain),
            ("SSLPri", &key),
            ("DryRun", given),
        ];
        let raw = world.keys["own"].sign(SET.0, SET.1, &params);
        let response = pipeline::handle_request(&world.context, raw).await;
        assert_eq!(response.status, 200, "{given:?}");
        let value = |wanted: &str| {
            let mut headers = response.headers.iter();
            let found = headers.find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let marked = value("x-edgeseal-dry-run");
        assert_eq!(marked, is_dry.then_some("true"), "{given:?}");
        assert_eq!(value("x-edgeseal-revision").is_none(), is_dry, "{given:?}");
    }
}
