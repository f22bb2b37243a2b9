//! The vectors were computed by the official SDKs; see `spec/README.md`.

use std::{fs, path::PathBuf};

use ::http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::*;

fn vectors(prefix: &str) -> Vec<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/signature");
    let mut vectors = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(prefix)
        {
            vectors.push(serde_json::from_slice(&fs::read(path).unwrap()).unwrap());
        }
    }
    vectors
}

fn pairs(list: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list.as_array()
        .unwrap()
        .iter()
        .map(|pair| (text(&pair[0]), text(&pair[1])))
        .collect()
}

fn secret(vector: &Value) -> Secret {
    Secret::from(vector["secret"].as_str().unwrap().to_owned())
}

#[test]
fn v1_vectors() {
    let vectors = vectors("v1");
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let params: ParamMap = pairs(&vector["params"]).into_iter().collect();
        let text = v1_string_to_sign(vector["method"].as_str().unwrap(), &params);
        assert_eq!(text, vector["string_to_sign"], "{}", vector["name"]);
        let signature = vector["signature"].as_str().unwrap();
        assert_eq!(v1_sign(&secret(&vector), &text), signature);
        assert!(v1_verify(&secret(&vector), &text, signature));
    }
}

#[test]
fn v3_vectors() {
    let vectors = vectors("v3");
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let query: ParamMap = pairs(&vector["params"]).into_iter().collect();
        let headers: HeaderMap = pairs(&vector["headers"])
            .into_iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_str(&value).unwrap(),
                )
            })
            .collect();
        let signed: Vec<&str> = vector["signed_headers"]
            .as_str()
            .unwrap()
            .split(';')
            .collect();
        let body = vector["body"].as_str().unwrap_or_default().as_bytes();
        let canonical = v3_canonical_request(
            vector["method"].as_str().unwrap(),
            &query,
            &headers,
            &signed,
            body,
        );
        assert_eq!(canonical, vector["canonical_request"], "{}", vector["name"]);
        let text = v3_string_to_sign(&canonical);
        assert_eq!(text, vector["string_to_sign"]);
        let signature = vector["signature"].as_str().unwrap();
        assert_eq!(v3_sign(&secret(&vector), &text), signature);
        assert!(v3_verify(&secret(&vector), &text, signature));
    }
}

#[test]
fn signatures_that_are_none() {
    let secret = Secret::from("testsecret".to_owned());
    for signature in ["", "=", "not base64!", "KXub4o7KV6BDh+9fsjYRk6o7Gz8"] {
        assert!(!v1_verify(&secret, "text", signature), "{signature}");
        assert!(!v3_verify(&secret, "text", signature), "{signature}");
    }
}
