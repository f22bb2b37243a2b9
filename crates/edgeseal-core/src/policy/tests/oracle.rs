//! Compares the engine with an oracle written for readability, not speed: it works on the JSON
//! itself, collects sets of statements, and matches recursively.

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::*;

/// A request in plain text, as the oracle reads it.
#[derive(Clone, Debug)]
struct OracleRequest {
    action: &'static str,
    /// Name and tags.
    resources: Vec<(&'static str, Vec<(&'static str, &'static str)>)>,
    ip: Option<[u8; 4]>,
    time: &'static str,
    tls: Option<bool>,
}

/// The statements of a policy that apply, by effect.
#[derive(Default)]
struct Applying {
    allow: BTreeSet<usize>,
    deny: BTreeSet<usize>,
}

fn oracle(identity: &[Value], session: Option<&Value>, asked: &OracleRequest) -> Verdict {
    let mut of_each = Vec::new();
    for (arn, tags) in &asked.resources {
        let applying = |policy: &Value| {
            let mut found = Applying::default();
            for (at, statement) in policy["Statement"].as_array().unwrap().iter().enumerate() {
                if applies(statement, arn, tags, asked) {
                    match statement["Effect"].as_str() {
                        Some("Deny") => found.deny.insert(at),
                        _ => found.allow.insert(at),
                    };
                }
            }
            found
        };
        let identity: Vec<Applying> = identity.iter().map(applying).collect();
        let session: Option<Applying> = session.map(applying);
        let all = || identity.iter().chain(&session);
        of_each.push((
            all().any(|applying| !applying.deny.is_empty()),
            identity.iter().any(|applying| !applying.allow.is_empty())
                && session.iter().all(|applying| !applying.allow.is_empty()),
        ));
    }
    if of_each.iter().any(|(denied, _)| *denied) {
        Verdict::ExplicitDeny
    } else if !of_each.is_empty() && of_each.iter().all(|(_, allowed)| *allowed) {
        Verdict::Allowed
    } else {
        Verdict::ImplicitDeny
    }
}

fn applies(statement: &Value, arn: &str, tags: &[(&str, &str)], asked: &OracleRequest) -> bool {
    let any = |value: &Value, is_it: &dyn Fn(&str) -> bool| match value {
        Value::Array(list) => list.iter().any(|one| is_it(one.as_str().unwrap())),
        one => is_it(one.as_str().unwrap()),
    };
    let action = |glob: &str| like(&glob.to_lowercase(), &asked.action.to_lowercase());
    // Resources in these tests are in lower case except for role names.
    let resource = |glob: &str| like(glob, arn);
    let has = |name: &str, is_it: &dyn Fn(&str) -> bool| {
        let except = format!("Not{name}");
        statement.get(name).is_some_and(|value| any(value, is_it))
            || statement
                .get(&except)
                .is_some_and(|value| !any(value, is_it))
    };
    let no_conditions = serde_json::Map::new();
    let conditions = statement.get("Condition").and_then(Value::as_object);
    let mut conditions = conditions.unwrap_or(&no_conditions).iter();
    has("Action", &action)
        && has("Resource", &resource)
        && conditions.all(|(operator, keys)| {
            keys.as_object().unwrap().iter().all(|(key, operands)| {
                let negated = operator.contains("Not");
                match circumstance(key, tags, asked) {
                    Some(value) => {
                        any(operands, &|operand| compare(operator, &value, operand)) != negated
                    }
                    None => negated && statement["Effect"] == "Deny",
                }
            })
        })
}

fn circumstance(key: &str, tags: &[(&str, &str)], asked: &OracleRequest) -> Option<String> {
    match key {
        "acs:SourceIp" => asked
            .ip
            .map(|ip| ip.map(|octet| octet.to_string()).join(".")),
        "acs:CurrentTime" => Some(asked.time.to_owned()),
        "acs:SecureTransport" => asked.tls.map(|tls| tls.to_string()),
        _ => {
            let name = key.strip_prefix("acs:ResourceTag/")?;
            let tag = tags.iter().find(|(key, _)| *key == name)?;
            Some(tag.1.to_owned())
        }
    }
}

/// The operator without its negation, applied to the texts themselves: times in one format sort
/// like text, numbers in these tests are small, addresses are bit strings.
fn compare(operator: &str, value: &str, operand: &str) -> bool {
    let operator = operator.replace("Not", "");
    let by_order = |order: std::cmp::Ordering| match operator.trim_start_matches(char::is_lowercase)
    {
        name if name.ends_with("LessThan") => order.is_lt(),
        name if name.ends_with("LessThanEquals") => order.is_le(),
        name if name.ends_with("GreaterThan") => order.is_gt(),
        name if name.ends_with("GreaterThanEquals") => order.is_ge(),
        _ => order.is_eq(),
    };
    match operator.as_str() {
        "StringEqualsIgnoreCase" => value.to_lowercase() == operand.to_lowercase(),
        "StringEquals" | "Bool" => value == operand,
        "StringLike" => like(operand, value),
        "IpAddress" => {
            let (network, length) = operand.split_once('/').unwrap_or((operand, "32"));
            bits(value)[..length.parse().unwrap()] == bits(network)[..length.parse().unwrap()]
        }
        name if name.starts_with("Date") => by_order(value.cmp(operand)),
        _ => by_order(value.parse::<i32>().unwrap().cmp(&operand.parse().unwrap())),
    }
}

fn bits(ip: &str) -> String {
    let octet = |text: &str| format!("{:08b}", text.parse::<u8>().unwrap());
    ip.split('.').map(octet).collect()
}

fn like(glob: &str, text: &str) -> bool {
    let Some(first) = glob.chars().next() else {
        return text.is_empty();
    };
    let rest = &glob[first.len_utf8()..];
    let mut left = text.chars();
    match first {
        '*' => like(rest, text) || (left.next().is_some() && like(glob, left.as_str())),
        '?' => left.next().is_some() && like(rest, left.as_str()),
        literal => left.next() == Some(literal) && like(rest, left.as_str()),
    }
}

const ACTIONS: [&str; 4] = [
    "cdn:SetCdnDomainSSLCertificate",
    "cdn:StopCdnDomain",
    "cdn:DescribeUserDomains",
    "ram:GetUser",
];
const ACTION_GLOBS: [&str; 9] = [
    "*",
    "cdn:*",
    "CDN:stop*",
    "cdn:SetCdnDomainSSLCertificate",
    "cdn:*domain*",
    "*:Get*",
    "cdn:?topCdnDomain",
    "cdn:Describe*Domains",
    "ram:get????",
];
const RESOURCES: [&str; 6] = [
    "*",
    "acs:cdn:*:1000000000000001:domain/a.com",
    "acs:cdn:*:1000000000000001:domain/.a.com",
    "acs:cdn:*:1000000000000001:domain/b.a.com",
    "acs:cdn:*:1000000000000001:domain/*",
    "acs:ram::1000000000000001:role/R",
];
const RESOURCE_GLOBS: [&str; 9] = [
    "*",
    "acs:cdn:*:*:domain/a.com",
    "acs:cdn:*:*:domain/*.a.com",
    "acs:cdn:*:*:domain/.a.com",
    "acs:cdn:*:*:*",
    "acs:cdn:*:*:domain/?.?.com",
    "acs:*:1000000000000001:*a*",
    "acs:ram:*:*:role/r",
    "acs:cdn:*:1000000000000002:*",
];
const TAG_VALUES: [&str; 4] = ["x", "X", "xy", ""];
const TIMES: [&str; 3] = [
    "2026-05-01T11:59:59Z",
    "2026-05-01T12:00:00Z",
    "2026-05-01T12:00:01Z",
];
const NETWORKS: [&str; 5] = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.3",
    "10.1.2.2/31",
    "0.0.0.0/0",
];
const NUMBERS: [&str; 4] = ["-1", "0", "1", "10"];

