//! Audit records as an account reads them: the caller, action and outcome, and the leaf
//! certificates served before and after. [`chain`] tests the chain over the records.

mod chain;

use std::collections::BTreeSet;

use edgeseal_api::{
    actions::{ACTIONS, Access, Action},
    client::CallError,
    operation::Handler,
};
use serde_json::Value;

use crate::harness::{
    ApiClient, CAS, CDN_VERSION, EDGESEAL, Origin, SET, Server, TIMEOUT, add_params,
    api::upload_params, eventually, pki::AUTHORITY, unlimited,
};

/// Call parameters.
type Params<'a> = &'a [(&'a str, &'a str)];

const NAME: &str = "www.audit.example";

/// All matching records, oldest first.
pub(crate) async fn records(api: &ApiClient, filter: &[(&str, &str)]) -> Vec<Value> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let mut params = filter.to_vec();
        params.extend([("Direction", "FORWARD"), ("MaxResults", "500")]);
        params.extend((!token.is_empty()).then_some(("NextToken", token.as_str())));
        let body = api.ok(EDGESEAL, "DescribeAuditRecords", &params).await;
        all.extend(body["Records"].as_array().unwrap().iter().cloned());
        match body["NextToken"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => return all,
        }
    }
}

/// Waits for the record of this request.
async fn record(api: &ApiClient, request: &str) -> Value {
    eventually(&format!("the record of {request}"), async || {
        let found = records(api, &[("RequestId", request)]).await;
        assert!(found.len() < 2, "{found:?}");
        found.into_iter().next()
    })
    .await
}

fn fingerprint(der: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_records_caller_and_leaves() {
    let server = Server::start();
    let alice = server.create_account("alice").await;
    alice.add(NAME, &Origin::start().await).await;
    let (one, other) = (AUTHORITY.issue(&[NAME]), AUTHORITY.issue(&[NAME]));
    let (first, second) = (fingerprint(&one.leaf), fingerprint(&other.leaf));
    let staged = [&upload_params(NAME, &one)[..], &[("Env", "staging")]].concat();
    let on_one = upload_params(NAME, &one);
    let on_other = upload_params(NAME, &other);
    let off = [("DomainName", NAME), ("SSLProtocol", "off")];
    let named = [("DomainName", NAME)];
    let production =
        |before: &str, after: &str| ("production", before.to_owned(), after.to_owned());
    let staging = |before: &str, after: &str| ("staging", before.to_owned(), after.to_owned());
    let steps: [(&str, Params<'_>, Vec<_>); 8] = [
        (SET, &on_one, vec![production("", &first)]),
        // Another certificate with the same leaf.
        (SET, &on_one, vec![production(&first, &first)]),
        (SET, &on_other, vec![production(&first, &second)]),
        (SET, &staged, vec![staging("", &first)]),
        (
            "PublishStagingConfigToProduction",
            &named,
            vec![production(&second, &first), staging(&first, "")],
        ),
        (SET, &off, vec![production(&first, "")]),
        (SET, &on_other, vec![production("", &second)]),
        ("DeleteCdnDomain", &named, vec![production(&second, "")]),
    ];
    for (n, (action, params, expected)) in steps.into_iter().enumerate() {
        let body = alice.ok(CDN_VERSION, action, params).await;
        let told = record(&alice, body["RequestId"].as_str().unwrap()).await;
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        assert_eq!(
            text("Principal"),
            format!("acs:ram::{}:root", alice.account)
        );
        assert_eq!(text("AccessKeyId"), alice.key);
        assert_eq!(text("SourceIp"), "127.0.0.1");
        assert_eq!(
            (text("Action").as_str(), text("Code").as_str()),
            (action, "OK")
        );
        assert_eq!(text("Resource"), NAME);
        let bindings: Vec<_> = told["Bindings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bound| {
                assert_eq!(bound["DomainName"], NAME);
                let text = |name: &str| bound[name].as_str().unwrap().to_owned();
                (
                    text("Environment"),
                    text("BeforeSha256"),
                    text("AfterSha256"),
                )
            })
            .collect();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(environment, before, after)| (environment.to_owned(), before, after))
            .collect();
        assert_eq!(bindings, expected, "step {n}, {action}");
    }
    // No other account sees the records, not even the root account.
    let root = server.root_client();
    assert!(records(&root, &[("ActionName", SET)]).await.is_empty());
    server.stop();
}

