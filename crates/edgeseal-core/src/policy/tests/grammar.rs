//! What is a valid policy, and that a policy survives being printed and parsed.

use super::*;

const OF_IDENTITY: [&str; 8] = [
    r#"{"Version":"1","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#,
    r#"{"Version":"1","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"]}]}"#,
    r#" {"Statement":[{"Resource":"*","Action":"cdn:*","Effect":"Allow"}],
         "Version":"1"} "#,
    r#"{"Version":"1","Statement":{"Effect":"Allow","NotAction":"ram:*","NotResource":"acs:cdn:*:*:domain/A.com"}}"#,
    r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"cdn:Describe*","Resource":"acs:cdn:*:*:*",
        "Condition":{"StringEquals":{"acs:ResourceTag/a":"1","acs:ResourceTag/b":["2",""]},
        "NotIpAddress":{"acs:sourceip":"10.1.*"},"DateLessThan":{"acs:CurrentTime":"2026-01-01T00:00:00+08:00"},
        "Bool":{"acs:SecureTransport":"True"},"NumericEquals":{"cdn:Level":"-1.50"}}}]}"#,
    "{\"Version\":\"\\u0031\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}}",
    r#"{"Version":"1","Statement":{"Effect":"Allow","Action":"*:List?ags","Resource":"acs:*"}}"#,
    r#"{"Version":"1","Statement":{"Effect":"Allow","Action":"oss:*","Resource":"acs:oss:*:*:桶/\"x\"/*"}}"#,
];

const OF_TRUST: [&str; 3] = [
    r#"{"Version":"1","Statement":[{"Action":"sts:AssumeRole","Effect":"Allow",
        "Principal":{"RAM":["acs:ram::1234567890123456:root"]}}]}"#,
    r#"{"Version":"1","Statement":{"Action":["sts:AssumeRole","STS:SetSourceIdentity"],"Effect":"Deny",
        "Principal":{"Service":"ecs.aliyuncs.com","RAM":["acs:ram::1234567890123456:user/a.b",
        "acs:ram::1234567890123456:role/r"]},"Condition":{"Bool":{"acs:MFAPresent":"true"}}}}"#,
    r#"{"Version":"1","Statement":{"Action":"sts:*","Effect":"Allow",
        "Principal":{"Federated":["acs:ram::1234567890123456:saml-provider/idp"],
        "Service":["1234567890123456@cdn.aliyuncs.com"]}}}"#,
];

#[test]
fn a_policy_printed_is_the_same_policy() {
    for json in OF_IDENTITY {
        let document = Document::parse(json).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert_eq!(document.text(), json);
        let printed = serde_json::to_string(&document).unwrap();
        assert_eq!(
            Document::parse(&printed).as_ref(),
            Ok(&document),
            "{printed}"
        );
    }
    for json in OF_TRUST {
        let document = TrustDocument::parse(json).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert_eq!(document.text(), json);
        let printed = serde_json::to_string(&document).unwrap();
        assert_eq!(
            TrustDocument::parse(&printed).as_ref(),
            Ok(&document),
            "{printed}"
        );
    }
    let of = |at: usize| Document::parse(OF_IDENTITY[at]).unwrap();
    assert_ne!(of(0), of(1));
    let doing = |action: &str| {
        let json = OF_IDENTITY[0].replace(r#""Action":"*""#, &format!(r#""Action":"{action}""#));
        Document::parse(&json).unwrap()
    };
    assert_ne!(doing("cdn:*"), doing("ram:*"));
    let of_trust = |at: usize| TrustDocument::parse(OF_TRUST[at]).unwrap();
    assert_ne!(of_trust(0), of_trust(2));
    assert_eq!(
        serde_json::to_string(&of(3)).unwrap(),
        r#"{"Version":"1","Statement":{"Effect":"Allow","NotAction":"ram:*","NotResource":"acs:cdn:*:*:domain/A.com"}}"#
    );
}

/// A statement between `before` and `after`, with `Effect`, `Action` and `Resource` in it.
fn with(extra: &str) -> String {
    format!(
        r#"{{"Version":"1","Statement":[{{"Effect":"Allow","Action":"*","Resource":"*"}},
        {{"Effect":"Allow","Action":"*","Resource":"*"{extra}}}]}}"#
    )
}

