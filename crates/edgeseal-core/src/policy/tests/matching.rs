//! Decision table, part 1: actions and resources.

use super::*;

/// The case; the element of the statement; the action called; whether it is allowed.
#[rustfmt::skip]
const ACTIONS: &[(&str, &str, &str, bool)] = &[
    ("one action",                          r#""Action":"cdn:StopCdnDomain""#,                       "cdn:StopCdnDomain",   true),
    ("another action",                      r#""Action":"cdn:StopCdnDomain""#,                       "cdn:StartCdnDomain",  false),
    ("a list of one is the same",           r#""Action":["cdn:StopCdnDomain"]"#,                     "cdn:StopCdnDomain",   true),
    ("first of a list",                     r#""Action":["cdn:StopCdnDomain","cdn:StartCdnDomain"]"#, "cdn:StopCdnDomain",  true),
    ("last of a list",                      r#""Action":["cdn:StopCdnDomain","cdn:StartCdnDomain"]"#, "cdn:StartCdnDomain", true),
    ("none of a list",                      r#""Action":["cdn:StopCdnDomain","cdn:StartCdnDomain"]"#, "cdn:DeleteCdnDomain", false),
    ("everything",                          r#""Action":"*""#,                                       "sts:AssumeRole",      true),
    ("all of a service",                    r#""Action":"cdn:*""#,                                   "cdn:StopCdnDomain",   true),
    ("all of a service is not another",     r#""Action":"cdn:*""#,                                   "dcdn:StopDcdnDomain", false),
    ("a prefix",                            r#""Action":"cdn:Describe*""#,                           "cdn:DescribeUserDomains", true),
    ("a prefix is not the rest",            r#""Action":"cdn:Describe*""#,                           "cdn:StopCdnDomain",   false),
    ("* may be nothing",                    r#""Action":"cdn:StopCdnDomain*""#,                      "cdn:StopCdnDomain",   true),
    ("* in the middle",                     r#""Action":"cdn:Set*Certificate""#,                     SET,                   true),
    ("* in the middle, other end",          r#""Action":"cdn:Set*Certificate""#,                     "cdn:SetForceRedirectConfig", false),
    ("* in front",                          r#""Action":"*:ListTagResources""#,                      "cdn:ListTagResources", true),
    ("* in front, other action",            r#""Action":"*:ListTagResources""#,                      "cdn:TagResources",    false),
    ("several *",                           r#""Action":"c*:*Cdn*Cert*""#,                           SET,                   true),
    ("? is one character",                  r#""Action":"cdn:?topCdnDomain""#,                       "cdn:StopCdnDomain",   true),
    ("? is not nothing",                    r#""Action":"cdn:StopCdnDomain?""#,                      "cdn:StopCdnDomain",   false),
    ("? is not two",                        r#""Action":"cdn:?pCdnDomain""#,                         "cdn:StopCdnDomain",   false),
    ("? and * together",                    r#""Action":"cdn:S???Cdn*""#,                            "cdn:StopCdnDomain",   true),
    ("case of the action is ignored",       r#""Action":"cdn:stopcdndomain""#,                       "cdn:StopCdnDomain",   true),
    ("case of the service is ignored",      r#""Action":"CDN:StopCdnDomain""#,                       "cdn:StopCdnDomain",   true),
    ("case is ignored with a prefix",       r#""Action":"CDN:DESCRIBE*""#,                           "cdn:DescribeUserDomains", true),
    ("case is ignored between wildcards",   r#""Action":"cdn:*USER*""#,                              "cdn:DescribeUserDomains", true),
    ("NotAction is all others",             r#""NotAction":"ram:*""#,                                "cdn:StopCdnDomain",   true),
    ("NotAction leaves out its own",        r#""NotAction":"ram:*""#,                                "ram:CreateUser",      false),
    ("NotAction ignores case",              r#""NotAction":"RAM:createuser""#,                       "ram:CreateUser",      false),
    ("NotAction with a list",               r#""NotAction":["ram:*","sts:*"]"#,                      "sts:AssumeRole",      false),
    ("NotAction with a list, another",      r#""NotAction":["ram:*","sts:*"]"#,                      "cdn:StopCdnDomain",   true),
    ("NotAction of * is nothing",           r#""NotAction":"*""#,                                    "cdn:StopCdnDomain",   false),
];

/// The case; the element of the statement; the resource; whether it is allowed.
#[rustfmt::skip]
const RESOURCES: &[(&str, &str, &str, bool)] = &[
    ("everything",                            r#""Resource":"*""#,                                             "acs:cdn:*:1234567890123456:domain/example.com", true),
    ("everything, for an action without resources", r#""Resource":"*""#,                                       "*", true),
    ("only * has actions without resources",  r#""Resource":"acs:cdn:*:*:*""#,                                 "*", false),
    ("one domain",                            r#""Resource":"acs:cdn:*:1234567890123456:domain/example.com""#, "acs:cdn:*:1234567890123456:domain/example.com", true),
    ("another domain",                        r#""Resource":"acs:cdn:*:1234567890123456:domain/example.com""#, "acs:cdn:*:1234567890123456:domain/example.org", false),
    ("a domain is not its subdomains",        r#""Resource":"acs:cdn:*:1234567890123456:domain/example.com""#, "acs:cdn:*:1234567890123456:domain/a.example.com", false),
    ("a domain is not what it ends",          r#""Resource":"acs:cdn:*:1234567890123456:domain/example.com""#, "acs:cdn:*:1234567890123456:domain/notexample.com", false),
    ("a domain is not what it starts",        r#""Resource":"acs:cdn:*:1234567890123456:domain/example.com""#, "acs:cdn:*:1234567890123456:domain/example.com.cn", false),
    ("a domain is not the list of all",       r#""Resource":"acs:cdn:*:1234567890123456:domain/example.com""#, "acs:cdn:*:1234567890123456:domain/*", false),
    ("any account",                           r#""Resource":"acs:cdn:*:*:domain/example.com""#,                "acs:cdn:*:1234567890123456:domain/example.com", true),
    ("another account",                       r#""Resource":"acs:cdn:*:6543210987654321:domain/example.com""#, "acs:cdn:*:1234567890123456:domain/example.com", false),
    ("all domains",                           r#""Resource":"acs:cdn:*:*:domain/*""#,                          "acs:cdn:*:1234567890123456:domain/example.com", true),
    ("all domains are the list of all",       r#""Resource":"acs:cdn:*:*:domain/*""#,                          "acs:cdn:*:1234567890123456:domain/*", true),
    ("all domains are not the service",       r#""Resource":"acs:cdn:*:*:domain/*""#,                          "acs:cdn:*:1234567890123456:*", false),
    ("all of the service",                    r#""Resource":"acs:cdn:*:*:*""#,                                 "acs:cdn:*:1234567890123456:domain/example.com", true),
    ("all of the service, at its level",      r#""Resource":"acs:cdn:*:*:*""#,                                 "acs:cdn:*:1234567890123456:*", true),
    ("all of another service",                r#""Resource":"acs:dcdn:*:*:*""#,                                "acs:cdn:*:1234567890123456:domain/example.com", false),
    ("*.example.com is the wildcard domain",  r#""Resource":"acs:cdn:*:*:domain/*.example.com""#,              "acs:cdn:*:1234567890123456:domain/.example.com", true),
    ("*.example.com is a domain below",       r#""Resource":"acs:cdn:*:*:domain/*.example.com""#,              "acs:cdn:*:1234567890123456:domain/a.example.com", true),
    ("*.example.com is all domains below",    r#""Resource":"acs:cdn:*:*:domain/*.example.com""#,              "acs:cdn:*:1234567890123456:domain/a.b.example.com", true),
    ("*.example.com is not example.com",      r#""Resource":"acs:cdn:*:*:domain/*.example.com""#,              "acs:cdn:*:1234567890123456:domain/example.com", false),
    ("*.example.com is not notexample.com",   r#""Resource":"acs:cdn:*:*:domain/*.example.com""#,              "acs:cdn:*:1234567890123456:domain/notexample.com", false),
    ("*.example.com is not the list of all",  r#""Resource":"acs:cdn:*:*:domain/*.example.com""#,              "acs:cdn:*:1234567890123456:domain/*", false),
    (".example.com is the wildcard domain",   r#""Resource":"acs:cdn:*:*:domain/.example.com""#,               "acs:cdn:*:1234567890123456:domain/.example.com", true),
    (".example.com is no domain below",       r#""Resource":"acs:cdn:*:*:domain/.example.com""#,               "acs:cdn:*:1234567890123456:domain/a.example.com", false),
    (".example.com is not example.com",       r#""Resource":"acs:cdn:*:*:domain/.example.com""#,               "acs:cdn:*:1234567890123456:domain/example.com", false),
    ("case of a domain is ignored",           r#""Resource":"acs:cdn:*:*:domain/WWW.Example.com""#,            "acs:cdn:*:1234567890123456:domain/www.example.com", true),
    ("case is ignored behind a wildcard",     r#""Resource":"acs:cdn:*Example.com""#,                         "acs:cdn:*:1234567890123456:domain/www.example.com", true),
    ("a U-label is its A-label",              r#""Resource":"acs:cdn:*:*:domain/bücher.example.com""#,         "acs:cdn:*:1234567890123456:domain/xn--bcher-kva.example.com", true),
    ("a U-label in capitals",                 r#""Resource":"acs:cdn:*:*:domain/BÜCHER.example.com""#,         "acs:cdn:*:1234567890123456:domain/xn--bcher-kva.example.com", true),
    ("a U-label below a wildcard",            r#""Resource":"acs:cdn:*:*:domain/*.bücher.example""#,           "acs:cdn:*:1234567890123456:domain/a.xn--bcher-kva.example", true),
    ("a dot at the end of a domain",          r#""Resource":"acs:cdn:*:*:domain/example.com.""#,               "acs:cdn:*:1234567890123456:domain/example.com", true),
    ("a dot at the end behind a wildcard",    r#""Resource":"acs:cdn:*example.com.""#,                         "acs:cdn:*:1234567890123456:domain/example.com", true),
    ("a dot at the end of another name",      r#""Resource":"acs:ram:*:*:user/dev.""#,                         "acs:ram:*:1234567890123456:user/dev.", true),
    ("case of other names is not",            r#""Resource":"acs:ram:*:*:role/Deployer""#,                     "acs:ram::1234567890123456:role/deployer", false),
    ("* may be an empty region",              r#""Resource":"acs:ram:*:*:role/deployer""#,                     "acs:ram::1234567890123456:role/deployer", true),
    ("an empty region",                       r#""Resource":"acs:ram::1234567890123456:role/deployer""#,       "acs:ram::1234567890123456:role/deployer", true),
    ("a region counts for nothing",           r#""Resource":"acs:cdn:cn-hangzhou:*:domain/example.com""#,      "acs:cdn:*:1234567890123456:domain/example.com", true),
    ("nor does a region with wildcards",      r#""Resource":"acs:cdn:cn-?*:*:domain/example.com""#,            "acs:cdn:*:1234567890123456:domain/example.com", true),
    ("nor one of all services",               r#""Resource":"acs:*:cn-hangzhou:*:domain/example.com""#,        "acs:cdn:*:1234567890123456:domain/example.com", true),
    ("nor one that is excepted",              r#""NotResource":"acs:cdn:cn-hangzhou:*:domain/example.com""#,   "acs:cdn:*:1234567890123456:domain/example.com", false),
    ("a region leaves the account",           r#""Resource":"acs:cdn:cn-hangzhou:6543210987654321:domain/example.com""#, "acs:cdn:*:1234567890123456:domain/example.com", false),
    ("an empty region of a domain",           r#""Resource":"acs:cdn::1234567890123456:domain/example.com""#,  "acs:cdn:*:1234567890123456:domain/example.com", true),
    ("an empty region of a user",             r#""Resource":"acs:ram::1234567890123456:user/boss""#,           "acs:ram:*:1234567890123456:user/boss", true),
    ("a name with more colons",               r#""Resource":"acs:ram::1234567890123456:user/a:b""#,            "acs:ram:*:1234567890123456:user/a:b", true),
    ("no account, in a name of four parts",   r#""Resource":"acs:cdn:*:domain/example.com""#,                  "acs:cdn:*:1234567890123456:domain/example.com", true),
    ("? is one character",                    r#""Resource":"acs:cdn:*:*:domain/www?.example.com""#,           "acs:cdn:*:1234567890123456:domain/www1.example.com", true),
    ("? is not two",                          r#""Resource":"acs:cdn:*:*:domain/www?.example.com""#,           "acs:cdn:*:1234567890123456:domain/www12.example.com", false),
    ("* in the middle",                       r#""Resource":"acs:cdn:*:*:domain/www.*.com""#,                  "acs:cdn:*:1234567890123456:domain/www.example.com", true),
    ("one of a list",                         r#""Resource":["acs:cdn:*:*:domain/a.com","acs:cdn:*:*:domain/b.com"]"#, "acs:cdn:*:1234567890123456:domain/b.com", true),
    ("none of a list",                        r#""Resource":["acs:cdn:*:*:domain/a.com","acs:cdn:*:*:domain/b.com"]"#, "acs:cdn:*:1234567890123456:domain/c.com", false),
    ("NotResource is all others",             r#""NotResource":"acs:cdn:*:*:domain/a.com""#,                   "acs:cdn:*:1234567890123456:domain/b.com", true),
    ("NotResource leaves out its own",        r#""NotResource":"acs:cdn:*:*:domain/a.com""#,                   "acs:cdn:*:1234567890123456:domain/a.com", false),
    ("NotResource with a list",               r#""NotResource":["acs:cdn:*:*:domain/a.com","acs:cdn:*:*:domain/b.com"]"#, "acs:cdn:*:1234567890123456:domain/b.com", false),
    ("NotResource ignores the case of a domain", r#""NotResource":"acs:cdn:*:*:domain/A.com""#,                "acs:cdn:*:1234567890123456:domain/a.com", false),
];

#[test]
fn actions() {
    for (what, element, called, allowed) in ACTIONS {
        for (effect, verdict) in [("Allow", Verdict::Allowed), ("Deny", Verdict::ExplicitDeny)] {
            let statement = format!(r#"{{"Effect":"{effect}",{element},"Resource":"*"}}"#);
            let decision = alone(
                &statement,
                called,
                domain("example.com"),
                &RequestContext::new(noon()),
            );
            let expected = if *allowed {
                verdict
            } else {
                Verdict::ImplicitDeny
            };
            assert_eq!(decision.verdict, expected, "{what}, {effect}");
        }
    }
}

#[test]
fn resources() {
    for (what, element, resource, allowed) in RESOURCES {
        for (effect, verdict) in [("Allow", Verdict::Allowed), ("Deny", Verdict::ExplicitDeny)] {
            let statement = format!(r#"{{"Effect":"{effect}","Action":"*",{element}}}"#);
            let resource = Resource::new(*resource);
            let decision = alone(&statement, SET, resource, &RequestContext::new(noon()));
            let expected = if *allowed {
                verdict
            } else {
                Verdict::ImplicitDeny
            };
            assert_eq!(decision.verdict, expected, "{what}, {effect}");
        }
    }
}

/// A resource without an account means every account's where that makes a policy allow less, and is
/// refused elsewhere; in a policy stored earlier it matches nothing there.
#[test]
fn resources_without_an_account() {
    let context = RequestContext::new(noon());
    for (element, effect, denied) in [
        ("Resource", "Deny", true),
        ("NotResource", "Allow", true),
        ("Resource", "Allow", true),
        ("NotResource", "Deny", true),
    ] {
        let narrows = (element == "Resource") == (effect == "Deny");
        for text in [
            "acs:cdn:*::domain/example.com",
            "acs:cdn:::domain/example.com",
        ] {
            let all = r#"{"Effect":"Allow","Action":"cdn:*","Resource":"*"}"#;
            let all = if effect == "Deny" {
                format!("{all},")
            } else {
                String::new()
            };
            let json = format!(
                r#"{{"Version":"1","Statement":[{all}{{"Effect":"{effect}","Action":"*","{element}":"{text}"}}]}}"#
            );
            assert_eq!(Document::parse(&json).is_ok(), narrows, "{json}");
            let stored = Document::parse_stored(&json).unwrap();
            let policies = Policies {
                identity: &[AttachedPolicy {
                    name: "p",
                    document: &stored,
                }],
                session: None,
            };
            let request = Request {
                action: SET,
                resources: &[domain("example.com")],
                context: &context,
            };
            assert_eq!(
                !evaluate(&policies, &request).is_allowed(),
                denied,
                "{json}"
            );
            // It is printed as it was written.
            assert!(serde_json::to_string(&stored).unwrap().contains(text));
        }
    }
}
