//! The client side: signs calls (V3) and reads responses.

use ::http::{HeaderMap, HeaderValue, Request, Uri, header};
use bytes::Bytes;
use edgeseal_core::{Secret, Timestamp};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use crate::{
    canonical::{V3_ALGORITHM, encode, v3_canonical_request, v3_sign, v3_string_to_sign},
    request::ParamMap,
};

/// Calls one Edgeseal server with one access key. Cheap to clone; keeps connections alive.
#[derive(Clone)]
pub struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Uri,
    access_key: String,
    secret: Secret,
    token: Option<String>,
    clock: fn() -> Timestamp,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The body.
    pub body: Value,
    /// The headers, such as the revision and the number of edges that serve it.
    pub headers: HeaderMap,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The endpoint is not an `http://` or `https://` URL.
    #[error("the endpoint must be http://host:port or https://host:port, not {endpoint:?}")]
    Endpoint {
        /// The value given.
        endpoint: String,
    },
    /// The endpoint does not respond.
    #[error("{endpoint} does not answer")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// The cause.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The response does not come from Edgeseal.
    #[error(
        "{endpoint} answered with status {status} and something that is not an answer of Edgeseal"
    )]
    NotEdgeseal {
        /// The endpoint.
        endpoint: String,
        /// The HTTP status.
        status: u16,
    },
    /// The API returned an error.
    #[error("{}", .0.code)]
    Api(Box<ErrorResponse>),
}

/// An error response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorResponse {
    /// HTTP status.
    pub status: u16,
    /// The code.
    pub code: String,
    /// The message of the code.
    pub message: String,
    /// What is wrong, and where.
    pub detail: String,
    /// URL of the page about the code.
    pub recommend: String,
    /// Id of the request.
    pub request: String,
    /// For a missing permission: the principal, the action and the kind of policy that decided.
    pub access_denied: Option<Value>,
    /// Milliseconds after which a retry may succeed, if the server says so.
    pub retry_after_ms: Option<u64>,
}

impl Client {
    /// Creates a client of the Edgeseal at `endpoint`, such as `http://127.0.0.1:7080`. For an
    /// `https://` endpoint, [`Client::with_roots`] sets the trusted roots; there are none by
    /// default.
    ///
    /// # Errors
    /// [`CallError::Endpoint`].
    pub fn new(
        endpoint: &str,
        access_key: String,
        secret: Secret,
        clock: fn() -> Timestamp,
    ) -> Result<Self, CallError> {
        let parsed = endpoint.parse::<Uri>().ok();
        let well_formed = |uri: &Uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
        };
        let endpoint = parsed
            .filter(well_formed)
            .ok_or_else(|| CallError::Endpoint {
                endpoint: endpoint.to_owned(),
            })?;
        Ok(Self {
            http: http_client(RootCertStore::empty()).map_err(no_tls(&endpoint))?,
            endpoint,
            access_key,
            secret,
            token: None,
            clock,
        })
    }

    /// Whether the endpoint is called over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.endpoint.scheme_str() == Some("https")
    }

    /// Sets the trusted root certificates.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] if TLS cannot be set up.
    pub fn with_roots(mut self, roots: RootCertStore) -> Result<Self, CallError> {
        self.http = http_client(roots).map_err(no_tls(&self.endpoint))?;
        Ok(self)
    }

    /// Sets the session token of a temporary access key.
    #[must_use]
    pub fn with_token(mut self, token: String) -> Self {
        self.token = Some(token);
        self
    }

    /// Calls `action` of `version`. Parameters are sent as a form, so their length is not limited
    /// by a URL.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(
        &self,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Result<Reply, CallError> {
        self.call_with(version, action, params, &[]).await
    }

    /// Like [`Client::call`], with further headers.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call_with(
        &self,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Result<Reply, CallError> {
        let mut request = self.sign(version, action, params)?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, self.header(value)?);
        }
        let endpoint = || self.endpoint.to_string();
        let unreachable = |cause| CallError::Unreachable {
            endpoint: endpoint(),
            cause,
        };
        let response = self
            .http
            .request(request)
            .await
            .map_err(|error| unreachable(error.into()))?;
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| unreachable(error.into()))?
            .to_bytes();
        let status = parts.status.as_u16();
        let parsed: Value = serde_json::from_slice(&body).map_err(|_| CallError::NotEdgeseal {
            endpoint: endpoint(),
            status,
        })?;
        if parts.status.is_success() {
            return Ok(Reply {
                body: parsed,
                headers: parts.headers,
            });
        }
        let mut refusal = ErrorResponse::from_body(status, &parsed);
        let retry_after = parts.headers.get("x-acs-retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok());
        refusal.retry_after_ms = retry_after.and_then(|ms| ms.parse().ok());
        Err(CallError::Api(Box::new(refusal)))
    }

    fn sign(
        &self,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Result<Request<Full<Bytes>>, CallError> {
        let pairs: Vec<String> = params
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        let body = Bytes::from(pairs.join("&"));
        let host = self
            .endpoint
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        let hash = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body));
        let (date, nonce) = (
            (self.clock)().to_string(),
            uuid::Uuid::new_v4().simple().to_string(),
        );
        let mut signed = vec![
            ("accept", "application/json"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", &host),
            ("x-acs-action", action),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", &date),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", version),
        ];
        signed.extend(
            self.token
                .as_deref()
                .map(|token| ("x-acs-security-token", token)),
        );
        signed.sort_unstable();
        let mut headers = HeaderMap::new();
        for (name, value) in &signed {
            headers.insert(*name, self.header(value)?);
        }
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let canonical = v3_canonical_request("POST", &ParamMap::default(), &headers, &names, &body);
        let signature = v3_sign(&self.secret, &v3_string_to_sign(&canonical));
        let authorization = format!(
            "{V3_ALGORITHM} Credential={},SignedHeaders={},Signature={signature}",
            self.access_key,
            names.join(";")
        );
        headers.insert(header::AUTHORIZATION, self.header(&authorization)?);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = ::http::Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Only the endpoint or the key can contain text that is invalid in a header.
    fn header(&self, text: &str) -> Result<HeaderValue, CallError> {
        HeaderValue::from_str(text).map_err(|_| CallError::Endpoint {
            endpoint: self.endpoint.to_string(),
        })
    }
}

impl ErrorResponse {
    fn from_body(status: u16, body: &Value) -> Self {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Self {
            status,
            code: text("Code"),
            message: text("Message"),
            detail: text("Detail"),
            recommend: text("Recommend"),
            request: text("RequestId"),
            access_denied: body.get("AccessDeniedDetail").cloned(),
            retry_after_ms: None,
        }
    }
}

fn no_tls(endpoint: &Uri) -> impl FnOnce(rustls::Error) -> CallError {
    let endpoint = endpoint.to_string();
    move |error| CallError::Unreachable {
        endpoint,
        cause: Box::new(error),
    }
}

/// An HTTP/1.1 client for plain HTTP, and for HTTPS with these roots.
///
/// # Errors
/// TLS cannot be set up.
pub fn http_client(
    roots: RootCertStore,
) -> Result<HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>, rustls::Error> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    Ok(HttpClient::builder(TokioExecutor::new()).build(connector))
}
