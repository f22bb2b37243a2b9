//! Alarms, from the certificate that expires to the channels.

use std::{fs, sync::Arc};

use edgeseal_store::{
    Store,
    open::{StoreUrl, open},
};
use edgeseal_testing::{
    pki::set_validity_days,
    receiver::{Received, Receiver},
};
use serde_json::Value;

use crate::{
    cli,
    doctor::doctor,
    harness::{
        ApiClient, EDGESEAL, Origin, Server, TestCertificate, eventually, now, pki::AUTHORITY, raw,
    },
};

mod conditions;
mod expiry;

const NAME: &str = "www.alarms.example";
const OTHER: &str = "other.alarms.example";

/// A server that evaluates often, and tells this webhook.
fn start(hook: &Receiver) -> Server {
    Server::start_with(&config(&format!("http://{}/hook", hook.address), ""))
}

fn config(url: &str, more: &str) -> String {
    format!(
        "alarm_interval_ms = 100\n[[alarm]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{url}\"\n{more}"
    )
}

/// A certificate of 90 days that ends in so many.
fn ends_in_days(name: &str, days: i64) -> TestCertificate {
    AUTHORITY.issue_with(&[name], |params| set_validity_days(params, days - 90, days))
}

async fn add(api: &ApiClient, name: &str, certificate: &TestCertificate) {
    api.add(name, &Origin::start().await).await;
    api.set(name, certificate).await.unwrap();
}

/// `event code subject` of each notification of these requests.
fn told(requests: &[Received]) -> Vec<String> {
    let bodies = requests.iter().map(Received::json);
    let all = bodies.flat_map(|body| body["notifications"].as_array().unwrap().clone());
    let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
    all.map(|it| {
        format!(
            "{} {} {}",
            text(&it, "event"),
            text(&it, "code"),
            text(&it, "subject")
        )
    })
    .collect()
}

/// Waits until exactly this was told, each as `event code subject`, in any order.
async fn assert_told(hook: &Receiver, expected: &[&str]) {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    eventually(&format!("told are {expected:?}"), || async {
        let mut all = told(&hook.at_least(0).await);
        all.sort_unstable();
        assert!(all.len() <= expected.len(), "{all:?}");
        (all == expected).then_some(())
    })
    .await;
}

/// The store of a server that does not run.
async fn stopped_store(server: &Server) -> Arc<dyn Store> {
    let url = StoreUrl::Sqlite(server.data().join("store.db"));
    open(&url, now).await.unwrap()
}

