//! Tags of domains.

use serde_json::Value;

use super::{add, names};
use crate::harness::{ApiClient, CDN_VERSION, Origin, Server, unlimited};

const TAG: &str = "TagResources";
const UNTAG: &str = "UntagResources";
const LIST: &str = "ListTagResources";

/// Parameters in flattened form.
struct Flat(Vec<(String, String)>);

impl Flat {
    fn of(resources: &[&str]) -> Self {
        let mut flat = Self(vec![("ResourceType".to_owned(), "DOMAIN".to_owned())]);
        for (number, name) in (1..).zip(resources) {
            flat.push(format!("ResourceId.{number}"), name);
        }
        flat
    }

    fn tagged(mut self, tags: &[(&str, &str)]) -> Self {
        for (number, (key, value)) in (1..).zip(tags) {
            self.push(format!("Tag.{number}.Key"), key);
            self.push(format!("Tag.{number}.Value"), value);
        }
        self
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.push(name.to_owned(), value);
        self
    }

    fn push(&mut self, name: String, value: &str) {
        self.0.push((name, value.to_owned()));
    }

    fn params(&self) -> Vec<(&str, &str)> {
        let params = self.0.iter();
        params.map(|(name, value)| (&**name, &**value)).collect()
    }
}

async fn ok(api: &ApiClient, action: &str, flat: Flat) -> Value {
    api.ok(CDN_VERSION, action, &flat.params()).await
}

async fn assert_refused(api: &ApiClient, action: &str, flat: Flat, code: &str) {
    let params = flat.params();
    let refusal = api.refused(CDN_VERSION, action, &params).await;
    assert_eq!(refusal.code, code, "{action}: {}", refusal.detail);
}

