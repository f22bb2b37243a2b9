use super::*;
use crate::{AccountId, DomainPattern, Timestamp, account::Account};

mod combinations;
mod conditions;
mod costs;
mod grammar;
mod matching;
mod oracle;

const SET: &str = "cdn:SetCdnDomainSSLCertificate";
const ACCOUNT: &str = "1234567890123456";

fn account(root: bool) -> Account {
    Account {
        id: AccountId::parse(ACCOUNT).unwrap(),
        name: "name".to_owned(),
        root,
        created: Timestamp::default(),
        private_origins: None,
        quotas: Default::default(),
    }
}

fn user(root: bool) -> Principal {
    Principal::User {
        account: account(root),
        name: "alice".to_owned(),
        id: "20".to_owned(),
    }
}

fn session(root: bool) -> Principal {
    Principal::Role {
        account: account(root),
        role: "deployer".to_owned(),
        id: "300000000000000001".to_owned(),
        session: "ci-7".to_owned(),
    }
}

/// 2026-05-01T12:00:00Z.
fn noon() -> Timestamp {
    Timestamp::parse_iso("2026-05-01T12:00:00Z").unwrap()
}

fn domain(name: &str) -> Resource {
    Resource::new(format!("acs:cdn:*:{ACCOUNT}:domain/{name}"))
}

