//! Raw bytes over a socket, for requests that a well-behaved client cannot send.

use std::{io, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{tls, wait::TIMEOUT};

/// A response as received.
#[derive(Clone, Debug)]
pub struct RawResponse {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl RawResponse {
    /// A header of the response.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = fields.filter(|(have, _)| have.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }

    /// The code of a refusal, whether in JSON or in XML; empty if there is none.
    pub fn code(&self) -> String {
        if let Ok(json) = serde_json::from_str::<Value>(&self.body) {
            return json["Code"].as_str().unwrap_or_default().to_owned();
        }
        let after = self.body.split("<Code>").nth(1).unwrap_or_default();
        after.split('<').next().unwrap_or_default().to_owned()
    }
}

/// Sends bytes and reads until the server closes; the request should ask for that. The server may
/// close before it has read everything.
pub async fn send_raw(server: SocketAddr, bytes: &[u8]) -> RawResponse {
    let stream = TcpStream::connect(server).await.unwrap();
    parse(&exchange_on(stream, bytes).await.0)
}

/// As [`send_raw`]; all that a server sends that reads everything and closes gracefully.
pub async fn exchange(server: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let stream = TcpStream::connect(server).await.unwrap();
    let (answer, exchanged) = exchange_on(stream, bytes.as_ref()).await;
    exchanged.unwrap();
    answer
}

async fn exchange_on(
    stream: impl AsyncRead + AsyncWrite,
    bytes: &[u8],
) -> (String, io::Result<()>) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut answer = Vec::new();
    let send = async {
        writer.write_all(bytes).await?;
        writer.flush().await
    };
    let exchanged = async { tokio::join!(send, reader.read_to_end(&mut answer)) };
    let (sent, read) = timeout(2 * TIMEOUT, exchanged).await.unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    (text, sent.and_then(|()| read.map(|_| ())))
}

fn parse(text: &str) -> RawResponse {
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no response: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    RawResponse {
        status: status.unwrap_or_else(|| panic!("no status: {head:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// An ordinary GET.
pub async fn get(server: SocketAddr, host: &str, path: &str) -> RawResponse {
    send_raw(server, get_request(host, path).as_bytes()).await
}

/// As [`get`]; the status, 0 without a response, and all that the server sent.
pub async fn get_text(server: SocketAddr, host: &str, path: &str) -> (u16, String) {
    let answer = exchange(server, get_request(host, path)).await;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), answer)
}

/// As [`get`], over TLS.
pub async fn get_over_tls(edge: SocketAddr, host: &str, path: &str) -> RawResponse {
    let name = host.split(':').next().unwrap_or_default();
    let stream = tls::connect(edge, name, &["http/1.1"]).await.unwrap();
    parse(
        &exchange_on(stream, get_request(host, path).as_bytes())
            .await
            .0,
    )
}

fn get_request(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")
}
