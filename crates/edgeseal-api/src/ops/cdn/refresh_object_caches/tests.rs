use edgeseal_core::rate::RateLimit;
use serde_json::{Value, json};

use crate::{
    Settings,
    test_server::{Credentials, NOW, TestServer, allow, document, statement},
};

const OWN: &str = "1000000000000001";
const OTHER: &str = "2000000000000002";
const CDN: &str = "2018-05-10";
const DCDN: &str = "2018-01-15";
/// Each action with the response member that holds the task ID.
const CALLS: [(&str, &str, &str); 4] = [
    (CDN, "RefreshObjectCaches", "RefreshTaskId"),
    (CDN, "PushObjectCache", "PushTaskId"),
    (DCDN, "RefreshDcdnObjectCaches", "RefreshTaskId"),
    (DCDN, "PreloadDcdnObjectCaches", "PreloadTaskId"),
];

/// An account with two domains and a wildcard, and one with another domain.
async fn world() -> TestServer {
    let unlimited = RateLimit {
        calls: 1_000_000,
        per_ms: 1000,
    };
    let reads = ["DescribeRefreshTasks", "DescribeRefreshTaskById"];
    let mut world = TestServer::empty(Settings {
        rate_limits: reads.map(|name| (name.to_owned(), unlimited)).into(),
        ..Settings::default()
    });
    world.account(OWN, "own").await;
    world.account(OTHER, "other").await;
    let domains = [
        ("own", "a.example.com"),
        ("own", "b.example.com"),
        ("own", ".site.example"),
        ("other", "c.example.org"),
    ];
    for (who, name) in domains {
        let sources = r#"[{"content":"192.0.2.7","type":"ipaddr"}]"#;
        let params = [
            ("DomainName", name),
            ("CdnType", "web"),
            ("Sources", sources),
        ];
        let who = &world.keys[who];
        let added = world.call(who, CDN, "AddCdnDomain", &params).await;
        assert_eq!(added.get("Code"), None, "{added}");
    }
    world
}

async fn refresh(
    world: &TestServer,
    who: &Credentials,
    call: (&str, &str, &str),
    path: &str,
    kind: Option<&str>,
) -> Value {
    let kind = kind.map(|kind| ("ObjectType", kind));
    let params: Vec<_> = [("ObjectPath", path)].into_iter().chain(kind).collect();
    world.call(who, call.0, call.1, &params).await
}

#[tokio::test]
async fn what_is_asked_for_is_done_and_reads_back_complete() {
    let world = world().await;
    let (own, other) = (&world.keys["own"], &world.keys["other"]);
    for call in CALLS {
        let path =
            "http://a.example.com/x?token=secret\r\nB.example.com/y\n\nhttps://w.site.example/";
        let done = refresh(&world, own, call, path, None).await;
        let id = done[call.2].as_str().unwrap_or_else(|| panic!("{done}"));
        // The official script parses it as a number.
        assert!(id.parse::<u64>().is_ok(), "{id}");
        let (list, wrapper) = match call.0 {
            CDN => ("DescribeRefreshTasks", "CDNTask"),
            _ => ("DescribeDcdnRefreshTasks", "Task"),
        };
        let kind = if call.2 == "RefreshTaskId" {
            "file"
        } else {
            "preload"
        };
        let task = |path: &str| {
            json!({
                "TaskId": id, "ObjectPath": path, "ObjectType": kind, "Status": "Complete",
                "Process": "100%", "CreationTime": NOW.to_string(), "Description": "",
            })
        };
        let wanted = [("TaskId", id), ("ObjectPath", "http://a.example.com/x")];
        let listed = world.call(own, call.0, list, &wanted).await;
        assert_eq!(
            listed["Tasks"][wrapper],
            json!([task(wanted[1].1)]),
            "{listed}"
        );
        assert_eq!(
            (&listed["TotalCount"], &listed["PageSize"]),
            (&json!(1), &json!(20))
        );
        let by_id = list.replace("Tasks", "TaskById");
        let found = world.call(own, call.0, &by_id, &[("TaskId", id)]).await;
        assert_eq!(found["Tasks"], json!([task("")]), "{found}");
        // To other accounts the task does not exist.
        let found = world.call(other, call.0, &by_id, &[("TaskId", id)]).await;
        assert_eq!(
            (&found["TotalCount"], &found["Tasks"]),
            (&json!(0), &json!([]))
        );
    }
    // The audit log records the caller and the domains, but no URLs, which may contain secrets.
    let records = world.audit(OWN).await;
    let asked = records
        .iter()
        .filter(|record| record.action.contains("ObjectCache"));
    let asked: Vec<_> = asked.map(|record| record.resource.as_str()).collect();
    assert_eq!(asked, ["B.example.com,a.example.com,w.site.example"; 4]);
}

