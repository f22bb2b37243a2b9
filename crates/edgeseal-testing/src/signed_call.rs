//! A call built from parts, each of which can be wrong, and its bytes on the wire.

use edgeseal_api::{
    canonical::{
        V3_ALGORITHM, encode, v1_sign, v1_string_to_sign, v3_canonical_request, v3_sign,
        v3_string_to_sign,
    },
    request::ParamMap,
};
use edgeseal_core::Secret;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock::now;

/// The signature scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    V1,
    V3,
}

/// How to falsify the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    Valid,
    Invalid,
    Missing,
    /// V3 only: the header does not list the signed headers.
    Malformed,
    /// V3 only: the host is not among the signed headers.
    HostUnsigned,
}

/// A call. `None` omits a part.
#[derive(Clone)]
pub struct SignedCall {
    pub scheme: Scheme,
    pub method: &'static str,
    pub path: &'static str,
    pub version: Option<String>,
    pub action: Option<String>,
    pub params: Vec<(String, String)>,
    pub key: Option<String>,
    pub secret: Secret,
    pub algorithm: Option<&'static str>,
    /// V1 only.
    pub signature_version: Option<&'static str>,
    pub timestamp: Option<String>,
    pub nonce: Option<String>,
    pub signature: Signature,
    /// Additional bytes in a meaningless header.
    pub head_padding: usize,
    /// Additional bytes in the body.
    pub body_padding: usize,
    /// Appended to the body unchanged.
    pub tail: &'static str,
    /// Whether the connection is for further calls.
    pub keep_alive: bool,
}

const FORM: &str = "application/x-www-form-urlencoded";

impl SignedCall {
    /// A correct call with this id and secret of an access key.
    pub fn new(
        scheme: Scheme,
        (key, secret): (&str, &Secret),
        (version, action): (&str, &str),
        params: &[(&str, &str)],
    ) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            scheme,
            method: "POST",
            path: "/",
            version: Some(version.to_owned()),
            action: Some(action.to_owned()),
            params: params.iter().map(owned).collect(),
            key: Some(key.to_owned()),
            secret: secret.clone(),
            algorithm: Some(match scheme {
                Scheme::V1 => "HMAC-SHA1",
                Scheme::V3 => V3_ALGORITHM,
            }),
            signature_version: Some("1.0"),
            timestamp: Some(now().to_string()),
            nonce: Some(uuid::Uuid::new_v4().to_string()),
            signature: Signature::Valid,
            head_padding: 0,
            body_padding: 0,
            tail: "",
            keep_alive: false,
        }
    }

    /// The request.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (body, mut headers) = match self.scheme {
            Scheme::V1 => (self.v1_body(), HeaderMap::new()),
            Scheme::V3 => {
                let mut body = form(&self.params).into_bytes();
                self.pad(&mut body);
                let headers = self.v3_headers(&body);
                (body, headers)
            }
        };
        let mut insert = |name: &'static str, value: String| {
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
        };
        insert("content-type", FORM.to_owned());
        insert("content-length", body.len().to_string());
        if !self.keep_alive {
            insert("connection", "close".to_owned());
        }
        if self.head_padding > 0 {
            insert("x-long", "x".repeat(self.head_padding));
        }
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if self.scheme == Scheme::V1 {
            head.push_str("host: edgeseal.test\r\n");
        }
        for (name, value) in &headers {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        head.push_str("\r\n");
        [head.into_bytes(), body].concat()
    }

    fn v1_body(&self) -> Vec<u8> {
        let text = |value: &str| Some(value.to_owned());
        let common = [
            ("Format", text("JSON")),
            ("Version", self.version.clone()),
            ("Action", self.action.clone()),
            ("AccessKeyId", self.key.clone()),
            ("SignatureMethod", self.algorithm.and_then(text)),
            ("SignatureVersion", self.signature_version.and_then(text)),
            ("SignatureNonce", self.nonce.clone()),
            ("Timestamp", self.timestamp.clone()),
        ];
        let common = common.into_iter();
        let common = common.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut pairs: Vec<(String, String)> = self.params.iter().cloned().chain(common).collect();
        let params: ParamMap = pairs.iter().cloned().collect();
        let signature = v1_sign(&self.secret, &v1_string_to_sign(self.method, &params));
        match self.signature {
            Signature::Missing => {}
            Signature::Invalid => pairs.push(("Signature".to_owned(), "d3Jvbmc=".to_owned())),
            _ => pairs.push(("Signature".to_owned(), signature)),
        }
        let mut body = form(&pairs).into_bytes();
        self.pad(&mut body);
        body
    }

    fn v3_headers(&self, body: &[u8]) -> HeaderMap {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
        let parts = [
            ("host", Some("edgeseal.test".to_owned())),
            ("x-acs-action", self.action.clone()),
            ("x-acs-version", self.version.clone()),
            ("x-acs-date", self.timestamp.clone()),
            ("x-acs-signature-nonce", self.nonce.clone()),
            ("x-acs-content-sha256", Some(hex::encode(hash))),
            ("content-type", Some(FORM.to_owned())),
        ];
        let mut headers = HeaderMap::new();
        let mut signed = Vec::new();
        for (name, value) in parts {
            let Some(value) = value else { continue };
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_str(&value).unwrap(),
            );
            if self.signature != Signature::HostUnsigned || name != "host" {
                signed.push(name);
            }
        }
        let text = v3_canonical_request(self.method, &ParamMap::default(), &headers, &signed, body);
        let signature = match self.signature {
            Signature::Invalid => "00".repeat(32),
            _ => v3_sign(&self.secret, &v3_string_to_sign(&text)),
        };
        let algorithm = self.algorithm.unwrap_or_default();
        let key = self.key.as_deref().unwrap_or_default();
        let names = signed.join(";");
        let authorization = match self.signature {
            Signature::Malformed => format!("{algorithm} Credential={key}"),
            _ => {
                format!("{algorithm} Credential={key},SignedHeaders={names},Signature={signature}")
            }
        };
        headers.insert(
            "authorization",
            HeaderValue::from_str(&authorization).unwrap(),
        );
        headers
    }

    fn pad(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(self.tail.as_bytes());
        if self.body_padding > 0 {
            body.extend_from_slice(b"&Long=");
            body.resize(body.len() + self.body_padding, b'x');
        }
    }
}

fn form(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}
