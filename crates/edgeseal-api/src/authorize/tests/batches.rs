//! Every action on several domains acts on exactly the domains that its authorization covers,
//! however they are spelled.
//!
//! The store and the response show which domains a call by the account's own key acts on. Users who
//! are each denied one domain show which domains the authorization covers: they are the ones it
//! refuses.

use std::collections::{BTreeSet, HashMap};

use edgeseal_core::{DomainPattern, rate::RateLimit};
use serde_json::{Value, json};

use crate::{
    Settings,
    actions::{ACTIONS, Access, Action, ResourceKind},
    context::NameMismatchPolicy,
    test_server::{TestServer, document, statement},
};

const ACCOUNT: &str = "1000000000000001";
/// The canonical form of each domain, then equivalent spellings.
const DOMAINS: [[&str; 4]; 4] = [
    [
        "a.example.com",
        "A.Example.COM",
        "a.example.com.",
        " a.example.com ",
    ],
    [
        "prod.example.com",
        "PROD.example.com",
        "prod.example.com.",
        "Prod.Example.Com.",
    ],
    [
        "xn--bcher-kva.example.com",
        "bücher.example.com",
        "BÜCHER.example.com.",
        "XN--BCHER-KVA.example.com",
    ],
    [
        "b.example.org",
        "B.example.org.",
        "b.Example.org",
        "b.example.org",
    ],
];
/// Not a domain: it makes the whole call fail.
const NO_DOMAIN: &str = "a..example.com";

/// A call, and the indexes of [`DOMAINS`] that it means; `None` if it must be refused.
struct Call {
    params: Vec<(String, String)>,
    means: Option<BTreeSet<usize>>,
}

/// The other parameters that a successful call needs; most calls need none.
fn particulars(action: &Action) -> Vec<(&'static str, String)> {
    let given = |name, value: &str| (name, value.to_owned());
    match action.name {
        "BatchAddCdnDomain" => vec![
            given("CdnType", "web"),
            given(
                "Sources",
                r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#,
            ),
        ],
        "BatchAddDcdnDomain" => vec![given(
            "Sources",
            r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#,
        )],
        "BatchUpdateCdnDomain" => vec![given("ResourceGroupId", "rg-1")],
        "BatchSetCdnDomainConfig" | "BatchSetDcdnDomainConfigs" => {
            vec![given("Functions", REDIRECT)]
        }
        "BatchDeleteCdnDomainConfig" | "BatchDeleteDcdnDomainConfigs" => {
            vec![given("FunctionNames", "https_force")]
        }
        "BatchSetCdnDomainServerCertificate" | "BatchSetDcdnDomainCertificate" => {
            let (chain, key) = certificate();
            vec![
                given("SSLProtocol", "on"),
                given("SSLPub", &chain),
                given("SSLPri", &key),
            ]
        }
        "ImportCertificate" => {
            let (chain, key) = certificate();
            vec![given("SSLPub", &chain), given("SSLPri", &key)]
        }
        "ListTagResources" | "DescribeTagResources" | "DescribeDcdnTagResources" => {
            vec![given("ResourceType", "DOMAIN")]
        }
        "TagResources" | "TagDcdnResources" => vec![
            given("ResourceType", "DOMAIN"),
            given("Tag.1.Key", "k"),
            given("Tag.1.Value", "v"),
        ],
        "UntagResources" | "UntagDcdnResources" => {
            vec![given("ResourceType", "DOMAIN"), given("TagKey.1", "other")]
        }
        _ => Vec::new(),
    }
}

const REDIRECT: &str =
    r#"[{"functionName":"https_force","functionArgs":[{"argName":"enable","argValue":"on"}]}]"#;