/// `domain key=value` for each row of a response.
fn rows(listed: &Value) -> Vec<String> {
    let rows = listed["TagResources"]["TagResource"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.iter()
        .inspect(|row| assert_eq!(row["ResourceType"], "DOMAIN"))
        .map(|row| {
            let (key, value) = (text(&row["TagKey"]), text(&row["TagValue"]));
            format!("{} {key}={value}", text(&row["ResourceId"]))
        })
        .collect()
}

/// All tags of these domains.
async fn labels(api: &ApiClient, names: &[&str]) -> Vec<String> {
    rows(&ok(api, LIST, Flat::of(names)).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_added_and_removed() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    add(&api, &names(2), &origin).await;
    let both = ["b000.batch.example", "b001.batch.example"];
    let [a, b] = both;
    ok(
        &api,
        TAG,
        Flat::of(&both).tagged(&[("team", "web"), ("env", "")]),
    )
    .await;
    ok(&api, TAG, Flat::of(&[a]).tagged(&[("team", "shop")])).await;
    let all = [
        format!("{a} env="),
        format!("{a} team=shop"),
        format!("{b} env="),
        format!("{b} team=web"),
    ];
    assert_eq!(labels(&api, &both).await, all, "a value is replaced");
    let wanted = Flat::of(&[]).tagged(&[("team", "web")]);
    assert_eq!(rows(&ok(&api, LIST, wanted).await), all[3..]);
    let filter = [("Tag.1.Key", "team"), ("Tag.1.Value", "shop")];
    let found = api.ok(CDN_VERSION, "DescribeUserDomains", &filter).await;
    assert_eq!(found["TotalCount"], 1, "domains are found by tag");

    let some = Flat::of(&both)
        .with("TagKey.1", "env")
        .with("TagKey.2", "x");
    ok(&api, UNTAG, some).await;
    let left = [&all[1..2], &all[3..]].concat();
    assert_eq!(labels(&api, &both).await, left);
    assert_refused(&api, UNTAG, Flat::of(&both), "MissingTagKey").await;
    let unknown = Flat::of(&[a, "none.batch.example"]).with("All", "true");
    assert_refused(&api, UNTAG, unknown, "InvalidDomain.NotFound").await;
    assert_eq!(labels(&api, &both).await, left, "no domain lost its tag");
    ok(&api, UNTAG, Flat::of(&both).with("All", "true")).await;
    assert_eq!(labels(&api, &both).await, [] as [&str; 0]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_tags() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    add(&api, &names(2), &origin).await;
    let both = ["b000.batch.example", "b001.batch.example"];
    let [a, b] = both;
    let keys: Vec<String> = (0..21).map(|n| format!("key {n:02}")).collect();
    let tags: Vec<(&str, &str)> = keys.iter().map(|key| (&**key, "v")).collect();
    let long = "x".repeat(129);
    let many: Vec<&str> = [a].repeat(51);
    for (flat, code) in [
        (Flat(Vec::new()), "MissingResourceType"),
        (
            Flat(vec![("ResourceType".to_owned(), "BUCKET".to_owned())]),
            "InvalidResourceType",
        ),
        (Flat::of(&[]).tagged(&tags[..1]), "MissingResourceId"),
        (Flat::of(&many).tagged(&tags[..1]), "InvalidResourceId"),
        (Flat::of(&[a]), "MissingTag"),
        (Flat::of(&[a]).tagged(&tags), "InvalidTag.TooMany"),
        (
            Flat::of(&[a]).tagged(&[(&long, "v")]),
            "InvalidTag.Malformed",
        ),
        (
            Flat::of(&[a]).tagged(&[("k", &long)]),
            "InvalidTag.Malformed",
        ),
        (
            Flat::of(&[a, "no domain"]).tagged(&tags[..1]),
            "InvalidDomainName.Malformed",
        ),
        (
            Flat::of(&[a, "none.batch.example"]).tagged(&tags[..1]),
            "InvalidDomain.NotFound",
        ),
    ] {
        assert_refused(&api, TAG, flat, code).await;
        assert_eq!(labels(&api, &both).await, [] as [&str; 0], "{code}");
    }
    ok(&api, TAG, Flat::of(&[b]).tagged(&tags[..20])).await;
    assert_eq!(labels(&api, &[b]).await.len(), 20);
    // The second domain would exceed the limit, so the first one gets no tag either.
    let more = Flat::of(&both).tagged(&tags[20..]);
    assert_refused(&api, TAG, more, "InvalidTag.TooMany").await;
    assert_eq!(labels(&api, &[a]).await, [] as [&str; 0]);
    // An existing tag is replaced, not added.
    ok(&api, TAG, Flat::of(&both).tagged(&[("key 00", "new")])).await;
    assert_eq!(labels(&api, &both).await.len(), 21);
    let (bob, listed) = (server.create_account("bob").await, Flat::of(&[a]));
    assert_refused(&bob, LIST, listed, "InvalidDomain.NotFound").await;
    assert_eq!(labels(&bob, &[]).await, [] as [&str; 0]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_read_page_by_page() {
    let server = Server::start_with(&unlimited());
    let (api, origin) = (server.root_client(), Origin::start().await);
    let names = names(250);
    for part in names.chunks(50) {
        add(&api, part, &origin).await;
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        ok(&api, TAG, Flat::of(&part).tagged(&[("a", "1"), ("b", "2")])).await;
    }
    // The pages skip domains without the tag.
    let untagged: Vec<&str> = names.iter().step_by(50).map(String::as_str).collect();
    ok(&api, UNTAG, Flat::of(&untagged).with("TagKey.1", "a")).await;
    for (wanted, expected) in [
        (&[][..], 2 * 250 - 5),
        (&[("a", "")], 245),
        (&[("b", "2")], 250),
        (&[("b", "3")], 0),
    ] {
        let (mut joined, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let flat = Flat::of(&[]).tagged(wanted).with("NextToken", &token);
            let listed = ok(&api, LIST, flat).await;
            joined.extend(rows(&listed));
            pages += 1;
            listed["NextToken"].as_str().unwrap().clone_into(&mut token);
            if token.is_empty() {
                break;
            }
            assert!(pages < 10, "the pages do not end");
        }
        assert_eq!(joined.len(), expected, "{wanted:?}");
        assert!(joined.is_sorted(), "{wanted:?}");
        joined.dedup();
        assert_eq!(joined.len(), expected, "{wanted:?}: no duplicates");
        assert_eq!(pages > 2, expected > 200, "{wanted:?}: {pages} pages");
    }
    for token in ["x", "-1"] {
        let flat = Flat::of(&[]).with("NextToken", token);
        assert_refused(&api, LIST, flat, "InvalidNextToken").await;
    }
    server.stop();
}
