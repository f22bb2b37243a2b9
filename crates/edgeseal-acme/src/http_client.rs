//! HTTP to an authority: HTTPS only, bounded in time and size, with failures told apart by status.

use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use edgeseal_core::Timestamp;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
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
/// Longest head of a response, in bytes.
const HEAD_MAX: usize = 32 * 1024;
/// Longest URL that is requested, in bytes. Those of orders are stored.
pub(crate) const URL_MAX: usize = 2048;
/// The longest `Retry-After` that is believed, in seconds: of a response that is no error a day, the
/// longest interval between two looks at renewal information (RFC 9773 §4.3.2).
const RETRY_AFTER_MAX_S: u64 = 24 * 60 * 60;
/// The longest `Retry-After` of an error, in seconds: a week, the longest period of a limit.
const ERROR_RETRY_AFTER_MAX_S: u64 = 7 * RETRY_AFTER_MAX_S;
/// When renewal information is read again if its response does not say, in seconds (RFC 9773
/// §4.3.3). The library does not take it otherwise.
const RENEWAL_INFO_RETRY_S: u64 = 6 * 60 * 60;

/// A client of one authority. Cheap to clone; keeps connections alive.
#[derive(Clone)]
pub(crate) struct AuthorityClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// The host of the directory: what a response names elsewhere is not requested.
    host: Arc<str>,
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
    #[error("it refers to another host, {0:?}")]
    OtherHost(String),
    #[error("it refers to a URL of more than {URL_MAX} bytes")]
    LongUrl,
    #[error("no response within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
    #[error("it cannot be reached")]
    Connect(#[source] hyper_util::client::legacy::Error),
    #[error("its response is incomplete or too long")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AuthorityClient {
    /// A client of the authority whose directory is at `host`. Trusts these authorities; without
    /// any, those of the system.
    pub(crate) fn new(
        host: &str,
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
            http: Client::builder(TokioExecutor::new())
                .http1_max_buf_size(HEAD_MAX)
                .build(connector),
            host: host.into(),
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
        check_url(&self.host, request.uri()).map_err(|error| Error::Other(error.into()))?;
        let is_get = *request.method() == Method::GET;
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
        let mut response = exchange
            .unwrap_or(Err(NoResponse::Timeout))
            .map_err(|error: NoResponse| Error::Other(error.into()))?;
        let status = response.status();
        let now = (self.clock)();
        let retry_after_s = retry_after_s(response.headers(), now);
        if !status.is_client_error() && !status.is_server_error() {
            // The library adds any number of seconds to the time, and panics if that overflows.
            response.headers_mut().remove(header::RETRY_AFTER);
            if let Some(s) = retry_after_s.or_else(|| is_get.then_some(RENEWAL_INFO_RETRY_S)) {
                let s = s.min(RETRY_AFTER_MAX_S);
                response.headers_mut().insert(header::RETRY_AFTER, s.into());
            }
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
            retry_at: retry_after_s.map(|s| {
                let s = s.min(ERROR_RETRY_AFTER_MAX_S).cast_signed();
                now.plus_ms(s * 1000)
            }),
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

/// Whether a request may go there. An authority must not have us ask other servers, which may be
/// internal ones: its URLs are at the host of its directory, or at one of the same registrable
/// domain.
fn check_url(own: &str, url: &Uri) -> Result<(), NoResponse> {
    let host = url.host().unwrap_or_default();
    let registrable = |host: &str| {
        let host = host.to_ascii_lowercase();
        let is_name = host.parse::<IpAddr>().is_err();
        let domain = psl::domain(host.as_bytes()).filter(|_| is_name)?;
        Some(domain.as_bytes().to_vec())
    };
    if !host.eq_ignore_ascii_case(own)
        && registrable(host).is_none_or(|domain| registrable(own) != Some(domain))
    {
        return Err(NoResponse::OtherHost(host.to_owned()));
    }
    if is_long(url) {
        return Err(NoResponse::LongUrl);
    }
    Ok(())
}

fn is_long(url: &Uri) -> bool {
    let path = url.path_and_query().map_or(0, |path| path.as_str().len());
    let authority = url.authority().map_or(0, |it| it.as_str().len());
    path + authority > URL_MAX
}

/// How long the authority is not to be asked again (RFC 9110 §10.2.3), in seconds.
fn retry_after_s(headers: &HeaderMap, now: Timestamp) -> Option<u64> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(u64::MAX));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    let now = u64::try_from(now.unix_seconds()).unwrap_or_default();
    Some(since_epoch.saturating_sub(now))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_an_authority_are_its_own() {
        let own = "acme-v02.api.letsencrypt.org";
        let check = |own: &str, url: &str| check_url(own, &url.parse().unwrap()).is_ok();
        for (url, expected) in [
            ("https://acme-v02.api.letsencrypt.org/acme/order/1", true),
            (
                "https://ACME-V02.api.letsencrypt.org:8443/acme/order/1",
                true,
            ),
            ("https://ari.LetsEncrypt.org/renewal-info/1", true),
            ("https://letsencrypt.org.example/", false),
            ("https://127.0.0.1/latest/meta-data", false),
            ("/acme/order/1", false),
        ] {
            assert_eq!(check(own, url), expected, "{url}");
        }
        assert!(check("127.0.0.1", "https://127.0.0.1:14000/dir"));
        assert!(!check("127.0.0.1", "https://10.0.0.1/"));
        assert!(check("ca.corp.internal", "https://ca2.corp.internal/"));
        assert!(!check("ca.corp.internal", "https://vault.lab.internal/"));
        assert!(!check("ca.github.io", "https://cb.github.io/"));
        let long = format!("https://{own}/{}", "a".repeat(URL_MAX));
        assert!(matches!(
            check_url(own, &long.parse().unwrap()),
            Err(NoResponse::LongUrl)
        ));
    }

    #[test]
    fn any_retry_after_is_read_without_overflow() {
        let now = Timestamp::from_unix_seconds(784_111_777);
        for (text, expected) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("99999999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:59:37 GMT", Some(600)),
            ("Sun, 06 Nov 1994 08:39:37 GMT", Some(0)),
            ("Thu, 01 Jan 1920 00:00:00 GMT", None),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after_s(&headers, now), expected, "{text}");
        }
    }
}