fn certificate() -> (String, String) {
    let names = DOMAINS.map(|spellings| spellings[0].to_owned());
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn every_batch_acts_on_what_it_is_judged_by() {
    let mut batches = ACTIONS
        .iter()
        .filter(|action| action.resource == ResourceKind::EachDomain);
    assert!(batches.clone().count() >= 12);
    for action in &mut batches {
        let world = world().await;
        for call in calls(action.resource_param) {
            let extra = particulars(action);
            assert_acts_as_judged(&world, action, &extra, &call).await;
        }
    }
}

async fn assert_acts_as_judged(
    world: &TestServer,
    action: &Action,
    extra: &[(&'static str, String)],
    call: &Call,
) {
    let named = call
        .params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let extra = extra.iter().map(|(name, value)| (*name, value.as_str()));
    let params: Vec<(&str, &str)> = named.chain(extra).collect();
    let what = format!("{} {:?}", action.name, call.params);
    prepare(world, action).await;
    let before = histories(world).await;
    let response = world
        .call(&world.keys["own"], action.version, action.name, &params)
        .await;
    let acted = match action.access {
        Access::Write => changed(&before, &histories(world).await),
        Access::Read => shown(&response),
    };
    match &call.means {
        Some(means) => {
            assert_eq!(response.get("Code"), None, "{what}: {response}");
            assert_eq!(acted, *means, "acted on: {what}");
        }
        None => {
            assert!(response["Code"].is_string(), "not refused: {what}");
            assert_eq!(acted, BTreeSet::new(), "acted on although refused: {what}");
            return;
        }
    }
    let mut judged = BTreeSet::new();
    for denied in 0..DOMAINS.len() {
        let who = &world.keys[&format!("not-{denied}")];
        let response = world.call(who, action.version, action.name, &params).await;
        if response["Code"] == "NoPermission" {
            judged.insert(denied);
        }
    }
    assert_eq!(judged, acted, "authorized for: {what}");
}

/// An account with all of the domains except those that `BatchAddCdnDomain` will add, and one user
/// per domain who may do everything except with that domain.
async fn world() -> TestServer {
    let unlimited = RateLimit {
        calls: 1_000_000,
        per_ms: 1000,
    };
    let limits = ACTIONS
        .iter()
        .map(|action| (action.name.to_owned(), unlimited));
    let mut world = TestServer::empty(Settings {
        rate_limits: limits.collect::<HashMap<_, _>>(),
        name_mismatch: NameMismatchPolicy::Accept,
        ..Settings::default()
    });
    world.account(ACCOUNT, "own").await;
    for (index, [name, ..]) in DOMAINS.iter().enumerate() {
        let deny = json!({
            "Effect": "Deny",
            "Action": "*",
            "Resource": format!("acs:*:*:*:domain/{name}"),
        });
        let policy = document(&[statement("*", "*"), deny]);
        world
            .user(ACCOUNT, &format!("not-{index}"), &[&policy])
            .await;
    }
    world
}

/// Creates what the action expects to exist.
async fn prepare(world: &TestServer, action: &Action) {
    let own = &world.keys["own"];
    let cdn = "2018-05-10";
    let is_there = world
        .context
        .catalog
        .domain(&pattern(0))
        .await
        .unwrap()
        .is_some();
    if matches!(action.name, "BatchAddCdnDomain" | "BatchAddDcdnDomain") {
        for index in 0..DOMAINS.len() {
            let name = pattern(index).to_string();
            world
                .call(own, cdn, "DeleteCdnDomain", &[("DomainName", &name)])
                .await;
        }
        return;
    }
    let all = DOMAINS.map(|[name, ..]| name).join(",");
    if !is_there {
        let add = [
            ("DomainName", all.as_str()),
            ("CdnType", "web"),
            (
                "Sources",
                r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#,
            ),
            ("Tag.1.Key", "k"),
            ("Tag.1.Value", "v"),
        ];
        let added = world.call(own, cdn, "BatchAddCdnDomain", &add).await;
        assert_eq!(added.get("Code"), None, "{added}");
    }
    if matches!(
        action.name,
        "BatchDeleteCdnDomainConfig" | "BatchDeleteDcdnDomainConfigs"
    ) {
        let set = [("DomainNames", all.as_str()), ("Functions", REDIRECT)];
        let set = world.call(own, cdn, "BatchSetCdnDomainConfig", &set).await;
        assert_eq!(set.get("Code"), None, "{set}");
    } else if matches!(
        action.name,
        "BatchSetCdnDomainConfig" | "BatchSetDcdnDomainConfigs"
    ) {
        let unset = [
            ("DomainNames", all.as_str()),
            ("FunctionNames", "https_force"),
        ];
        let unset = world
            .call(own, cdn, "BatchDeleteCdnDomainConfig", &unset)
            .await;
        assert_eq!(unset.get("Code"), None, "{unset}");
    }
}

fn pattern(index: usize) -> DomainPattern {
    DomainPattern::parse(DOMAINS[index][0]).unwrap()
}

/// The number of changes of each domain.
async fn histories(world: &TestServer) -> Vec<usize> {
    let mut counts = Vec::new();
    for index in 0..DOMAINS.len() {
        let history = world.context.catalog.history(&pattern(index)).await;
        counts.push(history.unwrap().len());
    }
    counts
}

fn changed(before: &[usize], after: &[usize]) -> BTreeSet<usize> {
    let counts = before.iter().zip(after).enumerate();
    let changed = counts.filter(|(_, (before, after))| before != after);
    changed.map(|(index, _)| index).collect()
}

/// The domains that a response reports.
fn shown(response: &Value) -> BTreeSet<usize> {
    let text = response.to_string();
    let names = DOMAINS.iter().enumerate();
    let shown = names.filter(|(_, [name, ..])| text.contains(&format!("\"{name}\"")));
    shown.map(|(index, _)| index).collect()
}

/// Lists of every subset of the domains, each with different spellings, some with duplicates; and
/// lists that are invalid in one way each.
fn calls(named_by: &'static str) -> Vec<Call> {
    let mut calls = Vec::new();
    for set in 1_usize..1 << DOMAINS.len() {
        let members: Vec<usize> = (0..DOMAINS.len()).filter(|at| set >> at & 1 == 1).collect();
        let mut names: Vec<&str> = members
            .iter()
            .map(|member| DOMAINS[*member][(set + member) % 4])
            .collect();
        if set % 3 == 0 {
            names.push(DOMAINS[members[0]][(set + 1) % 4]);
        }
        calls.push(Call::of(
            named_by,
            &names,
            Some(members.into_iter().collect()),
        ));
        names.insert(set % names.len(), NO_DOMAIN);
        calls.push(Call::of(named_by, &names, None));
    }
    match named_by.strip_suffix('N') {
        Some(numbered) => calls.extend(broken_numbers(numbered)),
        None => calls.extend(odd_separators(named_by)),
    }
    calls
}

impl Call {
    fn of(named_by: &str, names: &[&str], means: Option<BTreeSet<usize>>) -> Self {
        let params = match named_by.strip_suffix('N') {
            Some(numbered) => {
                let names = (1..).zip(names);
                let named = names.map(|(n, name)| (format!("{numbered}{n}"), (*name).to_owned()));
                named.collect()
            }
            None => vec![(named_by.to_owned(), names.join(","))],
        };
        Self { params, means }
    }
}

/// Missing, repeated or differently spelled indexes.
fn broken_numbers(numbered: &str) -> Vec<Call> {
    let [mine, prod] = [DOMAINS[0][0], DOMAINS[1][0]];
    let lists: [&[(&str, &str)]; 7] = [
        &[("1", mine), ("3", prod)],
        &[("2", prod)],
        &[("1", ""), ("2", prod)],
        &[("1", mine), ("02", prod)],
        &[("0", prod), ("1", mine)],
        &[("1", mine), ("51", prod)],
        &[("1", mine), ("18446744073709551617", prod)],
    ];
    let call = |list: &&[(&str, &str)]| Call {
        params: list
            .iter()
            .map(|(n, name)| (format!("{numbered}{n}"), (*name).to_owned()))
            .collect(),
        means: None,
    };
    lists.iter().map(call).collect()
}

/// Empty entries between commas name nothing.
fn odd_separators(named_by: &str) -> Vec<Call> {
    let [mine, prod] = [DOMAINS[0][0], DOMAINS[1][0]];
    let both = || Some(BTreeSet::from([0, 1]));
    [
        (format!("{mine},,{prod}"), both()),
        (format!(",{mine} , {prod},"), both()),
        (format!("{mine};{prod}"), None),
        (format!("{mine} {prod}"), None),
    ]
    .map(|(list, means)| Call {
        params: vec![(named_by.to_owned(), list)],
        means,
    })
    .into()
}
