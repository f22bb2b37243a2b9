//! Decision table, part 2: conditions.

use super::*;

/// The statements in which the condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    /// A negated operator with nothing to compare: it holds in a `Deny`, and not in an `Allow`.
    ToDeny,
}
use Holds::{No, ToDeny, Yes};

/// The case; the condition; the request context; where the condition holds. The time is always
/// 2026-05-01T12:00:00Z.
type Row = (&'static str, &'static str, &'static str, Holds);

#[rustfmt::skip]
const STRINGS: &[Row] = &[
    ("the same string",                   r#""StringEquals":{"acs:ResourceTag/team":"dev"}"#,               "acs:ResourceTag/team=dev", Yes),
    ("another string",                    r#""StringEquals":{"acs:ResourceTag/team":"dev"}"#,               "acs:ResourceTag/team=ops", No),
    ("case matters",                      r#""StringEquals":{"acs:ResourceTag/team":"dev"}"#,               "acs:ResourceTag/team=Dev", No),
    ("a prefix is not the string",        r#""StringEquals":{"acs:ResourceTag/team":"dev"}"#,               "acs:ResourceTag/team=devs", No),
    ("StringEquals has no wildcards",     r#""StringEquals":{"acs:ResourceTag/team":"d*"}"#,                "acs:ResourceTag/team=dev", No),
    ("StringEquals takes * by the letter", r#""StringEquals":{"acs:ResourceTag/team":"d*"}"#,               "acs:ResourceTag/team=d*",  Yes),
    ("one of several values",             r#""StringEquals":{"acs:ResourceTag/team":["ops","dev"]}"#,       "acs:ResourceTag/team=dev", Yes),
    ("none of several values",            r#""StringEquals":{"acs:ResourceTag/team":["ops","dev"]}"#,       "acs:ResourceTag/team=qa",  No),
    ("no such tag",                       r#""StringEquals":{"acs:ResourceTag/team":"dev"}"#,               "",                         No),
    ("an empty tag is a tag",             r#""StringEquals":{"acs:ResourceTag/team":""}"#,                  "acs:ResourceTag/team=",    Yes),
    ("no tag is not an empty tag",        r#""StringEquals":{"acs:ResourceTag/team":""}"#,                  "",                         No),
    ("another tag",                       r#""StringEquals":{"acs:ResourceTag/team":"dev"}"#,               "acs:ResourceTag/group=dev", No),
    ("case of a tag's key matters",       r#""StringEquals":{"acs:ResourceTag/Team":"dev"}"#,               "acs:ResourceTag/team=dev", No),
    ("case of the key's name does not",   r#""StringEquals":{"ACS:resourcetag/team":"dev"}"#,               "acs:ResourceTag/team=dev", Yes),
    ("a tag's key may have colons",       r#""StringEquals":{"acs:ResourceTag/a:b/c":"dev"}"#,              "acs:ResourceTag/a:b/c=dev", Yes),
    ("a key of another service",          r#""StringEquals":{"sts:ExternalId":"abc"}"#,                     "sts:ExternalId=abc",       Yes),
    ("its name in another case",          r#""StringEquals":{"STS:externalid":"abc"}"#,                     "sts:ExternalId=abc",       Yes),
    ("a key that nobody knows",           r#""StringEquals":{"ecs:Unheard":"abc"}"#,                        "sts:ExternalId=abc",       No),
    ("not the string",                    r#""StringNotEquals":{"acs:ResourceTag/team":"dev"}"#,            "acs:ResourceTag/team=ops", Yes),
    ("not the string, and it is",         r#""StringNotEquals":{"acs:ResourceTag/team":"dev"}"#,            "acs:ResourceTag/team=dev", No),
    ("not the string, other case",        r#""StringNotEquals":{"acs:ResourceTag/team":"dev"}"#,            "acs:ResourceTag/team=DEV", Yes),
    ("not any of several",                r#""StringNotEquals":{"acs:ResourceTag/team":["dev","ops"]}"#,    "acs:ResourceTag/team=qa",  Yes),
    ("one of several is enough to fail",  r#""StringNotEquals":{"acs:ResourceTag/team":["dev","ops"]}"#,    "acs:ResourceTag/team=ops", No),
    ("not the string, no such tag",       r#""StringNotEquals":{"acs:ResourceTag/team":"dev"}"#,            "",                         ToDeny),
    ("in any case",                       r#""StringEqualsIgnoreCase":{"acs:ResourceTag/team":"DeV"}"#,     "acs:ResourceTag/team=dEv", Yes),
    ("in any case, beyond ASCII",         r#""StringEqualsIgnoreCase":{"acs:ResourceTag/team":"ÉQUIPE"}"#,  "acs:ResourceTag/team=équipe", Yes),
    ("in any case, another string",       r#""StringEqualsIgnoreCase":{"acs:ResourceTag/team":"dev"}"#,     "acs:ResourceTag/team=ops", No),
    ("in any case, no such tag",          r#""StringEqualsIgnoreCase":{"acs:ResourceTag/team":"dev"}"#,     "",                         No),
    ("not in any case",                   r#""StringNotEqualsIgnoreCase":{"acs:ResourceTag/team":"dev"}"#,  "acs:ResourceTag/team=DEV", No),
    ("not in any case, another string",   r#""StringNotEqualsIgnoreCase":{"acs:ResourceTag/team":"dev"}"#,  "acs:ResourceTag/team=ops", Yes),
    ("not in any case, no such tag",      r#""StringNotEqualsIgnoreCase":{"acs:ResourceTag/team":"dev"}"#,  "",                         ToDeny),
    ("like, *",                           r#""StringLike":{"acs:ResourceTag/team":"d*v"}"#,                 "acs:ResourceTag/team=dev", Yes),
    ("like, * is nothing",                r#""StringLike":{"acs:ResourceTag/team":"dev*"}"#,                "acs:ResourceTag/team=dev", Yes),
    ("like, ?",                           r#""StringLike":{"acs:ResourceTag/team":"d?v"}"#,                 "acs:ResourceTag/team=dev", Yes),
    ("like, ? is a character of any length", r#""StringLike":{"acs:ResourceTag/team":"d?v"}"#,              "acs:ResourceTag/team=d漢v", Yes),
    ("like, ? is not nothing",            r#""StringLike":{"acs:ResourceTag/team":"dev?"}"#,                "acs:ResourceTag/team=dev", No),
    ("like, * on both sides is nothing",  r#""StringLike":{"acs:ResourceTag/team":"**dev**"}"#,             "acs:ResourceTag/team=dev", Yes),
    ("like, both ends do not overlap",    r#""StringLike":{"acs:ResourceTag/team":"de*ev"}"#,               "acs:ResourceTag/team=dev", No),
    ("like, case matters",                r#""StringLike":{"acs:ResourceTag/team":"D*"}"#,                  "acs:ResourceTag/team=dev", No),
    ("like, one of several",              r#""StringLike":{"acs:ResourceTag/team":["o*","d*"]}"#,           "acs:ResourceTag/team=dev", Yes),
    ("like *, no such tag",               r#""StringLike":{"acs:ResourceTag/team":"*"}"#,                   "",                         No),
    ("not like",                          r#""StringNotLike":{"acs:ResourceTag/team":"d*"}"#,               "acs:ResourceTag/team=ops", Yes),
    ("not like, and it is",               r#""StringNotLike":{"acs:ResourceTag/team":"d*"}"#,               "acs:ResourceTag/team=dev", No),
    ("not like, no such tag",             r#""StringNotLike":{"acs:ResourceTag/team":"d*"}"#,               "",                         ToDeny),
    ("an address as a string",            r#""StringLike":{"acs:SourceIp":"192.0.2.*"}"#,                   "acs:SourceIp=192.0.2.7",   Yes),
    ("a Boolean as a string",             r#""StringEquals":{"acs:SecureTransport":"true"}"#,               "acs:SecureTransport=true", Yes),
    ("the time as a string",              r#""StringLike":{"acs:CurrentTime":"2026-05-*"}"#,                "",                         Yes),
];

#[rustfmt::skip]
const NUMBERS: &[Row] = &[
    ("the same number",                   r#""NumericEquals":{"x:n":"10"}"#,                 "x:n=10",    Yes),
    ("however it is written",             r#""NumericEquals":{"x:n":"10.0"}"#,               "x:n=010",   Yes),
    ("another number",                    r#""NumericEquals":{"x:n":"10"}"#,                 "x:n=11",    No),
    ("numbers are no strings: 9 < 10",    r#""NumericLessThan":{"x:n":"10"}"#,               "x:n=9",     Yes),
    ("one of several numbers",            r#""NumericEquals":{"x:n":["1","10"]}"#,           "x:n=10",    Yes),
    ("not the number",                    r#""NumericNotEquals":{"x:n":"10"}"#,              "x:n=11",    Yes),
    ("not the number, and it is",         r#""NumericNotEquals":{"x:n":["1","10"]}"#,        "x:n=10",    No),
    ("less",                              r#""NumericLessThan":{"x:n":"10"}"#,               "x:n=9.999", Yes),
    ("less is not equal",                 r#""NumericLessThan":{"x:n":"10"}"#,               "x:n=10",    No),
    ("less or equal",                     r#""NumericLessThanEquals":{"x:n":"10"}"#,         "x:n=10",    Yes),
    ("less or equal, greater",            r#""NumericLessThanEquals":{"x:n":"10"}"#,         "x:n=10.000000001", No),
    ("greater",                           r#""NumericGreaterThan":{"x:n":"10"}"#,            "x:n=11",    Yes),
    ("greater is not equal",              r#""NumericGreaterThan":{"x:n":"10"}"#,            "x:n=10",    No),
    ("greater or equal",                  r#""NumericGreaterThanEquals":{"x:n":"10"}"#,      "x:n=10",    Yes),
    ("greater or equal, less",            r#""NumericGreaterThanEquals":{"x:n":"10"}"#,      "x:n=9",     No),
    ("negative numbers",                  r#""NumericLessThan":{"x:n":"-1.5"}"#,             "x:n=-2",    Yes),
    ("fractions of negative numbers",     r#""NumericGreaterThan":{"x:n":"-1.5"}"#,          "x:n=-1.25", Yes),
    ("numbers that a double takes for one", r#""NumericEquals":{"x:n":"100000000000000001"}"#, "x:n=100000000000000000", No),
    ("less than one of several",          r#""NumericLessThan":{"x:n":["1","10"]}"#,         "x:n=5",     Yes),
    ("not a number",                      r#""NumericLessThan":{"x:n":"10"}"#,               "x:n=nine",  No),
    ("no exponents",                      r#""NumericLessThan":{"x:n":"10"}"#,               "x:n=1e0",   No),
    ("not equal, not a number",           r#""NumericNotEquals":{"x:n":"10"}"#,              "x:n=nine",  ToDeny),
    ("no number",                         r#""NumericLessThan":{"x:n":"10"}"#,               "",          No),
    ("not equal, no number",              r#""NumericNotEquals":{"x:n":"10"}"#,              "",          ToDeny),
    ("a Boolean is no number",            r#""NumericEquals":{"acs:SecureTransport":"1"}"#,  "acs:SecureTransport=true", No),
];

#[rustfmt::skip]
const DATES: &[Row] = &[
    ("this second",                       r#""DateEquals":{"acs:CurrentTime":"2026-05-01T12:00:00Z"}"#,            "", Yes),
    ("this second elsewhere",             r#""DateEquals":{"acs:CurrentTime":"2026-05-01T20:00:00+08:00"}"#,       "", Yes),
    ("the next second",                   r#""DateEquals":{"acs:CurrentTime":"2026-05-01T12:00:01Z"}"#,            "", No),
    ("not this second",                   r#""DateNotEquals":{"acs:CurrentTime":"2026-05-01T12:00:01Z"}"#,         "", Yes),
    ("not this second, and it is",        r#""DateNotEquals":{"acs:CurrentTime":"2026-05-01T12:00:00Z"}"#,         "", No),
    ("before",                            r#""DateLessThan":{"acs:CurrentTime":"2026-05-01T12:00:01Z"}"#,          "", Yes),
    ("before is not at",                  r#""DateLessThan":{"acs:CurrentTime":"2026-05-01T12:00:00Z"}"#,          "", No),
    ("before, elsewhere",                 r#""DateLessThan":{"acs:CurrentTime":"2026-05-01T19:59:59+08:00"}"#,     "", No),
    ("until",                             r#""DateLessThanEquals":{"acs:CurrentTime":"2026-05-01T12:00:00Z"}"#,    "", Yes),
    ("until, too late",                   r#""DateLessThanEquals":{"acs:CurrentTime":"2026-05-01T11:59:59Z"}"#,    "", No),
    ("after",                             r#""DateGreaterThan":{"acs:CurrentTime":"2026-05-01T11:59:59Z"}"#,       "", Yes),
    ("after is not at",                   r#""DateGreaterThan":{"acs:CurrentTime":"2026-05-01T12:00:00Z"}"#,       "", No),
    ("from",                              r#""DateGreaterThanEquals":{"acs:CurrentTime":"2026-05-01T12:00:00Z"}"#, "", Yes),
    ("from, too early",                   r#""DateGreaterThanEquals":{"acs:CurrentTime":"2026-05-02T00:00:00Z"}"#, "", No),
    ("a date of another key",             r#""DateLessThan":{"x:until":"2026-01-01T00:00:00Z"}"#,                  "x:until=2025-12-31T23:59:59Z", Yes),
    ("a date that is none",               r#""DateLessThan":{"x:until":"2026-01-01T00:00:00Z"}"#,                  "x:until=yesterday", No),
    ("not equal to a date that is none",  r#""DateNotEquals":{"x:until":"2026-01-01T00:00:00Z"}"#,                 "x:until=yesterday", ToDeny),
    ("the time cannot be given",          r#""DateLessThan":{"acs:CurrentTime":"2026-01-01T00:00:00Z"}"#,          "acs:currenttime=2025-01-01T00:00:00Z", No),
];

#[rustfmt::skip]
const BOOLEANS: &[Row] = &[
    ("over TLS",                          r#""Bool":{"acs:SecureTransport":"true"}"#,   "acs:SecureTransport=true",  Yes),
    ("not over TLS",                      r#""Bool":{"acs:SecureTransport":"true"}"#,   "acs:SecureTransport=false", No),
    ("false is compared, too",            r#""Bool":{"acs:SecureTransport":"false"}"#,  "acs:SecureTransport=false", Yes),
    ("a list of one",                     r#""Bool":{"acs:SecureTransport":["true"]}"#, "acs:SecureTransport=true",  Yes),
    ("a list of both",                    r#""Bool":{"acs:SecureTransport":["true","false"]}"#, "acs:SecureTransport=false", Yes),
    ("case does not matter",              r#""Bool":{"acs:SecureTransport":"True"}"#,   "acs:SecureTransport=true",  Yes),
    ("unknown whether over TLS",          r#""Bool":{"acs:SecureTransport":"true"}"#,   "",                          No),
    ("unknown is not false",              r#""Bool":{"acs:SecureTransport":"false"}"#,  "",                          No),
    ("with a second factor",              r#""Bool":{"acs:MFAPresent":"true"}"#,        "acs:MFAPresent=true",       Yes),
    ("without a second factor",           r#""Bool":{"acs:MFAPresent":"true"}"#,        "acs:MFAPresent=false",      No),
    ("without a login",                   r#""Bool":{"acs:MFAPresent":"false"}"#,       "",                          No),
    ("a Boolean of another key",          r#""Bool":{"x:ready":"true"}"#,               "x:ready=TRUE",              Yes),
    ("no Boolean",                        r#""Bool":{"x:ready":"true"}"#,               "x:ready=1",                 No),
];

#[rustfmt::skip]
const ADDRESSES: &[Row] = &[
    ("an address",                        r#""IpAddress":{"acs:SourceIp":"192.0.2.1"}"#,                    "acs:SourceIp=192.0.2.1",   Yes),
    ("another address",                   r#""IpAddress":{"acs:SourceIp":"192.0.2.1"}"#,                    "acs:SourceIp=192.0.2.10",  No),
    ("in a network",                      r#""IpAddress":{"acs:SourceIp":"10.0.0.0/8"}"#,                   "acs:SourceIp=10.255.255.255", Yes),
    ("beside a network",                  r#""IpAddress":{"acs:SourceIp":"10.0.0.0/8"}"#,                   "acs:SourceIp=11.0.0.0",    No),
    ("a network by one of its hosts",     r#""IpAddress":{"acs:SourceIp":"10.1.2.3/8"}"#,                   "acs:SourceIp=10.9.9.9",    Yes),
    ("a length that cuts an octet",       r#""IpAddress":{"acs:SourceIp":"192.0.2.128/25"}"#,               "acs:SourceIp=192.0.2.127", No),
    ("in one of several networks",        r#""IpAddress":{"acs:SourceIp":["10.0.0.0/8","192.0.2.0/24"]}"#,  "acs:SourceIp=192.0.2.9",   Yes),
    ("in none of several networks",       r#""IpAddress":{"acs:SourceIp":["10.0.0.0/8","192.0.2.0/24"]}"#,  "acs:SourceIp=192.0.3.9",   No),
    ("all of IPv4",                       r#""IpAddress":{"acs:SourceIp":"0.0.0.0/0"}"#,                    "acs:SourceIp=203.0.113.5", Yes),
    ("all of IPv4 is not IPv6",           r#""IpAddress":{"acs:SourceIp":"0.0.0.0/0"}"#,                    "acs:SourceIp=2001:db8::1", No),
    ("all of IPv6 is not IPv4",           r#""IpAddress":{"acs:SourceIp":"::/0"}"#,                         "acs:SourceIp=203.0.113.5", No),
    ("in a network of IPv6",              r#""IpAddress":{"acs:SourceIp":"2001:db8::/32"}"#,                "acs:SourceIp=2001:db8:ffff::1", Yes),
    ("beside a network of IPv6",          r#""IpAddress":{"acs:SourceIp":"2001:db8::/32"}"#,                "acs:SourceIp=2001:db9::1", No),
    ("IPv6 however it is written",        r#""IpAddress":{"acs:SourceIp":"2001:0DB8:0:0::0001"}"#,          "acs:SourceIp=2001:db8::1", Yes),
    ("a mapped address is IPv4",          r#""IpAddress":{"acs:SourceIp":"10.0.0.0/8"}"#,                   "acs:SourceIp=::ffff:10.1.1.1", Yes),
    ("a network of mapped addresses",     r#""IpAddress":{"acs:SourceIp":"::ffff:10.0.0.0/104"}"#,          "acs:SourceIp=10.1.1.1",    Yes),
    ("the older form",                    r#""IpAddress":{"acs:SourceIp":"10.1.*"}"#,                       "acs:SourceIp=10.1.200.3",  Yes),
    ("the older form, one octet",         r#""IpAddress":{"acs:SourceIp":"10.*"}"#,                         "acs:SourceIp=10.200.3.4",  Yes),
    ("the older form, one octet, beside", r#""IpAddress":{"acs:SourceIp":"10.*.*"}"#,                       "acs:SourceIp=11.0.0.1",    No),
    ("the older form, beside",            r#""IpAddress":{"acs:SourceIp":"10.1.*.*"}"#,                     "acs:SourceIp=10.2.0.0",    No),
    ("* is every address",                r#""IpAddress":{"acs:SourceIp":"*"}"#,                            "acs:SourceIp=2001:db8::1", Yes),
    ("no address",                        r#""IpAddress":{"acs:SourceIp":"*"}"#,                            "",                         No),
    ("not in a network",                  r#""NotIpAddress":{"acs:SourceIp":"10.0.0.0/8"}"#,                "acs:SourceIp=11.0.0.0",    Yes),
    ("not in a network, and it is",       r#""NotIpAddress":{"acs:SourceIp":"10.0.0.0/8"}"#,                "acs:SourceIp=10.0.0.0",    No),
    ("not in any of several",             r#""NotIpAddress":{"acs:SourceIp":["10.0.0.0/8","192.0.2.1"]}"#,  "acs:SourceIp=192.0.2.1",   No),
    ("IPv6 is in no network of IPv4",     r#""NotIpAddress":{"acs:SourceIp":"0.0.0.0/0"}"#,                 "acs:SourceIp=2001:db8::1", Yes),
    ("not in a network, no address",      r#""NotIpAddress":{"acs:SourceIp":"10.0.0.0/8"}"#,                "",                         ToDeny),
    ("an address of another key",         r#""IpAddress":{"vpc:Ip":"10.0.0.0/8"}"#,                         "vpc:Ip=10.0.0.1",          Yes),
    ("an address that is none",           r#""NotIpAddress":{"vpc:Ip":"10.0.0.0/8"}"#,                      "vpc:Ip=10.0.0.1/32",       ToDeny),
    ("the address cannot be given",       r#""IpAddress":{"acs:SourceIp":"10.0.0.0/8"}"#,                   "ACS:SourceIp=10.0.0.1",    No),
    ("a time is no address",              r#""IpAddress":{"acs:CurrentTime":"*"}"#,                         "",                         No),
];

#[rustfmt::skip]
const SEVERAL: &[Row] = &[
    ("two keys of an operator, both hold",   r#""StringEquals":{"x:a":"1","x:b":"2"}"#,                      "x:a=1 x:b=2", Yes),
    ("two keys of an operator, first fails", r#""StringEquals":{"x:a":"1","x:b":"2"}"#,                      "x:a=0 x:b=2", No),
    ("two keys of an operator, last fails",  r#""StringEquals":{"x:a":"1","x:b":"2"}"#,                      "x:a=1 x:b=0", No),
    ("two operators, both hold",             r#""StringEquals":{"x:a":"1"},"StringNotEquals":{"x:b":"2"}"#,  "x:a=1 x:b=0", Yes),
    ("two operators, first fails",           r#""StringEquals":{"x:a":"1"},"StringNotEquals":{"x:b":"2"}"#,  "x:a=0 x:b=0", No),
    ("two operators, last fails",            r#""StringEquals":{"x:a":"1"},"StringNotEquals":{"x:b":"2"}"#,  "x:a=1 x:b=2", No),
    ("between two numbers",                  r#""NumericGreaterThan":{"x:n":"1"},"NumericLessThan":{"x:n":"3"}"#, "x:n=2", Yes),
    ("not between two numbers",              r#""NumericGreaterThan":{"x:n":"1"},"NumericLessThan":{"x:n":"3"}"#, "x:n=3", No),
    ("known and unknown",                    r#""StringEquals":{"x:a":"1"},"StringNotEquals":{"x:b":"2"}"#,  "x:a=1",       ToDeny),
    ("a context does not have tags",         r#""StringEquals":{"acs:ResourceTag/team":"dev"}"#,             "acs:resourcetag/team=dev", No),
];

/// The request context and the resource that `text` describes. Documented keys set their own
/// members; any other key is added like a key of another service.
fn circumstances(text: &str) -> (RequestContext, Resource) {
    let (mut context, mut resource) = (RequestContext::new(noon()), domain("example.com"));
    for (key, value) in text.split(' ').filter_map(|pair| pair.split_once('=')) {
        match key {
            "acs:SourceIp" => context.source_ip = Some(value.parse().unwrap()),
            "acs:SecureTransport" => context.secure_transport = Some(value.parse().unwrap()),
            "acs:MFAPresent" => context.mfa_present = Some(value.parse().unwrap()),
            other => match other.strip_prefix("acs:ResourceTag/") {
                Some(tag) => resource = resource.with_tag(tag, value),
                None => context = context.with_key(other, value),
            },
        }
    }
    (context, resource)
}

#[test]
fn conditions() {
    let tables = [STRINGS, NUMBERS, DATES, BOOLEANS, ADDRESSES, SEVERAL];
    for (what, condition, text, holds) in tables.into_iter().flatten() {
        let verdict = |effect: &str| {
            let (context, resource) = circumstances(text);
            let statement = format!(
                r#"{{"Effect":"{effect}","Action":"*","Resource":"*","Condition":{{{condition}}}}}"#
            );
            alone(&statement, SET, resource, &context).verdict
        };
        let allowed = match holds {
            Yes => Verdict::Allowed,
            No | ToDeny => Verdict::ImplicitDeny,
        };
        let denied = match holds {
            Yes | ToDeny => Verdict::ExplicitDeny,
            No => Verdict::ImplicitDeny,
        };
        assert_eq!(verdict("Allow"), allowed, "{what}, Allow");
        assert_eq!(verdict("Deny"), denied, "{what}, Deny");
    }
}

#[test]
fn every_operator_is_in_the_table() {
    let tables = [STRINGS, NUMBERS, DATES, BOOLEANS, ADDRESSES, SEVERAL];
    for operator in condition::operator_names() {
        let (mut yes, mut no) = (0, 0);
        for (_, condition, _, holds) in tables.into_iter().flatten() {
            if condition.starts_with(&format!("\"{operator}\"")) {
                yes += usize::from(*holds == Yes);
                no += usize::from(*holds == No);
            }
        }
        assert!(
            yes > 0 && no > 0,
            "{operator}: {yes} that hold, {no} that do not"
        );
    }
}
