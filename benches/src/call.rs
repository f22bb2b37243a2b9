//! API calls as bytes: signed in advance, sent on a persistent connection.
//!
//! The generator shares the cores with the server, so it does as little as possible: it writes bytes,
//! reads bytes, and checks the status.

use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA256, digest};
use edgeseal_api::{
    canonical::{V3_ALGORITHM, encode, v3_canonical_request, v3_sign, v3_string_to_sign},
    request::ParamMap,
};
use edgeseal_core::{Secret, Timestamp};
use http::{HeaderMap, HeaderValue};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{BenchResult, accounts::Account, pki::TestCertificate};

/// Signs `SetCdnDomainSSLCertificate` with an upload. Valid for 15 minutes.
pub(crate) fn upload(
    host: SocketAddr,
    account: &Account,
    certified: &TestCertificate,
) -> BenchResult<Vec<u8>> {
    let secret = Secret::new(account.secret.as_bytes().to_vec());
    let params = [
        ("DomainName", account.domain.as_str()),
        ("SSLProtocol", "on"),
        ("SSLPub", &certified.chain_pem),
        ("SSLPri", &certified.key_pem),
    ];
    let key = (account.key_id.as_str(), &secret);
    sign(
        host,
        key,
        ("2018-05-10", "SetCdnDomainSSLCertificate"),
        &params,
    )
}

/// Signs a call with its parameters in a form body. Valid for 15 minutes.
pub(crate) fn sign(
    host: SocketAddr,
    (key_id, secret): (&str, &Secret),
    (version, action): (&str, &str),
    params: &[(&str, &str)],
) -> BenchResult<Vec<u8>> {
    let pairs: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect();
    let body = pairs.join("&");
    let hash = hex::encode(digest(&SHA256, body.as_bytes()));
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let (host, date) = (host.to_string(), now().to_string());
    let signed = [
        ("accept", "application/json"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("host", &host),
        ("x-acs-action", action),
        ("x-acs-content-sha256", &hash),
        ("x-acs-date", &date),
        ("x-acs-signature-nonce", &nonce),
        ("x-acs-version", version),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in signed {
        headers.insert(name, HeaderValue::from_str(value)?);
    }
    let names = signed.map(|(name, _)| name);
    let none = ParamMap::default();
    let canonical = v3_canonical_request("POST", &none, &headers, &names, body.as_bytes());
    let signature = v3_sign(secret, &v3_string_to_sign(&canonical));
    let mut request = String::from("POST / HTTP/1.1\r\n");
    for (name, value) in signed {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!(
        "authorization: {V3_ALGORITHM} Credential={key_id},SignedHeaders={},Signature={signature}\r\n\
         content-length: {}\r\n\r\n{body}",
        names.join(";"),
        body.len()
    ));
    Ok(request.into_bytes())
}

/// The current time of the system's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_seconds(time::OffsetDateTime::now_utc().unix_timestamp())
}

/// One connection, kept alive.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> BenchResult<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: Vec::with_capacity(4096),
        })
    }

    /// Sends a call and reads the response; a status other than 200 is an error with the whole response.
    pub(crate) async fn call(&mut self, request: &[u8]) -> BenchResult<()> {
        self.stream.write_all(request).await?;
        self.read.clear();
        loop {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err("the server closed the connection".into());
            }
            let Some(head) = self.read.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            if self.read.len() >= head + 4 + content_length(&self.read[..head])? {
                break;
            }
        }
        if self.read.starts_with(b"HTTP/1.1 200 ") {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&self.read).into_owned().into())
    }

    /// The body of the last response, as JSON.
    pub(crate) fn body(&self) -> BenchResult<serde_json::Value> {
        let head = self.read.windows(4).position(|four| four == b"\r\n\r\n");
        let body = head.map_or(&[][..], |head| &self.read[head + 4..]);
        Ok(serde_json::from_slice(body)?)
    }
}

fn content_length(head: &[u8]) -> BenchResult<usize> {
    let head = std::str::from_utf8(head)?;
    let found = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    Ok(found.ok_or("an answer without content-length")?.parse()?)
}
