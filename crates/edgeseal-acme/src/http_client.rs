//! HTTP to an authority: HTTPS only, bounded in time and size, with failures told apart by status.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use edgeseal_core::Timestamp;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};

use crate::issuer::InvalidIssuer;

/// How long one request may take, from DNS to the last byte.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest response, in bytes: a chain of ten certificates takes 32 KiB.
const BODY_MAX: usize = 256 * 1024;

/// A client of one authority. Cheap to clone; keeps connections alive.
#[derive(Clone)]
pub(crate) struct AuthorityClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    clock: fn() -> Timestamp,
}

/// A response that is not what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("status {status}")]
pub(crate) struct ErrorResponse {
    pub(crate) status: StatusCode,
    /// Not to be asked again before.
    pub(crate) retry_at: Option<Timestamp>,
    pub(crate) problem: Option<Problem>,
}

/// There is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoResponse {
    #[error("no response within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
    #[error("it cannot be reached")]
    Connect(#[source] hyper_util::client::legacy::Error),
    #[error("its response is incomplete or too long")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AuthorityClient {
    /// Trusts these authorities; without any, those of the system.
    pub(crate) fn new(
        roots: Vec<CertificateDer<'static>>,
        clock: fn() -> Timestamp,
    ) -> Result<Self, InvalidIssuer> {
        let tls = ClientConfig::builder_with_provider(
            rustls::crypto::aws_lc_rs::default_provider().into(),
        )
        .with_safe_default_protocol_versions()
        .map_err(InvalidIssuer::Tls)?
        .with_root_certificates(root_store(roots)?)
        .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .build();
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            clock,
        })
    }

    /// Reads a JSON resource that needs no signature.
    pub(crate) async fn get(&self, url: &str) -> Result<Bytes, Error> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(url)
            .body(Bytes::new())?;
        Ok(self.clone().exchange(request).await?.into_body())
    }

    async fn exchange(self, mut request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let agent = concat!("edgeseal/", env!("CARGO_PKG_VERSION"));
        let agent = header::HeaderValue::from_static(agent);
        request.headers_mut().insert(header::USER_AGENT, agent);
        let exchange = async {
            let response = self.http.request(request.map(Full::new)).await;
            let (head, body) = response.map_err(NoResponse::Connect)?.into_parts();
            let body = Limited::new(body, BODY_MAX).collect().await;
            let body = body.map_err(NoResponse::Body)?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        let exchange = tokio::time::timeout(REQUEST_TIMEOUT, exchange).await;
        let response = exchange
            .unwrap_or(Err(NoResponse::Timeout))
            .map_err(|error: NoResponse| Error::Other(error.into()))?;
        let status = response.status();
        if !status.is_client_error() && !status.is_server_error() {
            return Ok(response);
        }
        let problem: Option<Problem> = serde_json::from_slice(response.body()).ok();
        // The library repeats such a request itself, with another nonce.
        let kind = problem
            .as_ref()
            .and_then(|problem| problem.r#type.as_deref());
        if status == StatusCode::BAD_REQUEST && kind == Some(crate::error::BAD_NONCE) {
            return Ok(response);
        }
        let error = ErrorResponse {
            status,
            retry_at: retry_after(response.headers(), (self.clock)()),
            problem,
        };
        Err(Error::Other(error.into()))
    }
}

impl HttpClient for AuthorityClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            let response = client.exchange(Request::from_parts(head, body)).await?;
            Ok(BytesResponse::from(response.map(Full::new)))
        })
    }
}

/// When the authority may be asked again (RFC 9110 §10.2.3): a number of seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse::<u32>() {
        Ok(seconds) => Some(now.plus_ms(i64::from(seconds) * 1000)),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some(Timestamp::from_unix_seconds(
                since.as_secs().try_into().ok()?,
            ))
        }
    }
}

fn root_store(given: Vec<CertificateDer<'static>>) -> Result<RootCertStore, InvalidIssuer> {
    let (none, certificates) = if given.is_empty() {
        let system = rustls_native_certs::load_native_certs().certs;
        (InvalidIssuer::NoSystemRoots, system)
    } else {
        (InvalidIssuer::Roots, given)
    };
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(none),
        _ => Ok(roots),
    }
}
