//! Raw bytes over a socket, for requests that a well-behaved client cannot send.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use super::tls;

/// A response as received.
#[derive(Clone, Debug)]
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl RawResponse {
    /// A header of the response.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = fields.filter(|(have, _)| have.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }

    /// The code of a refusal, whether in JSON or in XML; empty if there is none.
    pub(crate) fn code(&self) -> String {
        if let Ok(json) = serde_json::from_str::<Value>(&self.body) {
            return json["Code"].as_str().unwrap_or_default().to_owned();
        }
        let after = self.body.split("<Code>").nth(1).unwrap_or_default();
        after.split('<').next().unwrap_or_default().to_owned()
    }
}

/// Sends bytes and reads until the server closes; the request should ask for that.
pub(crate) async fn send_raw(server: SocketAddr, bytes: &[u8]) -> RawResponse {
    exchange_on(TcpStream::connect(server).await.unwrap(), bytes).await
}

async fn exchange_on(stream: impl AsyncRead + AsyncWrite, bytes: &[u8]) -> RawResponse {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut answer = Vec::new();
    // Concurrently: the server may respond and close before it has read everything.
    let send = async {
        writer.write_all(bytes).await?;
        writer.flush().await
    };
    let (_, read) = tokio::join!(send, reader.read_to_end(&mut answer));
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {read:?}, {text:?}"));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    RawResponse {
        status: status.unwrap_or_else(|| panic!("no status: {head:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// An ordinary GET.
pub(crate) async fn get(server: SocketAddr, host: &str, path: &str) -> RawResponse {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    send_raw(server, request.as_bytes()).await
}

/// As [`get`], over TLS.
pub(crate) async fn get_over_tls(edge: SocketAddr, host: &str, path: &str) -> RawResponse {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let name = host.split(':').next().unwrap_or_default();
    let stream = tls::connect(edge, name, &["http/1.1"]).await.unwrap();
    exchange_on(stream, request.as_bytes()).await
}
