//! JSON by HTTP, signed.
//!
//! `x-edgeseal-signature` is `v1=` and the HMAC-SHA256 in hex, under the secret, of
//! `x-edgeseal-timestamp` (seconds), a full stop and the body. `x-edgeseal-delivery` is the same in
//! each attempt: a receiver that has seen it may skip the request.

use aws_lc_rs::hmac;
use bytes::Bytes;
use edgeseal_core::Timestamp;
use http_body_util::Full;
use hyper::{Method, Request};

use super::{AlarmChannel, Batch, DeliveryError, HttpClient, post, read_secret};

pub(super) async fn send(
    client: &HttpClient,
    config: &AlarmChannel,
    batch: &Batch,
    now: Timestamp,
) -> Result<(), DeliveryError> {
    let body = serde_json::to_vec(batch).map_err(|error| DeliveryError::of(&error))?;
    let uri = config.uri().map_err(|error| DeliveryError::of(&error))?;
    let timestamp = now.unix_seconds().to_string();
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header("x-edgeseal-delivery", &batch.id)
        .header("x-edgeseal-timestamp", &timestamp);
    if let Some(file) = &config.secret_file {
        let signature = sign(read_secret(file)?.as_bytes(), &timestamp, &body);
        request = request.header("x-edgeseal-signature", signature);
    }
    let request = request.body(Full::new(Bytes::from(body)));
    post(
        client,
        config,
        request.map_err(|error| DeliveryError::of(&error))?,
    )
    .await
}

/// The value of `x-edgeseal-signature`.
pub(super) fn sign(secret: &[u8], timestamp: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(timestamp.as_bytes());
    context.update(b".");
    context.update(body);
    format!("v1={}", hex::encode(context.sign()))
}