#[tokio::test]
async fn addresses_that_are_none_and_domains_of_others_are_refused() {
    let world = world().await;
    let own = &world.keys["own"];
    let long = format!("http://a.example.com/{}", "x".repeat(1024));
    let many = |count: usize| vec!["a.example.com/x"; count].join("\n");
    let (thousand, hundred, two) = (many(1001), many(101), many(2));
    let eleven = (0..11).map(|n| format!("{n}.site.example/"));
    let eleven = eleven.collect::<Vec<_>>().join("\n");
    let ten = eleven.split_once('\n').unwrap().1;
    let malformed = [
        "http://a.example.com",
        "http://a.example.com?x",
        "http:///x",
        "http://a.example.com:8080/x",
        "http://u@a.example.com/x",
        "ftp://a.example.com/x",
        &long,
        &eleven,
    ];
    let malformed = malformed.map(|path| (path, None, "InvalidObjectPath.Malformed"));
    let others = [
        "c.example.org/x",
        "nowhere.example.org/x",
        "x.y.site.example/",
        "a.example.com/x\nc.example.org/x",
    ];
    let others = others.map(|path| (path, None, "InvalidDomain.NotFound"));
    let wildcards = ["http://*.site.example/", "http://.site.example/"];
    let wildcards = wildcards.map(|path| (path, None, "InvalidExtensiveDomain.ValueNotSupported"));
    let kinds = [
        ("Directory", "InvalidObjectPath.Malformed"),
        ("Everything", "InvalidObjectType.Malformed"),
        ("preload", "InvalidObjectType.Malformed"),
    ];
    let kinds = kinds.map(|(kind, code)| ("a.example.com/x", Some(kind), code));
    let refused = [
        ("", None, "MissingObjectPath"),
        ("\n \n", None, "MissingObjectPath"),
        (&thousand, None, "SingleRequest.OverLimit"),
        (&hundred, Some("directory"), "SingleRequest.OverLimit"),
        (&two, Some("Regex"), "SingleRequest.OverLimit"),
    ];
    let refused = [&refused[..], &malformed, &others, &wildcards, &kinds].concat();
    for (path, kind, code) in refused {
        let response = refresh(&world, own, CALLS[0], path, kind).await;
        let start: String = path.chars().take(60).collect();
        assert_eq!(response["Code"], code, "{start} {kind:?}: {response}");
    }
    let done = [
        (ten, None),
        ("a.example.com/x/", Some("Directory")),
        (r"http://a.example.com/.*\.jpg$", Some("Regex")),
        ("HTTPS://A.example.com/x?a=b", Some("IgnoreParams")),
    ];
    for (path, kind) in done {
        let response = refresh(&world, own, CALLS[0], path, kind).await;
        assert!(response["RefreshTaskId"].is_string(), "{path}: {response}");
    }
    let response = refresh(&world, own, CALLS[1], &hundred, None).await;
    assert_eq!(response["Code"], "SingleRequest.OverLimit", "{response}");
}

#[tokio::test]
async fn each_domain_of_the_addresses_is_judged() {
    let mut world = world().await;
    let deny = json!({
        "Effect": "Deny",
        "Action": "cdn:*",
        "Resource": "acs:cdn:*:*:domain/b.example.com",
    });
    let policy = document(&[statement("*", "*"), deny]);
    world.user(OWN, "not-b", &[&policy]).await;
    let only = allow(
        "cdn:RefreshObjectCaches",
        "acs:cdn:*:*:domain/a.example.com",
    );
    world.user(OWN, "a-alone", &[&only]).await;
    let (a, both) = ("a.example.com/x", "a.example.com/x\nHTTP://b.example.com/y");
    for call in CALLS {
        let who = &world.keys["not-b"];
        let response = refresh(&world, who, call, a, None).await;
        assert_eq!(response.get("Code"), None, "{response}");
        // A `Deny` of the CDN action applies to the DCDN action too.
        let response = refresh(&world, who, call, both, None).await;
        assert_eq!(response["Code"], "NoPermission", "{call:?}: {response}");
    }
    let who = &world.keys["a-alone"];
    for (call, path, is_allowed) in [
        (CALLS[0], a, true),
        (CALLS[0], both, false),
        (CALLS[1], a, false),
    ] {
        let response = refresh(&world, who, call, path, None).await;
        assert_eq!(
            response.get("Code").is_none(),
            is_allowed,
            "{call:?} {path}: {response}"
        );
    }
}