/// Changes the configuration of a server, for its next start.
fn reconfigure(server: &Server, from: &str, to: &str) {
    let file = server.home().join("edgeseal.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&file, text.replace(from, to)).unwrap();
}

/// Starts a server again, and waits until it has evaluated that this alarm still holds.
async fn restart_with(server: &mut Server, code: &str, severity: &str) {
    assert_eq!(server.terminate().code(), Some(0));
    server.launch();
    let series = format!("edgeseal_alarms{{code=\"{code}\",severity=\"{severity}\"}}");
    eventually(&series, || async {
        (server.metric(&series).await == Some(1)).then_some(())
    })
    .await;
}

async fn readyz(server: &Server) -> String {
    let answer = raw::get(server.addresses().admin, "admin", "/readyz").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

async fn ready_is(server: &Server, what: &str, expected: impl Fn(&str) -> bool) -> String {
    eventually(what, || async {
        Some(readyz(server).await).filter(|body| expected(body))
    })
    .await
}

const RAISED: &str = "raised certificate_expiring www.alarms.example";

#[tokio::test(flavor = "multi_thread")]
async fn an_expiring_certificate_is_an_alarm_until_it_is_renewed() {
    let hook = Receiver::start(&[]).await;
    let mut server = start(&hook);
    let api = server.root_client();
    add(&api, NAME, &ends_in_days(NAME, 2)).await;
    assert_eq!(told(&hook.at_least(1).await), [RAISED]);
    let ready = ready_is(&server, "degraded", |body| body != "ready\n").await;
    let expected =
        format!("ready, degraded; certificates expired: 0, expiring: 1, first {NAME} at ");
    assert!(ready.starts_with(&expected), "{ready}");
    let critical = "edgeseal_alarms{code=\"certificate_expiring\",severity=\"critical\"}";
    assert_eq!(server.metric(critical).await, Some(1));
    for (days, count) in [("0", 0), ("1", 0), ("3", 1), ("+Inf", 1)] {
        let series = format!("edgeseal_certificates_expiring{{within_days=\"{days}\"}}");
        assert_eq!(server.metric(&series).await, Some(count), "{days}");
    }
    let series = format!("edgeseal_certificate_not_after_timestamp_seconds{{domain=\"{NAME}\"}}");
    let end = server.metric(&series).await.unwrap();
    let (code, said) = doctor(&server.data());
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(&format!("warning: {NAME}: its certificate expires at")),
        "{said}"
    );
    let listed = api.ok(EDGESEAL, "DescribeAlarms", &[]).await;
    assert_eq!(listed["TotalCount"], 1);
    assert_eq!(listed["Alarms"][0]["DomainName"], NAME);
    assert_eq!(listed["Alarms"][0]["Severity"], "critical");
    let shown = cli::printed(&server, "alarm list");
    assert!(
        shown.contains("critical") && shown.contains("certificate_expiring"),
        "{shown}"
    );

    // Neither a restart nor a crash tells it again: the next notification is about another domain.
    assert_eq!(server.terminate().code(), Some(0));
    server.launch();
    server.kill();
    server.launch();
    let api = server.root_client();
    add(&api, OTHER, &ends_in_days(OTHER, 2)).await;
    let other = "raised certificate_expiring other.alarms.example";
    assert_eq!(told(&hook.at_least(2).await), [RAISED, other]);
    assert!(
        server
            .log()
            .contains("alarm raised: www.alarms.example: its certificate expires at")
    );

    for name in [NAME, OTHER] {
        api.set(name, &AUTHORITY.issue(&[name])).await.unwrap();
    }
    ready_is(&server, "ready", |body| body == "ready\n").await;
    let resolved = eventually("both are resolved", || async {
        let mut all = told(&hook.at_least(3).await).split_off(2);
        all.sort();
        (all.len() >= 2).then_some(all)
    })
    .await;
    let expected = [
        "resolved certificate_expiring other.alarms.example",
        "resolved certificate_expiring www.alarms.example",
    ];
    assert_eq!(resolved, expected);
    assert_eq!(server.metric(critical).await, Some(0));
    let renewed = eventually("the end of the new certificate", || async {
        server.metric(&series).await.filter(|new| *new != end)
    })
    .await;
    assert!(renewed > end);
    let listed = api.ok(EDGESEAL, "DescribeAlarms", &[]).await;
    assert_eq!(listed["TotalCount"], 0, "{listed}");
    api.call_on_domain("DeleteCdnDomain", NAME).await;
    eventually("the series is gone", || async {
        server.metric(&series).await.is_none().then_some(())
    })
    .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_fails_gets_the_same_notification_again() {
    let hook = Receiver::start(&[500, 500]).await;
    let server = start(&hook);
    add(&server.root_client(), NAME, &ends_in_days(NAME, 2)).await;
    let got = hook.at_least(3).await;
    let ids: Vec<&str> = got
        .iter()
        .map(|it| it.header("x-edgeseal-delivery"))
        .collect();
    assert!(
        ids.iter().all(|id| *id == ids[0] && !id.is_empty()),
        "{ids:?}"
    );
    let failed = "edgeseal_alarm_deliveries_total{type=\"webhook\",result=\"failed\"}";
    eventually("the attempts are counted", || async {
        (server.metric(failed).await == Some(2)).then_some(())
    })
    .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silenced_domain_is_told_only_after_the_silence() {
    let hook = Receiver::start(&[]).await;
    let server = start(&hook);
    let api = server.root_client();
    api.add(NAME, &Origin::start().await).await;
    let said = cli::printed(&server, &format!("alarm silence {NAME} --for 30d"));
    assert!(
        said.starts_with(&format!("{NAME}: no notifications until ")),
        "{said}"
    );
    api.set(NAME, &ends_in_days(NAME, 2)).await.unwrap();
    add(&api, OTHER, &ends_in_days(OTHER, 2)).await;
    let other = "raised certificate_expiring other.alarms.example";
    assert_eq!(told(&hook.at_least(1).await), [other]);
    let listed = api.ok(EDGESEAL, "DescribeAlarms", &[]).await;
    let mut silenced = listed["Alarms"].as_array().unwrap().iter();
    let silenced = silenced.find(|row| row["DomainName"] == NAME).unwrap();
    assert_eq!(silenced["Silenced"], true);
    assert_eq!(listed["Silences"][0]["DomainName"], NAME);
    cli::printed(&server, &format!("alarm unsilence {NAME}"));
    assert_eq!(told(&hook.at_least(2).await), [other, RAISED]);
    for (params, code) in [
        (vec![("DomainName", "no.example")], "InvalidDomain.NotFound"),
        (
            vec![("DomainName", NAME), ("EndTime", "tomorrow")],
            "InvalidEndTime.Malformed",
        ),
        (
            vec![("DomainName", NAME), ("EndTime", "2020-01-01T00:00:00Z")],
            "InvalidEndTime.Malformed",
        ),
    ] {
        let refused = api.refused(EDGESEAL, "SilenceAlarm", &params).await;
        assert_eq!(refused.code, code);
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_sees_its_own_alarms() {
    let hook = Receiver::start(&[]).await;
    let server = start(&hook);
    let tenant = server.create_account("tenant").await;
    let stranger = server.create_account("stranger").await;
    add(&tenant, NAME, &ends_in_days(NAME, 2)).await;
    hook.at_least(1).await;
    let counts = [(&tenant, 1), (&stranger, 0), (&server.root_client(), 1)];
    for (api, count) in counts {
        let listed = api.ok(EDGESEAL, "DescribeAlarms", &[]).await;
        assert_eq!(listed["TotalCount"], count, "{listed}");
    }
    let domain = [("DomainName", NAME)];
    let refused = stranger.refused(EDGESEAL, "SilenceAlarm", &domain).await;
    assert_eq!(refused.code, "InvalidDomain.NotFound");
    tenant.ok(EDGESEAL, "SilenceAlarm", &domain).await;
    let refused = tenant.refused(EDGESEAL, "TestAlarm", &[]).await;
    assert_eq!(refused.code, "NoPermission");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_what_each_channel_answers() {
    let (hook, broken) = (Receiver::start(&[]).await, Receiver::start(&[403; 9]).await);
    let second = format!(
        "[[alarm]]\nname = \"broken\"\ntype = \"alertmanager\"\nurl = \"http://{}/\"\n\
         min_severity = \"critical\"\n",
        broken.address
    );
    let server = Server::start_with(&config(&format!("http://{}/", hook.address), &second));
    let tested = server.root_client().ok(EDGESEAL, "TestAlarm", &[]).await;
    let channels = tested["Channels"].as_array().unwrap();
    assert_eq!(channels[0]["Accepted"], true, "{tested}");
    assert_eq!(channels[1]["Why"], "it answered 403 Forbidden", "{tested}");
    assert_eq!(told(&hook.at_least(1).await), ["test test test"]);
    server.stop();
}