fn one_or_more(from: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![
        select(from).prop_map(|one| json!(one)),
        prop::collection::vec(select(from), 1..4).prop_map(|list| json!(list)),
    ]
}

fn condition() -> impl Strategy<Value = (String, String, Value)> {
    let row = |operators: &'static [&'static str], keys: &'static [&'static str], operands| {
        (select(operators), select(keys), one_or_more(operands))
            .prop_map(|(operator, key, operands)| (operator.to_owned(), key.to_owned(), operands))
    };
    prop_oneof![
        row(
            &[
                "StringEquals",
                "StringNotEquals",
                "StringEqualsIgnoreCase",
                "StringNotEqualsIgnoreCase"
            ],
            &["acs:ResourceTag/t", "acs:ResourceTag/none"],
            &TAG_VALUES,
        ),
        row(
            &["StringLike", "StringNotLike"],
            &["acs:ResourceTag/t", "acs:SourceIp"],
            &["*", "x*", "?", "10.1*", "*.4"]
        ),
        row(
            &[
                "NumericEquals",
                "NumericNotEquals",
                "NumericLessThan",
                "NumericLessThanEquals",
                "NumericGreaterThan",
                "NumericGreaterThanEquals",
            ],
            &["acs:ResourceTag/n", "acs:ResourceTag/none"],
            &NUMBERS,
        ),
        row(
            &[
                "DateEquals",
                "DateNotEquals",
                "DateLessThan",
                "DateLessThanEquals",
                "DateGreaterThan",
                "DateGreaterThanEquals"
            ],
            &["acs:CurrentTime"],
            &TIMES,
        ),
        row(&["Bool"], &["acs:SecureTransport"], &["true", "false"]),
        row(&["IpAddress", "NotIpAddress"], &["acs:SourceIp"], &NETWORKS),
    ]
}

