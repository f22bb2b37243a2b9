//! A replacement of many certificates: refusals, and the way from the plan to the end.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use edgeseal_core::acme::reissue::{Forecast, IssuerShare, Reissue};
use serde_json::Value;

use crate::{
    Settings,
    reissue_planner::{Outlook, ReissuePlanner},
    test_server::{NOW, TestServer},
};

const ROOT: &str = "1000000000000001";
const VERSION: &str = "2026-12-01";

/// A planner that says how many certificates are left.
struct Planner {
    left: Arc<AtomicU64>,
    issuers: [String; 2],
}

#[async_trait]
impl ReissuePlanner for Planner {
    fn issuers(&self) -> &[String] {
        &self.issuers
    }

    async fn outlook(&self, _: Reissue) -> Option<Outlook> {
        let left = self.left.load(Ordering::Relaxed);
        let finished_at = NOW.plus_ms(3_600_000);
        let share = IssuerShare {
            domains: usize::try_from(left).unwrap(),
            finished_at,
        };
        let forecast = Forecast {
            issuers: vec![IssuerShare::default(), share],
            finished_at,
            late: 1,
            never: 0,
        };
        Some(Outlook {
            left,
            failing: 2,
            forecast,
        })
    }
}

async fn server() -> TestServer {
    let mut server = TestServer::empty(Settings::default());
    server.root_account(ROOT).await;
    server.account("2000000000000002", "tenant").await;
    server
}

/// An action, its parameters, and the code that it returns.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

async fn root(server: &TestServer, action: &str, params: &[(&str, &str)]) -> Value {
    server
        .call(&server.keys["root"], VERSION, action, params)
        .await
}

#[tokio::test]
async fn refusals() {
    let mut server = server().await;
    let start = "ReissueCertificates";
    let all = [("Scope", "All")];
    let refused = async |server: &TestServer, action: &str, params: &[(&str, &str)]| {
        let response = root(server, action, params).await;
        response["Code"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(refused(&server, start, &all).await, "Issuer.NotConfigured");
    server.context.reissue_planner = Some(Arc::new(Planner {
        left: Arc::new(AtomicU64::new(10)),
        issuers: ["first", "second"].map(str::to_owned),
    }));
    let rows: [Row<'_>; 10] = [
        (start, &[], "InvalidScope"),
        (start, &[("Scope", "Some")], "InvalidScope"),
        (start, &[("Scope", "Issuer")], "InvalidScope"),
        (
            start,
            &[("Scope", "All"), ("Issuer", "first")],
            "InvalidScope",
        ),
        (
            start,
            &[("Scope", "All"), ("EndTime", "2000-01-01T00:00:00Z")],
            "InvalidEndTime.Malformed",
        ),
        (
            start,
            &[("Scope", "All"), ("DryRun", "yes")],
            "InvalidParameter.Format",
        ),
        (
            start,
            &[("Scope", "All"), ("NotFrom", "third")],
            "InvalidParameter.Format",
        ),
        ("DescribeReissue", &[], "EntityNotExist.Reissue"),
        ("StopReissue", &[], "EntityNotExist.Reissue"),
        ("ResumeReissue", &[], "EntityNotExist.Reissue"),
    ];
    for (action, params, code) in rows {
        assert_eq!(
            refused(&server, action, params).await,
            code,
            "{action} {params:?}"
        );
    }
    let tenant = &server.keys["tenant"];
    for action in [start, "DescribeReissue", "StopReissue", "ResumeReissue"] {
        let response = server.call(tenant, VERSION, action, &all).await;
        assert!(response["Code"].is_string(), "{action}: {response}");
    }
    assert!(server.context.catalog.reissue().await.unwrap().is_none());
}

#[tokio::test]
async fn from_the_plan_to_the_end() {
    let mut server = server().await;
    let left = Arc::new(AtomicU64::new(10));
    server.context.reissue_planner = Some(Arc::new(Planner {
        left: Arc::clone(&left),
        issuers: ["first", "second"].map(str::to_owned),
    }));
    let start = "ReissueCertificates";
    let of_first = [
        ("Scope", "Issuer"),
        ("Issuer", "first"),
        ("NotFrom", "first"),
    ];

    let planned = root(&server, start, &[("Scope", "All"), ("DryRun", "true")]).await;
    assert_eq!(planned["State"], "Planned");
    assert_eq!(planned["Forecast"]["Seconds"], 3600);
    assert_eq!(planned["Forecast"]["Late"], 1);
    assert_eq!(planned["Forecast"]["Issuers"][0]["Issuer"], "second");
    assert!(server.context.catalog.reissue().await.unwrap().is_none());

    let started = root(&server, start, &of_first).await;
    assert_eq!(started["State"], "Running", "{started}");
    assert_eq!(started["Total"], 10);
    let stored = server.context.catalog.reissue().await.unwrap().unwrap();
    assert_eq!(stored.not_from.as_deref(), Some("first"));
    assert_eq!(stored.deadline, NOW.plus_ms(24 * 3_600_000));

    left.store(4, Ordering::Relaxed);
    let second = root(&server, start, &of_first).await;
    assert_eq!(second["Code"], "Reissue.InProgress");
    let status = root(&server, "DescribeReissue", &[]).await;
    for (member, value) in [
        ("Replaced", 6),
        ("Left", 4),
        ("Percent", 60),
        ("Failing", 2),
    ] {
        assert_eq!(status[member], value, "{member}");
    }

    root(&server, "StopReissue", &[]).await;
    assert_eq!(
        root(&server, "DescribeReissue", &[]).await["State"],
        "Stopped"
    );
    root(&server, "ResumeReissue", &[]).await;
    assert_eq!(
        root(&server, "DescribeReissue", &[]).await["State"],
        "Running"
    );

    left.store(0, Ordering::Relaxed);
    let done = root(&server, "DescribeReissue", &[]).await;
    assert_eq!(done["State"], "Finished");
    assert_eq!(done["Percent"], 100);
    // Then another one can start.
    assert_eq!(root(&server, start, &of_first).await["State"], "Finished");
}
