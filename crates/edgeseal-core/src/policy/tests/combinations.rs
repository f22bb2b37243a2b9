//! Decision table, part 3: statements, policies and layers together; and who may assume a role.

use super::*;

const ALLOW: &str = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
const DENY: &str = r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#;
const OTHER_ALLOW: &str = r#"{"Effect":"Allow","Action":"ram:*","Resource":"*"}"#;
const OTHER_DENY: &str = r#"{"Effect":"Deny","Action":"ram:*","Resource":"*"}"#;
const ALLOW_A: &str = r#"{"Effect":"Allow","Action":"*","Resource":"acs:cdn:*:*:domain/a.com"}"#;
const DENY_B: &str = r#"{"Effect":"Deny","Action":"*","Resource":"acs:cdn:*:*:domain/b.com"}"#;

/// The statement that decides, by its layer and the indexes of its policy, itself and its resource.
const fn decided_by(layer: Layer, policy: usize, statement: usize, resource: usize) -> By {
    By::Statement(layer, policy, statement, resource)
}

/// What decides.
#[derive(Clone, Copy)]
enum By {
    Statement(Layer, usize, usize, usize),
    Lack(Layer, usize),
}

use Layer::{Identity, Session};
use Verdict::{Allowed, ExplicitDeny, ImplicitDeny};

/// The case; the statements of each identity policy; those of the session policy; the requested
/// domains; the verdict; what decides.
type Row = (
    &'static str,
    &'static [&'static [&'static str]],
    Option<&'static [&'static str]>,
    &'static [&'static str],
    Verdict,
    By,
);

#[rustfmt::skip]
const LAYERS: &[Row] = &[
    ("an identity without policies",          &[],                                None,                      &["a.com"], ImplicitDeny, By::Lack(Identity, 0)),
    ("one allow",                             &[&[ALLOW]],                        None,                      &["a.com"], Allowed,      decided_by(Identity, 0, 0, 0)),
    ("an allow of something else",            &[&[OTHER_ALLOW]],                  None,                      &["a.com"], ImplicitDeny, By::Lack(Identity, 0)),
    ("one deny",                              &[&[DENY]],                         None,                      &["a.com"], ExplicitDeny, decided_by(Identity, 0, 0, 0)),
    ("deny after allow",                      &[&[ALLOW, DENY]],                  None,                      &["a.com"], ExplicitDeny, decided_by(Identity, 0, 1, 0)),
    ("deny before allow",                     &[&[DENY, ALLOW]],                  None,                      &["a.com"], ExplicitDeny, decided_by(Identity, 0, 0, 0)),
    ("deny in another policy",                &[&[ALLOW], &[DENY]],               None,                      &["a.com"], ExplicitDeny, decided_by(Identity, 1, 0, 0)),
    ("deny in an earlier policy",             &[&[DENY], &[ALLOW]],               None,                      &["a.com"], ExplicitDeny, decided_by(Identity, 0, 0, 0)),
    ("a deny of something else",              &[&[OTHER_DENY, ALLOW]],            None,                      &["a.com"], Allowed,      decided_by(Identity, 0, 1, 0)),
    ("the first allow is named",              &[&[OTHER_ALLOW], &[OTHER_ALLOW, ALLOW], &[ALLOW]], None,      &["a.com"], Allowed,      decided_by(Identity, 1, 1, 0)),
    ("session and identity allow",            &[&[ALLOW]],                        Some(&[ALLOW]),            &["a.com"], Allowed,      decided_by(Identity, 0, 0, 0)),
    ("the session narrows",                   &[&[ALLOW]],                        Some(&[OTHER_ALLOW]),      &["a.com"], ImplicitDeny, By::Lack(Session, 0)),
    ("the session narrows to a resource",     &[&[ALLOW]],                        Some(&[ALLOW_A]),          &["a.com"], Allowed,      decided_by(Identity, 0, 0, 0)),
    ("the session narrows to another",        &[&[ALLOW]],                        Some(&[ALLOW_A]),          &["c.com"], ImplicitDeny, By::Lack(Session, 0)),
    ("the session does not widen",            &[],                                Some(&[ALLOW]),            &["a.com"], ImplicitDeny, By::Lack(Identity, 0)),
    ("the session does not widen an allow",   &[&[OTHER_ALLOW]],                  Some(&[ALLOW]),            &["a.com"], ImplicitDeny, By::Lack(Identity, 0)),
    ("the session denies",                    &[&[ALLOW]],                        Some(&[ALLOW, DENY]),      &["a.com"], ExplicitDeny, decided_by(Session, 0, 1, 0)),
    ("the identity denies",                   &[&[ALLOW, DENY]],                  Some(&[ALLOW]),            &["a.com"], ExplicitDeny, decided_by(Identity, 0, 1, 0)),
    ("the identity denies, the session lacks", &[&[DENY]],                        Some(&[OTHER_ALLOW]),      &["a.com"], ExplicitDeny, decided_by(Identity, 0, 0, 0)),
    ("both deny: the session is named",       &[&[DENY]],                         Some(&[DENY]),             &["a.com"], ExplicitDeny, decided_by(Session, 0, 0, 0)),
    ("both lack: the session is named",       &[],                                Some(&[OTHER_ALLOW]),      &["a.com"], ImplicitDeny, By::Lack(Session, 0)),
    ("the session denies, the identity lacks", &[],                               Some(&[DENY]),             &["a.com"], ExplicitDeny, decided_by(Session, 0, 0, 0)),
    ("two resources, both allowed",           &[&[ALLOW]],                        None,             &["a.com", "b.com"], Allowed,      decided_by(Identity, 0, 0, 0)),
    ("two resources, by two policies",        &[&[ALLOW_A], &[ALLOW]],            None,             &["a.com", "c.com"], Allowed,      decided_by(Identity, 0, 0, 0)),
    ("two resources, the first not allowed",  &[&[ALLOW_A]],                      None,             &["c.com", "a.com"], ImplicitDeny, By::Lack(Identity, 0)),
    ("two resources, the last not allowed",   &[&[ALLOW_A]],                      None,             &["a.com", "c.com"], ImplicitDeny, By::Lack(Identity, 1)),
    ("two resources, the last denied",        &[&[ALLOW, DENY_B]],                None,             &["a.com", "b.com"], ExplicitDeny, decided_by(Identity, 0, 1, 1)),
    ("two resources, one lacks, one denied",  &[&[ALLOW_A, DENY_B]],              None,             &["c.com", "b.com"], ExplicitDeny, decided_by(Identity, 0, 1, 1)),
    ("two resources, one outside the session", &[&[ALLOW]],                       Some(&[ALLOW_A]), &["a.com", "c.com"], ImplicitDeny, By::Lack(Session, 1)),
    ("a request that names nothing",          &[&[ALLOW]],                        None,                      &[],        ImplicitDeny, By::Lack(Identity, 0)),
];

