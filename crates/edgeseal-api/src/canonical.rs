//! Signatures: pure functions from a decoded request to the string to sign, and from a string and a
//! secret to the signature.
//!
//! V1 is the cloud's RPC signature (documentation page "V2 request body and signature method"), V3
//! its ACS3-HMAC-SHA256 ("V3 request body and signature method"). Both are checked against vectors
//! that the official SDKs computed (`spec/signature`).

use ::http::HeaderMap;
use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeseal_core::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::request::ParamMap;

/// The only algorithm of V3 that is supported.
pub const V3_ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// Everything but the unreserved characters of RFC 3986 §2.3 is encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// V1: method, `/` and all parameters but `Signature`, sorted, each encoded twice.
#[must_use]
pub fn v1_string_to_sign(method: &str, params: &ParamMap) -> String {
    let canonical = Zeroizing::new(canonical_query(
        params.iter().filter(|(name, _)| *name != "Signature"),
    ));
    format!("{method}&%2F&{}", encode(&canonical))
}

/// V1: base64 of HMAC-SHA1 under the secret followed by `&`.
#[must_use]
pub fn v1_sign(secret: &Secret, string_to_sign: &str) -> String {
    STANDARD.encode(hmac::sign(&v1_key(secret), string_to_sign.as_bytes()))
}

/// V1: compares in constant time.
#[must_use]
pub fn v1_verify(secret: &Secret, string_to_sign: &str, signature: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else {
        return false;
    };
    hmac::verify(&v1_key(secret), string_to_sign.as_bytes(), &signature).is_ok()
}

/// V3: the canonical request. `signed` is the caller's list of lower-case header names.
#[must_use]
pub fn v3_canonical_request(
    method: &str,
    query: &ParamMap,
    headers: &HeaderMap,
    signed: &[&str],
    body: &[u8],
) -> String {
    let query = Zeroizing::new(canonical_query(query.iter()));
    let mut names = signed.to_vec();
    names.sort_unstable();
    let mut lines = String::new();
    for name in names {
        lines.push_str(name);
        lines.push(':');
        lines.push_str(&header_value(headers, name));
        lines.push('\n');
    }
    format!(
        "{method}\n/\n{}\n{lines}\n{}\n{}",
        *query,
        signed.join(";"),
        hex::encode(digest(&SHA256, body))
    )
}

/// V3: the algorithm and the hash of the canonical request.
#[must_use]
pub fn v3_string_to_sign(canonical_request: &str) -> String {
    format!(
        "{V3_ALGORITHM}\n{}",
        hex::encode(digest(&SHA256, canonical_request.as_bytes()))
    )
}

/// V3: hex of HMAC-SHA256 under the secret.
#[must_use]
pub fn v3_sign(secret: &Secret, string_to_sign: &str) -> String {
    hex::encode(hmac::sign(&v3_key(secret), string_to_sign.as_bytes()))
}

/// V3: compares in constant time.
#[must_use]
pub fn v3_verify(secret: &Secret, string_to_sign: &str, signature: &str) -> bool {
    let Ok(signature) = hex::decode(signature) else {
        return false;
    };
    hmac::verify(&v3_key(secret), string_to_sign.as_bytes(), &signature).is_ok()
}

/// Percent-encodes according to RFC 3986: unreserved characters stay, UTF-8 bytes become `%XY`.
#[must_use]
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn canonical_query<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_unstable();
    let encoded = pairs.iter();
    let encoded = encoded.map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    // A parameter may be a private key.
    let encoded: Zeroizing<Vec<String>> = Zeroizing::new(encoded.collect());
    encoded.join("&")
}

/// Trimmed at both ends; repeated headers sorted and joined, as the SDKs do.
fn header_value(headers: &HeaderMap, name: &str) -> String {
    let text =
        |value: &::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
    let mut values: Vec<String> = headers.get_all(name).iter().map(text).collect();
    values.sort_unstable();
    values.join(",")
}

fn v1_key(secret: &Secret) -> hmac::Key {
    let key = Zeroizing::new([secret.expose(), b"&"].concat());
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key)
}

fn v3_key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose())
}

#[cfg(test)]
mod tests;
