//! Prometheus' Alertmanager: `POST /api/v2/alerts`. It forgets an alert at its `endsAt`, so active
//! ones are sent again before that.

use std::collections::BTreeMap;

use bytes::Bytes;
use edgeseal_core::Timestamp;
use http_body_util::Full;
use hyper::{Method, Request, Uri};
use serde::Serialize;

use super::{AlarmChannel, Batch, DeliveryError, HttpClient, post};
use crate::alarms::notification::Notification;

/// How often active alarms are sent.
pub(crate) const RESEND_INTERVAL_MS: i64 = 60_000;
/// How long an alert lasts without another: four may fail.
const ALERT_TTL_MS: i64 = 5 * RESEND_INTERVAL_MS;
const PATH: &str = "/api/v2/alerts";

/// An alert, as the API takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    labels: BTreeMap<&'static str, &'a str>,
    annotations: BTreeMap<&'static str, &'a str>,
    starts_at: &'a str,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
}

pub(super) async fn send(
    client: &HttpClient,
    config: &AlarmChannel,
    batch: &Batch,
    now: Timestamp,
) -> Result<(), DeliveryError> {
    let alerts: Vec<Alert<'_>> = batch
        .notifications
        .iter()
        .map(|it| alert(it, now))
        .collect();
    let body = serde_json::to_vec(&alerts).map_err(|error| DeliveryError::of(&error))?;
    let base = config.uri().map_err(|error| DeliveryError::of(&error))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(alerts_uri(&base))
        .body(Full::new(Bytes::from(body)));
    post(
        client,
        config,
        request.map_err(|error| DeliveryError::of(&error))?,
    )
    .await
}

fn alert(notification: &Notification, now: Timestamp) -> Alert<'_> {
    let mut labels = BTreeMap::from([
        ("alertname", notification.code),
        ("service", "edgeseal"),
        ("severity", notification.severity),
        ("subject", &notification.subject),
    ]);
    labels.extend(
        notification
            .domain
            .as_deref()
            .map(|domain| ("domain", domain)),
    );
    labels.extend(
        notification
            .account
            .as_deref()
            .map(|account| ("account", account)),
    );
    let annotations = BTreeMap::from([
        ("summary", notification.text.as_str()),
        ("description", notification.remedy),
        ("runbook_url", &notification.documentation),
    ]);
    let ends_at = || now.plus_ms(ALERT_TTL_MS).to_string();
    Alert {
        labels,
        annotations,
        starts_at: &notification.since,
        ends_at: notification.resolved_at.clone().unwrap_or_else(ends_at),
        generator_url: &notification.documentation,
    }
}

/// The API below the configured address, which may name it in full.
fn alerts_uri(base: &Uri) -> String {
    let base = base.to_string();
    let base = base.trim_end_matches('/');
    let base = base.strip_suffix(PATH).unwrap_or(base);
    format!("{base}{PATH}")
}