const EARLY: &str = "2020-01-01T00:00:00Z";
const LATE: &str = "2030-01-01T00:00:00Z";

#[tokio::test]
async fn tasks_are_filtered_as_the_page_says() {
    let world = world().await;
    let own = &world.keys["own"];
    let done = refresh(&world, own, CALLS[0], "a.example.com/x/", Some("directory")).await;
    let id = done["RefreshTaskId"].as_str().unwrap();
    let directory = ("ObjectType", "directory");
    let cases: &[(&[(&str, &str)], usize)] = &[
        (&[], 1),
        (&[directory], 1),
        (&[("ObjectType", "file")], 0),
        (&[("ObjectType", "Directory"), ("Status", "complete")], 1),
        (&[directory, ("Status", "Refreshing")], 0),
        (&[directory, ("DomainName", "a.example.com")], 1),
        (&[("StartTime", EARLY), ("EndTime", LATE)], 1),
        (
            &[("StartTime", EARLY), ("EndTime", "2021-01-01T00:00:00Z")],
            0,
        ),
        (&[("PageNumber", "2")], 1),
    ];
    for (further, count) in cases {
        let params = [&[("TaskId", id)], *further].concat();
        let response = world.call(own, CDN, "DescribeRefreshTasks", &params).await;
        assert_eq!(response["TotalCount"], *count, "{further:?}: {response}");
    }
    // Without a task ID nothing is returned.
    let response = world.call(own, CDN, "DescribeRefreshTasks", &[]).await;
    assert_eq!(response["TotalCount"], 0, "{response}");
}

#[tokio::test]
async fn filters_that_cannot_be_are_refused() {
    let world = world().await;
    let own = &world.keys["own"];
    let file = ("ObjectType", "file");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("PageNumber", "0")], "InvalidPageNumber"),
        (&[("PageSize", "101")], "InvalidPageSize"),
        (&[("Status", "Complete")], "MissingParameter.ObjectType"),
        (
            &[("DomainName", "a.example.com")],
            "MissingParameter.ObjectType",
        ),
        (
            &[("ObjectType", "all")],
            "InvalidObjectType.ValueNotSupported",
        ),
        (&[file, ("Status", "?")], "InvalidStatus.ValueNotSupported"),
        (&[("StartTime", EARLY)], "MissingTimeParameter"),
        (
            &[("StartTime", "x"), ("EndTime", LATE)],
            "InvalidStartTime.Malformed",
        ),
        (
            &[("StartTime", EARLY), ("EndTime", "x")],
            "InvalidEndTime.Malformed",
        ),
        (
            &[("StartTime", LATE), ("EndTime", EARLY)],
            "InvalidEndTime.Mismatch",
        ),
        (
            &[file, ("DomainName", "c.example.org")],
            "InvalidDomain.NotFound",
        ),
        (
            &[file, ("DomainName", "a..b")],
            "InvalidDomainName.Malformed",
        ),
    ];
    for (further, code) in cases {
        let params = [&[("TaskId", "1")], *further].concat();
        let response = world.call(own, CDN, "DescribeRefreshTasks", &params).await;
        assert_eq!(response["Code"], *code, "{further:?}: {response}");
    }
    for (action, id, code) in [
        ("DescribeRefreshTasks", "x", "InvalidTaskId.Malformed"),
        ("DescribeRefreshTaskById", "1,x", "InvalidTaskId.Malformed"),
        ("DescribeRefreshTaskById", "", "MissingTaskId"),
    ] {
        let response = world.call(own, CDN, action, &[("TaskId", id)]).await;
        assert_eq!(response["Code"], code, "{action} {id}: {response}");
    }
}