fn only(elements: &str) -> String {
    format!(r#"{{"Version":"1","Statement":{{{elements}}}}}"#)
}

#[test]
#[rustfmt::skip]
fn what_is_no_policy_of_an_identity() {
    let table: &[(String, &str)] = &[
        (String::new(),                                     "the policy is not JSON: see line 1, column 0"),
        ("{".to_owned(),                                    "the policy is not JSON: see line 1, column 1"),
        ("{}x".to_owned(),                                  "the policy is not JSON: see line 1, column 3"),
        ("[".repeat(5000),                                  "the policy is not JSON: see line 1, column 128"),
        ("[]".to_owned(),                                   "the policy is a list; it must be an object"),
        ("{}".to_owned(),                                   "the policy is empty"),
        (r#"{"Version":"1"}"#.to_owned(),                   "the policy has no Statement"),
        (r#"{"Statement":{}}"#.to_owned(),                  "the policy has no Version"),
        (r#"{"Version":"2","Statement":{}}"#.to_owned(),    r#"Version is "2"; it must be "1""#),
        (r#"{"Version":1,"Statement":{}}"#.to_owned(),      "Version is a number without quotation marks; it must be a string"),
        (r#"{"version":"1","Statement":{}}"#.to_owned(),    "version is not an element of a policy; names are case-sensitive"),
        (r#"{"Version":"1","Id":"x","Statement":{}}"#.to_owned(), "Id is not an element of a policy; names are case-sensitive"),
        (r#"{"Version":"1","Version":"1"}"#.to_owned(),     "Version is duplicated"),
        (r#"{"Version":"1","Statement":[]}"#.to_owned(),    "Statement is empty"),
        (r#"{"Version":"1","Statement":{}}"#.to_owned(),    "Statement is empty"),
        (r#"{"Version":"1","Statement":null}"#.to_owned(),  "Statement is null; it must be an object"),
        (r#"{"Version":"1","Statement":["*"]}"#.to_owned(), "Statement[0] is a string; it must be an object"),
        (r#"{"Version":"1","Statement":[[]]}"#.to_owned(),  "Statement[0] is a list; it must be an object"),
        (with(r#","Sid":"x""#),                             "Statement[1].Sid is not an element of a policy; names are case-sensitive"),
        (with(r#","Principal":{"RAM":"*"}"#),               "Statement[1].Principal is not an element of a policy; names are case-sensitive"),
        (with(r#","Effect":"Deny""#),                       "Statement[1].Effect is duplicated"),
        (with(r#","NotAction":"*""#),                       "Statement[1] has both Action and NotAction"),
        (with(r#","NotResource":"*""#),                     "Statement[1] has both Resource and NotResource"),
        (only(r#""Action":"*","Resource":"*""#),            "Statement has no Effect"),
        (only(r#""Effect":"Allow","Resource":"*""#),        "Statement has no Action"),
        (only(r#""Effect":"Allow","Action":"*""#),          "Statement has no Resource"),
        (only(r#""Effect":"allow","Action":"*","Resource":"*""#), r#"Statement.Effect is "allow"; it must be Allow or Deny"#),
        (only(r#""Effect":true,"Action":"*","Resource":"*""#), "Statement.Effect is a Boolean without quotation marks; it must be a string"),
        (only(r#""Effect":["Allow"],"Action":"*","Resource":"*""#), "Statement.Effect is a list; it must be a string"),
        (only(r#""Effect":"Allow","Action":[],"Resource":"*""#), "Statement.Action is empty"),
        (only(r#""Effect":"Allow","Action":"","Resource":"*""#), r#"Statement.Action is ""; it must be an action, service:Operation or *"#),
        (only(r#""Effect":"Allow","Action":["*",7],"Resource":"*""#), "Statement.Action[1] is a number without quotation marks; it must be a string"),
        (only(r#""Effect":"Allow","Action":[["*"]],"Resource":"*""#), "Statement.Action[0] is a list; it must be a string"),
        (only(r#""Effect":"Allow","Action":"StopCdnDomain","Resource":"*""#), r#"Statement.Action is "StopCdnDomain"; it must be an action, service:Operation or *"#),
        (only(r#""Effect":"Allow","NotAction":["cdn:"],"Resource":"*""#), r#"Statement.NotAction[0] is "cdn:"; it must be an action, service:Operation or *"#),
        (only(r#""Effect":"Allow","Action":"cdn:a:b","Resource":"*""#), r#"Statement.Action is "cdn:a:b"; it must be an action, service:Operation or *"#),
        (only(r#""Effect":"Allow","Action":"cdn: Stop","Resource":"*""#), r#"Statement.Action is "cdn: Stop"; it must be an action, service:Operation or *"#),
        (only(r#""Effect":"Allow","Action":"*","Resource":[]"#), "Statement.Resource is empty"),
        (only(r#""Effect":"Allow","Action":"*","Resource":"example.com""#), r#"Statement.Resource is "example.com"; it must be a resource, acs:service:region:account:name or *"#),
        (only(r#""Effect":"Allow","Action":"*","Resource":"acs:cdn:domain/a.com""#), r#"Statement.Resource is "acs:cdn:domain/a.com"; it must be a resource, acs:service:region:account:name or *"#),
        (only(r#""Effect":"Allow","Action":"*","Resource":"acs:cdn:*::domain/a.com""#), r#"Statement.Resource is "acs:cdn:*::domain/a.com"; it must be a resource with an account, acs:service:region:account:name; it may be *"#),
        (only(r#""Effect":"Deny","Action":"*","NotResource":["*","acs:ram:::user/a"]"#), r#"Statement.NotResource[1] is "acs:ram:::user/a"; it must be a resource with an account, acs:service:region:account:name; it may be *"#),
        (only(r#""Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b""#), r#"Statement.Resource is "arn:aws:s3:::b"; it must be a resource, acs:service:region:account:name or *"#),
        (only(r#""Effect":"Allow","Action":"*","Resource":"acs:cdn:*:*:a\nb""#), "Statement.Resource is \"acs:cdn:*:*:a\u{fffd}b\"; it must be free of control characters"),
        (only(r#""Effect":"Allow","Action":"*","Resource":"acs:cdn:*:*:domain/${ram:Name}""#), "Statement.Resource has a variable, ${…}; policy variables are not supported"),
        (with(r#","Condition":{}"#),                        "Statement[1].Condition is empty"),
        (with(r#","Condition":[]"#),                        "Statement[1].Condition is a list; it must be an object"),
        (with(r#","Condition":{"Bool":{}}"#),               "Statement[1].Condition.Bool is empty"),
        (with(r#","Condition":{"Bool":"true"}"#),           "Statement[1].Condition.Bool is a string; it must be an object"),
        (with(r#","Condition":{"Bool":{"acs:SecureTransport":[]}}"#), "Statement[1].Condition.Bool.acs:SecureTransport is empty"),
        (with(r#","Condition":{"Bool":{"acs:SecureTransport":true}}"#), "Statement[1].Condition.Bool.acs:SecureTransport is a Boolean without quotation marks; it must be a string"),
        (with(r#","Condition":{"Bool":{"acs:SecureTransport":"yes"}}"#), r#"Statement[1].Condition.Bool.acs:SecureTransport is "yes"; it must be true or false"#),
        (with(r#","Condition":{"bool":{"acs:SecureTransport":"true"}}"#), "Statement[1].Condition.bool is not a condition operator"),
        (with(r#","Condition":{"BoolIfExists":{"acs:MFAPresent":"true"}}"#), "Statement[1].Condition.BoolIfExists is not a condition operator"),
        (with(r#","Condition":{"Null":{"acs:MFAPresent":"true"}}"#), "Statement[1].Condition.Null is not a condition operator"),
        (with(r#","Condition":{"ForAnyValue:StringEquals":{"a:b":"c"}}"#), "Statement[1].Condition.ForAnyValue:StringEquals is not a condition operator"),
        (with(r#","Condition":{"Bool":{"a:b":"true"},"Bool":{"a:b":"false"}}"#), "Statement[1].Condition.Bool is duplicated"),
        (with(r#","Condition":{"Bool":{"a:b":"true","a:b":"false"}}"#), "Statement[1].Condition.Bool.a:b is duplicated"),
        (with(r#","Condition":{"StringEquals":{"SourceIp":"x"}}"#), r#"Statement[1].Condition.StringEquals.SourceIp is "SourceIp"; it must be a condition key, service:Name"#),
        (with(r#","Condition":{"StringEquals":{"acs:ResourceTag/":"x"}}"#), r#"Statement[1].Condition.StringEquals.acs:ResourceTag/ is "acs:ResourceTag/"; it must be a condition key, service:Name"#),
        (with(r#","Condition":{"StringEquals":{"a:b":"${a:b}"}}"#), "Statement[1].Condition.StringEquals.a:b has a variable, ${…}; policy variables are not supported"),
        (with(r#","Condition":{"IpAddress":{"acs:SourceIp":"10.0.0.0/33"}}"#), r#"Statement[1].Condition.IpAddress.acs:SourceIp is "10.0.0.0/33"; it must be an IP address or a CIDR block"#),
        (with(r#","Condition":{"IpAddress":{"acs:SourceIp":["::1","10.0.0"]}}"#), r#"Statement[1].Condition.IpAddress.acs:SourceIp[1] is "10.0.0"; it must be an IP address or a CIDR block"#),
        (with(r#","Condition":{"IpAddress":{"acs:SourceIp":"10.*.1.*"}}"#), r#"Statement[1].Condition.IpAddress.acs:SourceIp is "10.*.1.*"; it must be an IP address or a CIDR block"#),
        (with(r#","Condition":{"IpAddress":{"acs:SourceIp":"10.*.*.*.*"}}"#), r#"Statement[1].Condition.IpAddress.acs:SourceIp is "10.*.*.*.*"; it must be an IP address or a CIDR block"#),
        (with(r#","Condition":{"IpAddress":{"acs:SourceIp":"10.1.2.3.*"}}"#), r#"Statement[1].Condition.IpAddress.acs:SourceIp is "10.1.2.3.*"; it must be an IP address or a CIDR block"#),
        (with(r#","Condition":{"IpAddress":{"acs:SourceIp":"1*"}}"#), r#"Statement[1].Condition.IpAddress.acs:SourceIp is "1*"; it must be an IP address or a CIDR block"#),
        (with(r#","Condition":{"DateLessThan":{"acs:CurrentTime":"2026-01-01"}}"#), r#"Statement[1].Condition.DateLessThan.acs:CurrentTime is "2026-01-01"; it must be a date, yyyy-MM-ddTHH:mm:ssZ or with an offset such as +08:00"#),
        (with(r#","Condition":{"DateLessThan":{"acs:CurrentTime":"2026-02-30T00:00:00Z"}}"#), r#"Statement[1].Condition.DateLessThan.acs:CurrentTime is "2026-02-30T00:00:00Z"; it must be a date, yyyy-MM-ddTHH:mm:ssZ or with an offset such as +08:00"#),
        (with(r#","Condition":{"DateLessThan":{"acs:CurrentTime":"2026-02-01T00:00:00"}}"#), r#"Statement[1].Condition.DateLessThan.acs:CurrentTime is "2026-02-01T00:00:00"; it must be a date, yyyy-MM-ddTHH:mm:ssZ or with an offset such as +08:00"#),
        (with(r#","Condition":{"NumericEquals":{"a:b":"1e3"}}"#), r#"Statement[1].Condition.NumericEquals.a:b is "1e3"; it must be a decimal number with at most 18 digits before and 9 after the point"#),
        (with(r#","Condition":{"NumericEquals":{"a:b":"--1"}}"#), r#"Statement[1].Condition.NumericEquals.a:b is "--1"; it must be a decimal number with at most 18 digits before and 9 after the point"#),
    ];
    for (json, refusal) in table {
        let error = Document::parse(json).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(*refusal), "{json}");
    }
}

#[test]
#[rustfmt::skip]
fn what_is_no_trust_policy() {
    let ram = |arn: &str| only(&format!(r#""Effect":"Allow","Action":"sts:AssumeRole","Principal":{{"RAM":"{arn}"}}"#));
    let no_ram = |arn: &str| format!(
        r#"Statement.Principal.RAM is "{arn}"; it must be acs:ram::{{account}}:root, …:user/{{name}} or …:role/{{name}}, without wildcards"#
    );
    let mut table = vec![
        (only(r#""Effect":"Allow","Action":"sts:AssumeRole""#), "Statement has no Principal".to_owned()),
        (only(r#""Effect":"Allow","Action":"sts:AssumeRole","Principal":{}"#), "Statement.Principal is empty".to_owned()),
        (only(r#""Effect":"Allow","Action":"sts:AssumeRole","Principal":"*""#), "Statement.Principal is a string; it must be an object".to_owned()),
        (only(r#""Effect":"Allow","Action":"sts:AssumeRole","Principal":{"RAM":[]}"#), "Statement.Principal.RAM is empty".to_owned()),
        (only(r#""Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"x"}"#), "Statement.Principal.AWS is not an element of a policy; names are case-sensitive".to_owned()),
        (only(r#""Effect":"Allow","Action":"cdn:*","Principal":{"Service":"a.b"}"#), r#"Statement.Action is "cdn:*"; it must be an action of sts, such as sts:AssumeRole"#.to_owned()),
        (only(r#""Effect":"Allow","Action":"*","Principal":{"Service":"a.b"}"#), r#"Statement.Action is "*"; it must be an action of sts, such as sts:AssumeRole"#.to_owned()),
        (only(r#""Effect":"Allow","NotAction":"cdn:*","Principal":{"Service":"a.b"}"#), "Statement.NotAction is not an element of a policy; names are case-sensitive".to_owned()),
        (only(r#""Effect":"Allow","Action":"sts:AssumeRole","Resource":"*","Principal":{"Service":"a.b"}"#), "Statement.Resource is not an element of a policy; names are case-sensitive".to_owned()),
        (only(r#""Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"*"}"#), r#"Statement.Principal.Service is "*"; it must be the name of a service, such as ecs.aliyuncs.com"#.to_owned()),
        (only(r#""Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Federated":"acs:ram::1234567890123456:root"}"#), r#"Statement.Principal.Federated is "acs:ram::1234567890123456:root"; it must be acs:ram::{account}:oidc-provider/{name} or …:saml-provider/{name}"#.to_owned()),
    ];
    for arn in [
        "*", "acs:ram::*:root", "acs:ram::123:root", "acs:ram:*:1234567890123456:root", "acs:ram::1234567890123456:*",
        "acs:ram::1234567890123456:user/*", "acs:ram::1234567890123456:user/", "acs:ram::1234567890123456:role/a/b",
        "acs:ram::1234567890123456:assumed-role/a", "acs:ram::1234567890123456:group/a", "1234567890123456",
    ] {
        table.push((ram(arn), no_ram(arn)));
    }
    let of_kind = |kind: &str, given: &str, expected: &str| {
        let principal = format!(r#""Principal":{{"{kind}":"{given}"}}"#);
        (
            only(&format!(r#""Effect":"Allow","Action":"sts:AssumeRole",{principal}"#)),
            format!(r#"Statement.Principal.{kind} is "{given}"; it must be {expected}"#),
        )
    };
    for service in ["ecs", "ecs.*", "ecs.aliyuncs.com/x"] {
        table.push(of_kind("Service", service, "the name of a service, such as ecs.aliyuncs.com"));
    }
    for provider in ["user/a", "oidc-provider/*", "saml-provider/", "oidc-provider/a/b"] {
        let arn = format!("acs:ram::1234567890123456:{provider}");
        let expected = "acs:ram::{account}:oidc-provider/{name} or …:saml-provider/{name}";
        table.push(of_kind("Federated", &arn, expected));
    }
    for (json, refusal) in table {
        let error = TrustDocument::parse(&json).err().map(|error| error.to_string());
        assert_eq!(error, Some(refusal), "{json}");
    }
}

#[test]
fn condition_keys() {
    let read = |key: &str| {
        let condition = format!(r#","Condition":{{"StringEquals":{{"{key}":"x"}}}}"#);
        Document::parse(&with(&condition))
    };
    for key in [
        ":Name",
        "acs:",
        "my_service:Name",
        "my service:Name",
        r"acs:a\tb",
    ] {
        let refused = matches!(read(key), Err(InvalidPolicy::Value { .. }));
        assert!(refused, "{key}: {:?}", read(key));
    }
    for (key, reads_tags) in [
        ("my-service:Name", false),
        ("sts:LongerThanTheNameOfATag", false),
        ("acs:ResourceTag/team", true),
        ("ACS:resourcetag/a b", true),
    ] {
        let document = read(key).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(document.reads_tags(), reads_tags, "{key}");
    }
}

#[test]
fn limits() {
    let of_length = |length: usize| {
        let mut json = only(r#""Effect":"Allow","Action":"*","Resource":"acs:cdn:*:*:é""#);
        let spare = length - json.chars().count();
        json.insert_str(1, &" ".repeat(spare));
        json
    };
    assert!(Document::parse(&of_length(6144)).is_ok());
    assert_eq!(
        Document::parse(&of_length(6145)),
        Err(InvalidPolicy::TooLong {
            length: 6145,
            max: 6144
        })
    );
}