#[test]
fn layers() {
    for (what, identity, session, names, verdict, by) in LAYERS {
        let parse = |statements: &[&str]| document(&format!("[{}]", statements.join(",")));
        let documents: Vec<Document> = identity.iter().map(|one| parse(one)).collect();
        let policy_names: Vec<String> = (0..documents.len()).map(|at| at.to_string()).collect();
        let attached = documents.iter().zip(&policy_names);
        let attached: Vec<AttachedPolicy<'_>> = attached
            .map(|(document, name)| AttachedPolicy { name, document })
            .collect();
        let session = session.map(parse);
        let policies = Policies {
            identity: &attached,
            session: session.as_ref(),
        };
        let resources: Vec<Resource> = names.iter().map(|name| domain(name)).collect();
        let request = Request {
            action: SET,
            resources: &resources,
            context: &RequestContext::new(noon()),
        };
        let by = match *by {
            By::Lack(layer, resource) => Reason::NoAllow { layer, resource },
            By::Statement(layer, policy, statement, resource) => Reason::Statement {
                layer,
                policy: (layer == Identity).then(|| policy.to_string()),
                statement,
                resource,
            },
        };
        let expected = Decision {
            verdict: *verdict,
            reason: Some(by),
        };
        assert_eq!(evaluate(&policies, &request), expected, "{what}");
    }
}

#[test]
fn tags_are_those_of_each_resource() {
    let statement = r#"{"Effect":"Allow","Action":"*","Resource":"*",
        "Condition":{"StringEquals":{"acs:ResourceTag/team":"dev"}}}"#;
    let one = document(statement);
    let policies = Policies {
        identity: &[AttachedPolicy {
            name: "p",
            document: &one,
        }],
        session: None,
    };
    let tagged = |team| domain("example.com").with_tag("team", team);
    for (teams, allowed) in [
        (["dev", "dev"], true),
        (["dev", "ops"], false),
        (["ops", "dev"], false),
    ] {
        let request = Request {
            action: SET,
            resources: &teams.map(tagged),
            context: &RequestContext::new(noon()),
        };
        assert_eq!(
            evaluate(&policies, &request).is_allowed(),
            allowed,
            "{teams:?}"
        );
    }
}

