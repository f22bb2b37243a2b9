//! Any text as a policy document, of an identity or of the trust of a role.
//!
//! Parsing never panics; every error is printable; a parsed policy serializes to an equal one. For
//! any policy: a session policy that allows everything changes no decision, an additional policy
//! that denies everything decides, and accounts themselves cannot assume a role.
#![no_main]

use std::sync::LazyLock;

use edgeseal_core::{
    AccountId, Timestamp,
    policy::{
        AssumingPrincipal, AttachedPolicy, Document, InvalidPolicy, Policies, PrincipalArn,
        Request, RequestContext, Resource, TrustDocument, Verdict, document::POLICY_CHARS_MAX,
        evaluate, may_assume, system,
    },
};
use libfuzzer_sys::fuzz_target;

static DENY_ALL: LazyLock<Document> = LazyLock::new(|| {
    Document::parse(r#"{"Version":"1","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#)
        .expect("a policy")
});

fuzz_target!(|text: &str| {
    match Document::parse(text) {
        Err(why) => check_message(&why, text),
        Ok(document) => {
            let printed = serde_json::to_string(&document).expect("a policy prints");
            assert!(printed.chars().count() <= text.chars().count(), "{printed}");
            assert_eq!(
                Document::parse(&printed).as_ref(),
                Ok(&document),
                "{printed}"
            );
            check_decisions(&document);
        }
    }
    match TrustDocument::parse(text) {
        Err(why) => check_message(&why, text),
        Ok(trust) => {
            let printed = serde_json::to_string(&trust).expect("a policy prints");
            assert_eq!(
                TrustDocument::parse(&printed).as_ref(),
                Ok(&trust),
                "{printed}"
            );
            let account = AccountId::parse("1234567890123456").expect("an account");
            let user = PrincipalArn::User {
                account: account.clone(),
                name: "alice".to_owned(),
            };
            let assumes = |arn, is_namesake| {
                may_assume(
                    &trust,
                    AssumingPrincipal {
                        arn,
                        is_recreated: is_namesake,
                    },
                    &context(),
                )
                .is_allowed()
            };
            assert!(assumes(&user, false) || !assumes(&user, true));
            assert!(!assumes(&PrincipalArn::Account(account), false));
        }
    }
});

fn check_message(why: &InvalidPolicy, text: &str) {
    let said = why.to_string();
    assert!(
        !said.is_empty() && !said.contains(char::is_control) && said.len() < 2000,
        "{said:?}"
    );
    let too_long = text.chars().count() > POLICY_CHARS_MAX;
    assert_eq!(too_long, matches!(why, InvalidPolicy::TooLong { .. }));
}

fn context() -> RequestContext {
    RequestContext {
        source_ip: Some([10, 1, 2, 3].into()),
        secure_transport: Some(true),
        ..RequestContext::new(Timestamp::from_unix_seconds(1_777_636_800))
            .with_key("sts:ExternalId", "5")
    }
}

fn check_decisions(document: &Document) {
    let everything = system::find("AdministratorAccess")
        .expect("a system policy")
        .document();
    let [own, nothing] = [document, &DENY_ALL].map(|document| AttachedPolicy {
        name: "p",
        document,
    });
    let context = context();
    let resources = [
        Resource::new("acs:cdn:*:1234567890123456:domain/a.example.com").with_tag("env", "test"),
        Resource::new("acs:ram::1234567890123456:role/R"),
        Resource::new("*"),
    ];
    for action in ["cdn:SetCdnDomainSSLCertificate", "sts:AssumeRole"] {
        for resources in [&resources[..1], &resources[1..2], &resources] {
            let request = Request {
                action,
                resources,
                context: &context,
            };
            let verdict = |identity: &[AttachedPolicy<'_>], session| {
                evaluate(&Policies { identity, session }, &request).verdict
            };
            let alone = verdict(&[own], None);
            assert_eq!(verdict(&[own], Some(everything)), alone);
            assert_eq!(verdict(&[own, own], Some(document)), alone);
            assert_eq!(verdict(&[own, nothing], None), Verdict::ExplicitDeny);
            assert_ne!(verdict(&[], Some(document)), Verdict::Allowed);
        }
    }
}
