//! A proxy before an ACME authority: it records what clients ask, fails requests as the test says,
//! and adds renewal information (RFC 9773), which Debian's pebble lacks.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{http::HttpConnection, pki::AUTHORITY, tls};

/// The path of a new order at pebble.
pub const NEW_ORDER: &str = "/order-plz";
/// The path of a new account at pebble.
pub const NEW_ACCOUNT: &str = "/sign-me-up";
/// The prefix of paths at which orders are finalized at pebble.
pub const FINALIZE: &str = "/finalize-order/";
/// The prefix of paths of orders at pebble.
pub const ORDER: &str = "/my-order/";
const DIRECTORY: &str = "/dir";
/// The prefix of paths of renewal information.
pub const RENEWAL_INFO: &str = "/renewal-info";

/// The proxy.
pub struct AcmeProxy {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    authority: Option<SocketAddr>,
    requests: Vec<AcmeRequest>,
    faults: Vec<Fault>,
    headers: Vec<(&'static str, HeaderName, HeaderValue)>,
    edits: Vec<(&'static str, Edit)>,
    renewal_info: Option<RenewalWindow>,
}

/// A change of the JSON of a response.
type Edit = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// A request that passed.
#[derive(Clone, Debug)]
pub struct AcmeRequest {
    pub path: String,
    /// The payload of the JWS; null if there is none.
    pub payload: Value,
    /// The status of the response; 0 if the client did not wait for it.
    pub status: u16,
}

/// A failure of requests whose paths have a prefix.
#[derive(Clone, Debug)]
pub struct Fault {
    pub path: &'static str,
    pub status: u16,
    pub retry_after: Option<String>,
    /// The type of the problem without its prefix, and its detail.
    pub problem: Option<(&'static str, &'static str)>,
    /// How many requests fail.
    pub times: usize,
}

/// The window that the authority suggests for renewals, in RFC 3339.
#[derive(Clone, Debug)]
pub struct RenewalWindow {
    pub start: String,
    pub end: String,
    pub retry_after_s: u32,
}

impl AcmeProxy {
    /// A proxy before nothing: it answers with status 503 until it has an authority.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = AUTHORITY.issue(&["127.0.0.1", "localhost"]);
        let acceptor = TlsAcceptor::from(Arc::new(tls::server_config(&server, &["http/1.1"])));
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(|request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, Infallible>(respond(&state, request).await) }
                    });
                    let connection = http1::Builder::new();
                    let _ = connection
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, state }
    }

    /// URL of the directory.
    pub fn directory(&self) -> String {
        format!("https://{}{DIRECTORY}", self.address)
    }

    /// Passes requests on to this address.
    pub fn pass_to(&self, authority: SocketAddr) {
        self.state.lock().unwrap().authority = Some(authority);
    }

    pub fn fail(&self, fault: Fault) {
        self.state.lock().unwrap().faults.push(fault);
    }

    /// Sets a header of all responses at paths with this prefix.
    pub fn set_header(&self, path: &'static str, name: HeaderName, value: &str) {
        let header = (path, name, value.parse().unwrap());
        self.state.lock().unwrap().headers.push(header);
    }

    /// Changes the JSON of all responses at paths with this prefix.
    pub fn edit(&self, path: &'static str, edit: impl Fn(&mut Value) + Send + Sync + 'static) {
        let edit = (path, Arc::new(edit) as Edit);
        self.state.lock().unwrap().edits.push(edit);
    }

    /// Answers requests for renewal information from now on.
    pub fn suggest(&self, window: RenewalWindow) {
        self.state.lock().unwrap().renewal_info = Some(window);
    }

    /// The requests so far whose paths start with `prefix`.
    pub fn requests(&self, prefix: &str) -> Vec<AcmeRequest> {
        let state = self.state.lock().unwrap();
        let requests = state.requests.iter();
        requests
            .filter(|request| request.path.starts_with(prefix))
            .cloned()
            .collect()
    }
}