#[test]
fn nothing_is_allowed_on_names_that_do_not_exist() {
    let long = |octets: usize| Resource::new(format!("acs:{}", "a".repeat(octets - 4)));
    let context = RequestContext::new(noon());
    assert!(alone(ALLOW, SET, long(512), &context).is_allowed());
    assert!(!alone(ALLOW, SET, long(513), &context).is_allowed());
}

/// The case; the statement's principal; the rest of the statement; the caller; the verdict.
type TrustRow = (
    &'static str,
    &'static str,
    &'static str,
    PrincipalArn,
    Verdict,
);

fn trust_rows() -> Vec<TrustRow> {
    const ASSUME: &str = r#""Effect":"Allow","Action":"sts:AssumeRole""#;
    let id = || AccountId::parse(ACCOUNT).unwrap();
    let foreign = || AccountId::parse("6543210987654321").unwrap();
    let user = |account, name: &str| PrincipalArn::User {
        account,
        name: name.to_owned(),
    };
    let session = |account, role: &str, session: &str| PrincipalArn::Role {
        account,
        role: role.to_owned(),
        session: session.to_owned(),
    };
    let service = |name: &str| PrincipalArn::Service(name.to_owned());
    let provider = |name: &str| PrincipalArn::Federated(name.to_owned());
    let root = r#"{"RAM":"acs:ram::1234567890123456:root"}"#;
    let alice = r#"{"RAM":"acs:ram::1234567890123456:user/alice"}"#;
    let role = r#"{"RAM":"acs:ram::1234567890123456:role/deployer"}"#;
    let one_session = r#"{"RAM":"acs:ram::1234567890123456:assumed-role/deployer/ci"}"#;
    let ecs = r#"{"Service":"ecs.aliyuncs.com"}"#;
    let oidc = r#"{"Federated":"acs:ram::1234567890123456:oidc-provider/github"}"#;
    let several = r#"{"RAM":["acs:ram::6543210987654321:root","acs:ram::1234567890123456:user/alice"],"Service":["ecs.aliyuncs.com"]}"#;
    let github = "acs:ram::1234567890123456:oidc-provider/github";
    #[rustfmt::skip]
    let rows = vec![
        ("root is each user of the account",   root,    ASSUME, user(id(), "alice"),             Allowed),
        ("root is each session of it",         root,    ASSUME, session(id(), "deployer", "ci"), Allowed),
        ("root is not its own key",            root,    ASSUME, PrincipalArn::Account(id()),     ImplicitDeny),
        ("root is no user of another account", root,    ASSUME, user(foreign(), "alice"),        ImplicitDeny),
        ("root is no service",                 root,    ASSUME, service("ecs.aliyuncs.com"),     ImplicitDeny),
        ("root is no identity provider",       root,    ASSUME, provider(github),                ImplicitDeny),
        ("one user",                           alice,   ASSUME, user(id(), "alice"),             Allowed),
        ("another user",                       alice,   ASSUME, user(id(), "bob"),               ImplicitDeny),
        ("case of a user's name matters",      alice,   ASSUME, user(id(), "Alice"),             ImplicitDeny),
        ("a user of that name elsewhere",      alice,   ASSUME, user(foreign(), "alice"),        ImplicitDeny),
        ("a session of that name",             alice,   ASSUME, session(id(), "alice", "alice"), ImplicitDeny),
        ("any session of a role",              role,    ASSUME, session(id(), "deployer", "x"),  Allowed),
        ("a session of another role",          role,    ASSUME, session(id(), "other", "x"),     ImplicitDeny),
        ("a session of that role elsewhere",   role,    ASSUME, session(foreign(), "deployer", "x"), ImplicitDeny),
        ("a user called like the role",        role,    ASSUME, user(id(), "deployer"),          ImplicitDeny),
        ("one session",                        one_session, ASSUME, session(id(), "deployer", "ci"), Allowed),
        ("another session",                    one_session, ASSUME, session(id(), "deployer", "x"), ImplicitDeny),
        ("a service",                          ecs,     ASSUME, service("ecs.aliyuncs.com"),     Allowed),
        ("another service",                    ecs,     ASSUME, service("cdn.aliyuncs.com"),     ImplicitDeny),
        ("an identity provider",               oidc,    ASSUME, provider(github),                Allowed),
        ("another identity provider",          oidc,    ASSUME, provider("acs:ram::1234567890123456:oidc-provider/gitlab"), ImplicitDeny),
        ("one of several kinds",               several, ASSUME, service("ecs.aliyuncs.com"),     Allowed),
        ("one of several of a kind",           several, ASSUME, user(id(), "alice"),             Allowed),
        ("none of several",                    several, ASSUME, user(id(), "bob"),               ImplicitDeny),
        ("another action",                     root, r#""Effect":"Allow","Action":"sts:SetSourceIdentity""#, user(id(), "alice"), ImplicitDeny),
        ("the action in another case",         root, r#""Effect":"Allow","Action":"STS:assumerole""#, user(id(), "alice"), Allowed),
        ("a deny",                             root, r#""Effect":"Deny","Action":"sts:*""#,           user(id(), "alice"), ExplicitDeny),
        ("a condition that holds",             root, r#""Effect":"Allow","Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"e-1"}}"#, user(id(), "alice"), Allowed),
        ("a condition that does not",          root, r#""Effect":"Allow","Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"e-2"}}"#, user(id(), "alice"), ImplicitDeny),
    ];
    rows
}

const fn known(arn: &PrincipalArn) -> AssumingPrincipal<'_> {
    AssumingPrincipal {
        arn,
        is_recreated: false,
    }
}

#[test]
fn a_recreated_identity_is_not_allowed_but_denied_by_name() {
    let user = PrincipalArn::User {
        account: AccountId::parse(ACCOUNT).unwrap(),
        name: "alice".to_owned(),
    };
    let statement = |effect: &str, who: &str| {
        format!(
            r#"{{"Effect":"{effect}","Action":"sts:AssumeRole","Principal":{{"RAM":"acs:ram::{ACCOUNT}:{who}"}}}}"#
        )
    };
    let named = statement("Allow", "user/alice");
    let all = statement("Allow", "root");
    let denied = statement("Deny", "user/alice");
    for (statements, is_namesake, expected) in [
        (named.clone(), false, Allowed),
        (named.clone(), true, ImplicitDeny),
        (all.clone(), true, Allowed),
        (format!("[{named},{all}]"), true, Allowed),
        (format!("[{all},{denied}]"), true, ExplicitDeny),
    ] {
        let assumer = AssumingPrincipal {
            arn: &user,
            is_recreated: is_namesake,
        };
        let decision = may_assume(&trust(&statements), assumer, &RequestContext::new(noon()));
        assert_eq!(decision.verdict, expected, "{statements} {is_namesake}");
    }
}

fn trust(statements: &str) -> TrustDocument {
    let json = format!(r#"{{"Version":"1","Statement":{statements}}}"#);
    TrustDocument::parse(&json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[test]
fn trust_policies() {
    let context = RequestContext::new(noon()).with_key("sts:ExternalId", "e-1");
    for (what, principal, rest, who, verdict) in trust_rows() {
        let document = trust(&format!(r#"{{{rest},"Principal":{principal}}}"#));
        let decision = may_assume(&document, known(&who), &context);
        assert_eq!(decision.verdict, verdict, "{what}");
        // A `Deny` for the principal overrides an `Allow`, in either order.
        let pair = |one, other| {
            trust(&format!(
                r#"[{{"Effect":"{one}","Action":"sts:*","Principal":{principal}}},
                    {{"Effect":"{other}","Action":"sts:*","Principal":{principal}}}]"#
            ))
        };
        for (one, other, at) in [("Allow", "Deny", 1), ("Deny", "Allow", 0)] {
            let decision = may_assume(&pair(one, other), known(&who), &context);
            let named = may_assume(&pair("Allow", "Allow"), known(&who), &context).is_allowed();
            let reason = Reason::Statement {
                layer: Layer::Trust,
                policy: None,
                statement: at,
                resource: 0,
            };
            assert_eq!(decision.reason == Some(reason), named, "{what}");
            assert!(!decision.is_allowed(), "{what}");
        }
    }
}