fn statement() -> impl Strategy<Value = Value> {
    let scope = |name: &'static str, except: &'static str, globs| {
        (
            prop_oneof![4 => Just(name), 1 => Just(except)],
            one_or_more(globs),
        )
    };
    (
        prop_oneof![3 => Just("Allow"), 1 => Just("Deny")],
        scope("Action", "NotAction", &ACTION_GLOBS),
        scope("Resource", "NotResource", &RESOURCE_GLOBS),
        prop::collection::vec(condition(), 0..3),
    )
        .prop_map(
            |(effect, (action, actions), (resource, resources), conditions)| {
                let mut statement =
                    json!({ "Effect": effect, action: actions, resource: resources });
                for (operator, key, operands) in conditions {
                    statement["Condition"][operator][key] = operands;
                }
                statement
            },
        )
}

fn policy() -> impl Strategy<Value = Value> {
    prop::collection::vec(statement(), 1..4)
        .prop_map(|statements| json!({ "Version": "1", "Statement": statements }))
}

fn oracle_request() -> impl Strategy<Value = OracleRequest> {
    let tags = (
        prop::option::of(select(&TAG_VALUES)),
        prop::option::of(select(&NUMBERS)),
    )
        .prop_map(|(t, n)| {
            t.map(|t| ("t", t))
                .into_iter()
                .chain(n.map(|n| ("n", n)))
                .collect()
        });
    (
        select(&ACTIONS),
        prop::collection::vec((select(&RESOURCES), tags), 0..3),
        prop::option::weighted(0.8, select(&[[10, 1, 2, 3], [10, 2, 0, 4], [192, 0, 2, 1]])),
        select(&TIMES),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(action, resources, ip, time, tls)| OracleRequest {
            action,
            resources,
            ip,
            time,
            tls,
        })
}

fn engine(identity: &[Value], session: Option<&Value>, asked: &OracleRequest) -> Verdict {
    let parse = |policy: &Value| Document::parse(&policy.to_string()).unwrap();
    let documents: Vec<Document> = identity.iter().map(parse).collect();
    let session = session.map(parse);
    let attach = |document| AttachedPolicy {
        name: "p",
        document,
    };
    let attached: Vec<AttachedPolicy<'_>> = documents.iter().map(attach).collect();
    let tagged = |(arn, tags): &(&str, Vec<(&str, &str)>)| {
        tags.iter()
            .fold(Resource::new(*arn), |resource, (key, value)| {
                resource.with_tag(*key, *value)
            })
    };
    let resources: Vec<Resource> = asked.resources.iter().map(tagged).collect();
    let context = RequestContext {
        source_ip: asked.ip.map(Into::into),
        secure_transport: asked.tls,
        ..RequestContext::new(Timestamp::parse_iso(asked.time).unwrap())
    };
    let policies = Policies {
        identity: &attached,
        session: session.as_ref(),
    };
    let request = Request {
        action: asked.action,
        resources: &resources,
        context: &context,
    };
    evaluate(&policies, &request).verdict
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn agrees_with_the_oracle(
        identity in prop::collection::vec(policy(), 0..4),
        session in prop::option::of(policy()),
        asked in oracle_request(),
    ) {
        let session = session.as_ref();
        prop_assert_eq!(engine(&identity, session, &asked), oracle(&identity, session, &asked));
    }

    #[test]
    fn a_policy_printed_is_the_same(policy in policy()) {
        let document = Document::parse(&policy.to_string()).unwrap();
        let printed = serde_json::to_string(&document).unwrap();
        prop_assert_eq!(Document::parse(&printed), Ok(document));
    }
}

/// The generators above produce every verdict often enough for the comparison to mean something.
#[test]
fn generated_cases_are_of_all_kinds() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let case = (
        prop::collection::vec(policy(), 0..4),
        prop::option::of(policy()),
        oracle_request(),
    );
    let (mut allowed, mut explicit, mut implicit) = (0, 0, 0);
    for _ in 0..2000 {
        let (identity, session, asked) = case.new_tree(&mut runner).unwrap().current();
        match oracle(&identity, session.as_ref(), &asked) {
            Verdict::Allowed => allowed += 1,
            Verdict::ExplicitDeny => explicit += 1,
            Verdict::ImplicitDeny => implicit += 1,
        }
    }
    assert!(
        allowed > 100 && explicit > 100 && implicit > 100,
        "{allowed} {explicit} {implicit}"
    );
}