async fn respond(state: &Mutex<State>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let mut response = answer(state, request).await;
    let state = state.lock().unwrap();
    for (prefix, name, value) in &state.headers {
        if path.starts_with(prefix) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

async fn answer(state: &Mutex<State>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return status(StatusCode::BAD_REQUEST);
    };
    let path = head.uri.path().to_owned();
    let payload = payload(&body);
    let (number, authority, window, edits) = {
        let mut state = state.lock().unwrap();
        let number = state.requests.len();
        state.requests.push(AcmeRequest {
            path: path.clone(),
            payload: payload.clone(),
            status: 0,
        });
        if let Some(fault) = take_fault(&mut state.faults, &path) {
            return fault.response();
        }
        let edits = state.edits.iter().filter(|it| path.starts_with(it.0));
        let edits: Vec<Edit> = edits.map(|(_, edit)| Arc::clone(edit)).collect();
        (number, state.authority, state.renewal_info.clone(), edits)
    };
    if path.starts_with(RENEWAL_INFO)
        && let Some(window) = window
    {
        return window.response();
    }
    let Some(authority) = authority else {
        return status(StatusCode::SERVICE_UNAVAILABLE);
    };
    let Ok(stream) = tls::connect(authority, "localhost", &["http/1.1"]).await else {
        return status(StatusCode::BAD_GATEWAY);
    };
    // With the header Host of the client: pebble writes it into all URLs.
    let request = Request::from_parts(head.clone(), Full::new(body));
    let mut connection = HttpConnection::h1_over(stream).await;
    let Ok(response) = connection.send(request).await else {
        return status(StatusCode::BAD_GATEWAY);
    };
    let (mut answered, body) = response.into_parts();
    state.lock().unwrap().requests[number].status = answered.status.as_u16();
    let mut body = body.collect().await.unwrap().to_bytes();
    if path == DIRECTORY && window.is_some() {
        let host = head.headers[header::HOST].to_str().unwrap();
        let url = format!("https://{host}{RENEWAL_INFO}");
        body = with_member(&body, "renewalInfo", json!(url));
    }
    if path == NEW_ORDER && window.is_some() && answered.status.is_success() {
        body = with_member(&body, "replaces", payload["replaces"].clone());
    }
    for edit in edits {
        let mut object: Value = serde_json::from_slice(&body).unwrap();
        edit(&mut object);
        body = Bytes::from(object.to_string());
    }
    answered.headers.remove(header::CONTENT_LENGTH);
    answered.headers.remove(header::TRANSFER_ENCODING);
    if head.method == Method::HEAD {
        body = Bytes::new();
    }
    Response::from_parts(answered, Full::new(body))
}

fn take_fault(faults: &mut Vec<Fault>, path: &str) -> Option<Fault> {
    let at = faults
        .iter()
        .position(|fault| path.starts_with(fault.path))?;
    let fault = faults[at].clone();
    faults[at].times -= 1;
    if faults[at].times == 0 {
        faults.remove(at);
    }
    Some(fault)
}

fn payload(body: &[u8]) -> Value {
    let jws: Value = serde_json::from_slice(body).unwrap_or_default();
    let payload = jws["payload"].as_str().unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}

fn with_member(body: &[u8], name: &str, value: Value) -> Bytes {
    let mut object: Value = serde_json::from_slice(body).unwrap();
    if !value.is_null() {
        object[name] = value;
    }
    Bytes::from(object.to_string())
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

impl Fault {
    fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::builder().status(self.status);
        if let Some(retry_after) = &self.retry_after {
            response = response.header(header::RETRY_AFTER, retry_after);
        }
        let body = self.problem.map_or_else(String::new, |(kind, detail)| {
            let kind = format!("urn:ietf:params:acme:error:{kind}");
            json!({ "type": kind, "detail": detail }).to_string()
        });
        response.body(Full::new(Bytes::from(body))).unwrap()
    }
}

impl RenewalWindow {
    fn response(&self) -> Response<Full<Bytes>> {
        let window = json!({ "start": self.start, "end": self.end });
        let body = json!({ "suggestedWindow": window }).to_string();
        Response::builder()
            .header(header::RETRY_AFTER, self.retry_after_s)
            .body(Full::new(Bytes::from(body)))
            .unwrap()
    }
}
