//! API calls as bytes: signed in advance, sent on a persistent connection.
//!
//! The generator shares the cores with the server, so it does as little as possible: it writes
//! bytes, reads bytes, and checks the status.

use std::net::SocketAddr;

use edgeseal_core::Secret;
use edgeseal_testing::{
    pki::TestCertificate,
    signed_call::{Scheme, SignedCall},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{BenchResult, accounts::Account};

/// Signs `SetCdnDomainSSLCertificate` with an upload. Valid for 15 minutes.
pub(crate) fn upload(account: &Account, certified: &TestCertificate) -> Vec<u8> {
    let secret = Secret::new(account.secret.as_bytes().to_vec());
    let params = [
        ("DomainName", account.domain.as_str()),
        ("SSLProtocol", "on"),
        ("SSLPub", &certified.chain),
        ("SSLPri", &certified.key),
    ];
    let key = (account.key_id.as_str(), &secret);
    sign(key, ("2018-05-10", "SetCdnDomainSSLCertificate"), &params)
}

/// Signs a call with its parameters in a form body. Valid for 15 minutes.
pub(crate) fn sign(key: (&str, &Secret), action: (&str, &str), params: &[(&str, &str)]) -> Vec<u8> {
    let mut call = SignedCall::new(Scheme::V3, key, action, params);
    call.keep_alive = true;
    call.to_bytes()
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

    /// Sends a call and reads the response; a status other than 200 is an error with the whole
    /// response.
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