/// A document with these statements.
fn document(statements: &str) -> Document {
    let json = format!(r#"{{"Version":"1","Statement":{statements}}}"#);
    Document::parse(&json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// Evaluates one identity policy.
fn alone(statements: &str, action: &str, resource: Resource, context: &RequestContext) -> Decision {
    let document = document(statements);
    let policies = Policies {
        identity: &[AttachedPolicy {
            name: "p",
            document: &document,
        }],
        session: None,
    };
    let request = Request {
        action,
        resources: &[resource],
        context,
    };
    evaluate(&policies, &request)
}

#[test]
fn names_of_principals() {
    let root = Principal::Account(account(true));
    for (principal, arn) in [
        (root, "acs:ram::1234567890123456:root"),
        (user(true), "acs:ram::1234567890123456:user/alice"),
        (
            session(true),
            "acs:ram::1234567890123456:assumed-role/deployer/ci-7",
        ),
    ] {
        assert_eq!(principal.arn().to_string(), arn);
        assert_eq!(principal.account_id().as_str(), ACCOUNT);
    }
}

#[test]
fn only_conditions_on_tags_read_tags() {
    let reads_tags = |condition: &str| {
        let statement = r#""Effect":"Allow","Action":"*","Resource":"*""#;
        document(&format!("{{{statement}{condition}}}")).reads_tags()
    };
    assert!(!reads_tags(""));
    assert!(!reads_tags(
        r#","Condition":{"IpAddress":{"acs:SourceIp":"10.0.0.0/8"}}"#
    ));
    assert!(reads_tags(
        r#","Condition":{"StringEquals":{"acs:ResourceTag/team":"dev"}}"#
    ));
}

#[test]
fn accounts_bypass_policies_and_others_do_not() {
    use Scope::{Caller, Operator, OwnAccount, RootKeys};
    use Verdict::{Allowed, ExplicitDeny, ImplicitDeny};
    let root = || Principal::Account(account(true));
    let other = || Principal::Account(account(false));
    let everything = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    let nothing = r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#;
    for (principal, sphere, statements, decided) in [
        (root(), OwnAccount, nothing, Allowed),
        (root(), Operator, nothing, Allowed),
        (other(), OwnAccount, nothing, Allowed),
        (other(), Operator, everything, ImplicitDeny),
        (user(false), OwnAccount, everything, Allowed),
        (user(false), Operator, everything, ImplicitDeny),
        (user(true), Operator, everything, Allowed),
        (user(true), Operator, nothing, ExplicitDeny),
        (session(false), OwnAccount, everything, Allowed),
        (session(true), Operator, nothing, ExplicitDeny),
        (session(false), Caller, nothing, Allowed),
        (root(), RootKeys, nothing, Allowed),
        (other(), RootKeys, everything, ImplicitDeny),
        (user(true), RootKeys, everything, ImplicitDeny),
        (session(true), RootKeys, everything, ImplicitDeny),
    ] {
        let document = document(statements);
        let policies = Policies {
            identity: &[AttachedPolicy {
                name: "p",
                document: &document,
            }],
            session: None,
        };
        let request = Request {
            action: SET,
            resources: &[domain("example.com")],
            context: &RequestContext::new(noon()),
        };
        let decision = decide(&principal, sphere, &policies, &request);
        assert_eq!(decision.verdict, decided, "{principal:?} {sphere:?}");
    }
}

#[test]
fn system_policies_grant_what_they_say() {
    let grants = |name: &str, action: &str| {
        let document = system::find(name).unwrap().document();
        let policies = Policies {
            identity: &[AttachedPolicy { name, document }],
            session: None,
        };
        let request = Request {
            action,
            resources: &[domain("example.com")],
            context: &RequestContext::new(noon()),
        };
        evaluate(&policies, &request).is_allowed()
    };
    for (name, action, granted) in [
        ("AdministratorAccess", SET, true),
        ("AliyunCDNFullAccess", SET, true),
        ("AliyunCDNFullAccess", "dcdn:DescribeDcdnUserDomains", false),
        ("AliyunCDNFullAccess", "ram:CreateServiceLinkedRole", false),
        ("AliyunCDNReadOnlyAccess", "cdn:DescribeUserDomains", true),
        ("AliyunCDNReadOnlyAccess", SET, false),
        (
            "AliyunDCDNFullAccess",
            "dcdn:SetDcdnDomainSSLCertificate",
            true,
        ),
        (
            "AliyunDCDNReadOnlyAccess",
            "dcdn:DescribeDcdnUserDomains",
            true,
        ),
        (
            "AliyunDCDNReadOnlyAccess",
            "dcdn:SetDcdnDomainSSLCertificate",
            false,
        ),
        ("AliyunRAMFullAccess", "ram:CreateUser", true),
        ("AliyunRAMReadOnlyAccess", "ram:ListUsers", true),
        ("AliyunRAMReadOnlyAccess", "ram:CreateUser", false),
        ("AliyunSTSAssumeRoleAccess", "sts:AssumeRole", true),
        ("AliyunSTSAssumeRoleAccess", "sts:GetCallerIdentity", false),
        (
            "AliyunYundunCertFullAccess",
            "yundun-cert:UploadUserCertificate",
            true,
        ),
        (
            "AliyunYundunCertReadOnlyAccess",
            "yundun-cert:ListUserCertificateOrder",
            true,
        ),
        (
            "AliyunYundunCertReadOnlyAccess",
            "yundun-cert:UploadUserCertificate",
            false,
        ),
    ] {
        assert_eq!(grants(name, action), granted, "{name} {action}");
    }
    assert!(system::find("administratoraccess").is_none());
    for policy in &system::SYSTEM_POLICIES {
        // A text that did not parse would yield a document without statements.
        assert_eq!(
            Document::parse(policy.document().text()).as_ref(),
            Ok(policy.document())
        );
    }
    assert!(system::SYSTEM_POLICIES.is_sorted_by_key(|policy| policy.name));
}

#[test]
fn the_minimal_policy_lets_tools_renew_and_nothing_else() {
    let account = account(false).id;
    let patterns =
        ["www.example.com", "*.example.org"].map(|name| DomainPattern::parse(name).unwrap());
    let document = renewal_policy(&account, &patterns).unwrap();
    let may = |action: &str, resource: &Resource| {
        let policies = Policies {
            identity: &[AttachedPolicy {
                name: "minimal",
                document: &document,
            }],
            session: None,
        };
        let request = Request {
            action,
            resources: std::slice::from_ref(resource),
            context: &RequestContext::new(noon()),
        };
        evaluate(&policies, &request).is_allowed()
    };
    let own = patterns.map(|name| Resource::domain("cdn", &account, &name));
    let any = Resource::new("*");
    for resource in &own {
        for action in [
            SET,
            "cdn:SetDomainServerCertificate",
            "cdn:DescribeDomainCertificateInfo",
        ] {
            assert!(may(action, resource), "{action} {resource:?}");
        }
        assert!(!may("cdn:DeleteCdnDomain", resource));
        assert!(!may("cdn:StopCdnDomain", resource));
    }
    assert!(may("cdn:DescribeUserDomains", &domain("*")));
    assert!(may("yundun-cert:UploadUserCertificate", &any));
    assert!(!may("yundun-cert:DeleteUserCertificate", &any));
    for other in ["example.com", "a.example.org", "example.org", "*"] {
        assert!(!may(SET, &domain(other)), "{other}");
    }

    assert_eq!(
        renewal_policy(&account, &[]),
        Err(InvalidPolicy::Empty {
            path: "Statement[0].Resource".to_owned()
        })
    );
    let many: Vec<DomainPattern> = (0..200)
        .map(|number| DomainPattern::parse(&format!("host-{number}.example.com")).unwrap())
        .collect();
    assert!(matches!(
        renewal_policy(&account, &many),
        Err(InvalidPolicy::TooLong { .. })
    ));
    assert!(renewal_policy(&account, &many[..80]).is_ok());
}

/// `cargo test --release -p edgeseal-core -- --ignored --nocapture speed`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let statement = |at: usize| {
        format!(
            r#"{{"Effect":"Allow","Action":["cdn:Describe*","cdn:Set*Server*"],
            "Resource":["acs:cdn:*:*:domain/*.host-{at}.example.com","acs:cdn:*:*:domain/host-{at}.*","acs:cdn:*:*:domain/w*.shared.example.net"],
            "Condition":{{"IpAddress":{{"acs:SourceIp":["10.0.0.0/8","192.0.2.{at}"]}}}}}}"#
        )
    };
    let statements: Vec<String> = (0..20).map(statement).collect();
    let one = document(&format!("[{}]", statements.join(",")));
    let identity = [AttachedPolicy {
        name: "p",
        document: &one,
    }; 20];
    let policies = Policies {
        identity: &identity,
        session: None,
    };
    let context = RequestContext {
        source_ip: Some([192, 0, 2, 200].into()),
        ..RequestContext::new(noon())
    };
    for (what, action, name) in [
        ("action of none", SET, "www.host-77.example.net"),
        (
            "action of all, resource of none",
            "cdn:DescribeX",
            "www.host-77.example.net",
        ),
        (
            "action and resource of all, condition of none",
            "cdn:DescribeX",
            "www.shared.example.net",
        ),
    ] {
        let request = Request {
            action,
            resources: &[domain(name)],
            context: &context,
        };
        let rounds = 1000;
        let mut batches: Vec<std::time::Duration> = (0..50)
            .map(|_| {
                let start = std::time::Instant::now();
                for _ in 0..rounds {
                    let decision = evaluate(std::hint::black_box(&policies), &request);
                    assert!(!decision.is_allowed());
                }
                start.elapsed() / rounds
            })
            .collect();
        batches.sort();
        let (best, median) = (batches[0], batches[25]);
        println!("{what}: best {best:?}, median {median:?} for 400 statements");
    }
}