/// The actions that can be refused after the caller's account is known.
fn signed() -> impl Iterator<Item = &'static Action> {
    ACTIONS
        .iter()
        .filter(|action| matches!(action.handler, Handler::Signed(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_s_refusal_is_recorded() {
    let server = Server::start_with(&unlimited());
    let bob = server.create_account("bob").await;
    let mut refused = BTreeSet::new();
    for action in signed() {
        // Without parameters most calls are refused, and Bob may not call the operator's actions.
        match bob.call(action.version, action.name, &[]).await {
            Ok(_) => {}
            Err(CallError::Api(refusal)) => {
                refused.insert((
                    action.name.to_owned(),
                    refusal.code.clone(),
                    refusal.request,
                ));
            }
            Err(error) => panic!("{}: {error:?}", action.name),
        }
    }
    let changing = signed().filter(|action| action.access == Access::Write);
    for action in changing {
        let found = refused.iter().any(|(name, ..)| *name == action.name);
        assert!(found, "{} succeeds without parameters", action.name);
    }
    for (action, code, request) in refused {
        // Two versions of one action share one kind.
        let filter = [("ActionName", action.as_str()), ("Code", &code)];
        let what = format!("{action}: {code}");
        let found = eventually(&what, async || {
            records(&bob, &filter).await.into_iter().next()
        });
        let found = found.await;
        assert!(
            !found["Notes"].as_array().unwrap().is_empty(),
            "{request}: {found}"
        );
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_change_is_recorded() {
    let server = Server::start_with(&unlimited());
    let (root, origin) = (server.root_client(), Origin::start().await);
    let sources = origin.sources();
    let pem = AUTHORITY.issue(&[NAME]);
    let centre = AUTHORITY.issue(&[NAME]);
    let added = add_params(NAME, &sources);
    let named = [("DomainName", NAME)];
    let functions =
        r#"[{"functionName":"https_force","functionArgs":[{"argName":"enable","argValue":"on"}]}]"#;
    let configured = [("DomainNames", NAME), ("Functions", functions)];
    let tagged = [
        ("ResourceType", "DOMAIN"),
        ("ResourceId.1", NAME),
        ("Tag.1.Key", "k"),
        ("Tag.1.Value", "v"),
    ];
    let untagged = [
        ("ResourceType", "DOMAIN"),
        ("ResourceId.1", NAME),
        ("TagKey.1", "k"),
    ];
    let staged = [&upload_params(NAME, &pem)[..], &[("Env", "staging")]].concat();
    let in_centre = [
        ("Name", "in-centre"),
        ("Cert", centre.chain.as_str()),
        ("Key", &centre.key),
    ];
    let mode = [("DomainName", NAME), ("Mode", "safe")];
    let normal = [("DomainName", NAME), ("Mode", "normal")];
    let steps: [(&str, &str, Params<'_>); 16] = [
        (CDN_VERSION, "AddCdnDomain", &added),
        (CDN_VERSION, SET, &upload_params(NAME, &pem)),
        (CDN_VERSION, "ModifyCdnDomain", &added),
        (CDN_VERSION, "BatchSetCdnDomainConfig", &configured),
        (CDN_VERSION, "TagResources", &tagged),
        (CDN_VERSION, "UntagResources", &untagged),
        (CDN_VERSION, SET, &staged),
        (CDN_VERSION, "RollbackStagingConfig", &named),
        (CDN_VERSION, SET, &staged),
        (CDN_VERSION, "PublishStagingConfigToProduction", &named),
        (CDN_VERSION, "StopCdnDomain", &named),
        (CDN_VERSION, "StartCdnDomain", &named),
        (CAS, "UploadUserCertificate", &in_centre),
        (EDGESEAL, "SetDomainMode", &mode),
        (EDGESEAL, "SetDomainMode", &normal),
        (CDN_VERSION, "DeleteCdnDomain", &named),
    ];
    for (version, action, params) in steps {
        let body = root.ok(version, action, params).await;
        let told = record(&root, body["RequestId"].as_str().unwrap()).await;
        assert_eq!(
            (&told["Action"], &told["Code"]),
            (&action.into(), &"OK".into())
        );
    }
    // Responses that contain a secret.
    let created = root
        .call(EDGESEAL, "CreateAccessKey", &[])
        .await
        .unwrap()
        .body;
    let key = created["AccessKey"]["AccessKeyId"].as_str().unwrap();
    record(&root, created["RequestId"].as_str().unwrap()).await;
    for (action, status) in [
        ("UpdateAccessKey", Some(("Status", "Inactive"))),
        ("DeleteAccessKey", None),
    ] {
        let mut params = vec![("UserAccessKeyId", key)];
        params.extend(status);
        let body = root.ok(EDGESEAL, action, &params).await;
        let told = record(&root, body["RequestId"].as_str().unwrap()).await;
        assert_eq!(
            (&told["Action"], &told["Resource"]),
            (&action.into(), &key.into())
        );
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_filters() {
    let server = Server::start_with(&unlimited());
    let (alice, origin) = (server.create_account("alice").await, Origin::start().await);
    for n in 0..12 {
        alice.add(&format!("{n}.audit.example"), &origin).await;
    }
    alice
        .refused(
            CDN_VERSION,
            "StopCdnDomain",
            &[("DomainName", "none.example")],
        )
        .await;
    // The first record is the account's creation, which the creator's audit log has as well.
    let all = eventually("all records", async || {
        Some(records(&alice, &[]).await).filter(|all| all.len() == 14)
    })
    .await;
    let (mut backwards, mut token) = (Vec::new(), String::new());
    loop {
        let mut params = vec![("MaxResults", "5")];
        params.extend((!token.is_empty()).then_some(("NextToken", token.as_str())));
        let body = alice.ok(EDGESEAL, "DescribeAuditRecords", &params).await;
        let page = body["Records"].as_array().unwrap();
        assert!(page.len() <= 5 && body["MaxResults"] == 5, "{body}");
        backwards.extend(page.iter().cloned());
        match body["NextToken"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    backwards.reverse();
    assert_eq!(backwards, all);
    for (filter, count) in [
        (("ActionName", "AddCdnDomain"), 12),
        (("ActionName", "Add*"), 12),
        (("ActionName", "Add"), 0),
        (("Code", "InvalidDomain.NotFound"), 1),
        (("Resource", "3.audit.example"), 1),
        (("Resource", "1*"), 3),
        (("Principal", "root"), 14),
        (("Principal", "user/*"), 0),
        (("SourceIp", "127.0.0.1"), 14),
        (("SourceIp", "192.0.2.1"), 0),
        (("StartTime", "2001-01-01T00:00:00Z"), 14),
        (("EndTime", "2001-01-01T00:00:00Z"), 0),
    ] {
        assert_eq!(records(&alice, &[filter]).await.len(), count, "{filter:?}");
    }
    for (params, code) in [
        (
            &[("StartTime", "yesterday")][..],
            "InvalidStartTime.Malformed",
        ),
        (&[("EndTime", "tomorrow")], "InvalidEndTime.Malformed"),
        (
            &[
                ("StartTime", "2026-01-02T00:00:00Z"),
                ("EndTime", "2026-01-01T00:00:00Z"),
            ],
            "InvalidEndTime.Malformed",
        ),
        (&[("MaxResults", "0")], "InvalidMaxResults"),
        (&[("MaxResults", "501")], "InvalidMaxResults"),
        (&[("Direction", "UP")], "InvalidDirection"),
        (&[("NextToken", "../../domain/")], "InvalidNextToken"),
        (&[("NextToken", "000001800000000-a/b")], "InvalidNextToken"),
    ] {
        let refusal = alice
            .refused(EDGESEAL, "DescribeAuditRecords", params)
            .await;
        assert_eq!(refusal.code, code, "{params:?}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_is_counted() {
    const FLOOD: usize = 200;
    let mut server = Server::start_with(&unlimited());
    let bob = server.create_account("bob").await;
    for _ in 0..FLOOD {
        let refusal = bob.refused(CDN_VERSION, SET, &[]).await;
        assert_eq!(refusal.code, "MissingDomainName");
    }
    // The last record counts the omitted ones.
    assert_eq!(server.terminate().code(), Some(0));
    server.launch();
    let bob = server.client_for(
        &bob.account,
        &bob.key,
        core::str::from_utf8(bob.secret.expose()).unwrap(),
    );
    let found = records(&bob, &[("Code", "MissingDomainName")]).await;
    assert!(
        (2..=8).contains(&found.len()),
        "{} records in {TIMEOUT:?}",
        found.len()
    );
    let left_out: usize = found
        .iter()
        .flat_map(|record| record["Notes"].as_array().unwrap())
        .filter_map(|note| {
            note.as_str()?
                .strip_suffix(" more of this kind within a minute before were left out")
        })
        .map(|count| count.parse::<usize>().unwrap())
        .sum();
    assert_eq!(found.len() + left_out, FLOOD);
    server.stop();
}
